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
            /// All of them.
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
    /// an ack goes out before the entry is committed
    AckBeforeCommit,
    /// an id that stands in the log is appended again
    NoDedup,
    /// ids are remembered for a while only
    DedupForgets,
    /// rights and sizes are looked at before the id
    RightsBeforeId,
    /// `after` is not compared
    NoAfter,
    /// positions are compared by seq alone
    NoChain,
    /// what a replaced link had on its way is still taken
    NoFence,
    /// a hello of an abandoned dial replaces the newer link
    StaleDial,
    /// the late end of a replaced link ends the newer one's presence
    LateEnd,
    /// entries that a slow reader has no room for are left out
    SlowReaderSkips,
    /// answers that a slow reader has no room for are left out
    AnswersDropped,
    /// the head is read before the subscription stands
    HeadBeforeListen,
    /// `at` follows the clock, back too
    TimeFalls,
    /// marks follow what was told last, back too
    MarksGoBack,
    /// what was typed is sent without its text
    TextLost,
    /// of the values that wait, the oldest is told
    OldestValue,
    /// one refused entry fails its whole group
    GroupFails,
    /// an ack is taken for the entry's place in the log
    AckIsPlace,
    /// a span grows over what was never held
    GapSkipped,
    /// what was asked for counts as held
    AskedIsHeld,
    /// the outbox is turned around by a new link
    ResentBackwards,
    /// what was in flight is not sent again on a new link
    InFlightForgotten,
    /// a refused entry stays at the head of the outbox
    RefusedBlocks,
    /// a refusal for a while is taken as final
    PassingIsFinal,
    /// own entries that a server lost are not put back into the outbox
    CutForgets,
    /// a sent entry that is taken back is forgotten without a redaction
    DiscardForgets,
    /// nothing marks an entry as sent
    NeverFrozen,
    /// what was typed is ordered by the clock
    TypedByClock,
    /// after a failed write the core goes on with what it believes
    StaleCore,
    /// inputs of abandoned dials count
    OldDialCounts,
    /// a replaced instance dials again at once
    ReplacedFights,
    /// backoff without jitter
    NoJitter,
    /// a link that just stood resets the backoff
    BackoffForgets,
    /// one's own writes count as a sign of life
    OwnWritesAreLife,
    /// inbound bytes count as an answer
    BytesAreAnswers,
    /// deadlines do not grow with what is on its way
    DeadlinesStay,
    /// commits are not synced
    NoSync,
    /// an account has one link, and not each of its devices
    OneLinkForAccount,
    /// what a commit that failed left in the log is not looked after
    UnsureForgotten,
    /// the store tells nobody what was written
    ChangeUntold,
    /// what follows an own entry above a gap names the one in the gap as the one before it
    AfterTheGap,
    /// what a server lost is put back before everything in the outbox
    PutBackFirst,
    /// a database whose name leads elsewhere is written on
    LostFileTaken,
    /// Enter clears the drafts of all rooms
    AllDraftsCleared,
    /// once an entry was blamed for a close, entries go one by one for ever
    CarefulForEver,
    /// a skip counts for one seq more than it says
    SkipTooFar,
    /// an ack at the head counts as void
    AckAtHeadIsVoid,
    /// the store tells of a write before it is on disk, and when it failed
    ToldBeforeStored,
    /// whatever write-ahead log lies beside a database is applied
    AnyLogFits,
    /// whoever follows a log stays where it was when the log is truncated
    TailStaysAhead,
    /// a new file is taken before its name is on the disk
    NameNotSynced,
    /// an acknowledged entry is counted again when its row leaves the outbox
    AckCountedTwice,
    /// what is missing between entries that are held counts as read
    GapIsRead,
    /// the server is told of entries that are not on the disk yet
    MarkedBeforeStored,
    /// a process that takes the link over believes what it read when it was started
    TakenOverUnread,
    /// rows of the outbox that were asked for before it was loaded again are taken
    LateRowsTaken,
    /// a client's loop does not wake at its deadlines
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

    /// Switches on a bug for a whole process: `LANDFALL_PLANTED_BUG=NoSync`.
    static BY_ENVIRONMENT: LazyLock<Option<PlantedBug>> = LazyLock::new(|| {
        let name = std::env::var("LANDFALL_PLANTED_BUG").ok()?;
        PlantedBug::ALL
            .iter()
            .copied()
            .find(|bug| format!("{bug:?}") == name)
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
