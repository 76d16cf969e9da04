//! The line between a shard and the node's thread: commands one way, outcomes the other, a turn's worth at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use tokio::sync::oneshot;
use torc_core::command::Command;
use torc_core::outcome::Outcome;
use torc_core::time::{Now, Time};
use torc_frontends::http::{HttpReply, NodeRequest};

use super::super::common::Common;
use super::super::engine::{busy, payload_bytes};
use super::super::handover::{Handover, Turn};
use super::super::waiters::{Slots, Waiter};
use super::super::{Shell, answers};

/// Commands that are begun before other tasks of the node's thread have their turn.
const BEGUN_MAX: usize = 512;

/// What a shard asks of the node's thread.
#[derive(Debug)]
enum Ask {
    /// Since when it waits; the outcome goes back to this slot.
    Command(u32, Command, Time),
    /// A document that the node writes by itself.
    Document(NodeRequest, Method, oneshot::Sender<HttpReply>),
}

/// What both ends share.
#[derive(Debug, Default)]
pub struct Line {
    asked: Handover<Ask>,
    told: Handover<(u32, Outcome)>,
    /// Commands asked and not yet answered.
    in_flight: AtomicUsize,
}

impl Line {
    /// Commands asked and not yet answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }
}

/// The shard's end.
#[derive(Debug)]
pub struct Near {
    line: Arc<Line>,
    common: Arc<Common>,
    now: Cell<Now>,
    /// Whoever waits, and the bytes of what they asked.
    waiters: RefCell<Slots<(Waiter, usize)>>,
    asks: Turn<Ask>,
}

impl Near {
    /// Of a shard that begins to serve.
    pub fn new(line: Arc<Line>, common: Arc<Common>) -> Self {
        Self {
            line,
            now: Cell::new(common.clock.now()),
            common,
            waiters: RefCell::default(),
            asks: Turn::default(),
        }
    }

    /// Reads the clocks: at the start of every turn.
    pub fn begin_turn(&self) {
        self.now.set(self.common.clock.now());
    }

    /// The clocks of this turn.
    pub fn now(&self) -> Now {
        self.now.get()
    }

    /// Asks for a command to be run, or turns it away if too much is on its way.
    pub fn request(&self, command: Command, waiter: Waiter) {
        let bytes = payload_bytes(&command);
        if !self.common.take_across(bytes) {
            waiter.answer(busy());
            return;
        }
        self.line.in_flight.fetch_add(1, Ordering::AcqRel);
        let slot = self.waiters.borrow_mut().insert((waiter, bytes));
        self.asks.push(Ask::Command(slot, command, self.now().time));
    }

    /// Asks for a document; `None` if the node is gone.
    pub async fn document(&self, request: NodeRequest, method: Method) -> Option<HttpReply> {
        let (sender, receiver) = oneshot::channel();
        self.asks.push(Ask::Document(request, method, sender));
        receiver.await.ok()
    }

    /// Hands over what was asked in each turn, for ever.
    pub async fn hand_over(self: Rc<Self>) {
        self.asks.hand_over(&self.line.asked).await;
    }

    /// Gives each outcome to whoever waits for it, for ever.
    pub async fn deliver(self: Rc<Self>) {
        let mut told = Vec::new();
        loop {
            self.line.told.take(&mut told).await;
            self.begin_turn();
            let count = told.len();
            for (slot, outcome) in told.drain(..) {
                let waiter = self.waiters.borrow_mut().take(slot);
                match waiter {
                    Some((waiter, bytes)) => {
                        self.common.took_across(bytes);
                        waiter.answer(outcome);
                    }
                    None => tracing::error!(slot, "a request was answered for which nobody waits"),
                }
            }
            self.line.in_flight.fetch_sub(count, Ordering::AcqRel);
        }
    }
}

/// Outcomes on their way from the node's thread to a shard.
#[derive(Debug, Default)]
pub struct Returns {
    turn: Turn<(u32, Outcome)>,
}

impl Returns {
    /// Leaves an outcome for a slot.
    pub fn put(&self, slot: u32, outcome: Outcome) {
        self.turn.push((slot, outcome));
    }

    /// Hands over the outcomes of each turn, for ever.
    pub async fn hand_over(self: Rc<Self>, line: Arc<Line>) {
        self.turn.hand_over(&line.told).await;
    }
}

/// The node's end: runs what is asked, for ever.
pub async fn serve(shell: Rc<Shell>, line: Arc<Line>, returns: Rc<Returns>) {
    let mut asks = Vec::new();
    loop {
        line.asked.take(&mut asks).await;
        shell.engine.borrow_mut().begin_turn();
        for (count, ask) in asks.drain(..).enumerate() {
            if count % BEGUN_MAX == BEGUN_MAX - 1 {
                tokio::task::yield_now().await;
                shell.engine.borrow_mut().begin_turn();
            }
            match ask {
                Ask::Command(slot, command, since) => {
                    let waiter = Waiter::Shard(Rc::clone(&returns), slot);
                    shell.engine.borrow_mut().answer_or_request(command, waiter, since);
                }
                Ask::Document(request, method, sender) => {
                    // The client hung up: nobody is left to tell.
                    drop(sender.send(answers::answer(&shell, request, &method)));
                }
            }
        }
        shell.publish();
    }
}
