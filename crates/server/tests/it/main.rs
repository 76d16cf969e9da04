//! The `torc` program from outside: real processes, real sockets, one file a story.

mod harness;

mod commands;
mod crashes;
mod dev;
mod durability;
mod exports;
mod hostile;
mod limits;
mod memory;
mod quorums;
mod redis_clients;
mod vector_clocks;
