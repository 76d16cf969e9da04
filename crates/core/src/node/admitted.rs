//! Where client requests meet admission: they begin, wait their turn, or are turned away. What nodes say to one another is
//! no part of this: gossip, boots and acknowledgements never wait behind client work.

use super::Node;
use crate::admission::AdmissionLimits;
use crate::command::{Command, Request};
use crate::coordinator::{Origin, Place};
use crate::id::RequestId;
use crate::outcome::{Cause, Failure, Outcome};
use crate::time::Time;

/// A request that waits to begin.
#[derive(Debug)]
pub(super) struct Waiting {
    id: RequestId,
    command: Command,
    deadline: Time,
}

impl Node {
    /// Changes how many client requests run at a time, and how long others may wait. Holds from the next step on.
    pub fn set_admission(&mut self, limits: AdmissionLimits) {
        self.admission.set_limits(limits);
    }

    /// Hands a request back if it may begin now; keeps it if it has to wait.
    pub(super) fn admit(&mut self, request: Request) -> Option<Request> {
        self.site.stats.requests += 1;
        if self.admission.enter() {
            return Some(request);
        }
        let deadline = self.deadline_of(&request.command);
        let Request { id, command } = request;
        let waiting = Waiting { id, command, deadline };
        if let Some(oldest) = self.admission.wait(waiting, deadline, self.site.now.time) {
            self.turn_away(&oldest);
        }
        None
    }

    /// Begins requests that waited, while there is room.
    pub(super) fn let_in(&mut self) {
        while let Some(waiting) = self.admission.next(self.site.now.time) {
            let Waiting { id, command, deadline } = waiting;
            self.begin(Origin::Client(id), command, deadline, Place::Anywhere);
            self.settle();
        }
    }

    /// Turns away those that have waited too long.
    pub(super) fn turn_away_late(&mut self) {
        for late in self.admission.shed(self.site.now.time) {
            self.turn_away(&late);
        }
    }

    fn turn_away(&mut self, waiting: &Waiting) {
        self.site.stats.busy += 1;
        let retry_after_ms = self.admission.retry_after_ms(self.site.now.time);
        let failure = Failure::refused(Cause::Busy { retry_after_ms });
        self.reply(waiting.id, Outcome::Failed(failure));
    }
}
