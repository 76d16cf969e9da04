//! One run of the load generator, `torc bench`, as a process of its own; its JSON is read back.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::server::Server;

/// How the generator is run.
#[derive(Debug, Clone)]
pub struct Generator {
    /// The `torc` binary; the same for both sides.
    pub program: PathBuf,
    /// Measured seconds of one run.
    pub seconds: f64,
    /// Keys.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: u64,
    /// Where the servers' data is, for the disk's rate.
    pub directory: PathBuf,
}

/// The disk as the generator saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Disk {
    /// The directory.
    pub directory: PathBuf,
    /// Its file system.
    pub file_system: String,
    /// Appends with fdatasync of one thread in a second.
    pub fdatasync_per_second: f64,
    /// Their median.
    pub fdatasync_p50_us: f64,
    /// Their 99th percentile.
    pub fdatasync_p99_us: f64,
}

/// What one run measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// Throughput.
    pub operations_per_second: f64,
    /// Server CPU time of one operation.
    pub server_cpu_us: f64,
    /// The generator's.
    pub client_cpu_us: f64,
    /// Latency.
    pub p50_us: f64,
    /// Latency.
    pub p99_us: f64,
    /// Latency.
    pub p99_9_us: f64,
    /// Most memory of the server, ever.
    pub peak_memory_bytes: u64,
}

#[derive(Deserialize)]
struct Report {
    disk: Option<Disk>,
    load: Option<Phase>,
    run: Option<Phase>,
}

#[derive(Deserialize)]
struct Phase {
    operations: u64,
    operations_per_second: f64,
    failed: u64,
    missing: u64,
    latency: Latencies,
    errors: Vec<serde_json::Value>,
    client: Cpu,
    server: Option<ServerCpu>,
}

#[derive(Deserialize)]
struct Latencies {
    all: Option<Latency>,
}

#[derive(Deserialize)]
struct Latency {
    p50_us: f64,
    p99_us: f64,
    p99_9_us: f64,
}

#[derive(Deserialize)]
struct Cpu {
    cpu_us_per_operation: Option<f64>,
}

#[derive(Deserialize)]
struct ServerCpu {
    cpu_us_per_operation: Option<f64>,
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    peak_memory_bytes: u64,
}

impl Generator {
    /// Writes every key once; gives back the disk's rate, measured before.
    pub fn fill(&self, server: &Server) -> anyhow::Result<Disk> {
        let report = self.generate(
            &server.addresses,
            &server.pids,
            self.keys,
            &["--load-only", "--fsync-dir", &self.directory.display().to_string()],
        )?;
        let load = report.load.context("the generator reports the fill")?;
        if load.operations != self.keys {
            bail!(
                "only {} of {} keys were written: {:?}",
                load.operations,
                self.keys,
                load.errors
            );
        }
        report.disk.context("the generator reports the disk")
    }

    /// Writes as many keys of another name once, at some of the nodes.
    pub fn write_beside(&self, addresses: &[String], prefix: &str, keys: u64) -> anyhow::Result<()> {
        let report = self.generate(
            addresses,
            &[],
            keys,
            &["--load-only", "--pipeline", "16", "--key-prefix", prefix],
        )?;
        let load = report.load.context("the generator reports the writes")?;
        if load.operations != keys {
            bail!(
                "only {} of {keys} keys were written: {:?}",
                load.operations,
                load.errors
            );
        }
        Ok(())
    }

    /// Half reads, half writes at a fixed rate of operations a second, whatever the servers make of it.
    pub fn measure_at(&self, server: &Server, connections: usize, rate: u64) -> anyhow::Result<Measurement> {
        let name = format!("{rate} a second");
        self.run(
            server,
            &name,
            &[
                "--mix",
                "ycsb-a",
                "--distribution",
                "uniform",
                "--connections",
                &connections.to_string(),
                "--rate",
                &rate.to_string(),
                "--duration",
                &self.seconds.to_string(),
                "--warm-up",
                "0",
            ],
        )
    }

    /// One run of a case. A failed operation or a missing key makes the numbers worthless: an error.
    pub fn measure(&self, server: &Server, case: &Case) -> anyhow::Result<Measurement> {
        self.run(
            server,
            &case.name(),
            &[
                "--mix",
                case.operation.mix(),
                "--connections",
                &case.connections.to_string(),
                "--pipeline",
                &case.pipeline.to_string(),
                "--duration",
                &self.seconds.to_string(),
                "--warm-up",
                &(self.seconds / 3.0).to_string(),
            ],
        )
    }

    fn run(&self, server: &Server, name: &str, arguments: &[&str]) -> anyhow::Result<Measurement> {
        let report = self.generate(&server.addresses, &server.pids, self.keys, arguments)?;
        let run = report.run.context("the generator reports the run")?;
        if run.failed > 0 || run.missing > 0 {
            bail!(
                "{name}: {} operations failed, {} keys missing: {:?}",
                run.failed,
                run.missing,
                run.errors
            );
        }
        let latency = run.latency.all.with_context(|| format!("{name}: nothing was done"))?;
        let server = run.server.context("the generator watches the server")?;
        Ok(Measurement {
            operations_per_second: run.operations_per_second,
            server_cpu_us: server.cpu_us_per_operation.context("operations were done")?,
            client_cpu_us: run.client.cpu_us_per_operation.context("operations were done")?,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            p99_9_us: latency.p99_9_us,
            peak_memory_bytes: server.processes.iter().map(|process| process.peak_memory_bytes).sum(),
        })
    }

    fn generate(&self, addresses: &[String], pids: &[u32], keys: u64, arguments: &[&str]) -> anyhow::Result<Report> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let output = Command::new(&self.program)
            .args([
                "bench",
                "--json",
                "--value-size",
                &self.value_bytes.to_string(),
                "--keys",
                &keys.to_string(),
            ])
            .args(["--resp", &addresses.join(",")])
            .args(pids.iter().flat_map(|pid| ["--server-pid", pid]))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot start torc bench")?;
        if !output.status.success() {
            bail!(
                "torc bench failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_slice(&output.stdout).context("the output of torc bench")
    }
}
