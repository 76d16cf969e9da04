//! How the outcome of a command becomes its reply.

use bytes::{Bytes, BytesMut};
use torc_core::causality::token;
use torc_core::command::{Command, Keys, KeysStart, KeysWant, Put, PutAction, PutContext, Target, ViewKey};
use torc_core::keyspace::{KeyKind, KeyView, UpdateReply, Want};
use torc_core::outcome::{Cause, Failure, Found, Outcome};
use torc_core::time::Wall;

use super::failure;
use super::glob;
use super::reply;
use super::session::Session;

/// Which moment TTL and its kin tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// TTL.
    SecondsLeft,
    /// PTTL.
    MillisecondsLeft,
    /// EXPIRETIME.
    AtSeconds,
    /// PEXPIRETIME.
    AtMilliseconds,
}

/// How a reply is made.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// GET: the value of the key.
    Value(Target),
    /// STRLEN.
    Length(Target),
    /// GETRANGE.
    Range(Target, i64, i64),
    /// `+OK`.
    Ok,
    /// A number or a value, as the update says.
    Updated,
    /// MGET.
    Values,
    /// DEL and UNLINK: the sum of the parts.
    Sum,
    /// DEL in a siblings bucket: what was found is deleted next.
    DeleteFound(Vec<Target>),
    /// The deletes of those that were found.
    Deleted,
    /// EXISTS and TOUCH.
    Exists,
    /// TYPE.
    Type,
    /// TTL and its kin.
    Expiry(Moment),
    /// HGET.
    Field,
    /// HMGET.
    Fields(usize),
    /// HGETALL.
    AllPairs,
    /// HKEYS.
    FieldNames,
    /// HVALS.
    FieldValues,
    /// HLEN.
    FieldCount,
    /// HEXISTS.
    FieldExists,
    /// HSTRLEN.
    FieldLength,
    /// HRANDFIELD: count, with values, and a seed.
    RandomFields(Option<i64>, bool, u64),
    /// HSCAN: pattern.
    FieldScan(Option<Bytes>),
    /// SCAN: pattern and type.
    Scan(Option<Bytes>, Option<Bytes>),
    /// KEYS.
    Matching(Bytes),
    /// DBSIZE.
    Count,
    /// RANDOMKEY.
    Random,
    /// TORC.GET.
    Siblings,
    /// TORC.PUT.
    Context,
}

/// What follows a reply's outcome.
pub enum Next {
    /// The reply was written.
    Replied,
    /// More has to be asked first.
    Ask(Vec<Command>, Shape),
}

/// What rendering looks at.
pub struct View<'a> {
    /// The connection's memory.
    pub session: &'a Session,
    /// For TTL.
    pub now: Wall,
}

impl Shape {
    /// True for replies about as many outcomes as the command has parts, be it one.
    pub fn is_of_many(&self) -> bool {
        matches!(self, Self::Values | Self::Sum | Self::DeleteFound(_) | Self::Deleted)
    }

    /// Writes the reply to one outcome.
    pub fn one(self, outcome: Outcome, view: &View<'_>, out: &mut BytesMut) -> Next {
        let dialect = view.session.dialect;
        if let Outcome::Failed(failure) = &outcome {
            return self.failed(failure, out);
        }
        match (self, outcome) {
            (Self::Value(target), Outcome::Found(found)) => {
                return string(target, &found, view, Self::Value, out, |value, out| {
                    reply::bulk_or_nil(out, value, dialect);
                });
            }
            (Self::Length(target), Outcome::Found(found)) => {
                return string(target, &found, view, Self::Length, out, |value, out| {
                    reply::integer(out, value.map_or(0, <[u8]>::len) as i64);
                });
            }
            (Self::Range(target, start, end), Outcome::Found(found)) => {
                let again = |target| Self::Range(target, start, end);
                return string(target, &found, view, again, out, |value, out| {
                    reply::bulk(out, part(value.unwrap_or_default(), start, end));
                });
            }
            // The head was a hash's: whether the key is there depends on its fields.
            (Self::Value(_), Outcome::View(key, _)) if *key == KeyView::Absent => reply::nil(out, dialect),
            (Self::Length(_), Outcome::View(key, _)) if *key == KeyView::Absent => reply::integer(out, 0),
            (Self::Range(..), Outcome::View(key, _)) if *key == KeyView::Absent => reply::bulk(out, b""),
            (Self::Value(_) | Self::Length(_) | Self::Range(..), Outcome::View(..)) => wrong_type(out),
            (Self::Ok, _) => reply::simple(out, "OK"),
            (Self::Updated, Outcome::Updated(UpdateReply::Integer(number), _)) => reply::integer(out, number),
            (Self::Updated, Outcome::Updated(UpdateReply::Done, _)) => reply::simple(out, "OK"),
            (Self::Updated, Outcome::Updated(UpdateReply::Value(value), _)) => {
                reply::bulk_or_nil(out, value.as_deref(), dialect);
            }
            (Self::Type, Outcome::View(key, _)) => reply::simple(
                out,
                match *key {
                    KeyView::Absent => "none",
                    KeyView::String { .. } => "string",
                    KeyView::Hash { .. } => "hash",
                },
            ),
            (Self::Type, Outcome::Found(found)) => {
                reply::simple(out, if found.siblings.is_empty() { "none" } else { "string" });
            }
            (Self::Expiry(moment), Outcome::View(key, _)) => {
                reply::integer(
                    out,
                    match *key {
                        KeyView::Absent => -2,
                        KeyView::String { expires_at, .. } | KeyView::Hash { expires_at, .. } => {
                            tell(moment, expires_at, view.now)
                        }
                    },
                );
            }
            (Self::Count, Outcome::Count(count)) => reply::integer(out, count as i64),
            (Self::Random, Outcome::Keys(page)) => {
                reply::bulk_or_nil(out, page.items.first().map(|item| &item.key[..]), dialect);
            }
            (Self::Matching(pattern), Outcome::Keys(page)) => {
                let keys: Vec<Bytes> = page.items.into_iter().map(|item| item.key).collect();
                let keys: Vec<&Bytes> = keys.iter().filter(|key| glob::matches(&pattern, key)).collect();
                reply::array(out, keys.len());
                keys.into_iter().for_each(|key| reply::bulk(out, key));
            }
            (Self::Scan(pattern, kind), Outcome::Keys(page)) => {
                let is_wanted = |kind_of: KeyKind| match kind.as_deref() {
                    None => true,
                    Some(b"string") => kind_of == KeyKind::String,
                    Some(b"hash") => kind_of == KeyKind::Hash,
                    Some(_) => false,
                };
                let items = page.items.iter().filter(|item| is_wanted(item.kind));
                let items = items.filter(|item| {
                    pattern
                        .as_deref()
                        .is_none_or(|pattern| glob::matches(pattern, &item.key))
                });
                let keys: Vec<&Bytes> = items.map(|item| &item.key).collect();
                reply::array(out, 2);
                reply::bulk(out, page.next_hash.to_string().as_bytes());
                reply::array(out, keys.len());
                keys.into_iter().for_each(|key| reply::bulk(out, key));
            }
            (Self::Siblings, Outcome::Found(found)) => siblings(&found, out),
            (Self::Context, Outcome::Written(written)) => reply::bulk(out, token::encode(&written.context).as_bytes()),
            (Self::Fields(asked), Outcome::View(key, _)) => super::fields::some(*key, asked, dialect, out),
            (Self::Exists, outcome @ Outcome::View(..)) => reply::integer(out, i64::from(is_there(&outcome))),
            (shape, Outcome::View(key, _)) => super::fields::reply(&shape, *key, dialect, out),
            (shape, outcome) => return shape.many(vec![outcome], view, out),
        }
        Next::Replied
    }

    /// Writes the reply to the outcomes of a command's parts.
    pub fn many(self, outcomes: Vec<Outcome>, view: &View<'_>, out: &mut BytesMut) -> Next {
        let dialect = view.session.dialect;
        if let Some(Outcome::Failed(failure)) = outcomes.iter().find(|outcome| is_failure(outcome, &self)) {
            return self.failed(failure, out);
        }
        match self {
            Self::Ok => reply::simple(out, "OK"),
            Self::Values => {
                reply::array(out, outcomes.len());
                for outcome in &outcomes {
                    let value = match outcome {
                        // As Redis: no error for one key among several.
                        Outcome::Found(found) if found.siblings.len() == 1 => Some(&found.siblings[0].value.data[..]),
                        _ => None,
                    };
                    reply::bulk_or_nil(out, value, dialect);
                }
            }
            Self::Sum => reply::integer(out, outcomes.iter().map(count).sum()),
            Self::Exists => reply::integer(out, outcomes.iter().filter(|outcome| is_there(outcome)).count() as i64),
            Self::DeleteFound(targets) => {
                let there = targets
                    .into_iter()
                    .zip(&outcomes)
                    .filter(|(_, outcome)| is_there(outcome));
                let deletes: Vec<Command> = there.map(|(target, outcome)| delete(target, outcome, view)).collect();
                if deletes.is_empty() {
                    reply::integer(out, 0);
                } else {
                    return Next::Ask(deletes, Self::Deleted);
                }
            }
            Self::Deleted => reply::integer(out, outcomes.len() as i64),
            shape => {
                debug_assert!(false, "{shape:?} does not fit {outcomes:?}");
                reply::error(out, "ERR internal error: an outcome of another kind");
            }
        }
        Next::Replied
    }

    fn failed(self, failure: &Failure, out: &mut BytesMut) -> Next {
        reply::error(out, &failure::text(failure));
        Next::Replied
    }
}

/// A value of the wrong type is nil to MGET.
fn is_failure(outcome: &Outcome, shape: &Shape) -> bool {
    match outcome {
        Outcome::Failed(failure) => !(*shape == Shape::Values && failure.cause == Cause::WrongType),
        _ => false,
    }
}

fn string(
    target: Target,
    found: &Found,
    view: &View<'_>,
    again: impl FnOnce(Target) -> Shape,
    out: &mut BytesMut,
    write: impl FnOnce(Option<&[u8]>, &mut BytesMut),
) -> Next {
    if found.is_hash {
        let options = view.session.options();
        let command = Command::View(ViewKey {
            target: target.clone(),
            want: Want::Head,
            options,
        });
        return Next::Ask(vec![command], again(target));
    }
    match &found.siblings[..] {
        [] => write(None, out),
        [sibling] => write(Some(&sibling.value.data), out),
        [..] => reply::error(out, &failure::text(&Failure::refused(Cause::Siblings))),
    }
    Next::Replied
}

fn wrong_type(out: &mut BytesMut) {
    reply::error(out, &failure::text(&Failure::refused(Cause::WrongType)));
}

/// GETRANGE's part: negative places count from the end.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let length = value.len() as i64;
    if length == 0 || (start < 0 && end < 0 && start > end) {
        return b"";
    }
    let from_end = |place: i64| if place < 0 { (length + place).max(0) } else { place };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    if start > end {
        b""
    } else {
        &value[start as usize..=end as usize]
    }
}

fn tell(moment: Moment, expires_at: Option<Wall>, now: Wall) -> i64 {
    let Some(at) = expires_at else { return -1 };
    let left = at.0.saturating_sub(now.0) as i64;
    match moment {
        Moment::SecondsLeft => (left + 500) / 1_000,
        Moment::MillisecondsLeft => left,
        Moment::AtSeconds => (at.0 as i64 + 500) / 1_000,
        Moment::AtMilliseconds => at.0 as i64,
    }
}

fn count(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Updated(UpdateReply::Integer(number), _) => *number,
        _ => 0,
    }
}

fn is_there(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::View(key, _) => **key != KeyView::Absent,
        Outcome::Found(found) => !found.siblings.is_empty(),
        _ => false,
    }
}

fn delete(target: Target, outcome: &Outcome, view: &View<'_>) -> Command {
    let seen = match outcome {
        Outcome::Found(found) => found.context.clone(),
        _ => None,
    };
    Command::Put(Put {
        target,
        action: PutAction::Delete,
        context: seen.map_or(PutContext::ReadFirst, PutContext::Seen),
        request: None,
        options: view.session.options(),
    })
}

fn siblings(found: &Found, out: &mut BytesMut) {
    reply::array(out, 1 + found.siblings.len());
    let token = found.context.as_ref().map(token::encode).unwrap_or_default();
    reply::bulk(out, token.as_bytes());
    for sibling in &found.siblings {
        reply::bulk(out, &sibling.value.data);
    }
}

/// The next page of a walk over keys.
pub fn walk(bucket: torc_core::id::BucketId, start: KeysStart, want: KeysWant, session: &Session) -> Command {
    Command::Keys(Keys {
        bucket,
        start,
        want,
        options: session.options(),
    })
}
