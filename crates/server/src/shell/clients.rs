//! The client connections of a node: how many there may be, on which shard each is, and who they are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// All client connections.
#[derive(Debug)]
pub struct Clients {
    max: usize,
    next_id: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    /// By shard.
    open: Box<[AtomicUsize]>,
    /// Redis clients by number, with their addresses.
    redis: Mutex<BTreeMap<u64, String>>,
}

/// A connection that was let in.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    /// Its number.
    pub id: u64,
    /// Who serves it.
    pub shard: usize,
}

impl Clients {
    /// None yet; at most `max` on `shards` shards, of which there is at least one.
    pub fn new(max: usize, shards: usize) -> Self {
        Self {
            max,
            next_id: AtomicU64::new(1),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            open: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            redis: Mutex::default(),
        }
    }

    /// Numbers a new connection and says who serves it; `None` if there are too many. It has to be removed when it ends. One
    /// thread alone lets clients in.
    pub fn admit(&self) -> Option<Admitted> {
        if self.open() >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let shard = self.least_busy();
        self.open[shard].fetch_add(1, Ordering::Relaxed);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Some(Admitted { id, shard })
    }

    /// The shard with the fewest connections. The first, which runs the core, serves clients only if it is alone.
    fn least_busy(&self) -> usize {
        let first = usize::from(self.open.len() > 1);
        (first..self.open.len())
            .min_by_key(|&shard| self.open[shard].load(Ordering::Relaxed))
            .unwrap_or(0)
    }

    /// A connection ended.
    pub fn remove(&self, Admitted { id, shard }: Admitted) {
        self.open[shard].fetch_sub(1, Ordering::Relaxed);
        self.names().remove(&id);
    }

    /// Keeps a Redis client in the list.
    pub fn add_redis(&self, id: u64, address: String) {
        self.names().insert(id, address);
    }

    /// The Redis clients: number and address.
    pub fn redis(&self) -> Vec<(u64, String)> {
        self.names()
            .iter()
            .map(|(&id, address)| (id, address.clone()))
            .collect()
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.open_by_shard().sum()
    }

    /// Open connections of each shard.
    pub fn open_by_shard(&self) -> impl Iterator<Item = usize> + '_ {
        self.open.iter().map(|open| open.load(Ordering::Relaxed))
    }

    /// Connections accepted and refused so far.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.accepted.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, String>> {
        self.redis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_and_bounded() {
        let clients = Clients::new(4, 3);
        let admitted: Vec<Admitted> = std::iter::from_fn(|| clients.admit()).collect();
        assert_eq!(clients.open_by_shard().collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!(clients.counts(), (4, 1));
        // Whoever leaves makes room on the same shard.
        clients.remove(admitted[1]);
        let next = clients.admit().expect("there is room for one");
        assert_eq!(next.shard, admitted[1].shard);
        assert!(
            admitted.iter().all(|other| other.id != next.id),
            "no number is used twice"
        );
    }

    #[test]
    fn a_single_shard_serves_all() {
        let clients = Clients::new(2, 1);
        assert_eq!(clients.admit().map(|admitted| admitted.shard), Some(0));
    }
}
