//! `torc list`: the keys of a bucket in ring order, or the sort keys of one key in byte order.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{Session, Sureness, percent, print_line};

const PAGE_ITEMS: u64 = 1_000;

/// `torc list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The bucket
    pub bucket: String,
    /// List the sort keys of this key
    pub key: Option<String>,
    /// Only sort keys that start so
    #[arg(long, requires = "key")]
    pub prefix: Option<String>,
    /// From this sort key on, or after the cursor of an earlier listing
    #[arg(long)]
    pub start: Option<String>,
    /// Stop after so many
    #[arg(long)]
    pub limit: Option<u64>,
    /// Answers to wait for: a number or a name such as quorum
    #[arg(long)]
    pub r: Option<String>,
    /// eventual, quorum or strong
    #[arg(long, conflicts_with = "r")]
    pub consistency: Option<String>,
    #[command(flatten)]
    pub sureness: Sureness,
}

/// Prints one item a line, keys percent-encoded; in JSON one object with all items.
pub fn run(args: &ListArgs, session: &mut Session) -> Result<(), Failure> {
    let bucket = percent::encode(args.bucket.as_bytes());
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut start = args.start.clone();
    let mut gathered = Vec::new();
    while left > 0 {
        let [strict, timeout] = args.sureness.pairs();
        let pairs = [
            ("key", args.key.clone()),
            ("prefix", args.prefix.clone()),
            ("start", start.clone()),
            ("limit", Some(left.min(PAGE_ITEMS).to_string())),
            ("r", args.r.clone()),
            ("consistency", args.consistency.clone()),
            strict,
            timeout,
        ];
        let what = if args.key.is_some() { "kv" } else { "keys" };
        let target = format!("/v1/{what}/{bucket}{}", percent::query(&pairs));
        let page = session.json_of(&target)?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        left = left.saturating_sub(items.len() as u64);
        if session.json {
            gathered.extend(items);
        } else {
            items
                .iter()
                .for_each(|item| print_line(&line(item, args.key.is_some())));
        }
        start = page["next"].as_str().map(str::to_owned);
        if start.is_none() {
            break;
        }
    }
    if session.json {
        print_line(&json!({"items": gathered, "next": start}).to_string());
    }
    Ok(())
}

/// `key`, `key<TAB>sort`, or `sort` alone where all items have one key.
fn line(item: &Value, one_key: bool) -> String {
    let part = |name: &str| item[name].as_str().unwrap_or_default();
    match (one_key, part("sort")) {
        (true, sort) => sort.to_owned(),
        (false, "") => part("key").to_owned(),
        (false, sort) => format!("{}\t{sort}", part("key")),
    }
}
