//! The `torc` program from outside: real processes, real sockets, one file a story.

mod harness;

mod anti_entropy;
mod commands;
mod crashes;
mod curl;
mod damage;
mod dev;
mod durability;
mod exports;
mod hints;
mod hostile;
mod large_values;
mod limits;
mod liveness;
mod memory;
mod monitoring;
mod no_space;
mod overload;
mod placement;
mod quorums;
mod reaping;
mod redis_clients;
mod retries;
mod shards;
mod time_to_live;
mod vector_clocks;
mod wiped;
