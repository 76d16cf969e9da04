//! What the Redis protocol costs by itself, on this machine: pipelines of SET and GET parsed, submitted, answered and
//! written, without a node. `cargo run --release -p torc-frontends --example resp_speed`

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use torc_core::bucket::{Bucket, Catalog};
use torc_core::causality::{ClientContext, Dot, Value};
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::id::{ActorId, Life, NodeId};
use torc_core::outcome::{Answered, Found, Outcome, Sibling, Written};
use torc_core::time::{Hlc, Wall};
use torc_frontends::resp::{Connection, Host, ServerFacts, Ticket};

/// Answers every command at once, with as little as can be.
struct Echo {
    catalog: Arc<Catalog>,
    waiting: VecDeque<(Ticket, bool)>,
}

impl Host for Echo {
    fn answer_now(&mut self, _command: &Command) -> Option<Outcome> {
        None
    }

    fn show_now(&mut self, _: BucketId, _: &[u8], _: &Options, _: &mut dyn FnMut(Option<&Bytes>)) -> bool {
        false
    }

    fn submit(&mut self, ticket: Ticket, command: Command) {
        self.waiting.push_back((ticket, command.write().is_some()));
    }

    fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    fn now(&self) -> Wall {
        Wall(1_700_000_000_000)
    }

    fn facts(&self) -> ServerFacts {
        ServerFacts::default()
    }

    fn random(&mut self) -> u64 {
        4
    }
}

fn found(value: &Bytes) -> Outcome {
    let actor = ActorId {
        node: NodeId(1),
        life: Life(1),
        birth: 1,
    };
    Outcome::Found(Box::new(Found {
        context: None,
        siblings: vec![Sibling {
            dot: Dot { actor, counter: 1 },
            value: Value::plain(value.clone()),
            written_at: Hlc(1),
            expires_at: None,
        }],
        tombstones: 0,
        is_hash: false,
        answered: Answered::default(),
    }))
}

fn measure(name: &str, depth: usize, command: impl Fn(usize) -> Vec<u8>) {
    let mut pipeline = Vec::new();
    for index in 0..depth {
        pipeline.extend(command(index));
    }
    let value = Bytes::from(vec![b'v'; 100]);
    let mut host = Echo {
        catalog: Arc::new(Catalog::new(Bucket::initial())),
        waiting: VecDeque::new(),
    };
    let mut connection = Connection::new(1, String::new());
    let mut input = BytesMut::with_capacity(64 << 10);
    let (mut parsing, mut answering) = (Duration::MAX, Duration::MAX);
    let rounds = 200_000 / depth;
    for _ in 0..10 {
        let (mut parsed, mut answered) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..rounds {
            input.reserve(64 << 10);
            input.extend_from_slice(&pipeline);
            let start = Instant::now();
            connection.receive(&mut input, &mut host);
            let middle = Instant::now();
            while let Some((ticket, is_write)) = host.waiting.pop_front() {
                let outcome = if is_write {
                    Outcome::Written(Written {
                        context: ClientContext::Clock(Hlc(1)),
                        answered: Answered::default(),
                    })
                } else {
                    found(&value)
                };
                connection.on_outcome(ticket, outcome, &mut host);
            }
            parsed += middle - start;
            answered += middle.elapsed();
            connection.output().clear();
        }
        parsing = parsing.min(parsed);
        answering = answering.min(answered);
    }
    let each = |time: Duration| time.as_nanos() as f64 / (rounds * depth) as f64;
    println!(
        "{name}, {depth} at once: {:.0} ns to take, {:.0} ns to answer",
        each(parsing),
        each(answering)
    );
}

fn main() {
    for depth in [1, 16, 256] {
        measure("SET", depth, |index| {
            let key = format!("key:{index:012}");
            let value = "v".repeat(100);
            format!("*3\r\n$3\r\nSET\r\n$16\r\n{key}\r\n$100\r\n{value}\r\n").into_bytes()
        });
        measure("GET", depth, |index| {
            format!("*2\r\n$3\r\nGET\r\n$16\r\nkey:{index:012}\r\n").into_bytes()
        });
    }
}
