//! What a put that reads first has seen: its client does not know. What its new version replaced shows when it is signed, and
//! of that it is taken to have seen what a read of some home could find at that moment.

use torc_core::causality::{Dot, Record, SiblingsRecord};

use crate::history::{Fate, History, KeyId, Put, PutId, covers};
use crate::world::World;

/// What a new version replaced when it was signed.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// All puts that its record has seen and does not show.
    pub covered: Vec<PutId>,
    /// Those of them that a read could find at that moment.
    pub found: Vec<PutId>,
}

impl History {
    /// Somebody has signed this record, for a put that was sent at `since_us`: what its newest version replaced.
    #[must_use]
    pub fn signature_of(&self, key: KeyId, record: &SiblingsRecord, since_us: u64, world: &World) -> Signature {
        // What was found may have been lost before the put was signed.
        let was_lost = self.keys[key].lost_at_us.is_some_and(|at| at >= since_us);
        let is_replaced = |dot: &Dot| covers(&record.seen, *dot) && record.siblings.iter().all(|other| other.0 != *dot);
        let mut signature = Signature::default();
        for &id in &self.keys[key].puts {
            let mut dots = self.puts[id].dots.iter().filter(|dot| is_replaced(dot)).peekable();
            if dots.peek().is_none() {
                continue;
            }
            signature.covered.push(id);
            if was_lost || dots.any(|dot| self.can_be_found(key, *dot, world)) {
                signature.found.push(id);
            }
        }
        signature
    }

    /// True if a read of some home, or of who stands in for one, can find this version: it answers what is durable.
    fn can_be_found(&self, key: KeyId, dot: Dot, world: &World) -> bool {
        let key = &self.keys[key];
        let shows = |record: &Record| {
            let siblings = record.as_siblings().map_or(&[][..], |record| &record.siblings[..]);
            siblings.iter().any(|sibling| sibling.0 == dot)
        };
        let at_home = |&home: &usize| world.believed(home, &key.name).is_some_and(|record| shows(record));
        let kept = |&host: &usize| world.kept(host, &key.name).any(shows);
        key.homes.iter().any(at_home) || key.stand_ins.iter().any(kept)
    }

    /// Something was lost: is there still a record that has seen, and does not show, all that each put which read first had replaced? Only its own
    /// record says so, and what merged that: the context that its client goes on with names the put alone.
    pub fn look_for_covers(&mut self, key: KeyId, world: &World) {
        for id in self.keys[key].puts.clone() {
            let put = &self.puts[id];
            let is_gone = put.reads_first && put.fate == Fate::Acknowledged && !self.is_cover_held(id, world);
            self.puts[id].is_cover_void |= is_gone;
        }
    }

    fn is_cover_held(&self, id: PutId, world: &World) -> bool {
        let (put, key) = (&self.puts[id], &self.keys[self.puts[id].key]);
        let covers_all = |record: &Record| {
            let Some(record) = record.as_siblings() else {
                return false;
            };
            let mut dots = put.saw.iter().flat_map(|&old| &self.puts[old].dots);
            dots.all(|dot| covers(&record.seen, *dot) && record.siblings.iter().all(|shown| shown.0 != *dot))
        };
        let at_home = |&home: &usize| world.believed(home, &key.name).is_some_and(|record| covers_all(record));
        let kept = |&host: &usize| world.kept(host, &key.name).any(covers_all);
        key.homes.iter().any(at_home) || key.stand_ins.iter().any(kept)
    }

    /// A put that read first has replaced these.
    pub fn found(&mut self, id: PutId, found: &[PutId]) {
        for &seen in found {
            if seen != id && !self.puts[id].saw.contains(&seen) {
                self.puts[id].saw.push(seen);
                self.puts[seen].seen_by.push(id);
            }
        }
    }

    /// When the first of the deletes was sent that read first and of which nobody knows what they have signed.
    #[must_use]
    pub fn first_unclaimed_us(&self, key: KeyId) -> Option<u64> {
        let puts = self.keys[key].puts.iter().map(|&put| &self.puts[put]);
        puts.filter(|put| is_unclaimed(put)).map(|put| put.started_us).min()
    }

    /// True if a tombstone that may be one of a delete that read first replaced what its read could find, this put too.
    #[must_use]
    pub fn may_be_found(&self, id: PutId) -> bool {
        let key = self.puts[id].key;
        let mut tombstones = self.unclaimed.iter().filter(|((of, _), _)| *of == key);
        tombstones.any(|(_, signature)| signature.found.contains(&id)) && self.first_unclaimed_us(key).is_some()
    }
}

/// True for a delete that read first and may have signed a tombstone that nobody knows to be its own.
fn is_unclaimed(put: &Put) -> bool {
    let is_known = put.fate == Fate::Acknowledged && put.attempts == 1;
    put.reads_first && put.is_delete && put.may_exist() && !is_known
}
