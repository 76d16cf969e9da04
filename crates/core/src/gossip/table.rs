//! What this node has heard of every member, itself included: merged entry by entry, the newer saying wins, so that any
//! order and any repetition of messages ends in the same table. The members are those of the ring; nobody joins by gossip.

use crate::gossip::member::{Incarnation, Load, MemberState, Version, Witnesses};
use crate::id::NodeId;
use crate::mutants::{Mutant, active};
use crate::random::Random;

/// Members of one digest (RULINGS 26).
pub const DIGEST_MEMBERS_MAX: usize = 64;
/// Of these, at most so many because something has just happened to them.
const NEWS_MAX: usize = 16;

/// What happened to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Its heartbeat rose.
    Rose,
    /// Its incarnation did: it has started, or refuted its death.
    Returned,
    /// It was called dead, by somebody whose last news of it was so many heartbeats behind what this node had heard.
    CalledDead {
        /// Who failed to reach it.
        witnesses: Witnesses,
        /// How far.
        behind: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: MemberState,
    /// How many digests will still tell of it because it is news.
    news: u8,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Table {
    /// By id.
    entries: Vec<Entry>,
    own: usize,
    /// Indices in an order that every digest shuffles a little further.
    order: Vec<u16>,
    /// Digests that tell of a piece of news.
    news_times: u8,
    has_news: bool,
}

impl Table {
    /// Nothing is heard of anybody but this node.
    #[must_use]
    pub fn new(own: NodeId, boot: u64, members: impl Iterator<Item = NodeId>) -> Self {
        let mut nodes: Vec<NodeId> = members.filter(|&node| node != own).chain([own]).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let entry = |&node: &NodeId| Entry {
            state: MemberState::unknown(node),
            news: 0,
        };
        let mut entries: Vec<Entry> = nodes.iter().map(entry).collect();
        let own = nodes.binary_search(&own).expect("it was added");
        entries[own].state.incarnation.boot = boot;
        let order = (0..entries.len() as u16).collect();
        // Three times the rounds that doubling needs, so that loss does not stop the news.
        let rounds = usize::BITS - entries.len().leading_zeros();
        Self {
            entries,
            own,
            order,
            news_times: 3 * rounds as u8,
            has_news: false,
        }
    }

    /// Members, this node included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// False: a node knows at least itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where a member's entry is; `None` if it is no member.
    #[must_use]
    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.entries.binary_search_by_key(&node, |entry| entry.state.node).ok()
    }

    /// Where this node's own entry is.
    #[must_use]
    pub fn own(&self) -> usize {
        self.own
    }

    /// An entry.
    #[must_use]
    pub fn state(&self, index: usize) -> &MemberState {
        &self.entries[index].state
    }

    /// This node's next period begins.
    pub fn beat(&mut self, load: Load) {
        let state = &mut self.entries[self.own].state;
        state.heartbeat += 1;
        state.load = load;
    }

    /// This node's boot number has become known to be higher than it believed.
    pub fn raise_boot(&mut self, boot: u64) {
        if boot > self.entries[self.own].state.incarnation.boot {
            self.begin(Incarnation { boot, refutation: 0 });
        }
    }

    /// Takes what another node says of a member; `None` if it is nothing new. Of itself a node knows best: if the others
    /// have heard that it is dead, or of an incarnation that it has not, it begins another.
    pub fn merge(&mut self, said: &MemberState) -> Option<Change> {
        let index = self.index_of(said.node)?;
        if index == self.own {
            self.refute(said.version());
            return None;
        }
        let known = self.entries[index].state;
        if said.version() <= known.version() {
            return None;
        }
        self.entries[index].state = *said;
        if said.incarnation > known.incarnation {
            // A node that hears of all others for the first time has no news.
            if known.incarnation != Incarnation::default() || said.death.is_some() {
                self.is_news(index);
            }
            return Some(said.death.map_or(Change::Returned, |witnesses| Change::CalledDead {
                witnesses,
                behind: 0,
            }));
        }
        Some(match said.death {
            Some(witnesses) => {
                if known.death.is_none() {
                    self.is_news(index);
                }
                Change::CalledDead {
                    witnesses,
                    behind: known.heartbeat.saturating_sub(said.heartbeat),
                }
            }
            None => Change::Rose,
        })
    }

    /// Calls a member dead in the incarnation that is known of it.
    pub fn call_dead(&mut self, index: usize, witnesses: Witnesses) {
        self.entries[index].state.death = Some(witnesses);
        self.is_news(index);
    }

    /// Begins another incarnation if somebody has heard of an end of this one.
    pub fn refute(&mut self, said: Version) {
        if active(Mutant::NeverRefutes) {
            return;
        }
        let own = self.entries[self.own].state.version();
        // Of a boot with the same number, before the directory was replaced by an older copy: next to its heartbeat, that of
        // this boot would seem to stand still.
        let has_spoken_before = said.incarnation == own.incarnation && said.heartbeat > own.heartbeat;
        let is_called_dead = said.is_dead && said.incarnation == own.incarnation;
        if is_called_dead || has_spoken_before || said.incarnation > own.incarnation {
            let Incarnation { boot, refutation } = said.incarnation;
            let refutation = refutation.saturating_add(1);
            self.begin(Incarnation { boot, refutation });
        }
    }

    /// The members to tell another node of, with how new what is known of them is: this node, the news, and members drawn
    /// at random.
    pub fn digest(&mut self, random: &mut Random) -> Vec<(NodeId, Version)> {
        let mut chosen = Vec::with_capacity(self.len().min(DIGEST_MEMBERS_MAX));
        chosen.push(self.own);
        if self.has_news {
            self.take_news(&mut chosen);
        }
        for drawn in 0..self.len() {
            if chosen.len() == self.len().min(DIGEST_MEMBERS_MAX) {
                break;
            }
            let other = drawn + random.below((self.len() - drawn) as u64) as usize;
            self.order.swap(drawn, other);
            let index = usize::from(self.order[drawn]);
            if !chosen.contains(&index) {
                chosen.push(index);
            }
        }
        let entry = |index: &usize| {
            let state = &self.entries[*index].state;
            (state.node, state.version())
        };
        chosen.iter().map(entry).collect()
    }

    /// What answers a digest: what is newer here, with this node's own entry, and whom to ask for.
    #[must_use]
    pub fn compare(&self, digest: &[(NodeId, Version)]) -> (Vec<MemberState>, Vec<NodeId>) {
        let (mut newer, mut wanted) = (Vec::new(), Vec::new());
        let mut has_own = false;
        for (node, theirs) in digest.iter().take(DIGEST_MEMBERS_MAX) {
            let Some(index) = self.index_of(*node) else { continue };
            let ours = self.entries[index].state.version();
            has_own |= index == self.own && ours > *theirs;
            if ours > *theirs {
                newer.push(self.entries[index].state);
            } else if ours < *theirs && index != self.own {
                wanted.push(*node);
            }
        }
        if !has_own {
            newer.push(self.entries[self.own].state);
        }
        (newer, wanted)
    }

    /// What is known of these members.
    #[must_use]
    pub fn tell(&self, wanted: &[NodeId]) -> Vec<MemberState> {
        let known = wanted.iter().take(DIGEST_MEMBERS_MAX);
        known
            .filter_map(|&node| self.index_of(node))
            .map(|index| self.entries[index].state)
            .collect()
    }

    fn begin(&mut self, incarnation: Incarnation) {
        self.entries[self.own].state.incarnation = incarnation;
        self.is_news(self.own);
    }

    fn is_news(&mut self, index: usize) {
        self.entries[index].news = self.news_times;
        self.has_news = true;
    }

    /// Adds the freshest news to `chosen`.
    fn take_news(&mut self, chosen: &mut Vec<usize>) {
        let mut news: Vec<usize> = (0..self.len()).filter(|&index| self.entries[index].news > 0).collect();
        self.has_news = !news.is_empty();
        news.sort_by_key(|&index| std::cmp::Reverse(self.entries[index].news));
        for index in news.into_iter().take(NEWS_MAX) {
            self.entries[index].news -= 1;
            if index != self.own {
                chosen.push(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WITNESSES: Witnesses = Witnesses {
        first: NodeId(1),
        second: NodeId(2),
    };

    fn table(own: u32, members: u32) -> Table {
        Table::new(NodeId(own), 1, (0..members).map(NodeId))
    }

    fn said(node: u32, boot: u64, heartbeat: u64, death: Option<Witnesses>) -> MemberState {
        MemberState {
            incarnation: Incarnation { boot, refutation: 0 },
            heartbeat,
            death,
            ..MemberState::unknown(NodeId(node))
        }
    }

    #[test]
    fn two_nodes_that_exchange_a_digest_know_the_same() {
        let (mut a, mut b) = (table(0, 5), table(1, 5));
        a.merge(&said(2, 1, 9, None));
        a.merge(&said(3, 1, 2, None));
        b.merge(&said(3, 1, 5, None));
        b.merge(&said(4, 2, 1, Some(WITNESSES)));
        let mut random = Random::new(1);
        let (newer, wanted) = b.compare(&a.digest(&mut random));
        newer.iter().for_each(|state| {
            a.merge(state);
        });
        a.tell(&wanted).iter().for_each(|state| {
            b.merge(state);
        });
        for index in 0..5 {
            assert_eq!(a.state(index), b.state(index));
        }
    }

    #[test]
    fn a_node_that_is_called_dead_begins_another_incarnation() {
        let mut table = table(0, 3);
        (0..4).for_each(|_| table.beat(Load::default()));
        table.merge(&said(0, 1, 4, Some(WITNESSES)));
        let own = table.state(table.own());
        assert_eq!((own.incarnation.boot, own.incarnation.refutation), (1, 1));
        assert_eq!(own.death, None);
        table.merge(&said(0, 1, 4, Some(WITNESSES)));
        assert_eq!(
            table.state(table.own()).incarnation.refutation,
            1,
            "that was of an earlier one"
        );
        // Its directory was wiped: the others know of a later boot.
        table.merge(&said(0, 7, 4, None));
        assert_eq!(
            table.state(table.own()).incarnation,
            Incarnation { boot: 7, refutation: 1 }
        );
    }

    #[test]
    fn a_boot_with_the_number_of_an_earlier_one_is_told_apart_from_it() {
        let mut table = table(0, 3);
        table.beat(Load::default());
        table.merge(&said(0, 1, 1, None));
        assert_eq!(table.state(table.own()).incarnation.refutation, 0, "that is this one");
        table.merge(&said(0, 1, 5_000, None));
        assert_eq!(table.state(table.own()).incarnation.refutation, 1);
    }

    #[test]
    fn a_digest_has_at_most_64_members_with_the_news_and_every_member_gets_its_turn() {
        let mut table = table(0, 300);
        table.merge(&said(299, 1, 1, Some(WITNESSES)));
        let mut random = Random::new(3);
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..40 {
            let digest = table.digest(&mut random);
            assert_eq!(digest.len(), DIGEST_MEMBERS_MAX);
            let nodes: std::collections::BTreeSet<NodeId> = digest.iter().map(|entry| entry.0).collect();
            assert_eq!(nodes.len(), DIGEST_MEMBERS_MAX, "nobody twice");
            assert!(nodes.contains(&NodeId(0)));
            assert!(round >= 27 || nodes.contains(&NodeId(299)), "news is told 27 times");
            seen.extend(nodes);
        }
        assert_eq!(seen.len(), 300);
    }

    fn any_said() -> impl Strategy<Value = MemberState> {
        (1_u32..4, 0_u64..3, 0_u32..2, any::<bool>(), 0_u64..4).prop_map(|(node, boot, refutation, dead, heartbeat)| {
            MemberState {
                incarnation: Incarnation { boot, refutation },
                ..said(node, boot, heartbeat, dead.then_some(WITNESSES))
            }
        })
    }

    proptest! {
        #[test]
        fn any_order_and_repetition_ends_in_the_same_table(mut sayings in prop::collection::vec(any_said(), 0..20), seed in any::<u64>()) {
            let mut one = table(0, 4);
            sayings.iter().for_each(|state| { one.merge(state); });
            let mut random = Random::new(seed);
            sayings.extend_from_within(..sayings.len() / 2);
            for index in (1..sayings.len()).rev() {
                sayings.swap(index, random.below(index as u64 + 1) as usize);
            }
            let mut other = table(0, 4);
            sayings.iter().for_each(|state| { other.merge(state); });
            for index in 1..4 {
                prop_assert_eq!(one.state(index).version(), other.state(index).version());
            }
        }
    }
}
