//! Levels loads towards shares by the fewest exchanges. An exchange takes one unit from one node and gives it to another
//! within one partition; a chain of them leaves the nodes in between as they were.
//!
//! Each round shortens the sum of squared distances between load and share. Where the possible loads are those of a
//! flow (which both users' are), a state without an improving chain is the optimum, and there every load is its share
//! rounded up or down (Ahuja, Magnanti, Orlin, "Network Flows", ch. 14; Murota, "Discrete Convex Analysis", ch. 6).

/// Something whose loads can be exchanged.
pub(super) trait Exchange {
    /// The load of each node.
    fn loads(&self) -> &[u32];
    /// Calls `visit(to, partition, merit)` for every exchange that takes a unit from `from`. Of exchanges between the same
    /// two nodes the one of greater merit is taken.
    fn each_exit(&self, from: usize, visit: &mut dyn FnMut(usize, usize, u8));
    /// Makes one.
    fn exchange(&mut self, partition: usize, from: usize, to: usize);
}

/// Distances that differ by no more than this differ only by rounding in the shares.
const TOLERANCE: f64 = 1e-6;

/// The exchange by which a search reached a node.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    partition: usize,
    merit: u8,
    depth: u32,
}

/// Exchanges until no chain improves the balance.
pub(super) fn level(state: &mut impl Exchange, shares: &[f64]) {
    loop {
        let mut by_excess: Vec<usize> = (0..shares.len()).collect();
        let excess: Vec<f64> = state
            .loads()
            .iter()
            .zip(shares)
            .map(|(&load, share)| f64::from(load) - share)
            .collect();
        by_excess.sort_by(|&a, &b| excess[b].total_cmp(&excess[a]));
        let least = by_excess.last().map_or(0.0, |&node| excess[node]);
        let mut improved = false;
        for &from in &by_excess {
            if excess[from] - least <= 1.0 + TOLERANCE {
                break;
            }
            if let Some(chain) = shortest_chain(state, &excess, from) {
                // The last first: each exchange then hands its unit to a node that has just given one away.
                for &(partition, from, to) in chain.iter().rev() {
                    state.exchange(partition, from, to);
                }
                improved = true;
                break;
            }
        }
        if !improved {
            return;
        }
    }
}

/// The shortest chain from `from` to a node that is more than one unit further below its share; of several the one that
/// ends furthest below. A shortest chain never needs one partition's room twice, so its exchanges don't disturb one
/// another.
fn shortest_chain(state: &impl Exchange, excess: &[f64], from: usize) -> Option<Vec<(usize, usize, usize)>> {
    let mut reached: Vec<Option<Step>> = vec![None; excess.len()];
    reached[from] = Some(Step {
        from,
        partition: 0,
        merit: 0,
        depth: 0,
    });
    let mut frontier = vec![from];
    let mut depth = 0;
    while !frontier.is_empty() {
        depth += 1;
        let mut next = Vec::new();
        for &node in &frontier {
            state.each_exit(node, &mut |to, partition, merit| match &reached[to] {
                None => {
                    reached[to] = Some(Step {
                        from: node,
                        partition,
                        merit,
                        depth,
                    });
                    next.push(to);
                }
                Some(step) if step.depth == depth && step.merit < merit => {
                    reached[to] = Some(Step {
                        from: node,
                        partition,
                        merit,
                        depth,
                    });
                }
                Some(_) => {}
            });
        }
        let target = next
            .iter()
            .copied()
            .filter(|&to| excess[from] - excess[to] > 1.0 + TOLERANCE)
            .min_by(|&a, &b| excess[a].total_cmp(&excess[b]).then(a.cmp(&b)));
        if let Some(target) = target {
            return Some(chain_to(&reached, from, target));
        }
        frontier = next;
    }
    None
}

fn chain_to(reached: &[Option<Step>], from: usize, target: usize) -> Vec<(usize, usize, usize)> {
    let mut chain = Vec::new();
    let mut at = target;
    while at != from {
        let step = reached[at].expect("every node of a chain was reached");
        chain.push((step.partition, step.from, at));
        at = step.from;
    }
    chain.reverse();
    chain
}
