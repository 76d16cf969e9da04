//! Keys of a bucket: SCAN, KEYS, how many, and when one expires.

use bytes::Bytes;
use torc_core::keyspace::{KeyKind, KeyView};
use torc_core::outcome::KeysPage;
use torc_core::time::Wall;

use crate::resp::answer::{Next, TtlForm, Turn};
use crate::resp::glob;

/// SCAN: which keys of a page are shown.
#[derive(Debug)]
pub struct Scan {
    /// MATCH.
    pub pattern: Option<Bytes>,
    /// TYPE: `None` inside is a type that no key has.
    pub kind: Option<Option<KeyKind>>,
}

impl Scan {
    /// The cursor and the keys.
    pub fn reply(&self, page: &KeysPage, turn: &mut Turn<'_>) -> Next {
        let shown = |key: &[u8], kind: KeyKind| {
            self.kind.is_none_or(|wanted| wanted == Some(kind))
                && self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, key))
        };
        let items: Vec<&Bytes> = page
            .items
            .iter()
            .filter(|item| shown(&item.key, item.kind))
            .map(|item| &item.key)
            .collect();
        let mut digits = itoa::Buffer::new();
        turn.reply.array(2);
        turn.reply.bulk(digits.format(page.next_hash).as_bytes());
        turn.reply.array(items.len());
        for key in items {
            turn.reply.bulk(key);
        }
        Next::Done
    }
}

/// KEYS.
pub fn keys(pattern: &[u8], page: &KeysPage, turn: &mut Turn<'_>) -> Next {
    let items: Vec<&Bytes> = page
        .items
        .iter()
        .map(|item| &item.key)
        .filter(|key| pattern == b"*" || glob::matches(pattern, key))
        .collect();
    turn.reply.array(items.len());
    for key in items {
        turn.reply.bulk(key);
    }
    Next::Done
}

/// The end of INFO.
pub fn keyspace(mut text: String, count: u64, turn: &mut Turn<'_>) {
    if count > 0 {
        text.push_str(&format!("db0:keys={count},expires=0,avg_ttl=0\r\n"));
    }
    turn.reply.verbatim(&text);
}

/// −2: no key; −1: no expiry.
pub fn ttl(view: &KeyView, form: TtlForm, now: Wall) -> i64 {
    let at = match view {
        KeyView::Absent => return -2,
        KeyView::String { expires_at, .. } | KeyView::Hash { expires_at, .. } => *expires_at,
    };
    let Some(at) = at else {
        return -1;
    };
    let ms = if form.is_absolute {
        at.0
    } else {
        at.0.saturating_sub(now.0)
    };
    let shown = match (form.in_ms, form.is_absolute) {
        (true, _) => ms,
        (false, true) => ms / 1_000,
        // Rounded as Redis does, so that TTL right after EXPIRE 10 says 10.
        (false, false) => (ms.saturating_add(500)) / 1_000,
    };
    i64::try_from(shown).unwrap_or(i64::MAX)
}
