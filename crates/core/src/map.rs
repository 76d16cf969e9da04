//! The only hash map of the core: a fixed hasher, so that two runs of one seed visit entries in one order. Keys come
//! from a bounded set of requests in flight, so a crafted collision costs a bounded scan.
#![expect(clippy::disallowed_types, reason = "the alias below has a fixed hasher")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with a deterministic hasher.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FoldHasher>>;

/// Folds eight bytes at a time with one widening multiply.
#[derive(Clone, Default)]
pub struct FoldHasher {
    state: u64,
}

impl FoldHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.state = (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(23);
    }
}

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.state.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ (self.state >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.fold(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let rest = chunks.remainder();
        let mut last = [0_u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }
}
