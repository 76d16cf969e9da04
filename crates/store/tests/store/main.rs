//! The store from outside: real files, real threads.

mod harness;
mod pretended;
mod records;
