//! The scrub: reads everything on disk past every cache, a part at a time within a bound of bytes a second, for ever. A
//! damaged record is noted and mended from the other homes; of damage beyond records the copies that may have records in
//! it are marked as being rebuilt, durably, before the store gives the damaged file up (RULINGS 19).
//!
//! ```text
//! waiting ──a day since the last pass began, or asked for──▶ passing ──part by part──▶ waiting
//! spoiled file: copies marked as rebuilding ──durable──▶ file discarded ──done──▶ copies pulled from the other homes
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::background::{Runs, Work};
use crate::bucket::{Mode, StorageClass};
use crate::effect::Notice;
use crate::id::{BucketId, PartitionId, Token};
use crate::key::RecordKey;
use crate::site::Site;
use crate::storage::{Meta, ScrubMemory, Scrubbed, Spoiled, StoreOp, StoreReply};
use crate::time::{Time, Wall};

/// A pass begins this long after the one before began, in milliseconds.
const PASS_PERIOD_MS: u64 = 24 * 60 * 60 * 1_000;
/// Nothing is read this soon after a boot, when recovery, rebuilds and clients need the disk, in milliseconds.
const BOOT_PAUSE_MS: u64 = 60_000;
/// A pass that damage calls for begins at most this often, in milliseconds.
const CALLED_PERIOD_MS: u64 = 60_000;
/// Where the pass is, is written down this often, in milliseconds.
const SAVE_PERIOD_MS: u64 = 30_000;
/// A part takes about this long at the bound, in milliseconds.
const PART_MS: u64 = 250;
/// Least and most bytes of a part.
const PART_BYTES_MIN: u64 = 4 << 10;
/// See [`PART_BYTES_MIN`].
const PART_BYTES_MAX: u64 = 1 << 20;
/// How long after a store that could not read it is asked again, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// What an operator may know of the scrub.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrubProgress {
    /// A pass is under way.
    pub is_running: bool,
    /// How far it has come, in thousandths.
    pub done_per_mille: u16,
    /// When it, or the last one, began.
    pub begun: Option<Wall>,
    /// When the last whole pass ended.
    pub ended: Option<Wall>,
    /// Records verified by this pass.
    pub records: u64,
    /// Bytes read by this pass.
    pub bytes: u64,
    /// Damage found by this pass: records and files.
    pub damaged: u64,
}

/// What is done about a spoiled file.
#[derive(Debug)]
enum Discard {
    /// The marks of the copies are not durable yet; this is the last of them.
    Marking(Spoiled, Vec<BucketId>),
    /// The store is giving the file up.
    Discarding(Vec<BucketId>),
}

/// See the module.
#[derive(Debug)]
pub struct Scrub {
    memory: ScrubMemory,
    progress: ScrubProgress,
    asked: Option<(Token, Time)>,
    due: Time,
    saved_at: Time,
    runs: Runs,
    discards: BTreeMap<Token, Discard>,
}

impl Scrub {
    /// Goes on where the last boot was.
    #[must_use]
    pub fn new(memory: ScrubMemory, site: &Site) -> Self {
        let since_begun = site.now.wall.0.saturating_sub(memory.begun.0);
        let wait_ms = match memory.position {
            Some(_) => 0,
            None => PASS_PERIOD_MS.saturating_sub(since_begun),
        };
        let progress = ScrubProgress {
            begun: (memory.begun != Wall(0)).then_some(memory.begun),
            ended: memory.ended,
            is_running: memory.position.is_some(),
            ..ScrubProgress::default()
        };
        Self {
            memory,
            progress,
            asked: None,
            due: site.now.time.plus_ms(wait_ms.max(BOOT_PAUSE_MS)),
            saved_at: site.now.time,
            runs: Runs::default(),
            discards: BTreeMap::new(),
        }
    }

    /// A run that was asked for is not over.
    #[must_use]
    pub fn is_run_going(&self) -> bool {
        self.runs.is_going()
    }

    /// When something is due.
    #[must_use]
    pub fn due(&self) -> Time {
        if self.asked.is_some() { Time::NEVER } else { self.due }
    }

    /// Asks for the next part if it is time for it.
    pub fn go_on(&mut self, site: &mut Site) {
        let pace = *site.background.pace(Work::Scrub);
        if !site.out_of_service && self.runs.begins(&pace) {
            self.due = site.now.time;
        }
        if self.asked.is_some() || self.due > site.now.time {
            return;
        }
        if site.out_of_service || self.runs.is_paused(&pace) {
            self.due = site.now.time.plus_ms(RETRY_MS);
            return;
        }
        let from = match &self.memory.position {
            Some(position) => position.clone(),
            None => self.begin(site),
        };
        let bytes_max = (pace.bytes_per_second / (1_000 / PART_MS)).clamp(PART_BYTES_MIN, PART_BYTES_MAX);
        let token = site.ask_store(StoreOp::Scrub { from, bytes_max });
        self.asked = Some((token, site.now.time));
    }

    /// Damage was met by somebody else: where one record is damaged others may be, so a pass begins soon.
    pub fn on_damage(&mut self, site: &Site) {
        let last = self.progress.begun.unwrap_or(Wall(0)).0;
        let is_recent = site.now.wall.0.saturating_sub(last) < CALLED_PERIOD_MS;
        if self.memory.position.is_none() && !is_recent {
            self.due = self.due.min(site.now.time.plus_ms(PART_MS));
        }
    }

    /// A store effect is answered; `Err` if it was not asked for here. Gives the buckets whose copies are to be pulled now.
    ///
    /// # Errors
    /// Gives the reply back.
    pub fn on_stored(&mut self, token: Token, reply: StoreReply, site: &mut Site) -> Result<Vec<BucketId>, StoreReply> {
        if let Some((asked, at)) = self.asked
            && asked == token
        {
            self.asked = None;
            match reply {
                StoreReply::Scrubbed(part) => self.on_part(part, at, site),
                StoreReply::Record(_) | StoreReply::Page(_) | StoreReply::Done | StoreReply::Failed(_) => {
                    self.due = site.now.time.plus_ms(RETRY_MS);
                }
            }
            return Ok(Vec::new());
        }
        let is_done = reply == StoreReply::Done;
        match self.discards.remove(&token) {
            Some(Discard::Marking(spoiled, buckets)) if is_done => {
                site.stats.discarded_files += 1;
                let token = site.ask_store(StoreOp::Discard(spoiled));
                self.discards.insert(token, Discard::Discarding(buckets));
                Ok(Vec::new())
            }
            // Discarded or not, the copies are marked, and pulling them harms nothing.
            Some(Discard::Marking(_, buckets) | Discard::Discarding(buckets)) => Ok(buckets),
            None => Err(reply),
        }
    }

    /// The file is to be given up as soon as the marks of these copies are durable; `token` is that of the last of them.
    pub fn discard_after(&mut self, token: Token, spoiled: Spoiled, buckets: Vec<BucketId>) {
        self.discards.insert(token, Discard::Marking(spoiled, buckets));
    }

    /// True while the bucket's copy waits for a file to be given up: it is not to be pulled before.
    #[must_use]
    pub fn is_discarding(&self, bucket: BucketId) -> bool {
        self.discards.values().any(|discard| match discard {
            Discard::Marking(_, buckets) | Discard::Discarding(buckets) => buckets.contains(&bucket),
        })
    }

    /// Where the scrub is.
    #[must_use]
    pub fn progress(&self) -> ScrubProgress {
        self.progress
    }

    fn begin(&mut self, site: &Site) -> Bytes {
        self.runs.begin_pass();
        self.memory.begun = site.now.wall;
        self.memory.position = Some(Bytes::new());
        self.progress = ScrubProgress {
            is_running: true,
            begun: Some(site.now.wall),
            ended: self.memory.ended,
            ..ScrubProgress::default()
        };
        Bytes::new()
    }

    fn on_part(&mut self, part: Scrubbed, asked_at: Time, site: &mut Site) {
        site.stats.scrubbed_bytes += part.bytes;
        site.stats.scrubbed_records += part.records;
        self.progress.bytes += part.bytes;
        self.progress.records += part.records;
        self.progress.damaged += (part.damaged.len() + part.spoiled.len()) as u64;
        self.progress.done_per_mille = part.done_per_mille;
        for key in &part.damaged {
            site.note_damage(key);
        }
        site.spoiled.extend(part.spoiled);
        let pause_us = site.background.pace(Work::Scrub).microseconds_for(part.bytes);
        self.due = Time(asked_at.0.saturating_add(pause_us)).max(site.now.time);
        self.memory.position = part.next;
        if self.memory.position.is_none() {
            self.end(site);
        } else if site.now.time >= self.saved_at.plus_ms(SAVE_PERIOD_MS) {
            self.save(site);
        }
    }

    fn end(&mut self, site: &mut Site) {
        site.stats.scrubs += 1;
        self.runs.end_pass();
        self.memory.ended = Some(site.now.wall);
        self.progress.ended = Some(site.now.wall);
        self.progress.is_running = false;
        self.progress.done_per_mille = 1_000;
        let wait_ms = if self.runs.needs_pass() { 0 } else { PASS_PERIOD_MS };
        self.due = site.now.time.plus_ms(wait_ms);
        let (records, damaged) = (self.progress.records, self.progress.damaged);
        site.notice(Notice::ScrubEnded { records, damaged });
        self.save(site);
    }

    fn save(&mut self, site: &mut Site) {
        self.saved_at = site.now.time;
        // Nobody waits for it: what is not kept is read again.
        site.ask_store(StoreOp::PutMeta(Meta::Scrub(self.memory.clone())));
    }
}

/// The buckets of this node that may have records between two names on disk, and whether other nodes have copies of all
/// of them.
#[must_use]
pub fn touched(spoiled: &Spoiled, site: &Site) -> (Vec<BucketId>, bool) {
    let partition = |name: &[u8]| name.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let (first, last) = (partition(&spoiled.first), partition(&spoiled.last));
    let mut buckets = Vec::new();
    let mut all_have_others = true;
    for bucket in site.catalog.iter() {
        if bucket.mode != Mode::Available || bucket.storage != StorageClass::Disk {
            continue;
        }
        let meets = |partition: u16| {
            let start = RecordKey::range_start(PartitionId(partition), bucket.id);
            let end = RecordKey::range_start(PartitionId(partition), BucketId(bucket.id.0.saturating_add(1)));
            start <= spoiled.last && end > spoiled.first
        };
        if last > first.saturating_add(1) || meets(first) || meets(last) {
            buckets.push(bucket.id);
            all_have_others &= site.ring.effective_n(bucket.n) > 1;
        }
    }
    (buckets, all_have_others)
}
