//! How long replies are that have not come yet, as far as one connection can tell: as long as the longest it has had of
//! late. A client that asks for many long values at once must not have all of them in memory before the first is sent.

/// What a connection expects before it has seen any reply: half of the longest value, so that 32 of them fill it.
const BYTES_AT_FIRST: usize = 512 << 10;
/// A shorter reply takes off one part in this many: after a hundred short ones the length is theirs.
const FORGOTTEN_PART: usize = 16;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplySize {
    bytes: usize,
}

impl Default for ReplySize {
    fn default() -> Self {
        Self { bytes: BYTES_AT_FIRST }
    }
}

impl ReplySize {
    /// The length to expect.
    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// A reply has come.
    pub fn note(&mut self, bytes: usize) {
        self.bytes = bytes.max(self.bytes - self.bytes.div_ceil(FORGOTTEN_PART));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reply_counts_at_once_and_is_forgotten_over_a_hundred_short_ones() {
        let mut size = ReplySize::default();
        for _ in 0..200 {
            size.note(5);
        }
        assert_eq!(size.bytes(), 5);
        size.note(1 << 20);
        assert_eq!(size.bytes(), 1 << 20);
        size.note(5);
        assert_eq!(size.bytes(), 15 << 16);
        for _ in 0..100 {
            size.note(5);
        }
        assert!(size.bytes() < 4 << 10, "{}", size.bytes());
    }
}
