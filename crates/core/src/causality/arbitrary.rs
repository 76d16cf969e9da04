//! Strategies for property tests: arbitrary parts and records, and records of one history, whose replicas agree on what
//! each dot wrote.

use bytes::Bytes;
use proptest::prelude::*;
use smallvec::SmallVec;

use crate::causality::{
    ClientContext, Context, Dot, Expiry, Growth, LwwRecord, Payload, Record, RequestMark, RequestMarks, SiblingsRecord,
    Stamp, Value, Version,
};
use crate::id::{ActorId, BucketId, ClientRequestId, Life, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::time::{Hlc, Wall};

/// One of a few actors, so that they meet.
pub(crate) fn actor() -> impl Strategy<Value = ActorId> {
    let few = |bound: u64| (0..bound).prop_map(|word| word);
    (
        few(3),
        prop_oneof![few(2), Just(u64::MAX)],
        prop_oneof![few(2), Just(1 << 40)],
    )
        .prop_map(|(node, life, birth)| ActorId {
            node: NodeId(node as u32),
            life: Life(life),
            birth,
        })
}

/// A dot with a small counter.
pub(crate) fn dot() -> impl Strategy<Value = Dot> {
    (actor(), 1_u64..12).prop_map(|(actor, counter)| Dot { actor, counter })
}

/// A context whose counters are small enough to write out as a set.
pub(crate) fn context() -> impl Strategy<Value = Context> {
    let vector = prop::collection::vec((actor(), 0_u64..9), 0..4);
    (vector, prop::collection::vec(dot(), 0..8)).prop_map(|(vector, dots)| Context::from_parts(vector, dots))
}

/// Either kind of client context.
pub(crate) fn client_context() -> impl Strategy<Value = ClientContext> {
    prop_oneof![
        context().prop_map(ClientContext::Dots),
        hlc().prop_map(ClientContext::Clock)
    ]
}

/// A clock reading, often one of a few.
pub(crate) fn hlc() -> impl Strategy<Value = Hlc> {
    prop_oneof![(0_u64..4).prop_map(Hlc), any::<u64>().prop_map(Hlc)]
}

/// A calendar moment, or none.
pub(crate) fn expiry_moment() -> impl Strategy<Value = Option<Wall>> {
    prop_oneof![
        Just(None),
        (0_u64..4).prop_map(|ms| Some(Wall(ms))),
        any::<u64>().prop_map(|ms| Some(Wall(ms)))
    ]
}

/// A few bytes.
pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

/// A value, mostly without a content type.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let content_type = prop_oneof![Just(Bytes::new()), bytes()];
    (bytes(), content_type).prop_map(|(data, content_type)| Value { data, content_type })
}

/// Any payload.
pub(crate) fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Tombstone),
        Just(Payload::HashHead),
        value().prop_map(Payload::Value)
    ]
}

/// A client request id.
pub(crate) fn request_id() -> impl Strategy<Value = ClientRequestId> {
    "[a-c]|[A-Za-z0-9_-]{1,64}".prop_map(|text| ClientRequestId::parse(&text).expect("legal"))
}

/// Up to `count` marks.
pub(crate) fn marks(count: usize) -> impl Strategy<Value = RequestMarks> {
    let mark =
        (hlc(), request_id(), any::<u64>(), dot()).prop_map(|(at, id, body, dot)| RequestMark { at, id, body, dot });
    prop::collection::vec(mark, 0..=count).prop_map(|marks| {
        let mut all = RequestMarks::new();
        marks.into_iter().for_each(|mark| all.insert(mark));
        all
    })
}

/// A name of a record.
pub(crate) fn record_key() -> impl Strategy<Value = RecordKey> {
    let part = |least| prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], least..12);
    (any::<u16>(), any::<u32>(), any::<u64>(), part(1), part(0)).prop_map(|(partition, bucket, hash, key, sort)| {
        RecordKey::new(PartitionId(partition), BucketId(bucket), hash, &key, &sort)
    })
}

/// What orders last-writer-wins writes.
pub(crate) fn stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![
        Just(Stamp::ZERO),
        (hlc(), dot()).prop_map(|(hlc, dot)| Stamp { hlc, dot })
    ]
}

/// Any last-writer-wins record.
pub(crate) fn lww_record() -> impl Strategy<Value = LwwRecord> {
    let expiry = (self::stamp(), expiry_moment(), any::<bool>());
    (stamp(), payload(), hlc(), expiry, marks(3)).prop_map(|(stamp, payload, cleared_at, expiry, marks)| {
        let (own, at, is_same) = expiry;
        let expiry = Expiry {
            stamp: if is_same { stamp } else { own },
            at,
        };
        LwwRecord {
            stamp,
            payload,
            cleared_at,
            expiry,
            marks,
        }
    })
}

/// A siblings record of any shape: not one that a history leads to, but one that has a stored form.
pub(crate) fn siblings_record() -> impl Strategy<Value = SiblingsRecord> {
    let version = (payload(), hlc(), expiry_moment()).prop_map(|(payload, written_at, expires_at)| Version {
        payload,
        written_at,
        expires_at,
    });
    let moments = prop::collection::vec(any::<(prop::sample::Index, u32)>(), 0..4);
    let parts = (
        context(),
        prop::collection::btree_map(dot(), version, 0..4),
        marks(3),
        moments,
    );
    parts.prop_map(|(seen, siblings, marks, moments)| {
        let siblings: SmallVec<[(Dot, Version); 1]> = siblings.into_iter().collect();
        let mut growth = Growth::default();
        for (which, at) in moments.iter().filter(|_| !seen.vector().is_empty()) {
            let actor = seen.vector()[which.index(seen.vector().len())].0;
            growth.note(actor, Wall(u64::from(*at)));
        }
        SiblingsRecord {
            seen,
            siblings,
            marks,
            growth,
        }
    })
}

/// A record of either kind.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        lww_record().prop_map(Record::Lww),
        siblings_record().prop_map(Record::Siblings)
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        at: usize,
        saw: Option<prop::sample::Index>,
        request: Option<u8>,
        is_delete: bool,
    },
    Merge {
        from: prop::sample::Index,
        into: usize,
    },
}

const REPLICAS: usize = 3;
/// Fewer than a record remembers: past that, whether a repeated request is noticed depends on who met whom first.
const REQUESTS_MAX: usize = crate::limits::REQUEST_MARKS_MAX;

/// The states that three replicas of one key go through: puts with contexts that some client was given earlier, repeated
/// requests that reach several replicas, and merges of states old and new.
pub(crate) fn history() -> impl Strategy<Value = Vec<SiblingsRecord>> {
    let put = (
        0..REPLICAS,
        any::<Option<prop::sample::Index>>(),
        prop::option::weighted(0.4, 0_u8..4),
        any::<bool>(),
    )
        .prop_map(|(at, saw, request, is_delete)| Step::Put {
            at,
            saw,
            request,
            is_delete,
        });
    let merge = (any::<prop::sample::Index>(), 0..REPLICAS).prop_map(|(from, into)| Step::Merge { from, into });
    prop::collection::vec(prop_oneof![put, merge], 1..24).prop_map(|steps| play(&steps))
}

fn play(steps: &[Step]) -> Vec<SiblingsRecord> {
    let mut replicas = vec![SiblingsRecord::default(); REPLICAS];
    let mut states = replicas.clone();
    let mut contexts = vec![Context::new()];
    let mut requests = 0;
    for (time, step) in steps.iter().enumerate() {
        let changed = match step {
            Step::Put {
                at,
                saw,
                request,
                is_delete,
            } => {
                let replica = &mut replicas[*at];
                let wall = Wall(time as u64);
                let id = request
                    .filter(|_| requests < REQUESTS_MAX)
                    .map(|id| ClientRequestId::parse(&format!("request-{id}")).expect("legal"));
                if id.as_ref().is_some_and(|id| replica.marks.find(id, wall).is_some()) {
                    continue;
                }
                let context = saw.map_or_else(Context::new, |saw| contexts[saw.index(contexts.len())].clone());
                let actor = ActorId {
                    node: NodeId(*at as u32),
                    life: Life(1),
                    birth: 1,
                };
                let dot = Dot {
                    actor,
                    counter: replica.seen.highest(actor).max(context.highest(actor)) + 1,
                };
                let text = format!("{at}:{}", dot.counter);
                let before = replica.seen.clone();
                let payload = if *is_delete {
                    Payload::Tombstone
                } else {
                    Payload::Value(Value::plain(Bytes::from(text)))
                };
                replica.put(
                    &context,
                    dot,
                    Version {
                        payload,
                        written_at: Hlc::at(wall),
                        expires_at: None,
                    },
                );
                // As puts do on long contexts, now and then.
                if time % 2 == 0 {
                    replica.note_growth(&before, wall);
                }
                if let Some(id) = id {
                    requests += 1;
                    replica.mark(RequestMark {
                        at: Hlc::at(wall),
                        body: 0,
                        id,
                        dot,
                    });
                }
                let mut answered = context;
                answered.insert(dot);
                contexts.push(answered);
                *at
            }
            Step::Merge { from, into } => {
                let from = states[from.index(states.len())].clone();
                replicas[*into].merge(&from);
                *into
            }
        };
        contexts.push(replicas[changed].context().clone());
        states.push(replicas[changed].clone());
    }
    states
}
