//! The stored form of a record.
