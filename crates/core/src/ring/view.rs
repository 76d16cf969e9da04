//! The ring as the rest of the core sees it: members, homes of each partition, preference lists. Everything a request
//! asks is looked up in arrays made once.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::Catalog;
use crate::id::{NodeId, PartitionId};
use crate::limits::REPLICAS_MAX;
use crate::message::RingEpoch;
use crate::quorum::{DcId, Home};
use crate::ring::{Placement, epoch_of};

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

/// The nodes for one key: the homes in order, then stand-ins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreferenceList {
    /// The N rightful owners.
    pub homes: SmallVec<[Home; 3]>,
    /// Distinct other nodes, in clockwise order; at most N, since only the first 2N nodes stand in (RULINGS 23).
    pub fallbacks: SmallVec<[NodeId; 4]>,
}

/// The versioned map partition → homes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    epoch: RingEpoch,
    partitions: u32,
    /// By id.
    members: Vec<Member>,
    /// The data centre of each member.
    dcs: Vec<DcId>,
    /// One for each effective n of the buckets, smallest first.
    plans: Vec<Plan>,
    /// For each effective n its index in `plans`.
    plan_of: [Option<u8>; REPLICAS_MAX as usize + 1],
}

/// The preference lists for one effective n.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    placement: Placement,
    copies: usize,
    /// Homes and fallbacks of one partition.
    width: usize,
    /// `partitions × width`.
    order: Vec<Home>,
}

impl Ring {
    /// The ring of these members: epoch 1 until the cluster group exists. The order of the members does not matter.
    ///
    /// # Panics
    /// If there are no members, two with one id, no partitions, or a bucket of 0 or more than [`REPLICAS_MAX`] copies: the
    /// configuration refuses them all.
    #[must_use]
    pub fn new(mut members: Vec<Member>, partitions: u32, catalog: &Catalog) -> Self {
        assert!(partitions > 0, "a ring has partitions");
        members.sort_by_key(|member| member.id);
        let mut names: Vec<&str> = members.iter().map(|member| &*member.dc).collect();
        names.sort_unstable();
        names.dedup();
        let number = |member: &Member| {
            names
                .binary_search(&&*member.dc)
                .expect("every data centre was collected")
        };
        let dcs: Vec<DcId> = members.iter().map(|member| DcId(number(member) as u16)).collect();
        let mut ring = Self {
            epoch: epoch_of(1, partitions, &members, catalog),
            partitions,
            dcs,
            members,
            plans: Vec::new(),
            plan_of: [None; REPLICAS_MAX as usize + 1],
        };
        let mut wanted: Vec<u8> = catalog.iter().map(|bucket| ring.effective_n(bucket.n)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for n in wanted {
            assert!(
                (1..=REPLICAS_MAX).contains(&n),
                "a bucket has 1 to {REPLICAS_MAX} copies"
            );
            ring.plan_of[usize::from(n)] = Some(ring.plans.len() as u8);
            ring.plans.push(Plan::new(
                Placement::new(&ring.members, partitions, n),
                &ring.members,
                &ring.dcs,
            ));
        }
        ring
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
        self.index_of(id).map(|index| &self.members[index])
    }

    /// How many copies a bucket of this `n` really has: never more than there are members (RULINGS 21).
    #[must_use]
    pub fn effective_n(&self, n: u8) -> u8 {
        usize::from(n).min(self.members.len()) as u8
    }

    /// The data centre of a node, as numbered in this ring.
    ///
    /// # Panics
    /// If the node is no member: messages from others are refused before anyone asks.
    #[must_use]
    pub fn dc_of(&self, node: NodeId) -> DcId {
        self.dcs[self.index_of(node).expect("only members have a data centre")]
    }

    /// The homes of a partition for a bucket of `n` copies, in order.
    ///
    /// # Panics
    /// If no bucket of this ring has `n` copies, or the partition is none of this ring's.
    #[must_use]
    pub fn homes(&self, partition: PartitionId, n: u8) -> SmallVec<[Home; 3]> {
        SmallVec::from_slice(self.home_slice(partition, n))
    }

    /// [`Ring::homes`] without a copy.
    ///
    /// # Panics
    /// As [`Ring::homes`].
    #[must_use]
    pub fn home_slice(&self, partition: PartitionId, n: u8) -> &[Home] {
        let plan = self.plan(n);
        &plan.row(partition)[..plan.copies]
    }

    /// Homes and fallbacks.
    ///
    /// # Panics
    /// As [`Ring::homes`].
    #[must_use]
    pub fn preference_list(&self, partition: PartitionId, n: u8) -> PreferenceList {
        let plan = self.plan(n);
        let (homes, fallbacks) = plan.row(partition).split_at(plan.copies);
        PreferenceList {
            homes: SmallVec::from_slice(homes),
            fallbacks: fallbacks.iter().map(|fallback| fallback.node).collect(),
        }
    }

    /// True if `node` is a home of the partition.
    ///
    /// # Panics
    /// As [`Ring::homes`].
    #[must_use]
    pub fn is_home(&self, node: NodeId, partition: PartitionId, n: u8) -> bool {
        self.home_slice(partition, n).iter().any(|home| home.node == node)
    }

    /// The partitions that `node` is home to for buckets of `n` copies; their number is its number of virtual nodes.
    ///
    /// # Panics
    /// As [`Ring::homes`].
    pub fn partitions_of(&self, node: NodeId, n: u8) -> impl Iterator<Item = PartitionId> {
        let all = (0..self.partitions).map(|partition| PartitionId(partition as u16));
        all.filter(move |&partition| self.is_home(node, partition, n))
    }

    fn index_of(&self, id: NodeId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |member| member.id).ok()
    }

    fn plan(&self, n: u8) -> &Plan {
        let index = self.plan_of[usize::from(self.effective_n(n))].expect("some bucket of this ring has n copies");
        &self.plans[usize::from(index)]
    }
}

impl Plan {
    /// Going round the ring backwards, the homes of each partition move to the front: what then stands behind them is in
    /// the order in which somebody walking clockwise meets it. Twice round, so that the last partition knows the first.
    fn new(placement: Placement, members: &[Member], dcs: &[DcId]) -> Self {
        let partitions = placement.partitions();
        let copies = placement.homes(PartitionId(0)).len();
        let width = members.len().min(2 * copies);
        let mut order = Vec::new();
        let mut met: Vec<u16> = (0..members.len() as u16).collect();
        for lap in 0..2 {
            for partition in (0..partitions).rev().map(|partition| PartitionId(partition as u16)) {
                for &home in placement.homes(partition).iter().rev() {
                    let at = met
                        .iter()
                        .position(|&index| index == home)
                        .expect("every member is met");
                    met[..=at].rotate_right(1);
                }
                if lap == 1 {
                    let home = |&index: &u16| Home {
                        node: members[usize::from(index)].id,
                        dc: dcs[usize::from(index)],
                    };
                    order.extend(met[..width].iter().rev().map(home));
                }
            }
        }
        order.reverse();
        Self {
            placement,
            copies,
            width,
            order,
        }
    }

    fn row(&self, partition: PartitionId) -> &[Home] {
        let start = usize::from(partition.0) * self.width;
        &self.order[start..start + self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::{Bucket, Conflict};
    use crate::id::BucketId;

    fn member(name: &str, dc: &str, rack: &str) -> Member {
        Member {
            id: NodeId::of_name(name),
            name: name.into(),
            dc: dc.into(),
            rack: rack.into(),
            capacity: 1,
        }
    }

    fn members(count: usize) -> Vec<Member> {
        (1..=count).map(|i| member(&format!("n{i}"), "dc1", "rack1")).collect()
    }

    fn catalog() -> Catalog {
        Catalog::new(Bucket::initial())
    }

    #[test]
    fn the_order_of_the_configuration_does_not_change_the_ring() {
        let forward = Ring::new(members(5), 64, &catalog());
        let mut backward = members(5);
        backward.reverse();
        assert_eq!(forward, Ring::new(backward, 64, &catalog()));
    }

    #[test]
    fn any_difference_in_members_or_buckets_changes_the_hash() {
        let ring = Ring::new(members(3), 64, &catalog());
        let mut hashes = vec![ring.epoch().hash, Ring::new(members(4), 64, &catalog()).epoch().hash];
        hashes.push(Ring::new(members(3), 128, &catalog()).epoch().hash);
        let changes: [fn(&mut Member); 3] = [
            |member| member.dc = "dc2".into(),
            |member| member.rack = "rack2".into(),
            |member| member.capacity = 2,
        ];
        for change in changes {
            let mut changed = members(3);
            change(&mut changed[1]);
            hashes.push(Ring::new(changed, 64, &catalog()).epoch().hash);
        }
        let changes: [fn(&mut Bucket); 11] = [
            |bucket| bucket.id = BucketId(77),
            |bucket| bucket.name = "other".into(),
            |bucket| bucket.mode = crate::bucket::Mode::Consistent,
            |bucket| bucket.n = 2,
            |bucket| bucket.r = crate::quorum::QuorumSize::One,
            |bucket| bucket.w = crate::quorum::QuorumSize::One,
            |bucket| bucket.conflict = Conflict::Lww,
            |bucket| bucket.durability = crate::bucket::Durability::Buffered,
            |bucket| bucket.storage = crate::bucket::StorageClass::Memory,
            |bucket| bucket.ttl_seconds = Some(60),
            |bucket| bucket.value_bytes_max = 10,
        ];
        for change in changes {
            let mut buckets = Bucket::initial();
            change(&mut buckets[0]);
            hashes.push(Ring::new(members(3), 64, &Catalog::new(buckets)).epoch().hash);
        }
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn the_hash_and_the_homes_of_a_ring_are_these_until_the_placement_version_changes() {
        let racks = ["a", "a", "b", "b", "c"];
        let members: Vec<Member> = racks
            .iter()
            .enumerate()
            .map(|(i, rack)| member(&format!("n{}", i + 1), "dc1", rack))
            .collect();
        let ring = Ring::new(members, 8, &catalog());
        let names = |partition| -> String {
            let homes = ring.homes(PartitionId(partition), 3);
            let names: Vec<&str> = homes
                .iter()
                .map(|home| &*ring.member(home.node).expect("a member").name)
                .collect();
            names.join(" ")
        };
        let all: Vec<String> = (0..8).map(names).collect();
        assert_eq!(
            all.join(", "),
            "n1 n3 n5, n5 n2 n4, n3 n5 n2, n5 n1 n4, n4 n5 n1, n5 n2 n3, n3 n1 n5, n2 n4 n5"
        );
        assert_eq!(ring.epoch().hash, 17_352_524_509_591_290_880);
    }

    #[test]
    fn a_cluster_smaller_than_n_has_a_copy_on_every_node() {
        for count in 1..=3_usize {
            let ring = Ring::new(members(count), 16, &catalog());
            assert_eq!(ring.effective_n(3), count as u8);
            for partition in (0..16).map(PartitionId) {
                assert_eq!(ring.homes(partition, 3).len(), count);
                assert_eq!(ring.homes(partition, 3), ring.homes(partition, ring.effective_n(3)));
                assert!(ring.preference_list(partition, 3).fallbacks.is_empty());
                assert!(
                    ring.members()
                        .iter()
                        .all(|member| ring.is_home(member.id, partition, 3))
                );
            }
        }
    }

    #[test]
    fn fallbacks_are_the_next_distinct_nodes_clockwise() {
        let ring = Ring::new(members(11), 32, &catalog());
        for partition in 0..32_u16 {
            let list = ring.preference_list(PartitionId(partition), 3);
            let mut walked: Vec<NodeId> = list.homes.iter().map(|home| home.node).collect();
            for step in 1..32 {
                for home in ring.homes(PartitionId((partition + step) % 32), 3) {
                    if !walked.contains(&home.node) {
                        walked.push(home.node);
                    }
                }
            }
            assert_eq!(list.fallbacks.as_slice(), &walked[3..6]);
        }
    }

    #[test]
    fn buckets_of_different_n_each_have_their_own_homes() {
        let mut buckets = Bucket::initial();
        buckets.push(Bucket {
            n: 5,
            ..Bucket::available(BucketId(9), "five", Conflict::Lww)
        });
        let ring = Ring::new(members(7), 64, &Catalog::new(buckets));
        for partition in (0..64).map(PartitionId) {
            assert_eq!(ring.homes(partition, 3).len(), 3);
            assert_eq!(ring.homes(partition, 5).len(), 5);
        }
        let held: usize = ring
            .members()
            .iter()
            .map(|member| ring.partitions_of(member.id, 5).count())
            .sum();
        assert_eq!(held, 5 * 64);
    }

    #[test]
    fn data_centres_are_numbered_by_name() {
        let ring = Ring::new(vec![member("a", "west", "r"), member("b", "east", "r")], 4, &catalog());
        assert_eq!(ring.dc_of(NodeId::of_name("a")), DcId(1));
        assert_eq!(ring.dc_of(NodeId::of_name("b")), DcId(0));
        assert!(
            ring.homes(PartitionId(0), 3)
                .iter()
                .all(|home| home.dc == ring.dc_of(home.node))
        );
    }
}
