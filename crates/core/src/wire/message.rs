//! Envelopes to prost messages and back.

use bytes::Bytes;

use crate::causality::{Dot, Stamp};
use crate::id::{ActorId, BucketId, Life, NodeId, OpId, PartitionId};
use crate::message::{
    Boot, BootReply, Envelope, Forward, ForwardReply, Generations, Message, Pull, PullReply, Read, ReadAnswer,
    ReadReply, ReadWant, Refusal, Refused, RingEpoch, Space, WriteRecords, WriteReply, WriteResult,
};
use crate::storage::Range;
use crate::time::{Hlc, Wall};
use crate::wire::{EncodeError, Frame, Hello, WireError, command, entropy, gossip, lists, outcome, reaping, v1};

const WRITE_DONE: u32 = 1;
const WRITE_DISK_FULL: u32 = 2;
const WRITE_FAILED: u32 = 3;

/// The prost form of an envelope.
pub(super) fn pack(envelope: &Envelope) -> Result<v1::Packet, EncodeError> {
    Ok(v1::Packet {
        epoch_number: envelope.epoch.number,
        epoch_hash: envelope.epoch.hash,
        hlc: envelope.hlc.0,
        wall_ms: envelope.wall.0,
        session: envelope.session,
        body: Some(pack_message(&envelope.message)?),
    })
}

/// The prost form of a handshake.
pub(super) fn pack_hello(hello: &Hello) -> v1::Packet {
    let hello = v1::Hello {
        cluster: hello.cluster.clone(),
        node: hello.node,
        name: hello.name.clone(),
        version: hello.version,
        incarnation: hello.incarnation,
    };
    v1::Packet {
        body: Some(v1::Body::Hello(hello)),
        ..v1::Packet::default()
    }
}

/// Reads a prost form.
pub(super) fn unpack(packet: v1::Packet) -> Result<Frame, WireError> {
    let message = match packet.body.ok_or(WireError::UnknownMessage)? {
        v1::Body::Hello(hello) => {
            let v1::Hello {
                cluster,
                node,
                name,
                version,
                incarnation,
            } = hello;
            return Ok(Frame::Hello(Hello {
                cluster,
                node,
                name,
                version,
                incarnation,
            }));
        }
        v1::Body::Read(read) => Message::Read(Read {
            op: OpId(read.op),
            attempt: attempt(read.attempt)?,
            want: unpack_want(read)?,
        }),
        v1::Body::ReadReply(reply) => Message::ReadReply(unpack_read_reply(reply)?),
        v1::Body::Write(write) => Message::Write(WriteRecords {
            op: write.op.map(OpId),
            attempt: attempt(write.attempt)?,
            sessions: lists::sessions(&write.session_list)?,
            stand_in_for: write.stand_in_for.map(NodeId),
            space: Space::of_write(write.frees_space),
            records: lists::records(&write.record_list)?,
        }),
        v1::Body::WriteReply(reply) => Message::WriteReply(unpack_write_reply(reply)?),
        v1::Body::Forward(forward) => Message::Forward(Forward {
            op: OpId(forward.op),
            deadline_ms: forward.deadline_ms,
            session: forward.session,
            retry: forward.is_retry,
            stand_in: forward.is_for_stand_in,
            command: command::unpack(*forward)?,
        }),
        v1::Body::ForwardReply(reply) => Message::ForwardReply(ForwardReply {
            op: OpId(reply.op),
            outcome: outcome::unpack(*reply)?,
        }),
        v1::Body::Refused(refused) => Message::Refused(Refused {
            op: refused.op.map(OpId),
            attempt: attempt(refused.attempt)?,
            reason: unpack_refusal(refused.reason_code).ok_or(WireError::Malformed)?,
        }),
        v1::Body::Boot(boot) => Message::Boot(Boot {
            incarnation: boot.incarnation,
            nonce: boot.nonce,
            lineage: boot.lineage,
            settled: boot.settled,
            asks: boot.asks,
            must_learn: boot.must_learn,
            pinned: unpack_numbers(&boot.generation_list)?,
        }),
        v1::Body::BootReply(reply) => Message::BootReply(BootReply {
            nonce: reply.nonce,
            highest_before: reply.highest_before,
            regressed: reply.regressed,
            reaped: unpack_generations(&reply)?,
        }),
        v1::Body::Pull(pull) => Message::Pull(Pull {
            op: OpId(pull.op),
            range: unpack_range(pull.range.ok_or(WireError::Malformed)?),
        }),
        v1::Body::PullReply(reply) => Message::PullReply(PullReply {
            op: OpId(reply.op),
            records: lists::records(&reply.record_list)?,
            next: reply.next,
            partial: reply.is_partial,
            failed: reply.is_failed,
        }),
        v1::Body::Pulse(_) => Message::Pulse,
        v1::Body::Gossip(packed) => Message::Gossip(gossip::unpack(&packed)?),
        v1::Body::Entropy(packed) => Message::Entropy(entropy::unpack(*packed)?),
        v1::Body::Reaping(packed) => Message::Reaping(reaping::unpack(&packed)?),
    };
    Ok(Frame::Envelope(Box::new(Envelope {
        epoch: RingEpoch {
            number: packet.epoch_number,
            hash: packet.epoch_hash,
        },
        hlc: Hlc(packet.hlc),
        wall: Wall(packet.wall_ms),
        session: packet.session,
        message,
    })))
}

fn pack_message(message: &Message) -> Result<v1::Body, EncodeError> {
    Ok(match message {
        Message::Read(read) => v1::Body::Read(pack_read(read)),
        Message::ReadReply(reply) => v1::Body::ReadReply(v1::ReadReply {
            op: reply.op.0,
            record_list: lists::push_records(&reply.answer.records),
            damaged_key_list: lists::push_keys(&reply.answer.damaged),
            complete_up_to: reply.answer.complete_up_to.clone(),
            cleared_list: lists::push_cleared(&reply.answer.cleared),
            highest: reply.answer.highest.0,
            is_rebuilding: reply.answer.rebuilding,
            attempt: u32::from(reply.attempt),
        }),
        Message::Write(write) => v1::Body::Write(v1::Write {
            op: write.op.map(|op| op.0),
            attempt: u32::from(write.attempt),
            session_list: lists::push_sessions(&write.sessions),
            stand_in_for: write.stand_in_for.map(|home| home.0),
            frees_space: write.space == Space::NotNeeded,
            record_list: lists::push_records(&write.records),
        }),
        Message::WriteReply(reply) => v1::Body::WriteReply(pack_write_reply(reply)),
        Message::Forward(forward) => v1::Body::Forward(Box::new(command::pack(forward)?)),
        Message::ForwardReply(reply) => v1::Body::ForwardReply(Box::new(outcome::pack(reply)?)),
        Message::Refused(refused) => v1::Body::Refused(v1::Refused {
            op: refused.op.map(|op| op.0),
            attempt: u32::from(refused.attempt),
            reason_code: pack_refusal(refused.reason),
        }),
        Message::Boot(boot) => v1::Body::Boot(v1::Boot {
            incarnation: boot.incarnation,
            nonce: boot.nonce,
            lineage: boot.lineage.clone(),
            settled: boot.settled,
            asks: boot.asks,
            must_learn: boot.must_learn,
            generation_list: pack_numbers(&boot.pinned),
        }),
        Message::BootReply(reply) => v1::Body::BootReply(pack_boot_reply(reply)),
        Message::Pull(pull) => v1::Body::Pull(v1::Pull {
            op: pull.op.0,
            range: Some(pack_range(&pull.range)),
        }),
        Message::PullReply(reply) => v1::Body::PullReply(v1::PullReply {
            op: reply.op.0,
            record_list: lists::push_records(&reply.records),
            next: reply.next.clone(),
            is_partial: reply.partial,
            is_failed: reply.failed,
        }),
        Message::Pulse => v1::Body::Pulse(v1::Pulse {}),
        Message::Gossip(talk) => v1::Body::Gossip(gossip::pack(talk)),
        Message::Entropy(talk) => v1::Body::Entropy(Box::new(entropy::pack(talk))),
        Message::Reaping(talk) => v1::Body::Reaping(Box::new(reaping::pack(talk))),
    })
}

fn pack_read(read: &Read) -> v1::Read {
    let (key_list, range, records_max, bytes_max) = match &read.want {
        ReadWant::Records(keys) => (lists::push_keys(keys), None, 0, 0),
        ReadWant::Range {
            range,
            records_max,
            bytes_max,
        } => (Bytes::new(), Some(pack_range(range)), *records_max, *bytes_max),
    };
    v1::Read {
        op: read.op.0,
        key_list,
        range,
        records_max,
        bytes_max,
        attempt: u32::from(read.attempt),
    }
}

fn unpack_want(read: v1::Read) -> Result<ReadWant, WireError> {
    Ok(match read.range {
        Some(range) => ReadWant::Range {
            range: unpack_range(range),
            records_max: read.records_max,
            bytes_max: read.bytes_max,
        },
        None => ReadWant::Records(lists::keys(&read.key_list)?),
    })
}

fn unpack_read_reply(reply: v1::ReadReply) -> Result<ReadReply, WireError> {
    let answer = ReadAnswer {
        records: lists::records(&reply.record_list)?,
        damaged: lists::keys(&reply.damaged_key_list)?,
        complete_up_to: reply.complete_up_to,
        cleared: lists::cleared(&reply.cleared_list)?,
        highest: Hlc(reply.highest),
        rebuilding: reply.is_rebuilding,
    };
    Ok(ReadReply {
        op: OpId(reply.op),
        attempt: attempt(reply.attempt)?,
        answer,
    })
}

fn pack_write_reply(reply: &WriteReply) -> v1::WriteReply {
    let (result_code, winner) = match &reply.result {
        WriteResult::Done { winner } => (WRITE_DONE, winner.map(pack_stamp)),
        WriteResult::DiskFull => (WRITE_DISK_FULL, None),
        WriteResult::Failed => (WRITE_FAILED, None),
    };
    v1::WriteReply {
        op: reply.op.0,
        attempt: u32::from(reply.attempt),
        result_code,
        winner,
    }
}

fn unpack_write_reply(reply: v1::WriteReply) -> Result<WriteReply, WireError> {
    let result = match reply.result_code {
        WRITE_DONE => WriteResult::Done {
            winner: reply.winner.map(unpack_stamp),
        },
        WRITE_DISK_FULL => WriteResult::DiskFull,
        WRITE_FAILED => WriteResult::Failed,
        _ => return Err(WireError::Malformed),
    };
    Ok(WriteReply {
        op: OpId(reply.op),
        attempt: attempt(reply.attempt)?,
        result,
    })
}

fn pack_stamp(stamp: Stamp) -> v1::Stamp {
    let actor = stamp.dot.actor;
    v1::Stamp {
        hlc: stamp.hlc.0,
        node: actor.node.0,
        life: actor.life.0,
        birth: actor.birth,
        counter: stamp.dot.counter,
    }
}

fn unpack_stamp(stamp: v1::Stamp) -> Stamp {
    let actor = ActorId {
        node: NodeId(stamp.node),
        life: Life(stamp.life),
        birth: stamp.birth,
    };
    Stamp {
        hlc: Hlc(stamp.hlc),
        dot: Dot {
            actor,
            counter: stamp.counter,
        },
    }
}

fn pack_refusal(reason: Refusal) -> u32 {
    match reason {
        Refusal::WrongEpoch => 1,
        Refusal::NotHome => 2,
        Refusal::Busy => 3,
        Refusal::StaleSession => 4,
        Refusal::CannotMint => 5,
        Refusal::DiskFull => 6,
        Refusal::Stranger => 7,
    }
}

fn unpack_refusal(code: u32) -> Option<Refusal> {
    Some(match code {
        1 => Refusal::WrongEpoch,
        2 => Refusal::NotHome,
        3 => Refusal::Busy,
        4 => Refusal::StaleSession,
        5 => Refusal::CannotMint,
        6 => Refusal::DiskFull,
        7 => Refusal::Stranger,
        _ => return None,
    })
}

pub(super) fn pack_range(range: &Range) -> v1::Range {
    v1::Range {
        bucket: range.bucket.0,
        start: range.start.clone(),
        end: range.end.clone(),
    }
}

pub(super) fn unpack_range(range: v1::Range) -> Range {
    Range {
        bucket: BucketId(range.bucket),
        start: range.start,
        end: range.end,
    }
}

/// A number that fits into a byte.
fn attempt(number: u32) -> Result<u16, WireError> {
    u16::try_from(number).map_err(|_| WireError::Malformed)
}

/// A number for each partition of a bucket, in the layout of what cleared it.
fn pack_numbers(numbers: &[(PartitionId, BucketId, u64)]) -> Bytes {
    let numbers: Vec<_> = numbers.iter().map(|entry| (entry.0, entry.1, Hlc(entry.2))).collect();
    lists::push_cleared(&numbers)
}

fn unpack_numbers(list: &Bytes) -> Result<Vec<(PartitionId, BucketId, u64)>, WireError> {
    let numbers = lists::cleared(list)?.into_iter();
    Ok(numbers.map(|entry| (entry.0, entry.1, entry.2.0)).collect())
}

fn pack_boot_reply(reply: &BootReply) -> v1::BootReply {
    let reaped = reply.reaped.as_ref();
    v1::BootReply {
        nonce: reply.nonce,
        highest_before: reply.highest_before,
        regressed: reply.regressed,
        says_reaped: reaped.is_some(),
        generation_list: pack_numbers(reaped.map_or(&[][..], |reaped| &reaped.known[..])),
        rebuilding: reaped.map_or_else(Vec::new, |reaped| {
            reaped.rebuilding.iter().map(|bucket| bucket.0).collect()
        }),
    }
}

fn unpack_generations(reply: &v1::BootReply) -> Result<Option<Generations>, WireError> {
    if !reply.says_reaped {
        return Ok(None);
    }
    Ok(Some(Generations {
        known: unpack_numbers(&reply.generation_list)?,
        rebuilding: reply.rebuilding.iter().copied().map(BucketId).collect(),
    }))
}

pub(super) fn byte(number: u32) -> Result<u8, WireError> {
    u8::try_from(number).map_err(|_| WireError::Malformed)
}
