//! Commands on several keys: asked as batches, answered as one.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::BytesMut;
use torc_core::command::{Batch, Command, Target};
use torc_core::keyspace::{KeyView, UpdateReply};
use torc_core::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, GATHER_BYTES_MAX};
use torc_core::outcome::{Cause, Certainty, Failure, Found, Outcome};

use crate::resp::answer::{Answer, Next, Turn, delete_found, line_of, note_written};
use crate::resp::refused::Refused;
use crate::resp::writer::Writer;

/// What several outcomes make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gathering {
    /// MGET: an array of strings.
    Strings,
    /// DEL, EXISTS: a sum.
    Sum,
    /// DEL where siblings are: what is found is deleted, and counted.
    DeleteFound,
    /// MSET: OK.
    AllWritten,
}

/// A command on several keys, under way.
#[derive(Debug)]
pub struct Gather {
    what: Gathering,
    /// Not asked yet.
    left: VecDeque<Command>,
    /// The keys of what was asked, where they matter.
    asked: Vec<Target>,
    /// Keys that `DeleteFound` has found.
    found: VecDeque<Command>,
    items: usize,
    reply: BytesMut,
    sum: i64,
    written: usize,
    failure: Option<Failure>,
}

impl Gather {
    /// The first batch, and the answer that asks for the others.
    pub fn start(what: Gathering, commands: Vec<Command>) -> (Command, Answer) {
        let mut gather = Self {
            what,
            items: commands.len(),
            left: commands.into(),
            asked: Vec::new(),
            found: VecDeque::new(),
            reply: BytesMut::new(),
            sum: 0,
            written: 0,
            failure: None,
        };
        let batch = gather.batch();
        (batch, Answer::Gather(Box::new(gather)))
    }

    fn batch(&mut self) -> Command {
        let mut commands = Vec::with_capacity(self.left.len().min(BATCH_ITEMS_MAX));
        let mut bytes = 0;
        self.asked.clear();
        while commands.len() < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX / 2 {
            let Some(command) = self.left.pop_front() else { break };
            if let Command::Put(put) = &command
                && let torc_core::command::PutAction::Value(value, _) = &put.action
            {
                bytes += value.data.len();
            }
            if let (Gathering::DeleteFound, Command::Get(get)) = (self.what, &command) {
                self.asked.push(get.target.clone());
            }
            commands.push(command);
        }
        Command::Batch(Batch { commands })
    }

    /// Takes the outcome of a batch.
    pub fn on(mut self: Box<Self>, outcome: Outcome, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
        match outcome {
            Outcome::Batch(outcomes) => {
                for (index, outcome) in outcomes.into_iter().enumerate() {
                    self.item(index, outcome, turn)?;
                }
            }
            Outcome::Failed(failure) => self.fail(failure),
            other => self.fail(Failure::refused(Cause::Unavailable(format!(
                "the node answered several commands with {other:?}"
            )))),
        }
        if self.failure.is_none() && self.left.is_empty() && !self.found.is_empty() {
            self.left = std::mem::take(&mut self.found);
        }
        // What comes after a failure is not tried: its outcome could not be told.
        if self.failure.is_none() && !self.left.is_empty() {
            let batch = self.batch();
            return Ok(Next::Ask(batch, Answer::Gather(self)));
        }
        match &self.failure {
            Some(failure) if self.written > 0 => {
                let unknown = Failure {
                    cause: failure.cause.clone(),
                    certainty: Certainty::Unknown,
                };
                let (written, items) = (self.written, self.items);
                return Err(format!("{}; {written} of {items} keys were written", line_of(&unknown)).into());
            }
            Some(failure) => return Err(line_of(failure)),
            None => {}
        }
        match self.what {
            Gathering::Strings => {
                turn.reply.array(self.items);
                turn.reply.out.extend_from_slice(&self.reply);
            }
            Gathering::Sum | Gathering::DeleteFound => turn.reply.integer(self.sum),
            Gathering::AllWritten => turn.reply.ok(),
        }
        Ok(Next::Done)
    }

    fn item(&mut self, index: usize, outcome: Outcome, turn: &mut Turn<'_>) -> Result<(), Cow<'static, str>> {
        match outcome {
            Outcome::Found(found) => self.on_found(index, *found, turn)?,
            Outcome::Written(written) => {
                note_written(written.answered, turn.session);
                self.written += 1;
                self.sum += 1;
            }
            Outcome::Updated(reply, answered) => {
                note_written(answered, turn.session);
                self.written += 1;
                if let UpdateReply::Integer(number) = reply {
                    self.sum += number;
                }
            }
            Outcome::View(view, _) => self.sum += i64::from(*view != KeyView::Absent),
            Outcome::Failed(failure) => self.fail(failure),
            Outcome::Listed(_) | Outcome::Keys(_) | Outcome::Count(_) | Outcome::Batch(_) | Outcome::Inspected(_) => {}
        }
        Ok(())
    }

    fn on_found(&mut self, index: usize, found: Found, turn: &mut Turn<'_>) -> Result<(), Cow<'static, str>> {
        match self.what {
            Gathering::Strings => {
                if found.siblings.len() > 1 {
                    return Err(Refused::SIBLINGS.0);
                }
                let value = found.siblings.first().map(|sibling| &sibling.value.data[..]);
                if self.reply.len() + value.map_or(0, <[u8]>::len) > GATHER_BYTES_MAX {
                    let limit = GATHER_BYTES_MAX as u64;
                    return Err(line_of(&Failure::refused(Cause::ResultTooLarge { limit })));
                }
                let protocol = turn.reply.protocol;
                let out = &mut self.reply;
                Writer { out, protocol }.bulk_or_nil(value);
            }
            Gathering::DeleteFound if !found.siblings.is_empty() => {
                if let Some(target) = self.asked.get(index) {
                    self.found
                        .push_back(delete_found(target.clone(), found.context, turn.session));
                }
            }
            Gathering::DeleteFound => {}
            Gathering::Sum | Gathering::AllWritten => self.sum += i64::from(!found.siblings.is_empty()),
        }
        Ok(())
    }

    /// Keeps the worst: what is unknown says more than what was certainly not done.
    fn fail(&mut self, failure: Failure) {
        let is_worse = self
            .failure
            .as_ref()
            .is_none_or(|known| known.certainty == Certainty::NotApplied && failure.certainty == Certainty::Unknown);
        if is_worse {
            self.failure = Some(failure);
        }
    }
}
