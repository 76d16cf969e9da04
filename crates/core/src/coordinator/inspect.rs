//! What each home holds for one key, silent ones included: for operators, and for doubting the rest.

use std::sync::Arc;

use crate::causality::Record;
use crate::command;
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::{Event, Meta, Progress};
use crate::id::NodeId;
use crate::message::{ReadAnswer, ReadWant};
use crate::outcome::{Holding, HoldingState, Inspected, Outcome};
use crate::site::Site;

/// An inspection in flight.
#[derive(Debug)]
pub struct Inspect {
    meta: Meta,
    plan: Plan,
    answers: Vec<(NodeId, Option<ReadAnswer>)>,
}

impl Inspect {
    /// Asks every reachable home.
    pub fn start(meta: Meta, command: command::Inspect, site: &mut Site) -> Option<Self> {
        let plan = match validate::plan(&command.target, site) {
            Ok(plan) => plan,
            Err(failure) => return validate::fail(meta, failure, site),
        };
        let homes = plan.homes.iter().map(|home| home.node);
        let reachable: Vec<NodeId> = homes.filter(|&node| site.is_reachable(node)).collect();
        site.ask_reads(&reachable, meta.id, 0, &ReadWant::Records(vec![plan.key.clone()]));
        let mut op = Self {
            meta,
            plan,
            answers: Vec::new(),
        };
        let silent: Vec<NodeId> = op.plan.homes.iter().map(|home| home.node).collect();
        for node in silent {
            if !reachable.contains(&node) {
                op.answers.push((node, None));
            }
        }
        Some(op)
    }

    /// An answer, a loss, or the deadline: whoever is silent then is shown as silent.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        match event {
            Event::Read(from, _, answer) => self.note(from, Some(answer)),
            Event::Refused(from, ..) | Event::PeerDown(from) => self.note(from, None),
            Event::Deadline => return self.finish(site),
            Event::Wrote(..)
            | Event::Changed(_)
            | Event::Forwarded(..)
            | Event::LockGranted
            | Event::Carried(_)
            | Event::Hedge
            | Event::Child(..) => {}
        }
        if self.answers.len() == self.plan.homes.len() {
            self.finish(site)
        } else {
            Progress::Continue
        }
    }

    fn note(&mut self, node: NodeId, answer: Option<ReadAnswer>) {
        let is_home = self.plan.homes.iter().any(|home| home.node == node);
        if is_home && !self.answers.iter().any(|known| known.0 == node) {
            self.answers.push((node, answer));
        }
    }

    fn finish(&mut self, site: &mut Site) -> Progress {
        let mut merged: Option<Record> = None;
        let homes = self.plan.homes.iter().map(|home| {
            let answer = self
                .answers
                .iter()
                .find(|known| known.0 == home.node)
                .and_then(|known| known.1.as_ref());
            let state = match answer {
                None => HoldingState::Silent,
                Some(answer) if !answer.damaged.is_empty() => HoldingState::Damaged,
                Some(answer) => match answer.records.first() {
                    None => HoldingState::Absent,
                    Some((_, record)) => {
                        merge(&mut merged, record);
                        HoldingState::Record(Box::new((**record).clone()))
                    }
                },
            };
            Holding { node: home.node, state }
        });
        let homes = homes.collect();
        site.finish(
            self.meta.origin,
            Outcome::Inspected(Inspected {
                homes,
                merged: merged.map(Box::new),
            }),
        );
        Progress::Done
    }
}

fn merge(merged: &mut Option<Record>, record: &Arc<Record>) {
    match merged {
        None => *merged = Some((**record).clone()),
        // Records of different kinds can't be merged; each home's own is shown beside.
        Some(merged) => drop(merged.merge(record)),
    }
}
