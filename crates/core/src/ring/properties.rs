//! What every placement keeps, checked against definitions that share no code with it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::id::{NodeId, PartitionId};
use crate::ring::{Member, Placement};

fn member(index: usize, dc: u8, rack: u8, capacity: u32) -> Member {
    let name = format!("node-{index}");
    Member {
        id: NodeId::of_name(&name),
        name: name.as_str().into(),
        dc: format!("dc{dc}").as_str().into(),
        rack: format!("rack{rack}").as_str().into(),
        capacity,
    }
}

/// Members over one to four data centres and one to six racks in each; `flat`: one rack in all.
fn clusters(flat: bool) -> impl Strategy<Value = Vec<Member>> {
    let places = if flat {
        (1..=1_u8, 1..=1_u8)
    } else {
        (1..=4_u8, 1..=6_u8)
    };
    (places, 1..=60_usize, any::<bool>()).prop_flat_map(|((dcs, racks), count, equal)| {
        let capacity = if equal { 1..=1_u32 } else { 1..=8_u32 };
        proptest::collection::vec((0..dcs, 0..racks, capacity), count..=count).prop_map(|places| {
            places
                .into_iter()
                .enumerate()
                .map(|(i, (dc, rack, capacity))| member(i, dc, rack, capacity))
                .collect()
        })
    })
}

fn partition_counts() -> impl Strategy<Value = u32> {
    prop_oneof![Just(16_u32), Just(64), Just(256), Just(1024)]
}

/// True if moving one copy from a fuller place to one with room would make the counts more even.
fn could_be_more_even(counts: &[(usize, usize)]) -> bool {
    counts
        .iter()
        .any(|&(fuller, _)| counts.iter().any(|&(held, size)| held < size && fuller >= held + 2))
}

fn check(placement: &Placement, members: &[Member], partitions: u32, n: u8) -> Result<(), TestCaseError> {
    let by_id: BTreeMap<NodeId, &Member> = members.iter().map(|member| (member.id, member)).collect();
    let mut dcs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in members {
        dcs.entry(&member.dc).or_default().insert(&member.rack);
    }
    let copies = usize::from(n).min(members.len());
    prop_assert_eq!(placement.partitions(), partitions);
    for partition in (0..partitions).map(|partition| PartitionId(partition as u16)) {
        let homes: Vec<&Member> = placement
            .homes(partition)
            .iter()
            .map(|&home| by_id[&placement.nodes()[usize::from(home)]])
            .collect();
        let distinct: BTreeSet<NodeId> = homes.iter().map(|home| home.id).collect();
        prop_assert_eq!(distinct.len(), copies, "homes are distinct");
        let in_dc = |dc: &str, of: &[&Member]| of.iter().filter(|member| &*member.dc == dc).count();
        let everyone: Vec<&Member> = members.iter().collect();
        let counts: Vec<_> = dcs.keys().map(|dc| (in_dc(dc, &homes), in_dc(dc, &everyone))).collect();
        prop_assert!(!could_be_more_even(&counts), "data centres {:?}", counts);
        for (dc, racks) in &dcs {
            let in_rack = |rack: &str, of: &[&Member]| of.iter().filter(|m| &*m.dc == *dc && &*m.rack == rack).count();
            let counts: Vec<_> = racks
                .iter()
                .map(|rack| (in_rack(rack, &homes), in_rack(rack, &everyone)))
                .collect();
            prop_assert!(!could_be_more_even(&counts), "racks of {} {:?}", dc, counts);
        }
    }
    let shares = Placement::shares(members, partitions, n);
    let total: f64 = shares.iter().sum();
    prop_assert!(
        (total - f64::from(partitions) * copies as f64).abs() < 1e-3,
        "shares add up"
    );
    for (load, share) in placement.loads().into_iter().zip(&shares) {
        prop_assert!(
            (f64::from(load) - share).abs() < 1.0 + 1e-3,
            "load {} of share {}",
            load,
            share
        );
    }
    // First homes: each node leads its part of the partitions that it holds.
    let mut leads = vec![0_u32; members.len()];
    for partition in (0..partitions).map(|partition| PartitionId(partition as u16)) {
        leads[usize::from(placement.homes(partition)[0])] += 1;
    }
    for (lead, load) in leads.into_iter().zip(placement.loads()) {
        let share = f64::from(load) / copies as f64;
        prop_assert!(
            (f64::from(lead) - share).abs() < 1.0 + 1e-3,
            "leads {} of {}",
            lead,
            share
        );
    }
    Ok(())
}

/// No way to reach the new loads moves less than what the growing nodes gain. Where the spread over racks leaves little
/// choice even the best way moves more, so that this bounds the minimum from below and no more.
fn least_moves(before: &Placement, after: &Placement) -> u32 {
    let old: BTreeMap<NodeId, u32> = before.nodes().iter().copied().zip(before.loads()).collect();
    let gains = after.nodes().iter().zip(after.loads());
    gains
        .map(|(node, load)| load.saturating_sub(old.get(node).copied().unwrap_or(0)))
        .sum()
}

#[test]
fn shares_are_proportional_to_capacity_where_nothing_stands_in_the_way() {
    let members: Vec<Member> = (0..6).map(|i| member(i, 0, 0, 1 + i as u32)).collect();
    let mut sorted = members.clone();
    sorted.sort_by_key(|member| member.id);
    for (share, member) in Placement::shares(&members, 256, 3).into_iter().zip(&sorted) {
        assert!((share - 768.0 * f64::from(member.capacity) / 21.0).abs() < 1e-6);
    }
}

#[test]
fn no_node_of_an_even_cluster_holds_five_percent_more_than_its_ideal() {
    for count in 3..=60_usize {
        let members: Vec<Member> = (0..count).map(|i| member(i, 0, (i % 3) as u8, 1)).collect();
        let placement = Placement::new(&members, 1024, 3);
        if count % 3 == 0 {
            let ideal = 3.0 * 1024.0 / count as f64;
            let most = f64::from(placement.loads().into_iter().max().expect("nodes"));
            assert!(
                most / ideal <= 1.05 || most - ideal < 1.0,
                "{count} nodes: {most} of {ideal}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 1_500 }))]

    #[test]
    fn a_new_placement_is_distinct_spread_and_balanced(members in clusters(false), partitions in partition_counts(), n in 1..=9_u8) {
        check(&Placement::new(&members, partitions, n), &members, partitions, n)?;
    }

    #[test]
    fn the_order_of_members_does_not_matter(members in clusters(false), n in 1..=5_u8, seed in any::<u64>()) {
        let mut shuffled = members.clone();
        let mut random = crate::random::Random::new(seed);
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at as u64 + 1) as usize);
        }
        prop_assert_eq!(Placement::new(&members, 64, n), Placement::new(&shuffled, 64, n));
    }

    #[test]
    fn a_joining_node_moves_no_more_than_it_must(mut members in clusters(false), partitions in partition_counts(), n in 1..=5_u8,
                                                 dc in 0..4_u8, rack in 0..6_u8, capacity in 1..=8_u32) {
        let before = Placement::new(&members, partitions, n);
        members.push(member(100, dc, rack, capacity));
        let after = before.rebalance(&members);
        check(&after, &members, partitions, n)?;
        let (moves, least) = (after.moves_from(&before), least_moves(&before, &after));
        prop_assert!(moves <= 2 * least + 20, "{} moves, at least {} needed", moves, least);
    }

    #[test]
    fn a_leaving_node_moves_no_more_than_it_held(mut members in clusters(false), partitions in partition_counts(), n in 1..=5_u8,
                                                 at in any::<proptest::sample::Index>()) {
        prop_assume!(members.len() > 1);
        let before = Placement::new(&members, partitions, n);
        members.remove(at.index(members.len()));
        let after = before.rebalance(&members);
        check(&after, &members, partitions, n)?;
        let (moves, least) = (after.moves_from(&before), least_moves(&before, &after));
        prop_assert!(moves <= 2 * least + 20, "{} moves, at least {} needed", moves, least);
    }

    #[test]
    fn in_one_rack_a_join_moves_the_newcomers_share_and_a_leave_the_leavers_load(mut members in clusters(true),
                                                 partitions in partition_counts(), n in 1..=5_u8) {
        let before = Placement::new(&members, partitions, n);
        members.push(member(100, 0, 0, 3));
        let after = before.rebalance(&members);
        let index = after.nodes().iter().position(|&node| node == members[members.len() - 1].id).expect("joined");
        let joined = after.loads()[index];
        let moves = after.moves_from(&before);
        // Besides: loads that were rounded up may now be rounded down elsewhere, at most half a unit a node.
        prop_assert!(f64::from(moves) <= 1.1 * f64::from(joined) + members.len() as f64 / 2.0, "{} of {}", moves, joined);
        members.pop();
        let again = after.rebalance(&members);
        let moves = again.moves_from(&after);
        prop_assert!(f64::from(moves) <= 1.1 * f64::from(joined) + members.len() as f64 / 2.0, "{} of {}", moves, joined);
    }

    #[test]
    fn the_same_members_move_nothing(members in clusters(false), partitions in partition_counts(), n in 1..=5_u8) {
        let before = Placement::new(&members, partitions, n);
        prop_assert_eq!(before.rebalance(&members), before);
    }
}
