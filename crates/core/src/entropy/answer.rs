//! The side that is asked: says which digests differ from its own, and gives what it holds otherwise. It keeps nothing
//! between two questions but the page that it is reading.

use std::collections::BTreeMap;

use crate::causality::codec::record_hash;
use crate::entropy::talk::{EntropyTalk, Group, Level};
use crate::entropy::trees::TreeId;
use crate::id::{NodeId, OpId, PartitionId, Token};
use crate::key::RecordKey;
use crate::message::Message;
use crate::mutants::{Mutant, active};
use crate::site::Site;
use crate::storage::{Page, Range, StoreOp};

/// Records of one page of a listing, at either side: hashing and comparing more at once is felt by clients.
pub(super) const LISTED_RECORDS_MAX: u32 = 128;
/// Payload bytes of one such page.
pub(super) const LISTED_BYTES_MAX: usize = 256 << 10;
/// Pages read for peers at one time; further questions are dropped, and asked again.
const ANSWERS_MAX: usize = 16;

/// A page being read for a peer.
#[derive(Debug)]
struct Asked {
    node: NodeId,
    op: OpId,
    entries: Vec<(RecordKey, u128)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Answers {
    reading: BTreeMap<Token, Asked>,
}

impl Answers {
    /// Which of these differ from ours? Gives the numbers of those that are equal.
    pub(super) fn on_digests(
        from: NodeId,
        op: OpId,
        group: Group,
        level: Level,
        digests: &[(u16, u128)],
        site: &mut Site,
    ) -> Vec<u16> {
        let (mut equal, mut numbers, mut uncounted) = (Vec::new(), Vec::new(), Vec::new());
        for &(number, digest) in digests {
            match own_digest(group, level, number, site) {
                Some(own) if own == digest => equal.push(number),
                Some(_) => numbers.push(number),
                None => uncounted.push(number),
            }
        }
        let reply = EntropyTalk::Differing { op, numbers, uncounted };
        site.send(&[from], Message::Entropy(reply));
        equal
    }

    /// What of ours differs from these?
    pub(super) fn on_keys(
        &mut self,
        node: NodeId,
        op: OpId,
        range: Range,
        entries: Vec<(RecordKey, u128)>,
        site: &mut Site,
    ) {
        let Some(group) = site.trees.group(range.bucket) else {
            return;
        };
        if self.reading.len() >= ANSWERS_MAX || range.end.is_none() {
            return;
        }
        let token = site.ask_store(StoreOp::Scan {
            range,
            class: group.class,
            records_max: LISTED_RECORDS_MAX,
            bytes_max: LISTED_BYTES_MAX,
            may_wait: true,
        });
        self.reading.insert(token, Asked { node, op, entries });
    }

    /// True if the page was asked for here.
    pub(super) fn is_reading(&self, token: Token) -> bool {
        self.reading.contains_key(&token)
    }

    /// The page has come; `None`: it could not be read.
    pub(super) fn on_page(&mut self, token: Token, page: Option<Page>, site: &mut Site) {
        let Some(asked) = self.reading.remove(&token) else {
            return;
        };
        let op = asked.op;
        let Some(page) = page else {
            let reply = EntropyTalk::Records {
                op,
                complete_up_to: None,
                records: Vec::new(),
                missing: Vec::new(),
                failed: true,
            };
            site.send(&[asked.node], Message::Entropy(reply));
            return;
        };
        for key in &page.damaged {
            site.note_damage(key);
        }
        let is_covered = |key: &RecordKey| page.next.as_ref().is_none_or(|next| key.as_bytes() < &next[..]);
        let mut theirs: BTreeMap<RecordKey, u128> =
            asked.entries.into_iter().filter(|entry| is_covered(&entry.0)).collect();
        let mut records = Vec::new();
        for (key, record) in page.records {
            let known = theirs.remove(&key);
            if active(Mutant::AbsentIsNotSent) && known.is_none() {
                continue;
            }
            if known != Some(record_hash(&key, &record)) {
                records.push((key, record));
            }
        }
        // A damaged record is mended by asking all homes, not by what one of them holds.
        for key in &page.damaged {
            theirs.remove(key);
        }
        let mut missing: Vec<RecordKey> = theirs.into_keys().collect();
        if active(Mutant::AbsentIsNotSent) {
            missing.clear();
        }
        let reply = EntropyTalk::Records {
            op,
            complete_up_to: page.next,
            records,
            missing,
            failed: false,
        };
        site.send(&[asked.node], Message::Entropy(reply));
    }
}

fn own_digest(group: Group, level: Level, number: u16, site: &mut Site) -> Option<u128> {
    let tree_of = |partition| TreeId { partition, group };
    match level {
        Level::Roots => Some(site.trees.find(tree_of(PartitionId(number)))?.root()),
        Level::Blocks(partition) => {
            let tree = site.trees.find(tree_of(partition))?;
            (number < super::tree::FANOUT).then(|| tree.block(number))
        }
        Level::Leaves(partition) => {
            let tree = site.trees.find(tree_of(partition))?;
            (number < super::tree::LEAVES).then(|| tree.leaf(number))
        }
    }
}
