//! A node's replica of the partitions it is home to: reads answer durable state, writes merge, mints sign new versions.

pub mod clears;
pub mod held;
pub mod reads;
pub mod service;
pub mod writes;

pub use service::{Asker, Replica};
