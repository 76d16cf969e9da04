//! The rules of RULINGS 7, 8 and 10 one by one, above all those that only concurrent writers meet.

use std::sync::Arc;

use bytes::Bytes;

use crate::causality::{Dot, Expiry, LwwRecord, Payload, Record, Stamp, Value};
use crate::id::{ActorId, BucketId, Life, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::keyspace::{
    Applied, ExpireIf, ExpiryChange, Gathered, KeyView, MintStamp, Update, UpdateReply, Want, apply, decides,
    head_write, look_again, records_wanted, view, want_of,
};
use crate::limits::SORT_KEY_BYTES_MAX;
use crate::message::ReadWant;
use crate::outcome::Cause;
use crate::time::{Hlc, Wall};

const NOW: Wall = Wall(1_000);

fn stamp(hlc: u64) -> Stamp {
    Stamp {
        hlc: Hlc(hlc),
        dot: Dot {
            actor: ActorId {
                node: NodeId(1),
                life: Life(1),
                birth: 1,
            },
            counter: hlc,
        },
    }
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn value(text: &'static str) -> Payload {
    Payload::Value(Value::plain(bytes(text)))
}

fn string(hlc: u64, text: &'static str) -> LwwRecord {
    head_write(stamp(hlc), value(text), None)
}

fn deleted(hlc: u64) -> LwwRecord {
    head_write(stamp(hlc), Payload::Tombstone, None)
}

fn hash_head(hlc: u64) -> LwwRecord {
    LwwRecord {
        stamp: stamp(hlc),
        payload: Payload::HashHead,
        ..LwwRecord::default()
    }
}

fn expiry(hlc: u64, at: u64) -> LwwRecord {
    LwwRecord {
        expiry: Expiry {
            stamp: stamp(hlc),
            at: Some(Wall(at)),
        },
        ..LwwRecord::default()
    }
}

fn field(hlc: u64, text: &'static str) -> LwwRecord {
    LwwRecord {
        stamp: stamp(hlc),
        payload: value(text),
        ..LwwRecord::default()
    }
}

/// The key of these writes to its head, and one field `f`.
fn key(head_writes: &[LwwRecord], f: Option<LwwRecord>) -> Gathered {
    let mut gathered = Gathered::default();
    for record in head_writes {
        gathered.absorb(&head_key(), &Record::Lww(record.clone()));
    }
    gathered.fields.extend(f.map(|record| (bytes("f"), Arc::new(record))));
    gathered.whole = true;
    gathered
}

fn head_key() -> RecordKey {
    RecordKey::new(PartitionId(1), BucketId(2), 3, b"key", b"")
}

struct Counting(u64);

impl MintStamp for Counting {
    fn mint(&mut self) -> Stamp {
        self.0 += 1;
        stamp(self.0)
    }
}

/// Applies with stamps 101, 102, …
fn run(update: &Update, gathered: &Gathered) -> Result<Applied, Cause> {
    apply(update, gathered, NOW, 8, &mut Counting(100))
}

fn a_hash(fields: &[(&'static str, &'static str)], expires_at: Option<Wall>) -> KeyView {
    let fields = fields
        .iter()
        .map(|(name, text)| (bytes(name), Some(bytes(text))))
        .collect();
    KeyView::Hash { fields, expires_at }
}

fn whole(gathered: &Gathered) -> KeyView {
    view(gathered, &Want::AllFields, NOW)
}

/// The key after the writes of an update.
fn after(gathered: &Gathered, update: &Update) -> Gathered {
    let mut gathered = gathered.clone();
    for (sort_key, record) in run(update, &gathered).expect("applies").writes {
        gathered.absorb(&head_key().with_sort_key(&sort_key), &Record::Lww(record));
    }
    gathered
}

#[test]
fn a_field_written_beside_a_delete_survives_it_if_its_clock_is_higher() {
    assert_eq!(
        whole(&key(&[hash_head(5), deleted(10)], Some(field(11, "v")))),
        a_hash(&[("f", "v")], None)
    );
    assert_eq!(
        whole(&key(&[hash_head(5), deleted(10)], Some(field(10, "v")))),
        KeyView::Absent
    );
    assert_eq!(
        whole(&key(&[hash_head(5), deleted(10)], Some(field(9, "v")))),
        KeyView::Absent
    );
}

#[test]
fn a_live_string_hides_fields_whatever_their_clock() {
    let gathered = key(&[hash_head(5), string(10, "s")], Some(field(11, "v")));
    assert_eq!(
        whole(&gathered),
        KeyView::String {
            value: bytes("s"),
            expires_at: None
        }
    );
    let hdel = Update::HashDel(vec![bytes("f")]);
    assert_eq!(run(&hdel, &gathered), Err(Cause::WrongType));
}

#[test]
fn fields_hidden_by_a_string_do_not_reappear_when_it_expires() {
    let expiring = LwwRecord {
        expiry: Expiry {
            stamp: stamp(10),
            at: Some(Wall(999)),
        },
        ..string(10, "s")
    };
    let gathered = key(&[expiring], Some(field(11, "v")));
    assert_eq!(whole(&gathered), KeyView::Absent);
    let gathered = after(&gathered, &Update::HashSet(vec![(bytes("g"), bytes("new"))]));
    assert_eq!(whole(&gathered), a_hash(&[("g", "new")], None));
}

#[test]
fn an_expiry_counts_only_from_the_clock_of_the_value_on() {
    let shown = |at| KeyView::String {
        value: bytes("s"),
        expires_at: at,
    };
    assert_eq!(whole(&key(&[string(10, "s"), expiry(9, 5_000)], None)), shown(None));
    assert_eq!(
        whole(&key(&[string(10, "s"), expiry(10, 5_000)], None)),
        shown(Some(Wall(5_000)))
    );
    assert_eq!(
        whole(&key(&[string(10, "s"), expiry(11, 5_000)], None)),
        shown(Some(Wall(5_000)))
    );
    assert_eq!(
        whole(&key(&[string(10, "s"), expiry(11, 1_001)], None)),
        shown(Some(Wall(1_001)))
    );
    assert_eq!(
        whole(&key(&[string(10, "s"), expiry(11, 1_000)], None)),
        KeyView::Absent
    );
}

#[test]
fn a_value_written_after_an_expiry_ends_it() {
    let gathered = key(&[string(10, "s"), expiry(11, 5_000)], None);
    let set = Update::Set {
        value: bytes("t"),
        expiry: ExpiryChange::Clear,
        return_old: false,
    };
    assert_eq!(
        whole(&after(&gathered, &set)),
        KeyView::String {
            value: bytes("t"),
            expires_at: None
        }
    );
    let keep = Update::Set {
        value: bytes("t"),
        expiry: ExpiryChange::Keep,
        return_old: false,
    };
    let kept = KeyView::String {
        value: bytes("t"),
        expires_at: Some(Wall(5_000)),
    };
    assert_eq!(whole(&after(&gathered, &keep)), kept);
}

#[test]
fn clearing_a_partition_takes_heads_fields_and_expiries_at_or_below_its_clock() {
    let mut gathered = key(&[hash_head(5), expiry(6, 5_000)], Some(field(7, "v")));
    gathered.partition_cleared_at = Hlc(4);
    assert_eq!(whole(&gathered), a_hash(&[("f", "v")], Some(Wall(5_000))));
    gathered.partition_cleared_at = Hlc(6);
    assert_eq!(
        whole(&gathered),
        a_hash(&[("f", "v")], None),
        "the field outlived the flush, its head did not"
    );
    gathered.partition_cleared_at = Hlc(7);
    assert_eq!(whole(&gathered), KeyView::Absent);
    let mut gathered = key(&[string(10, "s")], None);
    gathered.partition_cleared_at = Hlc(10);
    assert_eq!(whole(&gathered), KeyView::Absent);
}

#[test]
fn set_and_del_write_the_head_alone_and_clear_the_fields() {
    let gathered = key(&[hash_head(5)], Some(field(7, "v")));
    let set = Update::Set {
        value: bytes("s"),
        expiry: ExpiryChange::At(Wall(2_000)),
        return_old: false,
    };
    let applied = run(&set, &gathered).expect("applies");
    assert_eq!(
        applied.writes,
        vec![(Bytes::new(), head_write(stamp(101), value("s"), Some(Wall(2_000))))]
    );
    let applied = run(&Update::Del, &gathered).expect("applies");
    assert_eq!(applied.writes, vec![(Bytes::new(), deleted(101))]);
    assert_eq!(applied.writes[0].1.cleared_at, Hlc(101));
    assert_eq!(applied.reply, UpdateReply::Integer(1));
}

#[test]
fn an_update_of_no_key_writes_nothing() {
    let absent = key(&[deleted(10)], Some(field(9, "v")));
    for update in [
        Update::Del,
        Update::GetDel,
        Update::Persist,
        Update::GetEx(ExpiryChange::At(Wall(9_000))),
        Update::Expire {
            at: Wall(9_000),
            condition: ExpireIf::Always,
        },
        Update::HashDel(vec![bytes("f")]),
        Update::SetRange {
            offset: 3,
            data: Bytes::new(),
        },
    ] {
        let applied = run(&update, &absent).expect("applies");
        assert!(applied.writes.is_empty(), "{update:?}");
        assert!(
            matches!(applied.reply, UpdateReply::Integer(0) | UpdateReply::Value(None)),
            "{update:?}"
        );
    }
}

#[test]
fn expire_and_persist_write_the_expiry_register_alone() {
    let gathered = key(&[string(10, "s")], None);
    let expire = Update::Expire {
        at: Wall(2_000),
        condition: ExpireIf::Always,
    };
    assert_eq!(
        run(&expire, &gathered).expect("applies").writes,
        vec![(Bytes::new(), expiry(101, 2_000))]
    );
    let none = LwwRecord {
        expiry: Expiry {
            stamp: stamp(101),
            at: None,
        },
        ..LwwRecord::default()
    };
    let gathered = key(&[string(10, "s"), expiry(11, 5_000)], None);
    assert_eq!(
        run(&Update::Persist, &gathered).expect("applies").writes,
        vec![(Bytes::new(), none)]
    );
}

#[test]
fn an_expiry_of_fields_that_outlived_their_head_brings_a_head_along() {
    let gathered = key(&[deleted(10)], Some(field(11, "v")));
    let expire = Update::Expire {
        at: Wall(2_000),
        condition: ExpireIf::Always,
    };
    let applied = run(&expire, &gathered).expect("applies");
    assert_eq!(applied.writes[0].1.payload, Payload::HashHead);
    assert_eq!(
        whole(&after(&gathered, &expire)),
        a_hash(&[("f", "v")], Some(Wall(2_000)))
    );
}

#[test]
fn a_moment_that_has_passed_deletes_the_key_at_once() {
    let gathered = key(&[string(10, "s")], None);
    for update in [
        Update::Expire {
            at: NOW,
            condition: ExpireIf::Always,
        },
        Update::GetEx(ExpiryChange::At(NOW)),
        Update::Set {
            value: bytes("t"),
            expiry: ExpiryChange::At(NOW),
            return_old: false,
        },
    ] {
        assert_eq!(
            run(&update, &gathered).expect("applies").writes,
            vec![(Bytes::new(), deleted(101))],
            "{update:?}"
        );
    }
}

#[test]
fn hset_on_a_live_hash_leaves_its_head_and_expiry_alone() {
    let gathered = key(&[hash_head(5), expiry(6, 5_000)], Some(field(7, "v")));
    let hset = Update::HashSet(vec![
        (bytes("g"), bytes("1")),
        (bytes("f"), bytes("2")),
        (bytes("g"), bytes("3")),
    ]);
    let applied = run(&hset, &gathered).expect("applies");
    let expected = vec![(bytes("\u{1}f"), field(101, "2")), (bytes("\u{1}g"), field(102, "3"))];
    assert_eq!((applied.writes, applied.reply), (expected, UpdateReply::Integer(1)));
    assert_eq!(
        whole(&after(&gathered, &hset)),
        a_hash(&[("f", "2"), ("g", "3")], Some(Wall(5_000)))
    );
}

#[test]
fn hset_on_an_expired_hash_clears_the_old_fields_below_its_own() {
    let gathered = key(&[hash_head(5), expiry(6, 999)], Some(field(7, "v")));
    let hset = Update::HashSet(vec![(bytes("g"), bytes("1"))]);
    let applied = run(&hset, &gathered).expect("applies");
    assert_eq!(applied.writes[0].1.cleared_at, Hlc(101));
    assert_eq!(applied.writes[1], (bytes("\u{1}g"), field(102, "1")));
    assert_eq!(whole(&after(&gathered, &hset)), a_hash(&[("g", "1")], None));
}

#[test]
fn a_hash_whose_last_field_is_gone_does_not_lend_its_expiry_to_the_next_one() {
    let gone = LwwRecord {
        stamp: stamp(8),
        ..LwwRecord::default()
    };
    let hset = Update::HashSet(vec![(bytes("g"), bytes("1"))]);
    let mut gathered = key(&[hash_head(5), expiry(6, 5_000)], None);
    gathered.whole = false;
    assert_eq!(look_again(&hset, &gathered, NOW), Some(Want::Head));
    let gathered = key(&[hash_head(5), expiry(6, 5_000)], Some(gone));
    assert_eq!(look_again(&hset, &gathered, NOW), None);
    assert_eq!(whole(&after(&gathered, &hset)), a_hash(&[("g", "1")], None));
    let mut lasting = key(&[hash_head(5)], None);
    lasting.whole = false;
    assert_eq!(look_again(&hset, &lasting, NOW), None, "no expiry: no second read");
}

#[test]
fn a_value_beyond_the_limit_is_refused_with_limit_and_size() {
    let gathered = key(&[string(10, "1234567")], None);
    let too_large = |actual| Err(Cause::ValueTooLarge { limit: 8, actual });
    assert!(run(&Update::Append(bytes("8")), &gathered).is_ok());
    assert_eq!(run(&Update::Append(bytes("89")), &gathered), too_large(9));
    assert!(
        run(
            &Update::SetRange {
                offset: 7,
                data: bytes("8")
            },
            &gathered
        )
        .is_ok()
    );
    assert_eq!(
        run(
            &Update::SetRange {
                offset: 8,
                data: bytes("9")
            },
            &gathered
        ),
        too_large(9)
    );
    let far = Update::SetRange {
        offset: u32::MAX,
        data: bytes("9"),
    };
    assert_eq!(run(&far, &gathered), too_large(u64::from(u32::MAX) + 1));
    let set = Update::Set {
        value: bytes("123456789"),
        expiry: ExpiryChange::Clear,
        return_old: false,
    };
    assert_eq!(run(&set, &gathered), too_large(9));
    assert_eq!(
        run(
            &Update::HashSet(vec![(bytes("f"), bytes("123456789"))]),
            &key(&[], None)
        ),
        too_large(9)
    );
}

#[test]
fn a_field_name_beyond_the_limit_is_refused_when_written_and_not_asked_for_when_read() {
    let fits = Bytes::from(vec![b'f'; SORT_KEY_BYTES_MAX]);
    let long = Bytes::from(vec![b'f'; SORT_KEY_BYTES_MAX + 1]);
    let hset = |field: &Bytes| run(&Update::HashSet(vec![(field.clone(), bytes("v"))]), &key(&[], None));
    assert!(hset(&fits).is_ok());
    let (limit, actual) = (SORT_KEY_BYTES_MAX as u64, SORT_KEY_BYTES_MAX as u64 + 1);
    assert_eq!(hset(&long), Err(Cause::KeyTooLarge { limit, actual }));
    assert!(
        run(&Update::HashDel(vec![long.clone()]), &key(&[hash_head(5)], None))
            .expect("applies")
            .writes
            .is_empty()
    );
    let longest = RecordKey::new(PartitionId(0), BucketId(0), 0, &[0; 2_048], b"");
    let ReadWant::Records(keys) = records_wanted(&longest, &Want::Fields(vec![long, fits])) else {
        panic!("named fields are read by name");
    };
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| RecordKey::from_bytes(key.as_bytes()).is_some()));
}

#[test]
fn what_replicas_hold_is_merged_register_by_register() {
    let records = [
        (head_key(), hash_head(5)),
        (head_key(), expiry(6, 5_000)),
        (head_key().with_sort_key(b"\x01f"), field(9, "new")),
        (head_key().with_sort_key(b"\x01f"), field(7, "old")),
        (head_key().with_sort_key(b"\x02f"), field(9, "no field")),
    ];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]] {
        let mut gathered = Gathered::default();
        for at in order {
            gathered.absorb(&records[at].0, &Record::Lww(records[at].1.clone()));
        }
        assert_eq!(whole(&gathered), a_hash(&[("f", "new")], Some(Wall(5_000))));
        assert_eq!(gathered.highest(), Hlc(9));
    }
}

#[test]
fn a_whole_key_is_read_from_its_head_to_the_end_of_its_fields() {
    let ReadWant::Range { range, .. } = records_wanted(&head_key(), &Want::AllFields) else {
        panic!("a whole key is a range");
    };
    let within = |sort_key: &[u8]| {
        let key = head_key().with_sort_key(sort_key);
        key.as_bytes() >= &range.start[..] && key.as_bytes() < &range.end.as_ref().expect("an end")[..]
    };
    assert!(within(b"") && within(b"\x01") && within(b"\x01\xff\xff\xff"));
    assert!(!within(b"\x02"));
    let next = RecordKey::new(PartitionId(1), BucketId(2), 3, b"key2", b"");
    assert!(next.as_bytes() >= &range.end.expect("an end")[..]);
}

#[test]
fn a_read_goes_on_until_the_key_is_decided() {
    let unfinished = |head: &[LwwRecord], f| Gathered {
        whole: false,
        ..key(head, f)
    };
    let gone = LwwRecord {
        stamp: stamp(8),
        ..LwwRecord::default()
    };
    let head = |gathered: &Gathered| decides(gathered, &Want::Head, NOW);
    assert!(head(&unfinished(&[string(5, "s")], None)));
    assert!(head(&unfinished(&[hash_head(5)], Some(field(7, "v")))));
    assert!(
        head(&unfinished(&[hash_head(5), expiry(6, 999)], None)),
        "an expired key is absent"
    );
    assert!(!head(&unfinished(&[hash_head(5)], Some(gone))));
    assert!(!head(&unfinished(&[], None)));
    assert!(head(&key(&[], None)));
    assert!(!decides(
        &unfinished(&[hash_head(5)], Some(field(7, "v"))),
        &Want::AllFields,
        NOW
    ));
}

#[test]
fn an_update_that_replaces_whatever_was_there_reads_the_head_alone() {
    let set = |expiry, return_old| {
        want_of(&Update::Set {
            value: bytes("s"),
            expiry,
            return_old,
        })
    };
    assert_eq!(set(ExpiryChange::Clear, false), Want::Fields(Vec::new()));
    assert_eq!(set(ExpiryChange::Clear, true), Want::Head);
    assert_eq!(
        set(ExpiryChange::Keep, false),
        Want::Head,
        "a hash whose fields are gone has no expiry to keep"
    );
}
