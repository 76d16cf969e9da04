//! What a Redis client sends, in two parts: no bytes panic, every command that is submitted is answered, and neither where
//! the stream was cut nor whether reads were answered inside the call shows in the answers.
#![no_main]

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use torc_core::bucket::{Bucket, Catalog};
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::keyspace::{KeyView, UpdateReply};
use torc_core::outcome::{Answered, Cause, Failure, Found, Outcome};
use torc_core::time::Wall;
use torc_frontends::resp::{Connection, Host, ServerFacts, Ticket};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::new(Bucket::initial())));

#[derive(Default)]
struct Node {
    is_at_hand: bool,
    waiting: VecDeque<(Ticket, Command)>,
}

impl Host for Node {
    fn submit(&mut self, ticket: Ticket, command: Command) {
        self.waiting.push_back((ticket, command));
    }

    fn answer_now(&mut self, command: &Command) -> Option<Outcome> {
        let is_read = matches!(command, Command::Get(_) | Command::View(_));
        (self.is_at_hand && is_read).then(|| outcome(command))
    }

    fn show_now(&mut self, _: BucketId, _: &[u8], _: &Options, _: &mut dyn FnMut(Option<&Bytes>)) -> bool {
        // A hash is no string.
        false
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
        Command::Put(_)
        | Command::List(_)
        | Command::Keys(_)
        | Command::Clear(_)
        | Command::Inspect(_)
        | Command::Import(_) => Outcome::Failed(Failure::refused(Cause::DiskFull)),
    }
}

fn answers(parts: &[&[u8]], is_at_hand: bool) -> Vec<u8> {
    let mut node = Node {
        is_at_hand,
        ..Node::default()
    };
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
    let whole = answers(&[stream], false);
    assert_eq!(whole, answers(&[first, second], false));
    assert_eq!(whole, answers(&[stream], true));
});
