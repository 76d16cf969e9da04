//! Who waits for the outcome of which request.

use std::rc::Rc;

use tokio::sync::oneshot;
use torc_core::id::ClientRequestId;
use torc_core::outcome::Outcome;
use torc_core::time::Time;
use torc_frontends::resp::Ticket;

use super::measures::Operation;
use super::resp::Mailbox;
use super::shards::Returns;

/// Where an outcome goes.
#[derive(Debug)]
pub enum Waiter {
    /// To a connection of the Redis protocol on this thread.
    Resp(Rc<Mailbox>, Ticket),
    /// To a task on this thread that may have gone.
    Task(oneshot::Sender<Outcome>),
    /// To whoever waits in a slot of another shard.
    Shard(Rc<Returns>, u32),
}

impl Waiter {
    /// Hands the outcome over.
    pub fn answer(self, outcome: Outcome) {
        match self {
            Self::Resp(mailbox, ticket) => mailbox.put(ticket, outcome),
            // The client hung up: nobody is left to tell.
            Self::Task(sender) => drop(sender.send(outcome)),
            Self::Shard(returns, slot) => returns.put(slot, outcome),
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

/// Those who wait, by number. Numbers are used again.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Numbers somebody who waits.
    pub fn insert(&mut self, waiting: T) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(waiting);
                slot
            }
            None => {
                self.slots.push(Some(waiting));
                self.slots.len() as u32 - 1
            }
        }
    }

    /// Whoever waits there, and is answered now: each is answered once.
    pub fn take(&mut self, slot: u32) -> Option<T> {
        let waiting = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(waiting)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
