//! What clients ask before they work: COMMAND and INFO.

use crate::resp::answer::Answer;
use crate::resp::call::{Call, Plan};
use crate::resp::commands::scans;
use crate::resp::refused::Refused;
use crate::resp::table::{self, AT_ONCE, COMMANDS, CommandSpec, FAST, READ, WRITE};
use crate::resp::writer::Writer;

/// The Redis whose words Torc speaks.
pub const REDIS_VERSION: &str = "7.0.15";

/// `COMMAND [COUNT | DOCS name … | INFO name … | LIST | GETKEYS command …]`
pub fn command(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.args.len() == 1 {
        call.reply.array(COMMANDS.len());
        for spec in COMMANDS {
            row(spec, &mut call.reply);
        }
        return Ok(Plan::Replied);
    }
    let subcommand = call.args.at(1).to_ascii_lowercase();
    let named: Vec<_> = (2..call.args.len())
        .map(|index| table::find(call.args.at(index)))
        .collect();
    match subcommand.as_slice() {
        b"count" if named.is_empty() => call.reply.integer(COMMANDS.len() as i64),
        b"list" if named.is_empty() => {
            call.reply.array(COMMANDS.len());
            for spec in COMMANDS {
                call.reply.bulk(spec.name.as_bytes());
            }
        }
        b"info" => {
            let shown = if named.is_empty() {
                COMMANDS.iter().map(Some).collect()
            } else {
                named
            };
            call.reply.array(shown.len());
            for spec in shown {
                match spec {
                    Some(spec) => row(spec, &mut call.reply),
                    None => call.reply.nil_array(),
                }
            }
        }
        b"docs" => {
            let shown: Vec<&CommandSpec> = if named.is_empty() {
                COMMANDS.iter().collect()
            } else {
                named.into_iter().flatten().collect()
            };
            call.reply.map(shown.len());
            for spec in shown {
                call.reply.bulk(spec.name.as_bytes());
                call.reply.map(3);
                for (key, value) in [("summary", spec.summary), ("since", "1.0.0"), ("group", spec.group)] {
                    call.reply.bulk(key.as_bytes());
                    call.reply.bulk(value.as_bytes());
                }
            }
        }
        b"getkeys" if !named.is_empty() => keys_of(call, named[0])?,
        b"count" | b"list" | b"getkeys" => return Err(call.subcommand_arity()),
        _ => return Err(call.unknown_subcommand()),
    }
    Ok(Plan::Replied)
}

/// Name, arity, flags, first key, last key, step, and what Torc has nothing to say about.
fn row(spec: &CommandSpec, reply: &mut Writer<'_>) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    let names = [
        (WRITE, "write"),
        (READ, "readonly"),
        (FAST, "fast"),
        (AT_ONCE, "no_multi"),
    ];
    let flags: Vec<_> = names.iter().filter(|flag| spec.has(flag.0)).collect();
    reply.set(flags.len());
    for (_, name) in flags {
        reply.simple(name);
    }
    let (first, last, step) = spec.keys;
    for number in [first, last, step] {
        reply.integer(i64::from(number));
    }
    for _ in 0..4 {
        reply.set(0);
    }
}

fn keys_of(call: &mut Call<'_>, spec: Option<&CommandSpec>) -> Result<(), Refused> {
    let Some(spec) = spec else {
        return Err(Refused::of("ERR Invalid command specified"));
    };
    let words = call.args.len() - 2;
    if !spec.takes(words) {
        return Err(Refused::of("ERR Invalid number of arguments specified for command"));
    }
    let (first, last, step) = spec.keys;
    if first == 0 {
        return Err(Refused::of("ERR The command has no key arguments"));
    }
    let last = if last < 0 {
        words - usize::from(last.unsigned_abs())
    } else {
        usize::from(last.unsigned_abs())
    };
    let keys: Vec<usize> = (usize::from(first.unsigned_abs())..=last)
        .step_by(usize::from(step.unsigned_abs()))
        .collect();
    call.reply.array(keys.len());
    for index in keys {
        call.reply.bulk(call.args.at(2 + index));
    }
    Ok(())
}

/// `INFO [section …]`. The number of keys is counted only where section `keyspace` is asked for by name: it takes a walk
/// over the bucket.
pub fn info(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let asked: Vec<Vec<u8>> = (1..call.args.len())
        .map(|index| call.args.at(index).to_ascii_lowercase())
        .collect();
    let is_all = asked.is_empty()
        || asked
            .iter()
            .any(|name| matches!(&name[..], b"all" | b"default" | b"everything"));
    let wants = |name: &str| is_all || asked.iter().any(|asked| asked == name.as_bytes());
    let facts = call.host.facts();
    let seconds = facts.uptime_seconds;
    let sections = [
        (
            "Server",
            vec![
                ("redis_version", REDIS_VERSION.to_owned()),
                ("redis_mode", "standalone".to_owned()),
                ("torc_version", facts.version.clone()),
                ("torc_node", facts.node.clone()),
                ("process_id", facts.process_id.to_string()),
                ("tcp_port", facts.port.to_string()),
                ("uptime_in_seconds", seconds.to_string()),
                ("uptime_in_days", (seconds / 86_400).to_string()),
            ],
        ),
        ("Clients", vec![("connected_clients", facts.clients.len().to_string())]),
        (
            "Memory",
            vec![
                ("used_memory", facts.used_memory_bytes.to_string()),
                ("maxmemory", facts.memory_bytes_max.to_string()),
                ("maxmemory_policy", "noeviction".to_owned()),
            ],
        ),
        (
            "Persistence",
            vec![("loading", "0".to_owned()), ("aof_enabled", "1".to_owned())],
        ),
        ("Stats", vec![("total_commands_processed", facts.requests.to_string())]),
        (
            "Replication",
            vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())],
        ),
        ("Cluster", vec![("cluster_enabled", "0".to_owned())]),
    ];
    let mut text = String::new();
    for (name, lines) in sections {
        if wants(&name.to_lowercase()) {
            head(&mut text, name);
            for (key, value) in lines {
                text.push_str(&format!("{key}:{value}\r\n"));
            }
        }
    }
    if wants("keyspace") {
        head(&mut text, "Keyspace");
        if asked.iter().any(|name| name == b"keyspace") {
            return scans::count(call, Answer::Keyspace(text));
        }
    }
    call.reply.verbatim(&text);
    Ok(Plan::Replied)
}

fn head(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    text.push_str(&format!("# {name}\r\n"));
}
