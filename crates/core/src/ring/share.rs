//! Fair shares: how many replicas each node should hold. Proportional to capacity among data centres, then among the racks
//! of each, then among the nodes of each rack, within what the spread allows at every step: a small rack must take a copy
//! of every partition if there are no more racks than copies, whatever its capacity.

use crate::ring::spread::{Spread, Topology};

/// The share of each node, in replicas; they add up to `partitions × copies`.
pub(super) fn shares_of(topology: &Topology, spread: &Spread, partitions: u32) -> Vec<f64> {
    let p = f64::from(partitions);
    let rack_capacity = |rack: usize| -> f64 {
        topology.nodes_of[rack]
            .iter()
            .map(|&node| f64::from(topology.nodes[node].capacity))
            .sum()
    };
    let dcs: Vec<Claim> = (0..topology.racks_of.len())
        .map(|dc| {
            let weight = topology.racks_of[dc].iter().map(|&rack| rack_capacity(rack)).sum();
            let least = p * spread.dcs.base[dc] as f64;
            Claim {
                weight,
                least,
                most: if spread.dcs.has_room[dc] { least + p } else { least },
            }
        })
        .collect();
    let mut shares = vec![0.0; topology.nodes.len()];
    for (dc, dc_share) in divide(p * spread.copies as f64, &dcs).into_iter().enumerate() {
        let layer = &spread.racks[dc];
        // In so many partitions the data centre holds one more than its base.
        let raised = dc_share - p * spread.dcs.base[dc] as f64;
        let racks: Vec<Claim> = (0..topology.racks_of[dc].len())
            .map(|at| {
                let base = p * layer.base[at] as f64;
                let weight = rack_capacity(topology.racks_of[dc][at]);
                if !layer.has_room[at] {
                    return Claim {
                        weight,
                        least: base,
                        most: base,
                    };
                }
                let least = if layer.extras + 1 == layer.room() {
                    base + raised
                } else {
                    base
                };
                let most = if layer.extras == 0 { base + raised } else { base + p };
                Claim { weight, least, most }
            })
            .collect();
        for (at, rack_share) in divide(dc_share, &racks).into_iter().enumerate() {
            let nodes = &topology.nodes_of[topology.racks_of[dc][at]];
            let capacity = |&node: &usize| f64::from(topology.nodes[node].capacity);
            let claims: Vec<Claim> = nodes
                .iter()
                .map(|node| Claim {
                    weight: capacity(node),
                    least: 0.0,
                    most: p,
                })
                .collect();
            for (share, &node) in divide(rack_share, &claims).into_iter().zip(nodes) {
                shares[node] = share;
            }
        }
    }
    shares
}

/// What one of several may take of a total.
struct Claim {
    weight: f64,
    least: f64,
    most: f64,
}

/// Divides `total` in proportion to the weights, within the bounds. Rounds of fixing those that are out of bounds on the
/// side that is out by more, as CSS flexible boxes are sized (CSS Flexbox 1, §9.7).
fn divide(total: f64, claims: &[Claim]) -> Vec<f64> {
    let mut fixed: Vec<Option<f64>> = vec![None; claims.len()];
    loop {
        let taken: f64 = fixed.iter().flatten().sum();
        let free = |at: &usize| fixed[*at].is_none();
        let weight: f64 = (0..claims.len()).filter(free).map(|at| claims[at].weight).sum();
        let wanted = |at: usize| {
            if weight > 0.0 {
                (total - taken) * claims[at].weight / weight
            } else {
                0.0
            }
        };
        let (mut short, mut over) = (0.0, 0.0);
        for at in (0..claims.len()).filter(free) {
            short += (claims[at].least - wanted(at)).max(0.0);
            over += (wanted(at) - claims[at].most).max(0.0);
        }
        if short <= 1e-9 && over <= 1e-9 {
            return (0..claims.len())
                .map(|at| fixed[at].unwrap_or_else(|| wanted(at)))
                .collect();
        }
        let bounds: Vec<(usize, f64)> = (0..claims.len())
            .filter(free)
            .filter_map(|at| {
                let (least, most) = (claims[at].least, claims[at].most);
                if short >= over && wanted(at) < least {
                    Some((at, least))
                } else if short <= over && wanted(at) > most {
                    Some((at, most))
                } else {
                    None
                }
            })
            .collect();
        for (at, bound) in bounds {
            fixed[at] = Some(bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(weight: f64, least: f64, most: f64) -> Claim {
        Claim { weight, least, most }
    }

    #[test]
    fn a_total_is_divided_by_weight_within_bounds() {
        let free = [claim(1.0, 0.0, 99.0), claim(3.0, 0.0, 99.0)];
        assert_eq!(divide(8.0, &free), vec![2.0, 6.0]);
        let capped = [claim(1.0, 0.0, 99.0), claim(1.0, 0.0, 99.0), claim(8.0, 0.0, 10.0)];
        assert_eq!(divide(20.0, &capped), vec![5.0, 5.0, 10.0]);
        let floored = [claim(1.0, 10.0, 99.0), claim(9.0, 0.0, 99.0)];
        assert_eq!(divide(30.0, &floored), vec![10.0, 20.0]);
    }
}
