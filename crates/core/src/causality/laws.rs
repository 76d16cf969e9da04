//! The laws that every merge must keep, whatever order and however often messages arrive: associative, commutative,
//! idempotent. A replica set whose merge breaks one of them may never agree.

use proptest::prelude::*;

use crate::causality::arbitrary::{context, history, lww_record, marks};
use crate::causality::{LwwRecord, Payload, SiblingsRecord};

fn merged<T: Clone>(a: &T, b: &T, merge: fn(&mut T, &T)) -> T {
    let mut both = a.clone();
    merge(&mut both, b);
    both
}

/// Checks the three laws on three values.
fn laws<T: Clone + PartialEq + std::fmt::Debug>(
    a: &T,
    b: &T,
    c: &T,
    merge: fn(&mut T, &T),
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&merged(a, a, merge), a, "idempotent");
    prop_assert_eq!(merged(a, b, merge), merged(b, a, merge), "commutative");
    let left = merged(&merged(a, b, merge), c, merge);
    let right = merged(a, &merged(b, c, merge), merge);
    prop_assert_eq!(left, right, "associative");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn contexts_merge_lawfully(a in context(), b in context(), c in context()) {
        laws(&a, &b, &c, |into, from| into.merge(from))?;
    }

    #[test]
    fn request_marks_merge_lawfully(a in marks(16), b in marks(16), c in marks(16)) {
        laws(&a, &b, &c, |into, from| into.merge(from))?;
    }

    #[test]
    fn last_writer_wins_records_merge_lawfully(a in lww_record(), b in lww_record(), c in lww_record()) {
        laws(&a, &b, &c, LwwRecord::merge)?;
    }

    #[test]
    fn siblings_of_one_history_merge_lawfully(states in history(), picks: [prop::sample::Index; 3]) {
        let [a, b, c] = picks.map(|pick| &states[pick.index(states.len())]);
        laws(a, b, c, SiblingsRecord::merge)?;
    }

    #[test]
    fn merging_loses_nothing_that_nobody_replaced(states in history(), picks: [prop::sample::Index; 2]) {
        let [a, b] = picks.map(|pick| &states[pick.index(states.len())]);
        let both = merged(a, b, SiblingsRecord::merge);
        prop_assert!(both.seen.descends(&a.seen) && both.seen.descends(&b.seen));
        let is_repeat = |record: &SiblingsRecord, dot| {
            let marks = record.marks.as_slice();
            marks.iter().any(|mark| mark.dot == dot && marks.iter().any(|other| other.id == mark.id && other.dot < dot))
        };
        for (one, other) in [(a, b), (b, a)] {
            for (dot, version) in &one.siblings {
                let stays = both.siblings.iter().any(|sibling| sibling.0 == *dot && sibling.1 == *version);
                let was_replaced = other.seen.covers(*dot) && !other.siblings.iter().any(|sibling| sibling.0 == *dot);
                prop_assert_eq!(stays, !was_replaced && !is_repeat(&both, *dot));
            }
        }
    }

    #[test]
    fn siblings_never_cover_one_another(states in history()) {
        for state in &states {
            for (dot, version) in &state.siblings {
                prop_assert!(state.seen.covers(*dot));
                prop_assert!(!matches!(version.payload, Payload::HashHead));
            }
            prop_assert!(state.siblings.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
