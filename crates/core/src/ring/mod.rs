//! The ring: which nodes are home to which partition. A pure value: the same members and buckets give the same ring on
//! every node, and its hash travels on every message (RULINGS 21).

mod balance;
pub mod epoch;
pub mod hash;
pub mod placement;
mod share;
mod spread;
pub mod view;

#[cfg(test)]
mod properties;

pub use epoch::epoch_of;
pub use hash::{partition_of, placement_hash};
pub use placement::{PLACEMENT_VERSION, Placement};
pub use view::{Member, PreferenceList, Ring};
