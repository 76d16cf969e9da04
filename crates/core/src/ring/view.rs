//! The ring as the rest of the core sees it: members, homes of each partition, preference lists.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::Catalog;
use crate::id::{NodeId, PartitionId};
use crate::message::RingEpoch;
use crate::quorum::{DcId, Home};

/// One node as the configuration (later the cluster group) declares it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// `NodeId::of_name(name)`.
    pub id: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// Its data centre's name.
    pub dc: Arc<str>,
    /// Its rack's name.
    pub rack: Arc<str>,
    /// Its share of the load, relative to the others; at least 1.
    pub capacity: u32,
}

/// The nodes for one key: the homes in order, then the others clockwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreferenceList {
    /// The N rightful owners.
    pub homes: SmallVec<[Home; 3]>,
    /// Distinct other nodes, in clockwise order.
    pub fallbacks: SmallVec<[NodeId; 4]>,
}

/// The versioned map partition → homes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    epoch: RingEpoch,
    partitions: u32,
    members: Vec<Member>,
    /// For each partition, every member in preference order for the largest n.
    order: Vec<SmallVec<[u16; 4]>>,
}

impl Ring {
    /// The ring of these members: epoch 1 until the cluster group exists.
    #[must_use]
    pub fn new(members: Vec<Member>, partitions: u32, catalog: &Catalog) -> Self {
        let _ = (members, partitions, catalog);
        unreachable!("written with the placement")
    }

    /// Its version.
    #[must_use]
    pub fn epoch(&self) -> RingEpoch {
        self.epoch
    }

    /// P.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// All members, by id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// How many copies a bucket of this `n` really has: never more than there are members (RULINGS 21).
    #[must_use]
    pub fn effective_n(&self, n: u8) -> u8 {
        n.min(self.members.len() as u8)
    }

    /// The data centre of a node, as numbered in this ring.
    #[must_use]
    pub fn dc_of(&self, node: NodeId) -> DcId {
        let _ = node;
        DcId(0)
    }

    /// The homes of a partition for a bucket of `n` copies.
    #[must_use]
    pub fn homes(&self, partition: PartitionId, n: u8) -> SmallVec<[Home; 3]> {
        let _ = (partition, n, &self.order);
        SmallVec::new()
    }

    /// Homes and fallbacks.
    #[must_use]
    pub fn preference_list(&self, partition: PartitionId, n: u8) -> PreferenceList {
        PreferenceList { homes: self.homes(partition, n), fallbacks: SmallVec::new() }
    }

    /// True if `node` is a home of the partition.
    #[must_use]
    pub fn is_home(&self, node: NodeId, partition: PartitionId, n: u8) -> bool {
        self.homes(partition, n).iter().any(|home| home.node == node)
    }
}
