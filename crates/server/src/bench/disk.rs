//! What durable results stand on: a directory's file system and how many times a second it can really sync.
//!
//! A benchmark of durable writes on a file system in memory says nothing, so such directories are refused.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// How long syncs are measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Each sync follows an append of so many bytes, as a commit log does.
const APPEND_BYTES: usize = 4096;

/// A directory's disk.
#[derive(Debug, Clone, Serialize)]
pub struct Disk {
    /// The directory.
    pub directory: PathBuf,
    /// The type of its file system, as mount names it.
    pub file_system: String,
    /// Appends of 4 KiB, each followed by fdatasync, that one thread finished in a second.
    pub fdatasync_per_second: f64,
    /// The median of append and sync.
    pub fdatasync_p50_us: f64,
    /// The 99th percentile of append and sync.
    pub fdatasync_p99_us: f64,
}

/// Why a directory was not measured.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Its content lives in memory.
    #[error(
        "{directory} is on {file_system}, which keeps files in memory: durable results there mean nothing; choose a directory on a disk"
    )]
    InMemory {
        /// The directory.
        directory: PathBuf,
        /// The file system.
        file_system: String,
    },
    /// It could not be read or written.
    #[error("cannot measure {directory}: {source}")]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Measures a directory for about a second.
pub fn measure(directory: &Path) -> Result<Disk, DiskError> {
    let fail = |source| DiskError::Io {
        directory: directory.to_owned(),
        source,
    };
    let directory = directory.canonicalize().map_err(fail)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(fail)?;
    let file_system = file_system_of(&mounts, &directory).unwrap_or_else(|| "unknown".to_owned());
    if file_system == "tmpfs" || file_system == "ramfs" {
        return Err(DiskError::InMemory { directory, file_system });
    }
    let latencies = sync_for(&directory, MEASURE).map_err(fail)?;
    let seconds = MEASURE.as_secs_f64();
    Ok(Disk {
        directory,
        file_system,
        fdatasync_per_second: (latencies.len() as f64 / seconds).round(),
        fdatasync_p50_us: latencies.value_at_quantile(0.5) as f64 / 1e3,
        fdatasync_p99_us: latencies.value_at_quantile(0.99) as f64 / 1e3,
    })
}

fn sync_for(directory: &Path, time: Duration) -> io::Result<Histogram<u64>> {
    let mut file = tempfile::tempfile_in(directory)?;
    let block = [0x5a; APPEND_BYTES];
    let mut latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid");
    let start = Instant::now();
    while start.elapsed() < time {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.saturating_record(before.elapsed().as_nanos() as u64);
    }
    Ok(latencies)
}

/// The type of the file system mounted closest above a canonical path; the last mount of a place hides earlier ones.
fn file_system_of(mounts: &str, path: &Path) -> Option<String> {
    let mut closest: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (before, after) = line.split_once(" - ")?;
        let mount_point = unescape(before.split(' ').nth(4)?);
        let file_system = after.split(' ').next()?;
        let depth = Path::new(&mount_point).components().count();
        if path.starts_with(&mount_point) && closest.is_none_or(|(known, _)| depth >= known) {
            closest = Some((depth, file_system));
        }
    }
    closest.map(|(_, file_system)| file_system.to_owned())
}

/// mountinfo writes spaces and their kin as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DiskError, file_system_of, measure};

    #[test]
    fn the_closest_and_latest_mount_decides() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/a rw\n\
                      30 22 0:5 / /data rw shared:1 - xfs /dev/b rw\n\
                      31 30 0:6 / /data/a\\040b rw - tmpfs tmpfs rw\n\
                      32 22 0:7 / /data rw - btrfs /dev/c rw\n";
        let of = |path: &str| file_system_of(mounts, Path::new(path)).expect("root is mounted");
        assert_eq!(of("/home"), "ext4");
        assert_eq!(of("/data/x"), "btrfs");
        assert_eq!(of("/data/a b/c"), "tmpfs");
        assert_eq!(of("/database"), "ext4");
    }

    #[test]
    fn a_directory_in_memory_is_refused_and_one_that_is_not_there_named() {
        let shared_memory = Path::new("/dev/shm");
        if shared_memory.is_dir() {
            assert!(matches!(measure(shared_memory), Err(DiskError::InMemory { .. })));
        }
        let error = measure(Path::new("/nonexistent/place")).expect_err("there is no such directory");
        assert!(error.to_string().contains("/nonexistent/place"), "{error}");
    }

    #[test]
    fn a_directory_on_a_disk_has_a_rate() {
        let disk = measure(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the source is on a disk");
        assert!(
            disk.fdatasync_per_second > 1.0 && disk.fdatasync_p50_us <= disk.fdatasync_p99_us,
            "{disk:?}"
        );
    }
}
