//! What makes a reply of an outcome. Most answers take one outcome; some ask the core once more.
//! An answer writes only when it is complete: until then nothing of it may be in the output.

mod gather;
mod hash;
mod string;
mod walk;

use std::borrow::Cow;

use bytes::Bytes;
use torc_core::causality::{ClientContext, token};
use torc_core::command::{Command, Put, PutAction, PutContext, Target, ViewKey};
use torc_core::keyspace::{KeyKind, KeyView, UpdateReply, Want};
use torc_core::outcome::{Answered, Failure, Found, Outcome};

use crate::resp::connection::Host;
use crate::resp::refused::{self, Refused};
use crate::resp::session::Session;
use crate::resp::writer::Writer;

pub use gather::{Gather, Gathering};
pub use hash::{FieldsByChance, HashPart, HashScan};
pub use string::StringPart;
pub use walk::Scan;

/// What an answer may look at while it writes.
pub struct Turn<'a> {
    /// Where it writes.
    pub reply: Writer<'a>,
    /// The connection.
    pub session: &'a mut Session,
    /// The node.
    pub host: &'a mut dyn Host,
}

/// What an outcome led to.
#[derive(Debug)]
pub enum Next {
    /// The reply is written.
    Done,
    /// One more question, whose outcome this answer takes.
    Ask(Command, Answer),
}

/// A time to live as a command shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TtlForm {
    /// Milliseconds, not seconds.
    pub in_ms: bool,
    /// Since 1970, not from now.
    pub is_absolute: bool,
}

/// What becomes of an outcome.
#[derive(Debug)]
pub enum Answer {
    /// Nothing: the end of a transaction.
    Silent,
    /// The head of a transaction's replies.
    Array(usize),
    /// WAIT.
    Holders,
    /// OK, if it was written.
    Ok,
    /// 1, if it was written.
    One,
    /// A number.
    Integer,
    /// A string or nil.
    Value,
    /// A part of a string that was read by its record alone.
    String(StringPart, Target),
    /// As `String`, from a view of a key that seemed to be a hash.
    ViewedString(StringPart),
    /// Whether the key is there: 0 or 1.
    Exists,
    /// string, hash or none.
    Kind,
    /// OBJECT ENCODING.
    Encoding,
    /// OBJECT REFCOUNT and its kin: this number if the key is there.
    IfThere(i64),
    /// TTL and its kin.
    Ttl(TtlForm),
    /// DEL in a bucket with siblings: deletes what was found.
    DeleteFound(Target),
    /// HGET.
    Field,
    /// HMGET, with how many fields.
    Fields(usize),
    /// HEXISTS.
    FieldExists,
    /// HSTRLEN.
    FieldLength,
    /// HGETALL, HKEYS, HVALS, HLEN.
    Hash(HashPart),
    /// HRANDFIELD.
    FieldsByChance(FieldsByChance),
    /// HSCAN.
    HashScan(Box<HashScan>),
    /// SCAN.
    Scan(Box<Scan>),
    /// KEYS.
    Keys(Bytes),
    /// RANDOMKEY.
    RandomKey,
    /// INFO keyspace: this text, then the number of keys.
    Keyspace(String),
    /// MGET, MSET, DEL, EXISTS.
    Gather(Box<Gather>),
    /// TORC.GET.
    Siblings,
    /// TORC.PUT.
    Context,
}

impl Answer {
    /// Takes the outcome of the command that was asked.
    pub fn on(self, outcome: Outcome, turn: &mut Turn<'_>) -> Next {
        let written = match self.reply_to(outcome, turn) {
            Ok(next) => return next,
            Err(line) => line,
        };
        turn.reply.error(&written);
        Next::Done
    }

    /// The reply of an answer for which nothing was asked.
    pub fn without_outcome(self, reply: &mut Writer<'_>, session: &Session) {
        match self {
            Self::Silent => {}
            Self::Array(count) => reply.array(count),
            Self::Holders => reply.integer(i64::from(session.last_written_at.saturating_sub(1))),
            other => reply.error(&format!("ERR {other:?} has no outcome")),
        }
    }

    fn reply_to(self, outcome: Outcome, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
        if let Self::Gather(gather) = self {
            return gather.on(outcome, turn);
        }
        match outcome {
            Outcome::Failed(failure) => Err(refused::of_failure(&failure)),
            Outcome::Found(found) => self.on_found(*found, turn),
            Outcome::Written(written) => {
                note_written(written.answered, turn.session);
                match self {
                    Self::Ok => turn.reply.ok(),
                    Self::One => turn.reply.integer(1),
                    Self::Context => turn.reply.bulk(token::encode(&written.context).as_bytes()),
                    other => return Err(misfit(&other)),
                }
                Ok(Next::Done)
            }
            Outcome::Updated(reply, answered) => {
                note_written(answered, turn.session);
                match (self, reply) {
                    (Self::Ok, _) => turn.reply.ok(),
                    (_, UpdateReply::Integer(number)) => turn.reply.integer(number),
                    (_, UpdateReply::Value(value)) => turn.reply.bulk_or_nil(value.as_deref()),
                    (_, UpdateReply::Done) => turn.reply.ok(),
                }
                Ok(Next::Done)
            }
            Outcome::View(view, _) => self.on_view(*view, turn),
            Outcome::Keys(page) => match self {
                Self::Scan(scan) => Ok(scan.reply(&page, turn)),
                Self::Keys(pattern) => Ok(walk::keys(&pattern, &page, turn)),
                Self::RandomKey => {
                    turn.reply.bulk_or_nil(page.items.first().map(|item| &item.key[..]));
                    Ok(Next::Done)
                }
                other => Err(misfit(&other)),
            },
            Outcome::Count(count) => {
                match self {
                    Self::Keyspace(text) => walk::keyspace(text, count, turn),
                    _ => turn.reply.integer(count as i64),
                }
                Ok(Next::Done)
            }
            Outcome::Listed(_) | Outcome::Batch(_) | Outcome::Inspected(_) => Err(misfit(&self)),
        }
    }

    fn on_found(self, found: Found, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
        let is_there = !found.siblings.is_empty();
        match self {
            Self::String(part, target) if found.is_hash => {
                // The head alone does not say whether any field is left.
                let options = turn.session.options;
                let want = Want::Head;
                let view = ViewKey { target, want, options };
                return Ok(Next::Ask(Command::View(view), Self::ViewedString(part)));
            }
            Self::String(part, _) => match &found.siblings[..] {
                [] => part.write(None, &mut turn.reply),
                [sibling] => part.write(Some(&sibling.value.data), &mut turn.reply),
                _ => return Err(Refused::SIBLINGS.0),
            },
            Self::Exists => turn.reply.integer(i64::from(is_there)),
            Self::Kind => turn.reply.simple(if is_there { "string" } else { "none" }),
            Self::DeleteFound(_) if !is_there => turn.reply.integer(0),
            Self::DeleteFound(target) => {
                return Ok(Next::Ask(delete_found(target, found.context, turn.session), Self::One));
            }
            Self::Siblings if found.is_hash => return Err(Refused::WRONG_TYPE.0),
            Self::Siblings => {
                turn.reply.array(1 + found.siblings.len());
                let context = found.context.as_ref().map(token::encode);
                turn.reply.bulk(context.unwrap_or_default().as_bytes());
                for sibling in &found.siblings {
                    turn.reply.bulk(&sibling.value.data);
                }
            }
            other => return Err(misfit(&other)),
        }
        Ok(Next::Done)
    }

    fn on_view(self, view: KeyView, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
        let kind = kind_of(&view);
        let reply = &mut turn.reply;
        match self {
            Self::Exists => reply.integer(i64::from(kind.is_some())),
            Self::Kind => reply.simple(match kind {
                None => "none",
                Some(KeyKind::String) => "string",
                Some(KeyKind::Hash) => "hash",
            }),
            Self::IfThere(_) if kind.is_none() => reply.nil(),
            Self::IfThere(number) => reply.integer(number),
            Self::Encoding => match string::encoding(&view) {
                Some(name) => reply.bulk(name.as_bytes()),
                None => reply.nil(),
            },
            Self::Ttl(form) => {
                let now = turn.host.now();
                turn.reply.integer(walk::ttl(&view, form, now));
            }
            Self::ViewedString(part) => match view {
                KeyView::Absent => part.write(None, reply),
                KeyView::String { value, .. } => part.write(Some(&value), reply),
                KeyView::Hash { .. } => return Err(Refused::WRONG_TYPE.0),
            },
            hash => {
                let fields = match view {
                    KeyView::String { .. } => return Err(Refused::WRONG_TYPE.0),
                    KeyView::Absent => Vec::new(),
                    KeyView::Hash { fields, .. } => fields,
                };
                return hash::reply(hash, &fields, turn);
            }
        }
        Ok(Next::Done)
    }
}

/// Deletes exactly what was found (RULINGS 11): a sibling that came since stays.
fn delete_found(target: Target, context: Option<ClientContext>, session: &Session) -> Command {
    Command::Put(Put {
        target,
        action: PutAction::Delete,
        context: context.map_or(PutContext::ReadFirst, PutContext::Seen),
        request: None,
        options: session.options,
    })
}

fn note_written(answered: Answered, session: &mut Session) {
    session.last_written_at = answered.answered;
}

fn kind_of(view: &KeyView) -> Option<KeyKind> {
    match view {
        KeyView::Absent => None,
        KeyView::String { .. } => Some(KeyKind::String),
        KeyView::Hash { .. } => Some(KeyKind::Hash),
    }
}

/// A core that answers another question than was asked.
fn misfit(answer: &Answer) -> Cow<'static, str> {
    format!("ERR the node gave no fitting answer to {answer:?}").into()
}

/// The line of a failure, for answers of several outcomes.
fn line_of(failure: &Failure) -> Cow<'static, str> {
    refused::of_failure(failure)
}
