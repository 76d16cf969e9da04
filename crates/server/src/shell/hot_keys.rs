//! The busiest keys of the last minute, by a count-min sketch with a short list of the greatest (Cormode and
//! Muthukrishnan, 2005): a few counters and at most a walk over the list for each request, whatever the number of keys.
//! Two sketches of half a minute each: the older one is forgotten when the younger one is full. Counts are never too low.

use bytes::Bytes;
use torc_core::id::BucketId;
use torc_core::time::Time;
use twox_hash::XxHash3_64;

/// Half of the time that is looked back on, in milliseconds.
const WINDOW_MS: u64 = 30_000;
/// Counters a row; with four rows an estimate is too high by more than 0.3 % of all requests once in 55 times.
const WIDTH: usize = 1 << 10;
const ROWS: usize = 4;
/// Keys that are remembered by name in each window.
const LISTED: usize = 32;
/// Keys that are shown.
const SHOWN: usize = 10;

/// A busy key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hot {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its partition key.
    pub key: Bytes,
    /// About how often it was asked for in the last half minute to minute; never too low.
    pub requests: u64,
}

#[derive(Clone, Debug)]
struct Listed {
    hash: u64,
    bucket: BucketId,
    key: Bytes,
    requests: u32,
}

#[derive(Clone, Debug)]
struct Window {
    counters: Box<[[u32; WIDTH]; ROWS]>,
    listed: Vec<Listed>,
    /// What a key must exceed to be listed. Most requests do not, and never walk over the list.
    least: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            counters: Box::new([[0; WIDTH]; ROWS]),
            listed: Vec::with_capacity(LISTED),
            least: 0,
        }
    }
}

impl Window {
    fn estimate(&self, hash: u64) -> u32 {
        let counts = self.counters.iter().zip(places(hash)).map(|(row, place)| row[place]);
        counts.min().unwrap_or(0)
    }

    fn note(&mut self, hash: u64, bucket: BucketId, key: &[u8]) {
        // Only the least counters rise: the others count other keys too (conservative update).
        let requests = self.estimate(hash).saturating_add(1);
        for (row, place) in self.counters.iter_mut().zip(places(hash)) {
            row[place] = row[place].max(requests);
        }
        if requests <= self.least {
            return;
        }
        let entry = || Listed {
            hash,
            bucket,
            // A slice of a read buffer would keep all of it.
            key: Bytes::copy_from_slice(key),
            requests,
        };
        if let Some(listed) = self.listed.iter_mut().find(|listed| listed.hash == hash) {
            listed.requests = requests;
        } else if self.listed.len() < LISTED {
            self.listed.push(entry());
        } else if let Some(least) = self.listed.iter_mut().min_by_key(|listed| listed.requests) {
            *least = entry();
        }
        if self.listed.len() == LISTED {
            self.least = self.listed.iter().map(|listed| listed.requests).min().unwrap_or(0);
        }
    }

    fn clear(&mut self) {
        self.counters.iter_mut().for_each(|row| row.fill(0));
        self.listed.clear();
        self.least = 0;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct HotKeys {
    younger: Window,
    older: Window,
    begun: Time,
}

impl HotKeys {
    /// A client asks for a key.
    pub fn note(&mut self, bucket: BucketId, key: &[u8], now: Time) {
        if now >= self.begun.plus_ms(WINDOW_MS) {
            std::mem::swap(&mut self.younger, &mut self.older);
            self.younger.clear();
            if now >= self.begun.plus_ms(2 * WINDOW_MS) {
                self.older.clear();
            }
            self.begun = now;
        }
        let hash = XxHash3_64::oneshot_with_seed(u64::from(bucket.0), key);
        self.younger.note(hash, bucket, key);
    }

    /// The busiest keys, the busiest first.
    pub fn busiest(&self, now: Time) -> Vec<Hot> {
        let is_old = |windows: u64| now >= self.begun.plus_ms(windows * WINDOW_MS);
        let windows: &[&Window] = match (is_old(1), is_old(2)) {
            (_, true) => &[],
            (true, false) => &[&self.younger],
            (false, false) => &[&self.younger, &self.older],
        };
        let mut seen: Vec<(u64, Hot)> = Vec::new();
        for listed in windows.iter().flat_map(|window| &window.listed) {
            if seen.iter().any(|known| known.0 == listed.hash) {
                continue;
            }
            let requests = windows
                .iter()
                .map(|window| u64::from(window.estimate(listed.hash)))
                .sum();
            let hot = Hot {
                bucket: listed.bucket,
                key: listed.key.clone(),
                requests,
            };
            seen.push((listed.hash, hot));
        }
        seen.sort_by_key(|(hash, hot)| (std::cmp::Reverse(hot.requests), *hash));
        seen.into_iter().take(SHOWN).map(|(_, hot)| hot).collect()
    }
}

/// A row's counter for a hash: sixteen bits of it each.
fn places(hash: u64) -> [usize; ROWS] {
    [hash, hash >> 16, hash >> 32, hash >> 48].map(|bits| bits as usize % WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: BucketId = BucketId(1);

    fn name(number: u64) -> Bytes {
        Bytes::from(format!("key-{number}"))
    }

    #[test]
    fn the_busiest_keys_are_found_among_a_hundred_thousand() {
        let mut hot = HotKeys::default();
        for round in 0..100_000_u64 {
            hot.note(BUCKET, &name(1_000 + round), Time(1));
            // Keys 0 to 9 are asked for every 50th, 100th, … time.
            for busy in 0..10 {
                if round % ((busy + 1) * 50) == 0 {
                    hot.note(BUCKET, &name(busy), Time(1));
                }
            }
        }
        let busiest = hot.busiest(Time(2));
        let first: Vec<Bytes> = busiest.iter().take(5).map(|hot| hot.key.clone()).collect();
        assert_eq!(first, (0..5).map(name).collect::<Vec<_>>());
        assert!((2_000..2_400).contains(&busiest[0].requests), "{}", busiest[0].requests);
        assert_eq!(busiest.len(), SHOWN);
    }

    #[test]
    fn keys_are_forgotten_after_a_minute_and_not_after_half_of_one() {
        let mut hot = HotKeys::default();
        let at = |seconds: u64| Time(1).plus_ms(seconds * 1_000);
        (0..7).for_each(|_| hot.note(BUCKET, &name(1), at(1)));
        (0..3).for_each(|_| hot.note(BUCKET, &name(1), at(40)));
        assert_eq!(hot.busiest(at(41))[0].requests, 10);
        hot.note(BUCKET, &name(2), at(75));
        let busiest = hot.busiest(at(75));
        assert_eq!((busiest[0].key.clone(), busiest[0].requests), (name(1), 3));
        assert!(hot.busiest(at(200)).is_empty(), "nobody asks any more");
    }

    #[test]
    fn the_same_key_of_two_buckets_is_two_keys() {
        let mut hot = HotKeys::default();
        hot.note(BucketId(1), &name(1), Time(1));
        hot.note(BucketId(2), &name(1), Time(1));
        assert_eq!(hot.busiest(Time(2)).len(), 2);
    }

    /// `cargo test --release -p torc --bin torc hot_keys -- --ignored --nocapture` prints what a request costs.
    #[test]
    #[ignore = "a measurement"]
    fn what_a_request_costs() {
        let mut hot = HotKeys::default();
        let keys: Vec<Bytes> = (0..10_000).map(name).collect();
        let begun = std::time::Instant::now();
        let rounds = 5_000_000_usize;
        for round in 0..rounds {
            // Mostly one of a few keys, else any.
            let at = if round % 3 == 0 {
                round * 7_919 % keys.len()
            } else {
                round % 20
            };
            hot.note(BUCKET, &keys[at], Time(1));
        }
        println!("{:.1} ns a request", begun.elapsed().as_nanos() as f64 / rounds as f64);
    }
}
