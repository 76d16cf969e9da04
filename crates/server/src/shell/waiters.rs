//! Who waits for the outcome of which request.

use std::rc::Rc;

use tokio::sync::oneshot;
use torc_core::id::{ClientRequestId, RequestId};
use torc_core::outcome::Outcome;
use torc_core::time::Time;
use torc_frontends::resp::Ticket;

use super::measures::Operation;
use super::resp::Mailbox;

/// Where an outcome goes.
#[derive(Debug)]
pub enum Waiter {
    /// To a connection of the Redis protocol.
    Resp(Rc<Mailbox>, Ticket),
    /// To a task that may have gone.
    Task(oneshot::Sender<Outcome>),
}

impl Waiter {
    /// Hands the outcome over.
    pub fn answer(self, outcome: Outcome) {
        match self {
            Self::Resp(mailbox, ticket) => mailbox.put(ticket, outcome),
            // The client hung up: nobody is left to tell.
            Self::Task(sender) => drop(sender.send(outcome)),
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct Waiting {
    /// Whose it is.
    pub waiter: Waiter,
    /// For the metrics.
    pub operation: Operation,
    /// When it came.
    pub started: Time,
    /// Its payload, counted against the limit of all requests in flight.
    pub bytes: usize,
    /// What the client calls it, for the log.
    pub client_id: Option<ClientRequestId>,
}

/// All requests in flight, by number.
#[derive(Debug, Default)]
pub struct Waiters {
    slots: Vec<Option<Waiting>>,
    free: Vec<u32>,
}

impl Waiters {
    /// Numbers a request.
    pub fn insert(&mut self, waiting: Waiting) -> RequestId {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(waiting);
                RequestId(u64::from(slot))
            }
            None => {
                self.slots.push(Some(waiting));
                RequestId(self.slots.len() as u64 - 1)
            }
        }
    }

    /// The request, which is answered now. The core answers each once.
    pub fn take(&mut self, id: RequestId) -> Option<Waiting> {
        let waiting = self.slots.get_mut(id.0 as usize)?.take()?;
        self.free.push(id.0 as u32);
        Some(waiting)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
