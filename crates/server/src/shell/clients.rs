//! The client connections of a node: how many there may be, who they are, and which have been silent for too long.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use torc_core::time::Time;

use super::resp::Mailbox;

/// A connection of a Redis client.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    mailbox: Rc<Mailbox>,
}

/// All client connections.
#[derive(Debug)]
pub struct Clients {
    max: usize,
    next_id: Cell<u64>,
    open: Cell<usize>,
    accepted: Cell<u64>,
    refused: Cell<u64>,
    redis: RefCell<BTreeMap<u64, Client>>,
}

impl Clients {
    /// None yet; at most `max`.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            next_id: Cell::new(1),
            open: Cell::new(0),
            accepted: Cell::new(0),
            refused: Cell::new(0),
            redis: RefCell::default(),
        }
    }

    /// Numbers a new connection; `None` if there are too many. It has to be removed when it ends.
    pub fn admit(&self) -> Option<u64> {
        if self.open.get() >= self.max {
            self.refused.set(self.refused.get() + 1);
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.accepted.set(self.accepted.get() + 1);
        Some(self.next_id.replace(self.next_id.get() + 1))
    }

    /// Keeps a Redis client's connection in the list.
    pub fn add(&self, id: u64, address: String, mailbox: Rc<Mailbox>) {
        self.redis.borrow_mut().insert(id, Client { address, mailbox });
    }

    /// A connection ended.
    pub fn remove(&self, id: u64) {
        self.open.set(self.open.get() - 1);
        self.redis.borrow_mut().remove(&id);
    }

    /// The Redis clients: number and address.
    pub fn redis(&self) -> Vec<(u64, String)> {
        let redis = self.redis.borrow();
        redis.iter().map(|(&id, client)| (id, client.address.clone())).collect()
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Connections accepted and refused so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.accepted.get(), self.refused.get())
    }

    /// Ends the Redis connections that said nothing since `since`.
    pub fn close_silent(&self, since: Time) {
        for client in self.redis.borrow().values() {
            if client.mailbox.heard_at() < since {
                client.mailbox.close();
            }
        }
    }

    /// Ends all Redis connections.
    pub fn close_all(&self) {
        for client in self.redis.borrow().values() {
            client.mailbox.close();
        }
    }
}
