//! One shard: what the client connections of a thread share, and their way to the core.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use torc_core::bucket::Catalog;
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::outcome::Outcome;
use torc_core::random::Random;
use torc_core::time::{Now, Time};
use torc_frontends::http::{Code, HttpReply, NodeRequest, Problem};
use torc_frontends::resp::ServerFacts;

use super::super::common::{Common, Stage};
use super::super::resp::Mailbox;
use super::super::waiters::Waiter;
use super::super::{Shell, answers, facts};
use super::line::Near;
use crate::config::RESP_PORT;

/// How a shard reaches the core.
pub enum Way {
    /// The core runs on this thread.
    Here(Rc<Shell>),
    /// It runs on the node's thread.
    Across(Rc<Near>),
}

/// A thread's share of a node's clients.
pub struct Shard {
    /// What all threads of the node share.
    pub common: Arc<Common>,
    way: Way,
    random: RefCell<Random>,
    /// The connections of Redis clients, by number.
    mailboxes: RefCell<BTreeMap<u64, Rc<Mailbox>>>,
}

impl Shard {
    /// A shard without clients.
    pub fn new(common: Arc<Common>, way: Way, seed: u64) -> Self {
        Self {
            common,
            way,
            random: RefCell::new(Random::new(seed)),
            mailboxes: RefCell::default(),
        }
    }

    /// Reads the clocks: at the start of every turn.
    pub fn begin_turn(&self) -> Now {
        match &self.way {
            Way::Here(shell) => shell.engine.borrow_mut().begin_turn(),
            Way::Across(near) => near.begin_turn(),
        }
        self.now()
    }

    /// The clocks of this turn.
    pub fn now(&self) -> Now {
        match &self.way {
            Way::Here(shell) => shell.engine.borrow().now(),
            Way::Across(near) => near.now(),
        }
    }

    /// The buckets.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.common.catalog
    }

    /// 64 random bits.
    pub fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// A client asks; the answer goes to `waiter`, perhaps before this returns.
    pub fn request(&self, command: Command, waiter: Waiter) {
        match &self.way {
            Way::Here(shell) => shell.engine.borrow_mut().request(command, waiter),
            Way::Across(near) => near.request(command, waiter),
        }
    }

    /// The outcome of a read that needs nothing but what is in this thread's reach; `None`: it must be a [`Self::request`].
    pub fn answer_now(&self, command: &Command) -> Option<Outcome> {
        match &self.way {
            Way::Here(shell) => shell.engine.borrow_mut().answer_now(command),
            Way::Across(_) => None,
        }
    }

    /// Shows a string that is in this thread's reach, without a copy of it; false: it must be a [`Self::request`].
    pub fn show_now(
        &self,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        show: &mut dyn FnMut(Option<&Bytes>),
    ) -> bool {
        match &self.way {
            Way::Here(shell) => shell.engine.borrow_mut().show_now(bucket, key, options, show),
            Way::Across(_) => false,
        }
    }

    /// What the node answers by itself.
    pub async fn document(&self, request: NodeRequest, method: &Method) -> HttpReply {
        match &self.way {
            Way::Here(shell) => answers::answer(shell, request, method),
            Way::Across(near) => {
                let gone = || Problem::new(Code::Unavailable, "the node is stopping").reply();
                near.document(request, method.clone()).await.unwrap_or_else(gone)
            }
        }
    }

    /// What INFO and CLIENT LIST say.
    pub fn facts(&self) -> ServerFacts {
        if let Way::Here(shell) = &self.way {
            shell.publish();
            shell.publish_store();
        }
        let common = &self.common;
        ServerFacts {
            version: env!("CARGO_PKG_VERSION").into(),
            node: common.config.name.clone(),
            process_id: std::process::id(),
            port: common.config.base_port + RESP_PORT,
            uptime_seconds: common.started.elapsed().as_secs(),
            used_memory_bytes: facts::resident_bytes(),
            memory_bytes_max: common.config.memory_max.0,
            requests: common.requests.load(Ordering::Relaxed),
            connections: common.clients.counts().0,
            clients: common.clients.redis(),
            disk_bytes: common.disk_bytes.load(Ordering::Relaxed),
        }
    }

    /// Keeps a Redis client's connection.
    pub fn add_redis(&self, id: u64, address: String, mailbox: Rc<Mailbox>) {
        self.common.clients.add_redis(id, address);
        if self.common.is_draining() {
            mailbox.close();
        }
        self.mailboxes.borrow_mut().insert(id, mailbox);
    }

    /// A Redis client's connection ended.
    pub fn remove_redis(&self, id: u64) {
        self.mailboxes.borrow_mut().remove(&id);
    }

    /// Ends the connections of Redis clients that say nothing for too long.
    pub async fn close_silent(self: Rc<Self>) {
        let idle_seconds_max = self.common.config.limits.idle_seconds_max;
        if idle_seconds_max == 0 {
            return;
        }
        let idle_us = idle_seconds_max.saturating_mul(1_000_000);
        loop {
            tokio::time::sleep(Duration::from_secs(idle_seconds_max.clamp(1, 30))).await;
            let since = Time(self.begin_turn().time.0.saturating_sub(idle_us));
            for mailbox in self.mailboxes.borrow().values() {
                if mailbox.heard_at() < since {
                    mailbox.close();
                }
            }
        }
    }

    /// Ends the connections of Redis clients once the node stops; those over HTTP end by themselves.
    pub async fn stop(self: Rc<Self>) {
        self.common.reached(Stage::Draining).await;
        for mailbox in self.mailboxes.borrow().values() {
            mailbox.close();
        }
    }
}
