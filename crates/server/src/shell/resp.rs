//! Connections of Redis clients: bytes to the protocol's state machine and back, one task each.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use torc_core::bucket::Catalog;
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::outcome::Outcome;
use torc_core::time::{Time, Wall};
use torc_frontends::resp::{Connection, Host, ServerFacts, Ticket};

use super::shards::Shard;
use super::waiters::Waiter;

/// The room for one read: doubled while reads fill it, halved while they need little of it.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 256 << 10;
/// Reads and writes of one connection before others have their turn.
const ROUNDS_MAX: u32 = 32;
/// The most time that a client may go on sending after its last reply.
const LINGER_TIME_MAX: Duration = Duration::from_millis(500);

/// Outcomes on their way to a connection's task.
#[derive(Default)]
pub struct Mailbox {
    outcomes: RefCell<Vec<(Ticket, Outcome)>>,
    waker: Cell<Option<Waker>>,
    heard_at: Cell<Time>,
    must_close: Cell<bool>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// Leaves an outcome and wakes the task.
    pub fn put(&self, ticket: Ticket, outcome: Outcome) {
        self.outcomes.borrow_mut().push((ticket, outcome));
        self.wake();
    }

    /// When the client last said something.
    pub fn heard_at(&self) -> Time {
        self.heard_at.get()
    }

    /// Ends the connection once what it was asked is answered.
    pub fn close(&self) {
        self.must_close.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Serves a Redis client until its connection ends.
pub async fn serve(shard: &Rc<Shard>, stream: TcpStream, address: SocketAddr, id: u64) {
    let mailbox = Rc::new(Mailbox::default());
    mailbox.heard_at.set(shard.begin_turn().time);
    shard.add_redis(id, address.to_string(), Rc::clone(&mailbox));
    let mut talk = Talk {
        connection: Connection::new(id, address.to_string()),
        stream,
        input: BytesMut::new(),
        read_bytes: READ_BYTES_MIN,
        is_stalled: false,
        mailbox,
        shard: Rc::clone(shard),
    };
    match std::future::poll_fn(|context| talk.poll(context)).await {
        Ok(()) if talk.connection.is_closing() || talk.has_unread() => talk.linger().await,
        Ok(()) => {}
        Err(error) => tracing::debug!(client = id, %address, %error, "a client's connection ended"),
    }
    shard.remove_redis(id);
}

/// Tells a client that there are too many.
pub async fn turn_away(mut stream: TcpStream) {
    let answer = b"-ERR max number of clients reached (limits.connections_max)\r\n";
    drop(stream.write_all(answer).await);
}

struct Talk {
    connection: Connection,
    stream: TcpStream,
    input: BytesMut,
    read_bytes: usize,
    /// The connection left bytes in `input` because too much of it was in flight.
    is_stalled: bool,
    mailbox: Rc<Mailbox>,
    shard: Rc<Shard>,
}

impl Talk {
    /// Answers, writes and reads for as long as there is something to do.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        for _ in 0..ROUNDS_MAX {
            self.take_outcomes();
            if self.write(context)?.is_pending() {
                let limit = self.shard.common.config.limits.output_bytes_max.0 as usize;
                if self.connection.output().len() > limit {
                    let words = format!("more than {limit} bytes of unread answers (limits.output_bytes_max)");
                    return Poll::Ready(Err(std::io::Error::other(words)));
                }
                return self.wait(context);
            }
            // What was read is answered first.
            let must_close = self.mailbox.must_close.get();
            let is_over = must_close && self.connection.in_flight() == 0 && !self.is_stalled;
            if is_over || self.connection.is_closing() {
                return Poll::Ready(Ok(()));
            }
            if !self.connection.wants_input() {
                return self.wait(context);
            }
            // Answers that had piled up are written: what was left of the input comes before what is read next.
            if self.is_stalled {
                self.receive();
                continue;
            }
            if must_close {
                return self.wait(context);
            }
            match self.read(context)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                Poll::Pending => return self.wait(context),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// True if the client has sent more than was read of it.
    fn has_unread(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Ok(1))
    }

    /// Lets the client have its last reply: a connection closed over bytes that nobody has read is reset, which can take what
    /// the client has not read yet.
    async fn linger(&mut self) {
        let ended = async {
            self.stream.shutdown().await?;
            self.input.clear();
            while self.stream.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            std::io::Result::Ok(())
        };
        drop(tokio::time::timeout(LINGER_TIME_MAX, ended).await);
    }

    fn wait(&self, context: &Context<'_>) -> Poll<std::io::Result<()>> {
        self.mailbox.waker.set(Some(context.waker().clone()));
        if !self.mailbox.outcomes.borrow().is_empty() {
            self.mailbox.wake();
        }
        Poll::Pending
    }

    fn take_outcomes(&mut self) {
        loop {
            let outcomes = std::mem::take(&mut *self.mailbox.outcomes.borrow_mut());
            if outcomes.is_empty() {
                return;
            }
            let mut host = TalkHost {
                shard: &self.shard,
                mailbox: &self.mailbox,
            };
            for (ticket, outcome) in outcomes {
                self.connection.on_outcome(ticket, outcome, &mut host);
            }
            if self.is_stalled && self.connection.wants_input() {
                self.receive();
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> std::io::Result<Poll<()>> {
        let Self { connection, stream, .. } = self;
        let output = connection.output();
        while !output.is_empty() {
            let written = pin!(stream.write(output)).poll(context);
            match written? {
                Poll::Ready(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => output.advance(count),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn read(&mut self, context: &mut Context<'_>) -> std::io::Result<Poll<usize>> {
        self.input.reserve(self.read_bytes);
        let Poll::Ready(count) = pin!(self.stream.read_buf(&mut self.input)).poll(context)? else {
            return Ok(Poll::Pending);
        };
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        if count > 0 {
            self.mailbox.heard_at.set(self.shard.begin_turn().time);
            self.receive();
        }
        Ok(Poll::Ready(count))
    }

    fn receive(&mut self) {
        let mut host = TalkHost {
            shard: &self.shard,
            mailbox: &self.mailbox,
        };
        self.connection.receive(&mut self.input, &mut host);
        self.is_stalled = !self.connection.wants_input();
    }
}

struct TalkHost<'a> {
    shard: &'a Shard,
    mailbox: &'a Rc<Mailbox>,
}

impl Host for TalkHost<'_> {
    fn submit(&mut self, ticket: Ticket, command: Command) {
        let waiter = Waiter::Resp(Rc::clone(self.mailbox), ticket);
        self.shard.request(command, waiter);
    }

    fn answer_now(&mut self, command: &Command) -> Option<Outcome> {
        self.shard.answer_now(command)
    }

    fn show_now(
        &mut self,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        show: &mut dyn FnMut(Option<&Bytes>),
    ) -> bool {
        self.shard.show_now(bucket, key, options, show)
    }

    fn catalog(&self) -> &Arc<Catalog> {
        self.shard.catalog()
    }

    fn now(&self) -> Wall {
        self.shard.now().wall
    }

    fn facts(&self) -> ServerFacts {
        self.shard.facts()
    }

    fn random(&mut self) -> u64 {
        self.shard.random()
    }
}
