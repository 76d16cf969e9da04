//! A get: ask all homes, answer when r of them count, then mend the homes that were behind.

use crate::command;
use crate::coordinator::found::found;
use crate::coordinator::read_round::{ReadRound, RoundState};
use crate::coordinator::validate;
use crate::coordinator::{Event, Meta, Progress};
use crate::key::RecordKey;
use crate::message::ReadWant;
use crate::outcome::{Failure, Outcome};
use crate::site::Site;

/// A get in flight.
#[derive(Debug)]
pub struct Get {
    meta: Meta,
    key: RecordKey,
    round: ReadRound,
    replied: bool,
}

impl Get {
    /// Asks the homes.
    pub fn start(meta: Meta, command: command::Get, site: &mut Site) -> Option<Self> {
        let plan = match validate::plan(&command.target, site) {
            Ok(plan) => plan,
            Err(failure) => return validate::fail(meta, failure, site),
        };
        let need = match plan.read_need(&command.options, site) {
            Ok(need) => need,
            Err(failure) => return validate::fail(meta, failure, site),
        };
        let want = ReadWant::Records(vec![plan.key.clone()]);
        let round = ReadRound::start(meta, &plan.homes, need, &want, command.options.strict, site);
        let mut get = Self {
            meta,
            key: plan.key,
            round,
            replied: false,
        };
        let state = get.round.state(site);
        (get.advance(state, site) == Progress::Continue).then_some(get)
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let is_deadline = event == Event::Deadline;
        let state = self.round.on(event, site);
        match self.advance(state, site) {
            Progress::Continue if is_deadline => self.finish(site),
            progress => progress,
        }
    }

    fn advance(&mut self, state: RoundState, site: &mut Site) -> Progress {
        if !self.replied {
            match state {
                RoundState::Pending => return Progress::Continue,
                // The other homes are still heard: what kept the read from an answer may be what they can mend.
                RoundState::Failed(cause) => {
                    self.replied = true;
                    site.finish(self.meta.origin, Outcome::Failed(Failure::refused(cause)));
                }
                RoundState::Ready => self.reply(site),
            }
        }
        if self.round.is_complete() {
            self.finish(site)
        } else {
            Progress::Continue
        }
    }

    fn reply(&mut self, site: &mut Site) {
        self.replied = true;
        let merged = self.round.merged();
        let record = merged.record(&self.key).map(|record| &**record);
        let found = found(
            record,
            merged.cleared_at(&self.key),
            site.expiry_wall(),
            self.round.answered(),
        );
        site.finish(self.meta.origin, Outcome::Found(Box::new(found)));
    }

    fn finish(&mut self, site: &mut Site) -> Progress {
        self.round.repair(site);
        Progress::Done
    }
}
