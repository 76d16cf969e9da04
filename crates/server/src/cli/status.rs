//! `torc status`: the inner state of one node.

use serde_json::Value;

use super::bucket::shown;
use super::failure::Failure;
use super::{Session, print_line};

/// Prints it, one value a line.
pub fn run(session: &mut Session) -> Result<(), Failure> {
    let status = session.json_of("/v1/status")?;
    if session.json {
        print_line(&status.to_string());
    } else {
        print_tree("", &status);
    }
    Ok(())
}

/// `a.b.c  value` for every leaf.
fn print_tree(path: &str, value: &Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, inner) in fields {
                let inner_path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                print_tree(&inner_path, inner);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                print_tree(path, item);
            }
        }
        other => print_line(&format!("{path:32} {}", shown(other))),
    }
}
