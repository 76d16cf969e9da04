//! Whose data directory this is: a lock, and a file that names format, cluster, node and ring, which all must agree (RULINGS 21, 31).
//!
//! ```text
//! DIR/lock      held while the store is open; names the process
//! DIR/identity  torc-store / format / cluster / node / epoch number and hash / ring / crc32c of all lines before, in hex
//! DIR/engine/   the engine's files
//! DIR/damage    only if the engine failed on damaged files: which
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use torc_core::message::RingEpoch;

use crate::damage;
use crate::engine::engine_dir;
use crate::error::OpenError;
use crate::options::StoreOptions;

/// The format that is written.
pub(crate) const FORMAT: u32 = 1;
const FIRST_LINE: &str = "torc-store";

/// A locked directory that belongs to this node.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Unlocked when it is closed.
    _lock: File,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Identity {
    cluster: String,
    node: String,
    epoch: RingEpoch,
    ring: String,
}

impl Directory {
    /// Locks the directory and checks that it is this node's; writes its identity if it is new.
    pub fn claim(options: &StoreOptions) -> Result<Self, OpenError> {
        let dir = &options.dir;
        std::fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
        let lock = lock(dir)?;
        let expected = Identity {
            cluster: options.cluster.clone(),
            node: options.node.clone(),
            epoch: options.epoch,
            ring: options.ring_description.clone(),
        };
        let file = dir.join("identity");
        let engine = engine_dir(dir);
        match read_if_there(&file)? {
            Some(bytes) => check(dir, &file, &bytes, &expected)?,
            None if engine.exists() => {
                return Err(OpenError::DamagedIdentity {
                    file,
                    what: "there are data, but nothing says whose",
                });
            }
            None => write_durably(dir, &file, &expected.to_text())?,
        }
        damage::check(dir)?;
        if engine.exists() && !engine.join("version").exists() {
            // The engine writes that file last when it creates itself: this one was interrupted, and holds nothing.
            tracing::warn!(dir = %engine.display(), "removing a storage engine that was never completed");
            std::fs::remove_dir_all(&engine).map_err(OpenError::io(&engine))?;
        }
        Ok(Self { _lock: lock })
    }
}

/// Moves what a data directory holds into a new directory inside it, `damaged-1` and so on, and deletes nothing: the next
/// start finds the directory empty, and fetches this node's copies from the others. Says where it went.
///
/// # Errors
/// `Locked` while a process has it open; the file system's.
pub fn set_aside(dir: &Path) -> Result<PathBuf, OpenError> {
    let _lock = lock(dir)?;
    let aside = (1_u32..)
        .map(|number| dir.join(format!("damaged-{number}")))
        .find(|aside| !aside.exists())
        .expect("not all numbers are taken");
    let work = || -> std::io::Result<()> {
        std::fs::create_dir(&aside)?;
        // In this order: data whose owner is not known any more are refused, never taken for another's; and those that are
        // marked as damaged are so until they are gone.
        let parts = [
            (dir.join("identity"), "identity"),
            (engine_dir(dir), "engine"),
            (dir.join(damage::MARK), damage::MARK),
        ];
        for (from, name) in parts {
            match std::fs::rename(&from, aside.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        File::open(&aside)?.sync_all()?;
        File::open(dir)?.sync_all()
    };
    work().map_err(OpenError::io(&aside))?;
    Ok(aside)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = match read {
                Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
                Ok(_) | Err(_) => "another process".to_owned(),
            };
            return Err(OpenError::Locked {
                dir: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
    }
    file.set_len(0).map_err(OpenError::io(&path))?;
    writeln!(file, "process {}", std::process::id()).map_err(OpenError::io(&path))?;
    Ok(file)
}

fn check(dir: &Path, file: &Path, bytes: &[u8], expected: &Identity) -> Result<(), OpenError> {
    let damaged = |what| OpenError::DamagedIdentity {
        file: file.to_owned(),
        what,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("not text"))?;
    // The format comes first: a newer one may have other lines and another checksum.
    let format = Identity::format_of(text).ok_or_else(|| damaged("no format"))?;
    if format > FORMAT {
        return Err(OpenError::NewerFormat {
            dir: dir.to_owned(),
            found: format,
            known: FORMAT,
        });
    }
    let found = Identity::from_text(text).map_err(damaged)?;
    let owners = [
        ("cluster", &found.cluster, &expected.cluster),
        ("node", &found.node, &expected.node),
    ];
    for (kind, found, expected) in owners {
        if found != expected {
            return Err(OpenError::OtherOwner {
                dir: dir.to_owned(),
                kind,
                found: found.clone(),
                expected: expected.clone(),
            });
        }
    }
    if found.epoch != expected.epoch {
        let describe = |identity: &Identity| format!("{}, epoch {}", identity.ring, epoch_text(identity.epoch));
        return Err(OpenError::OtherRing {
            dir: dir.to_owned(),
            found: describe(&found),
            expected: describe(expected),
        });
    }
    Ok(())
}

impl Identity {
    fn to_text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\nformat {FORMAT}\ncluster {}\nnode {}\nepoch {}\nring {}\n",
            self.cluster.escape_default(),
            self.node.escape_default(),
            epoch_text(self.epoch),
            self.ring.escape_default(),
        );
        let checksum = crc_fast::crc32_iscsi(text.as_bytes());
        text.push_str(&format!("crc32c {checksum:08x}\n"));
        text
    }

    fn format_of(text: &str) -> Option<u32> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        lines.next()?.strip_prefix("format ")?.parse().ok()
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let start = text.rfind("crc32c ").ok_or("no checksum")?;
        let checksum = format!("crc32c {:08x}\n", crc_fast::crc32_iscsi(&text.as_bytes()[..start]));
        if text[start..] != checksum {
            return Err("its checksum does not match");
        }
        let mut lines = text[..start].lines().skip(2);
        let mut field = |name: &'static str| {
            lines
                .next()
                .and_then(|line| line.strip_prefix(name))
                .ok_or("a line is missing")
        };
        let cluster = unescape(field("cluster ")?);
        let node = unescape(field("node ")?);
        let epoch = field("epoch ")?;
        let (number, hash) = epoch.split_once(' ').ok_or("no epoch")?;
        let epoch = RingEpoch {
            number: number.parse().map_err(|_| "no epoch")?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| "no epoch")?,
        };
        let ring = unescape(field("ring ")?);
        Ok(Self {
            cluster: cluster.ok_or("not a name")?,
            node: node.ok_or("not a name")?,
            epoch,
            ring: ring.ok_or("not a description")?,
        })
    }
}

fn epoch_text(epoch: RingEpoch) -> String {
    format!("{} {:016x}", epoch.number, epoch.hash)
}

/// The reverse of `escape_default`.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        plain.push(match rest.next()? {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            'u' => {
                let code: String = rest.by_ref().skip(1).take_while(|&digit| digit != '}').collect();
                char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
            }
            same => same,
        });
    }
    Some(plain)
}

pub(crate) fn read_if_there(file: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io {
            path: file.to_owned(),
            source,
        }),
    }
}

/// The whole file or none of it, whatever happens meanwhile.
pub(crate) fn write_durably(dir: &Path, file: &Path, text: &str) -> Result<(), OpenError> {
    let new: PathBuf = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut handle = File::create(&new)?;
        handle.write_all(text.as_bytes())?;
        handle.sync_all()?;
        std::fs::rename(&new, file)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(OpenError::io(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: "böse \\ \"names\"\n".into(),
            node: "n1".into(),
            epoch: RingEpoch { number: 1, hash: 0xabc },
            ring: "3 nodes: n1\tn2 n3".into(),
        }
    }

    #[test]
    fn an_identity_is_read_back() {
        assert_eq!(Identity::from_text(&identity().to_text()), Ok(identity()));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let good = identity().to_text();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bad) = String::from_utf8(bad) {
                assert_ne!(Identity::from_text(&bad), Ok(identity()), "bit {bit}");
            }
        }
    }
}
