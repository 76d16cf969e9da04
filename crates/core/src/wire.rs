//! How envelopes travel between nodes: prost messages with a version byte.
