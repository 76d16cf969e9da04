//! Updates against a plain model of Redis, which knows nothing of clocks or registers; and convergence of replicas that get
//! the same writes in any order, some of them twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::causality::{Dot, LwwRecord, Record, Stamp};
use crate::id::{ActorId, BucketId, Life, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::keyspace::{
    Chain, ExpireIf, ExpiryChange, Gathered, KeyView, MintStamp, Update, UpdateReply, Want, add_want, decides,
    look_again, may_share, records_wanted, view, want_of,
};
use crate::message::ReadWant;
use crate::outcome::Cause;
use crate::time::{Hlc, HlcClock, Wall};

const VALUE_BYTES_MAX: u32 = 12;

type Reply = Result<UpdateReply, Cause>;

/// One replica of one key, with the clock of the node that updates it.
#[derive(Clone)]
struct Replica {
    records: BTreeMap<RecordKey, LwwRecord>,
    partition_cleared_at: Hlc,
    clock: HlcClock,
    node: u32,
    counter: u64,
    wall: Wall,
}

struct Minter<'a> {
    replica: &'a mut Replica,
    floor: Hlc,
}

impl MintStamp for Minter<'_> {
    fn mint(&mut self) -> Stamp {
        let hlc = self.replica.clock.mint(self.replica.wall, self.floor);
        self.replica.counter += 1;
        let actor = ActorId {
            node: NodeId(self.replica.node),
            life: Life(1),
            birth: 1,
        };
        Stamp {
            hlc,
            dot: Dot {
                actor,
                counter: self.replica.counter,
            },
        }
    }
}

fn head_key() -> RecordKey {
    RecordKey::new(PartitionId(1), BucketId(2), 3, b"key", b"")
}

impl Replica {
    fn new(node: u32) -> Self {
        Self {
            records: BTreeMap::new(),
            partition_cleared_at: Hlc::ZERO,
            clock: HlcClock::default(),
            node,
            counter: 0,
            wall: Wall(1_000),
        }
    }

    /// Reads as a coordinator does, in pages of two records at most.
    fn gather(&self, gathered: &mut Gathered, want: &Want) {
        gathered.partition_cleared_at = self.partition_cleared_at;
        match records_wanted(&head_key(), want) {
            ReadWant::Records(keys) => {
                for key in keys {
                    if let Some(record) = self.records.get(&key) {
                        gathered.absorb(&key, &Record::Lww(record.clone()));
                    }
                }
            }
            ReadWant::Range { range, .. } => {
                let within = |key: &RecordKey| {
                    key.as_bytes() >= &range.start[..] && range.end.as_ref().is_none_or(|end| key.as_bytes() < &end[..])
                };
                let found: Vec<_> = self.records.iter().filter(|(key, _)| within(key)).collect();
                for page in found.chunks(2) {
                    for (key, record) in page {
                        gathered.absorb(key, &Record::Lww((*record).clone()));
                    }
                    if decides(gathered, want, self.wall) {
                        return;
                    }
                }
                gathered.whole = true;
            }
        }
    }

    fn view(&self, want: &Want) -> KeyView {
        let mut gathered = Gathered::default();
        self.gather(&mut gathered, want);
        view(&gathered, want, self.wall)
    }

    /// Updates that share one read and one batch of writes.
    fn update(&mut self, updates: &[Update]) -> (Vec<Reply>, Vec<(RecordKey, LwwRecord)>) {
        let mut gathered = Gathered::default();
        let mut want = want_of(&updates[0]);
        updates[1..].iter().for_each(|update| add_want(&mut want, update));
        self.gather(&mut gathered, &want);
        if let Some(want) = look_again(&updates[0], &gathered, self.wall) {
            self.gather(&mut gathered, &want);
        }
        for update in updates {
            let again = look_again(update, &gathered, self.wall);
            assert_eq!(again, None, "a second look is enough, and for all");
        }
        let (floor, wall) = (gathered.highest(), self.wall);
        let head = head_key();
        let mut chain = Chain {
            head: &head,
            gathered: &mut gathered,
            wall,
            value_bytes_max: VALUE_BYTES_MAX,
            writes: BTreeMap::new(),
        };
        let mut minter = Minter { replica: self, floor };
        let last = updates.len() - 1;
        let updates = updates.iter().enumerate();
        let replies = updates.map(|(at, update)| chain.apply(update, at == last, &mut minter));
        let replies = replies.collect();
        let writes: Vec<_> = chain
            .writes
            .into_iter()
            .map(|(sort, record)| (head_key().with_sort_key(&sort), record))
            .collect();
        for (key, record) in &writes {
            self.merge(key, record);
        }
        (replies, writes)
    }

    fn merge(&mut self, key: &RecordKey, record: &LwwRecord) {
        self.clock.observe(self.wall, record.highest(), u64::MAX >> 16);
        self.records.entry(key.clone()).or_default().merge(record);
    }

    fn flush(&mut self) {
        self.partition_cleared_at = self.clock.mint(self.wall, Hlc::ZERO);
    }
}

/// A key of the model.
#[derive(Clone, Debug)]
enum Content {
    String(Vec<u8>),
    Hash(BTreeMap<Bytes, Bytes>),
}

/// What Redis 7 does with one key.
#[derive(Default)]
struct Model {
    content: Option<Content>,
    expires_at: Option<u64>,
}

impl Model {
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn pass_time(&mut self, wall: u64) {
        if self.expires_at.is_some_and(|at| at <= wall) {
            self.forget();
        }
    }

    fn string(&self) -> Result<Option<Vec<u8>>, Cause> {
        match &self.content {
            None => Ok(None),
            Some(Content::String(bytes)) => Ok(Some(bytes.clone())),
            Some(Content::Hash(_)) => Err(Cause::WrongType),
        }
    }

    fn set_expiry(&mut self, at: u64, wall: u64) {
        if at <= wall {
            self.forget()
        } else {
            self.expires_at = Some(at)
        }
    }

    fn update(&mut self, update: &Update, wall: u64) -> Result<UpdateReply, Cause> {
        let too_large = |bytes: usize| match bytes > VALUE_BYTES_MAX as usize {
            true => Err(Cause::ValueTooLarge {
                limit: u64::from(VALUE_BYTES_MAX),
                actual: bytes as u64,
            }),
            false => Ok(()),
        };
        let integer = |number: usize| Ok(UpdateReply::Integer(number as i64));
        match update {
            Update::Set {
                value,
                expiry,
                return_old,
            } => {
                let old = if *return_old { self.string()? } else { None };
                too_large(value.len())?;
                self.content = Some(Content::String(value.to_vec()));
                match expiry {
                    ExpiryChange::Keep => {}
                    ExpiryChange::Clear => self.expires_at = None,
                    ExpiryChange::At(at) => self.set_expiry(at.0, wall),
                }
                Ok(if *return_old {
                    UpdateReply::Value(old.map(Bytes::from))
                } else {
                    UpdateReply::Done
                })
            }
            Update::Append(data) => {
                let mut bytes = self.string()?.unwrap_or_default();
                bytes.extend_from_slice(data);
                if self.content.is_none() || !data.is_empty() {
                    too_large(bytes.len())?;
                }
                let length = bytes.len();
                self.content = Some(Content::String(bytes));
                integer(length)
            }
            Update::SetRange { offset, data } => {
                let mut bytes = self.string()?.unwrap_or_default();
                if data.is_empty() {
                    return integer(bytes.len());
                }
                let offset = *offset as usize;
                too_large(offset + data.len())?;
                while bytes.len() < offset + data.len() {
                    bytes.push(0);
                }
                for (at, byte) in data.iter().enumerate() {
                    bytes[offset + at] = *byte;
                }
                let length = bytes.len();
                self.content = Some(Content::String(bytes));
                integer(length)
            }
            Update::GetDel => {
                let old = self.string()?;
                self.forget();
                Ok(UpdateReply::Value(old.map(Bytes::from)))
            }
            Update::GetEx(change) => {
                let old = self.string()?;
                if old.is_some() {
                    match change {
                        ExpiryChange::Keep => {}
                        ExpiryChange::Clear => self.expires_at = None,
                        ExpiryChange::At(at) => self.set_expiry(at.0, wall),
                    }
                }
                Ok(UpdateReply::Value(old.map(Bytes::from)))
            }
            Update::Del => {
                let existed = self.content.is_some();
                self.forget();
                integer(usize::from(existed))
            }
            Update::Expire { at, condition } => {
                // No expiry counts as infinitely late.
                let current = self.expires_at.unwrap_or(u64::MAX);
                let holds = match condition {
                    ExpireIf::Always => true,
                    ExpireIf::None => self.expires_at.is_none(),
                    ExpireIf::Some => self.expires_at.is_some(),
                    ExpireIf::Later => at.0 > current,
                    ExpireIf::Earlier => at.0 < current,
                    ExpireIf::SomeEarlier => self.expires_at.is_some() && at.0 < current,
                };
                if self.content.is_none() || !holds {
                    return integer(0);
                }
                self.set_expiry(at.0, wall);
                integer(1)
            }
            Update::Persist => integer(usize::from(self.expires_at.take().is_some())),
            Update::HashSet(pairs) => {
                for (_, value) in pairs {
                    too_large(value.len())?;
                }
                let hash = match &mut self.content {
                    Some(Content::String(_)) => return Err(Cause::WrongType),
                    Some(Content::Hash(hash)) => hash,
                    none => match none.insert(Content::Hash(BTreeMap::new())) {
                        Content::Hash(hash) => hash,
                        Content::String(_) => unreachable!("a hash was put there"),
                    },
                };
                let before = hash.len();
                for (field, value) in pairs {
                    hash.insert(field.clone(), value.clone());
                }
                integer(hash.len() - before)
            }
            Update::HashDel(fields) => {
                let hash = match &mut self.content {
                    Some(Content::String(_)) => return Err(Cause::WrongType),
                    None => return integer(0),
                    Some(Content::Hash(hash)) => hash,
                };
                let before = hash.len();
                for field in fields {
                    hash.remove(field);
                }
                let removed = before - hash.len();
                if hash.is_empty() {
                    self.forget();
                }
                integer(removed)
            }
        }
    }

    fn view(&self, want: &Want) -> KeyView {
        let expires_at = self.expires_at.map(Wall);
        match &self.content {
            None => KeyView::Absent,
            Some(Content::String(value)) => KeyView::String {
                value: Bytes::from(value.clone()),
                expires_at,
            },
            Some(Content::Hash(hash)) => {
                let fields = match want {
                    Want::Head => Vec::new(),
                    Want::Fields(wanted) => wanted
                        .iter()
                        .map(|field| (field.clone(), hash.get(field).cloned()))
                        .collect(),
                    Want::AllFields => hash
                        .iter()
                        .map(|(field, value)| (field.clone(), Some(value.clone())))
                        .collect(),
                };
                KeyView::Hash { fields, expires_at }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Update(Vec<Update>),
    Flush,
    PassTime(u64),
}

fn names() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(""), Just("a"), Just("b"), Just("c")].prop_map(|name| Bytes::from_static(name.as_bytes()))
}

fn values() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..=VALUE_BYTES_MAX as usize + 1).prop_map(Bytes::from)
}

/// Moments around the walls that a run of steps passes.
fn moments() -> impl Strategy<Value = Wall> {
    (900..1_400_u64).prop_map(Wall)
}

fn expiry_changes() -> impl Strategy<Value = ExpiryChange> {
    prop_oneof![
        Just(ExpiryChange::Keep),
        Just(ExpiryChange::Clear),
        moments().prop_map(ExpiryChange::At)
    ]
}

fn updates() -> impl Strategy<Value = Update> {
    let conditions = prop_oneof![
        Just(ExpireIf::Always),
        Just(ExpireIf::None),
        Just(ExpireIf::Some),
        Just(ExpireIf::Later),
        Just(ExpireIf::Earlier),
        Just(ExpireIf::SomeEarlier)
    ];
    prop_oneof![
        2 => (values(), expiry_changes(), any::<bool>())
            .prop_map(|(value, expiry, return_old)| Update::Set { value, expiry, return_old }),
        1 => values().prop_map(Update::Append),
        1 => (0..16_u32, values()).prop_map(|(offset, data)| Update::SetRange { offset, data }),
        1 => Just(Update::GetDel),
        1 => expiry_changes().prop_map(Update::GetEx),
        2 => Just(Update::Del),
        4 => (moments(), conditions).prop_map(|(at, condition)| Update::Expire { at, condition }),
        1 => Just(Update::Persist),
        6 => proptest::collection::vec((names(), values()), 1..4).prop_map(Update::HashSet),
        4 => proptest::collection::vec(names(), 1..4).prop_map(Update::HashDel),
    ]
}

/// Updates that may share a read.
fn groups() -> impl Strategy<Value = Vec<Update>> {
    (updates(), proptest::collection::vec(updates(), 0..12)).prop_map(|(first, mut others)| {
        others.retain(|other| may_share(&first, other));
        others.insert(0, first);
        others
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => updates().prop_map(|update| Step::Update(vec![update])),
        4 => groups().prop_map(Step::Update),
        1 => Just(Step::Flush),
        4 => (0..60_u64).prop_map(Step::PassTime),
    ];
    proptest::collection::vec(step, 1..40)
}

fn wants() -> Vec<Want> {
    let names: Vec<Bytes> = ["c", "", "missing", "a"]
        .iter()
        .map(|name| Bytes::from_static(name.as_bytes()))
        .collect();
    vec![Want::Head, Want::AllFields, Want::Fields(names)]
}

/// `Want::Fields` can't tell a hash without the named fields from no key: both answer nil for each.
fn as_answered(view: KeyView) -> KeyView {
    match view {
        KeyView::Hash { fields, .. } if !fields.is_empty() && fields.iter().all(|(_, value)| value.is_none()) => {
            KeyView::Absent
        }
        KeyView::Absent | KeyView::String { .. } | KeyView::Hash { .. } => view,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 1_000 } else { 50_000 }))]

    #[test]
    fn a_key_on_one_replica_is_what_redis_would_have(steps in steps()) {
        let (mut replica, mut model) = (Replica::new(1), Model::default());
        for step in steps {
            match step {
                Step::PassTime(ms) => {
                    replica.wall.0 += ms;
                    model.pass_time(replica.wall.0);
                }
                Step::Flush => {
                    replica.flush();
                    model.forget();
                }
                Step::Update(updates) => {
                    let (got, _) = replica.update(&updates);
                    let wall = replica.wall.0;
                    let expected: Vec<_> = updates.iter().map(|update| model.update(update, wall)).collect();
                    prop_assert_eq!(got, expected, "{:?}", updates);
                }
            }
            for want in wants() {
                prop_assert_eq!(as_answered(replica.view(&want)), as_answered(model.view(&want)), "{:?}", want);
            }
        }
    }

    #[test]
    fn replicas_that_get_the_same_writes_in_any_order_and_twice_hold_the_same(
        steps in proptest::collection::vec((any::<bool>(), any::<bool>(), groups()), 1..30), seed in any::<u64>(),
    ) {
        // Two nodes update the key, seeing one another's writes only now and then.
        let mut nodes = [Replica::new(1), Replica::new(2)];
        let (mut all, mut seen) = (Vec::new(), [0, 0]);
        for (at, (which, meets, updates)) in steps.into_iter().enumerate() {
            let which = usize::from(which);
            nodes[which].wall = Wall(1_000 + 7 * at as u64);
            if meets {
                for (key, record) in &all[seen[which]..] {
                    nodes[which].merge(key, record);
                }
                seen[which] = all.len();
            }
            let (_, writes) = nodes[which].update(&updates);
            all.extend(writes);
        }
        let mut random = crate::random::Random::new(seed);
        let mut shuffled = all.clone();
        for _ in 0..all.len() {
            shuffled.push(all[random.below(all.len() as u64) as usize].clone());
        }
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at as u64 + 1) as usize);
        }
        let (mut third, mut fourth) = (Replica::new(3), Replica::new(4));
        for (key, record) in &all {
            third.merge(key, record);
        }
        for (key, record) in &shuffled {
            fourth.merge(key, record);
        }
        prop_assert_eq!(&third.records, &fourth.records);
        for node in &mut nodes {
            for (key, record) in &all {
                node.merge(key, record);
            }
            prop_assert_eq!(&third.records, &node.records);
        }
    }
}
