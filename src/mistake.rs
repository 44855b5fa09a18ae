//! Mistakes that a chat like this one can make, made on purpose by tests that are to notice each of
//! them.
//!
//! A check that has never failed proves little. So every promise has its mistakes here, planted
//! where they would be made; `tests/sim` makes one at a time and must catch it. Without the feature
//! `mistakes`, which tests alone switch on, [`is_made`] is `false` when the program is compiled,
//! and nothing of this is left in it.

macro_rules! mistakes {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// One mistake.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mistake {
            $($(#[doc = $what])+ $name,)+
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What is done wrong, in words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($what),+).trim_ascii(),)+
                }
            }
        }
    };
}

mistakes! {
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
    /// a fetch in flight when the connection ended is waited for for ever
    FetchOutlivesLink,
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

#[cfg(feature = "mistakes")]
mod made {
    use std::cell::Cell;
    use std::sync::LazyLock;

    use super::Mistake;

    thread_local! {
        static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    /// For whole programs: `LANDFALL_MISTAKE=NoSync`.
    static BY_ENVIRONMENT: LazyLock<Option<Mistake>> = LazyLock::new(|| {
        let name = std::env::var("LANDFALL_MISTAKE").ok()?;
        Mistake::ALL
            .iter()
            .copied()
            .find(|mistake| format!("{mistake:?}") == name)
    });

    /// Whether a check fails while this thread makes a mistake. What other threads do is done
    /// right.
    pub fn is_caught_by(mistake: Mistake, check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        make(Some(mistake));
        let result = std::panic::catch_unwind(check);
        make(None);
        result.is_err()
    }

    /// From here on, this thread makes this mistake, or none.
    pub fn make(mistake: Option<Mistake>) {
        MADE.set(mistake);
    }

    /// Whether a mistake is being made here.
    #[must_use]
    pub fn is_made(mistake: Mistake) -> bool {
        MADE.get() == Some(mistake) || *BY_ENVIRONMENT == Some(mistake)
    }
}

#[cfg(feature = "mistakes")]
pub use made::{is_caught_by, is_made, make};

/// Whether a mistake is being made here: never, in the program.
#[cfg(not(feature = "mistakes"))]
#[must_use]
pub const fn is_made(_: Mistake) -> bool {
    false
}
