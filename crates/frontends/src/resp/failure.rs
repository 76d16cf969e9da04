//! Failures in Redis's way: a prefix that programs look at, and words for people (RULINGS 11).

use torc_core::outcome::{Cause, Certainty, Failure};

/// The text of an error reply.
pub fn text(failure: &Failure) -> String {
    let may_appear = failure.certainty == Certainty::Unknown;
    match &failure.cause {
        Cause::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
        Cause::Siblings => "SIBLINGS the key holds several values; use TORC.GET".into(),
        Cause::Redis(text) => text.clone(),
        Cause::BadRequest(why) | Cause::BadContext(why) | Cause::NotInThisVersion(why) => format!("ERR {why}"),
        Cause::WrongMode(why) => format!("WRONGMODE {why}"),
        Cause::NoSuchBucket => "NOBUCKET the bucket does not exist".into(),
        Cause::TooManySiblings { limit, actual } => format!(
            "TOOMANYSIBLINGS the write would leave {actual} siblings, {limit} are allowed; read and write back the merged value"
        ),
        Cause::ValueTooLarge { limit, actual } => {
            format!("TOOLARGE the value has {actual} bytes, {limit} are allowed (value_bytes_max of the bucket)")
        }
        Cause::KeyTooLarge { limit, actual } => format!("TOOLARGE the key has {actual} bytes, {limit} are allowed"),
        Cause::ResultTooLarge { limit } => {
            format!("TOOLARGE the result has more than {limit} bytes; ask for a part of it (SCAN, HSCAN, HMGET)")
        }
        Cause::Busy { retry_after_ms } => {
            format!("BUSY too many requests are in flight; try again in {retry_after_ms} ms")
        }
        Cause::NotEnoughReplicas { needed, answered, n } | Cause::Deadline { needed, answered, n } if may_appear => {
            format!("UNKNOWN {answered} of {needed} answers came from {n} copies; the write may yet appear")
        }
        Cause::NotEnoughReplicas { needed, answered, n } => format!(
            "NOREPLICAS {needed} answers were needed of {n} copies, {answered} came and no more can; nothing was changed"
        ),
        Cause::Deadline { needed, answered, n } => format!(
            "NOREPLICAS {needed} answers were needed of {n} copies, {answered} came in time; nothing was changed"
        ),
        Cause::DiskFull => "DISKFULL all nodes that hold the key are full; deletes still work".into(),
        Cause::RequestIdReused => "ERR the request id was used for another request".into(),
        Cause::Unavailable(why) if may_appear => format!("UNKNOWN {why}; the write may yet appear"),
        Cause::Unavailable(why) => format!("NOREPLICAS {why}"),
    }
}
