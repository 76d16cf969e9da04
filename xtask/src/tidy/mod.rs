//! `cargo xtask tidy`: the rules of this tree that no compiler checks.
//!
//! Every rule is a function from the tree to the places that break it, each with its mend. A warning is printed; only
//! an error fails the run. The tests show each rule a tree that breaks it.

mod core_purity;
mod dependencies;
mod documents;
mod imports;
mod layout;
mod source;
mod wording;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

pub use self::source::Source;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path from the root of the project.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong there.
    pub what: String,
    /// What to do about it.
    pub mend: String,
    /// Whether it fails the run.
    pub severity: Severity,
}

/// Whether a violation fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It is only printed.
    Warning,
}

impl Violation {
    fn error(
        source: &Source,
        line: usize,
        rule: &'static str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (what, mend) = (what.into(), mend.into());
        Violation {
            path: source.path.clone(),
            line,
            rule,
            what,
            mend,
            severity: Severity::Error,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{}:{}: {severity} [{}]: {}\n    mend: {}",
            self.path, self.line, self.rule, self.what, self.mend
        )
    }
}

/// Checks the tree at `root`, prints every violation, and fails if one of them is an error.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let tree = read_tree(root)?;
    let violations = check(&tree);
    for violation in &violations {
        println!("{violation}");
    }
    let errors = violations
        .iter()
        .filter(|violation| violation.severity == Severity::Error)
        .count();
    let warnings = violations.len() - errors;
    println!("tidy: {} files, {errors} errors, {warnings} warnings", tree.len());
    if errors > 0 {
        bail!("tidy: {errors} errors, listed above");
    }
    Ok(())
}

/// Every violation in the tree, in the order of its files.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    let rules = [
        dependencies::check,
        core_purity::check,
        layout::check,
        wording::check,
        documents::check,
    ];
    let mut violations: Vec<Violation> = rules.iter().flat_map(|rule| rule(tree)).collect();
    violations.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    violations
}

/// Reads all files that are, or could next be, under version control.
fn read_tree(root: &Path) -> anyhow::Result<Vec<Source>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("tidy needs git to list the files of the tree")?;
    if !listing.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        );
    }
    let mut tree = Vec::new();
    for path in String::from_utf8(listing.stdout)?.split_terminator('\0') {
        // A file deleted but not yet committed is still listed; binary files are nobody's prose.
        if let Ok(bytes) = std::fs::read(root.join(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            tree.push(Source::new(path, &text));
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_tree_is_read_and_these_tasks_are_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask stands in the project's root");
        let tree = read_tree(root).expect("the tree is readable");
        assert!(
            tree.iter().any(|source| source.path == "xtask/src/tidy/mod.rs"),
            "tidy must see its own source"
        );
        assert!(
            tree.iter().any(|source| source.path == "crates/core/Cargo.toml"),
            "tidy must see the other crates"
        );
        // The rest of the tree is judged by `cargo xtask tidy`, which CI runs by itself.
        let of_xtask = |violation: &&Violation| violation.path.starts_with("xtask/");
        let errors: Vec<String> = check(&tree).iter().filter(of_xtask).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn a_violation_names_place_rule_and_mend() {
        let source = Source::new("a.rs", "");
        let violation = Violation::error(&source, 7, "rule", "what", "how");
        assert_eq!(violation.to_string(), "a.rs:7: error [rule]: what\n    mend: how");
    }
}
