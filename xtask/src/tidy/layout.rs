//! The shape of a Rust file: a short module doc first, few lines, named imports.

use crate::tidy::imports::imports;
use crate::tidy::{Severity, Source, Violation};

const DOC_LINES_MAX: usize = 8;
const CODE_LINES_WARN: usize = 400;
const CODE_LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason.
const MAY_BE_LONG: &[(&str, &str)] = &[];

/// Checks every Rust file.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    let rust = || tree.iter().filter(|source| source.is_rust());
    rust()
        .flat_map(|source| {
            module_doc(source)
                .into_iter()
                .chain(length(source))
                .chain(globs(source))
        })
        .collect()
}

fn module_doc(source: &Source) -> Option<Violation> {
    const MEND: &str = "begin with `//!`: what it decides, what it assumes, the rule it keeps, in at most eight lines";
    let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    match lines {
        0 => Some(Violation::error(
            source,
            1,
            "module-doc",
            "the file does not say what it is",
            MEND,
        )),
        1..=DOC_LINES_MAX => None,
        _ => {
            let what = format!("the module doc has {lines} lines");
            Some(Violation::error(source, DOC_LINES_MAX + 1, "module-doc", what, MEND))
        }
    }
}

/// Counts lines with code; blank lines, comments and the test module at the end are free.
fn length(source: &Source) -> Option<Violation> {
    let lines = source.without_comments.lines().take(source.tests_start());
    let count = lines.filter(|line| !line.trim().is_empty()).count();
    if count <= CODE_LINES_WARN || MAY_BE_LONG.iter().any(|(path, _)| *path == source.path) {
        return None;
    }
    let what = format!("{count} lines of code; {CODE_LINES_MAX} are the limit");
    let mut violation = Violation::error(
        source,
        1,
        "length",
        what,
        "a file is one noun: split it at its second one",
    );
    if count <= CODE_LINES_MAX {
        violation.severity = Severity::Warning;
    }
    Some(violation)
}

/// Tests may import all of their parent; nothing else hides where a name comes from.
fn globs(source: &Source) -> Vec<Violation> {
    let tests_start = source.tests_start();
    let ours = |path: &str| path.starts_with("crate::") || path.starts_with("torc_");
    imports(source)
        .into_iter()
        .filter(|named| named.line <= tests_start && named.path.ends_with("::*") && ours(&named.path))
        .map(|named| {
            let what = format!("glob import `{}`", named.path);
            Violation::error(source, named.line, "globs", what, "import by name")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &'static str, Severity)> {
        let violations = check(&[Source::new("crates/core/src/a.rs", text)]);
        violations
            .into_iter()
            .map(|violation| (violation.line, violation.rule, violation.severity))
            .collect()
    }

    #[test]
    fn a_file_without_a_module_doc_is_reported() {
        assert_eq!(found("fn a() {}\n"), [(1, "module-doc", Severity::Error)]);
        assert_eq!(found("//! A.\n"), []);
    }

    #[test]
    fn a_module_doc_of_nine_lines_is_reported_and_one_of_eight_is_not() {
        assert_eq!(found(&"//! a\n".repeat(9)), [(9, "module-doc", Severity::Error)]);
        assert_eq!(found(&"//! a\n".repeat(8)), []);
    }

    #[test]
    fn long_files_warn_and_then_fail_and_comments_and_tests_are_free() {
        let file = |lines: usize| format!("//! A.\n{}", "a();\n\n// b\n".repeat(lines));
        assert_eq!(found(&file(400)), []);
        assert_eq!(found(&file(401)), [(1, "length", Severity::Warning)]);
        assert_eq!(found(&file(501)), [(1, "length", Severity::Error)]);
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(400), "a();\n".repeat(400));
        assert_eq!(found(&with_tests), []);
    }

    #[test]
    fn our_own_globs_are_reported_outside_of_tests() {
        for import in [
            "crate::*",
            "super::*",
            "super::b::*",
            "crate::{b::*, c}",
            "torc_core::*",
        ] {
            assert_eq!(
                found(&format!("//! A.\nuse {import};\n")),
                [(2, "globs", Severity::Error)],
                "{import}"
            );
        }
        assert_eq!(
            found("//! A.\nuse proptest::prelude::*;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"),
            []
        );
    }
}
