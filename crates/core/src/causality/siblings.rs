//! A record of a `conflict = "siblings"` bucket: concurrent versions, each with its own dot, and what the replica has
//! seen of the key. This is a dotted version vector set (Preguiça et al., "Dotted Version Vectors", 2010).

use smallvec::SmallVec;

use crate::causality::{Context, Dot, Payload, RequestMark, RequestMarks};
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
        1 + self.siblings.iter().filter(|sibling| !context.covers(sibling.0)).count()
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
        self.drop_repeated_requests();
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

    /// One request minted at two homes left two versions: the smallest dot stays (RULINGS 17).
    fn drop_repeated_requests(&mut self) {
        let marks = self.marks.as_slice();
        let repeated = |dot: Dot| {
            marks.iter().filter(|mark| mark.dot == dot).any(|mark| {
                marks.iter().any(|other| other.id == mark.id && other.body == mark.body && other.dot < mark.dot)
            })
        };
        if marks.len() > 1 {
            self.siblings.retain(|sibling| !repeated(sibling.0));
        }
    }
}
