//! Torc's store: `torc_core::storage` on a real engine (fjall), with a record cache, one committer thread that writes and
//! syncs in groups, and `memory` buckets that keep nothing on disk. It decides nothing about other nodes. See
//! `docs/storage.md` for what is on disk and why.

mod boot;
mod budget;
mod cache;
mod committer;
mod damage;
mod directory;
mod engine;
mod error;
mod faults;
mod journal;
mod loader;
mod loads;
mod memory;
mod meta;
mod options;
mod pace;
mod queue;
mod reader;
mod scrub;
mod shared;
mod stats;
mod store;
mod trees;
mod watch;

pub use budget::Budget;
pub use directory::set_aside;
pub use error::OpenError;
pub use faults::{Faults, FsyncFault};
pub use options::StoreOptions;
pub use stats::{SYNC_BUCKET_BOUNDS_US, StoreStats, SyncTimes};
pub use store::{Completions, Opened, Store};
