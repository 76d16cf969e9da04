//! `torc inspect`: what each home holds for a key, or what is inside a context.

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::{Session, percent, print_line};

/// `torc inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The bucket
    #[arg(required_unless_present = "context", requires = "key")]
    pub bucket: Option<String>,
    /// The key
    pub key: Option<String>,
    /// The sort key
    #[arg(long, requires = "key")]
    pub sort_key: Option<String>,
    /// Decode this context instead
    #[arg(long, conflicts_with = "bucket", value_name = "TOKEN")]
    pub context: Option<String>,
}

/// Prints the JSON, indented for people.
pub fn run(args: &InspectArgs, session: &mut Session) -> Result<(), Failure> {
    let value = match (&args.context, &args.bucket, &args.key) {
        (Some(token), _, _) => {
            let query = percent::query(&[("context", Some(token.clone()))]);
            session.json_of(&format!("/v1/inspect{query}"))?
        }
        (None, Some(bucket), Some(key)) => {
            let (bucket, key) = (percent::encode(bucket.as_bytes()), percent::encode(key.as_bytes()));
            let query = percent::query(&[("sort", args.sort_key.clone())]);
            session.json_of(&format!("/v1/inspect/{bucket}/{key}{query}"))?
        }
        (None, _, _) => return Err(Failure::local("bad_request", "name a bucket and a key, or a --context")),
    };
    print_line(&if session.json {
        value.to_string()
    } else {
        pretty(&value)
    });
    Ok(())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
