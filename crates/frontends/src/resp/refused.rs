//! Why a command is answered with an error: the line as the client sees it, prefix first.

use std::borrow::Cow;

use torc_core::bucket::{Bucket, Mode};
use torc_core::outcome::{Cause, Certainty, Failure};

/// An error line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused(pub Cow<'static, str>);

impl Refused {
    /// An option that is not one, or not there.
    pub const SYNTAX: Self = Self(Cow::Borrowed("ERR syntax error"));
    /// Not a number.
    pub const NOT_AN_INTEGER: Self = Self(Cow::Borrowed("ERR value is not an integer or out of range"));
    /// The key holds the other type.
    pub const WRONG_TYPE: Self = Self(Cow::Borrowed(
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ));
    /// A key with several values.
    pub const SIBLINGS: Self = Self(Cow::Borrowed("SIBLINGS use TORC.GET"));

    /// An error of these words.
    pub fn of(words: impl Into<Cow<'static, str>>) -> Self {
        Self(words.into())
    }

    /// Too many or too few words.
    pub fn arity(name: &str) -> Self {
        Self(format!("ERR wrong number of arguments for '{name}' command").into())
    }

    /// An expiry that is no time.
    pub fn expiry(name: &str) -> Self {
        Self(format!("ERR invalid expire time in '{name}' command").into())
    }

    /// No such bucket.
    pub fn no_bucket(name: &str) -> Self {
        Self(format!("NOBUCKET there is no bucket '{name}'").into())
    }

    /// A command that replicas must agree on (RULINGS 11).
    pub fn needs_agreement(name: &str, bucket: &Bucket) -> Self {
        let bucket_name = &bucket.name;
        Self(match bucket.mode {
            Mode::Available => {
                format!("WRONGMODE '{name}' needs agreement; bucket '{bucket_name}' is available; use SELECT 1").into()
            }
            Mode::Consistent => {
                format!("ERR '{name}' in bucket '{bucket_name}': consistent buckets are not in this version").into()
            }
        })
    }
}

/// The line for a failure (RULINGS 11).
pub fn of_failure(failure: &Failure) -> Cow<'static, str> {
    if failure.certainty == Certainty::Unknown {
        return format!("UNKNOWN {}; the write may still appear", words(&failure.cause)).into();
    }
    let prefix = match &failure.cause {
        Cause::WrongType => return Refused::WRONG_TYPE.0,
        Cause::Siblings => return Refused::SIBLINGS.0,
        Cause::Redis(line) => return line.clone().into(),
        Cause::BadRequest(_)
        | Cause::BadContext(_)
        | Cause::NotInThisVersion(_)
        | Cause::RequestIdReused
        | Cause::Unavailable(_) => "ERR",
        Cause::NoSuchBucket => "NOBUCKET",
        Cause::WrongMode(_) => "WRONGMODE",
        Cause::TooManySiblings { .. } => "TOOMANYSIBLINGS",
        Cause::ValueTooLarge { .. } | Cause::KeyTooLarge { .. } | Cause::ResultTooLarge { .. } => "TOOLARGE",
        Cause::Busy { .. } => "BUSY",
        Cause::NotEnoughReplicas { .. } | Cause::Deadline { .. } => "NOREPLICAS",
        Cause::DiskFull => "DISKFULL",
    };
    format!("{prefix} {}", words(&failure.cause)).into()
}

fn words(cause: &Cause) -> Cow<'static, str> {
    match cause {
        Cause::BadRequest(text)
        | Cause::BadContext(text)
        | Cause::WrongMode(text)
        | Cause::Redis(text)
        | Cause::Unavailable(text) => text.clone().into(),
        Cause::NotInThisVersion(text) if text.contains("not in this version") => text.clone().into(),
        Cause::NotInThisVersion(text) => format!("{text} is not in this version").into(),
        Cause::NoSuchBucket => "there is no such bucket".into(),
        Cause::TooManySiblings { limit, actual } => format!(
            "the put would leave {actual} siblings; the bucket allows {limit}: read, merge, put with the context"
        )
        .into(),
        Cause::ValueTooLarge { limit, actual } => {
            format!("the value would have {actual} bytes; the bucket allows {limit}").into()
        }
        Cause::KeyTooLarge { limit, actual } => format!("the key has {actual} bytes; {limit} are allowed").into(),
        Cause::ResultTooLarge { limit } => {
            format!("the result is larger than the {limit} bytes that one command may gather; use SCAN or HSCAN").into()
        }
        Cause::Busy { retry_after_ms } => {
            format!("too many requests are in flight; try again after {retry_after_ms} ms").into()
        }
        Cause::NotEnoughReplicas { needed, answered, n } => {
            format!("{needed} of {n} replicas are needed and {answered} can answer").into()
        }
        Cause::Deadline { needed, answered, n } => {
            format!("{needed} of {n} replicas are needed and {answered} answered before the deadline").into()
        }
        Cause::DiskFull => "the disks of all homes of the key are full".into(),
        Cause::RequestIdReused => "the request id was used for another request".into(),
        Cause::WrongType => "Operation against a key holding the wrong kind of value".into(),
        Cause::Siblings => "the key has several values".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_prefix_of_its_cause_and_unknown_comes_first() {
        let line = |cause: Cause, certainty| of_failure(&Failure { cause, certainty }).into_owned();
        let too_few = Cause::NotEnoughReplicas {
            needed: 2,
            answered: 1,
            n: 3,
        };
        assert_eq!(
            line(too_few, Certainty::NotApplied),
            "NOREPLICAS 2 of 3 replicas are needed and 1 can answer"
        );
        let late = Cause::Deadline {
            needed: 2,
            answered: 1,
            n: 3,
        };
        assert!(line(late.clone(), Certainty::NotApplied).starts_with("NOREPLICAS "));
        assert!(line(late, Certainty::Unknown).starts_with("UNKNOWN "));
        assert!(line(Cause::WrongType, Certainty::NotApplied).starts_with("WRONGTYPE Operation"));
        assert!(line(Cause::DiskFull, Certainty::NotApplied).starts_with("DISKFULL "));
        assert_eq!(
            line(Cause::Redis("ERR own words".into()), Certainty::NotApplied),
            "ERR own words"
        );
    }
}
