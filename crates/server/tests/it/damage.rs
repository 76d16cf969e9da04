//! Flipped bits in the files of a stopped node: found, told, mended from the others, never served, never spread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Cluster, Settings, TORC, eventually, torc, torc_with};

const COUNT: usize = 1_500;
const MEND_TIME_MAX: Duration = Duration::from_secs(60);

fn value(at: usize) -> Vec<u8> {
    // Not compressible, so that the memtables fill and the needle is found; every tenth in a blob file.
    let length = if at.is_multiple_of(10) { 8_000 } else { 2_000 };
    let mut value = format!("<value-{at:05}>").into_bytes();
    let mut random = at as u64 + 1;
    while value.len() < length {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        value.push((random >> 56) as u8);
    }
    value
}

/// Three nodes with values on all of them, in tables and journals.
fn written() -> Cluster {
    let cluster = Cluster::start(&Settings {
        top: "memory_max = \"32MiB\"",
        ..Settings::default()
    });
    let mut http = cluster[0].http();
    for at in 0..COUNT {
        let target = format!("/v1/kv/default/k{at}?w=3");
        http.send("PUT", &target, &[], &value(at))
            .expect("an answer")
            .expect(204);
    }
    cluster
}

/// Reads every key at one node, with answers of all homes: each is right or refused, never absent or another.
fn read_all(cluster: &Cluster, node: usize) -> usize {
    let mut http = cluster[node].http();
    let mut right = 0;
    for at in 0..COUNT {
        let answer = http
            .send("GET", &format!("/v1/kv/default/k{at}?r=3"), &[], b"")
            .expect("an answer");
        match answer.status {
            200 => {
                assert_eq!(answer.body, value(at), "k{at}");
                right += 1;
            }
            503 | 504 => {}
            status => panic!("k{at} is answered with {status}: {}", answer.text()),
        }
    }
    right
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The files of a node in whose path `part` stands.
fn files_with(dir: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(dir, &mut found);
    found.retain(|path| path.to_string_lossy().contains(part));
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[at] ^= 0x04;
    std::fs::write(path, bytes).expect("writable");
}

fn metric(cluster: &Cluster, node: usize, name: &str) -> f64 {
    cluster[node].get("/metrics").expect(200).metric(name)
}

#[test]
fn flipped_bits_in_tables_and_blobs_are_found_by_a_scrub_and_mended_from_the_others() {
    let mut cluster = written();
    cluster[1].stop();
    let tables: Vec<PathBuf> = files_with(&cluster[1].dir, "/tables/")
        .into_iter()
        .filter(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 10_000))
        .collect();
    let blobs = files_with(&cluster[1].dir, "/blobs/");
    assert!(!tables.is_empty() && !blobs.is_empty(), "nothing was flushed");
    flip(&tables[0], 5_000);
    flip(&blobs[0], 1_000);
    cluster[1].start();
    cluster[1].await_ready();
    // Never served: what the damaged node answers with the others is right or refused.
    read_all(&cluster, 1);
    let settings = torc_with(&cluster, 1, &["admin", "scrub", "--run"], b"");
    assert!(settings.status.success(), "{settings:?}");
    eventually("the scrub finds the damage", MEND_TIME_MAX, || {
        cluster[1].json("/v1/status")["scrub"]["damaged"].as_u64() > Some(0)
            || metric(&cluster, 1, "torc_discarded_files_total") > 0.0
    });
    eventually("all of it is mended", MEND_TIME_MAX, || {
        let status = cluster[1].json("/v1/status");
        let is_whole = cluster[1].get("/readyz").status == 200;
        is_whole && status["scrub"]["running"] == false && status["scrub"]["damaged_now"] == 0
    });
    assert!(metric(&cluster, 1, "torc_discarded_files_total") >= 1.0);
    assert!(cluster[1].log().contains("is damaged"), "the log tells which file");
    assert_eq!(read_all(&cluster, 1), COUNT, "at r=3 the mended home answers too");
    // Never spread, and nothing comes back after a restart.
    cluster[1].stop();
    cluster[1].start();
    cluster[1].await_ready();
    assert_eq!(read_all(&cluster, 0), COUNT);
    let found = cluster[1].json("/v1/status")["scrub"]["ended_at"].clone();
    assert!(found.is_string(), "when the last pass ended is kept: {found}");
    let again = torc_with(&cluster, 1, &["admin", "scrub", "--run"], b"");
    assert!(again.status.success());
    eventually("another pass", MEND_TIME_MAX, || {
        metric(&cluster, 1, "torc_scrubs_total") >= 1.0
    });
    assert_eq!(cluster[1].json("/v1/status")["scrub"]["damaged"], 0);
}

#[test]
fn a_node_with_a_damaged_journal_names_the_command_that_rebuilds_it_and_the_command_does() {
    let mut cluster = written();
    cluster[1].kill();
    let journals = files_with(&cluster[1].dir, ".jnl");
    let journal = journals.iter().max().expect("a journal");
    flip(journal, 40);
    let config = cluster[1].config.clone();
    let refused = Command::new(TORC)
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .expect("torc starts");
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains(".jnl") && why.contains("byte"), "it says where: {why}");
    assert!(why.contains("torc serve --rebuild"), "and what to do: {why}");
    cluster[1].start_with(&["--rebuild"]);
    cluster[1].await_ready();
    assert_eq!(read_all(&cluster, 1), COUNT);
    let aside = files_with(&cluster[1].dir, "/damaged-1/");
    assert!(
        aside.iter().any(|path| path.file_name() == journal.file_name()),
        "nothing is deleted: {aside:?}"
    );
    // The flag may stay: what can be opened is not set aside.
    cluster[1].stop();
    cluster[1].start_with(&["--rebuild"]);
    cluster[1].await_ready();
    assert!(files_with(&cluster[1].dir, "/damaged-2/").is_empty());
    assert_eq!(read_all(&cluster, 0), COUNT);
}

/// What a store leaves whose engine failed on a damaged file (`crates/store/tests/store/scrub.rs` makes one fail).
#[test]
fn a_node_whose_data_are_marked_as_damaged_says_so_and_is_rebuilt_by_the_same_command() {
    let mut cluster = Cluster::of_three();
    let keys: Vec<String> = (0..20).map(|at| format!("/v1/kv/default/k{at}")).collect();
    for key in &keys {
        cluster[0].ask("PUT", &format!("{key}?w=3"), &[], b"v").expect(204);
    }
    cluster[1].stop();
    let mark = cluster[1].dir.join("damage");
    std::fs::write(&mark, "tables/7 is damaged\n").expect("writable");
    let refused = Command::new(TORC)
        .args(["serve", "--config"])
        .arg(&cluster[1].config)
        .output()
        .expect("torc starts");
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("tables/7 is damaged"), "it says what: {why}");
    assert!(why.contains("torc serve --rebuild"), "and what to do: {why}");
    cluster[1].start_with(&["--rebuild"]);
    cluster[1].await_ready();
    assert!(!mark.exists() && !files_with(&cluster[1].dir, "/damaged-1/damage").is_empty());
    for key in &keys {
        cluster[1].get(&format!("{key}?r=3")).expect(200);
    }
    cluster[1].stop();
    cluster[1].start();
    cluster[1].await_ready();
}

/// For a store that fails again and again and has no mark: its data are sound enough to be opened, and are set aside all the same.
#[test]
fn data_that_can_be_opened_are_set_aside_if_that_is_asked_for() {
    let mut cluster = written();
    cluster[1].stop();
    cluster[1].start_with(&["--rebuild=always"]);
    cluster[1].await_ready();
    assert!(!files_with(&cluster[1].dir, "/damaged-1/engine/").is_empty());
    assert_eq!(read_all(&cluster, 1), COUNT);
    assert!(metric(&cluster, 1, "torc_rebuilt_records_total") >= COUNT as f64);
}

#[test]
fn a_single_node_has_nobody_to_rebuild_from_and_says_so() {
    let mut cluster = Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    });
    for at in 0..5 {
        cluster[0]
            .ask("PUT", &format!("/v1/kv/default/k{at}"), &[], b"v")
            .expect(204);
    }
    cluster[0].kill();
    let journal = files_with(&cluster[0].dir, ".jnl")
        .into_iter()
        .max()
        .expect("a journal");
    flip(&journal, 40);
    let refused = Command::new(TORC)
        .args(["serve", "--rebuild", "--config"])
        .arg(&cluster[0].config)
        .output()
        .expect("torc starts");
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("no other node to rebuild from"), "{why}");
    assert!(files_with(&cluster[0].dir, "/damaged-1/").is_empty());
}

#[test]
fn operators_pause_bound_and_start_background_work() {
    let cluster = Cluster::of_three();
    for work in ["hints", "anti_entropy", "scrub"] {
        let path = format!("/v1/admin/{work}");
        let set = |body: &[u8]| cluster[0].ask("POST", &path, &[], body);
        let answer = set(br#"{"paused":true,"bytes_per_second":12345}"#).expect(200).json();
        assert_eq!(
            (&answer["paused"], &answer["bytes_per_second"]),
            (&true.into(), &12_345.into())
        );
        assert_eq!(set(b"{}").expect(200).json(), answer, "what is not named stays");
        assert_eq!(cluster[0].json(&path), answer);
        assert_eq!(cluster[1].json(&path)["paused"], false, "each node by itself");
        set(br#"{"bytes_per_second":0}"#).expect(400);
        set(br#"{"speed":1}"#).expect(400);
        let warnings = cluster[0].json("/v1/status")["warnings"].to_string();
        assert!(warnings.contains(&format!("{work} is paused")), "{warnings}");
        let resumed = torc(&cluster, &["admin", work, "--resume", "--rate", "2MiB"]);
        assert!(resumed.status.success(), "{resumed:?}");
        assert_eq!(String::from_utf8_lossy(&resumed.stdout), "running, at most 2MiB/s\n");
    }
}

#[test]
fn the_busiest_keys_are_shown() {
    let cluster = Cluster::of_three();
    let mut http = cluster[0].http();
    for at in 0..300 {
        http.send("GET", &format!("/v1/kv/default/cold{at}"), &[], b"")
            .expect("an answer");
        if at % 3 == 0 {
            http.send("PUT", "/v1/kv/default/hot%3A1", &[], b"v")
                .expect("an answer");
        }
    }
    let hot = cluster[0].json("/v1/status")["hot_keys"].clone();
    assert_eq!(hot[0]["key"], "hot%3A1", "{hot}");
    assert_eq!(hot[0]["bucket"], "default");
    assert_eq!(hot[0]["requests"], 100, "{hot}");
}
