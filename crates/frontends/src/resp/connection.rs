//! One connection: commands come in, those that may start are submitted, replies go out in the order of the commands.
//!
//! Commands on one key take effect in order, each after the one before was acknowledged; on different keys they overlap;
//! commands on several keys, walks and EXEC run alone (RULINGS 9). What may not start yet is held, and nothing behind it
//! is read: the client feels it as a connection that takes no more.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::BytesMut;
use torc_core::command::{Batch, Command};
use torc_core::map::FastMap;
use torc_core::outcome::Outcome;

use super::parser::{Arguments, Parser};
use super::plan::{BATCH_COMMANDS_MAX, Call, Order, Plan, Run};
use super::reply;
use super::session::{Host, Session, Ticket, Transaction};
use super::shape::{Next, Shape, View};
use super::table;

/// Most commands of a connection that wait for their reply.
const IN_FLIGHT_MAX: usize = 1_024;
/// Most commands between MULTI and EXEC, and most of their bytes.
const TRANSACTION_COMMANDS_MAX: usize = 100_000;

/// A command whose reply has not been written yet.
#[derive(Debug)]
enum Slot {
    Running(Shape, Order),
    Done(BytesMut),
}

/// What may not start yet.
#[derive(Debug)]
enum Held {
    /// Planned, and waits for another command on its key.
    Planned(Command, Shape, Order),
    /// Waits for all commands before it.
    Alone(Run),
    /// EXEC.
    Execute(Vec<Arguments>),
    /// Changes how replies are written: planned once all before it are.
    Unplanned(Arguments),
}

/// A command that runs alone.
#[derive(Debug)]
struct Alone {
    /// Parts that were not submitted yet, the next one last.
    parts: Vec<Command>,
    outcomes: Vec<Outcome>,
    /// The parts submitted last were a batch.
    is_batch: bool,
    shape: Shape,
    /// Commands of a transaction that come after it, the next one last; `None` outside.
    rest: Option<Vec<Arguments>>,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    parser: Parser,
    slots: VecDeque<Slot>,
    /// The ticket of the first slot, or of what runs alone.
    first: u64,
    /// Reads and writes in flight on each key, by its hash.
    keys: FastMap<u64, (u32, u32)>,
    held: Option<Held>,
    alone: Option<Alone>,
    out: BytesMut,
}

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(id: u64, address: String) -> Self {
        Self {
            session: Session::new(id, address),
            parser: Parser::default(),
            slots: VecDeque::new(),
            first: 0,
            keys: FastMap::default(),
            held: None,
            alone: None,
            out: BytesMut::new(),
        }
    }

    /// Takes whole commands off `input` for as long as they may start.
    pub fn receive(&mut self, input: &mut BytesMut, host: &mut impl Host) {
        while self.wants_input() {
            match self.parser.next(input) {
                Ok(None) => return,
                Ok(Some(arguments)) if arguments.is_empty() => {}
                Ok(Some(arguments)) => self.command(arguments, host),
                Err(error) => {
                    self.answer(|out, _| reply::error(out, &format!("ERR Protocol error: {error}")));
                    self.session.is_closing = true;
                }
            }
        }
    }

    /// The outcome of a submitted command.
    pub fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome, host: &mut impl Host) {
        if self.alone.is_some() {
            self.on_alone(outcome, host);
        } else {
            self.on_slot(ticket, outcome, host);
        }
        self.start_held(host);
    }

    /// Replies, in the order of their commands.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// True once the connection is to be closed, as soon as all output is written.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.session.is_closing && self.in_flight() == 0 && self.held.is_none()
    }

    /// False while too much is in flight, or something has to be over before the next command may be read.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.held.is_none() && self.alone.is_none() && self.slots.len() < IN_FLIGHT_MAX && !self.session.is_closing
    }

    /// Commands that wait for their outcome.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.slots.len() + usize::from(self.alone.is_some())
    }

    fn command(&mut self, arguments: Arguments, host: &mut impl Host) {
        let Some(spec) = table::find(&arguments[0]) else {
            self.break_transaction();
            let text = unknown(&arguments);
            return self.answer(|out, _| reply::error(out, &text));
        };
        if !table::fits(spec, arguments.len()) {
            self.break_transaction();
            let name = spec.name.to_ascii_lowercase();
            let text = format!("ERR wrong number of arguments for '{name}' command");
            return self.answer(|out, _| reply::error(out, &text));
        }
        match spec.name {
            "MULTI" | "EXEC" | "DISCARD" => return self.transaction(spec.name, host),
            "WATCH" if self.session.transaction.is_some() => {
                return self.answer(|out, _| reply::error(out, "ERR WATCH inside MULTI is not allowed"));
            }
            "QUIT" | "RESET" => self.session.transaction = None,
            _ => {}
        }
        if let Some(transaction) = &mut self.session.transaction {
            if transaction.commands.len() >= TRANSACTION_COMMANDS_MAX {
                transaction.is_broken = true;
                let text = format!("TOOLARGE a transaction has at most {TRANSACTION_COMMANDS_MAX} commands");
                return self.answer(|out, _| reply::error(out, &text));
            }
            transaction.commands.push(arguments);
            return self.answer(|out, _| reply::simple(out, "QUEUED"));
        }
        if matches!(spec.name, "HELLO" | "RESET" | "QUIT") && !self.slots.is_empty() {
            self.held = Some(Held::Unplanned(arguments));
            return;
        }
        self.plan(spec, &arguments, host);
    }

    fn plan(&mut self, spec: &'static table::Spec, arguments: &Arguments, host: &mut impl Host) {
        let is_first = self.slots.is_empty();
        let mut aside = BytesMut::new();
        let out = if is_first { &mut self.out } else { &mut aside };
        let planned = (spec.handler)(&mut Call {
            name: spec.name,
            arguments,
            session: &mut self.session,
            host,
            out,
        });
        match planned {
            Ok(Plan::Answered) => {}
            Ok(Plan::One(command, shape, order)) => return self.start_or_hold(command, shape, order, host),
            Ok(Plan::Several(run)) => return self.start_or_hold_alone(Held::Alone(run), host),
            Err(text) => reply::error(out, &text),
        }
        if !is_first {
            self.slots.push_back(Slot::Done(aside));
        }
    }

    /// A reply that needs nobody else.
    fn answer(&mut self, write: impl FnOnce(&mut BytesMut, &Session)) {
        if self.slots.is_empty() {
            write(&mut self.out, &self.session);
        } else {
            let mut aside = BytesMut::new();
            write(&mut aside, &self.session);
            self.slots.push_back(Slot::Done(aside));
        }
    }

    fn start_or_hold(&mut self, command: Command, shape: Shape, order: Order, host: &mut impl Host) {
        if self.conflicts(order) {
            self.held = Some(Held::Planned(command, shape, order));
            return;
        }
        let counts = self.keys.entry(order.hash).or_default();
        if order.is_write {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        let ticket = Ticket(self.first + self.slots.len() as u64);
        self.slots.push_back(Slot::Running(shape, order));
        host.submit(ticket, command);
    }

    fn conflicts(&self, order: Order) -> bool {
        let in_flight = self.keys.get(&order.hash);
        in_flight.is_some_and(|&(reads, writes)| writes > 0 || (order.is_write && reads > 0))
    }

    fn start_or_hold_alone(&mut self, held: Held, host: &mut impl Host) {
        self.held = Some(held);
        self.start_held(host);
    }

    fn start_held(&mut self, host: &mut impl Host) {
        if self.alone.is_some() {
            return;
        }
        match self.held.take() {
            None => {}
            Some(Held::Planned(command, shape, order)) => self.start_or_hold(command, shape, order, host),
            Some(held) if !self.slots.is_empty() => self.held = Some(held),
            Some(Held::Alone(run)) => self.start_alone(run, None, host),
            Some(Held::Unplanned(arguments)) => {
                if let Some(spec) = table::find(&arguments[0]) {
                    self.plan(spec, &arguments, host);
                }
            }
            Some(Held::Execute(mut commands)) => {
                reply::array(&mut self.out, commands.len());
                commands.reverse();
                self.go_on_executing(commands, host);
            }
        }
    }

    fn start_alone(&mut self, run: Run, rest: Option<Vec<Arguments>>, host: &mut impl Host) {
        let Run { commands, shape } = run;
        let mut parts = commands;
        parts.reverse();
        self.alone = Some(Alone {
            parts,
            outcomes: Vec::new(),
            is_batch: false,
            shape,
            rest,
        });
        self.submit_parts(host);
    }

    /// Submits the next parts; several go as a batch.
    fn submit_parts(&mut self, host: &mut impl Host) {
        let Some(alone) = &mut self.alone else { return };
        let count = alone.parts.len().min(BATCH_COMMANDS_MAX);
        let mut next = alone.parts.split_off(alone.parts.len() - count);
        next.reverse();
        alone.is_batch = next.len() != 1;
        let command = match next.pop() {
            Some(only) if next.is_empty() => only,
            Some(last) => {
                next.push(last);
                Command::Batch(Batch { commands: next })
            }
            None => Command::Batch(Batch { commands: next }),
        };
        host.submit(Ticket(self.first), command);
    }

    fn on_alone(&mut self, outcome: Outcome, host: &mut impl Host) {
        let Some(alone) = &mut self.alone else { return };
        match outcome {
            Outcome::Batch(outcomes) if alone.is_batch => alone.outcomes.extend(outcomes),
            outcome => alone.outcomes.push(outcome),
        }
        if !alone.parts.is_empty() {
            self.submit_parts(host);
            return;
        }
        let Some(Alone {
            mut outcomes,
            shape,
            rest,
            ..
        }) = self.alone.take()
        else {
            return;
        };
        let view = View {
            session: &self.session,
            now: host.now(),
        };
        let next = match outcomes.pop() {
            Some(only) if outcomes.is_empty() && !shape.is_of_many() => shape.one(only, &view, &mut self.out),
            last => {
                outcomes.extend(last);
                shape.many(outcomes, &view, &mut self.out)
            }
        };
        if let Next::Ask(commands, shape) = next {
            return self.start_alone(Run { commands, shape }, rest, host);
        }
        self.first += 1;
        if let Some(rest) = rest {
            self.go_on_executing(rest, host);
        }
    }

    /// Runs the commands of a transaction one after another.
    fn go_on_executing(&mut self, mut rest: Vec<Arguments>, host: &mut impl Host) {
        while let Some(arguments) = rest.pop() {
            let Some(spec) = table::find(&arguments[0]) else {
                continue;
            };
            let planned = (spec.handler)(&mut Call {
                name: spec.name,
                arguments: &arguments,
                session: &mut self.session,
                host,
                out: &mut self.out,
            });
            let run = match planned {
                Ok(Plan::Answered) => continue,
                Ok(Plan::One(command, shape, _)) => Run {
                    commands: vec![command],
                    shape,
                },
                Ok(Plan::Several(run)) => run,
                Err(text) => {
                    reply::error(&mut self.out, &text);
                    continue;
                }
            };
            return self.start_alone(run, Some(rest), host);
        }
    }

    fn on_slot(&mut self, ticket: Ticket, outcome: Outcome, host: &mut impl Host) {
        let place = ticket.0.wrapping_sub(self.first) as usize;
        let Some(Slot::Running(shape, order)) = self.slots.get_mut(place) else {
            return;
        };
        let order = *order;
        let shape = std::mem::replace(shape, Shape::Ok);
        let view = View {
            session: &self.session,
            now: host.now(),
        };
        let mut aside = BytesMut::new();
        let out = if place == 0 { &mut self.out } else { &mut aside };
        if let Next::Ask(mut commands, shape) = shape.one(outcome, &view, out) {
            if let Some(command) = commands.pop() {
                self.slots[place] = Slot::Running(shape, order);
                host.submit(ticket, command);
            }
            return;
        }
        self.leave(order);
        if place > 0 {
            self.slots[place] = Slot::Done(aside);
            return;
        }
        self.slots.pop_front();
        self.first += 1;
        while let Some(Slot::Done(done)) = self.slots.front() {
            self.out.extend_from_slice(done);
            self.slots.pop_front();
            self.first += 1;
        }
    }

    fn leave(&mut self, order: Order) {
        if let Some(counts) = self.keys.get_mut(&order.hash) {
            if order.is_write {
                counts.1 -= 1;
            } else {
                counts.0 -= 1;
            }
            if *counts == (0, 0) {
                self.keys.remove(&order.hash);
            }
        }
    }

    fn transaction(&mut self, name: &str, host: &mut impl Host) {
        match (name, self.session.transaction.take()) {
            ("MULTI", None) => {
                self.session.transaction = Some(Transaction::default());
                self.answer(|out, _| reply::simple(out, "OK"));
            }
            ("MULTI", Some(open)) => {
                self.session.transaction = Some(open);
                self.answer(|out, _| reply::error(out, "ERR MULTI calls can not be nested"));
            }
            ("DISCARD", Some(_)) => self.answer(|out, _| reply::simple(out, "OK")),
            (_, None) => {
                let text = format!("ERR {name} without MULTI");
                self.answer(|out, _| reply::error(out, &text));
            }
            (_, Some(Transaction { is_broken: true, .. })) => self.answer(|out, _| {
                reply::error(out, "EXECABORT Transaction discarded because of previous errors.");
            }),
            (_, Some(Transaction { commands, .. })) => self.start_or_hold_alone(Held::Execute(commands), host),
        }
    }

    fn break_transaction(&mut self) {
        if let Some(transaction) = &mut self.session.transaction {
            transaction.is_broken = true;
        }
    }
}

fn unknown(arguments: &Arguments) -> String {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned();
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(&arguments[0])
    );
    for argument in &arguments[1..] {
        if text.len() > 200 {
            break;
        }
        write!(text, "'{}' ", shown(argument)).expect("a String grows");
    }
    text
}
