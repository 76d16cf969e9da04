//! Which operation comes next: the read/write mixes, YCSB's among them.
//!
//! A 50 % reads, 50 % updates · B 95/5 · C reads only · D 95 % reads of the latest, 5 % inserts · F 50 % reads, 50 % read-modify-write.
//! (E is scans, which the load generator does not send.)

use clap::ValueEnum;
use serde::Serialize;

use super::keys::Distribution;
use super::random::Random;

/// A kind of operation; each has its own histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Read one key.
    Get,
    /// Write one existing key.
    Set,
    /// Write a key that did not exist.
    Insert,
    /// Read one key, then write it: one operation of two requests.
    Rmw,
}

impl Kind {
    /// All kinds, in the order of their histograms.
    pub const ALL: [Kind; 4] = [Kind::Get, Kind::Set, Kind::Insert, Kind::Rmw];

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Insert => "insert",
            Kind::Rmw => "rmw",
        }
    }
}

/// A mix of operations, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mix {
    /// Reads only, uniform keys
    Get,
    /// Writes only, uniform keys
    Set,
    /// Half reads, half updates, zipf keys
    YcsbA,
    /// 95 % reads, 5 % updates, zipf keys
    YcsbB,
    /// Reads only, zipf keys
    YcsbC,
    /// 95 % reads of the latest keys, 5 % inserts
    YcsbD,
    /// Half reads, half read-modify-writes, zipf keys
    YcsbF,
}

impl Mix {
    /// The key distribution that belongs to the mix unless another is asked for.
    pub fn default_distribution(self) -> Distribution {
        match self {
            Mix::Get | Mix::Set => Distribution::Uniform,
            Mix::YcsbA | Mix::YcsbB | Mix::YcsbC | Mix::YcsbF => Distribution::Zipf,
            Mix::YcsbD => Distribution::Latest,
        }
    }

    /// The percentage of operations that are reads, and what the others are.
    fn shares(self) -> (u64, Kind) {
        match self {
            Mix::Get | Mix::YcsbC => (100, Kind::Set),
            Mix::Set => (0, Kind::Set),
            Mix::YcsbA => (50, Kind::Set),
            Mix::YcsbB => (95, Kind::Set),
            Mix::YcsbD => (95, Kind::Insert),
            Mix::YcsbF => (50, Kind::Rmw),
        }
    }

    /// The next operation's kind.
    pub fn draw(self, random: &mut Random) -> Kind {
        match self.shares() {
            (100, _) => Kind::Get,
            (0, other) => other,
            (reads, other) => {
                if random.below(100) < reads {
                    Kind::Get
                } else {
                    other
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::{Kind, Mix};

    #[test]
    fn the_shares_are_those_of_ycsb() {
        for (mix, reads, other) in [
            (Mix::Get, 1.0, Kind::Set),
            (Mix::Set, 0.0, Kind::Set),
            (Mix::YcsbA, 0.5, Kind::Set),
            (Mix::YcsbB, 0.95, Kind::Set),
            (Mix::YcsbC, 1.0, Kind::Set),
            (Mix::YcsbD, 0.95, Kind::Insert),
            (Mix::YcsbF, 0.5, Kind::Rmw),
        ] {
            let mut random = Random::new(9);
            let kinds: Vec<Kind> = (0..100_000).map(|_| mix.draw(&mut random)).collect();
            let share = kinds.iter().filter(|kind| **kind == Kind::Get).count() as f64 / kinds.len() as f64;
            assert!((share - reads).abs() < 0.01, "{mix:?}: {share}");
            assert!(kinds.iter().all(|kind| *kind == Kind::Get || *kind == other), "{mix:?}");
        }
    }
}
