//! One property a file. A checker sees what clients see, and where it must look into stores it reasons for itself: it
//! shares no decision with the core that it judges.

pub mod acknowledged;
pub mod bounds;
pub mod causality;
pub mod clearing;
pub mod convergence;
pub mod damage;
pub mod dots;
pub mod durability;
pub mod durable_reads;
pub mod expiry;
pub mod forgetting;
pub mod hints;
pub mod listing;
pub mod liveness;
pub mod outcomes;
pub mod quorums;
pub mod reading_first;
pub mod reaping;
pub mod request_ids;
pub mod resurrection;
pub mod scrubbing;

use std::fmt;

/// A broken property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub property: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// Says so.
    pub fn new<T>(property: &'static str, what: String) -> Result<T, Self> {
        Err(Self { property, what })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}
