//! Which crate may depend on which: the table below is the architecture.

use crate::tidy::{Source, Violation};

/// A workspace crate and the workspace crates that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("torc-core", &[]),
    ("torc-store", &["torc-core"]),
    ("torc-frontends", &["torc-core"]),
    ("torc-sim", &["torc-core", "torc-frontends"]),
    ("torc", &["torc-core", "torc-store", "torc-frontends"]),
    ("torc-fuzz", &["torc-core", "torc-frontends"]),
    ("xtask", &["torc-core", "torc-sim"]),
];

/// Crates that would bring a clock, a socket, a thread or chance into the core.
const NEVER_IN_CORE: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "smol",
    "futures",
    "rand",
    "getrandom",
    "crossbeam-channel",
    "tracing",
    "fjall",
];

const TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks every manifest.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    tree.iter()
        .filter(|source| source.name() == "Cargo.toml")
        .flat_map(check_manifest)
        .collect()
}

fn check_manifest(source: &Source) -> Vec<Violation> {
    const RULE: &str = "dependencies";
    let manifest: toml::Table = match source.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::error(source, 1, RULE, error.to_string(), "write valid TOML")],
    };
    let Some(name) = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(|name| name.as_str())
    else {
        return Vec::new(); // The workspace's own manifest has no package.
    };
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        let what = format!("crate `{name}` is not in the table of crates");
        return vec![Violation::error(
            source,
            1,
            RULE,
            what,
            "give it a row in xtask/src/tidy/dependencies.rs",
        )];
    };
    let mut violations = Vec::new();
    for (dependency, details) in dependencies_of(&manifest) {
        let line = line_of(source, dependency);
        let is_ours = ALLOWED.iter().any(|(known, _)| *known == dependency);
        if is_ours && !allowed.contains(&dependency) {
            let what = format!("`{name}` depends on `{dependency}`");
            let mend = format!(
                "`{name}` may depend on: {}",
                if allowed.is_empty() {
                    "nothing of ours".to_owned()
                } else {
                    allowed.join(", ")
                }
            );
            violations.push(Violation::error(source, line, RULE, what, mend));
        }
        if name == "torc-core" && NEVER_IN_CORE.contains(&dependency) {
            let what = format!("the core depends on `{dependency}`");
            let mend = "time, chance and the world reach the core as inputs; move this to the shell";
            violations.push(Violation::error(source, line, RULE, what, mend));
        }
        let features = details.get("features").and_then(|features| features.as_array());
        let has_mutants = features.is_some_and(|list| list.iter().any(|feature| feature.as_str() == Some("mutants")));
        if has_mutants {
            let what = format!("`{name}` always turns on the planted bugs of `{dependency}`");
            let mend = "only the feature `mutants` of torc-sim or xtask may turn on another crate's `mutants`";
            violations.push(Violation::error(source, line, "mutants", what, mend));
        }
    }
    if name == "torc" && source.text.contains("/mutants") {
        let line = line_of(source, "mutants");
        let mend = "the server must not be able to contain a planted bug; drop the feature";
        violations.push(Violation::error(
            source,
            line,
            "mutants",
            "the server has a feature with planted bugs",
            mend,
        ));
    }
    if manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(|on| on.as_bool())
        != Some(true)
    {
        let mend = "add `[lints]` with `workspace = true`";
        violations.push(Violation::error(
            source,
            1,
            RULE,
            format!("`{name}` ignores the workspace's lints"),
            mend,
        ));
    }
    violations
}

/// Every dependency of every table, those of single targets too.
fn dependencies_of(manifest: &toml::Table) -> Vec<(&str, &toml::Value)> {
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let scopes = targets
        .into_iter()
        .flat_map(|targets| targets.values())
        .filter_map(|scope| scope.as_table());
    std::iter::once(manifest)
        .chain(scopes)
        .flat_map(|scope| TABLES.iter().filter_map(|table| scope.get(*table)?.as_table()))
        .flat_map(|table| table.iter().map(|(name, details)| (name.as_str(), details)))
        .collect()
}

/// The line that declares `key`, or the first that mentions it.
fn line_of(source: &Source, key: &str) -> usize {
    let declares = |line: &str| {
        line.trim_start()
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    let lines = || source.text.lines();
    lines()
        .position(declares)
        .or_else(|| lines().position(|line| line.contains(key)))
        .map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, rest: &str) -> Vec<(usize, String)> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        let violations = check(&[Source::new("crates/x/Cargo.toml", &text)]);
        violations
            .into_iter()
            .map(|violation| (violation.line, violation.what))
            .collect()
    }

    #[test]
    fn a_dependency_against_the_direction_is_reported_with_its_line() {
        assert_eq!(
            found(
                "torc-core",
                "[dependencies]\nbytes = \"1\"\ntorc-store.workspace = true\n"
            ),
            [(7, "`torc-core` depends on `torc-store`".to_owned())]
        );
        assert_eq!(found("torc-sim", "[dependencies]\ntorc-core.workspace = true\n"), []);
    }

    #[test]
    fn nothing_may_depend_on_the_server_in_any_table() {
        for table in [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let found = found("torc-store", &format!("[{table}]\ntorc = {{ path = \"../server\" }}\n"));
            assert_eq!(found.len(), 1, "{table}");
        }
    }

    #[test]
    fn the_core_gets_no_runtime_and_no_chance() {
        let found = found(
            "torc-core",
            "[dev-dependencies]\ntokio.workspace = true\n[dependencies]\nrand = \"0.9\"\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn planted_bugs_reach_neither_the_server_nor_a_default_build() {
        assert_eq!(
            found("torc", "[features]\nmutants = [\"torc-core/mutants\"]\n").len(),
            1
        );
        let always_on = "[dependencies]\ntorc-sim = { workspace = true, features = [\"mutants\"] }\n";
        assert_eq!(found("xtask", always_on).len(), 1);
    }

    #[test]
    fn unknown_crates_and_missing_lints_are_reported() {
        assert_eq!(found("torc-new", "").len(), 1);
        let bare = check(&[Source::new(
            "crates/core/Cargo.toml",
            "[package]\nname = \"torc-core\"\n",
        )]);
        assert_eq!(bare.len(), 1);
        assert_eq!(check(&[Source::new("Cargo.toml", "[workspace]\nmembers = []\n")]), []);
    }
}
