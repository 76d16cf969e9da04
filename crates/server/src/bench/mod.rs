//! `torc bench`: load over RESP or HTTP, and what came of it.
//!
//! Light on purpose, since it shares the machine with the server it measures: one epoll loop a thread, one write a batch,
//! replies judged in place, no allocation per operation. A failed operation is counted by kind and never ends the run.

mod args;
mod connection;
mod disk;
mod http;
mod keys;
mod mix;
mod phase;
mod plot;
mod process;
mod progress;
mod protocol;
mod random;
mod recorder;
mod report;
mod resp;
mod scatter;
mod schedule;
mod source;
mod value;
mod worker;
mod zipf;

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

pub use args::BenchArgs;

use http::Http;
use keys::KeyChooser;
use phase::{End, Phase};
use protocol::Protocol;
use random::Random;
use recorder::Recorder;
use report::{Report, Setup};
use resp::Resp;
use source::Work;
use value::Values;

/// How long the first attempt to reach any node may take.
const FIRST_CONNECT: Duration = Duration::from_secs(3);

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Runs `torc bench`, over HTTP against `addr` unless told otherwise: exit code 0 if any operation succeeded, 1 if none did or
/// nothing answers, 2 for bad usage.
pub fn run(mut args: BenchArgs, addr: &str) -> anyhow::Result<ExitCode> {
    if args.resp.is_empty() && args.http.is_empty() {
        args.http.push(addr.to_owned());
    }
    let problems = args.problems();
    if !problems.is_empty() {
        for problem in problems {
            eprintln!("torc bench: {problem}");
        }
        return Ok(ExitCode::from(BAD_USAGE));
    }
    let addresses = match args.addresses() {
        Ok(addresses) => addresses,
        Err(problem) => {
            eprintln!("torc bench: {problem}");
            return Ok(ExitCode::from(BAD_USAGE));
        }
    };
    let disk = args.fsync_dir.as_deref().map(disk::measure).transpose()?;
    for pid in &args.server_pid {
        process::cpu_of(*pid).with_context(|| format!("--server-pid {pid}"))?;
    }
    reach_any(&addresses)?;
    let prefix = args.key_prefix.as_bytes();
    let (report, recorder) = if args.resp.is_empty() {
        let bucket = args.bucket.as_deref().unwrap_or("redis");
        let query = |name: &str, value: &Option<String>| {
            let quorum = value.as_ref().map(|value| format!("{name}={value}"));
            let strict = args.strict.then(|| "strict=true".to_owned());
            quorum.into_iter().chain(strict).collect::<Vec<_>>().join("&")
        };
        let http = Http::new(
            prefix,
            bucket,
            &query("r", &args.r),
            &query("w", &args.w),
            &args.http[0],
        );
        run_protocol(&args, &http, &addresses, disk)?
    } else {
        let quorums = args.r.as_deref().zip(args.w.as_deref());
        let resp = Resp::new(prefix, args.bucket.as_deref(), args.database, quorums);
        run_protocol(&args, &resp, &addresses, disk)?
    };
    if let Some(path) = &args.svg {
        let title = if args.label.is_empty() {
            "torc bench"
        } else {
            &args.label
        };
        let picture = plot::draw(title, &report.setup.line(), &recorder);
        std::fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(if recorder.completed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

/// Fails if no node can be reached at all; later losses are counted, not fatal.
fn reach_any(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let mut last_error = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, FIRST_CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => last_error = Some((address, error)),
        }
    }
    match last_error {
        Some((address, error)) => anyhow::bail!("cannot connect to {address}: {error}; is the server running there?"),
        None => anyhow::bail!("no node is named"),
    }
}

fn run_protocol<P: Protocol>(
    args: &BenchArgs,
    protocol: &P,
    addresses: &[SocketAddr],
    disk: Option<disk::Disk>,
) -> anyhow::Result<(Report, Recorder)> {
    let mut random = Random::new(args.seed);
    let values = if args.value_random_json {
        Values::json(args.value_size, &mut random)
    } else {
        Values::letters(args.value_size, &mut random)
    };
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        setup: Setup::of(args),
        disk,
        load: None,
        run: None,
    };
    let phase = |name, work, keys, end| Phase {
        name,
        protocol,
        addresses,
        work,
        keys,
        values: &values,
        connections: args.connections,
        threads: args.threads,
        pipeline: args.pipeline,
        rate: args.rate,
        warm_up: Duration::from_secs_f64(args.warm_up),
        end,
        timeout: Duration::from_millis(args.timeout_ms),
        seed: args.seed,
        server_pids: &args.server_pid,
    };
    if args.load || args.load_only {
        let fill = phase("load", Work::Fill, 0, End::Operations(args.keys));
        // Closed loop and in batches, whatever the measurement is: the fill should be over soon.
        let fill = Phase {
            pipeline: args.pipeline.max(16),
            rate: None,
            warm_up: Duration::ZERO,
            ..fill
        };
        let (recorder, measured) = fill.run()?;
        report.load = Some(measured);
        if args.load_only {
            return Ok((report, recorder));
        }
    }
    let end = args
        .requests
        .map_or(End::After(Duration::from_secs_f64(args.duration)), End::Operations);
    let work = Work::Mixed(args.mix, KeyChooser::new(args.distribution(), args.keys));
    let (recorder, measured) = phase("run", work, args.keys, end).run()?;
    report.run = Some(measured);
    Ok((report, recorder))
}
