//! Where a configuration's values come from: flags beat the environment, which beats the file. The layers are laid over
//! one another as a TOML table; whatever can't be read is a problem, and the rest is judged all the same.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::fields::{FIELDS, Field, Kind, find, variable};
use super::problem::Problem;
use super::size::ByteSize;
use torc_core::quorum::QuorumSize;

/// Where a value was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In the file.
    File(String),
    /// By an environment variable.
    Variable(String),
    /// By a flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {path}"),
            Self::Variable(name) => write!(f, "by {name}"),
            Self::Flag(flag) => write!(f, "by {flag}"),
        }
    }
}

/// The layers laid over one another.
#[derive(Debug, Default)]
pub struct Layers {
    /// What was given, legal values only.
    pub table: Table,
    /// Where each value came from, by path.
    pub origins: BTreeMap<String, Origin>,
    /// What could not be used.
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Lays down a file.
    pub fn file(&mut self, path: &str, text: &str) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let what = format!("{path} can't be read as TOML");
                self.problems
                    .push(Problem::new(what, error.to_string().trim_end(), "correct that line"));
                return;
            }
        };
        let origin = Origin::File(path.to_owned());
        for (name, value) in table {
            match (name.as_str(), value) {
                ("members" | "buckets", Value::Array(items)) => self.list(&name, items, &origin),
                ("clock" | "limits", Value::Table(inner)) => {
                    for (inner_name, value) in inner {
                        self.set(&format!("{name}.{inner_name}"), value, origin.clone());
                    }
                }
                (_, value) => self.set(&name, value, origin.clone()),
            }
        }
    }

    /// Lays the environment over what is there.
    pub fn environment(&mut self, variables: &BTreeMap<String, String>) {
        for field in FIELDS {
            let Some(name) = variable(field) else { continue };
            if let Some(text) = variables.get(&name) {
                self.set(field.name, from_text(field, text), Origin::Variable(name));
            }
        }
    }

    /// Lays a flag over what is there.
    pub fn flag(&mut self, name: &str, value: impl Into<Value>) {
        let flag = format!("--{}", name.replace('_', "-"));
        self.set(name, value.into(), Origin::Flag(flag));
    }

    fn list(&mut self, name: &str, items: Vec<Value>, origin: &Origin) {
        let mut kept = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let Value::Table(entry) = item else {
                let what = format!("item {} of `{name}` ({origin}) is no table", at + 1);
                self.problems.push(Problem::new(
                    what,
                    "each has several fields",
                    format!("write [[{name}]] before it"),
                ));
                continue;
            };
            let mut legal = Table::new();
            for (inner_name, value) in entry {
                let path = format!("{name}.{inner_name}");
                let told = format!("`{inner_name}` of item {} of `{name}` ({origin})", at + 1);
                if let Some(value) = self.legal(&path, &told, value) {
                    legal.insert(inner_name, value);
                }
            }
            if legal.contains_key("name") {
                kept.push(Value::Table(legal));
            } else {
                let what = format!("item {} of `{name}` ({origin}) has no legal name", at + 1);
                self.problems
                    .push(Problem::new(what, "the name is its identity", "add `name = \"…\"`"));
            }
        }
        self.origins.insert(name.to_owned(), origin.clone());
        self.table.insert(name.to_owned(), Value::Array(kept));
    }

    fn set(&mut self, path: &str, value: Value, origin: Origin) {
        let told = format!("`{path}` ({origin})");
        let Some(value) = self.legal(path, &told, value) else {
            return;
        };
        match path.split_once('.') {
            None => {
                self.table.insert(path.to_owned(), value);
            }
            Some((outer, inner)) => {
                let entry = self.table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(table) = entry {
                    table.insert(inner.to_owned(), value);
                }
            }
        }
        self.origins.insert(path.to_owned(), origin);
    }

    /// The value if the field exists and may hold it; else a problem.
    fn legal(&mut self, path: &str, told: &str, value: Value) -> Option<Value> {
        let Some(field) = find(path) else {
            let remedy = match nearest(path) {
                Some(name) => format!("did you mean `{name}`? docs/configuration.md lists all fields"),
                None => "docs/configuration.md lists all fields".to_owned(),
            };
            self.problems.push(Problem::new(
                format!("unknown field {told}"),
                "a misspelt field would be ignored",
                remedy,
            ));
            return None;
        };
        match judge(field, &value) {
            Ok(()) => Some(value),
            Err((why, remedy)) => {
                self.problems
                    .push(Problem::new(format!("{told} is {value}"), why, remedy));
                None
            }
        }
    }
}

/// Whether the field may hold the value; else why not, and what to write.
fn judge(field: &Field, value: &Value) -> Result<(), (String, String)> {
    let between = |low: String, high: String| {
        (
            format!("allowed is {low} to {high}"),
            "choose a value in that range".to_owned(),
        )
    };
    let kind = |what: &str, example: &str| (format!("{what} is needed"), format!("write it like {example}"));
    match (field.kind, value) {
        (Kind::Text, Value::String(text)) if !text.is_empty() => Ok(()),
        (Kind::Text, _) => Err(kind("a text that is not empty", "\"text\"")),
        (Kind::Flag, Value::Boolean(_)) => Ok(()),
        (Kind::Flag, _) => Err(kind("true or false", "true")),
        (Kind::Number(low, high), Value::Integer(number)) if (low..=high).contains(number) => Ok(()),
        (Kind::Number(low, high), Value::Integer(_)) => Err(between(low.to_string(), high.to_string())),
        (Kind::Number(..), _) => Err(kind("a whole number", "5")),
        (Kind::Size(low, high), value) => {
            let size = match value {
                Value::Integer(number) => u64::try_from(*number).map(ByteSize).map_err(|_| String::new()),
                Value::String(text) => ByteSize::parse(text),
                _ => Err(String::new()),
            };
            match size {
                Ok(size) if (low..=high).contains(&size.0) => Ok(()),
                Ok(_) => Err(between(ByteSize(low).to_string(), ByteSize(high).to_string())),
                Err(_) => Err(kind("a size in bytes, KiB, MiB, GiB or TiB", "\"64MiB\"")),
            }
        }
        (Kind::Choice(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Kind::Choice(words), _) => Err(kind(
            &format!("one of {}", words.join(", ")),
            &format!("\"{}\"", words[0]),
        )),
        (Kind::Quorum, Value::String(text)) if QuorumSize::parse(text).is_some() => Ok(()),
        (Kind::Quorum, Value::Integer(1..=9)) => Ok(()),
        (Kind::Quorum, _) => Err(kind(
            "1 to 9, one, quorum, all, local_one, local_quorum or each_quorum",
            "\"quorum\" or 2",
        )),
    }
}

/// A variable's text as the kind of value its field holds; text that is no such value is left for `judge` to refuse.
fn from_text(field: &Field, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match field.kind {
        Kind::Number(..) => text.parse().map_or_else(|_| as_text(), Value::Integer),
        Kind::Flag => match text {
            "true" | "1" => Value::Boolean(true),
            "false" | "0" => Value::Boolean(false),
            _ => as_text(),
        },
        Kind::Text | Kind::Size(..) | Kind::Choice(_) | Kind::Quorum => as_text(),
    }
}

/// The known field that looks most like this one, if any does.
fn nearest(path: &str) -> Option<&'static str> {
    let scored = FIELDS.iter().map(|field| (distance(path, field.name), field.name));
    scored
        .min()
        .filter(|(distance, _)| *distance <= 1 + path.len() / 4)
        .map(|best| best.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
