//! The log: text on stderr for people, JSON lines in the data directory for machines.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::LogTarget;

/// Starts the log. A panic is a bug: it is logged and ends the process, so that no half-dead node goes on answering.
///
/// # Errors
/// The filter can't be read or the file can't be opened.
pub fn start(target: LogTarget, level: &str, dir: &Path) -> anyhow::Result<()> {
    // What the engine says while all is well is its own business, unless somebody asks.
    let filter = if level.contains(',') || level.contains('=') {
        level.to_owned()
    } else {
        format!("{level},fjall=warn,lsm_tree=warn")
    };
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log_level is {level}"))?;
    match target {
        LogTarget::Stderr => {
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .init();
        }
        LogTarget::File => {
            let path = dir.join("log");
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file = file.with_context(|| format!("cannot open the log {}", path.display()))?;
            tracing_subscriber::fmt()
                .json()
                .with_env_filter(filter)
                .with_writer(Mutex::new(file))
                .init();
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%text, %place, %backtrace, "panic: this is a bug; the node stops");
        eprintln!("torc: panic at {place}: {text}\n{backtrace}");
        std::process::abort();
    }));
    Ok(())
}
