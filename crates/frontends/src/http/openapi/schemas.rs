//! The shapes of JSON bodies. Tests hold every document that is rendered against these.

use serde_json::{Map, Value, json};

use crate::http::problem::Code;
use crate::http::query::Parameter;

/// `{"$ref": …}`.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What values a query parameter can have.
pub(crate) fn of_parameter(parameter: Parameter) -> Value {
    match parameter {
        Parameter::Sort
        | Parameter::Key
        | Parameter::Prefix
        | Parameter::StartSort
        | Parameter::StartCursor
        | Parameter::Bucket
        | Parameter::Context => text(),
        Parameter::R | Parameter::W => json!({
            "type": "string",
            "pattern": "^([1-9]|one|quorum|all|local_one|local_quorum|each_quorum)$",
        }),
        Parameter::Strict | Parameter::Blind => json!({ "type": "boolean" }),
        Parameter::Consistency => json!({ "type": "string", "enum": ["eventual", "quorum", "strong"] }),
        Parameter::Ttl => json!({ "type": "integer", "minimum": 1, "maximum": torc_core::limits::TTL_SECONDS_MAX }),
        Parameter::TimeoutMs => {
            json!({ "type": "integer", "minimum": 1, "maximum": torc_core::limits::TIMEOUT_MS_MAX, "default": 5_000 })
        }
        Parameter::Limit => {
            json!({ "type": "integer", "minimum": 1, "maximum": torc_core::limits::PAGE_ITEMS_MAX, "default": 100 })
        }
    }
}

/// `components.schemas`.
pub(crate) fn all() -> Map<String, Value> {
    let named = [
        ("Error", error()),
        ("Siblings", object(&found_fields(), &[])),
        ("Sibling", sibling()),
        ("SortKeysPage", page(&sort_key_item())),
        ("KeysPage", page(&object(&[("key", text()), ("sort", text())], &[]))),
        ("BatchRequest", batch_request()),
        ("BatchResults", object(&[("results", list(&batch_result()))], &[])),
        ("Inspected", inspected()),
        ("Record", record()),
        ("ContextParts", context_parts()),
        ("Clock", object(&[("at", moment()), ("count", whole())], &[])),
        ("Buckets", object(&[("buckets", list(&reference("Bucket")))], &[])),
        ("Bucket", bucket()),
        ("Cluster", cluster()),
        ("Ring", ring()),
        ("Status", status()),
        ("Faults", faults()),
        (
            "Pace",
            object(
                &[
                    ("paused", truth()),
                    ("bytes_per_second", whole()),
                    ("run_going", truth()),
                ],
                &[],
            ),
        ),
        (
            "PaceChange",
            object(
                &[],
                &[("paused", truth()), ("bytes_per_second", whole()), ("run_now", truth())],
            ),
        ),
        ("State", object(&[("status", text())], &[])),
        ("Document", json!({ "type": "object" })),
    ];
    named
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = required
        .iter()
        .chain(optional)
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = required.iter().map(|field| field.0).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn list(item: &Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn moment_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn whole_or_null() -> Value {
    json!({ "type": ["integer", "null"] })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn one_of(texts: &[&str]) -> Value {
    json!({ "type": "string", "enum": texts })
}

fn error_required() -> Vec<(&'static str, Value)> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.text()).collect();
    vec![
        ("error", one_of(&codes)),
        ("message", text()),
        ("outcome", one_of(&["not_applied", "unknown"])),
    ]
}

fn error_optional() -> Vec<(&'static str, Value)> {
    ["needed", "answered", "limit", "actual", "retry_after_ms"]
        .into_iter()
        .map(|name| (name, whole()))
        .collect()
}

fn error() -> Value {
    object(&error_required(), &error_optional())
}

fn found_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("context", text_or_null()),
        ("siblings", list(&reference("Sibling"))),
        ("tombstones", whole()),
    ]
}

fn sibling() -> Value {
    object(
        &[
            ("value", json!({ "type": "string", "contentEncoding": "base64" })),
            ("content_type", text()),
            ("dot", text()),
            ("written_at", moment()),
        ],
        &[("expires_at", moment())],
    )
}

fn sort_key_item() -> Value {
    let mut fields = vec![("key", text()), ("sort", text())];
    fields.extend(found_fields());
    object(&fields, &[])
}

fn page(item: &Value) -> Value {
    object(&[("items", list(item)), ("next", text_or_null())], &[])
}

fn batch_request() -> Value {
    let item = object(
        &[
            ("op", one_of(&["put", "get", "delete"])),
            ("bucket", text()),
            ("key", text()),
        ],
        &[
            ("sort", text()),
            ("value", json!({ "type": "string", "contentEncoding": "base64" })),
            ("content_type", text()),
            ("context", text_or_null()),
            ("ttl", of_parameter(Parameter::Ttl)),
            ("blind", truth()),
        ],
    );
    let size = json!({ "type": ["integer", "string"] });
    object(&[("operations", list(&item))], &[("r", size.clone()), ("w", size)])
}

fn batch_result() -> Value {
    let mut optional = found_fields();
    optional.extend(error_required());
    optional.extend(error_optional());
    optional.extend([("n", whole()), ("sloppy", truth())]);
    object(&[("status", whole())], &optional)
}

fn inspected() -> Value {
    let record_or_null = json!({ "oneOf": [reference("Record"), { "type": "null" }] });
    let home = object(
        &[
            ("node", text()),
            ("state", one_of(&["record", "absent", "damaged", "silent"])),
            ("record", record_or_null.clone()),
        ],
        &[],
    );
    object(
        &[
            ("bucket", text()),
            ("key", text()),
            ("sort", text()),
            ("homes", list(&home)),
            ("merged", record_or_null),
        ],
        &[],
    )
}

fn payload_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("content_type", text()),
        ("value_bytes", whole()),
        ("value", text_or_null()),
    ]
}

fn record() -> Value {
    let request = object(&[("id", text()), ("dot", text()), ("at", moment())], &[]);
    let holds = || one_of(&["value", "tombstone", "hash"]);
    let version = object(
        &[
            ("holds", holds()),
            ("dot", text()),
            ("written_at", moment()),
            ("expires_at", moment_or_null()),
        ],
        &payload_fields(),
    );
    let seen = object(
        &[("token", text())],
        &[("vector", list(&vector_entry())), ("dots", list(&text()))],
    );
    let mut optional = payload_fields();
    optional.extend([
        ("siblings", list(&version)),
        ("holds", holds()),
        ("dot", text()),
        ("clock", reference("Clock")),
        ("written_at", moment()),
        ("expires_at", moment_or_null()),
        ("expiry_clock", reference("Clock")),
        ("cleared_at", reference("Clock")),
    ]);
    object(
        &[
            ("kind", one_of(&["siblings", "lww"])),
            ("context", seen),
            ("requests", list(&request)),
            ("stored_bytes", whole()),
            ("checksum", text()),
        ],
        &optional,
    )
}

fn vector_entry() -> Value {
    object(&[("actor", text()), ("counter", whole())], &[])
}

fn context_parts() -> Value {
    object(
        &[("kind", one_of(&["dots", "clock"]))],
        &[
            ("vector", list(&vector_entry())),
            ("dots", list(&text())),
            ("clock", reference("Clock")),
        ],
    )
}

fn bucket() -> Value {
    object(
        &[
            ("name", text()),
            ("mode", one_of(&["available", "consistent"])),
            ("n", whole()),
            ("n_wanted", whole()),
            ("r", text()),
            ("w", text()),
            ("conflict", one_of(&["siblings", "lww"])),
            ("durability", one_of(&["synced", "buffered"])),
            ("storage", one_of(&["disk", "memory"])),
            ("ttl", whole_or_null()),
            ("value_bytes_max", whole()),
            ("siblings_max", whole()),
            ("placement", text()),
        ],
        &[],
    )
}

fn cluster() -> Value {
    let node = object(
        &[
            ("id", text()),
            ("name", text()),
            ("host", text()),
            ("base_port", whole()),
            ("dc", text()),
            ("rack", text()),
            ("capacity", whole()),
            ("liveness", one_of(&["alive", "suspect", "dead", "left"])),
            ("virtual_nodes", whole()),
            ("bytes", whole_or_null()),
        ],
        &[],
    );
    object(
        &[
            ("cluster", text()),
            ("ring_epoch", whole()),
            ("partitions", whole()),
            ("nodes", list(&node)),
        ],
        &[],
    )
}

fn ring() -> Value {
    object(
        &[
            ("partition", whole()),
            ("ring_epoch", whole()),
            ("homes", list(&text())),
            ("fallbacks", list(&text())),
        ],
        &[],
    )
}

fn nullable(schema: Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

fn status() -> Value {
    let wholes =
        |names: &[&'static str]| -> Vec<(&'static str, Value)> { names.iter().map(|name| (*name, whole())).collect() };
    let transfer = object(
        &[
            ("kind", text()),
            ("bucket", text()),
            ("share_done", json!({ "type": "number" })),
            ("eta_seconds", whole_or_null()),
        ],
        &[],
    );
    let mut peer = wholes(&["bytes", "read_p95_us", "reads_max"]);
    peer.extend([
        ("node", text()),
        ("up", truth()),
        ("circuit", text()),
        ("says_slow", truth()),
    ]);
    let peer = object(&peer, &[]);
    let mut queues = wholes(&[
        "operations",
        "operations_max",
        "running",
        "running_max",
        "waiting",
        "waiting_ms",
        "shed",
        "commits",
        "connections",
    ]);
    queues.push(("peers", list(&peer)));
    let mut store = wholes(&["bytes", "commits", "syncs"]);
    store.extend([
        ("free_bytes", whole_or_null()),
        ("full", truth()),
        ("slow", truth()),
        ("cache", object(&wholes(&["bytes", "bytes_max", "hits", "misses"]), &[])),
    ]);
    let mut hints = wholes(&["pending", "bytes", "bytes_max", "delivered"]);
    let for_home = object(&[("home", text()), ("records", whole()), ("oldest_at", moment())], &[]);
    hints.extend([("homes", list(&for_home)), ("run_going", truth())]);
    let mut anti_entropy = wholes(&["exchanges", "keys_repaired", "bytes", "trees", "trees_counted"]);
    anti_entropy.extend([("running", truth()), ("run_going", truth())]);
    let mut reaping = wholes(&["waiting", "reaped", "quarantined", "walks"]);
    let block = object(
        &[
            ("node", text()),
            ("reason", one_of(&["away", "hints"])),
            ("since", moment()),
        ],
        &[],
    );
    reaping.extend([("blocked_by", list(&block)), ("run_going", truth())]);
    let hot_key = object(&[("bucket", text()), ("key", text()), ("requests", whole())], &[]);
    object(
        &[
            ("name", text()),
            ("hints", object(&hints, &[])),
            ("dirty_ranges", whole()),
            ("anti_entropy", object(&anti_entropy, &[])),
            ("scrub", scrub()),
            ("reaping", object(&reaping, &[])),
            ("transfers", list(&transfer)),
            ("queues", object(&queues, &[])),
            ("store", object(&store, &[])),
            ("actor", object(&[("life", text()), ("incarnation", whole())], &[])),
            ("clock", object(&[("skew_ms", whole()), ("sound", truth())], &[])),
            ("hot_keys", list(&hot_key)),
            ("warnings", list(&text())),
        ],
        &[],
    )
}

fn scrub() -> Value {
    object(
        &[
            ("running", truth()),
            ("run_going", truth()),
            ("share_done", json!({ "type": "number" })),
            ("began_at", nullable(moment())),
            ("ended_at", nullable(moment())),
            ("records", whole()),
            ("bytes", whole()),
            ("damaged", whole()),
            ("damaged_now", whole()),
            ("mended", whole()),
        ],
        &[],
    )
}

fn faults() -> Value {
    object(
        &[],
        &[
            ("cut", list(&text())),
            ("one_way", truth()),
            ("drop", json!({ "type": "number", "minimum": 0, "maximum": 1 })),
            (
                "delay_ms",
                json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 60_000 }, "minItems": 2, "maxItems": 2 }),
            ),
            ("fsync", one_of(&["ok", "fail", "lie", "slow"])),
            ("fsync_ms", whole()),
            ("running_max", whole()),
            ("reap_age_ms", whole()),
            ("free_bytes", whole()),
        ],
    )
}
