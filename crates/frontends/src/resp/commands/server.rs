//! Small talk with the node.

use crate::resp::answer::Answer;
use crate::resp::call::{Call, Plan};
use crate::resp::refused::Refused;

/// `PING [message]`
pub fn ping(call: &mut Call<'_>) -> Result<Plan, Refused> {
    match call.args.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.at(1)),
        _ => return Err(Refused::arity(call.spec.name)),
    }
    Ok(Plan::Replied)
}

/// `ECHO message`
pub fn echo(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.reply.bulk(call.args.at(1));
    Ok(Plan::Replied)
}

/// `QUIT`
pub fn quit(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.reply.ok();
    Ok(Plan::RepliedLast)
}

/// `TIME`
pub fn time(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let ms = call.host.now().0;
    call.reply.array(2);
    call.reply.bulk((ms / 1_000).to_string().as_bytes());
    call.reply.bulk((ms % 1_000 * 1_000).to_string().as_bytes());
    Ok(Plan::Replied)
}

/// `WAIT numreplicas timeout`: every write before it has been acknowledged by its quorum, or failed; the answer is how
/// many nodes beside one hold the last that was acknowledged.
pub fn wait(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.args.integer(1)?;
    let timeout = call.args.integer(2);
    if timeout.map_err(|_| Refused::of("ERR timeout is not an integer or out of range"))? < 0 {
        return Err(Refused::of("ERR timeout is negative"));
    }
    Ok(Plan::Pause(Answer::Holders))
}

/// `DEBUG …`
pub fn debug(_: &mut Call<'_>) -> Result<Plan, Refused> {
    Err(Refused::of(
        "ERR DEBUG is not in Torc; see torc inspect and GET /v1/status",
    ))
}

/// `FUNCTION FLUSH [ASYNC | SYNC]`
pub fn function(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if !call.args.is(1, "flush") {
        return Err(Refused::of(
            "ERR Torc has no functions; FUNCTION FLUSH alone is answered",
        ));
    }
    call.reply.ok();
    Ok(Plan::Replied)
}
