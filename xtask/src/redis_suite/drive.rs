//! Runs the driver over one unit. A test that hangs is ended and the unit run again without it, so that every other test
//! is still judged, with the state that the tests before it left behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::Context;

use crate::children;
use crate::redis_suite::report::{Line, UnitReport};

/// Redis needs 10 s for the slowest test of these units; a cluster gets more.
const TEST_TIME_MAX: Duration = Duration::from_secs(90);
/// A server that hangs in more tests than this is not worth more passes.
const HUNG_MAX: usize = 12;

const DRIVER: &str = include_str!("driver.tcl");

/// Where the server is.
#[derive(Debug, Clone)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// Port of the Redis protocol.
    pub port: u16,
}

/// Runs `unit` from the Redis source at `source` against the server; `folder` is for the driver's own files.
pub fn unit(source: &Path, folder: &Path, unit: &str, server: &Address) -> anyhow::Result<UnitReport> {
    let driver = folder.join("driver.tcl");
    let skip_file = folder.join("skip.txt");
    std::fs::write(&driver, DRIVER)?;
    let mut hung: Vec<String> = Vec::new();
    loop {
        std::fs::write(&skip_file, hung.join("\n"))?;
        let mut command = Command::new("tclsh");
        command
            .arg(&driver)
            .arg(unit)
            .arg(&server.host)
            .arg(server.port.to_string())
            .arg(&skip_file);
        let (report, stopped_in) = pass(command.current_dir(source), unit)?;
        match stopped_in {
            Some(name) if hung.len() < HUNG_MAX && !hung.contains(&name) => {
                println!("  {unit}: `{name}` got no answer; once more without it");
                hung.push(name);
            }
            Some(_) | None => return Ok(report),
        }
    }
}

/// One pass over a unit, and the test in which it stopped before its end.
fn pass(command: &mut Command, unit: &str) -> anyhow::Result<(UnitReport, Option<String>)> {
    let mut child = children::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), "tclsh")?;
    let stdout = child.stdout.take().context("the driver has a stdout")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut report = UnitReport::new(unit);
    // An error means that the driver is silent for too long, or gone.
    while let Ok(line) = lines.recv_timeout(TEST_TIME_MAX) {
        if let Some(line) = Line::parse(&line) {
            report.on_line(line);
        }
        if report.done {
            break;
        }
    }
    children::end_group(&mut child);
    let stopped_in = if report.done { None } else { report.on_hang() };
    Ok((report, stopped_in))
}
