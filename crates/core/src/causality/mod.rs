//! Causality: dots, contexts, versions, and the two kinds of record (siblings and last-writer-wins).

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod bounds;
pub mod codec;
pub mod context;
pub mod dot;
pub mod growth;
#[cfg(test)]
mod laws;
pub mod lww;
pub mod marks;
pub mod record;
pub mod siblings;
pub mod token;
pub mod value;

pub use bounds::{ContextLimits, Lives};
pub use context::Context;
pub use dot::Dot;
pub use growth::Growth;
pub use lww::{Expiry, LwwRecord, Stamp};
pub use marks::{RequestMark, RequestMarks};
pub use record::Record;
pub use siblings::{SiblingsRecord, Version};
pub use token::{ClientContext, TokenError};
pub use value::{Payload, Value};
