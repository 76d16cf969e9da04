//! One client connection: connects without blocking, writes a batch at once, judges replies where they lie, and comes back
//! after a loss with growing pauses.
//!
//! ```text
//! Down ──retry──▶ Connecting ──writable──▶ Greeting ──replies──▶ Ready
//!   ▲                 │ refused, timeout       │                   │ lost, malformed, timeout, closed by the server
//!   └─────────────────┴────────────────────────┴───────────────────┘
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::mix::Kind;
use super::protocol::{Protocol, Reply, Verdict};
use super::recorder::Recorder;
use super::source::Source;
use super::value::Values;

/// The pause before the first and the longest pause before a later attempt to connect again.
const BACKOFF_FIRST_NS: u64 = 10_000_000;
const BACKOFF_LAST_NS: u64 = 1_000_000_000;

/// The read buffer's first size; it grows to the largest reply.
const READ_BYTES: usize = 16 << 10;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Not connected; to be tried again at this time.
    Down {
        /// When.
        retry_ns: u64,
    },
    /// The handshake of TCP is under way since this time.
    Connecting {
        /// Since when.
        since_ns: u64,
    },
    /// The greeting's replies are awaited.
    Greeting {
        /// How many.
        missing: usize,
    },
    /// Operations may be sent.
    Ready,
}

/// An operation that was sent.
#[derive(Debug, Clone, Copy)]
struct Flight {
    kind: Kind,
    key: u64,
    intended_ns: u64,
    /// The write of a read-modify-write is on its way; before, its read.
    writing_back: bool,
}

/// The write that a read-modify-write's read has earned.
#[derive(Debug)]
struct WriteBack {
    key: u64,
    intended_ns: u64,
    context: Vec<u8>,
}

/// What a connection works with besides itself: its worker's parts.
pub struct Workbench<'a, P> {
    /// The protocol.
    pub protocol: &'a P,
    /// Operations.
    pub source: Source<'a>,
    /// Measurements.
    pub recorder: Recorder,
    /// Values.
    pub values: &'a Values,
    /// Which errors HTTP and RESP gave are named here, reused.
    pub error_name: String,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Which node.
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// How far it is.
    pub link: Link,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    input_start: usize,
    input_end: usize,
    flight: VecDeque<Flight>,
    write_backs: Vec<WriteBack>,
    /// Since when nothing came although something is awaited.
    waiting_since_ns: u64,
    backoff_ns: u64,
    connected_before: bool,
    /// Open loop: operations that came due for this connection, and those of them that were sent.
    pub arrived: u64,
    /// See `arrived`.
    pub taken: u64,
}

impl Connection {
    /// A connection to be made at once.
    pub fn new(address: SocketAddr) -> Connection {
        Connection {
            address,
            stream: None,
            link: Link::Down { retry_ns: 0 },
            out: Vec::new(),
            written: 0,
            input: vec![0; READ_BYTES],
            input_start: 0,
            input_end: 0,
            flight: VecDeque::new(),
            write_backs: Vec::new(),
            waiting_since_ns: 0,
            backoff_ns: BACKOFF_FIRST_NS,
            connected_before: false,
            arrived: 0,
            taken: 0,
        }
    }

    /// How many replies are awaited.
    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// Nothing is awaited and nothing must follow.
    pub fn is_idle(&self) -> bool {
        self.flight.is_empty() && self.write_backs.is_empty()
    }

    /// A read-modify-write waits to send its write.
    pub fn has_write_backs(&self) -> bool {
        !self.write_backs.is_empty()
    }

    /// Something is encoded and not yet written.
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Starts connecting; the caller registers the stream. A refusal that is known at once counts and is retried later.
    pub fn connect<P>(&mut self, now_ns: u64, bench: &mut Workbench<'_, P>) -> Option<&TcpStream> {
        match start_connecting(self.address) {
            Ok(stream) => {
                self.link = Link::Connecting { since_ns: now_ns };
                if self.connected_before {
                    bench.recorder.reconnects += 1;
                }
                Some(self.stream.insert(stream))
            }
            Err(error) => {
                self.lose("cannot connect", &error.to_string(), now_ns, bench);
                None
            }
        }
    }

    /// The socket became writable: the connection stands, or what is left can go out.
    pub fn on_writable<P: Protocol>(&mut self, now_ns: u64, bench: &mut Workbench<'_, P>) {
        let Some(stream) = &self.stream else { return };
        match self.link {
            Link::Connecting { .. } => match stream.take_error() {
                Ok(None) => {
                    self.connected_before = true;
                    self.waiting_since_ns = now_ns;
                    let missing = bench.protocol.append_greeting(&mut self.out);
                    self.link = if missing == 0 {
                        Link::Ready
                    } else {
                        Link::Greeting { missing }
                    };
                    self.flush(now_ns, bench);
                }
                Ok(Some(error)) | Err(error) => self.lose("cannot connect", &error.to_string(), now_ns, bench),
            },
            Link::Greeting { .. } | Link::Ready => self.flush(now_ns, bench),
            Link::Down { .. } => {}
        }
    }

    /// Reads what is there and judges every whole reply. `clock` gives the time after the bytes came; `hung_up` says that
    /// the server closed its side, which raises no second event: then everything is read up to the end.
    pub fn on_readable<P: Protocol>(&mut self, hung_up: bool, clock: impl Fn() -> u64, bench: &mut Workbench<'_, P>) {
        loop {
            let Some(stream) = &mut self.stream else { return };
            if self.input_end == self.input.len() {
                if self.input_start > 0 {
                    self.input.copy_within(self.input_start..self.input_end, 0);
                    self.input_end -= self.input_start;
                    self.input_start = 0;
                } else {
                    self.input.resize(self.input.len() * 2, 0);
                }
            }
            let space = self.input.len() - self.input_end;
            match stream.read(&mut self.input[self.input_end..]) {
                Ok(0) => return self.lose("connection lost", "closed by the server", clock(), bench),
                Ok(count) => {
                    let now_ns = clock();
                    self.input_end += count;
                    self.waiting_since_ns = now_ns;
                    self.judge(now_ns, bench);
                    // A short read emptied the socket: the next bytes raise a new event.
                    if count < space && !hung_up {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose("connection lost", &error.to_string(), clock(), bench),
            }
        }
    }

    fn judge<P: Protocol>(&mut self, now_ns: u64, bench: &mut Workbench<'_, P>) {
        // Taken out so that replies may borrow it while the rest changes.
        let input = std::mem::take(&mut self.input);
        while self.input_start < self.input_end {
            match bench.protocol.parse(&input[self.input_start..self.input_end]) {
                Ok(Some(reply)) => {
                    self.input_start += reply.length;
                    let closes = reply.closes;
                    if !self.on_reply(reply, now_ns, bench) {
                        break;
                    }
                    if closes {
                        self.lose("connection lost", "the server asked to close", now_ns, bench);
                        break;
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    let text = &input[self.input_start..self.input_end.min(self.input_start + 80)];
                    self.lose("malformed reply", &text.escape_ascii().to_string(), now_ns, bench);
                    break;
                }
            }
        }
        self.input = input;
        if self.input_start >= self.input_end {
            self.input_start = 0;
            self.input_end = 0;
        }
    }

    /// Takes one reply; false if the connection is given up.
    fn on_reply<P>(&mut self, reply: Reply<'_>, now_ns: u64, bench: &mut Workbench<'_, P>) -> bool {
        if let Link::Greeting { missing } = self.link {
            if let Verdict::Refused(refusal) = reply.verdict {
                self.lose(
                    "greeting refused",
                    &String::from_utf8_lossy(refusal.text),
                    now_ns,
                    bench,
                );
                return false;
            }
            self.link = if missing == 1 {
                Link::Ready
            } else {
                Link::Greeting { missing: missing - 1 }
            };
            return true;
        }
        let Some(flight) = self.flight.pop_front() else {
            self.lose("malformed reply", "a reply to nothing", now_ns, bench);
            return false;
        };
        self.backoff_ns = BACKOFF_FIRST_NS;
        let Flight {
            kind,
            key,
            intended_ns,
            writing_back,
        } = flight;
        let reads = match kind {
            Kind::Get => true,
            Kind::Rmw => !writing_back,
            Kind::Set | Kind::Insert => false,
        };
        match reply.verdict {
            Verdict::Missing if reads => bench.recorder.miss(now_ns),
            Verdict::Missing => {
                bench.recorder.fail("write answered nil", &[], intended_ns, now_ns);
                return true;
            }
            Verdict::Refused(refusal) => {
                bench.error_name.clear();
                if refusal.status != 0 {
                    bench.error_name.push_str(&refusal.status.to_string());
                }
                if refusal.status != 0 && !refusal.code.is_empty() {
                    bench.error_name.push(' ');
                }
                bench.error_name.push_str(&String::from_utf8_lossy(refusal.code));
                bench
                    .recorder
                    .fail(&bench.error_name, refusal.text, intended_ns, now_ns);
                return true;
            }
            Verdict::Done => {}
        }
        if kind == Kind::Rmw && !writing_back {
            self.write_backs.push(WriteBack {
                key,
                intended_ns,
                context: reply.context.to_vec(),
            });
            return true;
        }
        if kind == Kind::Insert {
            bench.source.acknowledge(key);
        }
        bench.recorder.complete(kind, intended_ns, now_ns);
        true
    }

    /// Encodes one operation; it leaves with the next flush.
    pub fn append<P: Protocol>(
        &mut self,
        kind: Kind,
        key: u64,
        intended_ns: u64,
        now_ns: u64,
        bench: &mut Workbench<'_, P>,
    ) {
        if self.flight.is_empty() {
            self.waiting_since_ns = now_ns;
        }
        match kind {
            Kind::Get | Kind::Rmw => bench.protocol.append_get(&mut self.out, key),
            Kind::Set | Kind::Insert => {
                let value = bench.values.draw(&mut bench.source.random);
                bench.protocol.append_set(&mut self.out, key, value, &[]);
            }
        }
        self.flight.push_back(Flight {
            kind,
            key,
            intended_ns,
            writing_back: false,
        });
    }

    /// Encodes the writes that reads have earned.
    pub fn append_write_backs<P: Protocol>(&mut self, now_ns: u64, bench: &mut Workbench<'_, P>) {
        if self.flight.is_empty() {
            self.waiting_since_ns = now_ns;
        }
        for write in self.write_backs.drain(..) {
            let value = bench.values.draw(&mut bench.source.random);
            bench
                .protocol
                .append_set(&mut self.out, write.key, value, &write.context);
            let WriteBack { key, intended_ns, .. } = write;
            self.flight.push_back(Flight {
                kind: Kind::Rmw,
                key,
                intended_ns,
                writing_back: true,
            });
        }
    }

    /// Writes all that is encoded, as far as the socket takes it.
    pub fn flush<P>(&mut self, now_ns: u64, bench: &mut Workbench<'_, P>) {
        while self.written < self.out.len() {
            let Some(stream) = &mut self.stream else { return };
            match stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose("connection lost", &error.to_string(), now_ns, bench),
            }
        }
        self.out.clear();
        self.written = 0;
    }

    /// Gives up on an answer, or a connection attempt, that takes longer than the timeout; tries again when a pause is over.
    /// Returns true if it is time to connect.
    pub fn on_tick<P>(&mut self, now_ns: u64, timeout_ns: u64, bench: &mut Workbench<'_, P>) -> bool {
        match self.link {
            Link::Down { retry_ns } => return now_ns >= retry_ns,
            Link::Connecting { since_ns } => {
                if now_ns.saturating_sub(since_ns) > timeout_ns {
                    self.lose("cannot connect", "timeout", now_ns, bench);
                }
            }
            Link::Greeting { .. } => {
                if now_ns.saturating_sub(self.waiting_since_ns) > timeout_ns {
                    self.lose("timeout", "no answer to the greeting", now_ns, bench);
                }
            }
            Link::Ready => {
                if !self.flight.is_empty() && now_ns.saturating_sub(self.waiting_since_ns) > timeout_ns {
                    self.lose("timeout", "no answer", now_ns, bench);
                }
            }
        }
        false
    }

    /// Fails what is in flight, closes, and pauses before the next attempt.
    pub fn lose<P>(&mut self, error: &str, text: &str, now_ns: u64, bench: &mut Workbench<'_, P>) {
        if self.is_idle() {
            bench.recorder.count_error(error, text.as_bytes(), now_ns);
        }
        for flight in self.flight.drain(..) {
            bench.recorder.fail(error, text.as_bytes(), flight.intended_ns, now_ns);
            bench.source.give_back(flight.kind, flight.key);
        }
        for write in self.write_backs.drain(..) {
            bench.recorder.fail(error, text.as_bytes(), write.intended_ns, now_ns);
        }
        self.stream = None;
        self.out.clear();
        self.written = 0;
        self.input_start = 0;
        self.input_end = 0;
        self.link = Link::Down {
            retry_ns: now_ns + self.backoff_ns,
        };
        self.backoff_ns = (self.backoff_ns * 2).min(BACKOFF_LAST_NS);
    }
}

fn start_connecting(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}
