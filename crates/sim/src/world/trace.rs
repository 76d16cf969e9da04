//! What happened, as one number to compare two runs by, and, for `repro`, as the last steps of each node in words.

use std::collections::VecDeque;

use torc_core::effect::{Effect, Input};
use torc_core::message::Message;

/// Steps kept of each node.
const STEPS_KEPT: usize = 60;

/// See the module.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    steps: u64,
    kept: Option<Vec<VecDeque<String>>>,
    befell: Vec<String>,
}

impl Trace {
    /// Keeps words only if asked to.
    #[must_use]
    pub fn new(hosts: usize, keeps_words: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            steps: 0,
            kept: keeps_words.then(|| vec![VecDeque::new(); hosts]),
            befell: Vec::new(),
        }
    }

    /// A step begins.
    pub fn input(&mut self, at_us: u64, host: usize, input: &Input) {
        self.steps += 1;
        self.fold(at_us);
        self.fold(host as u64);
        self.fold(digest_of_input(input));
        if self.kept.is_some() {
            self.say(at_us, host, || format!("◀ {}", shorten(&format!("{input:?}"))));
        }
    }

    /// A step asks for something.
    pub fn effect(&mut self, at_us: u64, host: usize, effect: &Effect) {
        self.fold(digest_of_effect(effect));
        if self.kept.is_some() {
            if let Effect::Notice(notice) = effect {
                self.befalls(at_us, host, &shorten(&format!("{notice:?}")));
            }
            self.say(at_us, host, || format!("▶ {}", shorten(&format!("{effect:?}"))));
        }
    }

    /// Something befalls a node.
    pub fn event(&mut self, at_us: u64, host: usize, words: impl FnOnce() -> String) {
        self.fold(at_us ^ ((host as u64) << 48));
        if self.kept.is_some() {
            let words = words();
            self.befalls(at_us, host, &words);
            self.say(at_us, host, || format!("! {words}"));
        }
    }

    /// All that befell the nodes and all that they noticed, from the start.
    #[must_use]
    pub fn befell(&self) -> &[String] {
        &self.befell
    }

    fn befalls(&mut self, at_us: u64, host: usize, words: &str) {
        self.befell
            .push(format!("{:>12.6} host {host}: {words}", at_us as f64 / 1e6));
    }

    /// Mixes a number in.
    pub fn fold(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }

    /// The number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The last steps of one node.
    #[must_use]
    pub fn last_steps(&self, host: usize) -> Vec<String> {
        let kept = self.kept.as_ref().map(|kept| kept[host].iter().cloned().collect());
        kept.unwrap_or_default()
    }

    fn say(&mut self, at_us: u64, host: usize, words: impl FnOnce() -> String) {
        if let Some(kept) = &mut self.kept {
            let kept = &mut kept[host];
            if kept.len() == STEPS_KEPT {
                kept.pop_front();
            }
            kept.push_back(format!("{:>12.6} {}", at_us as f64 / 1e6, words()));
        }
    }
}

fn shorten(words: &str) -> String {
    const CHARS_MAX: usize = 700;
    words.chars().take(CHARS_MAX).collect()
}

fn digest_of_input(input: &Input) -> u64 {
    match input {
        Input::Request(request) => 1 ^ (request.id.0 << 8),
        Input::Message { from, envelope } => {
            2 ^ (u64::from(from.0) << 16) ^ (kind_of(&envelope.message) << 8) ^ envelope.hlc.0.rotate_left(32)
        }
        Input::Stored { token, .. } => 3 ^ (token.0 << 8),
        Input::Peer { node, up } => 4 ^ (u64::from(node.0) << 8) ^ (u64::from(*up) << 50),
        Input::Unsent { node, op, .. } => 8 ^ (u64::from(node.0) << 8) ^ op.0.rotate_left(32),
        Input::Unanswered { node, op, .. } => 9 ^ (u64::from(node.0) << 8) ^ op.0.rotate_left(32),
        Input::StoreHealth(health) => 5 ^ (u64::from(health.full) << 8) ^ (u64::from(health.slow) << 9),
        Input::Control { work, change } => 7 ^ ((*work as u64) << 8) ^ (u64::from(change.run_now) << 16),
        Input::Tick => 6,
    }
}

fn digest_of_effect(effect: &Effect) -> u64 {
    match effect {
        Effect::Send { to, envelope } => {
            let to = to
                .iter()
                .fold(0, |sum: u64, node| sum.rotate_left(5) ^ u64::from(node.0));
            11 ^ (kind_of(&envelope.message) << 8) ^ (to << 16) ^ envelope.hlc.0.rotate_left(40)
        }
        Effect::Store { token, .. } => 12 ^ (token.0 << 8),
        Effect::Reply { request, .. } => 13 ^ (request.0 << 8),
        Effect::Notice(_) => 14,
        Effect::Reconnect { node } => 15 ^ (u64::from(node.0) << 8),
    }
}

fn kind_of(message: &Message) -> u64 {
    match message {
        Message::Read(read) => 1 ^ (read.op.0 << 4),
        Message::ReadReply(reply) => 2 ^ (reply.op.0 << 4),
        Message::Write(write) => 3 ^ (write.op.map_or(0, |op| op.0) << 4),
        Message::WriteReply(reply) => 4 ^ (reply.op.0 << 4),
        Message::Forward(forward) => 5 ^ (forward.op.0 << 4),
        Message::ForwardReply(reply) => 6 ^ (reply.op.0 << 4),
        Message::Refused(refused) => 7 ^ (refused.op.map_or(0, |op| op.0) << 4),
        Message::Boot(boot) => 8 ^ (boot.nonce << 4),
        Message::BootReply(reply) => 9 ^ (reply.nonce << 4),
        Message::Pull(pull) => 10 ^ (pull.op.0 << 4),
        Message::PullReply(reply) => 11 ^ (reply.op.0 << 4),
        Message::Pulse => 12,
        Message::Gossip(_) => 13,
        Message::Entropy(_) => 14,
        Message::Reaping(_) => 15,
    }
}
