//! Anti-entropy: every two homes of a partition compare their trees for ever and send one another what differs, so that
//! copies become equal without anybody reading them. See `docs/anti-entropy.md`.

mod answer;
mod checkpoint;
mod exchange;
pub mod schedule;
pub mod talk;
pub mod tree;
pub mod trees;

pub use schedule::Entropy;
pub use trees::Trees;
