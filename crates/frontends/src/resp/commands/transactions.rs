//! MULTI, EXEC, DISCARD: the queued commands run in order, without isolation: others may see and write in between. As in
//! a pipeline, those on one key follow one another, those on different keys overlap.

use crate::resp::call::{Call, Plan};
use crate::resp::refused::Refused;
use crate::resp::session::Transaction;

/// `MULTI`
pub fn multi(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.session.transaction.is_some() {
        return Err(Refused::of("ERR MULTI calls can not be nested"));
    }
    call.session.transaction = Some(Transaction::default());
    call.reply.ok();
    Ok(Plan::Replied)
}

/// `EXEC`
pub fn exec(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let Some(transaction) = call.session.transaction.take() else {
        return Err(Refused::of("ERR EXEC without MULTI"));
    };
    if transaction.is_refused {
        return Err(Refused::of(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    Ok(Plan::Transaction(transaction.commands))
}

/// `DISCARD`
pub fn discard(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.session.transaction.take().is_none() {
        return Err(Refused::of("ERR DISCARD without MULTI"));
    }
    call.reply.ok();
    Ok(Plan::Replied)
}

/// `WATCH key …`
pub fn watch(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.session.transaction.is_some() {
        return Err(Refused::of("ERR WATCH inside MULTI is not allowed"));
    }
    Err(Refused::needs_agreement(call.spec.name, call.bucket()?))
}

/// `UNWATCH`
pub fn unwatch(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.reply.ok();
    Ok(Plan::Replied)
}
