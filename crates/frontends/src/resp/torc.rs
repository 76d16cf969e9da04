//! Torc's own commands: buckets, contexts, quorums.

use bytes::Bytes;
use torc_core::causality::{Value, token};
use torc_core::command::{Command, Get, Put, PutAction, PutContext, Ttl};
use torc_core::quorum::QuorumSize;

use super::plan::{Call, Plan, Planned, read, write};
use super::reply;
use super::session::{FIRST_BUCKET, SECOND_BUCKET, Session};
use super::shape::Shape;

/// SELECT index
pub fn select(call: &mut Call<'_>) -> Planned {
    let Some(index) = super::plan::integer(call.argument(1)) else {
        return Err("ERR value is not an integer or out of range".into());
    };
    let name = match index {
        0 => FIRST_BUCKET,
        1 => SECOND_BUCKET,
        _ => {
            return Err(
                "ERR DB index is out of range; 0 is bucket 'redis', 1 is 'strong', TORC.USE selects any".into(),
            );
        }
    };
    use_bucket(call, name)
}

/// TORC.USE bucket
pub fn use_named(call: &mut Call<'_>) -> Planned {
    let name = String::from_utf8_lossy(call.argument(1)).into_owned();
    use_bucket(call, &name)
}

fn use_bucket(call: &mut Call<'_>, name: &str) -> Planned {
    if call.host.catalog().named(name).is_none() {
        let shown: String = name.chars().take(64).collect();
        return Err(format!("NOBUCKET bucket '{shown}' does not exist"));
    }
    call.session.bucket = name.into();
    reply::simple(call.out, "OK");
    Ok(Plan::Answered)
}

/// TORC.GET key: the context, then each value
pub fn get(call: &mut Call<'_>) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let target = Session::target(bucket, call.argument(1));
    let options = call.session.options();
    read(Command::Get(Get { target, options }), Shape::Siblings)
}

/// TORC.PUT key context value: the new context; an empty context writes beside what is there
pub fn put(call: &mut Call<'_>) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let context = call.argument(2);
    let context = if context.is_empty() {
        PutContext::Blind
    } else {
        PutContext::Seen(token::decode(context).map_err(|error| format!("ERR {error}; pass what TORC.GET answered"))?)
    };
    let command = Command::Put(Put {
        target: Session::target(bucket, call.argument(1)),
        action: PutAction::Value(Value::plain(call.argument(3).clone()), Ttl::BucketDefault),
        context,
        request: None,
        options: call.session.options(),
    });
    write(command, Shape::Context)
}

/// TORC.QUORUM r w: this connection's quorums; `default` leaves one to the bucket
pub fn quorum(call: &mut Call<'_>) -> Planned {
    let (read, write) = (size(call.argument(1))?, size(call.argument(2))?);
    call.session.read = read;
    call.session.write = write;
    reply::simple(call.out, "OK");
    Ok(Plan::Answered)
}

fn size(text: &Bytes) -> Result<Option<QuorumSize>, String> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    if text == "default" {
        return Ok(None);
    }
    QuorumSize::parse(&text).map(Some).ok_or_else(|| {
        "ERR a quorum is 1 to 9, one, quorum, all, local_one, local_quorum, each_quorum, or default".into()
    })
}
