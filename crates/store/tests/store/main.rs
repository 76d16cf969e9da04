//! The store from outside: real files, real threads.

mod crash;
mod damage;
mod harness;
mod limits;
mod loads;
mod model;
mod opening;
mod pretended;
mod records;
mod removals;
mod runway;
mod scrub;
