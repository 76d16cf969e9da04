//! Commands against a whole node with a store in memory: what a client sends, what it gets.

mod node;
mod order;
mod protocol;
mod redis;
mod torc;
