//! One node's configuration: `torc.toml`, the environment and flags, read into one struct and judged as a whole.

mod cluster;
mod fields;
mod layers;
mod problem;
mod size;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use torc_core::admission::AdmissionLimits;
use torc_core::limits::{RUNNING_MAX_DEFAULT, WAITING_MS_MAX_DEFAULT};

pub use cluster::{BucketConfig, MemberConfig};
pub use layers::Layers;
pub use problem::{Problem, Problems};
pub use size::ByteSize;

/// The ports of a node, counted from its base port.
pub const PEER_PORT: u16 = 1;
/// See [`PEER_PORT`].
pub const HTTP_PORT: u16 = 2;
/// See [`PEER_PORT`].
pub const RESP_PORT: u16 = 3;

/// The configuration of one node; `fields.rs` says what each field is for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Config {
    pub cluster: String,
    pub name: String,
    pub dir: PathBuf,
    pub host: String,
    pub base_port: u16,
    pub dc: String,
    pub rack: String,
    pub capacity: u32,
    pub shards: u16,
    pub memory_max: ByteSize,
    pub sync_interval_ms: u64,
    pub free_space_min: ByteSize,
    pub partitions: u32,
    pub log: LogTarget,
    pub log_level: String,
    pub slow_ms: u64,
    pub allow_faults: bool,
    pub insecure: bool,
    pub clock: ClockConfig,
    pub limits: LimitsConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<BucketConfig>,
}

/// Where the log goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// Text.
    Stderr,
    /// JSON lines in the file `log` of the data directory.
    File,
}

/// `[clock]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ClockConfig {
    pub offset_ms: i64,
}

/// `[limits]`: the bounds of the shell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct LimitsConfig {
    pub connections_max: usize,
    pub output_bytes_max: ByteSize,
    pub in_flight_bytes_max: ByteSize,
    pub idle_seconds_max: u64,
    pub running_max: usize,
    pub waiting_ms_max: u64,
    pub peer_queue_bytes_max: ByteSize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            output_bytes_max: ByteSize(64 << 20),
            in_flight_bytes_max: ByteSize(256 << 20),
            idle_seconds_max: 3_600,
            running_max: RUNNING_MAX_DEFAULT,
            waiting_ms_max: WAITING_MS_MAX_DEFAULT,
            peer_queue_bytes_max: ByteSize(64 << 20),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "torc".into(),
            name: "n1".into(),
            dir: "torc-data".into(),
            host: "127.0.0.1".into(),
            base_port: 7000,
            dc: "dc1".into(),
            rack: "rack1".into(),
            capacity: 1,
            shards: 1,
            memory_max: ByteSize(1 << 30),
            sync_interval_ms: 100,
            free_space_min: ByteSize(256 << 20),
            partitions: torc_core::limits::PARTITIONS_DEFAULT,
            log: LogTarget::Stderr,
            log_level: "info".into(),
            slow_ms: 1_000,
            allow_faults: false,
            insecure: false,
            clock: ClockConfig::default(),
            limits: LimitsConfig::default(),
            members: Vec::new(),
            buckets: Vec::new(),
        }
    }
}

impl Config {
    /// How many client requests run at a time, and how long others may wait.
    #[must_use]
    pub fn admission(&self) -> AdmissionLimits {
        AdmissionLimits {
            running_max: self.limits.running_max,
            waiting_ms_max: self.limits.waiting_ms_max,
        }
    }

    /// Makes a configuration of the layers.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn from_layers(layers: Layers) -> Result<Self, Problems> {
        let Layers {
            table,
            origins,
            mut problems,
        } = layers;
        let mut config: Self = match table.try_into() {
            Ok(config) => config,
            Err(error) => {
                // The layers hold legal values only, so this names a field of which `fields.rs` and the struct disagree.
                problems.push(Problem::new(
                    "the configuration",
                    error.to_string(),
                    "see docs/configuration.md",
                ));
                return Err(Problems(problems));
            }
        };
        config.adopt_own_entry(&origins, &mut problems);
        config.validate(&mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
    }

    /// Reads the file (if one is named) and the environment, and lays `flags` over them.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn load(file: Option<&std::path::Path>, flags: impl FnOnce(&mut Layers)) -> Result<Self, Problems> {
        let mut layers = Layers::default();
        if let Some(path) = file {
            let shown = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => layers.file(&shown, &text),
                Err(error) => {
                    layers
                        .problems
                        .push(Problem::new(shown, error.to_string(), "name a file that can be read"));
                }
            }
        }
        let variables: BTreeMap<String, String> =
            std::env::vars().filter(|(name, _)| name.starts_with("TORC_")).collect();
        layers.environment(&variables);
        flags(&mut layers);
        Self::from_layers(layers)
    }

    /// `host:port` of one of this node's ports.
    pub fn address(&self, port: u16) -> String {
        join_host(&self.host, self.base_port + port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn join_host(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
