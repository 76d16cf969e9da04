//! The command line for people: what it prints, and its exit codes.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Cluster, Settings, TORC, done, err, torc, torc_with};

#[test]
fn put_get_delete_and_list_do_what_a_person_expects() {
    let cluster = Cluster::of_three();
    assert_eq!(done(&torc(&cluster, &["put", "default", "k", "one"])), "");
    assert_eq!(
        done(&torc(&cluster, &["get", "default", "k"])),
        "one",
        "no newline into a pipe"
    );
    // It fetches the context first: a person overwrites what is there.
    done(&torc(&cluster, &["put", "default", "k", "two"]));
    assert_eq!(done(&torc(&cluster, &["get", "default", "k"])), "two");
    done(&torc_with(&cluster, 1, &["put", "default", "piped"], b"from\0stdin\n"));
    assert_eq!(done(&torc(&cluster, &["get", "default", "piped"])), "from\0stdin\n");

    let told = done(&torc(&cluster, &["put", "default", "k", "three", "--json"]));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert!(told["context"].is_string() && told["answered"].is_string(), "{told}");

    done(&torc(&cluster, &["put", "default", "k", "s1", "--sort-key", "a"]));
    done(&torc(&cluster, &["put", "default", "k", "s2", "--sort-key", "b"]));
    assert_eq!(done(&torc(&cluster, &["list", "default", "k", "--prefix", "b"])), "b\n");
    let all = done(&torc(&cluster, &["list", "default"]));
    assert_eq!(all.lines().count(), 4, "{all}");

    assert_eq!(done(&torc(&cluster, &["delete", "default", "k"])), "");
    let gone = torc(&cluster, &["get", "default", "k"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(err(&gone).starts_with("torc: not_found"), "{gone:?}");
}

/// A put reads the key's context first: that read has a quorum of its own.
#[test]
fn a_put_and_a_delete_say_how_many_answers_their_read_waits_for() {
    let cluster = Cluster::of_three();
    cluster[0].faults(r#"{"cut":["n2","n3"]}"#);
    let alone = ["--w", "1", "--timeout-ms", "700"];
    for words in [&["put", "default", "k", "v"][..], &["delete", "default", "k"][..]] {
        let run = |more: &[&str]| torc(&cluster, &[words, more, &alone].concat());
        let refused = run(&[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        done(&run(&["--r", "1"]));
        done(&run(&["--consistency", "eventual"]));
        let odd = run(&["--r", "1", "--blind"]);
        assert_eq!(odd.status.code(), Some(2), "nothing is read: {odd:?}");
    }
}

#[test]
fn siblings_are_shown_and_a_put_merges_them() {
    let cluster = Cluster::of_three();
    done(&torc(&cluster, &["put", "default", "k", "red", "--blind"]));
    done(&torc(&cluster, &["put", "default", "k", "blue", "--blind"]));
    let both = torc(&cluster, &["get", "default", "k"]);
    assert_eq!(both.status.code(), Some(1), "{both:?}");
    assert!(err(&both).contains("red") && err(&both).contains("blue"), "{both:?}");
    let told: Value = serde_json::from_str(&done(&torc(&cluster, &["get", "default", "k", "--json"]))).expect("JSON");
    assert_eq!(told["siblings"].as_array().map(Vec::len), Some(2));
    done(&torc(&cluster, &["put", "default", "k", "purple"]));
    assert_eq!(done(&torc(&cluster, &["get", "default", "k"])), "purple");

    let inspected: Value =
        serde_json::from_str(&done(&torc(&cluster, &["inspect", "default", "k", "--json"]))).expect("JSON");
    assert_eq!(inspected["homes"].as_array().map(Vec::len), Some(3), "{inspected}");
}

/// `put` fetches the key's context unless told otherwise, so a retry without one was another write: refused as
/// `request_id_reused` although nothing was changed in it.
#[test]
fn a_retry_with_a_request_id_says_what_it_replaces_and_is_applied_once() {
    let cluster = Cluster::start(&Settings::default());
    let put = |more: &[&str]| {
        let words = [
            &["put", "default", "k", "v", "--request-id", "order-1", "--json"][..],
            more,
        ];
        torc(&cluster, &words.concat())
    };
    assert_eq!(put(&[]).status.code(), Some(2), "it would not be the same write again");
    let first = done(&put(&["--blind"]));
    assert_eq!(done(&put(&["--blind"])), first);
    let told: Value = serde_json::from_str(&first).expect("JSON");
    let context = told["context"].as_str().expect("a context");
    let delete = ["delete", "default", "k", "--request-id", "order-2", "--json"];
    assert_eq!(torc(&cluster, &delete).status.code(), Some(2));
    let delete = [&delete[..], &["--context", context]].concat();
    assert_eq!(done(&torc(&cluster, &delete)), done(&torc(&cluster, &delete)));
}

#[test]
fn a_listing_takes_a_quorum() {
    let cluster = Cluster::start(&Settings::default());
    done(&torc(&cluster, &["put", "default", "k", "v", "--sort-key", "s"]));
    for words in [&["list", "default"][..], &["list", "default", "k"]] {
        let list = |more: &[&str]| torc(&cluster, &[words, more].concat());
        let all = done(&list(&[]));
        for more in [&["--r", "all"][..], &["--consistency", "strong"]] {
            assert_eq!(done(&list(more)), all);
        }
        assert_eq!(list(&["--r", "9"]).status.code(), Some(1), "more than there are copies");
        assert_eq!(list(&["--r", "1", "--consistency", "quorum"]).status.code(), Some(2));
    }
}

#[test]
fn long_work_answers_in_json() {
    let cluster = Cluster::start(&Settings::default());
    done(&torc(&cluster, &["put", "default", "k", "v"]));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let file = folder.path().join("export.jsonl");
    let file = file.to_str().expect("a path of text");
    for words in [
        &["export", "default", "--json", "--output", file][..],
        &["import", "default", "--json", file],
    ] {
        let told = torc(&cluster, words);
        assert_eq!((done(&told).as_str(), err(&told).as_str()), ("{\"records\":1}\n", ""));
    }
}

#[test]
fn exit_codes_tell_refused_from_wrong_usage_from_unknown() {
    let mut cluster = Cluster::start(&Settings::default());
    let code = |words: &[&str]| torc(&cluster, words).status.code();
    assert_eq!(code(&["frobnicate"]), Some(2));
    assert_eq!(code(&["get", "default"]), Some(2));
    assert_eq!(code(&["dev", "--nodes", "0"]), Some(2));
    assert_eq!(code(&["dev", "--nodes", "65"]), Some(2));
    assert_eq!(code(&["get", "no-such-bucket", "k"]), Some(1));
    assert_eq!(code(&["lock", "acquire", "x"]), Some(1));
    assert_eq!(code(&["put", "strong", "k", "v"]), Some(1));
    assert_eq!(code(&["cluster", "wait"]), Some(0));
    let bench = ["bench", "--duration", "0.1", "--warm-up", "0", "--keys", "10", "--json"];
    let report: Value = serde_json::from_str(&done(&torc(&cluster, &bench))).expect("a report");
    assert_eq!(
        report["setup"]["protocol"], "http",
        "the node that all commands talk to"
    );
    // It was taken for the value.
    assert_eq!(code(&["put", "default", "dashes", "--no-such-option"]), Some(2));
    assert_eq!(code(&["get", "default", "dashes"]), Some(1), "nothing was written");
    for words in [&["-5"][..], &["--", "--no-such-option"]] {
        assert_eq!(code(&[&["put", "default", "dashes"], words].concat()), Some(0));
        let shown = done(&torc(&cluster, &["get", "default", "dashes"]));
        assert_eq!(Some(&shown.trim_end()), words.last());
    }

    let refused = torc(&cluster, &["get", "no-such-bucket", "k", "--json"]);
    let error: Value = serde_json::from_str(&err(&refused)).expect("an error object on stderr");
    assert_eq!(error["error"], "no_such_bucket", "{error}");

    // Nobody answers this home, and it has minted: whether the write appears is unknown.
    cluster[0].faults(r#"{"cut":["n2","n3"]}"#);
    let unknown = torc(
        &cluster,
        &["put", "default", "k", "v", "--blind", "--w", "2", "--timeout-ms", "500"],
    );
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
    cluster[0].faults("{}");

    cluster[0].kill();
    let unreachable = torc(&cluster, &["get", "default", "k"]);
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(err(&unreachable).contains("is the node running"), "{unreachable:?}");
}

#[test]
fn bucket_cluster_and_status_say_what_is_there() {
    let cluster = Cluster::of_three();
    let buckets = done(&torc(&cluster, &["bucket", "list"]));
    for name in ["default", "redis", "strong"] {
        assert!(buckets.contains(name), "{buckets}");
    }
    let shown: Value =
        serde_json::from_str(&done(&torc(&cluster, &["bucket", "show", "default", "--json"]))).expect("JSON");
    assert_eq!(
        (&shown["conflict"], &shown["n"]),
        (&"siblings".into(), &3.into()),
        "{shown}"
    );
    let status = done(&torc(&cluster, &["cluster", "status"]));
    for name in ["n1", "n2", "n3"] {
        assert!(status.contains(name), "{status}");
    }
    let status: Value = serde_json::from_str(&done(&torc(&cluster, &["status", "--json"]))).expect("JSON");
    for part in [
        "hints",
        "dirty_ranges",
        "anti_entropy",
        "transfers",
        "queues",
        "store",
        "actor",
        "clock",
        "hot_keys",
        "warnings",
    ] {
        assert!(status.get(part).is_some(), "{part} is missing: {status}");
    }
}

#[test]
fn serve_check_reports_every_problem_at_once_and_starts_nothing() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let file = folder.path().join("torc.toml");
    let check_with = |text: &str, flags: &[&str]| {
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new(TORC);
        let command = command
            .args(["serve", "--check", "--config"])
            .arg(&file)
            .args(flags)
            .stdin(Stdio::null());
        command
            .env("TORC_DIR", folder.path().join("data"))
            .output()
            .expect("torc starts")
    };
    let check = |text: &str| check_with(text, &[]);
    assert_eq!(check("name = \"n1\"\n").status.code(), Some(0));
    let wrong = check("nmae = \"n1\"\npartitions = 0\nmemory_max = \"lots\"\nhost = \"0.0.0.0\"\n");
    assert_eq!(wrong.status.code(), Some(1));
    for word in ["nmae", "partitions", "memory_max", "host"] {
        assert!(err(&wrong).contains(word), "{word} is not told: {}", err(&wrong));
    }
    let wrong = check_with("nmae = \"n1\"\npartitions = 0\n", &["--json"]);
    let error: Value = serde_json::from_str(&err(&wrong)).expect("an error object on stderr");
    assert_eq!(error["error"], "bad_configuration", "{error}");
    assert_eq!(error["problems"].as_array().map(Vec::len), Some(2), "{error}");
    assert!(!folder.path().join("data").exists(), "it started something");
}
