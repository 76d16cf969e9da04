//! The command line of `torc bench`, and what is wrong with it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::keys::{Distribution, KEYS_MAX};
use super::mix::Mix;

/// Generate load over the Redis protocol or HTTP and report throughput, latency percentiles and errors
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("target").args(["resp", "http"]))]
pub struct BenchArgs {
    /// Nodes to load over the Redis protocol; connections are spread over them
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub resp: Vec<String>,

    /// Nodes to load over HTTP [default: the one of --addr]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub http: Vec<String>,

    /// The bucket (HTTP: `redis` unless given; RESP: sent as TORC.USE if given)
    #[arg(long)]
    pub bucket: Option<String>,

    /// RESP: the database to SELECT
    #[arg(long, value_name = "N", conflicts_with = "http")]
    pub database: Option<u32>,

    /// The read quorum, a number or a name (RESP: sent with --w as TORC.QUORUM)
    #[arg(long)]
    pub r: Option<String>,

    /// The write quorum, a number or a name
    #[arg(long)]
    pub w: Option<String>,

    /// HTTP: ask for strict quorums
    #[arg(long, conflicts_with = "resp")]
    pub strict: bool,

    /// Which operations
    #[arg(long, value_enum, default_value = "ycsb-b")]
    pub mix: Mix,

    /// Which keys are popular [default: what belongs to the mix]
    #[arg(long, value_enum)]
    pub distribution: Option<Distribution>,

    /// How many keys there are
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,

    /// What every key's name starts with; twelve digits follow
    #[arg(long, default_value = "key:")]
    pub key_prefix: String,

    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub value_size: usize,

    /// Write JSON documents of about --value-size bytes (at least 300) instead of random letters
    #[arg(long)]
    pub value_random_json: bool,

    /// How many connections
    #[arg(long, short = 'c', default_value_t = 50)]
    pub connections: usize,

    /// How many threads share the connections
    #[arg(long, default_value_t = 1)]
    pub threads: usize,

    /// Operations sent in one batch; with --rate, operations in flight at most, per connection
    #[arg(long, short = 'P', default_value_t = 1)]
    pub pipeline: usize,

    /// Open loop: send so many operations per second in all, and measure latency from when each was due
    #[arg(long, value_name = "PER SECOND")]
    pub rate: Option<f64>,

    /// Seconds of load before the measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub warm_up: f64,

    /// Seconds of measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub duration: f64,

    /// End after so many operations instead of after --duration
    #[arg(long, short = 'n', conflicts_with = "duration")]
    pub requests: Option<u64>,

    /// Write every key once first
    #[arg(long)]
    pub load: bool,

    /// Write every key once and nothing else
    #[arg(long)]
    pub load_only: bool,

    /// After so long without an answer an operation has failed and its connection is made again
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5_000)]
    pub timeout_ms: u64,

    /// The same seed draws the same operations
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// A name for this run, kept in the JSON and the plot
    #[arg(long, default_value = "")]
    pub label: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Draw latency by percentile, and throughput over time, into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Also print this directory's file system and fdatasync rate; refuse one in memory
    #[arg(long, value_name = "DIR")]
    pub fsync_dir: Option<PathBuf>,

    /// Server processes on this machine whose CPU time and peak memory to report
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub server_pid: Vec<u32>,
}

/// The most connections: each has buffers of its own.
const CONNECTIONS_MAX: usize = 20_000;

/// The longest batch.
const PIPELINE_MAX: usize = 10_000;

/// The largest value that is generated.
const VALUE_BYTES_MAX: usize = 64 << 20;

impl BenchArgs {
    /// Everything that is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, text: String| {
            if wrong {
                problems.push(text);
            }
        };
        refuse(
            self.keys == 0 || self.keys > KEYS_MAX,
            format!("--keys must be from 1 to {KEYS_MAX}"),
        );
        refuse(
            self.connections == 0 || self.connections > CONNECTIONS_MAX,
            format!("--connections must be from 1 to {CONNECTIONS_MAX}"),
        );
        refuse(
            self.threads == 0 || self.threads > self.connections,
            "--threads must be from 1 to the number of connections".to_owned(),
        );
        refuse(
            self.pipeline == 0 || self.pipeline > PIPELINE_MAX,
            format!("--pipeline must be from 1 to {PIPELINE_MAX}"),
        );
        refuse(
            self.value_size > VALUE_BYTES_MAX,
            format!("--value-size must be at most {VALUE_BYTES_MAX}"),
        );
        refuse(
            self.rate.is_some_and(|rate| !(0.001..=1e9).contains(&rate)),
            "--rate must be from 0.001 to 1000000000".to_owned(),
        );
        refuse(
            !(0.0..=86_400.0).contains(&self.warm_up),
            "--warm-up must be from 0 to 86400 seconds".to_owned(),
        );
        refuse(
            self.requests.is_none() && !(0.05..=2_592_000.0).contains(&self.duration),
            "--duration must be from 0.05 to 2592000 seconds".to_owned(),
        );
        refuse(self.requests == Some(0), "--requests must be at least 1".to_owned());
        refuse(
            !(1..=3_600_000).contains(&self.timeout_ms),
            "--timeout-ms must be from 1 to 3600000".to_owned(),
        );
        refuse(
            !self.resp.is_empty() && self.r.is_some() != self.w.is_some(),
            "over RESP, --r and --w go together (TORC.QUORUM takes both)".to_owned(),
        );
        problems
    }

    /// The addresses of the nodes, by name where they were given so.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let mut addresses = Vec::new();
        for target in self.resp.iter().chain(&self.http) {
            let resolved = target
                .to_socket_addrs()
                .map_err(|error| format!("{target}: {error}; write HOST:PORT"))?;
            // IPv4 first: `localhost` often resolves to ::1, where most servers here do not listen.
            let resolved: Vec<SocketAddr> = resolved.collect();
            let address = resolved.iter().find(|address| address.is_ipv4()).or(resolved.first());
            addresses.push(*address.ok_or_else(|| format!("{target}: no address"))?);
        }
        Ok(addresses)
    }

    /// The key distribution in force.
    pub fn distribution(&self) -> Distribution {
        self.distribution.unwrap_or(self.mix.default_distribution())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::keys::Distribution;
    use super::BenchArgs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn one_kind_of_target_is_enough_and_two_are_too_many() {
        assert!(parse("").is_ok(), "the node of --addr");
        assert!(parse("--resp 127.0.0.1:1 --http 127.0.0.1:2").is_err());
        let args = parse("--resp 127.0.0.1:1,127.0.0.1:2").expect("two nodes");
        assert_eq!(args.addresses().expect("numeric").len(), 2);
        assert!(parse("--http nowhere").expect("checked later").addresses().is_err());
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let args =
            parse("--resp 127.0.0.1:1 --keys 0 --threads 9 -c 8 -P 0 --rate 0 --timeout-ms 0 --r 1").expect("parses");
        let problems = args.problems();
        for word in ["--keys", "--threads", "--pipeline", "--rate", "--timeout-ms", "--w"] {
            assert!(
                problems.iter().any(|problem| problem.contains(word)),
                "{word} in {problems:?}"
            );
        }
        assert_eq!(problems.len(), 6);
        assert!(parse("--resp 127.0.0.1:1").expect("parses").problems().is_empty());
    }

    #[test]
    fn a_mix_brings_its_distribution_unless_another_is_named() {
        assert_eq!(
            parse("--resp a:1 --mix ycsb-d").expect("parses").distribution(),
            Distribution::Latest
        );
        assert_eq!(
            parse("--resp a:1 --mix ycsb-d --distribution zipf")
                .expect("parses")
                .distribution(),
            Distribution::Zipf
        );
        assert_eq!(
            parse("--resp a:1 --mix get").expect("parses").distribution(),
            Distribution::Uniform
        );
    }
}
