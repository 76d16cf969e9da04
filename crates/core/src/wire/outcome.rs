//! Outcomes of forwarded commands to prost messages and back: written, updated, failed.

use crate::causality::token;
use crate::keyspace::UpdateReply;
use crate::message::ForwardReply;
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome, Written};
use crate::wire::message::byte;
use crate::wire::{EncodeError, WireError, command, v1};

const REPLY_DONE: u32 = 1;
const REPLY_INTEGER: u32 = 2;
const REPLY_VALUE: u32 = 3;

const BAD_REQUEST: u32 = 1;
const BAD_CONTEXT: u32 = 2;
const NO_SUCH_BUCKET: u32 = 3;
const WRONG_MODE: u32 = 4;
const NOT_IN_THIS_VERSION: u32 = 5;
const TOO_MANY_SIBLINGS: u32 = 6;
const VALUE_TOO_LARGE: u32 = 7;
const KEY_TOO_LARGE: u32 = 8;
const BUSY: u32 = 9;
const NOT_ENOUGH_REPLICAS: u32 = 10;
const DEADLINE: u32 = 11;
const DISK_FULL: u32 = 12;
const REQUEST_ID_REUSED: u32 = 13;
const WRONG_TYPE: u32 = 14;
const REDIS: u32 = 15;
const SIBLINGS: u32 = 16;
const RESULT_TOO_LARGE: u32 = 17;
const UNAVAILABLE: u32 = 18;

/// The prost form of a forwarded command's outcome.
pub(super) fn pack(reply: &ForwardReply) -> Result<v1::ForwardReply, EncodeError> {
    let (answered, outcome) = match &reply.outcome {
        Outcome::Written(written) => {
            let context = command::pack_context(&written.context);
            (Some(written.answered), v1::Outcome::Written(v1::Written { context }))
        }
        Outcome::Updated(update_reply, answered) => {
            (Some(*answered), v1::Outcome::Updated(pack_update_reply(update_reply)))
        }
        Outcome::Failed(failure) => (None, v1::Outcome::Failed(pack_failure(failure))),
        Outcome::Found(_)
        | Outcome::View(..)
        | Outcome::Listed(_)
        | Outcome::Keys(_)
        | Outcome::Count(_)
        | Outcome::Batch(_)
        | Outcome::Inspected(_) => return Err(EncodeError::NeverForwarded),
    };
    let answered = answered.map(|answered| v1::Answered {
        answered: u32::from(answered.answered),
        n: u32::from(answered.n),
        is_sloppy: answered.sloppy,
    });
    Ok(v1::ForwardReply {
        op: reply.op.0,
        answered,
        outcome: Some(outcome),
    })
}

/// Reads an outcome. A kind that this version does not know is an unknown message.
pub(super) fn unpack(reply: v1::ForwardReply) -> Result<Outcome, WireError> {
    let answered = || {
        let answered = reply.answered.as_ref().ok_or(WireError::Malformed)?;
        let (count, n) = (byte(answered.answered)?, byte(answered.n)?);
        Ok::<_, WireError>(Answered {
            answered: count,
            n,
            sloppy: answered.is_sloppy,
        })
    };
    Ok(match &reply.outcome {
        None => return Err(WireError::UnknownMessage),
        Some(v1::Outcome::Written(written)) => Outcome::Written(Written {
            context: token::from_raw(&written.context)?,
            answered: answered()?,
        }),
        Some(v1::Outcome::Updated(updated)) => Outcome::Updated(unpack_update_reply(updated)?, answered()?),
        Some(v1::Outcome::Failed(failed)) => Outcome::Failed(unpack_failure(failed)?),
    })
}

fn pack_update_reply(reply: &UpdateReply) -> v1::Updated {
    match reply {
        UpdateReply::Done => v1::Updated {
            reply_code: REPLY_DONE,
            ..v1::Updated::default()
        },
        UpdateReply::Integer(integer) => v1::Updated {
            reply_code: REPLY_INTEGER,
            integer: *integer,
            value: None,
        },
        UpdateReply::Value(value) => v1::Updated {
            reply_code: REPLY_VALUE,
            integer: 0,
            value: value.clone(),
        },
    }
}

fn unpack_update_reply(updated: &v1::Updated) -> Result<UpdateReply, WireError> {
    Ok(match updated.reply_code {
        REPLY_DONE => UpdateReply::Done,
        REPLY_INTEGER => UpdateReply::Integer(updated.integer),
        REPLY_VALUE => UpdateReply::Value(updated.value.clone()),
        _ => return Err(WireError::Malformed),
    })
}

fn pack_failure(failure: &Failure) -> v1::Failed {
    let mut failed = v1::Failed {
        is_unknown: failure.certainty == Certainty::Unknown,
        ..v1::Failed::default()
    };
    failed.cause_code = match &failure.cause {
        Cause::BadRequest(text) => with_text(&mut failed, text, BAD_REQUEST),
        Cause::BadContext(text) => with_text(&mut failed, text, BAD_CONTEXT),
        Cause::WrongMode(text) => with_text(&mut failed, text, WRONG_MODE),
        Cause::NotInThisVersion(text) => with_text(&mut failed, text, NOT_IN_THIS_VERSION),
        Cause::Redis(text) => with_text(&mut failed, text, REDIS),
        Cause::Unavailable(text) => with_text(&mut failed, text, UNAVAILABLE),
        Cause::NoSuchBucket => NO_SUCH_BUCKET,
        Cause::DiskFull => DISK_FULL,
        Cause::RequestIdReused => REQUEST_ID_REUSED,
        Cause::WrongType => WRONG_TYPE,
        Cause::Siblings => SIBLINGS,
        Cause::TooManySiblings { limit, actual } => {
            with_limit(&mut failed, u64::from(*limit), u64::from(*actual), TOO_MANY_SIBLINGS)
        }
        Cause::ValueTooLarge { limit, actual } => with_limit(&mut failed, *limit, *actual, VALUE_TOO_LARGE),
        Cause::KeyTooLarge { limit, actual } => with_limit(&mut failed, *limit, *actual, KEY_TOO_LARGE),
        Cause::ResultTooLarge { limit } => with_limit(&mut failed, *limit, 0, RESULT_TOO_LARGE),
        Cause::Busy { retry_after_ms } => {
            failed.retry_after_ms = *retry_after_ms;
            BUSY
        }
        Cause::NotEnoughReplicas { needed, answered, n } => {
            with_answers(&mut failed, [*needed, *answered, *n], NOT_ENOUGH_REPLICAS)
        }
        Cause::Deadline { needed, answered, n } => with_answers(&mut failed, [*needed, *answered, *n], DEADLINE),
    };
    failed
}

fn unpack_failure(failed: &v1::Failed) -> Result<Failure, WireError> {
    let text = || failed.text.clone();
    let small = |number: u64| u32::try_from(number).map_err(|_| WireError::Malformed);
    let (limit, actual) = (failed.limit, failed.actual);
    let (needed, answered, n) = (byte(failed.needed)?, byte(failed.answered)?, byte(failed.n)?);
    let cause = match failed.cause_code {
        BAD_REQUEST => Cause::BadRequest(text()),
        BAD_CONTEXT => Cause::BadContext(text()),
        WRONG_MODE => Cause::WrongMode(text()),
        NOT_IN_THIS_VERSION => Cause::NotInThisVersion(text()),
        REDIS => Cause::Redis(text()),
        UNAVAILABLE => Cause::Unavailable(text()),
        NO_SUCH_BUCKET => Cause::NoSuchBucket,
        DISK_FULL => Cause::DiskFull,
        REQUEST_ID_REUSED => Cause::RequestIdReused,
        WRONG_TYPE => Cause::WrongType,
        SIBLINGS => Cause::Siblings,
        TOO_MANY_SIBLINGS => Cause::TooManySiblings {
            limit: small(limit)?,
            actual: small(actual)?,
        },
        VALUE_TOO_LARGE => Cause::ValueTooLarge { limit, actual },
        KEY_TOO_LARGE => Cause::KeyTooLarge { limit, actual },
        RESULT_TOO_LARGE => Cause::ResultTooLarge { limit },
        BUSY => Cause::Busy {
            retry_after_ms: failed.retry_after_ms,
        },
        NOT_ENOUGH_REPLICAS => Cause::NotEnoughReplicas { needed, answered, n },
        DEADLINE => Cause::Deadline { needed, answered, n },
        _ => return Err(WireError::Malformed),
    };
    let certainty = if failed.is_unknown {
        Certainty::Unknown
    } else {
        Certainty::NotApplied
    };
    Ok(Failure { cause, certainty })
}

fn with_text(failed: &mut v1::Failed, text: &str, code: u32) -> u32 {
    text.clone_into(&mut failed.text);
    code
}

fn with_limit(failed: &mut v1::Failed, limit: u64, actual: u64, code: u32) -> u32 {
    (failed.limit, failed.actual) = (limit, actual);
    code
}

fn with_answers(failed: &mut v1::Failed, [needed, answered, n]: [u8; 3], code: u32) -> u32 {
    (failed.needed, failed.answered, failed.n) = (u32::from(needed), u32::from(answered), u32::from(n));
    code
}
