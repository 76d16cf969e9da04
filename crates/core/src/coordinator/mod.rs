//! The operations that a node runs for clients. Each is one file that reads top to bottom: what it starts with, what it
//! does with each answer, how it ends.

use crate::command::Command;
pub use crate::event::Event;
use crate::id::{NodeId, OpId, RequestId};
use crate::site::Site;
use crate::time::Time;

pub mod batch;
pub mod earlier;
pub mod forward;
pub mod found;
pub mod get;
pub mod import;
pub mod inspect;
pub mod keys;
pub mod list;
pub mod locks;
pub mod mend;
pub mod merged;
pub mod put;
pub mod put_alone;
pub mod read_round;
pub mod riders;
pub mod spread;
pub mod update;
pub mod validate;
pub mod view;

/// Who awaits an operation's outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client of this node.
    Client(RequestId),
    /// Another node, which forwarded a client's command.
    Forwarder(NodeId, OpId),
    /// A batch of this node.
    Child(OpId, usize),
    /// Nobody: the node works for itself.
    Nobody,
}

/// What every operation has.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Its name, in every message about it.
    pub id: OpId,
    /// Who awaits its outcome.
    pub origin: Origin,
    /// When it gives up.
    pub deadline: Time,
}

/// Where a command may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At the home that suits it best.
    Anywhere,
    /// At this node, a home of its key.
    Here,
    /// At this node, which stands in for a home: none of them can sign it (RULINGS 15).
    StandIn,
}

/// Whether an operation goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It waits for more.
    Continue,
    /// It is over; its outcome, if anybody awaits one, was given.
    Done,
}

/// One operation in flight. All but the smallest are boxed, each by itself: they differ in size by far, and are handed around
/// while they begin.
#[derive(Debug)]
pub enum Operation {
    /// See the file of each.
    Get(Box<get::Get>),
    /// Puts and deletes.
    Put(Box<put::Put>),
    /// Puts of what only this node holds.
    PutAlone(put_alone::PutAlone),
    /// Redis read-modify-writes.
    Update(Box<update::Update>),
    /// Redis reads.
    View(Box<view::View>),
    /// Sort keys of a key.
    List(Box<list::List>),
    /// Keys of a bucket.
    Keys(Box<keys::Keys>),
    /// Several commands.
    Batch(Box<batch::Batch>),
    /// A command that a home runs.
    Forward(Box<forward::Forward>),
    /// What each home holds.
    Inspect(Box<inspect::Inspect>),
    /// A whole record from elsewhere.
    Import(Box<import::Import>),
    /// A damaged record of this node.
    Mend(Box<mend::Mend>),
}

impl Operation {
    /// Hands an event to the operation.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        match self {
            Self::Get(operation) => operation.on(event, site),
            Self::Put(operation) => operation.on(event, site),
            Self::PutAlone(operation) => operation.on(event, site),
            Self::Update(operation) => operation.on(event, site),
            Self::View(operation) => operation.on(event, site),
            Self::List(operation) => operation.on(event, site),
            Self::Keys(operation) => operation.on(event, site),
            Self::Batch(operation) => operation.on(event, site),
            Self::Forward(operation) => operation.on(event, site),
            Self::Inspect(operation) => operation.on(event, site),
            Self::Import(operation) => operation.on(event, site),
            Self::Mend(operation) => operation.on(event, site),
        }
    }

    /// Starts the operation of a command that runs at this node; `None` if it was over at once.
    pub fn start(meta: Meta, command: Command, place: Place, site: &mut Site) -> Option<Self> {
        match command {
            Command::Get(command) => get::Get::start(meta, command, site).map(|begun| Self::Get(Box::new(begun))),
            Command::Put(command) => {
                put::Put::start(meta, command, place, site).map(|begun| Self::Put(Box::new(begun)))
            }
            Command::Update(command) => {
                update::Update::start(meta, command, site).map(|begun| Self::Update(Box::new(begun)))
            }
            Command::View(command) => view::View::start(meta, command, site).map(|begun| Self::View(Box::new(begun))),
            Command::List(command) => list::List::start(meta, command, site).map(|begun| Self::List(Box::new(begun))),
            Command::Keys(command) => keys::Keys::start(meta, command, site).map(|begun| Self::Keys(Box::new(begun))),
            Command::Batch(command) => {
                batch::Batch::start(meta, command, site).map(|begun| Self::Batch(Box::new(begun)))
            }
            Command::Clear(command) => {
                batch::Batch::start_clear(meta, command, site).map(|begun| Self::Batch(Box::new(begun)))
            }
            Command::Inspect(command) => {
                inspect::Inspect::start(meta, command, site).map(|begun| Self::Inspect(Box::new(begun)))
            }
            Command::Import(command) => {
                import::Import::start(meta, command, site).map(|begun| Self::Import(Box::new(begun)))
            }
        }
    }
}
