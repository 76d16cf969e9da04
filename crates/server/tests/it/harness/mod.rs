//! Real processes for tests: `torc` nodes on ports of their own, small blocking clients, and an end to all of it even
//! when a test panics or hangs.
//!
//! One test at a time holds the turn; a node reads its standard input and stops when the test's process is gone.

mod cluster;
mod command;
mod http;
mod node;
mod resp;
mod small_disk;
mod turn;

use std::time::{Duration, Instant};

pub use cluster::{Cluster, Settings};
pub use command::{done, err, torc, torc_with};
pub use http::{Answer, Http, percent};
pub use node::{Node, TORC};
pub use resp::{Reply, Resp};
pub use small_disk::SmallDisk;
pub use turn::Turn;

/// Tries until it holds, or fails with what was waited for. Says how long it took (`--nocapture`).
pub fn eventually(what: &str, at_most: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < at_most, "{what}: not within {at_most:?}");
        std::thread::sleep(Duration::from_millis(30));
    }
    println!("{what}: after {:.1} s", began.elapsed().as_secs_f64());
}
