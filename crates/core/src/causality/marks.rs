//! Which client request ids a record has answered, so that a repeated put is answered, not applied twice (RULINGS 17).
//! The marks live inside the record and replicate with it.

use crate::causality::Dot;
use crate::id::ClientRequestId;
use crate::limits::{REQUEST_MARK_AGE_MS_MAX, REQUEST_MARKS_MAX};
use crate::time::{Hlc, Wall};

/// One answered request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestMark {
    /// When it was minted: by the wall clock in a siblings record, the stamp's reading in an lww record, which answers a
    /// repeat with it. First, so that marks sort by age.
    pub at: Hlc,
    /// What the client called it.
    pub id: ClientRequestId,
    /// XXH3-64 of everything that the request asked for, to notice an id used for two different requests.
    pub body: u64,
    /// The write that it made.
    pub dot: Dot,
}

/// The last [`REQUEST_MARKS_MAX`] marks, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestMarks(Vec<RequestMark>);

impl RequestMarks {
    /// No marks.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Marks that are already sorted, unique and within the bound; `None` if they are not.
    #[must_use]
    pub fn from_sorted(marks: Vec<RequestMark>) -> Option<Self> {
        let fits = marks.len() <= REQUEST_MARKS_MAX && marks.is_sorted_by(|a, b| a < b);
        fits.then_some(Self(marks))
    }

    /// The mark of `id` if it is not older than ten minutes.
    #[must_use]
    pub fn find(&self, id: &ClientRequestId, wall: Wall) -> Option<&RequestMark> {
        let fresh = |mark: &&RequestMark| mark.at.wall().0 + REQUEST_MARK_AGE_MS_MAX >= wall.0;
        self.0
            .iter()
            .filter(fresh)
            .filter(|mark| mark.id == *id)
            .min_by_key(|mark| mark.dot)
    }

    /// All marks, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[RequestMark] {
        &self.0
    }

    /// Adds a mark; the oldest beyond the bound go.
    pub fn insert(&mut self, mark: RequestMark) {
        if let Err(at) = self.0.binary_search(&mark) {
            self.0.insert(at, mark);
            let surplus = self.0.len().saturating_sub(REQUEST_MARKS_MAX);
            self.0.drain(..surplus);
        }
    }

    /// The union of both, cut to the bound: associative, commutative, idempotent.
    pub fn merge(&mut self, other: &Self) {
        for mark in &other.0 {
            self.insert(mark.clone());
        }
    }
}
