//! Reads of popular keys from one node that has memory for a fifth of its data, against the same with memory for all.

use super::case::{Case, Durability, Operation};
use super::comparison::{self, Comparison};
use super::load::Generator;
use super::server::{Kind, Server};
use super::{Bench, Results};

/// `memory_max` of the node that has little.
pub const MEMORY_MAX_MIB: u64 = 64;
/// How much more data than that there is.
pub const TIMES: u64 = 5;
/// Bytes of a value, and of a key as `torc bench` writes it.
pub const VALUE_BYTES: u64 = 1_000;
const KEY_BYTES: u64 = 16;
/// `memory_max` of the node that has enough for all, with what the cache needs beside the data.
const ENOUGH_MIB: u64 = 4_096;

/// How many keys that makes.
pub fn keys() -> u64 {
    TIMES * MEMORY_MAX_MIB * (1 << 20) / (VALUE_BYTES + KEY_BYTES)
}

/// Measures both, in turn.
pub fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let generator = Generator {
        keys: keys(),
        value_bytes: VALUE_BYTES,
        ..bench.generator.clone()
    };
    let start = |name: &str, memory_mib: u64| -> anyhow::Result<Server> {
        let folder = bench.fresh(name)?;
        Server::start(
            Kind::TorcWithin(memory_mib),
            &bench.program,
            &folder,
            Durability::Always,
        )
    };
    let enough = start("memory-enough", ENOUGH_MIB)?;
    let little = start("memory-little", MEMORY_MAX_MIB)?;
    results.disks.push(generator.fill(&enough)?);
    generator.fill(&little)?;
    let cases = [1, 16].map(|pipeline| Case {
        durability: Durability::Always,
        operation: Operation::GetPopular,
        connections: 50,
        pipeline,
    });
    // What is popular comes into the caches.
    for server in [&enough, &little] {
        generator.measure(server, &cases[1])?;
    }
    for case in &cases {
        let compared: Comparison = comparison::run(&generator, case, bench.pairs, &enough, &little)?;
        results.memory.push(compared);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_five_times_what_the_node_may_hold() {
        let bytes = keys() * (VALUE_BYTES + KEY_BYTES);
        let memory = MEMORY_MAX_MIB << 20;
        assert!((4 * memory..=5 * memory).contains(&bytes), "{bytes}");
    }
}
