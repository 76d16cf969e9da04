//! What no single field can tell: whether the values fit together.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

use torc_core::bucket::Bucket;
use torc_core::id::NodeId;
use torc_core::quorum::QuorumSize;

use super::cluster::{BucketConfig, MemberConfig};
use super::layers::Origin;
use super::problem::Problem;
use super::{Config, PEER_PORT};

/// Ports that a node may use above its base port (peers, HTTP, Redis, DynamoDB, memcached).
const PORTS: u16 = 5;

impl Config {
    /// Takes what was not given from this node's entry among the members; what was given and differs is a problem.
    pub(super) fn adopt_own_entry(&mut self, origins: &BTreeMap<String, Origin>, problems: &mut Vec<Problem>) {
        let Some(entry) = self.members.iter().find(|member| member.name == self.name).cloned() else {
            return;
        };
        let mut differs = |field: &str, own: &dyn std::fmt::Display, listed: &dyn std::fmt::Display| {
            let Some(origin) = origins.get(field) else { return };
            if own.to_string() != listed.to_string() {
                problems.push(Problem::new(
                    format!("`{field}` is {own} ({origin}) and {listed} in [[members]]"),
                    "the other nodes go by [[members]]",
                    "leave it out or make them equal, in the file of every node",
                ));
            }
        };
        differs("host", &self.host, &entry.host);
        differs("base_port", &self.base_port, &entry.base_port);
        differs("dc", &self.dc, &entry.dc);
        differs("rack", &self.rack, &entry.rack);
        differs("capacity", &self.capacity, &entry.capacity);
        self.host = entry.host;
        self.base_port = entry.base_port;
        self.dc = entry.dc;
        self.rack = entry.rack;
        self.capacity = entry.capacity;
    }

    /// Adds every problem of the values as a whole.
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        self.validate_name(&self.name, problems);
        self.validate_host(problems);
        self.validate_members(problems);
        self.validate_buckets(problems);
        if self.clock.offset_ms != 0 && !self.allow_faults {
            problems.push(Problem::new(
                format!("`clock.offset_ms` is {}", self.clock.offset_ms),
                "a wrong clock is a fault",
                "remove it, or set `allow_faults = true` in a test cluster",
            ));
        }
    }

    fn validate_name(&self, name: &str, problems: &mut Vec<Problem>) {
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !plain || name.len() > 64 || name.is_empty() {
            problems.push(Problem::new(
                format!("`{name}` is no node name"),
                "it goes into file names, metrics and dots",
                "use 1 to 64 letters, digits, dots, hyphens or underscores",
            ));
        }
    }

    fn validate_host(&self, problems: &mut Vec<Problem>) {
        let addresses: Vec<IpAddr> = match (self.host.as_str(), PEER_PORT).to_socket_addrs() {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(error) => {
                problems.push(Problem::new(
                    format!("`host` is {}", self.host),
                    format!("it can't be resolved ({error})"),
                    "give an address of this machine",
                ));
                return;
            }
        };
        if !self.insecure && addresses.iter().any(|ip| !ip.is_loopback()) {
            problems.push(Problem::new(
                format!("`host` is {}", self.host),
                "others can reach it, and this version has neither authentication nor TLS",
                "bind to 127.0.0.1, or allow it with --insecure on a network that you trust",
            ));
        }
        if self.members.len() > 1 && addresses.iter().any(IpAddr::is_unspecified) {
            problems.push(Problem::new(
                format!("`host` is {}", self.host),
                "the other nodes find this one under its host, and nobody can be found there",
                "give the address under which the others reach this machine",
            ));
        }
    }

    fn validate_members(&self, problems: &mut Vec<Problem>) {
        if !self.members.is_empty() && !self.members.iter().any(|member| member.name == self.name) {
            problems.push(Problem::new(
                format!("`name` is {} and no member is called so", self.name),
                "a node serves only as a member of the ring",
                "add it to [[members]] in the file of every node, or correct the name",
            ));
        }
        for (at, member) in self.members.iter().enumerate() {
            self.validate_name(&member.name, problems);
            for other in &self.members[..at] {
                validate_pair(other, member, problems);
            }
        }
    }

    fn validate_buckets(&self, problems: &mut Vec<Problem>) {
        for (at, bucket) in self.buckets.iter().enumerate() {
            if self.buckets[..at].iter().any(|other| other.name == bucket.name) {
                problems.push(Problem::new(
                    format!("two [[buckets]] are called {}", bucket.name),
                    "a name stands for one bucket",
                    "remove one of them",
                ));
            }
            validate_bucket(bucket, problems);
        }
        let all = self.all_buckets();
        for (at, bucket) in all.iter().enumerate() {
            if let Some(other) = all[..at]
                .iter()
                .find(|other| other.id == bucket.id && other.name != bucket.name)
            {
                problems.push(Problem::new(
                    format!(
                        "buckets {} and {} both have the id {}",
                        other.name, bucket.name, bucket.id.0
                    ),
                    "records carry the id, so each would show the other's",
                    "give one of them another `id` that was never used",
                ));
            }
            validate_quorums(bucket, problems);
        }
    }
}

fn validate_pair(one: &MemberConfig, other: &MemberConfig, problems: &mut Vec<Problem>) {
    if one.name == other.name {
        problems.push(Problem::new(
            format!("two [[members]] are called {}", one.name),
            "a name is a node's identity",
            "give each its own",
        ));
    } else if NodeId::of_name(&one.name) == NodeId::of_name(&other.name) {
        problems.push(Problem::new(
            format!("the members {} and {} get the same id", one.name, other.name),
            "an id is 32 bits of the name's hash",
            "rename one of them",
        ));
    }
    if one.host == other.host && one.base_port.abs_diff(other.base_port) <= PORTS {
        problems.push(Problem::new(
            format!(
                "the members {} and {} share ports of {}",
                one.name, other.name, one.host
            ),
            format!("each uses its base port + 1 to + {PORTS}"),
            "put their base ports at least 10 apart",
        ));
    }
}

fn validate_bucket(bucket: &BucketConfig, problems: &mut Vec<Problem>) {
    if !Bucket::is_name(&bucket.name) {
        problems.push(Problem::new(
            format!("`{}` is no bucket name", bucket.name),
            "it stands in paths and placement hashes it",
            "use 1 to 64 of a-z, 0-9, _ and -",
        ));
    }
    if bucket.id.is_some() && Bucket::initial().iter().any(|initial| *initial.name == bucket.name) {
        problems.push(Problem::new(
            format!("bucket {} has an `id`", bucket.name),
            "the initial buckets keep theirs",
            "leave `id` out",
        ));
    }
    if bucket.storage.as_deref() == Some("memory") && bucket.durability.as_deref() == Some("synced") {
        problems.push(Problem::new(
            format!("bucket {} is `synced` in `memory`", bucket.name),
            "nothing of a memory bucket is on disk",
            "leave `durability` out, or use `storage = \"disk\"`",
        ));
    }
}

fn validate_quorums(bucket: &Bucket, problems: &mut Vec<Problem>) {
    for (name, quorum) in [("r", bucket.r), ("w", bucket.w)] {
        if let QuorumSize::Count(count) = quorum
            && count > bucket.n
        {
            problems.push(Problem::new(
                format!("`{name}` of bucket {} is {count}", bucket.name),
                format!("there are only n = {} copies", bucket.n),
                format!("use 1 to {}, or a name such as quorum", bucket.n),
            ));
        }
    }
}
