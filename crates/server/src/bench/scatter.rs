//! A fixed permutation of 0..n, so that the hot ranks of a distribution are spread over the whole key space.
//!
//! YCSB hashes the rank modulo n, which leaves a third of the keys undrawn and doubles others; a permutation keeps the
//! distribution exact. Mixing steps that are reversible on b bits (xor-shift, odd multiplication), walked until below n.

/// A permutation of the numbers below a count.
#[derive(Debug, Clone, Copy)]
pub struct Scatter {
    count: u64,
    bits: u32,
}

impl Scatter {
    /// The permutation of the numbers below `count` (at least 1).
    pub fn new(count: u64) -> Scatter {
        Scatter {
            count,
            bits: (64 - (count - 1).leading_zeros()).max(2),
        }
    }

    /// Where `rank` (below the count) lands.
    pub fn place(&self, rank: u64) -> u64 {
        let mut value = rank;
        // The mixing permutes 0..2^bits, less than twice the count: fewer than two rounds on average, and a cycle always returns.
        loop {
            value = self.mix(value);
            if value < self.count {
                return value;
            }
        }
    }

    fn mix(&self, value: u64) -> u64 {
        let mask = if self.bits == 64 {
            u64::MAX
        } else {
            (1 << self.bits) - 1
        };
        let shift = self.bits / 2;
        let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15) & mask;
        mixed ^= mixed >> shift;
        mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) & mask;
        mixed ^= mixed >> shift;
        mixed = mixed.wrapping_mul(0x94d0_49bb_1331_11eb) & mask;
        mixed ^ (mixed >> shift)
    }
}

#[cfg(test)]
mod tests {
    use super::Scatter;

    #[test]
    fn every_key_is_hit_exactly_once() {
        for count in [1, 2, 3, 5, 64, 1_000, 1_024, 1_025, 70_001] {
            let scatter = Scatter::new(count);
            let mut seen = vec![false; count as usize];
            for rank in 0..count {
                let place = scatter.place(rank) as usize;
                assert!(!seen[place], "{place} twice of {count}");
                seen[place] = true;
            }
        }
    }

    #[test]
    fn the_hottest_ranks_are_not_neighbours() {
        let count = 1_000_000_000;
        let scatter = Scatter::new(count);
        let mut places: Vec<u64> = (0..1_000).map(|rank| scatter.place(rank)).collect();
        places.sort_unstable();
        // A thousand places cut the key space into tenths of about a hundred each.
        for tenth in 0..10 {
            let inside = places.iter().filter(|place| **place / (count / 10) == tenth).count();
            assert!((60..150).contains(&inside), "{inside} in tenth {tenth}");
        }
    }
}
