//! A data directory knows the ring that it was written under: nobody starts it under another one by mistake.

use std::process::{Command, Output, Stdio};

use crate::harness::{Cluster, Node, Settings, TORC};

/// Runs the node until it ends by itself; the turn's time limit ends it if it does not.
fn refusal(node: &Node) -> Output {
    let mut process = Command::new(TORC)
        .args(["serve", "--exit-with-parent", "--config"])
        .arg(&node.config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("torc starts");
    // Held open: otherwise the node would stop because its parent seems gone.
    let stdin = process.stdin.take();
    let output = process.wait_with_output().expect("a child of ours");
    drop(stdin);
    output
}

#[test]
fn a_node_whose_configuration_places_data_otherwise_refuses_to_start_and_keeps_its_data() {
    let mut cluster = Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    });
    cluster[0].ask("PUT", "/v1/kv/default/k", &[], b"kept").expect(204);
    cluster.stop_all();
    let sound = std::fs::read_to_string(&cluster[0].config).expect("its configuration");

    let others = [
        (
            "partitions 512",
            sound.replace("allow_faults = true", "allow_faults = true\npartitions = 512"),
        ),
        ("capacity 3", format!("{sound}capacity = 3\n")),
        ("carts", format!("{sound}[[buckets]]\nname = \"carts\"\n")),
    ];
    for (difference, text) in others {
        assert_ne!(text, sound);
        std::fs::write(&cluster[0].config, text).expect("a configuration");
        let refused = refusal(&cluster[0]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{difference}: {told}");
        assert!(told.contains(difference), "what differs is not told: {told}");
    }

    std::fs::write(&cluster[0].config, sound).expect("a configuration");
    cluster.start_all();
    assert_eq!(cluster[0].get("/v1/kv/default/k").expect(200).text(), "kept");
}

#[test]
fn a_directory_in_use_and_a_directory_of_another_node_are_refused() {
    let mut cluster = Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    });
    let sound = std::fs::read_to_string(&cluster[0].config).expect("its configuration");
    // The same directory under other ports, while the first node runs.
    let port = |base: u16| format!("base_port = {base}\n");
    let base = cluster[0].base_port;
    let moved = sound.replace(&port(base), &port(base + 50));
    std::fs::write(&cluster[0].config, moved).expect("a configuration");
    let refused = refusal(&cluster[0]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("in use"), "{told}");
    cluster[0]
        .ask("PUT", "/v1/kv/default/k", &[], b"undisturbed")
        .expect(204);

    cluster.stop_all();
    std::fs::write(&cluster[0].config, sound.replace("name = \"n1\"", "name = \"n9\"")).expect("a configuration");
    let refused = refusal(&cluster[0]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("n1") && told.contains("n9"), "{told}");
}
