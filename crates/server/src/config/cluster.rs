//! The members and buckets of a configuration as the core knows them, until the cluster group owns both.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use torc_core::bucket::{Bucket, Catalog, Conflict, Durability, Mode, StorageClass};
use torc_core::id::{BucketId, NodeId};
use torc_core::limits::{SIBLINGS_MAX, VALUE_BYTES_MAX};
use torc_core::quorum::QuorumSize;
use torc_core::ring::{Member, Ring};

use super::{Config, join_host};

/// The first id of a configured bucket that names none.
const FIRST_BUCKET_ID: u32 = 16;

/// `[[members]]`: one node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MemberConfig {
    pub name: String,
    #[serde(default = "default_host")]
    pub host: String,
    #[serde(default = "default_base_port")]
    pub base_port: u16,
    #[serde(default = "default_dc")]
    pub dc: String,
    #[serde(default = "default_rack")]
    pub rack: String,
    #[serde(default = "default_capacity")]
    pub capacity: u32,
}

fn default_host() -> String {
    "127.0.0.1".into()
}

fn default_base_port() -> u16 {
    7000
}

fn default_dc() -> String {
    "dc1".into()
}

fn default_rack() -> String {
    "rack1".into()
}

fn default_capacity() -> u32 {
    1
}

/// `[[buckets]]`: one bucket, or other settings for an initial one. What is left out keeps its default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BucketConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<QuorumText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w: Option<QuorumText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_bytes_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub siblings_max: Option<u32>,
}

/// A quorum as the file gives it: 2 or "quorum".
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QuorumText {
    /// By number.
    Number(u8),
    /// By name.
    Name(String),
}

impl QuorumText {
    /// What it stands for; the layers let only legal ones through.
    pub fn size(&self) -> QuorumSize {
        match self {
            Self::Number(number) => QuorumSize::Count(*number),
            Self::Name(name) => QuorumSize::parse(name).expect("judged when it was read"),
        }
    }
}

impl BucketConfig {
    /// The bucket, with defaults of the initial bucket of the same name if there is one.
    fn bucket(&self, place: usize) -> Bucket {
        let initial = Bucket::initial().into_iter().find(|bucket| *bucket.name == self.name);
        let id = self.id.unwrap_or(FIRST_BUCKET_ID + place as u32);
        let mut bucket = initial.unwrap_or_else(|| Bucket::available(BucketId(id), &self.name, Conflict::Siblings));
        match self.mode.as_deref() {
            Some("consistent") => bucket.mode = Mode::Consistent,
            Some(_) => bucket.mode = Mode::Available,
            None => {}
        }
        match self.conflict.as_deref() {
            Some("lww") => bucket.conflict = Conflict::Lww,
            Some(_) => bucket.conflict = Conflict::Siblings,
            None => {}
        }
        if self.storage.as_deref() == Some("memory") {
            bucket.storage = StorageClass::Memory;
            bucket.durability = Durability::Buffered;
        }
        if self.durability.as_deref() == Some("buffered") {
            bucket.durability = Durability::Buffered;
        }
        bucket.n = self.n.unwrap_or(bucket.n);
        bucket.r = self.r.as_ref().map_or(bucket.r, QuorumText::size);
        bucket.w = self.w.as_ref().map_or(bucket.w, QuorumText::size);
        bucket.ttl_seconds = self.ttl_seconds.or(bucket.ttl_seconds);
        bucket.value_bytes_max = self.value_bytes_max.unwrap_or(VALUE_BYTES_MAX);
        bucket.siblings_max = self.siblings_max.unwrap_or(SIBLINGS_MAX);
        bucket
    }
}

impl Config {
    /// All members, this node among them.
    pub fn all_members(&self) -> Vec<MemberConfig> {
        if self.members.is_empty() {
            vec![self.own_entry()]
        } else {
            self.members.clone()
        }
    }

    /// This node as a member.
    pub fn own_entry(&self) -> MemberConfig {
        MemberConfig {
            name: self.name.clone(),
            host: self.host.clone(),
            base_port: self.base_port,
            dc: self.dc.clone(),
            rack: self.rack.clone(),
            capacity: self.capacity,
        }
    }

    /// The initial buckets and the configured ones; a configured one replaces the initial one of its name.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let configured = self
            .buckets
            .iter()
            .enumerate()
            .map(|(place, bucket)| bucket.bucket(place));
        let configured: Vec<Bucket> = configured.collect();
        let mut all = Bucket::initial();
        all.retain(|bucket| configured.iter().all(|other| other.name != bucket.name));
        all.extend(configured);
        all.sort_by_key(|bucket| bucket.id);
        all
    }

    /// The buckets as the core knows them.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::new(Catalog::new(self.all_buckets()))
    }

    /// Everything that places data, for people: what a data directory was written under, and what differs.
    pub fn placement(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("partitions {}\n", self.partitions);
        let mut members = self.all_members();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        for member in members {
            let MemberConfig {
                name,
                dc,
                rack,
                capacity,
                ..
            } = member;
            writeln!(text, "member {name} dc {dc} rack {rack} capacity {capacity}").expect("a String grows");
        }
        for bucket in self.all_buckets() {
            let Bucket {
                id,
                name,
                mode,
                n,
                conflict,
                storage,
                ..
            } = bucket;
            writeln!(text, "bucket {} {name} {mode:?} n {n} {conflict:?} {storage:?}", id.0).expect("a String grows");
        }
        text
    }

    /// The ring of the members: epoch 1.
    pub fn ring(&self, catalog: &Catalog) -> Arc<Ring> {
        let members = self.all_members().into_iter().map(|member| Member {
            id: NodeId::of_name(&member.name),
            name: member.name.into(),
            dc: member.dc.into(),
            rack: member.rack.into(),
            capacity: member.capacity,
        });
        Arc::new(Ring::new(members.collect(), self.partitions, catalog))
    }
}

impl MemberConfig {
    /// `host:port` of one of the member's ports.
    pub fn address(&self, port: u16) -> String {
        join_host(&self.host, self.base_port + port)
    }
}
