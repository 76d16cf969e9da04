//! What is compared: the durability, the operation, connections and pipelining.

use serde::Serialize;

/// When a write counts as done, by its names on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// After its sync: Redis `appendfsync always`, Torc `synced`.
    Always,
    /// Before: Redis `appendfsync everysec`, Torc `buffered`.
    EverySecond,
}

impl Durability {
    /// Redis's `appendfsync`.
    pub fn redis(self) -> &'static str {
        match self {
            Durability::Always => "always",
            Durability::EverySecond => "everysec",
        }
    }

    /// The bucket's `durability`.
    pub fn torc(self) -> &'static str {
        match self {
            Durability::Always => "synced",
            Durability::EverySecond => "buffered",
        }
    }
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Read a key that exists.
    Get,
    /// Overwrite one.
    Set,
    /// Read a key that exists, a few of them very often (zipf, exponent 0.99).
    GetPopular,
}

impl Operation {
    /// The mix of `torc bench`.
    pub fn mix(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Set => "set",
            Operation::GetPopular => "ycsb-c",
        }
    }
}

/// One row of the comparison.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Case {
    /// When a write counts as done.
    pub durability: Durability,
    /// What the clients do.
    pub operation: Operation,
    /// How many clients there are.
    pub connections: usize,
    /// How many operations each sends at once.
    pub pipeline: usize,
}

impl Case {
    /// All cases of a durability; the quick ones have 50 connections only.
    pub fn all(durability: Durability, quick: bool) -> Vec<Case> {
        let connections: &[usize] = if quick { &[50] } else { &[50, 64, 256] };
        let mut cases = Vec::new();
        for operation in [Operation::Get, Operation::Set] {
            for connections in connections {
                for pipeline in [1, 16] {
                    cases.push(Case {
                        durability,
                        operation,
                        connections: *connections,
                        pipeline,
                    });
                }
            }
        }
        cases
    }

    /// The cases of three nodes.
    pub fn of_cluster() -> Vec<Case> {
        let mut cases = Vec::new();
        for operation in [Operation::Set, Operation::Get] {
            for connections in [64, 256] {
                cases.push(Case {
                    durability: Durability::Always,
                    operation,
                    connections,
                    pipeline: 1,
                });
            }
        }
        cases
    }

    /// The case in a few words.
    pub fn name(&self) -> String {
        let Case {
            durability,
            operation,
            connections,
            pipeline,
        } = self;
        format!(
            "{}/{} {} c={connections} P={pipeline}",
            durability.redis(),
            durability.torc(),
            operation.mix()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Durability};

    #[test]
    fn a_full_run_has_every_combination_once() {
        let names: std::collections::BTreeSet<String> = [Durability::Always, Durability::EverySecond]
            .into_iter()
            .flat_map(|durability| Case::all(durability, false))
            .map(|case| case.name())
            .collect();
        assert_eq!(names.len(), 24);
        assert!(names.contains("everysec/buffered set c=256 P=16"), "{names:?}");
    }
}
