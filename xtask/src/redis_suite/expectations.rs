//! What is expected of each test: to pass, unless `xtask/redis-suite.toml` says why it can't.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::redis_suite::report::{TestResult, Verdict};

/// Why a test can't pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// It needs what only agreement gives; an available bucket refuses it.
    NeedsAgreement,
    /// It uses a command or type that is no part of Torc.
    NotInContract,
    /// It sets or reads a setting of Redis's own.
    Config,
    /// It looks into Redis with DEBUG.
    Debug,
    /// It uses numbered databases.
    MultiDb,
    /// It asks how Redis lays a value out in memory.
    Encoding,
    /// It exceeds a limit that Torc sets on purpose.
    Limit,
    /// It watches replication or the append-only file.
    Persistence,
    /// Its expectation holds in one process and not on a cluster.
    Cluster,
    /// It should pass and does not yet.
    Missing,
}

impl Category {
    /// The name in the file and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Category::NeedsAgreement => "needs-agreement",
            Category::NotInContract => "not-in-contract",
            Category::Config => "config",
            Category::Debug => "debug",
            Category::MultiDb => "multi-db",
            Category::Encoding => "encoding",
            Category::Limit => "limit",
            Category::Persistence => "persistence",
            Category::Cluster => "cluster",
            Category::Missing => "missing",
        }
    }
}

/// A test that can't pass.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// `unit/type/string`.
    pub unit: String,
    /// The test's name.
    pub test: String,
    /// The kind of reason.
    pub category: Category,
    /// The reason.
    pub reason: String,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// How many tests each unit has at least: fewer verdicts mean that some were never reached.
    pub tests_minimum: BTreeMap<String, usize>,
    /// Commands that Torc does not have in an available bucket, with their category; only used to propose exceptions.
    #[serde(default)]
    pub commands_outside: BTreeMap<String, Category>,
    /// Tests that can't pass.
    #[serde(default)]
    pub exception: Vec<Exception>,
}

/// How a verdict stands to what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It passed.
    Passed,
    /// It passed although an exception says that it can't: the exception should go.
    PassedAfterAll,
    /// It failed for a known reason.
    Cannot(Category, String),
    /// The suite does not run it against an external server.
    NotRun(String),
    /// It failed and should not have.
    Broken(String),
}

impl Expectations {
    /// Reads the file.
    pub fn read(file: &Path) -> anyhow::Result<Expectations> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        toml::from_str(&text).with_context(|| file.display().to_string())
    }

    /// Judges one result.
    pub fn judge(&self, result: &TestResult) -> Judgement {
        let is_for = |exception: &&Exception| exception.unit == result.unit && exception.test == result.name;
        let exception = self.exception.iter().find(is_for);
        match (&result.verdict, exception) {
            (Verdict::Passed, None) => Judgement::Passed,
            (Verdict::Passed, Some(_)) => Judgement::PassedAfterAll,
            (Verdict::NotRun(reason), _) => Judgement::NotRun(reason.clone()),
            (Verdict::Failed(_) | Verdict::Hung, Some(exception)) => {
                Judgement::Cannot(exception.category, exception.reason.clone())
            }
            (Verdict::Failed(message), None) => Judgement::Broken(message.clone()),
            (Verdict::Hung, None) => Judgement::Broken("no answer in time".to_owned()),
        }
    }

    /// Exceptions for tests that are no part of any unit run: misspelt, or gone with a newer Redis.
    pub fn unknown<'a>(&'a self, results: &[TestResult], units: &[String]) -> Vec<&'a Exception> {
        let known = |e: &Exception| {
            results
                .iter()
                .any(|result| result.unit == e.unit && result.name == e.test)
        };
        self.exception
            .iter()
            .filter(|e| units.contains(&e.unit) && !known(e))
            .collect()
    }

    /// An entry for the file, for a person to check: the category follows from the commands that the test sent.
    pub fn propose(&self, result: &TestResult, message: &str) -> String {
        let outside = |command: &String| {
            let first_word = command.split(' ').next().unwrap_or(command);
            let category = self
                .commands_outside
                .get(command)
                .or_else(|| self.commands_outside.get(first_word));
            category.map(|category| (command.clone(), *category))
        };
        let (category, reason) = match result.commands.iter().find_map(outside) {
            Some((command, category)) => (category, format!("sends {command}")),
            None => (Category::Missing, message.to_owned()),
        };
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        format!(
            "[[exception]]\nunit = {}\ntest = {}\ncategory = {}\nreason = {}\n",
            quote(&result.unit),
            quote(&result.name),
            quote(category.name()),
            quote(&reason)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectations() -> Expectations {
        toml::from_str(
            "[tests_minimum]\n\"unit/scan\" = 1\n[commands_outside]\nINCR = \"needs-agreement\"\n\"SET NX\" = \"needs-agreement\"\n\
             [[exception]]\nunit = \"unit/scan\"\ntest = \"A\"\ncategory = \"debug\"\nreason = \"DEBUG JMAP\"\n",
        )
        .expect("the file is well formed")
    }

    fn result(name: &str, verdict: Verdict, commands: &[&str]) -> TestResult {
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        TestResult {
            unit: "unit/scan".to_owned(),
            name: name.to_owned(),
            verdict,
            commands,
        }
    }

    #[test]
    fn a_failure_without_a_reason_is_broken_and_one_with_a_reason_is_not() {
        let failed = || Verdict::Failed("ERR".to_owned());
        let expectations = expectations();
        assert_eq!(
            expectations.judge(&result("B", failed(), &[])),
            Judgement::Broken("ERR".to_owned())
        );
        let cannot = Judgement::Cannot(Category::Debug, "DEBUG JMAP".to_owned());
        assert_eq!(expectations.judge(&result("A", failed(), &[])), cannot);
        assert_eq!(expectations.judge(&result("A", Verdict::Hung, &[])), cannot);
        assert_eq!(
            expectations.judge(&result("A", Verdict::Passed, &[])),
            Judgement::PassedAfterAll
        );
        assert_eq!(
            expectations.judge(&result("B", Verdict::Passed, &[])),
            Judgement::Passed
        );
    }

    #[test]
    fn exceptions_for_tests_that_do_not_exist_are_found() {
        let units = ["unit/scan".to_owned()];
        assert_eq!(
            expectations()
                .unknown(&[result("B", Verdict::Passed, &[])], &units)
                .len(),
            1
        );
        assert_eq!(
            expectations()
                .unknown(&[result("A", Verdict::Passed, &[])], &units)
                .len(),
            0
        );
        assert_eq!(expectations().unknown(&[], &["unit/expire".to_owned()]).len(), 0);
    }

    #[test]
    fn a_proposal_takes_its_category_from_the_commands_sent() {
        let failed = result("B \"q\"", Verdict::Failed("x".to_owned()), &["GET", "SET NX"]);
        let text = format!("[tests_minimum]\n{}", expectations().propose(&failed, "x"));
        let read: Expectations = toml::from_str(&text).expect("a proposal is an entry of the file");
        assert_eq!(
            (read.exception[0].category, read.exception[0].test.as_str()),
            (Category::NeedsAgreement, "B \"q\"")
        );
        let unexplained = result("C", Verdict::Failed("x".to_owned()), &["GET"]);
        assert!(expectations().propose(&unexplained, "x").contains("missing"));
    }
}
