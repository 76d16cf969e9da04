//! The results for readers: how many tests pass, which can't and why, what is missing.

use std::fmt::Write;

use anyhow::Context;

use crate::redis_suite::expectations::{Category, Judgement};
use crate::redis_suite::report::TestResult;

/// The page, from every test with its judgement.
pub fn page(judged: &[(TestResult, Judgement)], units: &[String], redis: &str) -> String {
    let mut page = String::from("# Redis's own tests\n\n");
    let _ = writeln!(
        page,
        "Written by `cargo xtask redis-suite`; do not edit. It runs units of the test suite of {redis} (from Debian's source\n\
         package, fetched when it runs) against a Torc cluster. What can't pass, and why, is kept in\n\
         [redis-suite.toml](../xtask/redis-suite.toml). A test that can't pass says nothing about the commands it uses besides.\n"
    );
    push_units(&mut page, judged, units);
    for wanted in categories(judged) {
        let count = of_category(judged, wanted).count();
        let _ = write!(page, "\n## {} ({count})\n\n{}\n\n", title(wanted), meaning(wanted));
        page.push_str("| test | unit | reason |\n|---|---|---|\n");
        for (result, judgement) in of_category(judged, wanted) {
            let reason = match judgement {
                Judgement::Cannot(_, reason) | Judgement::Broken(reason) => reason.as_str(),
                Judgement::Passed | Judgement::PassedAfterAll | Judgement::NotRun(_) => "",
            };
            let _ = writeln!(
                page,
                "| {} | `{}` | {} |",
                cell(&result.name),
                result.unit,
                cell(reason)
            );
        }
    }
    page
}

/// A page with its summary replaced: what stands between the two marks.
///
/// # Errors
/// The page has no marks.
pub fn with_summary(page: &str, judged: &[(TestResult, Judgement)], units: &[String]) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no mark for the summary's begin")?;
    let (_, after) = rest.split_once(END).context("no mark for the summary's end")?;
    let mut summary = String::new();
    push_units(&mut summary, judged, units);
    summary.push_str("\n| what can't pass or is missing | tests | why |\n|---|--:|---|\n");
    for wanted in categories(judged) {
        let count = of_category(judged, wanted).count();
        let _ = writeln!(summary, "| {} | {count} | {} |", title(wanted), meaning(wanted));
    }
    Ok(format!("{before}{BEGIN}\n{summary}{END}{after}"))
}

const BEGIN: &str = "<!-- written by cargo xtask redis-suite: do not edit -->";
const END: &str = "<!-- end of what cargo xtask redis-suite writes -->";

fn push_units(page: &mut String, judged: &[(TestResult, Judgement)], units: &[String]) {
    page.push_str(
        "| unit | tests | passed | can't | missing | not run by the suite itself |\n|---|---|---|---|---|---|\n",
    );
    for unit in units {
        let of_unit = judged.iter().filter(|(result, _)| result.unit == *unit);
        row(page, &format!("`{unit}`"), of_unit);
    }
    row(page, "all", judged.iter());
}

fn categories(judged: &[(TestResult, Judgement)]) -> Vec<Category> {
    let mut categories: Vec<Category> = judged.iter().filter_map(|(_, judgement)| category(judgement)).collect();
    categories.sort();
    categories.dedup();
    categories
}

fn of_category(judged: &[(TestResult, Judgement)], wanted: Category) -> impl Iterator<Item = &(TestResult, Judgement)> {
    judged
        .iter()
        .filter(move |(_, judgement)| category(judgement) == Some(wanted))
}

fn row<'a>(page: &mut String, name: &str, judged: impl Iterator<Item = &'a (TestResult, Judgement)>) {
    let [mut passed, mut cannot, mut missing, mut not_run] = [0u32; 4];
    for (_, judgement) in judged {
        match (judgement, category(judgement)) {
            (Judgement::Passed | Judgement::PassedAfterAll, _) => passed += 1,
            (Judgement::NotRun(_), _) => not_run += 1,
            (_, Some(Category::Missing)) => missing += 1,
            (Judgement::Cannot(..) | Judgement::Broken(_), _) => cannot += 1,
        }
    }
    let tests = passed + cannot + missing + not_run;
    let _ = writeln!(
        page,
        "| {name} | {tests} | {passed} | {cannot} | {missing} | {not_run} |"
    );
}

/// The heading under which a test stands; none if it passed or was not run.
fn category(judgement: &Judgement) -> Option<Category> {
    match judgement {
        Judgement::Cannot(category, _) => Some(*category),
        Judgement::Broken(_) => Some(Category::Missing),
        Judgement::Passed | Judgement::PassedAfterAll | Judgement::NotRun(_) => None,
    }
}

fn title(category: Category) -> &'static str {
    match category {
        Category::Missing => "Missing",
        other => other.name(),
    }
}

fn meaning(category: Category) -> &'static str {
    match category {
        Category::NeedsAgreement => "The command needs agreement among replicas; an available bucket refuses it.",
        Category::NotInContract => "The test uses a command, type or option that is no part of Torc.",
        Category::Config => "The test changes or reads a setting of Redis's own.",
        Category::Debug => "The test looks into Redis's process with DEBUG.",
        Category::MultiDb => "The test uses numbered databases; Torc has named buckets.",
        Category::Encoding => "The test asks how Redis lays a value out in memory.",
        Category::Limit => "The test exceeds a limit that Torc sets on purpose.",
        Category::Persistence => "The test watches Redis's replication stream or append-only file.",
        Category::Cluster => "What the test expects holds in a single process and not on a cluster.",
        Category::Missing => "These should pass and do not yet.",
    }
}

/// Text that keeps to its cell.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('[', "\\[")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis_suite::report::Verdict;

    #[test]
    fn every_test_is_counted_once_and_failures_are_listed_with_their_reason() {
        let result = |name: &str| TestResult {
            unit: "unit/scan".to_owned(),
            name: name.to_owned(),
            verdict: Verdict::Passed,
            commands: Vec::new(),
        };
        let judged = [
            (result("A"), Judgement::Passed),
            (
                result("B | x"),
                Judgement::Cannot(Category::Debug, "DEBUG JMAP".to_owned()),
            ),
            (result("C"), Judgement::Broken("ERR".to_owned())),
            (result("D"), Judgement::NotRun("external".to_owned())),
        ];
        let page = page(&judged, &["unit/scan".to_owned()], "Redis 7.0.15");
        assert!(
            page.contains("| `unit/scan` | 4 | 1 | 1 | 1 | 1 |\n| all | 4 | 1 | 1 | 1 | 1 |"),
            "{page}"
        );
        assert!(page.contains("## debug (1)"), "{page}");
        assert!(page.contains("| B \\| x | `unit/scan` | DEBUG JMAP |"), "{page}");
        assert!(page.contains("## Missing (1)"), "{page}");
        assert!(page.contains("| C | `unit/scan` | ERR |"), "{page}");

        let units = ["unit/scan".to_owned()];
        let old = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = with_summary(&old, &judged, &units).expect("both marks are there");
        assert!(new.starts_with("before\n") && new.ends_with("\nafter\n"), "{new}");
        assert!(
            !new.contains("old") && new.contains("| debug | 1 | The test looks"),
            "{new}"
        );
        assert_eq!(with_summary(&new, &judged, &units).expect("the marks stay"), new);
        assert!(with_summary("no marks", &judged, &units).is_err());
    }
}
