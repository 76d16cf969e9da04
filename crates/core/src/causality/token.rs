//! The form in which a context travels to clients and back: opaque, versioned, checksummed.

use crate::causality::Context;
use crate::time::Hlc;

/// What a client has seen of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientContext {
    /// Of a `siblings` bucket: exactly these dots.
    Dots(Context),
    /// Of an `lww` bucket: the highest clock seen (RULINGS 5).
    Clock(Hlc),
}
