//! Strategies for everything that nodes say to one another.

use std::sync::Arc;

use proptest::prelude::*;

use crate::bucket::StorageClass;
use crate::causality::Record;
use crate::causality::arbitrary::{
    bytes, client_context, expiry_moment, hlc, record, record_key, request_id, stamp, value,
};
use crate::command::{Command, Options, Put, PutAction, PutContext, Target, Ttl, UpdateKey};
use crate::entropy::talk::{EntropyTalk, Group, Level};
use crate::gossip::member::{Incarnation, Load, MemberState, Version, Witnesses};
use crate::gossip::talk::Talk;
use crate::id::{BucketId, Life, NodeId, OpId, PartitionId};
use crate::key::RecordKey;
use crate::keyspace::{ExpireIf, ExpiryChange, Update, UpdateReply};
use crate::message::{
    Boot, BootReply, Envelope, Forward, ForwardReply, Generations, Message, Pull, PullReply, Read, ReadAnswer,
    ReadReply, ReadWant, Refusal, Refused, RingEpoch, Space, WriteRecords, WriteReply, WriteResult,
};
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome, Written};
use crate::quorum::{DcId, QuorumSize};
use crate::reaping::talk::ReapTalk;
use crate::storage::Range;
use crate::time::Wall;

fn op() -> impl Strategy<Value = OpId> {
    any::<u64>().prop_map(OpId)
}

fn range() -> impl Strategy<Value = Range> {
    (any::<u32>(), bytes(), prop::option::of(bytes())).prop_map(|(bucket, start, end)| Range {
        bucket: BucketId(bucket),
        start,
        end,
    })
}

fn records() -> impl Strategy<Value = Vec<(RecordKey, Arc<Record>)>> {
    prop::collection::vec((record_key(), record().prop_map(Arc::new)), 0..4)
}

fn options() -> impl Strategy<Value = Options> {
    let quorum = || {
        prop_oneof![
            Just(None),
            (1_u8..=9).prop_map(|count| Some(QuorumSize::Count(count))),
            prop::sample::select(vec!["one", "quorum", "all", "local_one", "local_quorum", "each_quorum"])
                .prop_map(QuorumSize::parse),
            any::<u16>().prop_map(|dc| Some(QuorumSize::OneIn(DcId(dc)))),
            any::<u16>().prop_map(|dc| Some(QuorumSize::QuorumIn(DcId(dc)))),
        ]
    };
    (quorum(), quorum(), any::<bool>(), any::<Option<u32>>()).prop_map(|(read, write, strict, timeout_ms)| Options {
        read,
        write,
        strict,
        timeout_ms,
    })
}

fn target() -> impl Strategy<Value = Target> {
    (any::<u32>(), bytes(), bytes()).prop_map(|(bucket, key, sort)| Target {
        bucket: BucketId(bucket),
        key,
        sort,
    })
}

fn put() -> impl Strategy<Value = Put> {
    let ttl = prop_oneof![
        Just(Ttl::BucketDefault),
        Just(Ttl::Never),
        any::<u64>().prop_map(Ttl::AfterMs),
        any::<u64>().prop_map(|ms| Ttl::At(Wall(ms))),
        any::<(u64, u64)>().prop_map(|(after_ms, at)| Ttl::Counted { after_ms, at: Wall(at) })
    ];
    let action = prop_oneof![
        (value(), ttl).prop_map(|(value, ttl)| PutAction::Value(value, ttl)),
        Just(PutAction::Delete),
        Just(PutAction::ClearPartition)
    ];
    let context = prop_oneof![
        client_context().prop_map(PutContext::Seen),
        Just(PutContext::Blind),
        Just(PutContext::ReadFirst)
    ];
    (target(), action, context, prop::option::of(request_id()), options()).prop_map(
        |(target, action, context, request, options)| Put {
            target,
            action,
            context,
            request,
            options,
        },
    )
}

fn update() -> impl Strategy<Value = Update> {
    let expiry = || {
        prop_oneof![
            Just(ExpiryChange::Keep),
            Just(ExpiryChange::Clear),
            any::<u64>().prop_map(|ms| ExpiryChange::At(Wall(ms)))
        ]
    };
    let condition = prop::sample::select(vec![
        ExpireIf::Always,
        ExpireIf::None,
        ExpireIf::Some,
        ExpireIf::Later,
        ExpireIf::Earlier,
        ExpireIf::SomeEarlier,
    ]);
    prop_oneof![
        (bytes(), expiry(), any::<bool>()).prop_map(|(value, expiry, return_old)| Update::Set {
            value,
            expiry,
            return_old
        }),
        bytes().prop_map(Update::Append),
        (any::<u32>(), bytes()).prop_map(|(offset, data)| Update::SetRange { offset, data }),
        Just(Update::GetDel),
        expiry().prop_map(Update::GetEx),
        Just(Update::Del),
        (any::<u64>(), condition).prop_map(|(at, condition)| Update::Expire {
            at: Wall(at),
            condition
        }),
        Just(Update::Persist),
        prop::collection::vec((bytes(), bytes()), 0..4).prop_map(Update::HashSet),
        prop::collection::vec(bytes(), 0..4).prop_map(Update::HashDel),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        put().prop_map(Command::Put),
        (target(), update(), options()).prop_map(|(target, update, options)| Command::Update(UpdateKey {
            target,
            update,
            options
        })),
    ]
}

fn cause() -> impl Strategy<Value = Cause> {
    let answers = || (any::<u8>(), any::<u8>(), any::<u8>());
    prop_oneof![
        ".{0,9}".prop_map(Cause::BadRequest),
        ".{0,9}".prop_map(Cause::BadContext),
        Just(Cause::NoSuchBucket),
        ".{0,9}".prop_map(Cause::WrongMode),
        ".{0,9}".prop_map(Cause::NotInThisVersion),
        any::<(u32, u32)>().prop_map(|(limit, actual)| Cause::TooManySiblings { limit, actual }),
        any::<(u64, u64)>().prop_map(|(limit, actual)| Cause::ValueTooLarge { limit, actual }),
        any::<(u64, u64)>().prop_map(|(limit, actual)| Cause::KeyTooLarge { limit, actual }),
        any::<u32>().prop_map(|retry_after_ms| Cause::Busy { retry_after_ms }),
        answers().prop_map(|(needed, answered, n)| Cause::NotEnoughReplicas { needed, answered, n }),
        answers().prop_map(|(needed, answered, n)| Cause::Deadline { needed, answered, n }),
        Just(Cause::DiskFull),
        Just(Cause::RequestIdReused),
        Just(Cause::WrongType),
        ".{0,9}".prop_map(Cause::Redis),
        Just(Cause::Siblings),
        any::<u64>().prop_map(|limit| Cause::ResultTooLarge { limit }),
        ".{0,9}".prop_map(Cause::Unavailable),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let answered = || any::<(u8, u8, bool)>().prop_map(|(answered, n, sloppy)| Answered { answered, n, sloppy });
    let reply = prop_oneof![
        Just(UpdateReply::Done),
        any::<i64>().prop_map(UpdateReply::Integer),
        prop::option::of(bytes()).prop_map(UpdateReply::Value)
    ];
    let certainty = prop::sample::select(vec![Certainty::NotApplied, Certainty::Unknown]);
    prop_oneof![
        (client_context(), answered()).prop_map(|(context, answered)| Outcome::Written(Written { context, answered })),
        (reply, answered()).prop_map(|(reply, answered)| Outcome::Updated(reply, answered)),
        (cause(), certainty).prop_map(|(cause, certainty)| Outcome::Failed(Failure { cause, certainty })),
    ]
}

fn read_answer() -> impl Strategy<Value = ReadAnswer> {
    let cleared = (any::<u16>(), any::<u32>(), hlc())
        .prop_map(|(partition, bucket, hlc)| (PartitionId(partition), BucketId(bucket), hlc));
    let damaged = prop::collection::vec(record_key(), 0..3);
    (
        records(),
        damaged,
        prop::option::of(bytes()),
        prop::collection::vec(cleared, 0..3),
        hlc(),
        any::<bool>(),
    )
        .prop_map(
            |(records, damaged, complete_up_to, cleared, highest, rebuilding)| ReadAnswer {
                records,
                damaged,
                complete_up_to,
                cleared,
                highest,
                rebuilding,
            },
        )
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<(u64, u32)>().prop_map(|(boot, refutation)| Incarnation { boot, refutation })
}

fn member_state() -> impl Strategy<Value = MemberState> {
    let load = any::<(u32, u64, bool, bool)>().prop_map(|(operations, store_bytes, full, slow)| Load {
        operations,
        store_bytes,
        full,
        slow,
    });
    let death = prop::option::of(any::<(u32, u32)>().prop_map(|(first, second)| Witnesses {
        first: NodeId(first),
        second: NodeId(second),
    }));
    (any::<u32>(), incarnation(), any::<u64>(), load, death).prop_map(|(node, incarnation, heartbeat, load, death)| {
        MemberState {
            node: NodeId(node),
            incarnation,
            heartbeat,
            load,
            death,
        }
    })
}

fn talk() -> impl Strategy<Value = Talk> {
    let version = (any::<u32>(), incarnation(), any::<bool>(), any::<u64>()).prop_map(
        |(node, incarnation, is_dead, heartbeat)| {
            let version = Version {
                incarnation,
                is_dead,
                heartbeat,
            };
            (NodeId(node), version)
        },
    );
    let nodes = prop::collection::vec(any::<u32>().prop_map(NodeId), 0..5);
    prop_oneof![
        (member_state(), prop::collection::vec(version, 0..5)).prop_map(|(own, members)| Talk::Digest { own, members }),
        (prop::collection::vec(member_state(), 0..5), nodes)
            .prop_map(|(states, wanted)| Talk::Delta { states, wanted }),
        any::<u64>().prop_map(|nonce| Talk::Probe { nonce }),
        (any::<u64>(), member_state()).prop_map(|(nonce, own)| Talk::ProbeReply { nonce, own }),
        any::<(u32, u64)>().prop_map(|(node, nonce)| Talk::ProbeFor {
            node: NodeId(node),
            nonce
        }),
        any::<(u32, u64, bool)>().prop_map(|(node, nonce, is_reached)| Talk::ProbeReport {
            node: NodeId(node),
            nonce,
            is_reached
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let want = prop_oneof![
        prop::collection::vec(record_key(), 0..4).prop_map(ReadWant::Records),
        (range(), any::<u32>(), any::<u32>()).prop_map(|(range, records_max, bytes_max)| ReadWant::Range {
            range,
            records_max,
            bytes_max
        }),
    ];
    let sessions = prop::collection::vec((any::<u32>().prop_map(NodeId), any::<u64>()), 0..5);
    let result = prop_oneof![
        prop::option::of(stamp()).prop_map(|winner| WriteResult::Done { winner }),
        Just(WriteResult::DiskFull),
        Just(WriteResult::Failed)
    ];
    let reason = prop::sample::select(vec![
        Refusal::WrongEpoch,
        Refusal::NotHome,
        Refusal::Busy,
        Refusal::StaleSession,
        Refusal::CannotMint,
        Refusal::DiskFull,
        Refusal::Stranger,
    ]);
    prop_oneof![
        (op(), any::<u16>(), want).prop_map(|(op, attempt, want)| Message::Read(Read { op, attempt, want })),
        (op(), any::<u16>(), read_answer()).prop_map(|(op, attempt, answer)| Message::ReadReply(ReadReply {
            op,
            attempt,
            answer
        })),
        (
            prop::option::of(op()),
            any::<u16>(),
            sessions,
            prop::option::of(any::<u32>().prop_map(NodeId)),
            prop_oneof![Just(Space::Needed), Just(Space::NotNeeded)],
            records()
        )
            .prop_map(|(op, attempt, sessions, stand_in_for, space, records)| {
                Message::Write(WriteRecords {
                    op,
                    attempt,
                    sessions: sessions.into(),
                    stand_in_for,
                    space,
                    records,
                })
            }),
        (op(), any::<u16>(), result).prop_map(|(op, attempt, result)| Message::WriteReply(WriteReply {
            op,
            attempt,
            result
        })),
        (op(), command(), any::<u32>(), any::<u64>(), any::<(bool, bool)>()).prop_map(
            |(op, command, deadline_ms, session, (retry, stand_in))| Message::Forward(Forward {
                op,
                command,
                deadline_ms,
                session,
                retry,
                stand_in
            })
        ),
        (op(), outcome()).prop_map(|(op, outcome)| Message::ForwardReply(ForwardReply { op, outcome })),
        (prop::option::of(op()), any::<u16>(), reason).prop_map(|(op, attempt, reason)| Message::Refused(Refused {
            op,
            attempt,
            reason
        })),
        (any::<(u64, u64, Vec<u64>, bool, bool, bool)>(), generations()).prop_map(
            |((incarnation, nonce, lineage, settled, asks, must_learn), reaped)| Message::Boot(Boot {
                incarnation,
                nonce,
                lineage,
                settled,
                asks,
                must_learn,
                pinned: reaped.known,
            })
        ),
        (any::<(u64, u64, bool)>(), prop::option::of(generations())).prop_map(
            |((nonce, highest_before, regressed), reaped)| Message::BootReply(BootReply {
                nonce,
                highest_before,
                regressed,
                reaped,
            })
        ),
        (op(), range()).prop_map(|(op, range)| Message::Pull(Pull { op, range })),
        (op(), records(), prop::option::of(bytes()), any::<(bool, bool)>()).prop_map(
            |(op, records, next, (partial, failed))| {
                Message::PullReply(PullReply {
                    op,
                    records,
                    next,
                    partial,
                    failed,
                })
            }
        ),
        Just(Message::Pulse),
        talk().prop_map(Message::Gossip),
        entropy().prop_map(Message::Entropy),
        reaping().prop_map(Message::Reaping),
    ]
}

fn generations() -> impl Strategy<Value = Generations> {
    let known = prop::collection::vec(any::<(u16, u32, u64)>(), 0..4);
    (known, any::<Vec<u32>>()).prop_map(|(known, rebuilding)| Generations {
        known: known
            .into_iter()
            .map(|(partition, bucket, number)| (PartitionId(partition), BucketId(bucket), number))
            .collect(),
        rebuilding: rebuilding.into_iter().map(BucketId).collect(),
    })
}

fn reaping() -> impl Strategy<Value = ReapTalk> {
    let partition = || any::<u16>().prop_map(PartitionId);
    let bucket = || any::<u32>().prop_map(BucketId);
    let numbers = || prop::collection::vec(any::<u16>(), 0..5);
    let entries = prop::collection::vec((record_key(), any::<u128>()), 0..4);
    let life = || any::<Option<u64>>().prop_map(|life| life.map(Life));
    let lives = prop::collection::vec(
        any::<(u32, u64)>().prop_map(|(node, life)| (NodeId(node), Life(life))),
        0..4,
    );
    prop_oneof![
        (op(), partition(), bucket(), any::<u64>(), entries).prop_map(
            |(op, partition, bucket, generation, entries)| {
                ReapTalk::Ask {
                    op,
                    partition,
                    bucket,
                    generation,
                    entries,
                }
            }
        ),
        (op(), numbers(), any::<(bool, u64)>(), life()).prop_map(|(op, differing, (unable, generation), life)| {
            ReapTalk::Answer {
                op,
                differing,
                unable,
                generation,
                life,
            }
        }),
        (op(), partition(), bucket(), any::<u64>()).prop_map(|(op, partition, bucket, generation)| {
            ReapTalk::Outstanding {
                op,
                partition,
                bucket,
                generation,
            }
        }),
        (op(), any::<bool>(), life()).prop_map(|(op, is_clear, life)| ReapTalk::Clear { op, is_clear, life }),
        (partition(), bucket(), any::<u64>(), numbers()).prop_map(|(partition, bucket, generation, spared)| {
            ReapTalk::Reap {
                partition,
                bucket,
                generation,
                spared,
            }
        }),
        (partition(), bucket(), any::<u64>(), numbers(), lives).prop_map(
            |(partition, bucket, generation, spared, lives)| {
                ReapTalk::Fold {
                    partition,
                    bucket,
                    generation,
                    spared,
                    lives,
                }
            }
        ),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let class = prop_oneof![Just(StorageClass::Disk), Just(StorageClass::Memory)];
    (any::<u8>(), class).prop_map(|(n, class)| Group { n, class })
}

fn entropy() -> impl Strategy<Value = EntropyTalk> {
    let partition = || any::<u16>().prop_map(PartitionId);
    let numbers = || prop::collection::vec(any::<u16>(), 0..5);
    let level = prop_oneof![
        Just(Level::Roots),
        partition().prop_map(Level::Blocks),
        partition().prop_map(Level::Leaves),
    ];
    let digests = prop::collection::vec(any::<(u16, u128)>(), 0..5);
    let entries = prop::collection::vec((record_key(), any::<u128>()), 0..4);
    let missing = prop::collection::vec(record_key(), 0..4);
    prop_oneof![
        (op(), group(), level, digests).prop_map(|(op, group, level, digests)| EntropyTalk::Digests {
            op,
            group,
            level,
            digests
        }),
        (op(), numbers(), numbers()).prop_map(|(op, numbers, uncounted)| EntropyTalk::Differing {
            op,
            numbers,
            uncounted
        }),
        (op(), range(), entries).prop_map(|(op, range, entries)| EntropyTalk::Keys { op, range, entries }),
        (op(), prop::option::of(bytes()), records(), missing, any::<bool>()).prop_map(
            |(op, complete_up_to, records, missing, failed)| EntropyTalk::Records {
                op,
                complete_up_to,
                records,
                missing,
                failed
            }
        ),
        (group(), partition(), any::<u16>()).prop_map(|(group, partition, leaf)| EntropyTalk::Recount {
            group,
            partition,
            leaf
        }),
    ]
}

/// Any envelope that may be sent.
pub(super) fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<(u64, u64)>(), hlc(), expiry_moment(), any::<u64>(), message()).prop_map(
        |((number, hash), hlc, wall, session, message)| Envelope {
            epoch: RingEpoch { number, hash },
            hlc,
            wall: wall.unwrap_or_default(),
            session,
            message,
        },
    )
}
