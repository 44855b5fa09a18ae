//! What readers of the store return, as screens and commands show it.

use crate::client::cause::Cause;
use crate::client::journal::JournalDetails;
use crate::client::link::LinkPhase;
use crate::protocol::{AccountId, DeviceId, EntryId, Kind, RejectCode, RoomId, Seq};

/// The owner of the store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mine {
    /// The account, after the first welcome.
    pub account: Option<AccountId>,
    /// The account's name; before the first connection, the wanted one.
    pub name: String,
    /// The server's address; `None` for this machine's own server.
    pub url: Option<String>,
}

/// The mark of an own message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnMark {
    Queued,
    /// Sent, not acknowledged.
    Sent,
    /// On the server's disk.
    Acked,
    /// Every member has received it.
    Delivered,
    /// Every member has read it.
    Read,
    /// The server rejected it.
    Rejected,
}

/// One displayed line: an entry of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub seq: Seq,
    pub id: EntryId,
    pub author: AccountId,
    /// The author's name at the time of the append.
    pub name: String,
    pub device: DeviceId,
    pub kind: Kind,
    /// The text after the latest edit; empty for a redacted message and its edits.
    pub body: String,
    /// Whether the author redacted it.
    pub redacted: bool,
    /// Whether it was edited.
    pub edited: bool,
    /// Time of the append, ms since 1970.
    pub at: u64,
    /// Time of Enter, ms since 1970.
    pub composed_at: u64,
    /// The mark of an own message.
    pub mark: Option<OwnMark>,
}

/// A displayed entry of the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    pub id: EntryId,
    pub room: RoomId,
    pub room_name: String,
    pub kind: Kind,
    pub body: String,
    /// Time of Enter, ms since 1970.
    pub composed_at: u64,
    /// Whether it is discarded and waits for its redaction.
    pub discarded: bool,
    /// The delivery stage.
    pub mark: OwnMark,
    /// Its place in the log, which is not stored here yet; once it is acknowledged.
    pub acked: Option<Seq>,
    /// The rejection, as a code and a reason.
    pub rejection: Option<(RejectCode, String)>,
}

/// Number of outbox rows in each stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutboxCounts {
    pub queued: u64,
    /// Sent, not acknowledged.
    pub unacked: u64,
    pub failed: u64,
    /// Acknowledged since the store was made.
    pub acked: u64,
    /// When the oldest unacknowledged one was typed, ms since 1970.
    pub oldest: Option<u64>,
}

/// The link state that was last stored, which may be out of date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkRow {
    pub phase: LinkPhase,
    /// When it was last confirmed, ms since 1970.
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
    /// The details of the change.
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
    /// Time of the append, ms since 1970.
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
    /// The last known head of the log.
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
    pub has_rejected: bool,
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
