//! The simulator itself: one seed is one run, and the seeds that once found something stay clean.

mod contexts;
mod gossip;
mod replay;
mod seeds;
