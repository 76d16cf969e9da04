//! A record of a `conflict = "siblings"` bucket: concurrent versions, each with its own dot, and what the replica has
//! seen of the key. This is a dotted version vector set (Preguiça et al., "Dotted Version Vectors", 2010).

use smallvec::SmallVec;

use crate::causality::{Context, Dot, Growth, Payload, RequestMark, RequestMarks};
use crate::limits::REQUEST_MARK_AGE_MS_MAX;
use crate::mutants::{Mutant, active};
use crate::time::{Hlc, Wall};

/// One sibling's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// Value or tombstone.
    pub payload: Payload,
    /// When it was minted; shown as `written_at`, decides nothing.
    pub written_at: Hlc,
    /// When it becomes a tombstone; fixed once by the node that received the put.
    pub expires_at: Option<Wall>,
}

impl Version {
    /// True if there is something to show: neither deleted nor expired.
    #[must_use]
    pub fn is_visible(&self, wall: Wall) -> bool {
        !matches!(self.payload, Payload::Tombstone) && self.expires_at.is_none_or(|at| at > wall)
    }
}

/// `seen` covers the dot of every sibling and of everything they replaced.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SiblingsRecord {
    /// All writes this record knows of.
    pub seen: Context,
    /// The versions that nothing seen has replaced, by dot.
    pub siblings: SmallVec<[(Dot, Version); 1]>,
    /// Answered client request ids.
    pub marks: RequestMarks,
    /// When the entries of `seen` last grew, where they are many.
    pub growth: Growth,
}

impl SiblingsRecord {
    /// A client's put or delete: replaces exactly the siblings that `context` covers.
    pub fn put(&mut self, context: &Context, dot: Dot, version: Version) {
        self.siblings.retain(|sibling| !context.covers(sibling.0));
        self.seen.merge(context);
        self.seen.insert(dot);
        self.insert_sibling(dot, version);
    }

    /// How many siblings a put with `context` would leave, itself included.
    #[must_use]
    pub fn siblings_after_put(&self, context: &Context) -> usize {
        1 + self
            .siblings
            .iter()
            .filter(|sibling| !context.covers(sibling.0))
            .count()
    }

    /// Merges a replica's record: a sibling stays unless the other side has seen it and no longer holds it.
    pub fn merge(&mut self, other: &Self) {
        let gone = |mine: &Dot| other.seen.covers(*mine) && !other.siblings.iter().any(|sibling| sibling.0 == *mine);
        self.siblings.retain(|sibling| !gone(&sibling.0));
        for (dot, version) in &other.siblings {
            if !self.seen.covers(*dot) {
                self.insert_sibling(*dot, version.clone());
            }
        }
        self.seen.merge(&other.seen);
        self.marks.merge(&other.marks);
        self.growth.merge(&other.growth);
        self.drop_repeated_requests();
        if active(Mutant::MergeDropsSiblings) {
            let surplus = self.siblings.len().saturating_sub(1);
            self.siblings.drain(..surplus);
        }
    }

    /// The context a reader of this record gets: exactly what it contained or had superseded.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.seen
    }

    /// Remembers an answered request.
    pub fn mark(&mut self, mark: RequestMark) {
        self.marks.insert(mark);
    }

    fn insert_sibling(&mut self, dot: Dot, version: Version) {
        if let Err(at) = self.siblings.binary_search_by_key(&dot, |sibling| sibling.0) {
            self.siblings.insert(at, (dot, version));
        }
    }

    /// One request minted at two homes left two versions: the smallest dot stays (RULINGS 17). Only while the id counts:
    /// a client that uses one again later has made a new write, which must not fall to its predecessor.
    fn drop_repeated_requests(&mut self) {
        let marks = self.marks.as_slice();
        let is_one_request = |a: &RequestMark, b: &RequestMark| {
            let apart_ms = a.at.wall().0.abs_diff(b.at.wall().0);
            a.id == b.id && a.body == b.body && apart_ms <= REQUEST_MARK_AGE_MS_MAX
        };
        let repeated = |dot: Dot| {
            marks.iter().filter(|mark| mark.dot == dot).any(|mark| {
                marks
                    .iter()
                    .any(|other| other.dot < mark.dot && is_one_request(mark, other))
            })
        };
        if marks.len() > 1 {
            self.siblings.retain(|sibling| !repeated(sibling.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::causality::Value;
    use crate::id::{ActorId, ClientRequestId, Life, NodeId};

    const SX: u32 = 1;
    const SY: u32 = 2;
    const SZ: u32 = 3;

    fn actor(node: u32) -> ActorId {
        ActorId {
            node: NodeId(node),
            life: Life(9),
            birth: 1,
        }
    }

    fn dot(node: u32, counter: u64) -> Dot {
        Dot {
            actor: actor(node),
            counter,
        }
    }

    fn version(text: &'static str) -> Version {
        let payload = Payload::Value(Value::plain(Bytes::from_static(text.as_bytes())));
        Version {
            payload,
            written_at: Hlc(1),
            expires_at: None,
        }
    }

    fn vector(entries: &[(u32, u64)]) -> Context {
        Context::from_parts(entries.iter().map(|&(node, counter)| (actor(node), counter)), [])
    }

    fn dots(record: &SiblingsRecord) -> Vec<Dot> {
        record.siblings.iter().map(|sibling| sibling.0).collect()
    }

    fn mark(at_ms: u64, id: &str, body: u64, dot: Dot) -> RequestMark {
        let id = ClientRequestId::parse(id).expect("legal");
        RequestMark {
            at: Hlc::at(Wall(at_ms)),
            id,
            body,
            dot,
        }
    }

    /// The worked example of the Dynamo paper (section 4.4, figure 3).
    #[test]
    fn the_story_of_d1_to_d5_holds_exactly() {
        let mut at_x = SiblingsRecord::default();
        at_x.put(&Context::new(), dot(SX, 1), version("D1"));
        assert_eq!(at_x.context(), &vector(&[(SX, 1)]));
        let seen_d1 = at_x.context().clone();
        at_x.put(&seen_d1, dot(SX, 2), version("D2"));
        assert_eq!(at_x.context(), &vector(&[(SX, 2)]));
        assert_eq!(dots(&at_x), [dot(SX, 2)]);

        let (mut at_y, mut at_z) = (at_x.clone(), at_x.clone());
        let seen_d2 = at_x.context().clone();
        at_y.put(&seen_d2, dot(SY, 1), version("D3"));
        assert_eq!(at_y.context(), &vector(&[(SX, 2), (SY, 1)]));
        at_z.put(&seen_d2, dot(SZ, 1), version("D4"));
        assert_eq!(at_z.context(), &vector(&[(SX, 2), (SZ, 1)]));

        at_x.merge(&at_y);
        at_x.merge(&at_z);
        assert_eq!(dots(&at_x), [dot(SY, 1), dot(SZ, 1)], "D3 and D4 are siblings");
        let seen_both = at_x.context().clone();
        assert_eq!(seen_both, vector(&[(SX, 2), (SY, 1), (SZ, 1)]));
        at_x.put(&seen_both, dot(SX, 3), version("D5"));
        assert_eq!(at_x.context(), &vector(&[(SX, 3), (SY, 1), (SZ, 1)]));
        assert_eq!(dots(&at_x), [dot(SX, 3)]);

        for late in [&at_y, &at_z] {
            let before = at_x.clone();
            at_x.merge(late);
            assert_eq!(at_x, before, "D5 has replaced both, whoever repeats them");
        }
        at_y.merge(&at_x);
        assert_eq!(at_y, at_x);
    }

    #[test]
    fn a_put_with_an_old_context_becomes_a_sibling() {
        let mut record = SiblingsRecord::default();
        record.put(&Context::new(), dot(SX, 1), version("one"));
        let old = record.context().clone();
        record.put(&old, dot(SX, 2), version("two"));
        assert_eq!(record.siblings_after_put(&old), 2);
        record.put(&old, dot(SX, 3), version("three"));
        assert_eq!(dots(&record), [dot(SX, 2), dot(SX, 3)]);
    }

    #[test]
    fn a_put_replaces_exactly_what_its_context_covers() {
        let mut record = SiblingsRecord::default();
        record.put(&Context::new(), dot(SX, 1), version("one"));
        record.put(&Context::new(), dot(SX, 2), version("two"));
        // What the writer of "two" was answered: its own dot alone, which says nothing of "one".
        let own_write = Context::from_parts([], [dot(SX, 2)]);
        record.put(&own_write, dot(SX, 3), version("three"));
        assert_eq!(dots(&record), [dot(SX, 1), dot(SX, 3)]);
    }

    #[test]
    fn one_request_minted_at_two_homes_is_one_version_with_the_smallest_dot() {
        let (mut at_x, mut at_y) = (SiblingsRecord::default(), SiblingsRecord::default());
        at_x.put(&Context::new(), dot(SX, 1), version("once"));
        at_x.mark(mark(1_000, "pay-42", 7, dot(SX, 1)));
        at_y.put(&Context::new(), dot(SY, 1), version("once"));
        at_y.mark(mark(9_000, "pay-42", 7, dot(SY, 1)));
        let mut merged = at_y.clone();
        merged.merge(&at_x);
        assert_eq!(dots(&merged), [dot(SX, 1)]);
        at_x.merge(&at_y);
        assert_eq!(at_x, merged);
        assert!(merged.seen.covers(dot(SY, 1)), "the other copy must not come back");
    }

    #[test]
    fn requests_with_one_id_but_another_body_are_two_versions() {
        let (mut at_x, mut at_y) = (SiblingsRecord::default(), SiblingsRecord::default());
        at_x.put(&Context::new(), dot(SX, 1), version("red"));
        at_x.mark(mark(1_000, "pay-42", 7, dot(SX, 1)));
        at_y.put(&Context::new(), dot(SY, 1), version("blue"));
        at_y.mark(mark(1_000, "pay-42", 8, dot(SY, 1)));
        at_x.merge(&at_y);
        assert_eq!(dots(&at_x), [dot(SX, 1), dot(SY, 1)]);
    }

    /// An id may be used again once it is forgotten. Taken for a repeat, the new version would be dropped in favour of one
    /// that was replaced long ago: the key would be empty.
    #[test]
    fn a_request_id_used_again_after_its_time_makes_a_new_version() {
        let mut record = SiblingsRecord::default();
        record.put(&Context::new(), dot(SX, 1), version("monday"));
        record.mark(mark(1_000, "cron", 7, dot(SX, 1)));
        let seen = record.context().clone();
        record.put(&seen, dot(SX, 2), version("tuesday"));
        record.mark(mark(1_001 + REQUEST_MARK_AGE_MS_MAX, "cron", 7, dot(SX, 2)));
        let copy = record.clone();
        record.merge(&copy);
        assert_eq!(dots(&record), [dot(SX, 2)]);
    }
}
