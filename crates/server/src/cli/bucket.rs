//! `torc bucket`: what buckets there are.

use clap::Subcommand;
use comfy_table::{Table, TableStyle};
use serde_json::Value;

use super::failure::Failure;
use super::{Later, Session, percent, print_line};

/// `torc bucket`.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// List all buckets
    List,
    /// Show one bucket
    Show {
        /// Its name
        name: String,
    },
    /// Create a bucket (not in this version)
    Create(Later),
    /// Change a bucket (not in this version)
    Set(Later),
    /// Drop a bucket (not in this version)
    Drop(Later),
}

/// Runs it.
pub fn run(command: &BucketCommand, session: &mut Session) -> Result<(), Failure> {
    match command {
        BucketCommand::List => {
            let answer = session.json_of("/v1/buckets")?;
            if session.json {
                print_line(&answer.to_string());
                return Ok(());
            }
            let mut table = Table::new();
            let columns = ["name", "mode", "conflict", "n", "r", "w", "durability", "storage"];
            table.load_style(TableStyle::new()).set_header(columns);
            for bucket in answer["buckets"].as_array().into_iter().flatten() {
                table.add_row(columns.map(|column| shown(&bucket[column])));
            }
            print_line(&table.trim_fmt());
            Ok(())
        }
        BucketCommand::Show { name } => {
            let bucket = session.json_of(&format!("/v1/buckets/{}", percent::encode(name.as_bytes())))?;
            if session.json {
                print_line(&bucket.to_string());
            } else {
                for (field, value) in bucket.as_object().into_iter().flatten() {
                    print_line(&format!("{field:16} {}", shown(value)));
                }
            }
            Ok(())
        }
        BucketCommand::Create(_) => Err(refused("create")),
        BucketCommand::Set(_) => Err(refused("set")),
        BucketCommand::Drop(_) => Err(refused("drop")),
    }
}

fn refused(what: &str) -> Failure {
    let message = format!(
        "`torc bucket {what}` is not in this version; buckets stand in [[buckets]] of every node's torc.toml (docs/configuration.md)"
    );
    Failure::local("not_in_this_version", message)
}

/// A JSON value for a table: texts without quotes, nothing as `-`.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
