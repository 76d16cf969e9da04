//! Torc server.
fn main() {}
