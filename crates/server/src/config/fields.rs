//! Every field of a configuration: its name, what it may be, its default and what it is for. The page
//! `docs/configuration.md` is held to this list by a test.

use torc_core::limits::{PARTITIONS_MAX, PARTITIONS_MIN, REPLICAS_MAX, TTL_SECONDS_MAX};

/// What a field may hold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number in this range.
    Number(i64, i64),
    /// A size in bytes, with or without a unit, in this range.
    Size(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A quorum: 1 to 9 or a name.
    Quorum,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its path: `name`, `limits.connections_max`, `members.host`.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Its default, as it would be written; empty if there is none.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test holds docs/configuration.md against it")
    )]
    pub default: &'static str,
    /// What it is for.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test holds docs/configuration.md against it")
    )]
    pub meaning: &'static str,
}

const fn field(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Field {
    Field {
        name,
        kind,
        default,
        meaning,
    }
}

const PORT: Kind = Kind::Number(1, 65_530);
const CAPACITY: Kind = Kind::Number(1, 1_000_000);
const GIB: u64 = 1 << 30;

/// The longest `value_bytes_max`: a frame between nodes has to hold the value and its siblings' names.
pub const VALUE_BYTES_MAX_MAX: i64 = 8 << 20;

/// All of them, in the order of the page.
pub const FIELDS: &[Field] = &[
    field(
        "cluster",
        Kind::Text,
        "torc",
        "The cluster's name; nodes of different clusters refuse one another",
    ),
    field(
        "name",
        Kind::Text,
        "n1",
        "This node's name, for ever: it is its identity",
    ),
    field(
        "dir",
        Kind::Text,
        "torc-data",
        "The data directory, relative to where the node is started",
    ),
    field(
        "host",
        Kind::Text,
        "127.0.0.1",
        "The address to bind, under which the other nodes find this one",
    ),
    field(
        "base_port",
        PORT,
        "7000",
        "B: peers are served on B+1, HTTP on B+2, the Redis protocol on B+3",
    ),
    field("dc", Kind::Text, "dc1", "The data centre this node stands in"),
    field(
        "rack",
        Kind::Text,
        "rack1",
        "The rack this node stands in; copies are spread over racks",
    ),
    field(
        "capacity",
        CAPACITY,
        "1",
        "This node's share of the data, relative to the others",
    ),
    field(
        "shards",
        Kind::Number(1, 64),
        "1",
        "Threads for clients and the core: with 1, one does both; with more, the first runs the core and the others serve clients",
    ),
    field(
        "memory_max",
        Kind::Size(32 << 20, 1 << 50),
        "1GiB",
        "Memory for record cache, block cache and memtables together",
    ),
    field(
        "sync_interval_ms",
        Kind::Number(1, 60_000),
        "100",
        "How often `buffered` writes are synced to disk, in milliseconds",
    ),
    field(
        "free_space_min",
        Kind::Size(0, 1 << 50),
        "256MiB",
        "Client writes are refused while the disk has less free space than this; deletes and repair pass",
    ),
    field(
        "partitions",
        Kind::Number(PARTITIONS_MIN as i64, PARTITIONS_MAX as i64),
        "256",
        "Slices of the ring, fixed when the cluster is created",
    ),
    field(
        "log",
        Kind::Choice(&["stderr", "file"]),
        "stderr",
        "Where the log goes: text on stderr, or JSON lines in the file `log` of the data directory",
    ),
    field(
        "log_level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace, or a filter such as `info,torc::shell=debug`",
    ),
    field(
        "slow_ms",
        Kind::Number(0, 60_000),
        "1000",
        "Requests that take longer than this many milliseconds are logged; 0 logs none",
    ),
    field(
        "allow_faults",
        Kind::Flag,
        "false",
        "Serve `POST /v1/faults`: for tests only",
    ),
    field(
        "insecure",
        Kind::Flag,
        "false",
        "Allow binding to an address that others can reach, without authentication or TLS",
    ),
    field(
        "clock.offset_ms",
        Kind::Number(-86_400_000, 86_400_000),
        "0",
        "Pretend that this node's clock is off by so many milliseconds; needs `allow_faults`",
    ),
    field(
        "limits.connections_max",
        Kind::Number(1, 1_000_000),
        "10000",
        "Client connections at a time",
    ),
    field(
        "limits.output_bytes_max",
        Kind::Size(1 << 20, 64 * GIB),
        "64MiB",
        "Unread answers of one client connection; one that lets more pile up is closed",
    ),
    field(
        "limits.in_flight_bytes_max",
        Kind::Size(1 << 20, 1 << 50),
        "256MiB",
        "Bytes of all requests in flight; one more is answered busy",
    ),
    field(
        "limits.idle_seconds_max",
        Kind::Number(0, 31_536_000),
        "3600",
        "A client connection that says nothing for so long is closed; 0: never",
    ),
    field(
        "limits.running_max",
        Kind::Number(1, 65_536),
        "4096",
        "Client requests that run at a time; more wait their turn",
    ),
    field(
        "limits.waiting_ms_max",
        Kind::Number(1, 60_000),
        "500",
        "The longest that a client request waits its turn, in milliseconds; then it is answered busy",
    ),
    field(
        "limits.peer_queue_bytes_max",
        Kind::Size(1 << 20, 64 * GIB),
        "64MiB",
        "Unsent messages to one peer; what clients cause waits or is refused before, and when more pile up the connection is dropped and made anew",
    ),
    field("members.name", Kind::Text, "", "The member's name"),
    field("members.host", Kind::Text, "127.0.0.1", "The member's address"),
    field("members.base_port", PORT, "7000", "The member's base port"),
    field("members.dc", Kind::Text, "dc1", "The member's data centre"),
    field("members.rack", Kind::Text, "rack1", "The member's rack"),
    field("members.capacity", CAPACITY, "1", "The member's share of the data"),
    field(
        "buckets.name",
        Kind::Text,
        "",
        "The bucket's name: 1 to 64 of `a-z 0-9 _ -`",
    ),
    field(
        "buckets.id",
        Kind::Number(16, u32::MAX as i64),
        "16 + its place in the list",
        "The bucket's number, never used again for another; the three initial buckets have 1, 2 and 3",
    ),
    field(
        "buckets.mode",
        Kind::Choice(&["available", "consistent"]),
        "available",
        "Its side of CAP; consistent buckets serve no data in this version",
    ),
    field("buckets.n", Kind::Number(1, REPLICAS_MAX as i64), "3", "Copies"),
    field(
        "buckets.r",
        Kind::Quorum,
        "quorum",
        "Answers that a read waits for: 1 to 9, one, quorum, all, local_one, local_quorum, each_quorum",
    ),
    field("buckets.w", Kind::Quorum, "quorum", "Answers that a write waits for"),
    field(
        "buckets.conflict",
        Kind::Choice(&["siblings", "lww"]),
        "siblings",
        "Concurrent writes: keep all for the client to resolve, or the last one wins",
    ),
    field(
        "buckets.durability",
        Kind::Choice(&["synced", "buffered"]),
        "synced",
        "A write counts once synced to disk, or once applied",
    ),
    field(
        "buckets.storage",
        Kind::Choice(&["disk", "memory"]),
        "disk",
        "Where records live; memory buckets are `buffered`",
    ),
    field(
        "buckets.ttl_seconds",
        Kind::Number(1, TTL_SECONDS_MAX as i64),
        "",
        "Time to live of writes that name none; without it they never expire",
    ),
    field(
        "buckets.value_bytes_max",
        Kind::Number(1, VALUE_BYTES_MAX_MAX),
        "1048576",
        "Longest value",
    ),
    field(
        "buckets.siblings_max",
        Kind::Number(1, 10_000),
        "100",
        "Most siblings that a client's put may leave",
    ),
];

/// The environment variable of a field: `limits.connections_max` is `TORC_LIMITS_CONNECTIONS_MAX`. The lists
/// `members` and `buckets` have none.
pub fn variable(field: &Field) -> Option<String> {
    let in_list = field.name.starts_with("members.") || field.name.starts_with("buckets.");
    (!in_list).then(|| format!("TORC_{}", field.name.replace('.', "_").to_uppercase()))
}

/// The field of this path.
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_field_with_its_default_and_meaning() {
        let page = include_str!("../../../../docs/configuration.md");
        for field in FIELDS {
            let short = field.name.rsplit_once('.').map_or(field.name, |parts| parts.1);
            let default = if field.default.is_empty() {
                String::new()
            } else {
                format!("`{}`", field.default)
            };
            let row = format!("| `{short}` | {default} | {} |", field.meaning);
            assert!(page.contains(&row), "docs/configuration.md lacks the row:\n{row}");
        }
    }
}
