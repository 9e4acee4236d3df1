//! Deliberate faults, which the simulator must find (`tests/sim/README.md` says what each breaks).
//!
//! Only a build with the feature `faults` has them, which nothing but this crate's own tests asks for; in every other
//! build [`is_on`] is `false` at compile time and nothing is left of them. A fault holds for one thread, so that
//! histories do not mix.

/// One fault each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table in tests/sim/README.md")]
pub enum Fault {
    AnswerBeforeSync,
    NoDirectorySync,
    RetriedSync,
    AnswerAfterPoison,
    GoOnAfterPoison,
    ReadBeforeSync,
    UnlinkBeforeCheckpoint,
    CheckpointOfTail,
    OneCheckpointSlot,
    CheckpointTrustedAsRead,
    OlderCheckpointSlot,
    WriteIntoTornSegment,
    PositionReused,
    LeapFromTailOnly,
    RecoveryWithoutSync,
    FailedSyncTrusted,
    TailCutAtDamage,
    HeaderlessDiscarded,
    PositionOutsideCrc,
    DamageEndsSegment,
    DamageInSilence,
    FullForEver,
    DiskFullForEver,
    BudgetIgnored,
    NoWake,
    WatermarkOfHighest,
    WindowWithoutBound,
    OldProducerKept,
    OldFailureCounts,
    NotStopped,
    ResendTooLate,
    BatchSetAside,
    NotIsolated,
    FullQueueDrops,
    SeveralInFlight,
    Gaps,
    KeylessBlamed,
    TopicBlamed,
    ReadErrorIsTail,
    HeldKept,
    LetterUnwritten,
    BuiltOnce,
    RefusalIgnored,
    PurgeUnanswered,
    TruncatedOneTooFar,
    CheckpointUnsynced,
    SealedEndBelieved,
    IdForgotten,
    FullSegmentKept,
    WaitersForgotten,
    SentIsDone,
    FailureIsDone,
    NothingResent,
    RenewIgnored,
    KeyDropped,
}

#[cfg(feature = "faults")]
thread_local! {
    static PRESENT: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Switches a fault on for this thread, or all off.
#[cfg(feature = "faults")]
pub fn set(fault: Option<Fault>) {
    PRESENT.set(fault);
}

/// True where this thread's code is to be wrong in this way.
#[cfg(feature = "faults")]
pub fn is_on(fault: Fault) -> bool {
    PRESENT.get() == Some(fault)
}

/// Never.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn is_on(_: Fault) -> bool {
    false
}
