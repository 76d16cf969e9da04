//! Commands about the connection and the server.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

use super::plan::{Call, Plan, Planned};
use super::reply::{self, Dialect};
use super::session::FIRST_BUCKET;
use super::table;

/// The version of Redis whose commands these are.
const REDIS_VERSION: &str = "7.0.15";

/// `+OK`.
fn ok(call: &mut Call<'_>) -> Planned {
    reply::simple(call.out, "OK");
    Ok(Plan::Answered)
}

fn unknown_subcommand(call: &Call<'_>) -> String {
    let given: String = String::from_utf8_lossy(&call.arguments[1]).chars().take(128).collect();
    format!("ERR unknown subcommand '{given}'. Try {} HELP.", call.name)
}

/// ECHO message
pub fn echo(call: &mut Call<'_>) -> Planned {
    reply::bulk(call.out, &call.arguments[1]);
    Ok(Plan::Answered)
}

/// QUIT
pub fn quit(call: &mut Call<'_>) -> Planned {
    call.session.is_closing = true;
    ok(call)
}

/// RESET
pub fn reset(call: &mut Call<'_>) -> Planned {
    call.session.reset();
    reply::simple(call.out, "RESET");
    Ok(Plan::Answered)
}

/// TIME
pub fn time(call: &mut Call<'_>) -> Planned {
    let now = call.host.now().0;
    reply::array(call.out, 2);
    reply::bulk(call.out, (now / 1_000).to_string().as_bytes());
    reply::bulk(call.out, (now % 1_000 * 1_000).to_string().as_bytes());
    Ok(Plan::Answered)
}

/// HELLO [protover [AUTH user password] [SETNAME name]]
pub fn hello(call: &mut Call<'_>) -> Planned {
    let mut dialect = call.session.dialect;
    if call.arguments.len() > 1 {
        dialect = match &call.arguments[1][..] {
            b"2" => Dialect::Resp2,
            b"3" => Dialect::Resp3,
            other if super::plan::integer(other).is_none() => {
                return Err("ERR Protocol version is not an integer or out of range".into());
            }
            _ => return Err("NOPROTO unsupported protocol version".into()),
        };
    }
    let mut name = None;
    let mut place = 2;
    while place < call.arguments.len() {
        match (&call.word(place)[..], call.arguments.len() - place - 1) {
            ("AUTH", 2..) => {
                authenticate(&call.arguments[place + 1])?;
                place += 3;
            }
            ("SETNAME", 1..) => {
                name = Some(client_name(&call.arguments[place + 1])?);
                place += 2;
            }
            _ => {
                let word = String::from_utf8_lossy(&call.arguments[place]).into_owned();
                return Err(format!("ERR Syntax error in HELLO option '{word}'"));
            }
        }
    }
    call.session.dialect = dialect;
    if let Some(name) = name {
        call.session.name = name;
    }
    let out = &mut *call.out;
    reply::map(out, 7, dialect);
    reply::bulk(out, b"server");
    reply::bulk(out, b"redis");
    reply::bulk(out, b"version");
    reply::bulk(out, REDIS_VERSION.as_bytes());
    reply::bulk(out, b"proto");
    reply::integer(out, if dialect == Dialect::Resp3 { 3 } else { 2 });
    reply::bulk(out, b"id");
    reply::integer(out, call.session.id as i64);
    reply::bulk(out, b"mode");
    reply::bulk(out, b"standalone");
    reply::bulk(out, b"role");
    reply::bulk(out, b"master");
    reply::bulk(out, b"modules");
    reply::array(out, 0);
    Ok(Plan::Answered)
}

/// AUTH [username] password
pub fn auth(call: &mut Call<'_>) -> Planned {
    if call.arguments.len() == 2 {
        return Err(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?"
                .into(),
        );
    }
    authenticate(&call.arguments[1])?;
    ok(call)
}

/// Nobody has a password in this version: the default user takes any, as in Redis without one.
fn authenticate(user: &[u8]) -> Result<(), String> {
    if user == b"default" {
        Ok(())
    } else {
        Err("WRONGPASS invalid username-password pair or user is disabled.".into())
    }
}

fn client_name(name: &Bytes) -> Result<Bytes, String> {
    if name.len() > 256 || !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".into());
    }
    Ok(Bytes::copy_from_slice(name))
}

/// CLIENT SETNAME | GETNAME | SETINFO | ID | INFO | LIST | NO-EVICT | NO-TOUCH | REPLY ON
pub fn client(call: &mut Call<'_>) -> Planned {
    match (&call.word(1)[..], call.arguments.len()) {
        ("SETNAME", 3) => {
            call.session.name = client_name(&call.arguments[2])?;
            ok(call)
        }
        ("SETINFO", 4) => {
            let value = client_name(&call.arguments[3]);
            let value =
                value.map_err(|_| "ERR lib-name and lib-ver cannot contain spaces, newlines or special characters.")?;
            match &call.word(2)[..] {
                "LIB-NAME" => call.session.library.0 = value,
                "LIB-VER" => call.session.library.1 = value,
                other => return Err(format!("ERR Unrecognized option '{other}'")),
            }
            ok(call)
        }
        ("GETNAME", 2) => {
            let name = &call.session.name;
            reply::bulk_or_nil(call.out, (!name.is_empty()).then_some(&name[..]), call.session.dialect);
            Ok(Plan::Answered)
        }
        ("ID", 2) => {
            reply::integer(call.out, call.session.id as i64);
            Ok(Plan::Answered)
        }
        ("INFO", 2) => {
            let line = own_line(call);
            reply::verbatim(call.out, &line, call.session.dialect);
            Ok(Plan::Answered)
        }
        ("LIST", _) => {
            let own = call.session.id;
            let mut lines = String::new();
            for (id, address) in call.host.facts().clients {
                if id == own {
                    lines.push_str(&own_line(call));
                } else {
                    writeln!(lines, "id={id} addr={address}").expect("a String grows");
                }
            }
            reply::verbatim(call.out, &lines, call.session.dialect);
            Ok(Plan::Answered)
        }
        ("NO-EVICT" | "NO-TOUCH", 3) => match &call.word(2)[..] {
            "ON" | "OFF" => ok(call),
            _ => Err("ERR syntax error".into()),
        },
        ("REPLY", 3) if call.word(2) == "ON" => ok(call),
        ("SETNAME" | "SETINFO" | "GETNAME" | "ID" | "INFO" | "NO-EVICT" | "NO-TOUCH" | "REPLY", _) => Err(format!(
            "ERR wrong number of arguments for 'client|{}' command",
            call.word(1).to_ascii_lowercase()
        )),
        _ => Err(unknown_subcommand(call)),
    }
}

fn own_line(call: &Call<'_>) -> String {
    let session = &call.session;
    let database = if &*session.bucket == FIRST_BUCKET { 0 } else { 1 };
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "id={} addr={} name={} db={database} resp={} lib-name={} lib-ver={} bucket={}\n",
        session.id,
        session.address,
        text(&session.name),
        if session.dialect == Dialect::Resp3 { 3 } else { 2 },
        text(&session.library.0),
        text(&session.library.1),
        session.bucket,
    )
}

/// CONFIG GET pattern [pattern ...] | SET | RESETSTAT | REWRITE
pub fn config(call: &mut Call<'_>) -> Planned {
    match (&call.word(1)[..], call.arguments.len()) {
        ("GET", 3..) => {
            let memory = call.host.facts().memory_bytes_max.to_string();
            let port = call.host.facts().port.to_string();
            let known: [(&str, &str); 12] = [
                ("appendfsync", "always"),
                ("appendonly", "yes"),
                ("databases", "2"),
                ("hash-max-listpack-entries", "0"),
                ("hash-max-listpack-value", "0"),
                ("hash-max-ziplist-entries", "0"),
                ("hash-max-ziplist-value", "0"),
                ("maxmemory", &memory),
                ("maxmemory-policy", "noeviction"),
                ("port", &port),
                ("proto-max-bulk-len", "536870912"),
                ("save", ""),
            ];
            let patterns: Vec<Vec<u8>> = call.arguments[2..]
                .iter()
                .map(|text| text.to_ascii_lowercase())
                .collect();
            let is_asked = |name: &str| {
                patterns
                    .iter()
                    .any(|pattern| super::glob::matches(pattern, name.as_bytes()))
            };
            let asked: Vec<_> = known.into_iter().filter(|(name, _)| is_asked(name)).collect();
            reply::map(call.out, asked.len(), call.session.dialect);
            for (name, value) in asked {
                reply::bulk(call.out, name.as_bytes());
                reply::bulk(call.out, value.as_bytes());
            }
            Ok(Plan::Answered)
        }
        // Accepted, for tools that set what does not exist here; Torc is configured by torc.toml.
        ("SET", 4..) => ok(call),
        ("RESETSTAT" | "REWRITE", 2) => ok(call),
        ("GET" | "SET" | "RESETSTAT" | "REWRITE", _) => Err(format!(
            "ERR wrong number of arguments for 'config|{}' command",
            call.word(1).to_ascii_lowercase()
        )),
        _ => Err(unknown_subcommand(call)),
    }
}

/// COMMAND [COUNT | DOCS | INFO | LIST | GETKEYS]
pub fn command(call: &mut Call<'_>) -> Planned {
    let describe = |spec: &table::Spec, out: &mut BytesMut| {
        reply::array(out, 6);
        reply::bulk(out, spec.name.to_ascii_lowercase().as_bytes());
        reply::integer(out, i64::from(spec.arity));
        reply::array(out, 0);
        let (first, last, step) = spec.keys;
        reply::integer(out, first);
        reply::integer(out, last);
        reply::integer(out, step);
    };
    match &call.word(1)[..] {
        "" => {
            reply::array(call.out, table::COMMANDS.len());
            table::COMMANDS.iter().for_each(|spec| describe(spec, call.out));
        }
        "COUNT" => reply::integer(call.out, table::COMMANDS.len() as i64),
        // No documentation is kept here; clients that ask for it go without.
        "DOCS" => reply::map(call.out, 0, call.session.dialect),
        "INFO" => {
            reply::array(call.out, call.arguments.len() - 2);
            for name in &call.arguments[2..] {
                match table::find(name) {
                    Some(spec) => describe(spec, call.out),
                    None => reply::nil(call.out, call.session.dialect),
                }
            }
        }
        "LIST" => {
            reply::array(call.out, table::COMMANDS.len());
            for spec in table::COMMANDS {
                reply::bulk(call.out, spec.name.to_ascii_lowercase().as_bytes());
            }
        }
        _ => return Err(unknown_subcommand(call)),
    }
    Ok(Plan::Answered)
}

/// INFO [section ...]
pub fn info(call: &mut Call<'_>) -> Planned {
    let facts = call.host.facts();
    let sections = [
        (
            "server",
            format!(
                "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\ntorc_version:{}\r\ntorc_node:{}\r\n\
                 os:Linux\r\narch_bits:64\r\nprocess_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{}\r\nuptime_in_days:{}\r\n",
                facts.version,
                facts.node,
                facts.process_id,
                facts.port,
                facts.uptime_seconds,
                facts.uptime_seconds / 86_400,
            ),
        ),
        (
            "clients",
            format!("# Clients\r\nconnected_clients:{}\r\n", facts.clients.len()),
        ),
        (
            "memory",
            format!(
                "# Memory\r\nused_memory:{}\r\nused_memory_rss:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
                facts.used_memory_bytes, facts.used_memory_bytes, facts.memory_bytes_max,
            ),
        ),
        (
            "persistence",
            format!(
                "# Persistence\r\nloading:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n\
                 torc_disk_bytes:{}\r\n",
                facts.disk_bytes,
            ),
        ),
        (
            "stats",
            format!(
                "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n",
                facts.connections, facts.requests,
            ),
        ),
        (
            "replication",
            "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n".to_owned(),
        ),
        ("cluster", "# Cluster\r\ncluster_enabled:0\r\n".to_owned()),
        // How many keys a bucket has is known only to a walk over it: DBSIZE.
        ("keyspace", "# Keyspace\r\n".to_owned()),
    ];
    let asked: Vec<String> = call.arguments[1..]
        .iter()
        .map(|section| String::from_utf8_lossy(section).to_ascii_lowercase())
        .collect();
    let all = asked.is_empty()
        || asked
            .iter()
            .any(|section| ["all", "default", "everything"].contains(&&section[..]));
    let shown = sections
        .iter()
        .filter(|(name, _)| all || asked.iter().any(|section| section == name));
    let text: Vec<&str> = shown.map(|(_, text)| &text[..]).collect();
    reply::verbatim(call.out, &text.join("\r\n"), call.session.dialect);
    Ok(Plan::Answered)
}

/// FUNCTION FLUSH | LIST
pub fn function(call: &mut Call<'_>) -> Planned {
    match &call.word(1)[..] {
        "FLUSH" => ok(call),
        "LIST" => {
            reply::array(call.out, 0);
            Ok(Plan::Answered)
        }
        _ => Err("ERR functions are not in this version".into()),
    }
}

/// OBJECT ENCODING | REFCOUNT | IDLETIME | FREQ key
pub fn object(call: &mut Call<'_>) -> Planned {
    match (&call.word(1)[..], call.arguments.len()) {
        ("ENCODING", 3) => {
            reply::bulk(call.out, b"raw");
            Ok(Plan::Answered)
        }
        ("REFCOUNT", 3) => {
            reply::integer(call.out, 1);
            Ok(Plan::Answered)
        }
        ("IDLETIME" | "FREQ", 3) => {
            reply::integer(call.out, 0);
            Ok(Plan::Answered)
        }
        _ => Err(unknown_subcommand(call)),
    }
}

/// WAIT numreplicas timeout: what was acknowledged is at its quorum already
pub fn wait(call: &mut Call<'_>) -> Planned {
    call.integer(1)?;
    if call.integer(2)? < 0 {
        return Err("ERR timeout is negative".into());
    }
    reply::integer(call.out, 0);
    Ok(Plan::Answered)
}

/// DEBUG
pub fn debug(_: &mut Call<'_>) -> Planned {
    Err("ERR DEBUG is not in this version; faults are set by POST /v1/faults on the HTTP port".into())
}
