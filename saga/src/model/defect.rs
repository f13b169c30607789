//! What a model can have broken on purpose.

/// One thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    // The fence.
    /// A cancel that finds no fence leaves none.
    NoTombstone,
    /// A hold that is there already is reserved as if it were new.
    OldHoldTakenForNew,
    /// A try that came after a cancel answers as one that reserved.
    SkippedTryIsSuccess,
    /// What was refused can be confirmed.
    RefusedCanBeConfirmed,
    /// What was confirmed can be cancelled.
    ConfirmedCanBeCancelled,
    /// What nobody tried can be confirmed.
    UntriedCanBeConfirmed,
    /// A confirm that comes again books again.
    ConfirmBooksAgain,
    /// Fences are removed when their global transaction ends.
    FencesForgotten,
    // The log.
    /// A decision is written over whatever stands.
    NoCompareAndSet,
    // The coordinator.
    /// Whoever comes second with a decision goes on with its own.
    LoserKeepsItsVerdict,
    /// Branches are confirmed before the decision is logged.
    ConfirmBeforeDecision,
    /// A try that nobody heard of counts as reserved.
    UnheardTryIsSuccess,
    /// A refusal counts as reserved.
    RefusalIsSuccess,
    /// A transaction ends although a confirm or a cancel was not heard of.
    EndWhilePending,
    /// A worker cancels what is too late by its own clock, whatever was decided.
    OwnClockCancels,
    // Those who hand it work.
    /// The offset of a record that could not be logged is committed.
    ParkedIsCommitted,
    /// The sweeper takes only what is decided.
    UndecidedNotSwept,
    /// The sweeper takes only what is undecided.
    DecidedNotSwept,
}
