//! Which key an operation touches: uniform, zipf (hot keys scattered over the key space), or latest (the newest are hottest).
//!
//! Keys are numbers; a key's name is the prefix and twelve decimal digits, as redis-benchmark writes them.

use clap::ValueEnum;
use serde::Serialize;

use super::random::Random;
use super::scatter::Scatter;
use super::zipf::Zipf;

/// YCSB's skew.
pub const ZIPF_EXPONENT: f64 = 0.99;

/// How many digits a key's number has.
pub const KEY_DIGITS: usize = 12;

/// The largest key count that the digits can name.
pub const KEYS_MAX: u64 = 1_000_000_000_000;

/// The shape of popularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Every key equally often
    Uniform,
    /// A few keys very often (exponent 0.99), spread over the key space
    Zipf,
    /// The keys inserted last most often
    Latest,
}

/// Draws keys of one worker.
#[derive(Debug, Clone)]
pub enum KeyChooser {
    /// Any of the first `n` keys.
    Uniform(u64),
    /// A scattered zipf rank.
    Zipf(Zipf, Scatter),
    /// A zipf distance from the newest key.
    Latest(Zipf),
}

impl KeyChooser {
    /// A chooser over the keys 0..`count` (at least 1).
    pub fn new(distribution: Distribution, count: u64) -> KeyChooser {
        match distribution {
            Distribution::Uniform => KeyChooser::Uniform(count),
            Distribution::Zipf => KeyChooser::Zipf(Zipf::new(count, ZIPF_EXPONENT), Scatter::new(count)),
            Distribution::Latest => KeyChooser::Latest(Zipf::new(count, ZIPF_EXPONENT)),
        }
    }

    /// The next key; `newest_count` keys exist by now (only `latest` looks at it).
    pub fn draw(&mut self, random: &mut Random, newest_count: u64) -> u64 {
        match self {
            KeyChooser::Uniform(count) => random.below(*count),
            KeyChooser::Zipf(zipf, scatter) => scatter.place(zipf.draw(random)),
            KeyChooser::Latest(zipf) => {
                zipf.grow(newest_count);
                newest_count - 1 - zipf.draw(random)
            }
        }
    }
}

/// Appends a key's digits.
pub fn append_digits(out: &mut Vec<u8>, key: u64) {
    let mut digits = [b'0'; KEY_DIGITS];
    let mut rest = key;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::{Distribution, KeyChooser, append_digits};

    #[test]
    fn the_latest_keys_are_drawn_most_and_follow_inserts() {
        let mut chooser = KeyChooser::new(Distribution::Latest, 1_000);
        let mut random = Random::new(1);
        for newest_count in [1_000, 5_000] {
            let draws: Vec<u64> = (0..10_000).map(|_| chooser.draw(&mut random, newest_count)).collect();
            assert!(draws.iter().all(|key| *key < newest_count));
            let newest = draws.iter().filter(|key| **key == newest_count - 1).count();
            let older = draws.iter().filter(|key| **key == newest_count - 11).count();
            assert!(newest > 5 * older, "{newest} against {older}");
        }
    }

    #[test]
    fn zipf_keys_have_the_same_hot_key_in_every_worker_and_uniform_ones_none() {
        let hottest = |distribution, seed| {
            let mut chooser = KeyChooser::new(distribution, 1_000);
            let mut random = Random::new(seed);
            let mut counts = vec![0u32; 1_000];
            for _ in 0..20_000 {
                counts[chooser.draw(&mut random, 1_000) as usize] += 1;
            }
            let most = *counts.iter().max().expect("not empty");
            (counts.iter().position(|count| *count == most), most)
        };
        let (first, many) = hottest(Distribution::Zipf, 1);
        assert_eq!(first, hottest(Distribution::Zipf, 2).0);
        assert!(many > 2_000, "{many}");
        assert!(hottest(Distribution::Uniform, 1).1 < 60);
    }

    #[test]
    fn a_key_has_twelve_digits() {
        for (key, name) in [
            (0, "000000000000"),
            (42, "000000000042"),
            (999_999_999_999, "999999999999"),
        ] {
            let mut out = Vec::new();
            append_digits(&mut out, key);
            assert_eq!(out, name.as_bytes());
        }
    }
}
