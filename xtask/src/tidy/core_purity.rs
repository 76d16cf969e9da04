//! The core has no clock, thread, socket, file, chance or unordered map, and its protocols meet only in its node.
//!
//! Clippy checks calls and types; this checks what is imported and named, so that a trait or a macro can't slip by.

use crate::tidy::imports::{Named, imports, paths_in_place};
use crate::tidy::{Source, Violation};

/// A path that the core may not name, and what to do instead.
const BANNED_PATHS: &[(&str, &str)] = &[
    ("std::time::Instant", "time arrives as `now`: use the core's `Time`"),
    ("std::time::SystemTime", "time arrives as `now`: use the core's `Time`"),
    ("std::time::UNIX_EPOCH", "time arrives as `now`: use the core's `Time`"),
    (
        "std::thread",
        "the core has no threads: emit an effect and let the shell do it",
    ),
    ("std::fs", "the core has no files: emit `Effect::Store`"),
    (
        "std::net",
        "the core has no sockets: addresses are values of the shell, messages are `Effect::Send`",
    ),
    ("std::io", "the core has no IO: take and give bytes"),
    ("std::env", "configuration arrives as a value"),
    ("std::process", "bugs panic; the shell owns the process"),
    (
        "tokio",
        "the core is synchronous: a state machine, stepped by the shell",
    ),
    (
        "futures",
        "the core is synchronous: a state machine, stepped by the shell",
    ),
    ("rand", "chance arrives as a seed: use the core's `Random`"),
    (
        "std::collections::HashMap",
        "its order differs from run to run: use BTreeMap or the alias in map.rs",
    ),
    (
        "std::collections::HashSet",
        "its order differs from run to run: use BTreeSet or the alias in map.rs",
    ),
    (
        "std::collections::hash_map",
        "its order differs from run to run: use BTreeMap or the alias in map.rs",
    ),
    (
        "std::hash::RandomState",
        "it is seeded by the operating system: use the alias in map.rs",
    ),
    (
        "hashbrown",
        "its order differs from run to run: use BTreeMap or the alias in map.rs",
    ),
    ("getrandom", "chance arrives as a seed: use the core's `Random`"),
];

/// Words that the core may not use, wherever they come from.
const BANNED_WORDS: &[(&str, &str)] = &[
    (
        "async",
        "the core is synchronous: a state machine, stepped by the shell",
    ),
    (
        "await",
        "the core is synchronous: a state machine, stepped by the shell",
    ),
    ("println", "the core has no IO: emit `Effect::Notice`"),
    ("eprintln", "the core has no IO: emit `Effect::Notice`"),
    ("thread_local", "the core must not know which thread runs it"),
];

/// Files that may name what the rest of the core may not, each with its reason.
const MAY: &[(&str, &[&str])] = &[
    // The one place where hash maps get an order that is the same in every run.
    (
        "crates/core/src/map.rs",
        &["std::collections::HashMap", "std::collections::HashSet"],
    ),
    // Which planted bug is active, in the simulator alone: one for each of its threads.
    ("crates/core/src/mutants.rs", &["thread_local"]),
];

/// Whether this file may name it.
fn may(source: &Source, name: &str) -> bool {
    MAY.iter()
        .any(|(path, names)| *path == source.path && names.contains(&name))
}

/// The protocols, which never import one another: they meet in `node`.
const PROTOCOLS: &[&str] = &[
    "coordinator",
    "replica",
    "membership",
    "hints",
    "handoff",
    "entropy",
    "consensus",
    "reaping",
    "rebuild",
    "boot",
    "scrub",
    "gossip",
];

/// Parts of a protocol's folder that are none of its talk: the trees are a structure that writes keep up to date and
/// walks share an order with; only the comparison is a protocol.
const SHARED: &[&str] = &["crate::entropy::tree", "crate::entropy::trees"];

/// Checks the sources of the core.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    let in_core = |source: &&Source| source.is_rust() && source.path.starts_with("crates/core/src/");
    tree.iter().filter(in_core).flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Violation> {
    let mut named = imports(source);
    named.extend(paths_in_place(source));
    let mut violations = banned_paths(source, &named);
    violations.extend(banned_words(source));
    violations.extend(protocols_that_meet(source, &named));
    // A path inside a `use` is seen both as an import and in place.
    violations.sort_by(|a, b| (a.line, &a.what).cmp(&(b.line, &b.what)));
    violations.dedup();
    violations
}

fn banned_paths(source: &Source, named: &[Named]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (banned, mend) in BANNED_PATHS.iter().filter(|(banned, _)| !may(source, banned)) {
        for place in named.iter().filter(|place| place.is_under(banned)) {
            let what = format!("the core names `{banned}`");
            violations.push(Violation::error(source, place.line, "core-purity", what, *mend));
        }
    }
    violations
}

fn banned_words(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, line) in source.code.lines().enumerate() {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for (banned, mend) in BANNED_WORDS {
            if words.contains(banned) && !may(source, banned) {
                let what = format!("the core uses `{banned}`");
                violations.push(Violation::error(source, at + 1, "core-purity", what, *mend));
            }
        }
    }
    violations
}

fn protocols_that_meet(source: &Source, named: &[Named]) -> Vec<Violation> {
    let inside = source.path.trim_start_matches("crates/core/src/");
    let module = inside.split(['/', '.']).next().unwrap_or(inside);
    if !PROTOCOLS.contains(&module) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for other in PROTOCOLS.iter().filter(|other| **other != module) {
        let path = format!("crate::{other}");
        let is_shared = |place: &&Named| SHARED.iter().any(|shared| place.is_under(shared));
        for place in named.iter().filter(|place| place.is_under(&path) && !is_shared(place)) {
            let what = format!("protocol `{module}` imports protocol `{other}`");
            let mend = "let them meet in node.rs, or move what both need to a module of its own";
            violations.push(Violation::error(source, place.line, "protocols", what, mend));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let violations = check(&[Source::new(path, text)]);
        violations
            .into_iter()
            .map(|violation| (violation.line, violation.what))
            .collect()
    }

    #[test]
    fn every_banned_path_is_found_as_an_import_and_in_place() {
        for (banned, _) in BANNED_PATHS {
            let (parent, last) = banned.rsplit_once("::").unwrap_or((banned, "spawn"));
            for text in [
                format!("\nuse {banned};\n"),
                format!("\nuse {parent}::{{self, {last}, other}};\n"),
                format!("\nfn a() {{ let b = {banned}::c(d); }}\n"),
            ] {
                let found = found("crates/core/src/ring.rs", &text);
                assert!(
                    found.contains(&(2, format!("the core names `{banned}`"))),
                    "{text}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn every_banned_word_is_found_in_code_and_nowhere_else() {
        for (banned, _) in BANNED_WORDS {
            let expected = vec![(2, format!("the core uses `{banned}`"))];
            assert_eq!(
                found("crates/core/src/ring.rs", &format!("\nlet a = b.{banned} (c);\n")),
                expected
            );
            assert_eq!(
                found(
                    "crates/core/src/ring.rs",
                    &format!("// {banned}\nlet a = \"{banned}\";\n")
                ),
                []
            );
            assert_eq!(found("crates/core/src/ring.rs", &format!("let my_{banned} = 1;\n")), []);
            assert_eq!(found("crates/server/src/main.rs", &format!("{banned}\n")), []);
        }
    }

    #[test]
    fn only_the_files_with_a_reason_are_excused_and_only_for_it() {
        assert_eq!(
            found("crates/core/src/map.rs", "use std::collections::{HashMap, HashSet};\n"),
            []
        );
        assert_eq!(
            found("crates/core/src/map.rs", "use std::hash::RandomState;\n").len(),
            1
        );
        assert_eq!(found("crates/core/src/mutants.rs", "thread_local! {}\n"), []);
        assert_eq!(found("crates/core/src/mutants.rs", "use std::thread;\n").len(), 1);
    }

    #[test]
    fn a_variant_that_is_called_like_a_map_is_no_map() {
        assert_eq!(
            found("crates/core/src/keyspace.rs", "enum Update { HashSet(Vec<u8>) }\n"),
            []
        );
    }

    #[test]
    fn protocols_meet_in_the_node_alone() {
        let text = "use crate::{ring::Ring, replica::Replica};\n";
        let expected = [(1, "protocol `coordinator` imports protocol `replica`".to_owned())];
        assert_eq!(found("crates/core/src/coordinator/put.rs", text), expected);
        assert_eq!(found("crates/core/src/coordinator.rs", text), expected);
        assert_eq!(found("crates/core/src/node.rs", text), []);
        assert_eq!(found("crates/core/src/replica/merge.rs", text), []);
        let relative = "use super::super::hints::Hint;\n";
        assert_eq!(found("crates/core/src/handoff/plan.rs", relative).len(), 1);
        let shared = "use crate::entropy::{Trees, trees::Delta};\n";
        assert_eq!(
            found("crates/core/src/replica/service.rs", shared).len(),
            1,
            "the trees alone are shared"
        );
        let in_place = "fn a(b: crate::hints::Hint) {}\n";
        assert_eq!(found("crates/core/src/membership.rs", in_place).len(), 1);
    }
}
