//! What a version carries: a value, a tombstone, or the head of a Redis hash.

use bytes::Bytes;

/// A client's bytes and what the client said they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Value {
    /// The bytes.
    pub data: Bytes,
    /// As the client gave it; empty for `application/octet-stream`.
    pub content_type: Bytes,
}

impl Value {
    /// Bytes without a content type.
    #[must_use]
    pub fn plain(data: Bytes) -> Self {
        Self {
            data,
            content_type: Bytes::new(),
        }
    }
}

/// What a version says about its key. The order serves only to make merging equal stamps deterministic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payload {
    /// Deleted.
    Tombstone,
    /// The key is a Redis hash; its fields are records of their own (RULINGS 8). Last-writer-wins buckets only.
    HashHead,
    /// A value.
    Value(Value),
}

impl Payload {
    /// Payload bytes, for budgets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.data.len() + value.content_type.len(),
            Self::Tombstone | Self::HashHead => 0,
        }
    }
}
