//! Zeros ahead of what the engine appends. fjall makes a journal as a hole of 64 MiB, and a sync of what fills a hole waits for
//! the disk once more, for where its blocks are; what overwrites zeros syncs alone, as in PostgreSQL (`wal_init_zero`).
//! A hole reads as zeros, so all that matters is to write to nothing else: this runs on the committer's thread, which alone writes
//! to journals, between two commits, with nothing in the engine's buffer; the file system says where the hole is; a file
//! is never made longer. A journal that was there when the store was opened is left alone: the engine appends to its end.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};

use super::journals_in;

/// What is laid at a time, one piece ahead of the piece that is being written over. The sync that follows is one of those that
/// take long, so not too short; and the piece leaves with it, so not too long.
const PIECE_BYTES: u64 = 256 << 10;
static PIECE: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];

/// See the module.
#[derive(Debug)]
pub(crate) struct Runway {
    dir: PathBuf,
    /// The newest journal that was there before the engine was opened.
    found: Option<u64>,
    journal: Option<(u64, File)>,
    /// The hole begins here or later.
    end: u64,
    /// About how much was appended since zeros were laid.
    appended: u64,
}

impl Runway {
    /// For the journals that the engine will make in `dir`, which is not open yet.
    pub fn new(dir: &Path) -> Self {
        let newest = journals_in(dir).ok().and_then(|journals| Some(journals.last()?.0));
        Self {
            dir: dir.to_owned(),
            found: newest,
            journal: None,
            end: 0,
            appended: PIECE_BYTES,
        }
    }

    /// About `bytes` were appended, and the engine's buffer is empty: lays more zeros if it is time. What can't be laid is not
    /// missed.
    pub fn extend(&mut self, bytes: u64) {
        self.appended += bytes;
        if self.appended < PIECE_BYTES {
            return;
        }
        self.appended = 0;
        if let Err(error) = self.lay() {
            tracing::debug!(%error, "no zeros are laid ahead in the journal");
        }
    }

    fn lay(&mut self) -> std::io::Result<()> {
        let Some((newest, path)) = journals_in(&self.dir).ok().and_then(|mut journals| journals.pop()) else {
            return Ok(());
        };
        if self.found.is_some_and(|found| newest <= found) {
            return Ok(());
        }
        if self.journal.as_ref().is_none_or(|(number, _)| *number != newest) {
            self.journal = Some((newest, OpenOptions::new().write(true).open(path)?));
            self.end = 0;
            self.lay_piece()?;
        }
        self.lay_piece()
    }

    fn lay_piece(&mut self) -> std::io::Result<()> {
        let Some((_, file)) = &self.journal else {
            return Ok(());
        };
        let hole = seek(file, SeekFrom::Hole(self.end))?;
        let is_hole = |end: u64| match seek(file, SeekFrom::Data(hole)) {
            Ok(data) => data >= end,
            // No data up to the end of the file.
            Err(error) => error == rustix::io::Errno::NXIO,
        };
        let end = hole + PIECE_BYTES;
        if end <= file.metadata()?.len() && is_hole(end) {
            file.write_all_at(&PIECE, hole)?;
        }
        self.end = hole;
        Ok(())
    }
}
