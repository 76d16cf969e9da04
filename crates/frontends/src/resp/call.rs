//! A command on its way: what its handler sees, and what the handler decides.

use std::sync::Arc;

use bytes::Bytes;
use torc_core::bucket::{Bucket, Conflict};
use torc_core::command::{Command, Get, Target, UpdateKey, ViewKey};
use torc_core::keyspace::{ExpiryChange, Update, Want};
use torc_core::time::Wall;

use crate::resp::answer::{Answer, StringPart};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::connection::Host;
use crate::resp::refused::Refused;
use crate::resp::session::{Session, target};
use crate::resp::slots::{Order, Slots};
use crate::resp::table::CommandSpec;
use crate::resp::writer::Writer;

/// A command at the front of the connection's input.
pub struct Call<'a> {
    /// Which.
    pub spec: &'static CommandSpec,
    /// Its words.
    pub args: Args<'a>,
    /// The connection.
    pub session: &'a mut Session,
    /// The node.
    pub host: &'a mut dyn Host,
    /// The commands before this one that have no reply yet.
    pub slots: &'a Slots,
    /// Where a handler writes the answer that it gives itself.
    pub reply: Writer<'a>,
}

/// What becomes of a command.
#[derive(Debug)]
pub enum Plan {
    /// The handler wrote the answer.
    Replied,
    /// The handler wrote the answer; nothing is read after this command.
    RepliedLast,
    /// On one key: after what is under way on that key, beside the rest.
    Key(Command, Answer),
    /// On many keys: after all that came before, and before all that follows (RULINGS 9).
    Barrier(Command, Answer),
    /// As `Barrier`, but nothing is asked of the core.
    Pause(Answer),
    /// EXEC: these commands as one barrier.
    Transaction(Vec<OwnedArgs>),
}

impl Call<'_> {
    /// The connection's bucket.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn bucket(&mut self) -> Result<&Arc<Bucket>, Refused> {
        self.session.bucket(self.host.catalog())
    }

    /// The key in word `index` of the connection's bucket.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn target(&mut self, index: usize) -> Result<Target, Refused> {
        let key = self.args.bytes(index);
        Ok(target(self.bucket()?.id, key))
    }

    /// True if the bucket keeps siblings.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn keeps_siblings(&mut self) -> Result<bool, Refused> {
        Ok(self.bucket()?.conflict == Conflict::Siblings)
    }

    /// A read of the record at word 1.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn get(&mut self, answer: impl FnOnce(Target) -> Answer) -> Result<Plan, Refused> {
        let target = self.target(1)?;
        let answer = answer(target.clone());
        let options = self.session.options;
        Ok(Plan::Key(Command::Get(Get { target, options }), answer))
    }

    /// A read of a part of the string at word 1: answered on the spot if the node has it at hand and nothing that came
    /// before is still under way on the key.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn string(&mut self, part: StringPart) -> Result<Plan, Refused> {
        let bucket = self.bucket()?.id;
        let key = self.args.at(1);
        if self.slots.may_start(Order::of_key(bucket, key)) {
            let reply = &mut self.reply;
            let mut show = |value: Option<&Bytes>| part.write(value, reply);
            if self.host.show_now(bucket, key, &self.session.options, &mut show) {
                return Ok(Plan::Replied);
            }
        }
        self.get(|target| Answer::String(part, target))
    }

    /// A read-modify-write of the key at word 1.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn update(&mut self, update: Update, answer: Answer) -> Result<Plan, Refused> {
        let target = self.target(1)?;
        Ok(Plan::Key(self.update_of(target, update), answer))
    }

    /// A read-modify-write.
    pub fn update_of(&self, target: Target, update: Update) -> Command {
        let options = self.session.options;
        Command::Update(UpdateKey {
            target,
            update,
            options,
        })
    }

    /// A look at the key at word 1.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn view(&mut self, want: Want, answer: Answer) -> Result<Plan, Refused> {
        let target = self.target(1)?;
        Ok(Plan::Key(self.view_of(target, want), answer))
    }

    /// A look at a key.
    pub fn view_of(&self, target: Target, want: Want) -> Command {
        let options = self.session.options;
        Command::View(ViewKey { target, want, options })
    }

    /// The expiry of a write that names none.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn default_expiry(&mut self) -> Result<ExpiryChange, Refused> {
        let seconds = self.bucket()?.ttl_seconds;
        Ok(seconds.map_or(ExpiryChange::Clear, |seconds| {
            let now = self.host.now();
            ExpiryChange::At(Wall(now.0.saturating_add(seconds.saturating_mul(1_000))))
        }))
    }

    /// The words from `first` on, each sharing the frame's memory.
    pub fn words_from(&self, first: usize) -> Vec<Bytes> {
        (first..self.args.len()).map(|index| self.args.bytes(index)).collect()
    }

    /// Redis's words for a subcommand that is not there.
    pub fn unknown_subcommand(&self) -> Refused {
        let name = self.spec.name.to_uppercase();
        let word = self.args.shown(1);
        Refused::of(format!("ERR unknown subcommand '{word}'. Try {name} HELP."))
    }

    /// Redis's words for a subcommand with too many or too few words.
    pub fn subcommand_arity(&self) -> Refused {
        let word = self.args.shown(1).to_lowercase();
        Refused::arity(&format!("{}|{word}", self.spec.name))
    }
}
