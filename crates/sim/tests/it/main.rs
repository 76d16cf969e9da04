//! The simulator itself: one seed is one run.

mod replay;
