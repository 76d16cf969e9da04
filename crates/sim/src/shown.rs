//! What a client sees of its own and others' puts: each writes a value that names it, and a read shows which there are.

use bytes::Bytes;

use torc_core::causality::ClientContext;
use torc_core::outcome::Found;
use torc_core::time::Wall;

use crate::history::PutId;

/// What a read showed its client.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Values of these puts.
    pub puts: Vec<PutId>,
    /// When each expires.
    pub expiries: Vec<Option<Wall>>,
    /// To be handed back.
    pub context: Option<ClientContext>,
}

impl Shown {
    /// Reads an outcome.
    #[must_use]
    pub fn of(found: &Found) -> Self {
        let values = found.siblings.iter();
        Self {
            puts: values
                .clone()
                .filter_map(|sibling| put_of(&sibling.value.data))
                .collect(),
            expiries: values.map(|sibling| sibling.expires_at).collect(),
            context: found.context.clone(),
        }
    }
}

/// The value that a put writes.
#[must_use]
pub fn value_of(id: PutId, padding: usize) -> Bytes {
    Bytes::from(format!("p{id}.{}", "x".repeat(padding)))
}

/// The put that wrote a value.
#[must_use]
pub fn put_of(value: &[u8]) -> Option<PutId> {
    let text = std::str::from_utf8(value).ok()?;
    text.strip_prefix('p')?.split('.').next()?.parse().ok()
}
