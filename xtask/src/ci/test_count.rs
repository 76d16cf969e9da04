//! How many tests ran: a run that finds no tests also says "ok", so CI asks for a minimum.

use std::path::Path;

use anyhow::{Context, bail};

/// The sums over all test binaries of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TestCount {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests that were not run.
    pub ignored: u32,
}

impl TestCount {
    /// Adds up the `test result:` lines of `cargo test`.
    pub fn read(output: &str) -> TestCount {
        let mut count = TestCount::default();
        for line in output
            .lines()
            .filter_map(|line| line.trim().strip_prefix("test result:"))
        {
            for part in line.split([';', '.']) {
                match part.split_whitespace().collect::<Vec<_>>()[..] {
                    [number, "passed"] => count.passed += number.parse().unwrap_or(0),
                    [number, "failed"] => count.failed += number.parse().unwrap_or(0),
                    [number, "ignored"] => count.ignored += number.parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
        count
    }

    /// Fails if fewer tests passed than the number in the file says.
    pub fn check(&self, minimum_file: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(minimum_file).with_context(|| minimum_file.display().to_string())?;
        let minimum: u32 = text
            .trim()
            .parse()
            .with_context(|| format!("{}: one number", minimum_file.display()))?;
        if self.passed < minimum {
            let name = minimum_file.display();
            bail!(
                "{} tests passed, {minimum} are the least; if tests went on purpose, lower {name}",
                self.passed
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 2 tests\ntest a ... ok\n\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\n\
        test result: FAILED. 10 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s\n";

    #[test]
    fn the_results_of_all_binaries_are_added_up() {
        assert_eq!(
            TestCount::read(OUTPUT),
            TestCount {
                passed: 12,
                failed: 1,
                ignored: 1
            }
        );
        assert_eq!(TestCount::read("nothing ran\n"), TestCount::default());
    }

    #[test]
    fn fewer_tests_than_the_minimum_fail_the_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("minimum.txt");
        std::fs::write(&file, "13\n").expect("the folder is writable");
        let error = TestCount::read(OUTPUT).check(&file).expect_err("12 are fewer than 13");
        assert!(
            error.to_string().contains("12 tests passed, 13 are the least"),
            "{error}"
        );
        std::fs::write(&file, "12\n").expect("the folder is writable");
        TestCount::read(OUTPUT).check(&file).expect("12 are enough");
    }
}
