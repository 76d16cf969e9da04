//! A client's intent, whatever protocol it came by.

use bytes::Bytes;

use crate::causality::{Context, Record, Value};
use crate::id::{BucketId, ClientRequestId, RequestId};
use crate::keyspace::{Update, Want};
use crate::quorum::QuorumSize;
use crate::time::Wall;

/// A command with the number under which the shell awaits its outcome.
#[derive(Clone, Debug)]
pub struct Request {
    /// Given back with the outcome.
    pub id: RequestId,
    /// What to do.
    pub command: Command,
}

/// Where a command applies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The bucket.
    pub bucket: BucketId,
    /// The partition key, 1 to 2,048 bytes.
    pub key: Bytes,
    /// The sort key; may be empty.
    pub sort: Bytes,
}

/// How sure a request wants to be, and how long it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `r`, instead of the bucket's.
    pub read: Option<QuorumSize>,
    /// `w`, instead of the bucket's.
    pub write: Option<QuorumSize>,
    /// Homes only; reads write back before they answer.
    pub strict: bool,
    /// Milliseconds; the default if `None`.
    pub timeout_ms: Option<u32>,
}

/// What the client wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Read one record.
    Get(Get),
    /// Write or delete one record.
    Put(Put),
    /// Read-modify-write of a Redis key at its first healthy home.
    Update(UpdateKey),
    /// Read a Redis key: its head and some of its fields.
    View(ViewKey),
    /// The sort keys of one key.
    List(List),
    /// The keys of a bucket, or their number.
    Keys(Keys),
    /// Forget everything in a bucket up to now (`lww` buckets).
    Clear(Clear),
    /// Several commands; per-item results, no atomicity. Items on one key run in order.
    Batch(Batch),
    /// What each home holds for a key.
    Inspect(Inspect),
    /// Merge a whole record from elsewhere.
    Import(Import),
}

/// Read one record.
#[derive(Clone, PartialEq, Debug)]
pub struct Get {
    /// Which.
    pub target: Target,
    /// Quorum and deadline.
    pub options: Options,
}

/// When a write expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    /// As the bucket says.
    BucketDefault,
    /// Never.
    Never,
    /// This many milliseconds after the receiving node got it.
    AfterMs(u64),
    /// At this moment.
    At(Wall),
    /// The same, counted from when the receiving node got it: the moment stands wherever it is run, and a retry that comes
    /// later asks for the same although its moment is another.
    Counted {
        /// What was asked for, in milliseconds.
        after_ms: u64,
        /// When that is.
        at: Wall,
    },
}

impl Ttl {
    /// This many milliseconds after `now`.
    #[must_use]
    pub fn counted(after_ms: u64, now: Wall) -> Self {
        let at = Wall(now.0.saturating_add(after_ms));
        Self::Counted { after_ms, at }
    }

    /// The same with its moment fixed: `Never`, `At` or `Counted`. What is fixed stays as it is, wherever it is run next.
    #[must_use]
    pub fn fixed(self, bucket_seconds: Option<u64>, now: Wall) -> Self {
        match self {
            Self::AfterMs(ms) => Self::counted(ms, now),
            Self::BucketDefault => {
                bucket_seconds.map_or(Self::Never, |seconds| Self::counted(seconds.saturating_mul(1_000), now))
            }
            Self::Never | Self::At(_) | Self::Counted { .. } => self,
        }
    }

    /// The moment, if it is fixed and there is one.
    #[must_use]
    pub fn moment(self) -> Option<Wall> {
        match self {
            Self::At(at) | Self::Counted { at, .. } => Some(at),
            Self::Never | Self::AfterMs(_) | Self::BucketDefault => None,
        }
    }
}

/// What a put writes.
#[derive(Clone, PartialEq, Debug)]
pub enum PutAction {
    /// A value.
    Value(Value, Ttl),
    /// A tombstone.
    Delete,
    /// `cleared_at` of a whole partition, made by `Command::Clear` and never by a client.
    ClearPartition,
}

/// Which versions a put replaces.
#[derive(Clone, PartialEq, Debug)]
pub enum PutContext {
    /// Those the client has seen.
    Seen(crate::causality::ClientContext),
    /// None: in a siblings bucket the new version stands beside the others.
    Blind,
    /// Exactly what a quorum read at the home finds (Redis SET and DEL in a siblings bucket). The answer's context names the
    /// put alone: its client was not shown what it replaced.
    ReadFirst,
}

/// Write or delete one record.
#[derive(Clone, PartialEq, Debug)]
pub struct Put {
    /// Which.
    pub target: Target,
    /// Value or tombstone.
    pub action: PutAction,
    /// What it replaces.
    pub context: PutContext,
    /// For retries.
    pub request: Option<ClientRequestId>,
    /// Quorum and deadline.
    pub options: Options,
}

/// Read-modify-write of a Redis key (`lww` buckets).
#[derive(Clone, PartialEq, Debug)]
pub struct UpdateKey {
    /// Bucket and key; the sort key is empty.
    pub target: Target,
    /// What to do with what is read.
    pub update: Update,
    /// Quorums and deadline.
    pub options: Options,
}

/// Read a Redis key (`lww` buckets).
#[derive(Clone, PartialEq, Debug)]
pub struct ViewKey {
    /// Bucket and key; the sort key is empty.
    pub target: Target,
    /// Which part of it.
    pub want: Want,
    /// Quorum and deadline.
    pub options: Options,
}

/// The sort keys of one key, in byte order.
#[derive(Clone, PartialEq, Debug)]
pub struct List {
    /// The bucket.
    pub bucket: BucketId,
    /// The partition key.
    pub key: Bytes,
    /// Only sort keys that start so.
    pub prefix: Bytes,
    /// From this sort key on (the cursor of the page before, or the client's own).
    pub start: Bytes,
    /// Most items.
    pub limit: u32,
    /// Quorum and deadline.
    pub options: Options,
}

/// What a walk over a bucket's keys gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeysWant {
    /// Every (key, sort key) with something to show, at most this many.
    Records(u32),
    /// Every partition key with something to show, once, with its kind; at most this many, but equal placement hashes are
    /// never split between two pages (SCAN, RULINGS 12).
    Keys(u32),
    /// All partition keys, until the end or `GATHER_BYTES_MAX` (KEYS); over that it fails and says so.
    AllKeys,
    /// How many partition keys there are (DBSIZE).
    Count,
    /// One partition key from a random place.
    Random,
}

/// Where a walk over keys begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeysStart {
    /// At the first key.
    Beginning,
    /// After the record of this name, as the page before said.
    After(Bytes),
    /// At the first key whose placement hash is above this (SCAN's cursor).
    AboveHash(u64),
}

/// The keys of a bucket in ring order.
#[derive(Clone, PartialEq, Debug)]
pub struct Keys {
    /// The bucket.
    pub bucket: BucketId,
    /// From where.
    pub start: KeysStart,
    /// What and how much.
    pub want: KeysWant,
    /// Quorum and deadline.
    pub options: Options,
}

/// Forget everything in an `lww` bucket that was written before.
#[derive(Clone, PartialEq, Debug)]
pub struct Clear {
    /// The bucket.
    pub bucket: BucketId,
    /// Quorum and deadline.
    pub options: Options,
}

/// Several commands (no batches inside).
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// At most `BATCH_ITEMS_MAX`.
    pub commands: Vec<Command>,
}

/// What each home holds for a key.
#[derive(Clone, PartialEq, Debug)]
pub struct Inspect {
    /// Which.
    pub target: Target,
    /// Deadline.
    pub options: Options,
}

/// Merge a whole record, as an export gave it, at its homes.
#[derive(Clone, PartialEq, Debug)]
pub struct Import {
    /// Which.
    pub target: Target,
    /// Of the bucket's kind.
    pub record: Box<Record>,
    /// `w` and deadline.
    pub options: Options,
}

impl PutAction {
    /// It leaves less to keep than there was.
    #[must_use]
    pub fn frees_space(&self) -> bool {
        matches!(self, Self::Delete | Self::ClearPartition)
    }
}

impl Update {
    /// It leaves less to keep than there was.
    #[must_use]
    pub fn frees_space(&self) -> bool {
        matches!(self, Self::Del | Self::GetDel | Self::HashDel(_))
    }
}

impl Command {
    /// The partition key that the command works on; `None` if it works on many.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        match self {
            Self::Get(get) => Some(&get.target.key),
            Self::Put(put) => Some(&put.target.key),
            Self::Update(update) => Some(&update.target.key),
            Self::View(view) => Some(&view.target.key),
            Self::List(list) => Some(&list.key),
            Self::Inspect(inspect) => Some(&inspect.target.key),
            Self::Import(import) => Some(&import.target.key),
            Self::Keys(_) | Self::Clear(_) | Self::Batch(_) => None,
        }
    }

    /// Leaves less to keep than there was: it passes on a full disk.
    #[must_use]
    pub fn frees_space(&self) -> bool {
        let frees_as_update = || matches!(self, Self::Update(key) if key.update.frees_space());
        matches!(self, Self::Put(put) if put.action.frees_space()) || frees_as_update()
    }

    /// What is signed at one home, and how sure of it the client wants to be; `None` for every other command.
    #[must_use]
    pub fn write(&self) -> Option<(&Target, &Options)> {
        match self {
            Self::Put(put) => Some((&put.target, &put.options)),
            Self::Update(update) => Some((&update.target, &update.options)),
            Self::Get(_)
            | Self::View(_)
            | Self::List(_)
            | Self::Keys(_)
            | Self::Clear(_)
            | Self::Batch(_)
            | Self::Inspect(_)
            | Self::Import(_) => None,
        }
    }

    /// Quorums and deadline; `None` for a batch, whose items have their own.
    #[must_use]
    pub fn options(&self) -> Option<&Options> {
        match self {
            Self::Get(get) => Some(&get.options),
            Self::Put(put) => Some(&put.options),
            Self::Update(update) => Some(&update.options),
            Self::View(view) => Some(&view.options),
            Self::List(list) => Some(&list.options),
            Self::Keys(keys) => Some(&keys.options),
            Self::Clear(clear) => Some(&clear.options),
            Self::Inspect(inspect) => Some(&inspect.options),
            Self::Import(import) => Some(&import.options),
            Self::Batch(_) => None,
        }
    }
}

/// The context a put replaces, for buckets with siblings.
impl PutContext {
    /// The seen dots; empty for a blind put.
    #[must_use]
    pub fn dots(&self) -> Option<&Context> {
        match self {
            Self::Seen(crate::causality::ClientContext::Dots(context)) => Some(context),
            Self::Seen(crate::causality::ClientContext::Clock(_)) | Self::Blind | Self::ReadFirst => None,
        }
    }
}
