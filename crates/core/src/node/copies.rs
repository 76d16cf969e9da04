//! Where scrub, rebuild and the replica meet: copies that can't be relied on are marked, pulled from the other homes, and
//! counted again.

use std::sync::Arc;

use super::Node;
use crate::bucket::{Bucket, Durability, Mode, StorageClass};
use crate::coordinator::mend::Mend;
use crate::coordinator::{Meta, Operation, Origin};
use crate::effect::Notice;
use crate::id::BucketId;
use crate::limits::TIMEOUT_MS_DEFAULT;
use crate::rebuild;
use crate::scrub;
use crate::storage::{BootState, COPIES_KNOWN, Meta as StoredMeta, Spoiled, StoreOp};

impl Node {
    /// Mends damaged records from the other homes.
    pub(super) fn mend(&mut self) {
        for key in self.site.damage.take_due(self.site.now.time) {
            let Some(id) = self.operations.reserve(usize::MAX) else {
                continue;
            };
            let deadline = self.site.now.time.plus_ms(u64::from(TIMEOUT_MS_DEFAULT));
            let meta = Meta {
                id,
                origin: Origin::Nobody,
                deadline,
            };
            match Mend::start(meta, key, &mut self.site) {
                Some(mend) => {
                    self.operations.insert(id, Operation::Mend(Box::new(mend)));
                    self.site.deadlines.insert(deadline, id);
                }
                None => self.operations.remove(id),
            }
        }
    }

    /// A file of the store is damaged: the copies that may have records in it count for nothing from now on, and once that
    /// is durable the store gives the file up. Without it older versions may show, so nothing of this life is signed again.
    pub(super) fn give_up(&mut self, spoiled: Spoiled) {
        let (buckets, can_rebuild) = scrub::touched(&spoiled, &self.site);
        let file = spoiled.file.clone();
        self.site.notice(Notice::Spoiled { file, can_rebuild });
        // Without other copies what can still be read of the file is all there is.
        if !can_rebuild || buckets.is_empty() {
            return;
        }
        self.site.new_life("a file of the store is damaged");
        let mut last = None;
        for &bucket in &buckets {
            self.rebuild.forget(bucket);
            self.replica.set_rebuilding(bucket, true);
            self.site.trees.forget(bucket);
            rebuild::announce(bucket, true, &mut self.site);
            last = Some(
                self.site
                    .ask_store(StoreOp::PutMeta(StoredMeta::Rebuilding(bucket, true))),
            );
        }
        if let Some(last) = last {
            self.scrub.discard_after(last, spoiled, buckets);
        }
    }

    /// Pulls copies that are marked already.
    pub(super) fn pull(&mut self, buckets: &[BucketId]) {
        for &bucket in buckets {
            if let Some(bucket) = self.site.bucket(bucket)
                && !self.scrub.is_discarding(bucket.id)
                && self.rebuild.begin(&bucket, &self.site)
            {
                self.complete_rebuild(bucket.id);
            }
        }
    }

    pub(super) fn begin_rebuild(&mut self, bucket: &Bucket) {
        if self.scrub.is_discarding(bucket.id) {
            return;
        }
        if self.rebuild.begin(bucket, &self.site) {
            return;
        }
        self.replica.set_rebuilding(bucket.id, true);
        self.site
            .ask_store(StoreOp::PutMeta(StoredMeta::Rebuilding(bucket.id, true)));
        rebuild::announce(bucket.id, true, &mut self.site);
    }

    pub(super) fn complete_rebuild(&mut self, bucket: BucketId) {
        self.replica.set_rebuilding(bucket, false);
        // What the copy held before may have been given up, or forgotten.
        self.site.trees.forget(bucket);
        self.site
            .ask_store(StoreOp::PutMeta(StoredMeta::Rebuilding(bucket, false)));
        rebuild::announce(bucket, false, &mut self.site);
    }

    /// Asks for the next pages; a bucket is complete once all of them are durable here.
    pub(super) fn go_on_rebuilding(&mut self) {
        self.rebuild.go_on(&mut self.site);
        if self.replica.is_merging_rebuilt() {
            return;
        }
        for bucket in self.rebuild.take_done() {
            let has_missed = self.replica.take_missed(bucket);
            match self.site.bucket(bucket).filter(|_| has_missed) {
                Some(bucket) => self.rebuild.begin_again(&bucket, &self.site),
                None => self.complete_rebuild(bucket),
            }
        }
    }

    pub(super) fn rebuild_everything(&mut self) {
        let buckets: Vec<Arc<Bucket>> = self.site.catalog.iter().cloned().collect();
        for bucket in buckets {
            self.begin_rebuild(&bucket);
        }
    }
}

/// Whether a bucket's copy can't be relied on after this boot (RULINGS 19).
pub(super) fn must_rebuild(bucket: &Bucket, boot: &BootState) -> bool {
    let unclean = boot.marker.is_none();
    let is_new = !boot.rebuilding.contains(&COPIES_KNOWN);
    let forgets = bucket.storage == StorageClass::Memory;
    let may_have_lost = bucket.durability == Durability::Buffered && unclean;
    bucket.mode == Mode::Available && (is_new || forgets || may_have_lost || boot.rebuilding.contains(&bucket.id))
}
