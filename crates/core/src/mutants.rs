//! Planted bugs for the simulator to catch: a checker counts only once it has been seen to fail. Without the feature
//! `mutants`, which only the simulator turns on, `active` is `false` and the bugs are not compiled.

/// One planted bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Merging drops concurrent siblings.
    MergeDropsSiblings,
    /// A context covers one counter more than it has seen.
    CoversOffByOne,
    /// One answer is taken for a quorum.
    QuorumOfOne,
    /// Operation ids start at the same number at every boot.
    OperationIdsRestart,
    /// A local quorum is formed wherever the home stands that signs.
    LocalQuorumElsewhere,
    /// A repeated acknowledgement counts again.
    DuplicateAcksCount,
    /// A node whose disk was lost signs with its old life.
    ActorReused,
    /// A write is acknowledged before it is durable.
    AcknowledgeBeforeDurable,
    /// An update that goes along with another is answered before what carries it is durable.
    RiderAnsweredEarly,
    /// An update that goes along with another is applied to what was read, not to what the other makes of it.
    RiderSeesOld,
    /// A read answers a state that is not durable.
    ReadUndurable,
    /// A put answers the record's context.
    PutAnswersRecordContext,
    /// A dot that is handed out is rounded up to a vector.
    ContextRoundedUp,
    /// Only the new version is sent to the other homes.
    OnlyNewVersionSent,
    /// Each node breaks ties between equal clocks its own way.
    TieBreakDiffers,
    /// Read repair writes an expired value back as a live one.
    ExpiredResurrected,
    /// A put that reads first replaces what its home holds, read or not.
    UnreadReplaced,
    /// A message of another ring epoch is taken.
    StaleEpochAccepted,
    /// A rebuilding replica's answer counts for r.
    RebuildingCounts,
    /// A forwarded put is tried at another home although the first may have run it.
    ForwardMintedTwice,
    /// A member is called dead when this node alone fails to reach it.
    DeadOnOneSource,
    /// A node that stood still takes its own pause for the others' silence.
    PauseIsSilence,
    /// A node that is called dead does not refute it.
    NeverRefutes,
    /// A damaged record is taken for an absent one.
    DamagedIsAbsent,
    /// A record that could not be read this time is taken for an absent one.
    UnreadableIsAbsent,
    /// What is answered without an operation is whatever the store shows, though a write of it is under way.
    AtOnceUndurable,
    /// A leaf is not changed when a record becomes a tombstone.
    LeafForgetsDeletes,
    /// Anti-entropy does not send what one side lacks altogether.
    AbsentIsNotSent,
    /// A hint is forgotten when it is sent, not when its home holds it.
    HintDroppedWhenSent,
    /// A hint that a newer write has changed is forgotten when the older one is delivered.
    NewerHintDropped,
    /// Dead records are forgotten although what was read before they died may still be under way.
    ReapEarly,
    /// Dead records are forgotten although a node keeps something older for a home.
    ReapWithHint,
    /// Dead records are forgotten although a home is away.
    ReapWithoutAHome,
    /// A node forgets what has expired by its own clock alone.
    ExpiryDecidedLocally,
    /// A node on an older disk keeps what the other homes have forgotten.
    NoQuarantine,
    /// What a stand-in has signed counts before it is durable there.
    StandInCountsUndurable,
    /// Pruning drops the entries of live siblings too.
    PruneLiveActor,
    /// Whatever merges prunes.
    PruneInMerge,
    /// The entries of dead actors go before the other homes were asked.
    FoldAlone,
}

impl Mutant {
    /// All of them, for the runner.
    pub const ALL: [Self; 39] = [
        Self::MergeDropsSiblings,
        Self::CoversOffByOne,
        Self::QuorumOfOne,
        Self::OperationIdsRestart,
        Self::LocalQuorumElsewhere,
        Self::DuplicateAcksCount,
        Self::ActorReused,
        Self::AcknowledgeBeforeDurable,
        Self::RiderAnsweredEarly,
        Self::RiderSeesOld,
        Self::ReadUndurable,
        Self::PutAnswersRecordContext,
        Self::ContextRoundedUp,
        Self::OnlyNewVersionSent,
        Self::TieBreakDiffers,
        Self::ExpiredResurrected,
        Self::UnreadReplaced,
        Self::StaleEpochAccepted,
        Self::RebuildingCounts,
        Self::ForwardMintedTwice,
        Self::DeadOnOneSource,
        Self::PauseIsSilence,
        Self::NeverRefutes,
        Self::DamagedIsAbsent,
        Self::UnreadableIsAbsent,
        Self::AtOnceUndurable,
        Self::LeafForgetsDeletes,
        Self::AbsentIsNotSent,
        Self::HintDroppedWhenSent,
        Self::NewerHintDropped,
        Self::ReapEarly,
        Self::ReapWithHint,
        Self::ReapWithoutAHome,
        Self::ExpiryDecidedLocally,
        Self::NoQuarantine,
        Self::StandInCountsUndurable,
        Self::PruneLiveActor,
        Self::PruneInMerge,
        Self::FoldAlone,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Turns one bug on for this thread, or all off.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    ACTIVE.with(|active| active.set(mutant));
}

/// True if the bug is turned on.
#[cfg(feature = "mutants")]
#[must_use]
pub fn active(mutant: Mutant) -> bool {
    ACTIVE.with(|active| active.get() == Some(mutant))
}

/// Always false: the bugs are not compiled.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn active(_: Mutant) -> bool {
    false
}
