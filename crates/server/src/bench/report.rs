//! The result of a run: the JSON shape and the table for people.
//!
//! Latencies are in microseconds. An operation's latency counts if it was due inside the measured time; `operations` are
//! those completed inside it. In the JSON nothing is left out: what does not apply is `null`.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::BenchArgs;
use super::disk::Disk;
use super::keys::Distribution;
use super::mix::{Kind, Mix};
use super::process::Cpu;
use super::recorder::Recorder;

/// Latencies of one kind of operation, in microseconds.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub count: u64,
    pub min_us: f64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub p99_99_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// A summary, or `None` of nothing.
    pub fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Latency {
            count: histogram.len(),
            min_us: histogram.min() as f64 / 1e3,
            mean_us: (histogram.mean()).round() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: histogram.max() as f64 / 1e3,
        })
    }
}

/// Latencies by kind; a kind that did not occur is `null`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Latencies {
    pub all: Option<Latency>,
    pub get: Option<Latency>,
    pub set: Option<Latency>,
    pub insert: Option<Latency>,
    pub rmw: Option<Latency>,
}

/// One kind of error.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    /// The RESP error prefix, the HTTP status and error code, or what happened to the connection.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The text of the first one.
    pub sample: String,
}

/// Operations over time.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// Seconds of one bin.
    pub bin_seconds: f64,
    /// Completed operations of each bin.
    pub completed: Vec<u64>,
    /// Failed operations of each bin.
    pub failed: Vec<u64>,
}

/// CPU time that was used during the measured time.
#[derive(Debug, Clone, Serialize)]
pub struct CpuReport {
    /// In total.
    pub cpu: Cpu,
    /// For one completed operation, in microseconds; `null` if none completed.
    pub cpu_us_per_operation: Option<f64>,
}

/// One server process.
#[derive(Debug, Clone, Serialize)]
pub struct ServerProcess {
    /// The process.
    pub pid: u32,
    /// What it used.
    pub cpu: Cpu,
    /// The most memory it ever had resident.
    pub peak_memory_bytes: u64,
}

/// The server processes that were watched.
#[derive(Debug, Clone, Serialize)]
pub struct ServerReport {
    /// All of them together.
    #[serde(flatten)]
    pub total: CpuReport,
    /// Each.
    pub processes: Vec<ServerProcess>,
}

/// How the run was asked for.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Setup {
    pub label: String,
    pub protocol: &'static str,
    pub targets: Vec<String>,
    pub bucket: Option<String>,
    pub mix: Mix,
    pub distribution: Distribution,
    pub keys: u64,
    pub value_bytes: usize,
    pub value_kind: &'static str,
    pub connections: usize,
    pub threads: usize,
    pub pipeline: usize,
    pub rate: Option<f64>,
    pub r: Option<String>,
    pub w: Option<String>,
    pub strict: bool,
    pub warm_up_seconds: f64,
    pub duration_seconds: Option<f64>,
    pub requests: Option<u64>,
    pub timeout_ms: u64,
    pub seed: u64,
}

impl Setup {
    /// The setup that arguments describe.
    pub fn of(args: &BenchArgs) -> Setup {
        Setup {
            label: args.label.clone(),
            protocol: if args.resp.is_empty() { "http" } else { "resp" },
            targets: args.resp.iter().chain(&args.http).cloned().collect(),
            bucket: args.bucket.clone(),
            mix: args.mix,
            distribution: args.distribution(),
            keys: args.keys,
            value_bytes: args.value_size,
            value_kind: if args.value_random_json { "json" } else { "letters" },
            connections: args.connections,
            threads: args.threads,
            pipeline: args.pipeline,
            rate: args.rate,
            r: args.r.clone(),
            w: args.w.clone(),
            strict: args.strict,
            warm_up_seconds: args.warm_up,
            duration_seconds: args.requests.is_none().then_some(args.duration),
            requests: args.requests,
            timeout_ms: args.timeout_ms,
            seed: args.seed,
        }
    }

    /// One line for tables and plots.
    pub fn line(&self) -> String {
        let mix = serde_json::to_value(self.mix)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default();
        let distribution = format!("{:?}", self.distribution).to_lowercase();
        let mut line = format!(
            "{} over {} to {} · {} keys of {} B, {distribution} · {} connections, P={}",
            mix,
            self.protocol.to_uppercase(),
            self.targets.join(", "),
            self.keys,
            self.value_bytes,
            self.connections,
            self.pipeline,
        );
        match self.rate {
            Some(rate) => {
                let _ = write!(line, " · open loop, {} operations/s", thousands(rate.round() as u64));
            }
            None => line.push_str(" · closed loop"),
        }
        line
    }
}

/// The measured part, or the fill.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Measured {
    pub seconds: f64,
    pub operations: u64,
    pub operations_per_second: f64,
    pub failed: u64,
    /// Reads that found no key; they are operations, too.
    pub missing: u64,
    /// Open loop: operations that were due but not sent by the end; their latency counts as their age then.
    pub backlog: u64,
    pub reconnects: u64,
    pub latency: Latencies,
    pub failure_latency: Option<Latency>,
    pub errors: Vec<ErrorReport>,
    pub series: Series,
    pub client: CpuReport,
    pub server: Option<ServerReport>,
}

impl Measured {
    /// Sums up a phase that measured `seconds`.
    pub fn of(recorder: &Recorder, seconds: f64, client: Cpu, processes: Vec<ServerProcess>) -> Measured {
        let mut all = Histogram::new_from(&recorder.latencies[0]);
        for histogram in &recorder.latencies {
            all.add(histogram).expect("all histograms have the same bounds");
        }
        let per_operation = |cpu: &Cpu| {
            (recorder.completed > 0).then(|| (cpu.seconds() * 1e9 / recorder.completed as f64).round() / 1e3)
        };
        let of = |kind: Kind| Latency::of(&recorder.latencies[kind as usize]);
        let server = (!processes.is_empty()).then(|| {
            let cpu = processes.iter().fold(Cpu::default(), |sum, process| Cpu {
                user_seconds: sum.user_seconds + process.cpu.user_seconds,
                system_seconds: sum.system_seconds + process.cpu.system_seconds,
            });
            ServerReport {
                total: CpuReport {
                    cpu,
                    cpu_us_per_operation: per_operation(&cpu),
                },
                processes,
            }
        });
        let mut errors: Vec<ErrorReport> = recorder
            .errors
            .iter()
            .map(|(kind, error)| ErrorReport {
                kind: kind.clone(),
                count: error.count,
                sample: error.sample.clone(),
            })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        Measured {
            seconds,
            operations: recorder.completed,
            operations_per_second: (recorder.completed as f64 / seconds * 10.0).round() / 10.0,
            failed: recorder.failed,
            missing: recorder.missing,
            backlog: recorder.backlog,
            reconnects: recorder.reconnects,
            latency: Latencies {
                all: Latency::of(&all),
                get: of(Kind::Get),
                set: of(Kind::Set),
                insert: of(Kind::Insert),
                rmw: of(Kind::Rmw),
            },
            failure_latency: Latency::of(&recorder.failures),
            errors,
            series: Series {
                bin_seconds: recorder.window.bin_ns as f64 / 1e9,
                completed: recorder.bins.iter().map(|bin| bin.completed).collect(),
                failed: recorder.bins.iter().map(|bin| bin.failed).collect(),
            },
            client: CpuReport {
                cpu: client,
                cpu_us_per_operation: per_operation(&client),
            },
            server,
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which version of torc generated the load.
    pub version: &'static str,
    /// What was asked for.
    pub setup: Setup,
    /// The disk named by `--fsync-dir`.
    pub disk: Option<Disk>,
    /// The fill, if one was asked for.
    pub load: Option<Measured>,
    /// The measurement; `null` with `--load-only`.
    pub run: Option<Measured>,
}

impl Report {
    /// The report as a person reads it.
    pub fn table(&self) -> String {
        let mut text = String::new();
        if !self.setup.label.is_empty() {
            let _ = writeln!(text, "{}", self.setup.label);
        }
        let _ = writeln!(text, "{}", self.setup.line());
        if let Some(disk) = &self.disk {
            let _ = writeln!(
                text,
                "disk: {} on {}, {} fdatasync/s (p50 {}, p99 {})",
                disk.directory.display(),
                disk.file_system,
                thousands(disk.fdatasync_per_second as u64),
                duration(disk.fdatasync_p50_us),
                duration(disk.fdatasync_p99_us),
            );
        }
        if let Some(load) = &self.load {
            let _ = writeln!(
                text,
                "load: {} keys in {:.1} s, {} operations/s, {} failed",
                thousands(load.operations),
                load.seconds,
                thousands(load.operations_per_second as u64),
                thousands(load.failed),
            );
            append_errors(&mut text, &load.errors);
        }
        if let Some(run) = &self.run {
            append_measured(&mut text, run);
        }
        text
    }
}

fn append_measured(text: &mut String, run: &Measured) {
    let _ = writeln!(
        text,
        "{} operations in {:.2} s: {} operations/s",
        thousands(run.operations),
        run.seconds,
        thousands(run.operations_per_second as u64)
    );
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "latency", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max",
    ]);
    let Latencies {
        all,
        get,
        set,
        insert,
        rmw,
    } = &run.latency;
    for (name, latency) in [
        ("get", get),
        ("set", set),
        ("insert", insert),
        ("rmw", rmw),
        ("all", all),
        ("failed", &run.failure_latency),
    ] {
        if let Some(latency) = latency {
            let Latency {
                count,
                min_us,
                mean_us,
                p50_us,
                p90_us,
                p99_us,
                p99_9_us,
                p99_99_us,
                max_us,
            } = *latency;
            let mut row = vec![name.to_owned(), thousands(count)];
            row.extend([min_us, mean_us, p50_us, p90_us, p99_us, p99_9_us, p99_99_us, max_us].map(duration));
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{table}");
    let _ = writeln!(
        text,
        "client: {:.2} s CPU{}",
        run.client.cpu.seconds(),
        run.client
            .cpu_us_per_operation
            .map(|us| format!(", {us:.2} µs an operation"))
            .unwrap_or_default()
    );
    if let Some(server) = &run.server {
        let peak: u64 = server.processes.iter().map(|process| process.peak_memory_bytes).sum();
        let _ = writeln!(
            text,
            "server: {:.2} s CPU{}, peak memory {:.1} MiB",
            server.total.cpu.seconds(),
            server
                .total
                .cpu_us_per_operation
                .map(|us| format!(", {us:.2} µs an operation"))
                .unwrap_or_default(),
            peak as f64 / f64::from(1 << 20),
        );
    }
    if run.missing > 0 {
        let _ = writeln!(
            text,
            "{} reads found no key (--load writes all keys first)",
            thousands(run.missing)
        );
    }
    if run.backlog > 0 {
        let _ = writeln!(
            text,
            "{} operations were due but could not be sent before the end: the rate is not sustained",
            thousands(run.backlog)
        );
    }
    if run.reconnects > 0 {
        let _ = writeln!(text, "{} reconnects", thousands(run.reconnects));
    }
    let _ = writeln!(text, "{} failed", thousands(run.failed));
    append_errors(text, &run.errors);
}

fn append_errors(text: &mut String, errors: &[ErrorReport]) {
    for error in errors {
        let _ = writeln!(text, "  {} × {}: {}", thousands(error.count), error.kind, error.sample);
    }
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in the unit that suits them.
pub fn duration(microseconds: f64) -> String {
    let (value, unit) = if microseconds < 1_000.0 {
        (microseconds, "µs")
    } else if microseconds < 1_000_000.0 {
        (microseconds / 1e3, "ms")
    } else {
        (microseconds / 1e6, "s")
    };
    if value >= 100.0 {
        format!("{value:.0} {unit}")
    } else if value >= 10.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix::Kind;
    use super::super::process::Cpu;
    use super::super::recorder::{Recorder, Window};
    use super::{Measured, ServerProcess, duration, thousands};

    fn recorded() -> Recorder {
        let mut recorder = Recorder::new(Window {
            start_ns: 0,
            end_ns: 2_000_000_000,
            bin_ns: 1_000_000_000,
        });
        for index in 1..=1_000u64 {
            recorder.complete(Kind::Get, 0, index * 1_000_000);
        }
        recorder.complete(Kind::Set, 1_000_000_000, 1_000_050_000);
        recorder.fail("timeout", b"no answer", 0, 1_500_000_000);
        recorder
    }

    #[test]
    fn the_json_has_every_member_that_readers_rely_on() {
        let process = ServerProcess {
            pid: 7,
            cpu: Cpu {
                user_seconds: 0.5,
                system_seconds: 0.5,
            },
            peak_memory_bytes: 1 << 20,
        };
        let measured = Measured::of(
            &recorded(),
            2.0,
            Cpu {
                user_seconds: 1.001,
                system_seconds: 0.0,
            },
            vec![process],
        );
        let json = serde_json::to_value(&measured).expect("serializes");
        assert_eq!(json["operations"], 1_001);
        assert_eq!(json["operations_per_second"], 500.5);
        assert_eq!(json["failed"], 1);
        for kind in ["all", "get", "set"] {
            for member in [
                "count",
                "min_us",
                "mean_us",
                "p50_us",
                "p90_us",
                "p99_us",
                "p99_9_us",
                "p99_99_us",
                "max_us",
            ] {
                assert!(json["latency"][kind][member].is_number(), "{kind}.{member} in {json}");
            }
        }
        assert!(
            json["latency"]["insert"].is_null() && json["latency"].get("rmw").is_some_and(serde_json::Value::is_null)
        );
        let median = json["latency"]["get"]["p50_us"].as_f64().expect("a number");
        assert!((median - 500_000.0).abs() < 1_000.0, "{median}");
        assert_eq!(json["errors"][0]["kind"], "timeout");
        assert_eq!(json["errors"][0]["sample"], "no answer");
        assert_eq!(json["series"]["bin_seconds"], 1.0);
        assert_eq!(json["series"]["completed"], serde_json::json!([999, 2]));
        assert_eq!(json["client"]["cpu_us_per_operation"], 1_000.0);
        assert_eq!(json["server"]["cpu_us_per_operation"], 999.001);
        assert_eq!(json["server"]["processes"][0]["peak_memory_bytes"], 1 << 20);
    }

    #[test]
    fn nothing_measured_gives_nulls_and_not_nonsense() {
        let recorder = Recorder::new(Window {
            start_ns: 0,
            end_ns: 1,
            bin_ns: 1,
        });
        let json = serde_json::to_value(Measured::of(&recorder, 1.0, Cpu::default(), Vec::new())).expect("serializes");
        assert!(json["latency"]["all"].is_null() && json["server"].is_null());
        assert!(json["client"]["cpu_us_per_operation"].is_null());
        assert_eq!(json["operations"], 0);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0.5, 12.34, 345.6, 1_500.0, 2_000_000.0].map(duration),
            ["0.50 µs", "12.3 µs", "346 µs", "1.50 ms", "2.00 s"]
        );
    }
}
