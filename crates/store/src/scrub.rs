//! A scrub's parts. First every table and blob file is read past all caches and its sum compared with the engine's
//! manifest: filters and indexes count too, since a bad filter would make records absent. Then every record is read, and
//! its own checksum verified, in the order of names.
//!
//! ```text
//! position: | 0x01 | number u64 BE |   the table or blob file to begin with: those with lower numbers are done
//!           | 0x02 | name |            the record to begin with
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use bytes::Bytes;
use fjall::{AbstractTree, Keyspace};
use torc_core::storage::{Scrubbed, Spoiled, StoreError};
use twox_hash::xxhash3_128::Hasher;

use crate::engine::Engine;

const FILES: u8 = 1;
const RECORDS: u8 = 2;
const READ_BYTES: usize = 64 << 10;

/// A file of the engine.
#[derive(Clone, Debug)]
struct EngineFile {
    path: PathBuf,
    sum: u128,
    bytes: u64,
    /// First and last names of the tables that rest on it.
    names: Vec<(Bytes, Bytes)>,
}

/// The file that is half read. It is kept from part to part; if it was forgotten it is read again from its beginning.
struct Reading {
    number: u64,
    file: EngineFile,
    handle: File,
    sum: Hasher,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Scrubber {
    reading: Option<Reading>,
}

impl Scrubber {
    /// Reads about `bytes_max` bytes from a position on.
    pub fn part(&mut self, engine: &Engine, from: &[u8], bytes_max: u64) -> Result<Scrubbed, StoreError> {
        match from.split_first() {
            None => self.files_from(engine, 0, bytes_max),
            Some((&FILES, number)) => {
                let number = number.try_into().map_or(0, u64::from_be_bytes);
                self.files_from(engine, number, bytes_max)
            }
            Some((_, name)) => Self::records(engine, name, bytes_max),
        }
    }

    fn files_from(&mut self, engine: &Engine, number: u64, bytes_max: u64) -> Result<Scrubbed, StoreError> {
        let (part, unread) = self.files(&engine.records, number, bytes_max);
        match unread {
            // What was found before it is told first; the next part begins with it.
            Some(unread) if (unread == number || part.bytes == 0) && part.spoiled.is_empty() => {
                Err(StoreError::Unreadable)
            }
            Some(_) | None => Ok(part),
        }
    }

    /// The first file that is not what the engine's manifest says, as far as it is found before `must_stop`.
    pub fn first_damaged(&mut self, keyspace: &Keyspace, must_stop: impl Fn() -> bool) -> Option<String> {
        const PART_BYTES: u64 = 1 << 20;
        let mut number = 0;
        while !must_stop() {
            let (part, unread) = self.files(keyspace, number, PART_BYTES);
            if let Some(spoiled) = part.spoiled.into_iter().next() {
                return Some(spoiled.file);
            }
            if let Some(unread) = unread {
                number = unread + 1;
                continue;
            }
            match part.next.as_deref().and_then(<[u8]>::split_first) {
                Some((&FILES, next)) => number = next.try_into().map_or(0, u64::from_be_bytes),
                Some(_) | None => return None,
            }
        }
        None
    }

    /// Reads files, and tells the number of the one that it had to stop at: an I/O error proves nothing of what is stored.
    fn files(&mut self, keyspace: &Keyspace, number: u64, bytes_max: u64) -> (Scrubbed, Option<u64>) {
        let files = files_of(keyspace);
        let mut part = Scrubbed::default();
        let mut number = number;
        let mut unread = None;
        let mut buffer = vec![0; READ_BYTES];
        while part.bytes < bytes_max {
            let is_open = self.reading.as_ref().is_some_and(|reading| reading.number == number);
            if !is_open {
                self.reading = None;
                let Some((&next, file)) = files.range(number..).next() else {
                    part.next = Some(Bytes::from_static(&[RECORDS]));
                    part.done_per_mille = 500;
                    return (part, None);
                };
                number = next;
                match File::open(&file.path) {
                    Ok(handle) => {
                        self.reading = Some(Reading {
                            number,
                            file: file.clone(),
                            handle,
                            sum: Hasher::new(),
                        });
                    }
                    // A compaction has replaced it meanwhile.
                    Err(error) if error.kind() == ErrorKind::NotFound && !is_current(keyspace, number) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        part.spoiled.extend(spoiled(file, "it is gone"))
                    }
                    Err(error) => {
                        unread = Some(number);
                        tell_unread(file, &error);
                        break;
                    }
                }
            }
            let Some(reading) = &mut self.reading else {
                number += 1;
                continue;
            };
            match reading.handle.read(&mut buffer) {
                Ok(0) => {
                    if reading.sum.finish_128() != reading.file.sum && is_current(keyspace, number) {
                        part.spoiled
                            .extend(spoiled(&reading.file, "its sum is not the one in the manifest"));
                    }
                    self.reading = None;
                    number += 1;
                }
                Ok(count) => {
                    reading.sum.write(&buffer[..count]);
                    part.bytes += count as u64;
                }
                Err(error) => {
                    unread = Some(number);
                    tell_unread(&reading.file, &error);
                    self.reading = None;
                    break;
                }
            }
        }
        let mut position = vec![FILES];
        position.extend_from_slice(&number.to_be_bytes());
        part.next = Some(Bytes::from(position));
        let all: u64 = files.values().map(|file| file.bytes).sum();
        let done: u64 = files.range(..number).map(|(_, file)| file.bytes).sum();
        part.done_per_mille = (done * 500 / all.max(1)) as u16;
        (part, unread)
    }

    fn records(engine: &Engine, from: &[u8], bytes_max: u64) -> Result<Scrubbed, StoreError> {
        let mut part = engine.verify(from, bytes_max)?;
        if let Some(next) = part.next.take() {
            let mut position = vec![RECORDS];
            position.extend_from_slice(&next);
            let partition = next.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
            part.done_per_mille = 500 + (u32::from(partition) * 500 / (1 << 16)) as u16;
            part.next = Some(Bytes::from(position));
        } else {
            part.done_per_mille = 1_000;
        }
        Ok(part)
    }
}

/// Tables by rising number, and blob files after them.
fn files_of(keyspace: &Keyspace) -> BTreeMap<u64, EngineFile> {
    const BLOBS: u64 = 1 << 63;
    let version = keyspace.tree.current_version();
    let mut files = BTreeMap::new();
    let mut names_of_blobs: BTreeMap<u64, Vec<(Bytes, Bytes)>> = BTreeMap::new();
    for table in version.iter_tables() {
        let range = &table.metadata.key_range;
        let names = (Bytes::copy_from_slice(range.min()), Bytes::copy_from_slice(range.max()));
        for linked in table.list_blob_file_references().ok().flatten().unwrap_or_default() {
            names_of_blobs
                .entry(linked.blob_file_id)
                .or_default()
                .push(names.clone());
        }
        files.insert(
            table.metadata.id,
            EngineFile {
                path: table.path.to_path_buf(),
                sum: table.checksum().into_u128(),
                bytes: table.metadata.file_size,
                names: vec![names],
            },
        );
    }
    for blobs in version.blob_files.iter() {
        files.insert(
            BLOBS | blobs.id(),
            EngineFile {
                path: blobs.path().to_path_buf(),
                sum: blobs.checksum().into_u128(),
                bytes: std::fs::metadata(blobs.path()).map_or(0, |metadata| metadata.len()),
                names: names_of_blobs.remove(&blobs.id()).unwrap_or_default(),
            },
        );
    }
    files
}

fn is_current(keyspace: &Keyspace, number: u64) -> bool {
    files_of(keyspace).contains_key(&number)
}

fn tell_unread(file: &EngineFile, error: &std::io::Error) {
    tracing::error!(file = %file.path.display(), %error, "a file of the storage engine can't be read");
}

fn spoiled(file: &EngineFile, why: &str) -> Vec<Spoiled> {
    let name = file.path.display().to_string();
    tracing::error!(file = name, why, "a file of the storage engine is damaged");
    let names = file.names.iter();
    names
        .map(|(first, last)| Spoiled {
            first: first.clone(),
            last: last.clone(),
            file: name.clone(),
        })
        .collect()
}
