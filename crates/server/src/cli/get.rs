//! `torc get`: the raw value of a key.

use std::io::{IsTerminal, Write};

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::failure::{Failure, Intent};
use super::{Session, Sureness, percent, print_line, record_path};

/// `torc get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The bucket
    pub bucket: String,
    /// The key
    pub key: String,
    /// The sort key
    #[arg(long)]
    pub sort_key: Option<String>,
    /// Answers to wait for: a number or a name such as quorum
    #[arg(long)]
    pub r: Option<String>,
    /// eventual, quorum or strong
    #[arg(long, conflicts_with = "r")]
    pub consistency: Option<String>,
    #[command(flatten)]
    pub sureness: Sureness,
}

/// Prints the value; several siblings are a failure unless JSON was asked for.
pub fn run(args: &GetArgs, session: &mut Session) -> Result<(), Failure> {
    let [strict, timeout] = args.sureness.pairs();
    let sort = ("sort", args.sort_key.clone());
    let pairs = [
        sort,
        ("r", args.r.clone()),
        ("consistency", args.consistency.clone()),
        strict,
        timeout,
    ];
    let target = record_path(&args.bucket, &args.key) + &percent::query(&pairs);
    if session.json {
        let headers = [("accept", "application/json")];
        let answer = session.call(Intent::Read, Method::GET, &target, &headers, Bytes::new(), &[200])?;
        print_line(String::from_utf8_lossy(&answer.body).trim_end());
        return Ok(());
    }
    let answer = session.call(Intent::Read, Method::GET, &target, &[], Bytes::new(), &[200, 300])?;
    if answer.status == 300 {
        return Err(several(&answer.body, args));
    }
    let mut out = std::io::stdout().lock();
    let newline: &[u8] = if out.is_terminal() { b"\n" } else { b"" };
    if out
        .write_all(&answer.body)
        .and_then(|()| out.write_all(newline))
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
    Ok(())
}

/// One line per sibling on stderr, then the failure.
fn several(body: &[u8], args: &GetArgs) -> Failure {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let siblings = parsed["siblings"].as_array().cloned().unwrap_or_default();
    for sibling in &siblings {
        let part = |name: &str| sibling[name].as_str().unwrap_or("-").to_owned();
        eprintln!("{}  {}  {}", part("dot"), part("written_at"), shown(&part("value")));
    }
    let message = format!(
        "{} siblings; `torc get --json` shows them with their context, and `torc put {} {} VALUE` replaces them all",
        siblings.len(),
        args.bucket,
        args.key
    );
    Failure::local("siblings", message)
}

/// A value on one line of a terminal.
fn shown(base64: &str) -> String {
    use base64::Engine;
    const BYTES_MAX: usize = 60;
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(base64) else {
        return base64.to_owned();
    };
    let cut = &bytes[..bytes.len().min(BYTES_MAX)];
    let more = if bytes.len() > BYTES_MAX {
        format!("… ({} bytes)", bytes.len())
    } else {
        String::new()
    };
    match std::str::from_utf8(cut) {
        Ok(text) => format!("{}{more}", text.escape_debug()),
        Err(_) => format!("{}{more}", cut.escape_ascii()),
    }
}
