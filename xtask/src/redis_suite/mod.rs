//! `cargo xtask redis-suite`: units of Redis's own test suite against a Torc cluster, or any server that speaks RESP.
//!
//! The suite comes from Debian's source package when it is run; none of its code is kept here. A test passes, or
//! `xtask/redis-suite.toml` says why it can't; anything else fails the run.

mod cluster;
mod drive;
mod expectations;
mod report;
mod table;

use std::path::Path;

use anyhow::{Context, bail};

use crate::packages::{self, Program};
use crate::redis_suite::cluster::Cluster;
use crate::redis_suite::drive::Address;
use crate::redis_suite::expectations::{Expectations, Judgement};
use crate::redis_suite::report::TestResult;

/// What to run, against what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Host of a running server.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Redis port of a running server, which will be emptied; without it a cluster of three nodes is started.
    #[arg(long)]
    port: Option<u16>,
    /// Units to run instead of all that the expectations name.
    #[arg(long = "unit")]
    units: Vec<String>,
    /// Write neither docs/redis-suite.md nor the tables in docs/redis.md (for servers other than Torc).
    #[arg(long)]
    no_page: bool,
}

/// Runs the suite.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let expectations = Expectations::read(&root.join("xtask/redis-suite.toml"))?;
    let all_units: Vec<String> = expectations.tests_minimum.keys().cloned().collect();
    let units = if options.units.is_empty() {
        &all_units
    } else {
        &options.units
    };
    packages::ensure(&[Program {
        command: "tclsh",
        package: "tcl",
    }])?;
    let folder = root.join("target/redis-suite");
    std::fs::create_dir_all(&folder)?;
    let source = packages::unpack_source("redis", &folder)?;
    let redis = format!("Redis {}", version(&source)?);

    let (cluster, address) = match options.port {
        Some(port) => (
            None,
            Address {
                host: options.host.clone(),
                port,
            },
        ),
        None => {
            let cluster = Cluster::start(root)?;
            let address = cluster.address.clone();
            (Some(cluster), address)
        }
    };
    let mut judged: Vec<(TestResult, Judgement)> = Vec::new();
    let mut complaints = Vec::new();
    for unit in units {
        let report = drive::unit(&source, &folder, unit, &address)?;
        for failure in &report.setup_failures {
            println!("  {unit}: preparation failed: {failure}");
        }
        let minimum = expectations.tests_minimum.get(unit).copied().unwrap_or(1);
        if report.results.len() < minimum {
            complaints.push(format!(
                "{unit}: {} tests judged, {minimum} are expected",
                report.results.len()
            ));
        }
        if !report.done {
            complaints.push(format!("{unit}: stopped before its end"));
        }
        println!("{unit}: {} tests judged", report.results.len());
        judged.extend(report.results.into_iter().map(|result| {
            let judgement = expectations.judge(&result);
            (result, judgement)
        }));
    }
    drop(cluster);
    for (result, judgement) in &judged {
        match judgement {
            Judgement::Broken(message) => {
                complaints.push(format!("{}: `{}` failed: {message}", result.unit, result.name));
                println!("{}", expectations.propose(result, message));
            }
            Judgement::PassedAfterAll => {
                println!("note: {}: `{}` passes; its exception can go", result.unit, result.name);
            }
            Judgement::Passed | Judgement::Cannot(..) | Judgement::NotRun(_) => {}
        }
    }
    let results: Vec<TestResult> = judged.iter().map(|(result, _)| result.clone()).collect();
    for exception in expectations.unknown(&results, units) {
        complaints.push(format!(
            "{}: there is no test `{}`; correct its exception",
            exception.unit, exception.test
        ));
    }
    if !options.no_page {
        if *units == all_units {
            std::fs::write(root.join("docs/redis-suite.md"), table::page(&judged, units, &redis))?;
            let summary = root.join("docs/redis.md");
            let page = std::fs::read_to_string(&summary)?;
            std::fs::write(&summary, table::with_summary(&page, &judged, units)?)?;
        } else {
            println!("the pages in docs/ stay as they are: they are written when all units are run");
        }
    }
    let count = |wanted: fn(&Judgement) -> bool| judged.iter().filter(|(_, judgement)| wanted(judgement)).count();
    println!(
        "redis-suite: {redis}: {} tests, {} passed, {} can't, {} not run, {} complaints",
        judged.len(),
        count(|judgement| matches!(judgement, Judgement::Passed | Judgement::PassedAfterAll)),
        count(|judgement| matches!(judgement, Judgement::Cannot(..))),
        count(|judgement| matches!(judgement, Judgement::NotRun(_))),
        complaints.len()
    );
    if !complaints.is_empty() {
        bail!(
            "the suite and xtask/redis-suite.toml disagree:\n  {}",
            complaints.join("\n  ")
        );
    }
    Ok(())
}

/// The version of the unpacked Redis.
fn version(source: &Path) -> anyhow::Result<String> {
    let header = std::fs::read_to_string(source.join("src/version.h")).context("the source has no src/version.h")?;
    let define = header
        .lines()
        .find_map(|line| line.strip_prefix("#define REDIS_VERSION "));
    Ok(define
        .context("src/version.h names no version")?
        .trim()
        .trim_matches('"')
        .to_owned())
}
