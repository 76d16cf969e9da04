//! What a connection has said about itself and how its commands are to run.

use std::sync::Arc;

use torc_core::bucket::{Bucket, Catalog};
use torc_core::command::{Options, Target};
use torc_core::id::BucketId;

use bytes::Bytes;

use crate::resp::args::OwnedArgs;
use crate::resp::refused::Refused;
use crate::resp::writer::Protocol;

/// Most bytes that MULTI queues.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;

/// A connection's state between commands.
#[derive(Debug)]
pub struct Session {
    /// As the shell numbered it.
    pub id: u64,
    /// The client's address.
    pub address: String,
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO lib-name.
    pub library: String,
    /// CLIENT SETINFO lib-ver.
    pub library_version: String,
    /// RESP2 or RESP3.
    pub protocol: Protocol,
    /// TORC.QUORUM.
    pub options: Options,
    /// Nodes that hold the last acknowledged write.
    pub last_written_at: u8,
    /// Between MULTI and EXEC.
    pub transaction: Option<Transaction>,
    bucket_name: Arc<str>,
    /// The bucket in the catalog where it was last looked up: a catalog is replaced as a whole, rarely.
    bucket: Option<(Arc<Catalog>, Arc<Bucket>)>,
}

/// What MULTI has queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands.
    pub commands: Vec<OwnedArgs>,
    /// What they weigh.
    pub bytes: usize,
    /// One was refused: EXEC will be.
    pub is_refused: bool,
}

impl Session {
    /// A fresh connection's, in bucket `redis`.
    pub fn new(id: u64, address: String) -> Self {
        Self {
            id,
            address,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            protocol: Protocol::Resp2,
            options: Options::default(),
            last_written_at: 0,
            transaction: None,
            bucket_name: "redis".into(),
            bucket: None,
        }
    }

    /// As if just connected (RESET).
    pub fn reset(&mut self) {
        *self = Self::new(self.id, std::mem::take(&mut self.address));
    }

    /// Chooses the bucket.
    ///
    /// # Errors
    /// NOBUCKET.
    pub fn use_bucket(&mut self, name: &str, catalog: &Catalog) -> Result<(), Refused> {
        if catalog.named(name).is_none() {
            return Err(Refused::no_bucket(name));
        }
        self.bucket_name = name.into();
        self.bucket = None;
        Ok(())
    }

    /// The chosen bucket's name.
    pub fn bucket_name(&self) -> &str {
        &self.bucket_name
    }

    /// The chosen bucket.
    ///
    /// # Errors
    /// NOBUCKET, if it was dropped or never there.
    pub fn bucket(&mut self, catalog: &Arc<Catalog>) -> Result<&Arc<Bucket>, Refused> {
        let is_current = |(known, _): &(Arc<Catalog>, _)| Arc::ptr_eq(known, catalog);
        if !self.bucket.as_ref().is_some_and(is_current) {
            let bucket = catalog.named(&self.bucket_name);
            let bucket = bucket.ok_or_else(|| Refused::no_bucket(&self.bucket_name))?;
            self.bucket = Some((Arc::clone(catalog), Arc::clone(bucket)));
        }
        let bucket = self.bucket.as_ref().map(|bucket| &bucket.1);
        bucket.ok_or_else(|| Refused::no_bucket(&self.bucket_name))
    }
}

/// A key of a bucket, without a sort key.
pub fn target(bucket: BucketId, key: Bytes) -> Target {
    Target {
        bucket,
        key,
        sort: Bytes::new(),
    }
}
