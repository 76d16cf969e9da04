//! A node's replica of the partitions it is home to: reads answer durable state, writes merge, mints sign new versions.

pub mod change;
pub mod held;
pub mod reads;
pub mod service;
pub mod writes;

pub use change::{Change, Changed, Put, PutKind, Registers};
pub use service::{Asker, Replica};
