//! Which members hold which partition. For one `n`, every partition gets homes on distinct nodes, spread over data
//! centres, then racks, as evenly as there is room (`spread.rs`); each node's load is its fair share rounded up or down
//! (`share.rs`); what stands already stays wherever both allow (`balance.rs` takes the fewest moves).
//!
//! Pure and deterministic: whole numbers and the four basic operations of IEEE 754, no transcendental function, so that
//! every node computes the same placement from the same members.

use crate::id::{NodeId, PartitionId};
use crate::ring::Member;
use crate::ring::balance::{Exchange, level};
use crate::ring::share::shares_of;
use crate::ring::spread::{Spread, Tally, Topology};

/// Counted into the ring's hash: two releases that would place differently refuse one another.
pub const PLACEMENT_VERSION: u8 = 1;

/// For each partition its homes in order, for one number of copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The members, by id; homes are indices into this.
    nodes: Vec<NodeId>,
    /// Copies wanted.
    wanted: u8,
    /// Copies placed: never more than there are members.
    copies: usize,
    /// `partitions × copies` indices.
    homes: Vec<u16>,
}

impl Placement {
    /// A placement from nothing.
    ///
    /// # Panics
    /// If there are no members, or two with one id: the configuration refuses both.
    #[must_use]
    pub fn new(members: &[Member], partitions: u32, n: u8) -> Self {
        let mut draft = Draft::new(members, partitions, n);
        draft.fill();
        draft.finish(n)
    }

    /// The placement for other members (or capacities) that moves the least data. Balance and spread are those of a new
    /// placement.
    ///
    /// # Panics
    /// As [`Placement::new`].
    #[must_use]
    pub fn rebalance(&self, members: &[Member]) -> Self {
        let mut draft = Draft::new(members, self.partitions(), self.wanted);
        draft.keep(self);
        draft.fill();
        draft.finish(self.wanted)
    }

    /// P.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        (self.homes.len() / self.copies) as u32
    }

    /// The members, by id.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The homes of a partition in order, as indices into [`Placement::nodes`].
    #[must_use]
    pub fn homes(&self, partition: PartitionId) -> &[u16] {
        let start = usize::from(partition.0) * self.copies;
        &self.homes[start..start + self.copies]
    }

    /// How many replicas of partitions each node holds.
    #[must_use]
    pub fn loads(&self) -> Vec<u32> {
        let mut loads = vec![0; self.nodes.len()];
        for &home in &self.homes {
            loads[usize::from(home)] += 1;
        }
        loads
    }

    /// How many replicas are here that `previous` does not have: what a change of rings must copy.
    #[must_use]
    pub fn moves_from(&self, previous: &Self) -> u32 {
        let mut moves = 0;
        for partition in (0..self.partitions()).map(|partition| PartitionId(partition as u16)) {
            let before = previous.homes(partition);
            for &home in self.homes(partition) {
                let node = self.nodes[usize::from(home)];
                let was_home = before.iter().any(|&old| previous.nodes[usize::from(old)] == node);
                moves += u32::from(!was_home);
            }
        }
        moves
    }

    /// The fair share of each member, in replicas: proportional to capacity as far as the spread over data centres and
    /// racks allows. Loads are this, rounded up or down.
    #[must_use]
    pub fn shares(members: &[Member], partitions: u32, n: u8) -> Vec<f64> {
        let topology = Topology::new(members);
        let spread = Spread::new(&topology, usize::from(n).min(members.len()));
        shares_of(&topology, &spread, partitions)
    }
}

/// A placement in the making.
struct Draft {
    topology: Topology,
    spread: Spread,
    shares: Vec<f64>,
    loads: Vec<u32>,
    /// Homes of each partition, unordered until `order` has run.
    homes: Vec<Vec<u16>>,
    /// Homes that were there before.
    kept: Vec<Vec<u16>>,
    tallies: Vec<Tally>,
    /// For each member, the partitions that it is home to, in no order.
    held: Vec<Vec<u32>>,
}

impl Draft {
    fn new(members: &[Member], partitions: u32, n: u8) -> Self {
        let topology = Topology::new(members);
        let spread = Spread::new(&topology, usize::from(n).min(members.len()));
        let shares = shares_of(&topology, &spread, partitions);
        let count = partitions as usize;
        Self {
            loads: vec![0; topology.nodes.len()],
            homes: vec![Vec::with_capacity(spread.copies); count],
            kept: vec![Vec::new(); count],
            tallies: (0..count).map(|_| Tally::new(&topology)).collect(),
            held: vec![Vec::new(); topology.nodes.len()],
            topology,
            spread,
            shares,
        }
    }

    /// Takes over the homes of `previous` that are still members, as many as the spread allows. The sets of homes that
    /// the spread allows are a matroid (they are what a flow can route), so taking them one by one keeps the most.
    fn keep(&mut self, previous: &Placement) {
        let now: Vec<Option<u16>> = previous
            .nodes
            .iter()
            .map(|id| {
                self.topology
                    .nodes
                    .iter()
                    .position(|node| node.id == *id)
                    .map(|index| index as u16)
            })
            .collect();
        for partition in 0..self.homes.len() {
            let before = previous.homes(PartitionId(partition as u16));
            self.kept[partition] = before.iter().filter_map(|&home| now[usize::from(home)]).collect();
            for node in self.kept[partition].clone() {
                if self
                    .spread
                    .admits(&self.topology, &self.tallies[partition], usize::from(node))
                {
                    self.add(partition, usize::from(node));
                }
            }
        }
    }

    /// Gives every partition its missing homes: each time the node that is the furthest behind its share. A draw by
    /// partition and node decides between equals, so that no two nodes share all their partitions.
    fn fill(&mut self) {
        for partition in 0..self.homes.len() {
            while self.homes[partition].len() < self.spread.copies {
                let node = self.furthest_behind(partition);
                self.add(partition, node);
            }
        }
    }

    fn furthest_behind(&self, partition: usize) -> usize {
        let mut best: Option<(f64, usize)> = None;
        for (index, node) in self.topology.nodes.iter().enumerate() {
            if self.homes[partition].contains(&(index as u16)) {
                continue;
            }
            if !self.spread.admits(&self.topology, &self.tallies[partition], index) {
                continue;
            }
            let progress = (f64::from(self.loads[index]) + draw(partition, node.id)) / self.shares[index].max(1e-9);
            if best.is_none_or(|(least, _)| progress < least) {
                best = Some((progress, index));
            }
        }
        best.expect("a set of homes that the spread admits can always be completed")
            .1
    }

    fn add(&mut self, partition: usize, node: usize) {
        self.homes[partition].push(node as u16);
        self.tallies[partition].add(&self.topology, &self.spread, node);
        self.held[node].push(partition as u32);
        self.loads[node] += 1;
    }

    fn finish(mut self, wanted: u8) -> Placement {
        let shares = std::mem::take(&mut self.shares);
        level(&mut self, &shares);
        Primaries::order(&mut self.homes, &self.kept, &self.loads, &self.topology);
        Placement {
            nodes: self.topology.nodes.iter().map(|node| node.id).collect(),
            wanted,
            copies: self.spread.copies,
            homes: self.homes.concat(),
        }
    }
}

impl Exchange for Draft {
    fn loads(&self) -> &[u32] {
        &self.loads
    }

    fn each_exit(&self, from: usize, visit: &mut dyn FnMut(usize, usize, u8)) {
        for &partition in &self.held[from] {
            let partition = partition as usize;
            let (homes, kept) = (&self.homes[partition], &self.kept[partition]);
            let leaving_is_free = !kept.contains(&(from as u16));
            let mut tally = self.tallies[partition].clone();
            tally.remove(&self.topology, &self.spread, from);
            for to in 0..self.loads.len() {
                if homes.contains(&(to as u16)) || !self.spread.admits(&self.topology, &tally, to) {
                    continue;
                }
                let returns = kept.contains(&(to as u16));
                visit(to, partition, u8::from(leaving_is_free) + u8::from(returns));
            }
        }
    }

    fn exchange(&mut self, partition: usize, from: usize, to: usize) {
        self.tallies[partition].remove(&self.topology, &self.spread, from);
        assert!(
            self.spread.admits(&self.topology, &self.tallies[partition], to),
            "a shortest chain of exchanges keeps every partition spread"
        );
        self.homes[partition].retain(|&home| usize::from(home) != from);
        self.held[from].retain(|&held| held as usize != partition);
        self.loads[from] -= 1;
        self.add(partition, to);
    }
}

/// Who comes first: the first home of a partition coordinates and mints for it, so that role is shared out too.
struct Primaries<'a> {
    homes: &'a mut [Vec<u16>],
    loads: Vec<u32>,
    led: Vec<Vec<u32>>,
}

impl Primaries<'_> {
    /// Orders the homes of every partition. Homes that stay keep their order where balance allows.
    fn order(homes: &mut [Vec<u16>], kept: &[Vec<u16>], held: &[u32], topology: &Topology) {
        let copies = homes.first().map_or(1, Vec::len).max(1);
        let count = topology.nodes.len();
        let mut roles = vec![vec![0_u32; count]; copies];
        for (partition, homes) in homes.iter_mut().enumerate() {
            let mut left = std::mem::take(homes);
            for role in roles.iter_mut() {
                let was = kept[partition].get(homes.len()).copied();
                let next = match was.and_then(|node| left.iter().position(|&home| home == node)) {
                    Some(at) => at,
                    None => least_served(&left, role, held, partition, topology),
                };
                let node = left.swap_remove(next);
                role[usize::from(node)] += 1;
                homes.push(node);
            }
        }
        let mut led = vec![Vec::new(); count];
        for (partition, homes) in homes.iter().enumerate() {
            led[usize::from(homes[0])].push(partition as u32);
        }
        let shares: Vec<f64> = held.iter().map(|&load| f64::from(load) / copies as f64).collect();
        let loads = roles.swap_remove(0);
        level(&mut Primaries { homes, loads, led }, &shares);
    }
}

fn least_served(left: &[u16], role: &[u32], held: &[u32], partition: usize, topology: &Topology) -> usize {
    let served = |home: u16| {
        let node = usize::from(home);
        (f64::from(role[node]) + draw(partition, topology.nodes[node].id)) / f64::from(held[node])
    };
    (0..left.len())
        .min_by(|&a, &b| served(left[a]).total_cmp(&served(left[b])))
        .expect("a home is left")
}

impl Exchange for Primaries<'_> {
    fn loads(&self) -> &[u32] {
        &self.loads
    }

    fn each_exit(&self, from: usize, visit: &mut dyn FnMut(usize, usize, u8)) {
        for &partition in &self.led[from] {
            for &to in &self.homes[partition as usize][1..] {
                visit(usize::from(to), partition as usize, 0);
            }
        }
    }

    fn exchange(&mut self, partition: usize, from: usize, to: usize) {
        let homes = &mut self.homes[partition];
        assert_eq!(usize::from(homes[0]), from, "only the first home gives up the role");
        let at = homes
            .iter()
            .position(|&home| usize::from(home) == to)
            .expect("only a home can come first");
        homes.swap(0, at);
        self.led[from].retain(|&led| led as usize != partition);
        self.led[to].push(partition as u32);
        self.loads[from] -= 1;
        self.loads[to] += 1;
    }
}

/// A number in `0..1` for a partition and a node: SplitMix64's finaliser over both.
fn draw(partition: usize, node: NodeId) -> f64 {
    let mut z = ((partition as u64) << 32 | u64::from(node.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as f64 / 4_294_967_296.0
}
