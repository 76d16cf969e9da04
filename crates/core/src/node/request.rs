//! A client's request, taken with what the store has at hand: a plain put of what only this node holds is signed and on its
//! way to the disk at once, without a read of the store and without a quorum of one (RULINGS 43). Whatever is not plain
//! takes the way of every `Input::Request`, which answers the same.

use std::sync::Arc;

use crate::command::{self, Command, Request};
use crate::coordinator::put_alone::{self, PutAlone};
use crate::coordinator::{Operation, Origin, Place};
use crate::effect::Outbox;
use crate::id::RequestId;
use crate::limits::{OPERATIONS_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX};
use crate::node::Node;
use crate::node::at_once::alone_at;
use crate::storage::AtHand;
use crate::time::{Now, Time};

impl Node {
    /// A step with `Input::Request`, whose records `storage` may have at hand.
    pub fn request(&mut self, now: Now, request: Request, storage: &mut impl AtHand, out: &mut Outbox) {
        self.enter(now, out);
        let Some(Request { id, command }) = self.admit(request) else {
            self.leave(out);
            return;
        };
        let deadline = self.deadline_of(&command);
        let is_begun = if let Command::Put(put) = &command
            && self.site.can_mint(&command)
        {
            self.put_alone(id, put, deadline, storage).is_some()
        } else {
            false
        };
        if !is_begun {
            self.begin(Origin::Client(id), command, deadline, Place::Anywhere);
        }
        self.leave(out);
    }

    /// Begins a put that this node may sign; `None`: nothing was done.
    fn put_alone(
        &mut self,
        request: RequestId,
        command: &command::Put,
        deadline: Time,
        storage: &mut impl AtHand,
    ) -> Option<()> {
        let site = &mut self.site;
        let (bucket, key) = alone_at(&command.target, command.options.write, |bucket| bucket.w, site)?;
        let put = put_alone::plain(command, bucket, site)?;
        let bucket = Arc::clone(bucket);
        let id = self.operations.reserve(OPERATIONS_MAX)?;
        let Some(stamp) = self
            .replica
            .sign_at_hand(id, &key, put, &bucket, &mut self.site, storage)
        else {
            self.operations.remove(id);
            return None;
        };
        let signed = stamp.hlc;
        self.operations
            .insert(id, Operation::PutAlone(PutAlone { request, signed }));
        self.site.deadlines.insert(deadline, id);
        Some(())
    }

    /// When a client gives its command up.
    pub(super) fn deadline_of(&self, command: &Command) -> Time {
        let asked = command.options().and_then(|options| options.timeout_ms);
        let timeout_ms = asked.unwrap_or(TIMEOUT_MS_DEFAULT).min(TIMEOUT_MS_MAX);
        self.site.now.time.plus_ms(u64::from(timeout_ms))
    }
}
