//! Five times more data than `memory_max`, on one node and small: everything is there, and the process stays in bounds.

use crate::harness::{Cluster, Http, Settings};

const MEMORY_MAX: usize = 32 << 20;
const VALUE_BYTES: usize = 8_000;
const VALUES: usize = 5 * MEMORY_MAX / VALUE_BYTES;
const CLIENTS: usize = 8;

fn value(at: usize) -> Vec<u8> {
    // Does not compress: what is on disk is as large as what was written.
    let mut state = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    while bytes.len() < VALUE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn resident_bytes(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a child of ours");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1_024
}

#[test]
fn data_five_times_the_memory_budget_is_all_there_also_after_a_restart() {
    let mut cluster = Cluster::start(&Settings {
        nodes: 1,
        top: "memory_max = \"32MiB\"",
        tables: "[[buckets]]\nname = \"loose\"\ndurability = \"buffered\"\n",
        ..Settings::default()
    });
    let address = cluster[0].http_address();
    let each = |work: &(dyn Fn(&mut Http, usize) + Sync)| {
        std::thread::scope(|scope| {
            for part in 0..CLIENTS {
                let address = &address;
                scope.spawn(move || {
                    let mut http = Http::connect(address).expect("the node takes clients");
                    (part..VALUES).step_by(CLIENTS).for_each(|at| work(&mut http, at));
                });
            }
        });
    };
    each(&|http, at| {
        let answer = http.send("PUT", &format!("/v1/kv/loose/k{at}"), &[], &value(at));
        answer.expect("an answer").expect(204);
    });
    let check = |http: &mut Http, at: usize| {
        let answer = http.send("GET", &format!("/v1/kv/loose/k{at}"), &[], b"");
        assert!(
            answer.expect("an answer").expect(200).body == value(at),
            "k{at} came back otherwise"
        );
    };
    each(&check);
    let resident = resident_bytes(cluster[0].pid());
    println!(
        "{} MiB written, {} MiB resident",
        (VALUES * VALUE_BYTES) >> 20,
        resident >> 20
    );
    // The budget is for records; the program, its connections and the store's own tables come on top of it.
    assert!(
        resident < 3 * MEMORY_MAX + (64 << 20),
        "{} MiB resident",
        resident >> 20
    );
    cluster.stop_all();
    cluster.start_all();
    each(&check);
}
