//! What a connection remembers between commands, and what its surroundings tell it.

use std::sync::Arc;

use bytes::Bytes;
use torc_core::bucket::{Bucket, Catalog, Conflict, Mode};
use torc_core::command::{Command, Options, Target};
use torc_core::quorum::QuorumSize;
use torc_core::time::Wall;

use super::parser::Arguments;
use super::reply::Dialect;

/// The bucket of `SELECT 0`.
pub const FIRST_BUCKET: &str = "redis";
/// The bucket of `SELECT 1`.
pub const SECOND_BUCKET: &str = "strong";

/// Names a submitted command of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// What a connection asks of its surroundings.
pub trait Host {
    /// Runs a command; its outcome comes back by `Connection::on_outcome`, never from inside this call.
    fn submit(&mut self, ticket: Ticket, command: Command);
    /// The buckets.
    fn catalog(&self) -> &Arc<Catalog>;
    /// The calendar.
    fn now(&self) -> Wall;
    /// What INFO and CLIENT LIST tell.
    fn facts(&self) -> ServerFacts;
    /// Chance, for HRANDFIELD.
    fn random(&mut self) -> u64;
}

/// What INFO and CLIENT LIST tell of the server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerFacts {
    /// Torc's version.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// The process.
    pub process_id: u32,
    /// The port of the Redis protocol.
    pub port: u16,
    /// Since the process began to serve.
    pub uptime_seconds: u64,
    /// Resident memory.
    pub used_memory_bytes: u64,
    /// The memory budget.
    pub memory_bytes_max: u64,
    /// Requests answered.
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Open Redis connections: number and address.
    pub clients: Vec<(u64, String)>,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// Commands between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Checked for name and arity.
    pub commands: Vec<Arguments>,
    /// One was refused: EXEC runs none.
    pub is_broken: bool,
}

/// What a connection remembers.
#[derive(Debug)]
pub struct Session {
    /// The connection's number.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// CLIENT SETNAME.
    pub name: Bytes,
    /// CLIENT SETINFO lib-name and lib-ver.
    pub library: (Bytes, Bytes),
    /// RESP2 or RESP3.
    pub dialect: Dialect,
    /// The selected bucket's name.
    pub bucket: Arc<str>,
    /// TORC.QUORUM's r.
    pub read: Option<QuorumSize>,
    /// TORC.QUORUM's w.
    pub write: Option<QuorumSize>,
    /// Between MULTI and EXEC.
    pub transaction: Option<Transaction>,
    /// Close once everything is written.
    pub is_closing: bool,
}

impl Session {
    /// A new connection's.
    pub fn new(id: u64, address: String) -> Self {
        Self {
            id,
            address,
            name: Bytes::new(),
            library: (Bytes::new(), Bytes::new()),
            dialect: Dialect::Resp2,
            bucket: FIRST_BUCKET.into(),
            read: None,
            write: None,
            transaction: None,
            is_closing: false,
        }
    }

    /// RESET.
    pub fn reset(&mut self) {
        *self = Self::new(self.id, std::mem::take(&mut self.address));
    }

    /// The connection's quorums.
    pub fn options(&self) -> Options {
        Options {
            read: self.read,
            write: self.write,
            ..Options::default()
        }
    }

    /// The selected bucket, if data commands may use it.
    ///
    /// # Errors
    /// The reply's text.
    pub fn bucket<'a>(&self, host: &'a dyn Host) -> Result<&'a Arc<Bucket>, String> {
        let Some(bucket) = host.catalog().named(&self.bucket) else {
            return Err(format!("NOBUCKET bucket '{}' does not exist", self.bucket));
        };
        match bucket.mode {
            Mode::Available => Ok(bucket),
            Mode::Consistent => Err(format!(
                "ERR bucket '{}' is consistent, and consistent buckets are not in this version; use SELECT 0",
                bucket.name
            )),
        }
    }

    /// The selected bucket, if it holds Redis keys (`lww`).
    ///
    /// # Errors
    /// The reply's text.
    pub fn redis_bucket<'a>(&self, command: &str, host: &'a dyn Host) -> Result<&'a Arc<Bucket>, String> {
        let bucket = self.bucket(host)?;
        match bucket.conflict {
            Conflict::Lww => Ok(bucket),
            Conflict::Siblings => Err(format!(
                "WRONGMODE '{command}' needs a last-writer-wins bucket; bucket '{}' keeps siblings: use GET, SET, DEL, \
                 TORC.GET and TORC.PUT, or SELECT 0",
                bucket.name
            )),
        }
    }

    /// A key of a bucket, as the head of a Redis key.
    pub fn target(bucket: &Bucket, key: &Bytes) -> Target {
        Target {
            bucket: bucket.id,
            key: key.clone(),
            sort: Bytes::new(),
        }
    }
}
