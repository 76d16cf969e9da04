//! How evenly a partition's homes must be spread: over data centres, then over the racks of each, as far as there is room;
//! what is left over goes one each to those that have room. A set is admitted if this flow can route it.
//!
//! ```text
//! copies ─┬─ base of each rack ───────────────────────────→ rack ─→ nodes
//!         ├─ extras of each data centre ── one each ─────→ rack ─→ nodes
//!         └─ extras of the partition ──── one each → data centre ── one → rack ─→ nodes
//! ```

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::ring::Member;

/// A member, with its place as indices.
pub(super) struct Place {
    pub(super) id: NodeId,
    pub(super) dc: usize,
    pub(super) rack: usize,
    pub(super) capacity: u32,
}

/// The members and where they are. Racks of one name in different data centres are different racks.
pub(super) struct Topology {
    /// By id.
    pub(super) nodes: Vec<Place>,
    /// For each data centre its racks.
    pub(super) racks_of: Vec<Vec<usize>>,
    /// For each rack its nodes.
    pub(super) nodes_of: Vec<Vec<usize>>,
}

impl Topology {
    pub(super) fn new(members: &[Member]) -> Self {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by_key(|member| member.id);
        assert!(!sorted.is_empty(), "a ring has members");
        assert!(
            sorted.windows(2).all(|pair| pair[0].id != pair[1].id),
            "no two members have one id"
        );
        let mut tree: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (index, member) in sorted.iter().enumerate() {
            tree.entry(&member.dc)
                .or_default()
                .entry(&member.rack)
                .or_default()
                .push(index);
        }
        let place = |member: &&Member| Place {
            id: member.id,
            dc: 0,
            rack: 0,
            capacity: member.capacity.max(1),
        };
        let mut nodes: Vec<Place> = sorted.iter().map(place).collect();
        let (mut racks_of, mut nodes_of) = (Vec::new(), Vec::new());
        for (dc, racks) in tree.into_values().enumerate() {
            racks_of.push((nodes_of.len()..nodes_of.len() + racks.len()).collect());
            for members in racks.into_values() {
                for &index in &members {
                    nodes[index].dc = dc;
                    nodes[index].rack = nodes_of.len();
                }
                nodes_of.push(members);
            }
        }
        Self {
            nodes,
            racks_of,
            nodes_of,
        }
    }

    pub(super) fn dc_size(&self, dc: usize) -> usize {
        self.racks_of[dc].iter().map(|&rack| self.nodes_of[rack].len()).sum()
    }
}

/// `copies` spread over places: every one takes `level` if it has room, and `extras` of those with more room one more.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Copies that each place surely takes.
    pub(super) base: Vec<usize>,
    /// Whether the place has room for one more.
    pub(super) has_room: Vec<bool>,
    /// How many of those with room take one more: fewer than there are, unless there is no room at all.
    pub(super) extras: usize,
}

impl Layer {
    fn new(copies: usize, sizes: &[usize]) -> Self {
        let taken_at = |level: usize| sizes.iter().map(|&size| size.min(level)).sum::<usize>();
        assert!(copies <= taken_at(usize::MAX), "no more copies than nodes");
        let mut level = 0;
        while taken_at(level + 1) <= copies && taken_at(level) < copies {
            level += 1;
        }
        Self {
            base: sizes.iter().map(|&size| size.min(level)).collect(),
            has_room: sizes.iter().map(|&size| size > level).collect(),
            extras: copies - taken_at(level),
        }
    }

    /// Places with room for one more.
    pub(super) fn room(&self) -> usize {
        self.has_room.iter().filter(|&&has_room| has_room).count()
    }
}

/// What the spread of one partition must be.
pub(super) struct Spread {
    /// Homes of each partition.
    pub(super) copies: usize,
    /// Over data centres.
    pub(super) dcs: Layer,
    /// Of each data centre's base over its racks.
    pub(super) racks: Vec<Layer>,
    /// For each rack of the cluster, its base and whether it has room for one more.
    by_rack: Vec<(usize, bool)>,
}

impl Spread {
    pub(super) fn new(topology: &Topology, copies: usize) -> Self {
        let sizes: Vec<usize> = (0..topology.racks_of.len()).map(|dc| topology.dc_size(dc)).collect();
        let dcs = Layer::new(copies, &sizes);
        let mut by_rack = vec![(0, false); topology.nodes_of.len()];
        let mut racks = Vec::new();
        for (dc, in_dc) in topology.racks_of.iter().enumerate() {
            let sizes: Vec<usize> = in_dc.iter().map(|&rack| topology.nodes_of[rack].len()).collect();
            let layer = Layer::new(dcs.base[dc], &sizes);
            for (at, &rack) in in_dc.iter().enumerate() {
                by_rack[rack] = (layer.base[at], layer.has_room[at]);
            }
            racks.push(layer);
        }
        Self {
            copies,
            dcs,
            racks,
            by_rack,
        }
    }

    /// True if the flow can route the homes counted in `tally` and this node, which is not among them.
    pub(super) fn admits(&self, topology: &Topology, tally: &Tally, node: usize) -> bool {
        let place = &topology.nodes[node];
        let (base, has_room) = self.by_rack[place.rack];
        let held = usize::from(tally.in_rack[place.rack]);
        if held < base {
            return true;
        }
        if held > base || !has_room {
            return false;
        }
        let extras = usize::from(tally.extras_in_dc[place.dc]);
        if extras < self.racks[place.dc].extras {
            return true;
        }
        let takes_partition_extra = extras == self.racks[place.dc].extras && self.dcs.has_room[place.dc];
        takes_partition_extra && usize::from(tally.extras) < self.dcs.extras
    }
}

/// The homes of one partition, counted by place.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Homes in each rack.
    in_rack: smallvec::SmallVec<[u8; 64]>,
    /// Homes above their rack's base, by data centre.
    extras_in_dc: smallvec::SmallVec<[u8; 16]>,
    /// Data centres that take one of the partition's extras.
    extras: u8,
}

impl Tally {
    pub(super) fn new(topology: &Topology) -> Self {
        Self {
            in_rack: smallvec::smallvec![0; topology.nodes_of.len()],
            extras_in_dc: smallvec::smallvec![0; topology.racks_of.len()],
            extras: 0,
        }
    }

    pub(super) fn add(&mut self, topology: &Topology, spread: &Spread, node: usize) {
        let place = &topology.nodes[node];
        if usize::from(self.in_rack[place.rack]) >= spread.by_rack[place.rack].0 {
            if usize::from(self.extras_in_dc[place.dc]) >= spread.racks[place.dc].extras {
                self.extras += 1;
            }
            self.extras_in_dc[place.dc] += 1;
        }
        self.in_rack[place.rack] += 1;
    }

    pub(super) fn remove(&mut self, topology: &Topology, spread: &Spread, node: usize) {
        let place = &topology.nodes[node];
        self.in_rack[place.rack] -= 1;
        if usize::from(self.in_rack[place.rack]) >= spread.by_rack[place.rack].0 {
            self.extras_in_dc[place.dc] -= 1;
            if usize::from(self.extras_in_dc[place.dc]) >= spread.racks[place.dc].extras {
                self.extras -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_fill_places_evenly_as_far_as_each_has_nodes() {
        let layer = Layer::new(7, &[1, 4, 4]);
        assert_eq!(
            (layer.base, layer.has_room, layer.extras),
            (vec![1, 3, 3], vec![false, true, true], 0)
        );
        let layer = Layer::new(4, &[5, 5, 5]);
        assert_eq!(
            (layer.base, layer.has_room, layer.extras),
            (vec![1, 1, 1], vec![true, true, true], 1)
        );
        let layer = Layer::new(2, &[5, 5, 5]);
        assert_eq!((layer.base, layer.extras), (vec![0, 0, 0], 2));
        let layer = Layer::new(0, &[5]);
        assert_eq!((layer.base, layer.extras), (vec![0], 0));
        let layer = Layer::new(3, &[1, 1, 1]);
        assert_eq!((layer.base, layer.extras), (vec![1, 1, 1], 0));
    }
}
