//! What a Redis client sends, in two parts: no bytes panic, every command that is submitted is answered, and where the
//! stream was cut does not show in the answers.
#![no_main]

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use torc_core::bucket::{Bucket, Catalog};
use torc_core::command::Command;
use torc_core::keyspace::{KeyView, UpdateReply};
use torc_core::outcome::{Answered, Cause, Failure, Found, Outcome};
use torc_core::time::Wall;
use torc_frontends::resp::{Connection, Host, ServerFacts, Ticket};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::new(Bucket::initial())));

#[derive(Default)]
struct Node {
    waiting: VecDeque<(Ticket, Command)>,
}

impl Host for Node {
    fn submit(&mut self, ticket: Ticket, command: Command) {
        self.waiting.push_back((ticket, command));
    }

    fn catalog(&self) -> &Arc<Catalog> {
        &CATALOG
    }

    fn now(&self) -> Wall {
        Wall(1_700_000_000_000)
    }

    fn facts(&self) -> ServerFacts {
        ServerFacts::default()
    }

    fn random(&mut self) -> u64 {
        u64::MAX
    }
}

fn outcome(command: &Command) -> Outcome {
    let answered = Answered::default();
    match command {
        Command::Get(_) => Outcome::Found(Box::new(Found {
            context: None,
            siblings: Vec::new(),
            tombstones: 0,
            is_hash: true,
            answered,
        })),
        Command::View(_) => {
            let field = (Bytes::from_static(b"f"), Some(Bytes::from_static(b"v")));
            let view = KeyView::Hash {
                fields: vec![field],
                expires_at: Some(Wall(1)),
            };
            Outcome::View(Box::new(view), answered)
        }
        Command::Update(_) => Outcome::Updated(UpdateReply::Integer(1), answered),
        Command::Batch(batch) => Outcome::Batch(batch.commands.iter().map(outcome).collect()),
        Command::Put(_) | Command::List(_) | Command::Keys(_) | Command::Clear(_) | Command::Inspect(_) => {
            Outcome::Failed(Failure::refused(Cause::DiskFull))
        }
    }
}

fn answers(parts: &[&[u8]]) -> Vec<u8> {
    let mut node = Node::default();
    let mut connection = Connection::new(1, "fuzz".into());
    let mut input = BytesMut::new();
    let mut output = Vec::new();
    for part in parts {
        input.extend_from_slice(part);
        connection.receive(&mut input, &mut node);
    }
    loop {
        output.extend_from_slice(&connection.output().split());
        if let Some((ticket, command)) = node.waiting.pop_front() {
            connection.on_outcome(ticket, outcome(&command), &mut node);
            continue;
        }
        let left = input.len();
        if connection.wants_input() && left > 0 {
            connection.receive(&mut input, &mut node);
        }
        if node.waiting.is_empty() && input.len() == left && connection.output().is_empty() {
            break;
        }
    }
    assert_eq!(connection.in_flight(), 0, "every command has its answer");
    output
}

fuzz_target!(|data: &[u8]| {
    let Some((&at, stream)) = data.split_first() else {
        return;
    };
    let (first, second) = stream.split_at(usize::from(at).min(stream.len()));
    assert_eq!(answers(&[stream]), answers(&[first, second]));
});
