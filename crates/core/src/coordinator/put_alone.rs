//! A put of a last-writer-wins record whose one home is this node, once it is signed: it waits for the commit and for
//! nobody else. It answers what [`super::put`] answers to the same.

use crate::bucket::{Bucket, Conflict};
use crate::causality::{ClientContext, Payload};
use crate::change::{Put as SignedPut, PutKind};
use crate::command::{self, PutAction, PutContext};
use crate::coordinator::put::check;
use crate::coordinator::{Event, Origin, Progress};
use crate::id::RequestId;
use crate::message::WriteResult;
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome, Written};
use crate::site::Site;
use crate::time::Hlc;

/// Who answers what has one home: that home.
pub const ALONE: Answered = Answered {
    answered: 1,
    n: 1,
    sloppy: false,
};

/// See the module.
#[derive(Debug)]
pub struct PutAlone {
    /// Who waits.
    pub request: RequestId,
    /// What was signed.
    pub signed: Hlc,
}

impl PutAlone {
    /// The commit's end, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let (needed, answered, n) = (1, 0, 1);
        let unknown = |cause| {
            let certainty = Certainty::Unknown;
            Outcome::Failed(Failure { cause, certainty })
        };
        let outcome = match event {
            Event::Wrote(_, _, WriteResult::Done { .. }) => Outcome::Written(Written {
                context: ClientContext::Clock(self.signed),
                answered: ALONE,
            }),
            Event::Wrote(_, _, WriteResult::DiskFull) => unknown(Cause::DiskFull),
            Event::Wrote(_, _, WriteResult::Failed) => unknown(Cause::NotEnoughReplicas { needed, answered, n }),
            Event::Deadline => unknown(Cause::Deadline { needed, answered, n }),
            Event::Read(..)
            | Event::Changed(_)
            | Event::Forwarded(..)
            | Event::Refused(..)
            | Event::PeerDown(_)
            | Event::LockGranted
            | Event::Carried(_)
            | Event::Hedge
            | Event::Child(..) => return Progress::Continue,
        };
        site.finish(Origin::Client(self.request), outcome);
        Progress::Done
    }
}

/// What such a put signs; `None` if it must look elsewhere first, or is at fault.
#[must_use]
pub fn plain(command: &command::Put, bucket: &Bucket, site: &Site) -> Option<SignedPut> {
    let floor = match &command.context {
        PutContext::Blind => Hlc::ZERO,
        PutContext::Seen(ClientContext::Clock(hlc)) => *hlc,
        PutContext::Seen(ClientContext::Dots(_)) | PutContext::ReadFirst => return None,
    };
    let (payload, expires_at) = match &command.action {
        PutAction::Value(value, ttl) => {
            let ttl = ttl.fixed(bucket.ttl_seconds, site.now.wall);
            (Payload::Value(value.clone()), ttl.moment())
        }
        PutAction::Delete => (Payload::Tombstone, None),
        PutAction::ClearPartition => return None,
    };
    let is_plain = bucket.conflict == Conflict::Lww && command.request.is_none() && check(command, bucket).is_ok();
    is_plain.then(|| SignedPut {
        base: None,
        payload,
        expires_at,
        kind: PutKind::Lww {
            floor,
            is_head: command.target.sort.is_empty(),
        },
        request: None,
    })
}
