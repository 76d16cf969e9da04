//! What a command comes to: answered at once, or run in the core and shaped into a reply.

use bytes::{Bytes, BytesMut};
use torc_core::command::Command;

use super::parser::Arguments;
use super::session::{Host, Session};
use super::shape::Shape;

/// Most commands of one batch that is handed to the core.
pub const BATCH_COMMANDS_MAX: usize = 1_000;

/// What a handler works with.
pub struct Call<'a> {
    /// The command's name, upper case.
    pub name: &'static str,
    /// All words, the name first.
    pub arguments: &'a Arguments,
    /// The connection's memory.
    pub session: &'a mut Session,
    /// Its surroundings.
    pub host: &'a mut dyn Host,
    /// Where an answer at once goes.
    pub out: &'a mut BytesMut,
}

impl Call<'_> {
    /// An argument that the arity guarantees.
    pub fn argument(&self, place: usize) -> &Bytes {
        &self.arguments[place]
    }

    /// An argument in upper case, for option words; empty if it is not there or no word.
    pub fn word(&self, place: usize) -> String {
        let bytes = self.arguments.get(place).map_or(&[][..], |bytes| &bytes[..]);
        String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).to_ascii_uppercase()
    }

    /// An argument as Redis reads integers.
    ///
    /// # Errors
    /// The reply's text.
    pub fn integer(&self, place: usize) -> Result<i64, String> {
        integer(self.argument(place)).ok_or_else(|| "ERR value is not an integer or out of range".into())
    }
}

/// Reads an integer as strictly as Redis does.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_canonical = match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        [b'0'] => !text.starts_with('-'),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if is_canonical { text.parse().ok() } else { None }
}

/// What orders a command among others of its connection (RULINGS 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Of the key: it starts after earlier commands on the same one; reads overlap with one another.
    pub hash: u64,
    /// Changes the key.
    pub is_write: bool,
}

/// A command that runs alone: after all earlier ones and before all later ones.
#[derive(Debug)]
pub struct Run {
    /// One, or the parts of one that names several keys.
    pub commands: Vec<Command>,
    /// How its outcomes become a reply.
    pub shape: Shape,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Plan {
    /// The reply was written.
    Answered,
    /// One command on one key: the common case, without a list.
    One(Command, Shape, Order),
    /// Several.
    Several(Run),
}

/// A handler's result; the error is the reply's text, its prefix first.
pub type Planned = Result<Plan, String>;

/// One read of one key.
pub fn read(command: Command, shape: Shape) -> Planned {
    let hash = hash_of(&command);
    Ok(Plan::One(command, shape, Order { hash, is_write: false }))
}

/// One change of one key.
pub fn write(command: Command, shape: Shape) -> Planned {
    let hash = hash_of(&command);
    Ok(Plan::One(command, shape, Order { hash, is_write: true }))
}

/// A command that waits for all earlier ones.
pub fn barrier(commands: Vec<Command>, shape: Shape) -> Planned {
    Ok(Plan::Several(Run { commands, shape }))
}

fn hash_of(command: &Command) -> u64 {
    // A good spread is enough: two keys with one hash only wait for one another.
    let key = command.key().map_or(&[][..], |key| &key[..]);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    for &byte in words.remainder() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
