//! Strings and parts of them.

use bytes::Bytes;
use torc_core::keyspace::KeyView;

use crate::resp::number;
use crate::resp::writer::Writer;

/// Longest string that Redis keeps beside its object.
const EMBSTR_BYTES_MAX: usize = 44;
/// Most fields, and longest field or value, of a hash that Redis keeps as one listpack.
const LISTPACK_FIELDS_MAX: usize = 512;
const LISTPACK_BYTES_MAX: usize = 64;

/// Which part of a string is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StringPart {
    /// All of it, or nil.
    Whole,
    /// Its length.
    Length,
    /// From the first offset to the second, both included, negative from the end.
    Range(i64, i64),
}

impl StringPart {
    /// Answers the part of this string.
    pub fn write(self, value: Option<&Bytes>, reply: &mut Writer<'_>) {
        match self {
            Self::Whole => reply.bulk_or_nil(value.map(|value| &value[..])),
            Self::Length => reply.integer(value.map_or(0, |value| value.len() as i64)),
            Self::Range(start, end) => reply.bulk(value.map_or(&[], |value| range(value, start, end))),
        }
    }
}

fn range(value: &[u8], start: i64, end: i64) -> &[u8] {
    let length = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from_start = |offset: i64| if offset < 0 { (length + offset).max(0) } else { offset };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end {
        return &[];
    }
    &value[start as usize..=end as usize]
}

/// What OBJECT ENCODING answers: what Redis would choose.
pub fn encoding(view: &KeyView) -> Option<&'static str> {
    match view {
        KeyView::Absent => None,
        KeyView::String { value, .. } if number::integer(value).is_some() => Some("int"),
        KeyView::String { value, .. } if value.len() <= EMBSTR_BYTES_MAX => Some("embstr"),
        KeyView::String { .. } => Some("raw"),
        KeyView::Hash { fields, .. } => {
            let is_small = |(field, value): &(Bytes, Option<Bytes>)| {
                field.len() <= LISTPACK_BYTES_MAX && value.as_ref().is_none_or(|v| v.len() <= LISTPACK_BYTES_MAX)
            };
            let is_listpack = fields.len() <= LISTPACK_FIELDS_MAX && fields.iter().all(is_small);
            Some(if is_listpack { "listpack" } else { "hashtable" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_from_either_end_and_stays_inside() {
        let cut = |start, end| String::from_utf8_lossy(range(b"Hello World", start, end)).into_owned();
        assert_eq!(cut(0, 3), "Hell");
        assert_eq!(cut(0, -1), "Hello World");
        assert_eq!(cut(-4, -1), "orld");
        assert_eq!(cut(5, 3), "");
        assert_eq!(cut(5, 5000), " World");
        assert_eq!(cut(-5000, 10000), "Hello World");
        assert_eq!(cut(-2, -4), "");
        assert_eq!(cut(-1, -100), "");
        assert_eq!(cut(0, -5000), "H", "as in Redis");
        assert_eq!(cut(i64::MIN, i64::MAX), "Hello World");
        assert_eq!(range(b"", 0, -1), b"");
    }
}
