//! Forwarded commands to prost messages and back: puts and updates. Every other command runs where it was received.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::causality::{ClientContext, Value, token};
use crate::command::{Command, Options, Put, PutAction, PutContext, Target, Ttl, UpdateKey};
use crate::id::{BucketId, ClientRequestId};
use crate::keyspace::{ExpireIf, ExpiryChange, Update};
use crate::message::Forward;
use crate::quorum::{DcId, QuorumSize};
use crate::time::Wall;
use crate::wire::{EncodeError, WireError, lists, v1};

const ACTION_VALUE: u32 = 1;
const ACTION_DELETE: u32 = 2;
const ACTION_CLEAR_PARTITION: u32 = 3;

const TTL_BUCKET_DEFAULT: u32 = 0;
const TTL_NEVER: u32 = 1;
const TTL_AFTER_MS: u32 = 2;
const TTL_AT: u32 = 3;
const TTL_COUNTED: u32 = 4;

const CONTEXT_SEEN: u32 = 1;
const CONTEXT_BLIND: u32 = 2;
const CONTEXT_READ_FIRST: u32 = 3;

const EXPIRY_KEEP: u32 = 0;
const EXPIRY_CLEAR: u32 = 1;
const EXPIRY_AT: u32 = 2;

const UPDATE_SET: u32 = 1;
const UPDATE_APPEND: u32 = 2;
const UPDATE_SET_RANGE: u32 = 3;
const UPDATE_GET_DEL: u32 = 4;
const UPDATE_GET_EX: u32 = 5;
const UPDATE_DEL: u32 = 6;
const UPDATE_EXPIRE: u32 = 7;
const UPDATE_PERSIST: u32 = 8;
const UPDATE_HASH_SET: u32 = 9;
const UPDATE_HASH_DEL: u32 = 10;

/// The prost form of a forwarded command.
pub(super) fn pack(forward: &Forward) -> Result<v1::Forward, EncodeError> {
    let (target, options) = forward.command.write().ok_or(EncodeError::NeverForwarded)?;
    let command = match &forward.command {
        Command::Put(put) => v1::Command::Put(pack_put(put)),
        Command::Update(key) => v1::Command::Update(pack_update(&key.update)),
        _ => return Err(EncodeError::NeverForwarded),
    };
    Ok(v1::Forward {
        op: forward.op.0,
        deadline_ms: forward.deadline_ms,
        session: forward.session,
        is_retry: forward.retry,
        is_for_stand_in: forward.stand_in,
        target: Some(v1::Target {
            bucket: target.bucket.0,
            key: target.key.clone(),
            sort: target.sort.clone(),
        }),
        options: Some(v1::Options {
            read_code: pack_quorum(options.read),
            write_code: pack_quorum(options.write),
            is_strict: options.strict,
            timeout_ms: options.timeout_ms,
        }),
        command: Some(command),
    })
}

/// Reads a forwarded command. A kind that this version does not know is an unknown message.
pub(super) fn unpack(forward: v1::Forward) -> Result<Command, WireError> {
    let target = forward.target.ok_or(WireError::Malformed)?;
    let target = Target {
        bucket: BucketId(target.bucket),
        key: target.key,
        sort: target.sort,
    };
    let options = forward.options.ok_or(WireError::Malformed)?;
    let options = Options {
        read: unpack_quorum(options.read_code)?,
        write: unpack_quorum(options.write_code)?,
        strict: options.is_strict,
        timeout_ms: options.timeout_ms,
    };
    match forward.command.ok_or(WireError::UnknownMessage)? {
        v1::Command::Put(put) => unpack_put(put, target, options).map(Command::Put),
        v1::Command::Update(update) => Ok(Command::Update(UpdateKey {
            target,
            update: unpack_update(update)?,
            options,
        })),
    }
}

/// A context in the bytes of its token.
pub(super) fn pack_context(context: &ClientContext) -> Bytes {
    let mut raw = SmallVec::new();
    token::push_raw(context, &mut raw);
    Bytes::from(raw.into_vec())
}

fn pack_put(put: &Put) -> v1::Put {
    let mut packed = v1::Put {
        request: put.request.as_ref().map(|id| id.as_str().into()),
        ..v1::Put::default()
    };
    match &put.action {
        PutAction::Value(value, ttl) => {
            packed.action_code = ACTION_VALUE;
            packed.data = value.data.clone();
            packed.content_type = value.content_type.clone();
            (packed.ttl_code, packed.ttl_ms) = match ttl {
                Ttl::BucketDefault => (TTL_BUCKET_DEFAULT, 0),
                Ttl::Never => (TTL_NEVER, 0),
                Ttl::AfterMs(ms) => (TTL_AFTER_MS, *ms),
                Ttl::At(wall) => (TTL_AT, wall.0),
                Ttl::Counted { after_ms, at } => {
                    packed.ttl_after_ms = *after_ms;
                    (TTL_COUNTED, at.0)
                }
            };
        }
        PutAction::Delete => packed.action_code = ACTION_DELETE,
        PutAction::ClearPartition => packed.action_code = ACTION_CLEAR_PARTITION,
    }
    match &put.context {
        PutContext::Seen(context) => {
            packed.context_code = CONTEXT_SEEN;
            packed.context = pack_context(context);
        }
        PutContext::Blind => packed.context_code = CONTEXT_BLIND,
        PutContext::ReadFirst => packed.context_code = CONTEXT_READ_FIRST,
    }
    packed
}

fn unpack_put(put: v1::Put, target: Target, options: Options) -> Result<Put, WireError> {
    let ttl = match put.ttl_code {
        TTL_BUCKET_DEFAULT => Ttl::BucketDefault,
        TTL_NEVER => Ttl::Never,
        TTL_AFTER_MS => Ttl::AfterMs(put.ttl_ms),
        TTL_AT => Ttl::At(Wall(put.ttl_ms)),
        TTL_COUNTED => Ttl::Counted {
            after_ms: put.ttl_after_ms,
            at: Wall(put.ttl_ms),
        },
        _ => return Err(WireError::Malformed),
    };
    let action = match put.action_code {
        ACTION_VALUE => PutAction::Value(
            Value {
                data: put.data,
                content_type: put.content_type,
            },
            ttl,
        ),
        ACTION_DELETE => PutAction::Delete,
        ACTION_CLEAR_PARTITION => PutAction::ClearPartition,
        _ => return Err(WireError::Malformed),
    };
    let context = match put.context_code {
        CONTEXT_SEEN => PutContext::Seen(token::from_raw(&put.context)?),
        CONTEXT_BLIND => PutContext::Blind,
        CONTEXT_READ_FIRST => PutContext::ReadFirst,
        _ => return Err(WireError::Malformed),
    };
    let request = match put.request {
        Some(text) => Some(ClientRequestId::parse(&text).ok_or(WireError::Malformed)?),
        None => None,
    };
    Ok(Put {
        target,
        action,
        context,
        request,
        options,
    })
}

fn pack_update(update: &Update) -> v1::Update {
    let mut packed = v1::Update::default();
    packed.update_code = match update {
        Update::Set {
            value,
            expiry,
            return_old,
        } => {
            packed.data = value.clone();
            (packed.expiry_code, packed.expires_at_ms) = pack_expiry(*expiry);
            packed.is_old_returned = *return_old;
            UPDATE_SET
        }
        Update::Append(data) => {
            packed.data = data.clone();
            UPDATE_APPEND
        }
        Update::SetRange { offset, data } => {
            packed.offset = *offset;
            packed.data = data.clone();
            UPDATE_SET_RANGE
        }
        Update::GetDel => UPDATE_GET_DEL,
        Update::GetEx(expiry) => {
            (packed.expiry_code, packed.expires_at_ms) = pack_expiry(*expiry);
            UPDATE_GET_EX
        }
        Update::Del => UPDATE_DEL,
        Update::Expire { at, condition } => {
            packed.expires_at_ms = at.0;
            packed.condition_code = pack_condition(*condition);
            UPDATE_EXPIRE
        }
        Update::Persist => UPDATE_PERSIST,
        Update::HashSet(pairs) => {
            packed.field_list = lists::push_items(pairs.iter().flat_map(|pair| [&pair.0[..], &pair.1[..]]));
            UPDATE_HASH_SET
        }
        Update::HashDel(fields) => {
            packed.field_list = lists::push_items(fields.iter().map(|field| &field[..]));
            UPDATE_HASH_DEL
        }
    };
    packed
}

fn unpack_update(update: v1::Update) -> Result<Update, WireError> {
    Ok(match update.update_code {
        UPDATE_SET => {
            let expiry = unpack_expiry(&update)?;
            Update::Set {
                value: update.data,
                expiry,
                return_old: update.is_old_returned,
            }
        }
        UPDATE_APPEND => Update::Append(update.data),
        UPDATE_SET_RANGE => Update::SetRange {
            offset: update.offset,
            data: update.data,
        },
        UPDATE_GET_DEL => Update::GetDel,
        UPDATE_GET_EX => Update::GetEx(unpack_expiry(&update)?),
        UPDATE_DEL => Update::Del,
        UPDATE_EXPIRE => Update::Expire {
            at: Wall(update.expires_at_ms),
            condition: unpack_condition(update.condition_code)?,
        },
        UPDATE_PERSIST => Update::Persist,
        UPDATE_HASH_SET => Update::HashSet(unpack_pairs(&update.field_list)?),
        UPDATE_HASH_DEL => Update::HashDel(lists::items(&update.field_list)?),
        _ => return Err(WireError::Malformed),
    })
}

fn unpack_pairs(list: &Bytes) -> Result<Vec<(Bytes, Bytes)>, WireError> {
    let items = lists::items(list)?;
    if items.len() % 2 != 0 {
        return Err(WireError::Malformed);
    }
    Ok(items
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect())
}

fn pack_expiry(expiry: ExpiryChange) -> (u32, u64) {
    match expiry {
        ExpiryChange::Keep => (EXPIRY_KEEP, 0),
        ExpiryChange::Clear => (EXPIRY_CLEAR, 0),
        ExpiryChange::At(wall) => (EXPIRY_AT, wall.0),
    }
}

fn unpack_expiry(update: &v1::Update) -> Result<ExpiryChange, WireError> {
    Ok(match update.expiry_code {
        EXPIRY_KEEP => ExpiryChange::Keep,
        EXPIRY_CLEAR => ExpiryChange::Clear,
        EXPIRY_AT => ExpiryChange::At(Wall(update.expires_at_ms)),
        _ => return Err(WireError::Malformed),
    })
}

fn pack_condition(condition: ExpireIf) -> u32 {
    match condition {
        ExpireIf::Always => 0,
        ExpireIf::None => 1,
        ExpireIf::Some => 2,
        ExpireIf::Later => 3,
        ExpireIf::Earlier => 4,
        ExpireIf::SomeEarlier => 5,
    }
}

fn unpack_condition(code: u32) -> Result<ExpireIf, WireError> {
    Ok(match code {
        0 => ExpireIf::Always,
        1 => ExpireIf::None,
        2 => ExpireIf::Some,
        3 => ExpireIf::Later,
        4 => ExpireIf::Earlier,
        5 => ExpireIf::SomeEarlier,
        _ => return Err(WireError::Malformed),
    })
}

/// Quorums of a data centre carry its number in the lower half.
const DC_MASK: u32 = 0xffff_0000;
const ONE_IN: u32 = 1 << 16;
const QUORUM_IN: u32 = 2 << 16;

fn pack_quorum(size: Option<QuorumSize>) -> u32 {
    match size {
        None => 0,
        Some(QuorumSize::Count(count)) => u32::from(count),
        Some(QuorumSize::One) => 256,
        Some(QuorumSize::Quorum) => 257,
        Some(QuorumSize::All) => 258,
        Some(QuorumSize::LocalOne) => 259,
        Some(QuorumSize::LocalQuorum) => 260,
        Some(QuorumSize::EachQuorum) => 261,
        Some(QuorumSize::OneIn(dc)) => ONE_IN | u32::from(dc.0),
        Some(QuorumSize::QuorumIn(dc)) => QUORUM_IN | u32::from(dc.0),
    }
}

fn unpack_quorum(code: u32) -> Result<Option<QuorumSize>, WireError> {
    Ok(match code {
        0 => None,
        1..=9 => Some(QuorumSize::Count(code as u8)),
        256 => Some(QuorumSize::One),
        257 => Some(QuorumSize::Quorum),
        258 => Some(QuorumSize::All),
        259 => Some(QuorumSize::LocalOne),
        260 => Some(QuorumSize::LocalQuorum),
        261 => Some(QuorumSize::EachQuorum),
        _ if code & DC_MASK == ONE_IN => Some(QuorumSize::OneIn(DcId(code as u16))),
        _ if code & DC_MASK == QUORUM_IN => Some(QuorumSize::QuorumIn(DcId(code as u16))),
        _ => return Err(WireError::Malformed),
    })
}
