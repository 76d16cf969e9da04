//! One batch of the engine's journal, as fjall 3.1 writes it (`journal/entry.rs` there). All integers are little-endian.
//!
//! ```text
//! start: | 01 | items u32 | sequence number u64 |
//! item:  | 02 | value type u8 | compression u8 | keyspace u64 | key bytes u16 | value bytes u32 | stored bytes u32 | key | value |
//! clear: | 04 | keyspace u64 |
//! end:   | 03 | XXH3-64 of all items u64 | "FJL" 03 |
//! ```

use std::io::Read;

use twox_hash::XxHash3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";
/// Nothing that we write is near this; a length above it is not a length.
const VALUE_BYTES_MAX: u32 = 1 << 30;

/// A whole batch whose checksum matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    /// Its place in the order of writes.
    pub sequence: u64,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// Why no batch was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Here the journal ends: nothing more, or the zeros that it was filled with when it was created.
    End,
    /// Not the bytes of a batch.
    Bad(&'static str),
}

/// Reads one batch from where `source` stands.
pub(crate) fn read_batch(source: &mut impl Read) -> Result<Batch, Stop> {
    let mut reader = Reader {
        source,
        bytes: 0,
        summed: Vec::new(),
    };
    let mut first = [0];
    match reader.source.read_exact(&mut first) {
        Ok(()) => reader.bytes += 1,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(Stop::End),
        Err(_) => return Err(Stop::Bad("the file can't be read")),
    }
    match first[0] {
        0 => return Err(Stop::End),
        START => {}
        _ => return Err(Stop::Bad("no batch begins here")),
    }
    let items = u32::from_le_bytes(reader.take()?);
    let sequence = u64::from_le_bytes(reader.take()?);
    for _ in 0..items {
        let [tag] = reader.take_summed()?;
        match tag {
            ITEM => reader.skip_item()?,
            CLEAR => {
                let _keyspace: [u8; 8] = reader.take_summed()?;
            }
            _ => return Err(Stop::Bad("a batch has fewer items than it says")),
        }
    }
    let [tag] = reader.take()?;
    if tag != END {
        return Err(Stop::Bad("a batch does not end where it should"));
    }
    let expected = u64::from_le_bytes(reader.take()?);
    if reader.take::<4>()? != MAGIC {
        return Err(Stop::Bad("a batch has no end mark"));
    }
    if XxHash3_64::oneshot(&reader.summed) != expected {
        return Err(Stop::Bad("a checksum does not match"));
    }
    Ok(Batch {
        sequence,
        bytes: reader.bytes,
    })
}

struct Reader<'a, R> {
    source: &'a mut R,
    bytes: u64,
    /// What the checksum covers.
    summed: Vec<u8>,
}

impl<R: Read> Reader<'_, R> {
    fn skip_item(&mut self) -> Result<(), Stop> {
        let [value_type, compression] = self.take_summed()?;
        let _keyspace: [u8; 8] = self.take_summed()?;
        let key_bytes = u16::from_le_bytes(self.take_summed()?);
        let value_bytes = u32::from_le_bytes(self.take_summed()?);
        let stored_bytes = u32::from_le_bytes(self.take_summed()?);
        if value_type > 4 || compression > 1 {
            return Err(Stop::Bad("an item is of no known kind"));
        }
        let is_plain = compression == 0;
        if stored_bytes > VALUE_BYTES_MAX || (is_plain && value_bytes != stored_bytes) {
            return Err(Stop::Bad("an item has an impossible length"));
        }
        self.skip_summed(usize::from(key_bytes) + stored_bytes as usize)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.source
            .read_exact(&mut bytes)
            .map_err(|_| Stop::Bad("a batch is cut short"))?;
        self.bytes += N as u64;
        Ok(bytes)
    }

    fn take_summed<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.take::<N>()?;
        self.summed.extend_from_slice(&bytes);
        Ok(bytes)
    }

    fn skip_summed(&mut self, mut length: usize) -> Result<(), Stop> {
        let mut buffer = [0; 4_096];
        while length > 0 {
            let part = &mut buffer[..length.min(4_096)];
            self.source
                .read_exact(part)
                .map_err(|_| Stop::Bad("a batch is cut short"))?;
            self.summed.extend_from_slice(part);
            self.bytes += part.len() as u64;
            length -= part.len();
        }
        Ok(())
    }
}
