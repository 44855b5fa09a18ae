//! Planted bugs: mistakes that a program like this one could contain. Tests switch them on, one at
//! a time, to show that a check notices each of them.
//!
//! A check that has never failed proves little. Each bug is one branch at the place where it would
//! be made. `cargo prove --planted-bugs` switches on one after the other. Without the feature
//! `planted-bugs`, which only tests enable, [`is_planted`] is `false` at compile time, so the program
//! contains none of them.

macro_rules! planted_bugs {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A bug that tests can switch on.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum PlantedBug {
            $($(#[doc = $what])+ $name,)+
        }

        impl PlantedBug {
            /// All planted bugs.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Description of the faulty behaviour.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($what),+).trim_ascii(),)+
                }
            }
        }
    };
}

planted_bugs! {
    /// an acknowledgement leaves before its entry is committed
    AckBeforeCommit,
    /// an entry whose id is in the log already is appended again
    NoDedup,
    /// of the entry ids of a device in a room, only the last one is remembered
    DedupForgets,
    /// access and size are checked before the entry id
    RightsBeforeId,
    /// `after` is not compared
    NoAfter,
    /// positions are compared by seq alone
    NoChain,
    /// entries in flight from a replaced connection are still accepted
    NoFence,
    /// the hello of an abandoned dial replaces a newer connection
    StaleDial,
    /// the late end of a replaced connection ends the presence of the newer one
    LateEnd,
    /// entries that a slow reader has no room for are dropped
    SlowReaderSkips,
    /// replies that a slow reader has no room for are dropped
    AnswersDropped,
    /// the head is read before the subscription exists
    HeadBeforeListen,
    /// `at` follows the clock, also backwards
    TimeFalls,
    /// watermarks follow the latest report, also backwards
    MarksGoBack,
    /// a composed message is sent without its text
    TextLost,
    /// a new value is dropped while an older one is pending
    OldestValue,
    /// one rejected entry fails its whole group
    GroupFails,
    /// an acknowledged entry counts as stored in the log
    AckedIsStored,
    /// with an entry, everything below it counts as stored
    GapSkipped,
    /// with requested entries, everything above them counts as stored
    RequestIsStored,
    /// what can be sent at once is sent in reversed order
    SentBackwards,
    /// entries in flight are not sent again on a new connection
    InFlightForgotten,
    /// a rejected entry stays at the head of the outbox
    RefusedBlocks,
    /// a temporary rejection is taken as final
    PassingIsFinal,
    /// own entries that a server lost do not return to the outbox
    CutForgets,
    /// discarding a sent entry forgets it without a redaction
    DiscardForgets,
    /// entries are not marked as sent
    NeverFrozen,
    /// composed entries are ordered by the clock
    TypedByClock,
    /// after a failed write the core continues with its old state
    StaleCore,
    /// inputs of abandoned dials are processed
    OldDialCounts,
    /// a replaced instance reconnects at once
    ReplacedFights,
    /// backoff has no jitter
    NoJitter,
    /// a connection of any length resets the backoff
    BackoffForgets,
    /// writes of this side count as a sign of life
    OwnWritesAreLife,
    /// inbound bytes count as a reply
    BytesAreAnswers,
    /// deadlines do not grow with the data in flight
    DeadlinesStay,
    /// commits are not synced
    NoSync,
    /// an account has one connection instead of one for each device
    OneLinkForAccount,
    /// commits in doubt are not looked up in the log
    InDoubtForgotten,
    /// the store does not report changes
    ChangeNotReported,
    /// an entry behind an own entry above a gap names the own entry in the gap as its predecessor
    AfterTheGap,
    /// entries that a server lost return before everything in the outbox
    ReturnedFirst,
    /// writes continue in a database whose name belongs to another file
    LostFileTaken,
    /// Enter clears the drafts of all rooms
    AllDraftsCleared,
    /// after an entry was blamed for a close, entries are sent one by one for ever
    CarefulForEver,
    /// a skip counts for one seq more than its length
    SkipTooFar,
    /// an acknowledgement at the head counts as void
    AckAtHeadIsVoid,
    /// the store reports a write before its commit, and also after a failed one
    ReportedBeforeStored,
    /// any write-ahead log beside a database is applied
    AnyLogFits,
    /// a follower of a log keeps its position when the log is truncated
    TailStaysAhead,
    /// a new file is used before its name is on the disk
    NameNotSynced,
    /// an acknowledged entry is counted again when its row leaves the outbox
    AckCountedTwice,
    /// missing entries between stored ones count as read
    GapIsRead,
    /// the client reports entries as received that are not on its disk yet
    MarkedBeforeStored,
    /// a process that takes over the connection uses the state of its own start
    TakenOverUnread,
    /// outbox rows requested before a reload are used after it
    LateRowsTaken,
    /// the loop of a client does not wake at its deadlines
    TimerForgotten,
}

#[cfg(feature = "planted-bugs")]
mod switches {
    use std::cell::Cell;
    use std::sync::LazyLock;

    use super::PlantedBug;

    thread_local! {
        static SWITCHED_ON: Cell<Option<PlantedBug>> = const { Cell::new(None) };
    }

    /// Switches on a bug for a whole process: `LANDFALL_PLANTED_BUG=NoSync`; an empty value switches on none.
    static BY_ENVIRONMENT: LazyLock<Option<PlantedBug>> = LazyLock::new(|| {
        let name = std::env::var("LANDFALL_PLANTED_BUG").ok()?;
        if name.is_empty() {
            return None;
        }
        let mut bugs = PlantedBug::ALL.iter().copied();
        let found = bugs.find(|bug| format!("{bug:?}") == name);
        assert!(found.is_some(), "no planted bug has the name {name}");
        found
    });

    /// Whether a check fails with this bug switched on in this thread.
    pub fn is_caught_by(bug: PlantedBug, check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        plant(Some(bug));
        let result = std::panic::catch_unwind(check);
        plant(None);
        result.is_err()
    }

    /// Switches on a bug for this thread, or none.
    pub fn plant(bug: Option<PlantedBug>) {
        SWITCHED_ON.set(bug);
    }

    /// Whether this thread, or the process, has the bug switched on.
    #[must_use]
    pub fn is_planted(bug: PlantedBug) -> bool {
        SWITCHED_ON.get() == Some(bug) || *BY_ENVIRONMENT == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switches::{is_caught_by, is_planted, plant};

/// Always `false`: the program contains no planted bug.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is_planted(_: PlantedBug) -> bool {
    false
}

/// Whether a planted bug is switched on: `planted_bug!(NoSync)`. A branch for tests alone; the
/// program is compiled without it.
#[macro_export]
macro_rules! planted_bug {
    ($bug:ident) => {
        $crate::planted_bug::is_planted($crate::planted_bug::PlantedBug::$bug)
    };
}
pub use planted_bug;
