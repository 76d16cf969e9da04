//! The sort keys of one key, page by page in byte order, merged over r homes.

use std::sync::Arc;

use bytes::Bytes;

use crate::bucket::Conflict;
use crate::causality::Record;
use crate::command;
use crate::coordinator::found::found;
use crate::coordinator::keys::field_is_visible;
use crate::coordinator::merged::Merged;
use crate::coordinator::read_round::{ReadRound, RoundState};
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::{Event, Meta, Progress};
use crate::key::{RecordKey, after_prefix};
use crate::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX, RANGE_RECORDS_MAX};
use crate::message::ReadWant;
use crate::outcome::{Answered, Cause, Failure, Item, Listed, Outcome};
use crate::quorum::Need;
use crate::site::Site;
use crate::storage::Range;

/// A listing in flight.
#[derive(Debug)]
pub struct List {
    meta: Meta,
    plan: Plan,
    need: Need,
    command: command::List,
    /// The key's head, which says whether fields of a Redis hash are visible.
    head: Option<Arc<Record>>,
    stage: Stage,
    start: Bytes,
    end: Option<Bytes>,
    items: Vec<Item>,
    bytes: usize,
    answered: Option<Answered>,
}

#[derive(Debug)]
enum Stage {
    Head(ReadRound),
    Page(ReadRound),
}

impl List {
    /// Asks for the head where fields depend on it, else for the first page.
    pub fn start(meta: Meta, command: command::List, site: &mut Site) -> Option<Self> {
        match Self::prepare(meta, command, site) {
            Ok(mut list) => {
                let state = list.round().state(site);
                (list.advance(state, site) == Progress::Continue).then_some(list)
            }
            Err(failure) => validate::fail(meta, failure, site),
        }
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let state = self.round().on(event, site);
        self.advance(state, site)
    }

    fn prepare(meta: Meta, command: command::List, site: &mut Site) -> Result<Self, Failure> {
        if command.limit == 0 || command.limit > PAGE_ITEMS_MAX {
            let text = format!("limit is {}; it can be 1 to {PAGE_ITEMS_MAX}", command.limit);
            return Err(Failure::refused(Cause::BadRequest(text)));
        }
        let target = command::Target {
            bucket: command.bucket,
            key: command.key.clone(),
            sort: Bytes::new(),
        };
        let plan = validate::plan(&target, site)?;
        let need = plan.read_need(&command.options, site)?;
        let from = command.start.clone().max(command.prefix.clone());
        let start = plan.key.with_sort_key(&from).to_bytes();
        let end = after_prefix(plan.key.with_sort_key(&command.prefix).as_bytes());
        let stage = if plan.bucket.conflict == Conflict::Lww {
            let want = ReadWant::Records(vec![plan.key.clone()]);
            Stage::Head(ReadRound::start(meta, &plan.homes, need.clone(), &want, false, site))
        } else {
            let want = page(&plan, &start, &end, command.limit);
            Stage::Page(ReadRound::start(
                meta,
                &plan.homes,
                need.clone(),
                &want,
                command.options.strict,
                site,
            ))
        };
        let (head, items, bytes, answered) = (None, Vec::new(), 0, None);
        Ok(Self {
            meta,
            plan,
            need,
            command,
            head,
            stage,
            start,
            end,
            items,
            bytes,
            answered,
        })
    }

    fn round(&mut self) -> &mut ReadRound {
        match &mut self.stage {
            Stage::Head(round) | Stage::Page(round) => round,
        }
    }

    fn advance(&mut self, mut state: RoundState, site: &mut Site) -> Progress {
        loop {
            match state {
                RoundState::Pending => return Progress::Continue,
                RoundState::Failed(cause) => {
                    site.finish(self.meta.origin, Outcome::Failed(Failure::refused(cause)));
                    return Progress::Done;
                }
                RoundState::Ready => {}
            }
            let merged = self.round().merged();
            match &self.stage {
                Stage::Head(_) => self.head = merged.record(&self.plan.key).cloned(),
                Stage::Page(round) => {
                    round.repair(site);
                    self.answered = weaker(self.answered, round.answered());
                    if let Some(next) = self.add(&merged, site) {
                        return self.finish(next, site);
                    }
                }
            }
            let want = page(&self.plan, &self.start, &self.end, self.command.limit);
            let strict = self.command.options.strict;
            let mut round = ReadRound::start(self.meta, &self.plan.homes, self.need.clone(), &want, strict, site);
            state = round.state(site);
            self.stage = Stage::Page(round);
        }
    }

    /// Adds a page; `Some` with the next cursor if the listing ends here.
    fn add(&mut self, merged: &Merged, site: &Site) -> Option<Option<Bytes>> {
        for (key, record) in &merged.records {
            let full = self.items.len() >= self.command.limit as usize || self.bytes >= PAGE_BYTES_MAX;
            if full {
                return Some(Some(key.sort_key_bytes()));
            }
            self.add_record(key, record, merged, site);
        }
        match &merged.complete_up_to {
            None => Some(None),
            Some(next) => {
                self.start = next.clone();
                let is_full = self.items.len() >= self.command.limit as usize || self.bytes >= PAGE_BYTES_MAX;
                is_full.then(|| Some(sort_of(next)))
            }
        }
    }

    fn add_record(&mut self, key: &RecordKey, record: &Arc<Record>, merged: &Merged, site: &Site) {
        let wall = site.expiry_wall();
        let cleared_at = merged.cleared_at(&self.plan.key);
        let head = self.head.as_deref().and_then(Record::as_lww);
        if let (true, Some(field)) = (key.is_field(), record.as_lww())
            && !field_is_visible(field, head, cleared_at, wall)
        {
            return;
        }
        let answered = self.answered.unwrap_or_default();
        let found = found(Some(record), cleared_at, wall, answered);
        if found.siblings.is_empty() {
            return;
        }
        self.bytes += record.weight();
        let key_bytes = self.command.key.clone();
        self.items.push(Item {
            key: key_bytes,
            sort: key.sort_key_bytes(),
            found,
        });
    }

    fn finish(&mut self, next: Option<Bytes>, site: &mut Site) -> Progress {
        let items = std::mem::take(&mut self.items);
        let answered = self.answered.unwrap_or_default();
        site.finish(self.meta.origin, Outcome::Listed(Listed { items, next, answered }));
        Progress::Done
    }
}

fn page(plan: &Plan, start: &Bytes, end: &Option<Bytes>, limit: u32) -> ReadWant {
    ReadWant::Range {
        range: Range {
            bucket: plan.bucket.id,
            start: start.clone(),
            end: end.clone(),
        },
        records_max: limit.saturating_add(1).min(RANGE_RECORDS_MAX),
        bytes_max: PAGE_BYTES_MAX as u32,
    }
}

/// The sort key in a name at which a page stops; a bare prefix of a name starts at its first sort key.
fn sort_of(name: &Bytes) -> Bytes {
    RecordKey::from_bytes(name).map_or_else(Bytes::new, |key| key.sort_key_bytes())
}

/// The weakest quorum speaks for the whole page.
pub(crate) fn weaker(known: Option<Answered>, new: Answered) -> Option<Answered> {
    match known {
        Some(known) if known.answered <= new.answered => Some(known),
        Some(_) | None => Some(new),
    }
}
