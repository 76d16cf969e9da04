//! The Redis protocol, versions 2 and 3: bytes to commands, outcomes to replies in the order of the requests. No socket,
//! no clock, no async. What commands there are and how many words each has comes from one table (`table.rs`).

mod answer;
mod args;
mod call;
mod commands;
mod connection;
mod glob;
mod inline;
mod number;
mod parser;
mod refused;
mod reply_size;
mod session;
mod slots;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use connection::{Connection, Host, ServerFacts, Ticket};
