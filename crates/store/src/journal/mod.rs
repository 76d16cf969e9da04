//! The check of the engine's journals before the engine opens them (RULINGS 29). fjall cuts a journal silently at the
//! first item that it can't decode, which is right for a torn tail and loses acknowledged writes anywhere else. So we walk
//! every journal first: only the newest may end badly, and only if no whole batch follows the bad place. Such a tail was
//! never acknowledged, and is cut off here, because fjall refuses some of its forms.

mod batch;
mod runway;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use batch::{Batch, Stop, read_batch};
pub(crate) use runway::Runway;

const READ_BYTES: usize = 256 << 10;

/// Walks all journals in `dir`; cuts a torn tail off the newest.
///
/// # Errors
/// `DamagedJournal`, with file and offset; or the file system's.
pub(crate) fn check(dir: &Path) -> Result<(), OpenError> {
    let journals = journals_in(dir)?;
    let newest = journals.last().map(|journal| journal.0);
    for (number, file) in journals {
        let walked = walk(&file).map_err(OpenError::io(&file))?;
        let Some(what) = walked.bad else { continue };
        let damaged = || OpenError::DamagedJournal {
            file: file.clone(),
            offset: walked.good_bytes,
            what,
        };
        if Some(number) != newest || walked.is_whole_batch {
            return Err(damaged());
        }
        if has_batch_after(&file, walked.good_bytes).map_err(OpenError::io(&file))? {
            return Err(damaged());
        }
        tracing::warn!(
            file = %file.display(),
            offset = walked.good_bytes,
            what,
            "cutting off a torn tail: a batch that was being written when the node stopped, and was never acknowledged"
        );
        let cut = || -> std::io::Result<()> {
            let handle = OpenOptions::new().write(true).open(&file)?;
            handle.set_len(walked.good_bytes)?;
            handle.sync_all()
        };
        cut().map_err(OpenError::io(&file))?;
    }
    Ok(())
}

/// What a walk over one journal found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Walked {
    /// Up to here all is well.
    good_bytes: u64,
    /// What is wrong there; `None` if only zeros or nothing follows.
    bad: Option<&'static str>,
    /// A whole batch is wrong in its place, so nothing is torn: it or the one before it was changed.
    is_whole_batch: bool,
}

fn journals_in(dir: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let list = || -> std::io::Result<Vec<(u64, PathBuf)>> {
        let mut journals = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let (true, Some(number)) = (is_journal, number) {
                journals.push((number, path));
            }
        }
        journals.sort();
        Ok(journals)
    };
    list().map_err(OpenError::io(dir))
}

fn walk(file: &Path) -> std::io::Result<Walked> {
    let mut source = BufReader::with_capacity(READ_BYTES, File::open(file)?);
    let mut good_bytes = 0;
    let mut last: Option<u64> = None;
    loop {
        let mut is_whole_batch = false;
        let bad = match read_batch(&mut source) {
            // The sum does not cover the number, but the order does: the engine counts up under the journal's lock.
            Ok(Batch { sequence, .. }) if last.is_some_and(|last| sequence <= last) => {
                is_whole_batch = true;
                Some("a sequence number is out of order")
            }
            Ok(Batch { sequence, bytes }) => {
                last = Some(sequence);
                good_bytes += bytes;
                continue;
            }
            Err(Stop::Bad(what)) => Some(what),
            Err(Stop::End) if is_zero(&mut source)? => None,
            Err(Stop::End) => Some("something follows the end"),
        };
        return Ok(Walked {
            good_bytes,
            bad,
            is_whole_batch,
        });
    }
}

fn is_zero(source: &mut impl Read) -> std::io::Result<bool> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(true),
            count if buffer[..count].iter().any(|&byte| byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// True if a whole batch begins anywhere behind `offset`.
fn has_batch_after(file: &Path, offset: u64) -> std::io::Result<bool> {
    let mut handle = File::open(file)?;
    handle.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    handle.read_to_end(&mut rest)?;
    // Behind the last byte that is not zero there is no batch: its end mark is none.
    let end = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let rest = &rest[..end];
    Ok((1..rest.len()).any(|from| read_batch(&mut &rest[from..]).is_ok()))
}
