//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, each for a while. Needs a C++ compiler for libFuzzer; cargo-fuzz
//! is installed into `target/tools` when it is missing. What a target finds stays in `fuzz/artifacts`, as a regression.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

const VERSION: &str = "0.13.2";

/// Which targets, and for how long.
#[derive(Args)]
pub struct Options {
    /// Targets; all of them if none is named.
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs the targets one after another; the first finding ends the run.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let tools = root.join("target/tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        let mut install = Command::new("cargo");
        install
            .args(["install", "cargo-fuzz", "--locked", "--version", VERSION, "--root"])
            .arg(&tools);
        ensure_success(&mut install)?;
    }
    let targets = if options.targets.is_empty() {
        all_targets(root)?
    } else {
        options.targets.clone()
    };
    for target in &targets {
        println!("== {target}: {} s", options.seconds);
        let mut fuzz = Command::new(&program);
        fuzz.current_dir(root)
            // The sanitizer's flags are unstable; the code is the same.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", target, "--"])
            .arg(format!("-max_total_time={}", options.seconds))
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        ensure_success(&mut fuzz)?;
    }
    println!(
        "fuzz: {} targets, {} s each, nothing found",
        targets.len(),
        options.seconds
    );
    Ok(())
}

fn all_targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root.join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let Some(stem) = path
            .file_stem()
            .filter(|_| path.extension().is_some_and(|ending| ending == "rs"))
        {
            targets.push(stem.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

fn ensure_success(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
