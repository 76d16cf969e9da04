//! CONFIG, for clients that will not do without: torc.toml is the configuration, and nothing of it changes here.

use std::sync::Arc;

use torc_core::bucket::{Bucket, Durability, StorageClass};

use crate::resp::call::{Call, Plan};
use crate::resp::glob;
use crate::resp::refused::Refused;

/// What CONFIG GET answers: what a Redis that behaves as this node does would say.
const PARAMETERS: &[(&str, &str)] = &[
    (APPENDFSYNC, "always"),
    (APPENDONLY, "yes"),
    ("bind", ""),
    ("cluster-enabled", "no"),
    ("databases", "2"),
    ("hash-max-listpack-entries", "512"),
    ("hash-max-listpack-value", "64"),
    ("hash-max-ziplist-entries", "512"),
    ("hash-max-ziplist-value", "64"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "536870912"),
    ("requirepass", ""),
    ("save", ""),
    ("tcp-keepalive", "0"),
    ("timeout", "0"),
];

const APPENDFSYNC: &str = "appendfsync";
const APPENDONLY: &str = "appendonly";

/// What CONFIG SET takes without effect: how Redis lays its memory out, which is not how Torc does.
const WITHOUT_EFFECT: &[&str] = &[
    "*-max-listpack-*",
    "*-max-ziplist-*",
    "*-max-intset-*",
    "active*",
    "lazyfree-*",
    "*rehash*",
];

/// `CONFIG GET parameter …`, `SET parameter value …`, `RESETSTAT`
pub fn config(call: &mut Call<'_>) -> Result<Plan, Refused> {
    match call.args.at(1).to_ascii_lowercase().as_slice() {
        b"get" if call.args.len() >= 3 => read(call),
        b"set" if call.args.len() >= 4 && call.args.len().is_multiple_of(2) => write(call)?,
        b"resetstat" if call.args.len() == 2 => call.reply.ok(),
        b"rewrite" if call.args.len() == 2 => return Err(Refused::of("ERR The server is configured by torc.toml")),
        b"help" if call.args.len() == 2 => {
            let lines = [
                "CONFIG GET <pattern>",
                "CONFIG SET <parameter> <value>",
                "CONFIG RESETSTAT",
            ];
            call.reply.array(lines.len());
            for line in lines {
                call.reply.simple(line);
            }
        }
        b"get" | b"set" | b"resetstat" | b"rewrite" | b"help" => return Err(call.subcommand_arity()),
        _ => return Err(call.unknown_subcommand()),
    }
    Ok(Plan::Replied)
}

fn read(call: &mut Call<'_>) {
    let patterns: Vec<Vec<u8>> = (2..call.args.len())
        .map(|index| call.args.at(index).to_ascii_lowercase())
        .collect();
    let is_asked = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
    let bucket = call.bucket().ok().cloned();
    let found: Vec<_> = PARAMETERS.iter().filter(|parameter| is_asked(parameter.0)).collect();
    call.reply.map(found.len());
    for parameter in found {
        call.reply.bulk(parameter.0.as_bytes());
        call.reply.bulk(value_of(parameter, bucket.as_ref()).as_bytes());
    }
}

/// The parameter's value for a connection that uses this bucket.
fn value_of(parameter: &(&'static str, &'static str), bucket: Option<&Arc<Bucket>>) -> &'static str {
    let Some(bucket) = bucket else { return parameter.1 };
    match (parameter.0, bucket.storage, bucket.durability) {
        (APPENDFSYNC | APPENDONLY, StorageClass::Memory, _) => "no",
        (APPENDFSYNC, StorageClass::Disk, Durability::Buffered) => "everysec",
        (APPENDFSYNC, StorageClass::Disk, Durability::Synced) => "always",
        _ => parameter.1,
    }
}

fn write(call: &mut Call<'_>) -> Result<(), Refused> {
    let bucket = call.bucket().ok().cloned();
    for index in (2..call.args.len()).step_by(2) {
        let name = call.args.at(index).to_ascii_lowercase();
        let value = call.args.at(index + 1);
        let has_no_effect = WITHOUT_EFFECT
            .iter()
            .any(|pattern| glob::matches(pattern.as_bytes(), &name));
        let known = PARAMETERS.iter().find(|parameter| parameter.0.as_bytes() == name);
        let shown = call.args.shown(index);
        match known {
            _ if has_no_effect => {}
            Some(parameter)
                if value_of(parameter, bucket.as_ref())
                    .as_bytes()
                    .eq_ignore_ascii_case(value) => {}
            Some(_) => {
                return Err(Refused::of(format!(
                    "ERR CONFIG SET failed (possibly related to argument '{shown}') - the node is configured by torc.toml"
                )));
            }
            None => {
                return Err(Refused::of(format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{shown}'"
                )));
            }
        }
    }
    call.reply.ok();
    Ok(())
}
