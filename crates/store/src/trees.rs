//! `DIR/trees`: what the core knows of its trees at a clean stop. It is bound to the clean marker that was written after it;
//! any other marker, or none, makes it worthless.
//! ```text
//! | marker: life, birth, hlc, incarnation u64 LE | the core's bytes |
//! ```

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use torc_core::storage::CleanMarker;

fn file(dir: &Path) -> PathBuf {
    dir.join("trees")
}

fn binding(marker: &CleanMarker) -> Vec<u8> {
    let words = [marker.life.0, marker.birth, marker.hlc.0, marker.incarnation];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Keeps them durably; the marker is written afterwards.
pub(crate) fn keep(dir: &Path, marker: &CleanMarker, trees: &[u8]) -> std::io::Result<()> {
    let mut handle = File::create(file(dir))?;
    handle.write_all(&binding(marker))?;
    handle.write_all(trees)?;
    handle.sync_all()?;
    File::open(dir)?.sync_all()
}

/// What belongs to this marker, or nothing. The file is gone afterwards.
pub(crate) fn take(dir: &Path, marker: Option<&CleanMarker>) -> Vec<u8> {
    let found = std::fs::read(file(dir)).unwrap_or_default();
    // A file that stays is bound to a marker that is gone.
    let _ = std::fs::remove_file(file(dir));
    let bound = marker.map(binding).unwrap_or_default();
    match found.strip_prefix(&bound[..]) {
        Some(trees) if marker.is_some() => trees.to_vec(),
        Some(_) | None => Vec::new(),
    }
}
