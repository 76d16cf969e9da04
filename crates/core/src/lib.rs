//! Every distributed decision of Torc, as state machines without IO: inputs in, effects out (`effect.rs`). No clock,
//! thread, socket, file, async, global randomness or unordered map lives here; time and randomness are handed in.

pub mod background;
pub mod boot;
pub mod bucket;
pub mod causality;
pub mod change;
pub mod command;
pub mod coordinator;
mod cursor;
pub mod deadlines;
pub mod effect;
pub mod event;
pub mod forwards;
pub mod gossip;
pub mod id;
pub mod key;
pub mod keyspace;
pub mod life;
pub mod limits;
pub mod liveness;
pub mod map;
pub mod message;
pub mod mutants;
pub mod node;
pub mod operations;
pub mod outcome;
pub mod peers;
pub mod quorum;
pub mod random;
pub mod rebuild;
pub mod replica;
pub mod ring;
pub mod site;
pub mod stats;
pub mod storage;
pub mod time;
pub mod wire;
