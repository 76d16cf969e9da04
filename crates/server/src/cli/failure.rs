//! How a command ends when it is not done: one clear line, or the error object, and an exit code (RULINGS 40).

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{Answer, CallError};

/// Refused or failed: nothing was done.
pub const FAILED: u8 = 1;
/// The write may or may not have been done.
pub const UNKNOWN: u8 = 3;

/// Whether the request could have changed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// It only reads.
    Read,
    /// It writes.
    Write,
}

/// Why a command was not done.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: u8,
    /// The HTTP error object, as received or as made here.
    pub error: Value,
}

impl Failure {
    /// A failure of this program's own making; nothing was sent.
    pub fn local(error: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code: FAILED,
            error: json!({"error": error, "message": message, "outcome": "not_applied"}),
        }
    }

    /// The answer of a node that refused.
    pub fn answered(answer: &Answer) -> Self {
        let error = serde_json::from_slice(&answer.body)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| {
                let text = String::from_utf8_lossy(&answer.body);
                json!({"error": format!("status_{}", answer.status), "message": text.trim(), "outcome": "unknown"})
            });
        let unknown = error["outcome"] == "unknown";
        Self {
            code: if unknown { UNKNOWN } else { FAILED },
            error,
        }
    }

    /// No answer at all.
    pub fn unanswered(error: CallError, intent: Intent) -> Self {
        match error {
            CallError::NotSent(why) => Self::local(
                "unreachable",
                format!("{why}; is the node running? --addr names another"),
            ),
            CallError::Lost(why) if intent == Intent::Read => Self::local("connection_lost", why),
            CallError::Lost(why) => {
                let message = format!("{why}; the write may or may not have been done: read the key to find out");
                let error = json!({"error": "connection_lost", "message": message, "outcome": "unknown"});
                Self { code: UNKNOWN, error }
            }
        }
    }

    /// Something that a later version will do.
    pub fn later(what: &str) -> Self {
        let message = format!("`{what}` is not in this version; see CHANGELOG.md for what is");
        Self::local("not_in_this_version", message)
    }

    /// Prints it on stderr.
    pub fn report(&self, as_json: bool) -> ExitCode {
        if as_json {
            eprintln!("{}", self.error);
        } else {
            let part = |name: &str| self.error[name].as_str().unwrap_or_default();
            eprintln!("torc: {}: {}", part("error"), part("message"));
        }
        ExitCode::from(self.code)
    }
}
