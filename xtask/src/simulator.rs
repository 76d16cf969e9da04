//! `cargo xtask sweep`, `repro` and `mutants`: the simulator's program, built optimised and with checks on.
//!
//! The simulator is a program of its own crate, so that a broken core never keeps `cargo xtask tidy` from building.
//! Planted bugs are compiled in for `mutants` alone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::children;

/// What the simulator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Runs many seeds and reports those that break a property.
    Sweep,
    /// Runs one seed again and prints the last steps of each node.
    Repro,
    /// Runs every planted bug until it is caught.
    Mutants,
}

/// Builds the simulator and runs the job with further arguments.
pub fn run(root: &Path, job: Job, arguments: &[String], time_max: Duration) -> anyhow::Result<()> {
    children::run(&mut command(root, job, arguments), time_max)
}

fn command(root: &Path, job: Job, arguments: &[String]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args([
        "run",
        "--quiet",
        "--locked",
        "--profile",
        "fast",
        "--package",
        "torc-sim",
    ]);
    let name = match job {
        Job::Sweep => "sweep",
        Job::Repro => "repro",
        Job::Mutants => {
            command.args(["--features", "mutants"]);
            "mutants"
        }
    };
    command.args(["--", name]).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_bugs_are_compiled_in_for_mutants_alone() {
        let words = |job| {
            let command = command(Path::new("."), job, &["--seeds".to_owned(), "3".to_owned()]);
            command
                .get_args()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(words(Job::Mutants).contains("--features mutants -- mutants --seeds 3"));
        assert!(words(Job::Sweep).ends_with("torc-sim -- sweep --seeds 3"));
        assert!(!words(Job::Repro).contains("--features"));
    }
}
