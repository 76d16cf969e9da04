//! Which members hold which partition.

/// For each partition, its members in order of preference.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// Indices into the sorted members.
    pub order: Vec<Vec<u16>>,
}
