//! The documents about buckets, members and the ring, as plain structs that the shell fills or that are computed from
//! the core's own values.

use serde::{Serialize, Serializer};
use torc_core::bucket::{Bucket, Catalog, Conflict, Durability, Mode, StorageClass};
use torc_core::id::NodeId;
use torc_core::ring::{Ring, partition_of, placement_hash};

use crate::http::names;
use crate::http::problem::Problem;
use crate::http::reply::HttpReply;

/// `GET /v1/buckets`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BucketsView {
    /// By id.
    pub buckets: Vec<BucketView>,
}

impl BucketsView {
    /// All buckets of a catalog.
    #[must_use]
    pub fn of(catalog: &Catalog, ring: &Ring) -> Self {
        let buckets = catalog.iter().map(|bucket| BucketView::of(bucket, ring)).collect();
        Self { buckets }
    }
}

/// `GET /v1/buckets/{bucket}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BucketView {
    /// Its name.
    pub name: String,
    /// `available` or `consistent`.
    pub mode: &'static str,
    /// Copies there are: fewer than wanted on fewer nodes.
    pub n: u8,
    /// Copies wanted.
    pub n_wanted: u8,
    /// Answers a read waits for: a number or a name, as text.
    pub r: String,
    /// Answers a write waits for.
    pub w: String,
    /// `siblings` or `lww`.
    pub conflict: &'static str,
    /// `synced` or `buffered`.
    pub durability: &'static str,
    /// `disk` or `memory`.
    pub storage: &'static str,
    /// Seconds that a write without a ttl lives; null for ever.
    pub ttl: Option<u64>,
    /// Longest value.
    pub value_bytes_max: u32,
    /// Most siblings that a put may leave.
    pub siblings_max: u32,
    /// `spread`: n distinct nodes over as many data centres and racks as there are.
    pub placement: &'static str,
}

impl BucketView {
    /// One bucket on this ring.
    #[must_use]
    pub fn of(bucket: &Bucket, ring: &Ring) -> Self {
        Self {
            name: bucket.name.to_string(),
            mode: match bucket.mode {
                Mode::Available => "available",
                Mode::Consistent => "consistent",
            },
            n: ring.effective_n(bucket.n),
            n_wanted: bucket.n,
            r: bucket.r.as_text(),
            w: bucket.w.as_text(),
            conflict: match bucket.conflict {
                Conflict::Siblings => "siblings",
                Conflict::Lww => "lww",
            },
            durability: match bucket.durability {
                Durability::Synced => "synced",
                Durability::Buffered => "buffered",
            },
            storage: match bucket.storage {
                StorageClass::Disk => "disk",
                StorageClass::Memory => "memory",
            },
            ttl: bucket.ttl_seconds,
            value_bytes_max: bucket.value_bytes_max,
            siblings_max: bucket.siblings_max,
            placement: "spread",
        }
    }
}

/// `GET /v1/cluster`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClusterView {
    /// The cluster's name or id.
    pub cluster: String,
    /// The version of the ring.
    pub ring_epoch: u64,
    /// Partitions of the ring.
    pub partitions: u32,
    /// The members.
    pub nodes: Vec<NodeRow>,
}

/// One member, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeRow {
    /// As 8 hex digits.
    #[serde(serialize_with = "as_text")]
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub host: String,
    /// Its base port.
    pub base_port: u16,
    /// Its data centre.
    pub dc: String,
    /// Its rack.
    pub rack: String,
    /// Its share of the load, relative to the others.
    pub capacity: u32,
    /// What this node thinks of it.
    pub liveness: Liveness,
    /// Copies of partitions that live on it.
    pub virtual_nodes: u32,
    /// Bytes in its store; null where this node does not know.
    pub bytes: Option<u64>,
}

/// A member as this node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It has been silent for a while.
    Suspect,
    /// It is believed dead.
    Dead,
    /// It has left.
    Left,
}

/// `GET /v1/ring`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RingView {
    /// The key's partition.
    pub partition: u16,
    /// The version of the ring.
    pub ring_epoch: u64,
    /// Names of its homes, in order.
    pub homes: Vec<String>,
    /// Names of its stand-ins, in order.
    pub fallbacks: Vec<String>,
}

impl RingView {
    /// Where a key of a bucket lives.
    #[must_use]
    pub fn of(bucket: &Bucket, key: &[u8], ring: &Ring) -> Self {
        let partition = partition_of(placement_hash(&bucket.name, key), ring.partitions());
        let preference = ring.preference_list(partition, bucket.n);
        Self {
            partition: partition.0,
            ring_epoch: ring.epoch().number,
            homes: preference
                .homes
                .iter()
                .map(|home| names::node(home.node, ring))
                .collect(),
            fallbacks: preference
                .fallbacks
                .iter()
                .map(|&node| names::node(node, ring))
                .collect(),
        }
    }
}

impl From<Problem> for HttpReply {
    fn from(problem: Problem) -> Self {
        problem.reply()
    }
}

fn as_text<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
