//! The simulated world: nodes of Torc's core in virtual time on a hostile network and hostile disks, clients, and
//! checkers that judge what the clients were promised. One seed gives one run, always the same.

pub mod chance;
pub mod checkers;
pub mod clients;
pub mod crowd;
pub mod faults;
pub mod gossip;
pub mod history;
mod last_look;
pub mod measurements;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod places;
pub mod rate;
pub mod redis;
pub mod redis_model;
pub mod run;
pub mod scenario;
pub mod shown;
pub mod signatures;
pub mod sweep;
pub mod village_rules;
pub mod world;
