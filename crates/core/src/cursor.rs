//! Reading bytes that came from a disk, a peer or a client: every read is bounded by what is there, and a number has one
//! spelling only, so that what was read can be compared and hashed byte by byte. Numbers of unknown size are LEB128.

use smallvec::SmallVec;

/// What a [`Cursor`] found wrong: the bytes end too early, or a number is not in its shortest form. Nothing more can be
/// said about bytes that passed their checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bytes are malformed")]
pub(crate) struct Malformed;

/// A position in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.bytes[self.at..].get(..count).ok_or(Malformed)?;
        self.at += count;
        Ok(taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// Two bytes, little-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A LEB128 number in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(value) } else { Err(Malformed) };
            }
        }
        Err(Malformed)
    }

    /// A count of items of at least `item_bytes` each: one that can't fit into what is left is refused before anything
    /// is allocated for it.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        if count > self.left() / item_bytes {
            Err(Malformed)
        } else {
            Ok(count)
        }
    }

    /// A length, and where that many bytes lie.
    pub(crate) fn range(&mut self) -> Result<std::ops::Range<usize>, Malformed> {
        let length = self.count(1)?;
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N).map(|bytes| bytes.try_into().expect("taken as N bytes"))
    }
}

/// Where bytes are written: a `Vec` for records, a `SmallVec` on the stack for tokens.
pub(crate) trait Sink {
    /// Appends one byte.
    fn push(&mut self, byte: u8);
    /// Appends bytes.
    fn extend_from_slice(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn push(&mut self, byte: u8) {
        Self::push(self, byte);
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        Self::extend_from_slice(self, bytes);
    }
}

impl<const N: usize> Sink for SmallVec<[u8; N]> {
    fn push(&mut self, byte: u8) {
        Self::push(self, byte);
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        Self::extend_from_slice(self, bytes);
    }
}

/// Writes a number in LEB128, in its shortest form.
pub(crate) fn push_varint(out: &mut impl Sink, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and the bytes.
pub(crate) fn push_bytes(out: &mut impl Sink, bytes: &[u8]) {
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// CRC32C (Castagnoli), the checksum of everything that Torc stores or sends.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for spelling in [
            &[0x80, 0x00][..],
            &[0xff, 0x80, 0x00],
            &[0x80; 10],
            &[0xff; 10],
            &[0x80],
            &[],
        ] {
            assert_eq!(Cursor::new(spelling).varint(), Err(Malformed), "{spelling:02x?}");
        }
        let mut longest = vec![0xff; 9];
        longest.push(1);
        assert_eq!(Cursor::new(&longest).varint(), Ok(u64::MAX));
    }

    #[test]
    fn a_count_that_cannot_fit_is_refused_before_anything_is_allocated() {
        let mut bytes = Vec::new();
        push_varint(&mut bytes, 3);
        bytes.extend_from_slice(&[0; 5]);
        assert_eq!(Cursor::new(&bytes).count(2), Err(Malformed));
        bytes.push(0);
        assert_eq!(Cursor::new(&bytes).count(2), Ok(3));
    }

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn a_number_gives_itself_back(value: u64) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.left(), 0);
        }
    }
}
