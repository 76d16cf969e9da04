//! The last questions to a cluster at rest: every key at one home, which mends the others, then at all homes, then
//! listings. They are asked as clients ask, again if they fail: at rest, they must be answered in the end.

use std::collections::BTreeSet;

use bytes::Bytes;
use torc_core::command::{Command, Get, Keys, KeysStart, KeysWant, List, Options};
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;

use crate::checkers::Violation;
use crate::checkers::listing::{self, Listed};
use crate::history::KeyId;
use crate::run::Run;
use crate::shown::Shown;

/// How often a question is asked.
const ASKED_MAX: usize = 12;
const TIMEOUT_MS: u32 = 2_000;
/// Small pages: their seams are what is tested.
const PAGE: u32 = 2;

impl Run {
    /// What each key shows, read at all homes.
    pub(crate) fn read_everything(&mut self) -> Result<Vec<Shown>, Violation> {
        // Mending a damaged record may show its home that it has forgotten something: then it rebuilds.
        for _ in 0..2 {
            for key in 0..self.history.keys.len() {
                self.read(key, QuorumSize::One)?;
            }
            self.go_on_for(1_000_000)?;
            self.become_whole()?;
        }
        let mut all = Vec::new();
        for key in 0..self.history.keys.len() {
            all.push(self.read(key, QuorumSize::All)?);
        }
        self.go_on_for(6_000_000)?;
        Ok(all)
    }

    /// Lists the bucket with siblings in small pages, as a whole and key by key.
    pub(crate) fn list_everything(&mut self, shown: &[Shown]) -> Result<(), Violation> {
        let bucket = self.world.scenario.buckets[0].id;
        let options = Options {
            read: Some(QuorumSize::All),
            timeout_ms: Some(TIMEOUT_MS),
            ..Options::default()
        };
        let mut listed: Vec<Listed> = Vec::new();
        let mut start = KeysStart::Beginning;
        loop {
            let want = KeysWant::Records(PAGE);
            let command = Command::Keys(Keys {
                bucket,
                start: start.clone(),
                want,
                options,
            });
            let Outcome::Keys(page) = self.ask(0, &command)? else {
                return Violation::new("listing", "a walk over the keys was answered something else".into());
            };
            listed.extend(page.items.iter().map(|item| (item.key.to_vec(), item.sort.to_vec())));
            match page.next {
                Some(next) => start = KeysStart::After(next),
                None => break,
            }
        }
        listing::check_keys(&self.history, shown, &listed)?;
        let keys = self.history.keys.iter().filter(|key| key.keeps_siblings());
        let names: BTreeSet<Bytes> = keys.map(|key| key.target.key.clone()).collect();
        for key in names {
            self.list(&key, options, shown)?;
        }
        Ok(())
    }

    fn list(&mut self, key: &Bytes, options: Options, shown: &[Shown]) -> Result<(), Violation> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut start = Bytes::new();
        loop {
            let command = Command::List(List {
                bucket: self.world.scenario.buckets[0].id,
                key: key.clone(),
                prefix: Bytes::new(),
                start,
                limit: 1,
                options,
            });
            let Outcome::Listed(page) = self.ask(1, &command)? else {
                return Violation::new("listing", "a listing was answered something else".into());
            };
            listed.extend(page.items.iter().map(|item| (item.key.to_vec(), item.sort.to_vec())));
            match page.next {
                Some(next) => start = next,
                None => break,
            }
        }
        listing::check_sort_keys(&self.history, shown, key, &listed)
    }

    fn read(&mut self, key: KeyId, r: QuorumSize) -> Result<Shown, Violation> {
        let options = Options {
            read: Some(r),
            timeout_ms: Some(TIMEOUT_MS),
            ..Options::default()
        };
        let target = self.history.keys[key].target.clone();
        match self.ask(key, &Command::Get(Get { target, options }))? {
            Outcome::Found(found) => Ok(Shown::of(&found)),
            other => Violation::new("availability", format!("a get was answered {other:?}")),
        }
    }

    /// Asks one host after another, the first chosen by `first`, until one does not fail.
    fn ask(&mut self, first: usize, command: &Command) -> Result<Outcome, Violation> {
        let mut last = None;
        for round in 0..ASKED_MAX {
            let host = (first + round) % self.world.hosts.len();
            let Some(request) = self.world.request(host, command.clone()) else {
                continue;
            };
            let give_up_us = self.world.now_us + u64::from(TIMEOUT_MS) * 1_500;
            self.look()?;
            while self.world.now_us < give_up_us && self.last_reply.as_ref().is_none_or(|last| last.0 != request) {
                self.go_on_for(5_000)?;
            }
            match self.last_reply.take() {
                Some((answered, outcome)) if answered == request && !matches!(outcome, Outcome::Failed(_)) => {
                    return Ok(outcome);
                }
                other => last = other,
            }
            self.go_on_for(500_000)?;
        }
        Violation::new(
            "availability",
            format!("at rest nobody can answer {command:?}: {last:?}"),
        )
    }
}
