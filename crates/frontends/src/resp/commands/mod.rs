//! What each command asks of the core: one file a group, one function a command.

pub mod about;
pub mod client;
pub mod config;
pub mod expiry;
pub mod hashes;
pub mod keys;
pub mod scans;
pub mod server;
pub mod strings;
pub mod torc;
pub mod transactions;
