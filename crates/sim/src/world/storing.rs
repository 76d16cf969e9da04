//! What nodes ask of their stores: when it is done, what others learn of it, and which reads fail.

use std::sync::Arc;

use torc_core::bucket::StorageClass;
use torc_core::causality::Record;
use torc_core::effect::Input;
use torc_core::id::Token;
use torc_core::key::RecordKey;
use torc_core::storage::{Meta, StoreOp, StoreReply};

use crate::world::disk::SyncMode;
use crate::world::{Event, Happening, World};

impl World {
    pub(super) fn store(&mut self, host: usize, token: Token, op: StoreOp) {
        let boot = self.hosts[host].boot;
        match op {
            StoreOp::Get { .. } | StoreOp::Scan { .. } | StoreOp::Scrub { .. } | StoreOp::Discard(_) => {
                let at = self.now_us + self.chance.below(self.scenario.disk.read_us_max + 1);
                self.schedule(at, Event::Read(host, boot, token, op));
            }
            StoreOp::Commit { .. } | StoreOp::PutMeta(_) => {
                if self.scenario.load.reads_first > 0 {
                    self.note_asked(&op);
                }
                if self.hosts[host].disk.ask(token, op) {
                    let at = self.now_us + self.chance.below(50);
                    self.schedule(at, Event::Commit(host, boot));
                }
            }
        }
    }

    fn note_asked(&mut self, op: &StoreOp) {
        for (key, record) in records_of(op) {
            if record.as_siblings().is_some() {
                self.happenings.push(Happening::Asked(key.clone(), Arc::clone(record)));
            }
        }
    }

    /// True if this read of a disk fails now, although nothing there is damaged.
    pub(super) fn is_read_lost(&mut self, host: usize, op: &StoreOp) -> bool {
        let is_of_disk = match op {
            StoreOp::Get { class, .. } | StoreOp::Scan { class, .. } => *class == StorageClass::Disk,
            StoreOp::Scrub { .. } => true,
            StoreOp::Discard(_) | StoreOp::Commit { .. } | StoreOp::PutMeta(_) => false,
        };
        let percent = self.hosts[host].disk.failing_reads;
        is_of_disk && percent > 0 && self.read_chance.percent(percent)
    }

    pub(super) fn commit(&mut self, host: usize, boot: u32) {
        if !self.is_boot(host, boot) {
            return;
        }
        let batch = self.hosts[host].disk.apply_batch();
        if batch.must_sync {
            let (low, high) = self.scenario.disk.sync_us;
            let more = match self.hosts[host].disk.mode {
                SyncMode::Slow(us) => us,
                SyncMode::Honest | SyncMode::Lying | SyncMode::Failing => 0,
            };
            let at = self.now_us + self.chance.between(low, high) + more;
            self.schedule(at, Event::Synced(host, boot));
        }
        for (key, record) in batch.removed {
            self.happenings.push(Happening::Removed(host, key, record));
        }
        for changed in batch.kept {
            self.happenings.push(Happening::Kept(host, changed));
        }
        for hint in batch.delivered {
            self.happenings.push(Happening::Delivered(host, hint));
        }
        for changed in batch.changed {
            self.happenings.push(Happening::Applied(host, changed));
        }
        self.answer(host, batch.answers);
    }

    pub(super) fn answer(&mut self, host: usize, answers: Vec<(Token, StoreReply)>) {
        for (token, reply) in answers {
            self.step(host, Input::Stored { token, reply });
        }
    }
}

/// The records that a store effect would write.
fn records_of(op: &StoreOp) -> Vec<(&RecordKey, &Arc<Record>)> {
    match op {
        StoreOp::Commit { writes, .. } => {
            let records = writes.iter().map(|write| (&write.key, write.record.as_ref()));
            records
                .filter_map(|(key, record)| record.map(|record| (key, record)))
                .collect()
        }
        StoreOp::PutMeta(Meta::Hint(hint)) => vec![(&hint.key, &hint.record)],
        StoreOp::PutMeta(_)
        | StoreOp::Get { .. }
        | StoreOp::Scan { .. }
        | StoreOp::Scrub { .. }
        | StoreOp::Discard(_) => Vec::new(),
    }
}
