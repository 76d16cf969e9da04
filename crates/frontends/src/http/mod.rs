//! HTTP version 1: a request's method, target, headers and body become a [`Route`]; an outcome becomes an
//! [`HttpReply`]. No socket, no clock, no async. What is routed, what its parameters are and what the OpenAPI document
//! says all come from one table (`table.rs`).

mod admin;
mod batch;
mod dates;
mod documents;
mod faults;
mod inspect;
mod json;
mod names;
mod openapi;
mod percent;
mod plan;
mod problem;
mod query;
mod raw;
mod rendering;
mod reply;
mod route;
mod status;
mod table;

#[cfg(test)]
mod tests;

pub use admin::PaceView;
pub use dates::rfc3339;
pub use documents::{BucketView, BucketsView, ClusterView, Liveness, NodeRow, RingView};
pub use faults::{FaultSet, FsyncFault};
pub use inspect::inspect_context;
pub use names::NodeNames;
pub use openapi::document as openapi_document;
pub use percent::{BadEscape, decode as percent_decode, encode_into as percent_encode_into};
pub use problem::{Code, Problem};
pub use raw::{RawRequest, parse as parse_raw};
pub use rendering::Rendering;
pub use reply::{HttpReply, names as header_names};
pub use route::{NodeRequest, Planned, Route, limits_of, route, too_large};
pub use status::{
    ActorView, AntiEntropyView, BlockView, CacheView, ClockView, HintsForView, HintsView, HotKey, PeerQueue,
    QueuesView, ReapingView, ScrubView, StatusView, StoreView, TransferView,
};
