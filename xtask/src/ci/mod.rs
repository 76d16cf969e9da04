//! `cargo xtask ci`: everything that must hold before a change lands, in one command.
//!
//! Steps run one after another and a failed one does not hide the next; only a missing tool stops the run. At the end no
//! process that a step started may be alive.

mod clients;
mod test_count;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::simulator::Job;
use crate::{children, packages, simulator, tidy};

pub use self::clients::prepare as prepare_clients;

const STEP_TIME_MAX: Duration = Duration::from_secs(45 * 60);
/// Seeds of the bounded sweep: about a minute on two cores.
const SWEEP_SEEDS: u32 = 1_500;
/// Seeds that each planted bug has to be caught within.
const MUTANT_SEEDS: u32 = 5_000;

/// A step: its name, and what it does; the answer is a remark for the summary.
struct Step {
    name: &'static str,
    run: fn(&Path) -> anyhow::Result<String>,
}

const STEPS: &[Step] = &[
    Step {
        name: "tools",
        run: tools,
    },
    Step { name: "fmt", run: fmt },
    Step {
        name: "tidy",
        run: tidy_step,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "docs",
        run: docs,
    },
    Step {
        name: "tests",
        run: tests,
    },
    Step {
        name: "sweep",
        run: sweep,
    },
    Step {
        name: "mutants",
        run: mutants,
    },
    Step {
        name: "deny",
        run: deny,
    },
];

/// Runs the named steps, or all of them.
pub fn run(root: &Path, only: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != name.as_str()))
    {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; the steps are: {}", names.join(", "));
    }
    children::adopt_orphans()?;
    let started = Instant::now();
    let mut failed = Vec::new();
    let mut passed = 0;
    for step in STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
    {
        println!("\n== {}", step.name);
        let step_started = Instant::now();
        let result = (step.run)(root);
        // A failed step is the likeliest to leave something behind, and must not disturb the next one.
        let result = match (result, no_survivors()) {
            (Ok(remark), Ok(())) => Ok(remark),
            (Ok(_), Err(survivors)) => Err(survivors),
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(survivors)) => Err(error.context(survivors.to_string())),
        };
        let seconds = step_started.elapsed().as_secs_f32();
        match result {
            Ok(remark) => {
                passed += 1;
                println!("== {}: ok in {seconds:.1} s{remark}", step.name);
            }
            Err(error) => {
                println!("== {}: FAILED in {seconds:.1} s: {error:#}", step.name);
                failed.push(step.name);
                if step.name == "tools" {
                    break; // Every other step would only say the same in other words.
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f32();
    println!();
    if failed.is_empty() {
        println!("ci: {passed} steps passed in {seconds:.1} s; no process left behind");
        return Ok(());
    }
    bail!(
        "ci: {passed} steps passed, {} failed in {seconds:.1} s: {}",
        failed.len(),
        failed.join(", ")
    );
}

/// Fails if a process that a step started is still alive, and ends it.
fn no_survivors() -> anyhow::Result<()> {
    let survivors = children::survivors(Duration::from_secs(5));
    if survivors.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = survivors.iter().map(|s| format!("{} ({})", s.command, s.pid)).collect();
    bail!("processes left behind, now ended: {}", list.join("; "))
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0"); // Nothing is built twice there, and it halves the target folder.
    }
    command
}

fn tools(root: &Path) -> anyhow::Result<String> {
    for component in ["rustfmt", "clippy"] {
        let subcommand = if component == "rustfmt" { "fmt" } else { "clippy" };
        let version = cargo(root)
            .args([subcommand, "--version"])
            .output()
            .context("cannot run cargo")?;
        if !version.status.success() {
            bail!("the toolchain has no {component}: rustup component add {component}");
        }
    }
    let compiler = children::ask("rustc", &["--version"]).context("cannot run rustc")?;
    let clients = clients::prepare(root)?;
    Ok(format!(": {compiler}; {clients}"))
}

fn fmt(root: &Path) -> anyhow::Result<String> {
    children::run(cargo(root).args(["fmt", "--all", "--check"]), STEP_TIME_MAX)?;
    Ok(String::new())
}

fn tidy_step(root: &Path) -> anyhow::Result<String> {
    tidy::run(root)?;
    Ok(String::new())
}

fn clippy(root: &Path) -> anyhow::Result<String> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    children::run(cargo(root).args(arguments), STEP_TIME_MAX)?;
    let fuzz_targets = [
        "clippy",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    // Nothing is linked, so libFuzzer need not be there, nor a C++ compiler to build it with.
    let mut command = cargo(root);
    command.env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a");
    children::run(command.args(fuzz_targets), STEP_TIME_MAX)?;
    Ok(String::new())
}

fn docs(root: &Path) -> anyhow::Result<String> {
    let mut command = cargo(root);
    command.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ]);
    children::run(command.env("RUSTDOCFLAGS", "-D warnings"), STEP_TIME_MAX)?;
    Ok(String::new())
}

fn tests(root: &Path) -> anyhow::Result<String> {
    let mut command = cargo(root);
    command.args(["test", "--workspace", "--profile", "fast", "--locked", "--no-fail-fast"]);
    let (output, ended) = children::run_and_read(&mut command, STEP_TIME_MAX)?;
    let count = test_count::TestCount::read(&output);
    ended.with_context(|| format!("{} tests failed", count.failed))?;
    count.check(&minimum_file(root))?;
    Ok(format!(": {} tests passed, {} ignored", count.passed, count.ignored))
}

fn minimum_file(root: &Path) -> PathBuf {
    root.join("xtask/tests_minimum.txt")
}

fn sweep(root: &Path) -> anyhow::Result<String> {
    simulator::run(root, Job::Sweep, &seeds(SWEEP_SEEDS), STEP_TIME_MAX)?;
    Ok(format!(": {SWEEP_SEEDS} seeds"))
}

fn mutants(root: &Path) -> anyhow::Result<String> {
    simulator::run(root, Job::Mutants, &seeds(MUTANT_SEEDS), STEP_TIME_MAX)?;
    Ok(format!(": each caught within {MUTANT_SEEDS} seeds"))
}

fn seeds(count: u32) -> [String; 2] {
    ["--seeds".to_owned(), count.to_string()]
}

/// Licences and sources of the dependencies. cargo-deny takes minutes to build, so CI never installs it.
fn deny(root: &Path) -> anyhow::Result<String> {
    if !packages::is_present("cargo-deny") {
        return Ok(": not run, cargo-deny is not installed (cargo install cargo-deny --locked)".to_owned());
    }
    let arguments = [
        "deny",
        "--offline",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    children::run(cargo(root).args(arguments), STEP_TIME_MAX)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_with_the_names_of_all_steps() {
        let error = run(Path::new("."), &["tests-fast".to_owned()]).expect_err("there is no such step");
        assert!(error.to_string().contains("tools, fmt, tidy"), "{error}");
    }
}
