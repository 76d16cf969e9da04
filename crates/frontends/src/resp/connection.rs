//! One client connection: bytes in, commands out, outcomes in, bytes out. Commands start as soon as the order of RULINGS 9
//! allows; replies leave in the order of the requests. What waits is bounded: past the bounds the connection takes no
//! more input.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use torc_core::bucket::Catalog;
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::limits::VALUE_BYTES_MAX;
use torc_core::outcome::Outcome;
use torc_core::time::Wall;

use crate::resp::answer::{Answer, Next, Turn};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::call::{Call, Plan};
use crate::resp::parser::{Parsed, Parser};
use crate::resp::refused::Refused;
use crate::resp::reply_size::ReplySize;
use crate::resp::session::{Session, TRANSACTION_BYTES_MAX};
use crate::resp::slots::{Order, ReplyLength, Slot, Slots, State};
use crate::resp::table::{self, AT_ONCE};
use crate::resp::writer::{Protocol, Writer};

/// Most commands of one connection that wait for their reply.
const SLOTS_MAX: usize = 1_024;
/// Most of them whose reply may be as long as what is stored. What is expected of their length is a guess from the replies
/// before them: this many of the longest values are in memory at once when it is wrong.
const AWAITED_MAX: usize = 64;
/// Most bytes that they, their replies and replies that are not yet sent hold, or may be expected to hold, before the
/// connection takes no more input.
const HELD_BYTES_MAX: usize = 16 << 20;
/// Most commands taken from the input at once.
const TURN_COMMANDS_MAX: usize = 64;
/// A bulk string may be this much longer than the longest value: then it is refused by name, not by closing.
const BULK_SLACK_BYTES: usize = 1 << 20;

/// Names a submitted command of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(pub u64);

/// What a connection needs of the node.
pub trait Host {
    /// Hands a command to the core. Its outcome comes later by [`Connection::on_outcome`], never from inside this call.
    fn submit(&mut self, ticket: Ticket, command: Command);
    /// The outcome of a command that can be answered inside this call; `None`: submit it.
    fn answer_now(&mut self, command: &Command) -> Option<Outcome>;
    /// Shows a string of a bucket, or that there is none, if that can be known inside this call; false: submit a get.
    fn show_now(
        &mut self,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        show: &mut dyn FnMut(Option<&Bytes>),
    ) -> bool;
    /// The buckets.
    fn catalog(&self) -> &Arc<Catalog>;
    /// The calendar.
    fn now(&self) -> Wall;
    /// About the node; asked for only where a client wants to know.
    fn facts(&self) -> ServerFacts;
    /// 64 random bits.
    fn random(&mut self) -> u64;
}

/// What a node says about itself in INFO and CLIENT LIST.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerFacts {
    /// Torc's version.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// Its process.
    pub process_id: u32,
    /// The port that Redis clients use.
    pub port: u16,
    /// Since the process began to serve.
    pub uptime_seconds: u64,
    /// Memory in use, in bytes.
    pub used_memory_bytes: u64,
    /// The memory budget, in bytes.
    pub memory_bytes_max: u64,
    /// Commands since the start.
    pub requests: u64,
    /// Connections accepted since the start.
    pub connections: u64,
    /// Open connections of Redis clients: number and address.
    pub clients: Vec<(u64, String)>,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// One client connection's protocol state.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    parser: Parser,
    slots: Slots,
    reply_size: ReplySize,
    /// Commands of a transaction, and what was read together with its EXEC: they go before all further input.
    script: VecDeque<Scripted>,
    output: BytesMut,
    /// Replies on their way into a slot.
    scratch: BytesMut,
    /// Commands found in the input: bytes and arguments of each.
    turn: Vec<(usize, usize)>,
    is_closing: bool,
    /// Of which catalog `bulk_bytes_max` is.
    catalog: Option<Arc<Catalog>>,
    bulk_bytes_max: usize,
}

#[derive(Debug)]
enum Scripted {
    Command(OwnedArgs),
    EndOfTransaction,
}

impl Connection {
    /// A client that has just connected.
    #[must_use]
    pub fn new(id: u64, address: String) -> Self {
        Self {
            session: Session::new(id, address),
            parser: Parser::default(),
            slots: Slots::default(),
            reply_size: ReplySize::default(),
            script: VecDeque::new(),
            output: BytesMut::new(),
            scratch: BytesMut::new(),
            turn: Vec::new(),
            is_closing: false,
            catalog: None,
            bulk_bytes_max: 0,
        }
    }

    /// Takes every whole command from the front of `input` and starts what may start. Leaves the rest in `input` once
    /// [`Self::wants_input`] says no: call again with it when it says yes.
    pub fn receive(&mut self, input: &mut BytesMut, host: &mut impl Host) {
        self.run_script(host);
        let bulk_bytes_max = self.bulk_bytes_max(host.catalog());
        while self.script.is_empty() && self.wants_input() {
            let room = self.room().min(TURN_COMMANDS_MAX);
            let mut read = 0;
            self.turn.clear();
            let end = loop {
                let parsed = self.parser.next(&input[read..], bulk_bytes_max);
                match parsed {
                    Parsed::Command { bytes, arguments } => {
                        self.turn.push((bytes, arguments));
                        read += bytes;
                        if self.turn.len() >= room {
                            break None;
                        }
                    }
                    Parsed::Nothing { bytes } if self.turn.is_empty() => drop(input.split_to(bytes)),
                    Parsed::Incomplete if self.turn.is_empty() => return,
                    end => break Some(end),
                }
            };
            if self.turn.is_empty() {
                self.inline(end, input, host);
            } else {
                let frame = input.split_to(read).freeze();
                self.run_turn(&frame, host);
            }
        }
    }

    /// Takes a command's outcome.
    pub fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome, host: &mut impl Host) {
        self.settle(ticket, outcome, host);
        self.run_script(host);
    }

    /// Replies in the order of the requests; what is sent is taken off by the caller.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// True if the connection is to be closed once the output is sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.is_closing && self.slots.is_empty()
    }

    /// False while too much is under way, or nothing more is to be read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.is_closing && self.has_room()
    }

    /// Commands whose reply is not written yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.len()
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many commands more may be under way.
    fn room(&self) -> usize {
        let expected = self.slots.awaited() * self.reply_size.bytes();
        let held = self.slots.bytes() + self.output.len() + expected;
        let bytes_left = HELD_BYTES_MAX.saturating_sub(held);
        let of_bytes = bytes_left.div_ceil(self.reply_size.bytes().max(1));
        let of_awaited = AWAITED_MAX.saturating_sub(self.slots.awaited());
        of_bytes.min(of_awaited).min(SLOTS_MAX - self.slots.len())
    }

    /// The longest bulk string that is read at all.
    fn bulk_bytes_max(&mut self, catalog: &Arc<Catalog>) -> usize {
        if !self.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog)) {
            let longest = catalog.iter().map(|bucket| bucket.value_bytes_max).max();
            self.bulk_bytes_max = longest.unwrap_or(VALUE_BYTES_MAX) as usize + BULK_SLACK_BYTES;
            self.catalog = Some(Arc::clone(catalog));
        }
        self.bulk_bytes_max
    }

    /// Runs the commands found in `frame`.
    fn run_turn(&mut self, frame: &Bytes, host: &mut dyn Host) {
        let spans = self.parser.lend();
        let turn = std::mem::take(&mut self.turn);
        let (mut base, mut used) = (0, 0);
        for &(bytes, arguments) in &turn {
            let args = Args::new(frame, base, &spans[used..used + arguments]);
            if !self.script.is_empty() {
                self.script.push_back(Scripted::Command(args.to_owned()));
            } else if !self.is_closing {
                self.dispatch(args, bytes, host);
            }
            base += bytes;
            used += arguments;
        }
        self.turn = turn;
        self.parser.give_back(spans, used);
        self.run_script(host);
    }

    /// What is at the front of the input and no array of bulk strings.
    fn inline(&mut self, found: Option<Parsed>, input: &mut BytesMut, host: &mut dyn Host) {
        match found {
            Some(Parsed::Inline { bytes, arguments }) => {
                drop(input.split_to(bytes));
                let owned = OwnedArgs::of_words(&arguments);
                self.dispatch(owned.args(), bytes, host);
                self.run_script(host);
            }
            Some(Parsed::Broken(words)) => {
                self.refuse(&Refused::of(format!("ERR Protocol error: {words}")));
                self.is_closing = true;
            }
            Some(Parsed::Command { .. } | Parsed::Nothing { .. } | Parsed::Incomplete) | None => {}
        }
    }

    /// Goes on with a transaction while there is room.
    fn run_script(&mut self, host: &mut dyn Host) {
        while self.is_closing || self.has_room() {
            match self.script.pop_front() {
                None => return,
                Some(Scripted::Command(_)) if self.is_closing => {}
                Some(Scripted::Command(owned)) => self.dispatch(owned.args(), owned.weight(), host),
                Some(Scripted::EndOfTransaction) => self.place(Plan::Pause(Answer::Silent), 0, host),
            }
        }
    }

    fn dispatch(&mut self, args: Args<'_>, bytes: usize, host: &mut dyn Host) {
        let Some(spec) = table::find(args.at(0)) else {
            return self.refuse_before_start(&unknown_command(args));
        };
        if !spec.takes(args.len()) {
            return self.refuse_before_start(&Refused::arity(spec.name));
        }
        if !spec.has(AT_ONCE)
            && let Some(transaction) = &mut self.session.transaction
        {
            // EXEC will refuse it whatever follows: as Redis does, answer and keep nothing.
            if transaction.is_refused {
                return self.answer(|writer| writer.simple("QUEUED"));
            }
            let owned = args.to_owned();
            transaction.bytes += owned.weight();
            if transaction.bytes > TRANSACTION_BYTES_MAX {
                transaction.commands = Vec::new();
                let text = format!("ERR a transaction may have {TRANSACTION_BYTES_MAX} bytes");
                return self.refuse_before_start(&Refused::of(text));
            }
            transaction.commands.push(owned);
            return self.answer(|writer| writer.simple("QUEUED"));
        }
        let is_front = self.slots.is_empty();
        let out = if is_front { &mut self.output } else { &mut self.scratch };
        let length = out.len();
        let protocol = self.session.protocol;
        let mut call = Call {
            spec,
            args,
            session: &mut self.session,
            host: &mut *host,
            slots: &self.slots,
            reply: Writer { out, protocol },
        };
        match (spec.handler)(&mut call) {
            Ok(plan) => self.place(plan, bytes, host),
            Err(refused) => {
                let out = if is_front { &mut self.output } else { &mut self.scratch };
                out.truncate(length);
                self.refuse(&refused);
            }
        }
    }

    /// Does what a handler decided.
    fn place(&mut self, plan: Plan, bytes: usize, host: &mut dyn Host) {
        match plan {
            Plan::Replied => self.keep_scratch(),
            Plan::RepliedLast => {
                self.keep_scratch();
                self.is_closing = true;
            }
            Plan::Key(command, answer) => {
                let (order, length) = (order_of(&command), length_of(&command));
                let may_start = self.slots.may_start(order);
                if may_start && let Some(outcome) = host.answer_now(&command) {
                    return self.answered(order, answer, outcome, bytes, host);
                }
                let state = if may_start {
                    host.submit(Ticket(self.slots.next_ticket()), command);
                    State::Running
                } else {
                    State::Waiting(Some(Box::new(command)))
                };
                self.push(order, state, answer, bytes, length);
            }
            Plan::Barrier(command, answer) => {
                let length = length_of(&command);
                let state = State::Waiting(Some(Box::new(command)));
                self.push(Order::BARRIER, state, answer, bytes, length);
                self.release(false, host);
            }
            Plan::Pause(answer) => {
                let length = ReplyLength::Short;
                self.push(Order::BARRIER, State::Waiting(None), answer, bytes, length);
                self.release(false, host);
            }
            Plan::Transaction(commands) => {
                self.script.push_front(Scripted::EndOfTransaction);
                let count = commands.len();
                for command in commands.into_iter().rev() {
                    self.script.push_front(Scripted::Command(command));
                }
                self.place(Plan::Pause(Answer::Array(count)), 0, host);
            }
        }
    }

    /// A command had its outcome before it took a place.
    fn answered(&mut self, order: Order, answer: Answer, outcome: Outcome, bytes: usize, host: &mut dyn Host) {
        let protocol = self.session.protocol;
        let is_front = self.slots.is_empty();
        let out = if is_front { &mut self.output } else { &mut self.scratch };
        let mut turn = Turn {
            reply: Writer { out, protocol },
            session: &mut self.session,
            host: &mut *host,
        };
        match answer.on(outcome, &mut turn) {
            Next::Done => self.keep_scratch(),
            Next::Ask(command, answer) => {
                let length = length_of(&command);
                host.submit(Ticket(self.slots.next_ticket()), command);
                self.push(order, State::Running, answer, bytes, length);
            }
        }
    }

    fn push(&mut self, order: Order, state: State, answer: Answer, bytes: usize, length: ReplyLength) {
        let protocol = self.session.protocol;
        self.slots.push(
            order,
            Slot {
                state,
                answer,
                protocol,
                bytes,
                length,
            },
        );
    }

    fn settle(&mut self, ticket: Ticket, outcome: Outcome, host: &mut dyn Host) {
        let Some(index) = self.slots.index_of(ticket.0) else {
            return;
        };
        let slot = self.slots.slot(index);
        if !matches!(slot.state, State::Running) {
            return;
        }
        let answer = std::mem::replace(&mut slot.answer, Answer::Silent);
        let (protocol, reply_length) = (slot.protocol, slot.length);
        let out = if index == 0 {
            &mut self.output
        } else {
            &mut self.scratch
        };
        let before = out.len();
        let mut turn = Turn {
            reply: Writer { out, protocol },
            session: &mut self.session,
            host: &mut *host,
        };
        match answer.on(outcome, &mut turn) {
            Next::Ask(command, answer) => {
                self.slots.slot(index).answer = answer;
                host.submit(ticket, command);
                return;
            }
            Next::Done => {}
        }
        if reply_length == ReplyLength::Any {
            let out = if index == 0 { &self.output } else { &self.scratch };
            self.reply_size.note(out.len() - before);
        }
        let order = self.slots.complete(index);
        if index > 0 {
            self.slots.keep(index, self.scratch.split().freeze());
        }
        if let Some(next) = (order != Order::BARRIER)
            .then(|| self.slots.next_ready(order, index + 1))
            .flatten()
        {
            self.start(next, host);
        }
        if index == 0 {
            self.slots.pop();
            self.release(order == Order::BARRIER, host);
        }
    }

    /// Sends replies that have come to the front, and starts what waited for a barrier or is one.
    fn release(&mut self, mut barrier_is_done: bool, host: &mut dyn Host) {
        loop {
            while let Some(reply) = self.slots.pop_done() {
                self.output.extend_from_slice(&reply);
            }
            let Some(slot) = self.slots.waiting_barrier() else {
                break;
            };
            let State::Waiting(command) = std::mem::replace(&mut slot.state, State::Running) else {
                break;
            };
            if let Some(command) = command {
                host.submit(Ticket(self.slots.ticket_of(0)), *command);
                return;
            }
            let answer = std::mem::replace(&mut slot.answer, Answer::Silent);
            let protocol = slot.protocol;
            let out = &mut self.output;
            answer.without_outcome(&mut Writer { out, protocol }, &self.session);
            self.slots.complete(0);
            self.slots.pop();
            barrier_is_done = true;
        }
        if barrier_is_done {
            let mut from = 0;
            while let Some(index) = self.slots.next_released(from) {
                self.start(index, host);
                from = index + 1;
            }
        }
    }

    fn start(&mut self, index: usize, host: &mut dyn Host) {
        let ticket = Ticket(self.slots.ticket_of(index));
        let slot = self.slots.slot(index);
        if let State::Waiting(Some(command)) = std::mem::replace(&mut slot.state, State::Running) {
            host.submit(ticket, *command);
        }
    }

    /// An error before a command has begun; in a transaction it will end it.
    fn refuse_before_start(&mut self, refused: &Refused) {
        if let Some(transaction) = &mut self.session.transaction {
            transaction.is_refused = true;
        }
        self.refuse(refused);
    }

    fn refuse(&mut self, refused: &Refused) {
        self.answer(|writer| writer.error(&refused.0));
    }

    fn answer(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let protocol: Protocol = self.session.protocol;
        let out = if self.slots.is_empty() {
            &mut self.output
        } else {
            &mut self.scratch
        };
        write(&mut Writer { out, protocol });
        self.keep_scratch();
    }

    /// A reply that was not written to the output goes behind those that are still to come.
    fn keep_scratch(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        let reply = self.scratch.split().freeze();
        let bytes = reply.len();
        self.push(
            Order::FREE,
            State::Done(reply),
            Answer::Silent,
            bytes,
            ReplyLength::Short,
        );
    }
}

fn order_of(command: &Command) -> Order {
    match command {
        Command::Get(get) => Order::of_key(get.target.bucket, &get.target.key),
        Command::Put(put) => Order::of_key(put.target.bucket, &put.target.key),
        Command::Update(update) => Order::of_key(update.target.bucket, &update.target.key),
        Command::View(view) => Order::of_key(view.target.bucket, &view.target.key),
        Command::List(list) => Order::of_key(list.bucket, &list.key),
        Command::Inspect(inspect) => Order::of_key(inspect.target.bucket, &inspect.target.key),
        Command::Import(import) => Order::of_key(import.target.bucket, &import.target.key),
        Command::Keys(_) | Command::Clear(_) | Command::Batch(_) => Order::BARRIER,
    }
}

/// What the reply to a command may be. Updates may answer what was there before.
fn length_of(command: &Command) -> ReplyLength {
    match command {
        Command::Get(_)
        | Command::Update(_)
        | Command::View(_)
        | Command::List(_)
        | Command::Keys(_)
        | Command::Batch(_)
        | Command::Inspect(_) => ReplyLength::Any,
        Command::Put(_) | Command::Clear(_) | Command::Import(_) => ReplyLength::Short,
    }
}

fn unknown_command(args: Args<'_>) -> Refused {
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", args.shown(0));
    for index in 1..args.len() {
        if text.len() >= 128 {
            break;
        }
        text.push_str(&format!("'{}' ", args.shown(index)));
    }
    Refused::of(text)
}
