//! Precedence, defaults, and every problem at once.

use std::collections::BTreeMap;

use torc_core::id::BucketId;

use super::fields::{FIELDS, Kind};
use super::{ByteSize, Config, Layers, Problems};

fn read(text: &str) -> Result<Config, Problems> {
    let mut layers = Layers::default();
    layers.file("torc.toml", text);
    Config::from_layers(layers)
}

fn problems(text: &str) -> Vec<String> {
    read(text)
        .expect_err("has problems")
        .0
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = read("").expect("legal");
    assert_eq!(config, Config::default());
    let table = toml::Table::try_from(&config).expect("a table");
    for field in FIELDS
        .iter()
        .filter(|field| !field.name.starts_with("members.") && !field.name.starts_with("buckets."))
    {
        let value = field
            .name
            .split('.')
            .fold(Some(&toml::Value::Table(table.clone())).cloned(), |at, part| {
                at?.get(part).cloned()
            });
        let value = value.unwrap_or_else(|| panic!("{} is not in the struct", field.name));
        let shown = match &value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match field.kind {
            Kind::Size(..) => assert_eq!(
                ByteSize::parse(&shown),
                ByteSize::parse(field.default),
                "{}",
                field.name
            ),
            _ => assert_eq!(shown, field.default, "{}", field.name),
        }
    }
}

#[test]
fn every_field_of_the_struct_is_in_the_list() {
    let members = vec![Config::default().own_entry()];
    let config = Config {
        members,
        ..Config::default()
    };
    let table = toml::Table::try_from(&config).expect("a table");
    for (name, value) in &table {
        match value {
            toml::Value::Table(inner) => {
                for inner_name in inner.keys() {
                    assert!(
                        super::fields::find(&format!("{name}.{inner_name}")).is_some(),
                        "{name}.{inner_name}"
                    );
                }
            }
            toml::Value::Array(items) => {
                for inner_name in items[0].as_table().expect("a table").keys() {
                    assert!(
                        super::fields::find(&format!("{name}.{inner_name}")).is_some(),
                        "{name}.{inner_name}"
                    );
                }
            }
            _ => assert!(super::fields::find(name).is_some(), "{name}"),
        }
    }
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let mut layers = Layers::default();
    layers.file(
        "torc.toml",
        "name = \"file\"\nbase_port = 100\nslow_ms = 7\n[limits]\nconnections_max = 5\n",
    );
    let variables = BTreeMap::from(
        [
            ("TORC_NAME", "variable"),
            ("TORC_BASE_PORT", "200"),
            ("TORC_LIMITS_CONNECTIONS_MAX", "6"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    layers.environment(&variables);
    layers.flag("name", "flag");
    let config = Config::from_layers(layers).expect("legal");
    assert_eq!(
        (config.name.as_str(), config.base_port, config.slow_ms),
        ("flag", 200, 7)
    );
    assert_eq!(config.limits.connections_max, 6);
}

#[test]
fn every_problem_is_told_at_once() {
    let told = problems(
        "nmae = \"x\"\nbase_port = 70000\nhost = \"0.0.0.0\"\nmemory_max = \"lots\"\nshards = 65\n\
         [limits]\nconnections_max = \"many\"\n\
         [[buckets]]\nname = \"Bad Name\"\nn = 2\nr = 3\n[[buckets]]\nmode = \"available\"\n",
    );
    for part in [
        "unknown field `nmae`",
        "did you mean `name`?",
        "`base_port` (in torc.toml) is 70000",
        "--insecure",
        "`memory_max` (in torc.toml) is \"lots\"",
        "`shards` (in torc.toml) is 65",
        "`limits.connections_max`",
        "`Bad Name` is no bucket name",
        "`r` of bucket Bad Name is 3",
        "item 2 of `buckets` (in torc.toml) has no legal name",
    ] {
        assert!(
            told.iter().any(|line| line.contains(part)),
            "nothing says {part}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 9, "{told:#?}");
}

#[test]
fn a_variable_that_is_no_number_is_named() {
    let mut layers = Layers::default();
    layers.environment(&BTreeMap::from([("TORC_BASE_PORT".to_owned(), "abc".to_owned())]));
    let told = Config::from_layers(layers).expect_err("refused").to_string();
    assert!(
        told.contains("by TORC_BASE_PORT") && told.contains("whole number"),
        "{told}"
    );
}

#[test]
fn a_node_takes_its_address_from_the_member_list_and_may_not_contradict_it() {
    let members = "name = \"b\"\n%\n[[members]]\nname = \"a\"\nbase_port = 100\n[[members]]\nname = \"b\"\nbase_port = 200\nrack = \"r9\"\n";
    let config = read(&members.replace('%', "")).expect("legal");
    assert_eq!((config.base_port, config.rack.as_str()), (200, "r9"));
    let told = problems(&members.replace('%', "base_port = 300"));
    assert!(
        told[0].contains("`base_port` is 300 (in torc.toml) and 200 in [[members]]"),
        "{told:?}"
    );
}

#[test]
fn members_that_can_not_live_together_are_refused() {
    let told = problems(
        "name = \"c\"\n[[members]]\nname = \"a\"\nbase_port = 100\n[[members]]\nname = \"a\"\nbase_port = 200\n\
         [[members]]\nname = \"b\"\nbase_port = 103\n",
    );
    assert!(
        told.iter().any(|line| line.contains("no member is called so")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains("two [[members]] are called a")),
        "{told:?}"
    );
    assert!(told.iter().any(|line| line.contains("share ports")), "{told:?}");
}

#[test]
fn a_configured_bucket_replaces_the_initial_one_of_its_name_and_others_get_their_own_ids() {
    let config = read("[[buckets]]\nname = \"redis\"\nw = \"all\"\n[[buckets]]\nname = \"carts\"\nn = 5\nr = 2\n")
        .expect("legal");
    let buckets = config.all_buckets();
    let of = |name: &str| buckets.iter().find(|bucket| *bucket.name == *name).expect("there");
    assert_eq!(
        (of("redis").id, of("redis").w),
        (BucketId(2), torc_core::quorum::QuorumSize::All)
    );
    assert_eq!((of("carts").id, of("carts").n), (BucketId(17), 5));
    assert_eq!(buckets.len(), 4);
    assert_eq!(config.catalog().iter().count(), 4);
}

#[test]
fn a_memory_bucket_is_buffered_and_a_synced_one_is_refused() {
    let config = read("[[buckets]]\nname = \"cache\"\nstorage = \"memory\"\n").expect("legal");
    let cache = config
        .all_buckets()
        .into_iter()
        .find(|bucket| &*bucket.name == "cache")
        .expect("there");
    assert_eq!(cache.durability, torc_core::bucket::Durability::Buffered);
    let told = problems("[[buckets]]\nname = \"cache\"\nstorage = \"memory\"\ndurability = \"synced\"\n");
    assert!(told[0].contains("`synced` in `memory`"), "{told:?}");
}
