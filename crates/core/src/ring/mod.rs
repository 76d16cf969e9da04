//! The ring: which nodes are home to which partition. A pure value: the same members and buckets give the same ring on
//! every node, and its hash travels on every message (RULINGS 21).

pub mod hash;
pub mod placement;
pub mod view;

pub use hash::{partition_of, placement_hash};
pub use placement::Placement;
pub use view::{Member, PreferenceList, Ring};
