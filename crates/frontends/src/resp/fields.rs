//! Replies about the fields of a hash.

use bytes::{Bytes, BytesMut};
use torc_core::keyspace::KeyView;

use super::glob;
use super::reply::{self, Dialect};
use super::shape::Shape;

type Pair = (Bytes, Option<Bytes>);

/// Writes the reply to a view of a hash; a key that is a string is of the wrong type, one that is not there is empty.
pub fn reply(shape: &Shape, key: KeyView, dialect: Dialect, out: &mut BytesMut) {
    let (is_there, fields) = match key {
        KeyView::Absent => (false, Vec::new()),
        KeyView::Hash { fields, .. } => (true, fields),
        KeyView::String { .. } => {
            reply::error(out, "WRONGTYPE Operation against a key holding the wrong kind of value");
            return;
        }
    };
    let first = fields.first().and_then(|field| field.1.as_deref());
    match shape {
        Shape::Field => reply::bulk_or_nil(out, first, dialect),
        Shape::FieldExists => reply::integer(out, i64::from(first.is_some())),
        Shape::FieldLength => reply::integer(out, first.map_or(0, <[u8]>::len) as i64),
        Shape::FieldCount => reply::integer(out, fields.len() as i64),
        Shape::FieldNames => {
            reply::array(out, fields.len());
            fields.iter().for_each(|field| reply::bulk(out, &field.0));
        }
        Shape::FieldValues => {
            reply::array(out, fields.len());
            fields.iter().for_each(|field| value(field, dialect, out));
        }
        Shape::AllPairs => {
            reply::map(out, fields.len(), dialect);
            fields.iter().for_each(|field| pair(field, dialect, out));
        }
        Shape::FieldScan(pattern) => {
            let is_wanted = |name: &[u8]| pattern.as_deref().is_none_or(|pattern| glob::matches(pattern, name));
            let wanted: Vec<&Pair> = fields.iter().filter(|field| is_wanted(&field.0)).collect();
            // All fields come at once: a cursor could not tell them apart from those that come and go meanwhile.
            reply::array(out, 2);
            reply::bulk(out, b"0");
            reply::array(out, 2 * wanted.len());
            wanted.into_iter().for_each(|field| pair(field, dialect, out));
        }
        Shape::RandomFields(count, with_values, seed) => random(&fields, *count, *with_values, *seed, dialect, out),
        _ => {
            debug_assert!(
                false,
                "{shape:?} is no reply about fields; the key is there: {is_there}"
            );
            reply::error(out, "ERR internal error: an outcome of another kind");
        }
    }
}

/// HMGET, for a key that is not there as well: a nil for each field asked for.
pub fn some(key: KeyView, asked: usize, dialect: Dialect, out: &mut BytesMut) {
    match key {
        KeyView::Absent => {
            reply::array(out, asked);
            (0..asked).for_each(|_| reply::nil(out, dialect));
        }
        KeyView::Hash { fields, .. } => {
            reply::array(out, fields.len());
            fields.iter().for_each(|field| value(field, dialect, out));
        }
        KeyView::String { .. } => {
            reply::error(out, "WRONGTYPE Operation against a key holding the wrong kind of value")
        }
    }
}

fn value(field: &Pair, dialect: Dialect, out: &mut BytesMut) {
    reply::bulk_or_nil(out, field.1.as_deref(), dialect);
}

fn pair(field: &Pair, dialect: Dialect, out: &mut BytesMut) {
    reply::bulk(out, &field.0);
    value(field, dialect, out);
}

/// Without a count one field; with a positive one that many distinct fields; with a negative one that many, with
/// repetitions.
fn random(fields: &[Pair], count: Option<i64>, with_values: bool, seed: u64, dialect: Dialect, out: &mut BytesMut) {
    let mut state = seed;
    let mut below = |bound: usize| {
        // SplitMix64 (Steele et al.).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(word ^ (word >> 31)) * bound as u128) >> 64) as usize
    };
    let Some(count) = count else {
        let chosen = (!fields.is_empty()).then(|| &fields[below(fields.len())].0[..]);
        reply::bulk_or_nil(out, chosen, dialect);
        return;
    };
    let chosen: Vec<&Pair> = if fields.is_empty() {
        Vec::new()
    } else if count < 0 {
        (0..count.unsigned_abs())
            .map(|_| &fields[below(fields.len())])
            .collect()
    } else {
        let mut places: Vec<usize> = (0..fields.len()).collect();
        let wanted = places.len().min(count as usize);
        for place in 0..wanted {
            let other = place + below(places.len() - place);
            places.swap(place, other);
        }
        places[..wanted].iter().map(|&place| &fields[place]).collect()
    };
    match (with_values, dialect) {
        (false, _) => {
            reply::array(out, chosen.len());
            chosen.into_iter().for_each(|field| reply::bulk(out, &field.0));
        }
        (true, Dialect::Resp2) => {
            reply::array(out, 2 * chosen.len());
            chosen.into_iter().for_each(|field| pair(field, dialect, out));
        }
        (true, Dialect::Resp3) => {
            reply::array(out, chosen.len());
            for field in chosen {
                reply::array(out, 2);
                pair(field, dialect, out);
            }
        }
    }
}
