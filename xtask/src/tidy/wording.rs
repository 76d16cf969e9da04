//! What no text file may contain: unfinished work, paths of one machine, stray whitespace.

use crate::tidy::{Source, Violation};

/// Written in pieces, so that this file does not report itself.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
const UNFINISHED_MACROS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "bash_jobs"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Written by tools, or by others.
const NOT_OURS: &[&str] = &["Cargo.lock", "LICENSE"];
const NO_TABS: &[&str] = &[".rs", ".toml", ".md", ".sh", ".yml", ".yaml", ".json", ".ci/run"];

/// Checks every text file.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    tree.iter()
        .filter(|source| !NOT_OURS.contains(&source.name()))
        .flat_map(check_file)
        .collect()
}

fn check_file(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let no_tabs = NO_TABS.iter().any(|end| source.path.ends_with(end));
    // `lines` would hide a carriage return.
    for (at, line) in source.text.split('\n').enumerate() {
        let mut report = |rule, what: String, mend: &str| {
            violations.push(Violation::error(source, at + 1, rule, what, mend));
        };
        for marker in UNFINISHED.iter().filter(|marker| has_word(line, marker)) {
            report(
                "unfinished",
                format!("`{marker}`"),
                "do it, or write the decision into docs/decisions/",
            );
        }
        for path in MACHINE_PATHS.iter().filter(|path| line.contains(*path)) {
            report(
                "machine-path",
                format!("`{path}`"),
                "no path of one machine: use a relative or temporary one",
            );
        }
        if line.trim_end() != line {
            report(
                "whitespace",
                "whitespace at the end of the line".to_owned(),
                "remove it",
            );
        }
        if no_tabs && line.contains('\t') {
            report("whitespace", "a tab".to_owned(), "use spaces");
        }
    }
    for (at, line) in source.code.lines().enumerate() {
        for name in UNFINISHED_MACROS.iter().filter(|name| line.contains(*name)) {
            let mend = "finish it; a test or a person will reach it";
            violations.push(Violation::error(
                source,
                at + 1,
                "unfinished",
                format!("`{name}…)`"),
                mend,
            ));
        }
    }
    let lines = source.text.lines().count();
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        let what = "no line break at the end of the file";
        violations.push(Violation::error(source, lines, "whitespace", what, "add it"));
    }
    if source.text.ends_with("\n\n") {
        let what = "blank lines at the end of the file";
        violations.push(Violation::error(source, lines, "whitespace", what, "remove them"));
    }
    violations
}

/// Whether the line has the marker as a word of its own.
fn has_word(line: &str, marker: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(marker).any(|(at, _)| {
        !is_letter(line[..at].chars().next_back()) && !is_letter(line[at + marker.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(&[Source::new(path, text)])
            .into_iter()
            .map(|violation| (violation.line, violation.rule))
            .collect()
    }

    #[test]
    fn unfinished_work_is_reported_in_code_comments_and_documents() {
        for marker in UNFINISHED {
            assert_eq!(
                found("a.rs", &format!("a\n// {marker} b\n")),
                [(2, "unfinished")],
                "{marker}"
            );
            assert_eq!(found("a.md", &format!("{marker} b\n")), [(1, "unfinished")], "{marker}");
        }
        for name in UNFINISHED_MACROS {
            assert_eq!(
                found("a.rs", &format!("fn a() {{ {name}b) }}\n")),
                [(1, "unfinished")],
                "{name}"
            );
        }
        assert_eq!(found("a.rs", "let mastodon = TODOS;\n"), []);
    }

    #[test]
    fn paths_of_one_machine_are_reported_everywhere() {
        for path in MACHINE_PATHS {
            for file in ["a.md", "a.rs", ".ci/run", "a.toml"] {
                assert_eq!(
                    found(file, &format!("a\n\"{path}b\"\n")),
                    [(2, "machine-path")],
                    "{path} {file}"
                );
            }
        }
    }

    #[test]
    fn stray_whitespace_is_reported() {
        assert_eq!(found("a.rs", "a \n"), [(1, "whitespace")]);
        assert_eq!(found("a.rs", "a\r\n"), [(1, "whitespace")]);
        assert_eq!(found("a.toml", "\ta\n"), [(1, "whitespace")]);
        assert_eq!(found("a.rs", "a\nb"), [(2, "whitespace")]);
        assert_eq!(found("a.rs", "a\n\n"), [(2, "whitespace")]);
        assert_eq!(found("a.rs", "a\n"), []);
    }
}
