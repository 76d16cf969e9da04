//! Three nodes with a million keys each, of which some differ: what it costs to compare them while they are equal, to find
//! and mend a few that differ, and to serve clients while many are mended.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use super::case::Durability;
use super::load::{Generator, Measurement};
use super::server::{Kind, Server};
use super::{Bench, Results};
use crate::client::Client;

/// How many keys are made to differ, one after the other.
const DIFFERING: [u64; 4] = [10, 100, 1_000, 10_000];
/// How many differ while clients are served: enough that mending them outlasts a run.
const MANY: u64 = 100_000;
/// Operations of those clients in a second, and their connections.
const RATE: u64 = 2_000;
const CONNECTIONS: usize = 64;
/// How long nodes that have nothing to mend are watched at a time, and how often with and without anti-entropy.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PAIRS: u32 = 2;
/// What is waited for has happened by then.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Repair {
    /// Keys at each of the three nodes.
    pub keys: u64,
    /// Nothing differs.
    pub idle: Idle,
    /// Some differ.
    pub mended: Vec<Mended>,
    /// Clients, while nothing is mended.
    pub without: Vec<Measurement>,
    /// Clients, while much is.
    pub with: Vec<Foreground>,
}

/// Nodes whose copies are equal.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// Share of one core that a node takes, on average.
    pub cpu: f64,
    /// The same with anti-entropy paused.
    pub cpu_paused: f64,
    /// Bytes that a node sends to the others in a second, whatever they are for.
    pub bytes_per_second: f64,
    /// The same with anti-entropy paused.
    pub bytes_per_second_paused: f64,
}

/// Some keys were missing at one node, and were mended.
#[derive(Debug, Serialize)]
pub struct Mended {
    /// How many.
    pub differing: u64,
    /// From the end of the cut until all were.
    pub seconds: f64,
    /// Bytes between the nodes in that time, whatever they were for.
    pub bytes: u64,
    /// What idle nodes send in such a time.
    pub bytes_idle: u64,
}

/// Clients while keys are mended.
#[derive(Debug, Serialize)]
pub struct Foreground {
    /// What they saw.
    pub clients: Measurement,
    /// Keys that were mended meanwhile, in a second.
    pub mended_per_second: f64,
}

/// Measures all of it on one cluster.
pub fn measure(bench: &Bench, keys: u64, results: &mut Results) -> anyhow::Result<()> {
    let generator = Generator {
        keys,
        ..bench.generator.clone()
    };
    let folder = bench.fresh("repair")?;
    let server = Server::start(Kind::TorcDevThatFails, &bench.program, &folder, Durability::Always)?;
    let nodes = Nodes::of(&server);
    results.disks.push(generator.fill(&server)?);
    nodes.wait_until_equal()?;
    nodes.wait_until_at_rest()?;
    let idle = nodes.idle()?;
    println!(
        "idle, {keys} keys a node: {:.2} % of a core and {:.0} bytes/s a node, {:.2} % and {:.0} with anti-entropy paused",
        idle.cpu * 100.0,
        idle.bytes_per_second,
        idle.cpu_paused * 100.0,
        idle.bytes_per_second_paused
    );
    let mut mended = Vec::new();
    for differing in DIFFERING {
        nodes.make_differ(&generator, differing, &format!("missed{differing}:"))?;
        let one = nodes.mend(differing, &idle)?;
        println!(
            "{differing} of {keys} keys differ: mended in {:.1} s, {} bytes between the nodes, {} of them as when idle",
            one.seconds, one.bytes, one.bytes_idle
        );
        mended.push(one);
    }
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for pair in 0..bench.pairs {
        nodes.anti_entropy(r#"{"paused":true}"#)?;
        nodes.make_differ(&generator, MANY, &format!("many{pair}:"))?;
        let alone = generator.measure_at(&server, CONNECTIONS, RATE)?;
        let before = nodes.total("keys_repaired")?;
        nodes.anti_entropy(r#"{"paused":false,"run_now":true}"#)?;
        let started = Instant::now();
        let clients = generator.measure_at(&server, CONNECTIONS, RATE)?;
        let in_time = nodes.total("keys_repaired")? - before;
        let mended_per_second = in_time as f64 / started.elapsed().as_secs_f64();
        if in_time >= MANY {
            bail!("all {MANY} keys were mended before the clients had ended");
        }
        println!(
            "{RATE} operations/s: p99 {:.0} µs alone, {:.0} µs while {mended_per_second:.0} keys/s are mended",
            alone.p99_us, clients.p99_us
        );
        without.push(alone);
        with.push(Foreground {
            clients,
            mended_per_second,
        });
        nodes.wait_until_equal()?;
    }
    results.repair = Some(Repair {
        keys,
        idle,
        mended,
        without,
        with,
    });
    Ok(())
}

/// The three nodes, as they are told and asked over HTTP.
struct Nodes<'a> {
    server: &'a Server,
    client: Client,
}

impl<'a> Nodes<'a> {
    fn of(server: &'a Server) -> Self {
        let client = Client::new();
        Self { server, client }
    }

    fn post(&self, node: &str, path: &str, body: &str) -> anyhow::Result<()> {
        match self.client.post(&format!("http://{node}{path}"), body) {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => bail!("{node} refuses {body}: {}", answer.body),
            Err(error) => bail!("{node} does not answer: {error}"),
        }
    }

    fn get(&self, node: &str, path: &str) -> anyhow::Result<String> {
        match self.client.get(&format!("http://{node}{path}")) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => bail!("{node}{path}: {}", answer.body),
            Err(error) => bail!("{node} does not answer: {error}"),
        }
    }

    fn anti_entropy(&self, body: &str) -> anyhow::Result<()> {
        let mut nodes = self.server.http.iter();
        nodes.try_for_each(|node| self.post(node, "/v1/admin/anti_entropy", body))
    }

    /// Writes keys while the third node is cut off: nobody keeps hints for it, since all others are homes themselves.
    fn make_differ(&self, generator: &Generator, keys: u64, prefix: &str) -> anyhow::Result<()> {
        let third = self.server.http.get(2).context("three nodes")?;
        self.post(third, "/v1/faults", r#"{"cut":["n1","n2"]}"#)?;
        let written = generator.write_beside(&self.server.addresses[..2], prefix, keys);
        self.post(third, "/v1/faults", "{}")?;
        written?;
        self.wait_until_alive()
    }

    /// Waits until every node finds all others alive.
    fn wait_until_alive(&self) -> anyhow::Result<()> {
        self.wait_for_each("does not find all others alive", |node| {
            let cluster: serde_json::Value = serde_json::from_str(&self.get(node, "/v1/cluster")?)?;
            let members = cluster["nodes"].as_array().context("members")?;
            Ok(members.iter().all(|member| member["liveness"] == "alive"))
        })
    }

    fn mend(&self, differing: u64, idle: &Idle) -> anyhow::Result<Mended> {
        let (mended, bytes) = (self.total("keys_repaired")?, self.bytes_between()?);
        let started = Instant::now();
        while self.total("keys_repaired")? < mended + differing {
            if started.elapsed() > WAIT_MAX {
                bail!("{differing} keys are not mended after {} s", WAIT_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (seconds, bytes) = (started.elapsed().as_secs_f64(), self.bytes_between()? - bytes);
        self.wait_until_equal()?;
        let bytes_idle = idle.bytes_per_second * self.server.pids.len() as f64 * seconds;
        Ok(Mended {
            differing,
            seconds,
            bytes,
            bytes_idle: bytes_idle as u64,
        })
    }

    /// Waits until no other background work reads the keys that were written.
    fn wait_until_at_rest(&self) -> anyhow::Result<()> {
        self.wait_for_each("is not at rest", |node| {
            let status = self.status(node)?;
            let is_walked = status["reaping"]["walks"].as_u64() > Some(0);
            Ok(is_walked && status["scrub"]["running"] == false && status["scrub"]["ended_at"].is_string())
        })
    }

    /// Waits until every node is as it should be.
    fn wait_for_each(&self, what_if_not: &str, is_so: impl Fn(&str) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let started = Instant::now();
        for node in &self.server.http {
            while !is_so(node)? {
                if started.elapsed() > WAIT_MAX {
                    bail!("{node} {what_if_not} after {} s", WAIT_MAX.as_secs());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn idle(&self) -> anyhow::Result<Idle> {
        let mut sums = [0.0; 4];
        for _ in 0..IDLE_PAIRS {
            let (cpu, bytes) = self.watch()?;
            self.anti_entropy(r#"{"paused":true}"#)?;
            let (cpu_paused, bytes_paused) = self.watch()?;
            self.anti_entropy(r#"{"paused":false}"#)?;
            let pair = [cpu, cpu_paused, bytes, bytes_paused];
            sums.iter_mut().zip(pair).for_each(|(sum, one)| *sum += one);
        }
        let [cpu, cpu_paused, bytes_per_second, bytes_per_second_paused] = sums.map(|sum| sum / f64::from(IDLE_PAIRS));
        Ok(Idle {
            cpu,
            cpu_paused,
            bytes_per_second,
            bytes_per_second_paused,
        })
    }

    /// Share of a core and bytes a second of one node, on average.
    fn watch(&self) -> anyhow::Result<(f64, f64)> {
        let (cpu, bytes, started) = (self.cpu_seconds()?, self.bytes_between()?, Instant::now());
        std::thread::sleep(IDLE);
        let node_seconds = started.elapsed().as_secs_f64() * self.server.pids.len() as f64;
        Ok((
            (self.cpu_seconds()? - cpu) / node_seconds,
            (self.bytes_between()? - bytes) as f64 / node_seconds,
        ))
    }

    /// Waits until a whole round of comparisons of every node has found nothing.
    fn wait_until_equal(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let (mut mended, mut since) = (self.total("keys_repaired")?, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.total("keys_repaired")?;
            if now != mended || self.is_counting_or_dirty()? {
                (mended, since) = (now, Instant::now());
            }
            if since.elapsed() > Duration::from_secs(12) {
                return Ok(());
            }
            if started.elapsed() > WAIT_MAX {
                bail!("the nodes are not equal after {} s", WAIT_MAX.as_secs());
            }
        }
    }

    fn status(&self, node: &str) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.get(node, "/v1/status")?)?)
    }

    fn is_counting_or_dirty(&self) -> anyhow::Result<bool> {
        for node in &self.server.http {
            let status = self.status(node)?;
            let trees = &status["anti_entropy"];
            if trees["trees"] != trees["trees_counted"] || status["dirty_ranges"] != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A number of `anti_entropy` in the status, of all nodes together.
    fn total(&self, name: &str) -> anyhow::Result<u64> {
        let mut total = 0;
        for node in &self.server.http {
            let number = &self.status(node)?["anti_entropy"][name];
            total += number
                .as_u64()
                .with_context(|| format!("{name} of {node} is {number}"))?;
        }
        Ok(total)
    }

    fn bytes_between(&self) -> anyhow::Result<u64> {
        Ok(self.metric("torc_peer_bytes_total")? as u64)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.metric("torc_cpu_seconds_total")
    }

    /// A metric, of all nodes together.
    fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for node in &self.server.http {
            total += sum_of(&self.get(node, "/metrics")?, name).with_context(|| format!("{node} has no {name}"))?;
        }
        Ok(total)
    }
}

/// All series of a metric together; `None` if there are none.
fn sum_of(exposition: &str, metric: &str) -> Option<f64> {
    let values = exposition.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let is_series = rest.starts_with('{') || rest.starts_with(' ');
        is_series.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.reduce(|total, value| total + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_series_of_a_metric_and_no_other_are_added() {
        let exposition = "# TYPE a counter\na_total{peer=\"n1\"} 3\na_total{peer=\"n 2\"} 4.5\na_total_more 100\n";
        let total = sum_of(exposition, "a_total").expect("it is there");
        assert!((total - 7.5).abs() < 1e-9);
        assert_eq!(sum_of(exposition, "a_to"), None);
    }
}
