//! A store that goes out of service because its engine failed looks for the damage on which it may have failed (a
//! compaction stops at the first block whose checksum is wrong), and leaves a mark beside the data: they could be opened
//! again, and would fail again. The mark says what is damaged; it goes aside with the data.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::directory::{read_if_there, write_durably};
use crate::engine::Engine;
use crate::error::OpenError;
use crate::scrub::Scrubber;

/// The mark's name in a data directory.
pub(crate) const MARK: &str = "damage";

/// Refuses data that are marked as damaged.
pub(crate) fn check(dir: &Path) -> Result<(), OpenError> {
    let mark = dir.join(MARK);
    match read_if_there(&mark)? {
        None => Ok(()),
        Some(bytes) => {
            let what = String::from_utf8_lossy(&bytes).trim().to_owned();
            Err(OpenError::MarkedDamaged { what, mark })
        }
    }
}

/// A search through all files of an engine that has failed.
pub(crate) struct Examination {
    thread: JoinHandle<()>,
    must_stop: Arc<AtomicBool>,
}

impl Examination {
    /// Begins on a thread of its own: whoever waits for the store is told at once that it is out of service.
    pub fn start(engine: Engine, dir: PathBuf) -> std::io::Result<Self> {
        let must_stop = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&must_stop);
        let work = move || examine(&engine, &dir, &stop);
        let thread = std::thread::Builder::new().name("torc-examiner".into()).spawn(work)?;
        Ok(Self { thread, must_stop })
    }

    /// Ends it, finished or not.
    pub fn stop(self) {
        self.must_stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the search for damage panicked");
        }
    }
}

fn examine(engine: &Engine, dir: &Path, must_stop: &AtomicBool) {
    for keyspace in [&engine.records, &engine.meta] {
        let mut scrubber = Scrubber::default();
        if let Some(file) = scrubber.first_damaged(keyspace, || must_stop.load(Ordering::Relaxed)) {
            let what = format!("{file} is damaged, and the storage engine failed on it");
            match write_durably(dir, &dir.join(MARK), &format!("{what}\n")) {
                Ok(()) => tracing::error!(
                    what,
                    "the data are damaged: start the node again with `torc serve --rebuild`"
                ),
                Err(error) => tracing::error!(what, %error, "the data are damaged, and can't be marked so"),
            }
            return;
        }
    }
}
