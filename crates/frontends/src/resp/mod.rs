//! The Redis protocol, RESP2 and RESP3: bytes to commands, outcomes to replies; no sockets, no clock. `connection.rs` is
//! one client's conversation, `table.rs` lists the commands, `shape.rs` makes replies of outcomes.

mod connection;
mod failure;
mod fields;
mod glob;
mod hashes;
mod keys;
mod parser;
mod plan;
mod reply;
mod server;
mod session;
mod shape;
mod strings;
mod table;
mod torc;

pub use connection::Connection;
pub use session::{Host, ServerFacts, Ticket};
