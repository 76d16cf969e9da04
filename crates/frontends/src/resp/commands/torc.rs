//! What Redis has no words for: contexts, quorums, buckets.

use torc_core::causality::{Value, token};
use torc_core::command::{Command, Put, PutAction, PutContext, Ttl};
use torc_core::quorum::QuorumSize;

use crate::resp::answer::Answer;
use crate::resp::call::{Call, Plan};
use crate::resp::refused::Refused;

/// `TORC.GET key` → context, value, …
pub fn get(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.get(|_| Answer::Siblings)
}

/// `TORC.PUT key context value` → context. An empty context replaces nothing.
pub fn put(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let context = match call.args.at(2) {
        b"" => PutContext::Blind,
        text => PutContext::Seen(token::decode(text).map_err(|error| Refused::of(format!("ERR {error}")))?),
    };
    let value = Value::plain(call.args.bytes(3));
    let command = Put {
        target: call.target(1)?,
        action: PutAction::Value(value, Ttl::BucketDefault),
        context,
        request: None,
        options: call.session.options,
    };
    Ok(Plan::Key(Command::Put(command), Answer::Context))
}

/// `TORC.QUORUM r w`: `default` is what the bucket says.
pub fn quorum(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let (read, write) = (size(call, 1)?, size(call, 2)?);
    call.session.options.read = read;
    call.session.options.write = write;
    call.reply.ok();
    Ok(Plan::Replied)
}

fn size(call: &Call<'_>, index: usize) -> Result<Option<QuorumSize>, Refused> {
    let word = call.args.shown(index).to_lowercase();
    if word == "default" {
        return Ok(None);
    }
    let size = QuorumSize::parse(&word);
    size.map(Some).ok_or_else(|| {
        let names = "1 to 9, one, quorum, all, local_one, local_quorum, each_quorum or default";
        Refused::of(format!("ERR '{word}' is no quorum; use {names}"))
    })
}

/// `TORC.USE bucket`
pub fn use_bucket(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let name = call.args.shown(1);
    call.session.use_bucket(&name, call.host.catalog())?;
    call.reply.ok();
    Ok(Plan::Replied)
}
