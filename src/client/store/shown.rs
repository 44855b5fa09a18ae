//! What readers of the store return, as screens and commands show it.

use crate::client::cause::Cause;
use crate::client::journal::JournalDetails;
use crate::client::link::LinkPhase;
use crate::protocol::{AccountId, DeviceId, EntryId, Kind, RejectCode, RoomId, Seq};

/// Who the store belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mine {
    /// The account, once there was a welcome.
    pub account: Option<AccountId>,
    /// The account's name; before the first connection, the wanted one.
    pub name: String,
    /// The server's address; none for the server of this machine.
    pub url: Option<String>,
}

/// One's own mark on a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnMark {
    Queued,
    /// Sent, no ack yet.
    Sent,
    /// Durable on the server.
    Acked,
    /// Every member has received it.
    Delivered,
    /// Every member has read it.
    Read,
    /// The server rejected it.
    Refused,
}

/// One line of a room as it is shown: an entry of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub seq: Seq,
    pub id: EntryId,
    pub author: AccountId,
    /// Their name when it was appended.
    pub name: String,
    pub device: DeviceId,
    pub kind: Kind,
    /// The text after the latest edit; empty for a redacted message and its edits.
    pub body: String,
    /// Whether the author took it back.
    pub redacted: bool,
    /// Whether an edit changed it.
    pub edited: bool,
    /// When it was appended, ms since 1970.
    pub at: u64,
    /// When it was typed, ms since 1970.
    pub composed_at: u64,
    /// The mark of an own message.
    pub mark: Option<OwnMark>,
}

/// An entry of the outbox as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    pub id: EntryId,
    pub room: RoomId,
    pub room_name: String,
    pub kind: Kind,
    pub body: String,
    /// When it was typed, ms since 1970.
    pub composed_at: u64,
    /// Whether it is discarded and waits for its redaction.
    pub discarded: bool,
    /// The delivery stage.
    pub mark: OwnMark,
    /// Its place in the log, which is not stored here yet; once it is acknowledged.
    pub acked: Option<Seq>,
    /// The rejection, as a code and a reason.
    pub refusal: Option<(RejectCode, String)>,
}

/// Rows of the store, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutboxCounts {
    pub queued: u64,
    /// Sent, no ack yet.
    pub unacked: u64,
    pub failed: u64,
    /// Acked since this store was made.
    pub acked: u64,
    /// When the oldest one that is not acked was typed, ms since 1970.
    pub oldest: Option<u64>,
}

/// The link state that was last stored, which may be out of date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkRow {
    pub phase: LinkPhase,
    /// When it was last known to be true, ms since 1970.
    pub seen_at: u64,
}

/// One line of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRow {
    pub n: i64,
    /// ms since 1970.
    pub at: u64,
    /// The state before; none when a process starts.
    pub from: Option<LinkPhase>,
    pub to: LinkPhase,
    pub cause: Option<Cause>,
    /// The numbers of it.
    pub numbers: JournalDetails,
}

/// An entry that the server no longer has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aside {
    pub seq: Seq,
    pub id: EntryId,
    pub author: AccountId,
    pub name: String,
    pub body: String,
    /// When it was appended, ms since 1970.
    pub at: u64,
}

/// A room in the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomRow {
    pub room: RoomId,
    pub name: String,
    pub topic: String,
    /// Whether this account is a member.
    pub member: bool,
    /// The last pending join or leave.
    pub wanted: Option<Kind>,
    /// Where the log ends, as far as it is known here.
    pub head: Seq,
    /// The highest stored seq.
    pub top: Seq,
    /// The lowest stored seq.
    pub bottom: Seq,
    /// The highest seq that the user has read.
    pub read: Seq,
    /// Number of unread messages of others. Missing entries count too, since their kind is unknown.
    /// Stored ones are counted up to 1,000.
    pub unread: u64,
    /// Whether one of them mentions the user.
    pub mentioned: bool,
    /// Whether a rejected message of the user waits for a decision.
    pub refused: bool,
    /// The text in the composer.
    pub draft: String,
}

impl RoomRow {
    /// Whether this account is a member once everything pending was sent.
    #[must_use]
    pub fn will_be_member(&self) -> bool {
        self.wanted
            .map_or(self.member, |wanted| wanted == Kind::Join)
    }
}
