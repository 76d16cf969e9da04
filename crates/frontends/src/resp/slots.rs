//! The commands of one connection that have no reply yet, in the order in which they came (RULINGS 9). A command on a key
//! waits for those before it on the same key; a barrier waits for all before it, and all after it wait for it. Only the
//! front's reply can be sent; what is done behind it keeps its bytes here.

use std::collections::VecDeque;

use bytes::Bytes;
use torc_core::command::Command;
use torc_core::id::BucketId;

use crate::resp::answer::Answer;
use crate::resp::writer::Protocol;

/// A command without a reply, or with one that is not yet sent.
#[derive(Debug)]
pub struct Slot {
    /// How far it is.
    pub state: State,
    /// What makes a reply of its outcome.
    pub answer: Answer,
    /// In which form.
    pub protocol: Protocol,
    /// What it holds in memory, as far as that is known.
    pub bytes: usize,
    /// What the reply may add to that.
    pub length: ReplyLength,
}

/// How long a reply may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyLength {
    /// A status, a number or an error.
    Short,
    /// As long as what is stored.
    Any,
}

impl Slot {
    fn is_awaited(&self) -> bool {
        match self.state {
            State::Waiting(_) | State::Running => self.length == ReplyLength::Any,
            State::Done(_) => false,
        }
    }
}

/// How far a command is.
#[derive(Debug)]
pub enum State {
    /// For its turn. `None`: nothing is to be asked of the core.
    Waiting(Option<Box<Command>>),
    /// For its outcome.
    Running,
    /// For the replies before it.
    Done(Bytes),
}

/// What a command must not overtake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order(u64);

impl Order {
    /// Nothing: the command is done.
    pub const FREE: Self = Self(0);
    /// Everything.
    pub const BARRIER: Self = Self(1);

    /// What is under way on the same key. Two keys may share one order: then one waits without need, and nothing else.
    pub fn of_key(bucket: BucketId, key: &[u8]) -> Self {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = (u64::from(bucket.0) ^ key.len() as u64).wrapping_mul(MULTIPLIER);
        let mut words = key.chunks_exact(8);
        for word in &mut words {
            let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
            hash = (hash.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
        }
        let mut tail = 0;
        for &byte in words.remainder() {
            tail = tail << 8 | u64::from(byte);
        }
        hash = (hash.rotate_left(23) ^ tail).wrapping_mul(MULTIPLIER);
        Self((hash ^ hash >> 32).max(2))
    }
}

/// The commands in order.
#[derive(Debug, Default)]
pub struct Slots {
    slots: VecDeque<Slot>,
    /// Beside `slots`, so that one look over a deep pipeline reads few cache lines.
    orders: VecDeque<Order>,
    /// The ticket of the front.
    first: u64,
    /// Barriers that are not done.
    barriers: usize,
    /// Those that have no reply yet, and may get a long one.
    awaited: usize,
    bytes: usize,
}

impl Slots {
    /// How many.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if every command has its reply.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What all of them hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many have no reply yet, and may get a long one.
    pub fn awaited(&self) -> usize {
        self.awaited
    }

    /// The ticket that the next slot will have.
    pub fn next_ticket(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// True if a command of this order may start behind all that are here.
    pub fn may_start(&self, order: Order) -> bool {
        if order == Order::BARRIER {
            return self.slots.is_empty();
        }
        self.barriers == 0 && !self.is_under_way(order, self.slots.len())
    }

    /// Puts a command behind all others.
    pub fn push(&mut self, order: Order, slot: Slot) {
        self.barriers += usize::from(order == Order::BARRIER);
        self.awaited += usize::from(slot.is_awaited());
        self.bytes += slot.bytes;
        self.slots.push_back(slot);
        self.orders.push_back(order);
    }

    /// The slot with this ticket, counted from the front.
    pub fn index_of(&self, ticket: u64) -> Option<usize> {
        let index = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    /// The ticket of a slot.
    pub fn ticket_of(&self, index: usize) -> u64 {
        self.first + index as u64
    }

    /// A slot.
    pub fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    /// The front, if it is a barrier that has not started.
    pub fn waiting_barrier(&mut self) -> Option<&mut Slot> {
        let slot = self.slots.front_mut()?;
        (self.orders[0] == Order::BARRIER && matches!(slot.state, State::Waiting(_))).then_some(slot)
    }

    /// The slot's command is done: what waited for it may go. Answers what it was.
    pub fn complete(&mut self, index: usize) -> Order {
        let order = std::mem::replace(&mut self.orders[index], Order::FREE);
        self.barriers -= usize::from(order == Order::BARRIER);
        order
    }

    /// Keeps a reply until those before it are sent.
    pub fn keep(&mut self, index: usize, reply: Bytes) {
        let slot = &mut self.slots[index];
        self.bytes = self.bytes - slot.bytes + reply.len();
        self.awaited -= usize::from(slot.is_awaited());
        slot.bytes = reply.len();
        slot.state = State::Done(reply);
    }

    /// Takes the front off, whose reply is sent.
    pub fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.orders.pop_front();
        self.first += 1;
        self.awaited -= usize::from(slot.is_awaited());
        self.bytes -= slot.bytes;
        Some(slot)
    }

    /// Takes the front off if its reply is known.
    pub fn pop_done(&mut self) -> Option<Bytes> {
        match self.slots.front()?.state {
            State::Done(_) => match self.pop()?.state {
                State::Done(reply) => Some(reply),
                State::Waiting(_) | State::Running => None,
            },
            State::Waiting(_) | State::Running => None,
        }
    }

    /// The next command of this order from `from` on that waits for nothing else. A barrier ends the search.
    pub fn next_ready(&self, order: Order, from: usize) -> Option<usize> {
        for index in from..self.orders.len() {
            if self.orders[index] == Order::BARRIER {
                return None;
            }
            if self.orders[index] == order {
                return matches!(self.slots[index].state, State::Waiting(_)).then_some(index);
            }
        }
        None
    }

    /// After a barrier: the first command from `from` on that may start now.
    pub fn next_released(&self, from: usize) -> Option<usize> {
        for index in from..self.orders.len() {
            let order = self.orders[index];
            if order == Order::BARRIER {
                return None;
            }
            let is_waiting = matches!(self.slots[index].state, State::Waiting(_));
            if is_waiting && !self.is_under_way(order, index) {
                return Some(index);
            }
        }
        None
    }

    /// True if a command of this order is among the first `count`.
    fn is_under_way(&self, order: Order, count: usize) -> bool {
        let (front, back) = self.orders.as_slices();
        let in_front = count.min(front.len());
        contains(&front[..in_front], order) || contains(&back[..count - in_front], order)
    }
}

/// In blocks without a branch inside, which the compiler turns into vector compares.
fn contains(orders: &[Order], order: Order) -> bool {
    let mut blocks = orders.chunks_exact(16);
    for block in &mut blocks {
        if block.iter().fold(false, |found, other| found | (*other == order)) {
            return true;
        }
    }
    blocks.remainder().contains(&order)
}
