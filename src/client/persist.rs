//! PURE. The requests of the session to the store, and their results.
//!
//! Each request carries a [`Ticket`]. Effects that depend on a request leave the process only after
//! its result has arrived.

use serde::{Deserialize, Serialize};

use super::journal::JournalLine;
use super::log::{Chained, OwnLast, StoredRange};
use crate::protocol::{
    AccountId, DeviceId, Enrol, EntryId, InstanceId, Kind, Position, RejectCode, Room, RoomId, Seq,
    ServerId, SessionId, Skip, Target, Token,
};

/// The number of one request to the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// A write to the store, in one transaction.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// From here on the texts cannot change; answered with [`Outcome::Frozen`].
    Freeze(Vec<EntryId>),
    /// Returns new rows of the outbox and freezes the first of them, as many as may be sent at
    /// once; answered with [`Outcome::Taken`].
    Take(NewRows, SendBudget),
    /// The server acknowledged the entry at this seq.
    Acked {
        id: EntryId,
        /// Its seq in the log, unless the server loses the entry.
        seq: Seq,
    },
    /// These acknowledgements are void.
    Unacked(Vec<EntryId>),
    /// Return a rejected entry to the user.
    Rejected {
        id: EntryId,
        code: RejectCode,
        reason: String,
    },
    /// A run of a log, with the ranges as they are after it.
    Append {
        room: RoomId,
        /// New entries.
        entries: Vec<Chained>,
        /// Or a run that the server cannot deliver.
        skip: Option<(Position, Skip)>,
        ranges: RangeChange,
    },
    /// Remove the log above `at`: own entries return to the outbox, entries of others are orphaned.
    Truncate {
        room: RoomId,
        at: Position,
        ranges: RangeChange,
    },
    /// A room as the server described it.
    Room(Room),
    /// This account has left the room.
    RoomLeft(RoomId),
    /// A welcome of the server.
    Welcome {
        server: ServerId,
        /// The account of this device.
        account: AccountId,
        name: String,
        session: SessionId,
    },
    /// The lowest watermarks of a room changed.
    Watermarks {
        room: RoomId,
        /// Every member has stored up to here.
        delivered: Seq,
        /// Everyone has read up to here.
        read: Seq,
    },
    /// The user has read the log up to here. The result is [`Outcome::Read`].
    MarkRead {
        room: RoomId,
        /// The last visible seq.
        seq: Seq,
    },
    /// The link state changed.
    Journal(JournalLine),
    /// The server responded: updates the time of the last sign of life. Only the owner of the
    /// connection writes this.
    LastSeen,
    /// Writes nothing. The result arrives when all earlier writes are on disk.
    Barrier,
    /// Add entries as the last ones of the outbox. The result is [`Outcome::Queued`].
    Enqueue {
        /// The entries, in the order of typing.
        entries: Vec<NewEntry>,
        /// Whether to clear the room's draft, which became this entry.
        clears_draft: bool,
    },
    /// Replace a rejected entry by its edited text, as the last one of the outbox. The result is
    /// [`Outcome::Queued`], or [`Outcome::NotFound`] if the entry is no longer a rejected one.
    Replace {
        rejected: EntryId,
        /// The edited entry.
        entry: NewEntry,
    },
    Draft {
        room: RoomId,
        text: String,
    },
    /// Discard an entry: delete it if it was never sent or was rejected, else add a redaction.
    Discard {
        id: EntryId,
        /// The redaction's id, if one is needed.
        redaction: EntryId,
        /// Wall clock, ms since 1970.
        composed_at: u64,
    },
    /// Send a rejected entry again, unchanged, as the last one of the outbox. The result is
    /// [`Outcome::Requeued`].
    Retry {
        /// The entry; `None` for all rejected ones.
        id: Option<EntryId>,
    },
}

/// The stored ranges of a room, before and after a write. If the store's
/// ranges differ from `before`, nothing is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeChange {
    /// The ranges that the core assumes.
    pub before: Vec<StoredRange>,
    /// The ranges after this write.
    pub after: Vec<StoredRange>,
}

impl RangeChange {
    /// Whether the last of these entries is the highest stored one. Otherwise they fill a gap, and
    /// what they say of topics, names and members may be outdated.
    #[must_use]
    pub fn has_at_top(&self, entries: &[Chained]) -> bool {
        let top = self.after.last().map(|range| range.end.seq);
        entries.last().map(|chained| chained.entry.seq) == top
    }
}

/// Which rows of the outbox are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewRows {
    /// Only rows above this order.
    pub above: i64,
    /// The row of that order, as the core knows it. A store with another one there was replaced by a
    /// copy, whose new rows may be below: nothing is returned, but [`DbError::Stale`](crate::sqlite::DbError::Stale).
    pub last: Option<EntryId>,
    /// Maximum number of rows.
    pub limit: usize,
}

/// How much may be sent at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendBudget {
    pub entries: usize,
    /// Bytes of their texts.
    pub bytes: usize,
}

/// One row of the outbox, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// The typed order.
    pub order: i64,
    pub id: EntryId,
    pub room: RoomId,
    /// Bytes of its body.
    pub bytes: usize,
    /// The acknowledged seq.
    pub acked: Option<Seq>,
    /// Whether it was sent, or is about to be.
    pub frozen: bool,
}

/// A composed entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewEntry {
    /// Made by the client when the user pressed Enter.
    pub id: EntryId,
    pub room: RoomId,
    pub kind: Kind,
    pub body: String,
    /// The entry that this one edits, redacts or reacts to.
    pub target: Option<Target>,
    /// Wall clock, ms since 1970.
    pub composed_at: u64,
}

impl NewEntry {
    /// Makes an entry without a target.
    #[must_use]
    pub const fn plain(
        id: EntryId,
        composed_at: u64,
        room: RoomId,
        kind: Kind,
        body: String,
    ) -> Self {
        Self {
            id,
            room,
            kind,
            body,
            target: None,
            composed_at,
        }
    }
}

/// The result of a write.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// It is on disk.
    Done,
    /// The texts, which no longer change.
    Frozen(Vec<NewEntry>),
    /// New rows of the outbox, as they were before, and the texts of those that were frozen.
    Taken {
        rows: AddedRows,
        /// Frozen ones, in composed order.
        frozen: Vec<NewEntry>,
    },
    /// After a truncation: this device's last entry, and the outbox.
    Truncated {
        room: RoomId,
        /// This device's last entry that is still stored.
        own_last: Option<OwnLast>,
        /// The first rows of the outbox, up to the limit of the core.
        outbox: Vec<OutboxRow>,
    },
    /// The read position; `None` if it did not advance.
    Read(Option<(RoomId, Position)>),
    /// The entries are in the outbox.
    Queued,
    /// This many rejected entries are sent again.
    Requeued(usize),
    /// The entries do not fit: nothing was written.
    OutboxFull,
    /// There is no such entry, or it can no longer be discarded or replaced.
    NotFound,
}

/// A question of the session to the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// New rows of the outbox.
    NewRows(NewRows),
    /// The first rows of the outbox, up to the limit of the core.
    Outbox,
    /// The read position of each room.
    Reads,
    /// Stored positions, from just below or at `top` downwards in doubling steps.
    Locator { room: RoomId, top: Seq },
    /// Whether an entry is in this device's log or outbox.
    Knows { room: RoomId, id: EntryId },
    /// Whether a process ever used this store.
    Instance(InstanceId),
}

/// Rows of the outbox that were asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddedRows {
    /// The order above which they were asked for.
    pub above: i64,
    pub rows: Vec<OutboxRow>,
    /// Whether there are no further rows.
    pub is_whole: bool,
}

/// The result of a [`Query`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// New rows of the outbox.
    NewRows(AddedRows),
    Outbox(Vec<OutboxRow>),
    /// How far each room was read, where that entry is stored.
    Reads(Vec<(RoomId, Position)>),
    /// A locator; its last position is seq 0.
    Locator {
        room: RoomId,
        /// From high to low.
        positions: Vec<Position>,
    },
    /// Whether the entry is known.
    EntryKnown {
        room: RoomId,
        id: EntryId,
        known: bool,
    },
    /// Whether the process was one of this store.
    Instance {
        instance: InstanceId,
        own: bool,
    },
}

/// The state from which a session starts.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub device: DeviceId,
    pub instance: InstanceId,
    pub token: Token,
    /// The account to enrol, until the server knows this device.
    pub enrol: Option<Enrol>,
    /// The server of this store, after the first welcome.
    pub server: Option<ServerId>,
    /// The account, after the first welcome.
    pub account: Option<AccountId>,
    pub session: Option<SessionId>,
    /// Every room of the store.
    pub rooms: Vec<LoadedRoom>,
    /// The first rows of the outbox, up to the limit of the core.
    pub outbox: Vec<OutboxRow>,
}

/// A room as the store contains it.
#[derive(Clone, Debug)]
pub struct LoadedRoom {
    pub room: RoomId,
    pub name: String,
    pub topic: String,
    /// Whether this account is a member.
    pub member: bool,
    /// The last known head of the log.
    pub head: Seq,
    pub ranges: Vec<StoredRange>,
    /// The last stored entry of this device.
    pub own_last: Option<OwnLast>,
    /// The user's read position.
    pub read: Option<Position>,
    /// Whether the room has rejected entries of this device.
    pub has_rejected: bool,
}
