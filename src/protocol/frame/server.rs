//! The content of a server's frames.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::protocol::{
    AccountId, Chain, CloseCode, EntryId, InstanceId, Position, RoomId, Seq, ServerId, SessionId,
};

/// Admits the client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's id, the same as in the header of the HTTP upgrade.
    pub server: ServerId,
    /// The device's presence in its rooms, which survives a short disconnect.
    pub session: SessionId,
    /// Whether the server still had the session, so that others did not see the device go offline.
    /// Catch-up does not depend on it.
    pub resumed: bool,
    /// The account of this device.
    pub account: AccountId,
    pub name: String,
    /// Interval after which an idle connection is pinged, ms.
    pub heartbeat_ms: u64,
    /// Maximum length of an encoded frame, bytes.
    pub frame_bytes_max: u64,
    /// The server's clock, ms since 1970.
    pub now: u64,
    /// Number of `room` frames that follow.
    pub rooms: u64,
}

/// A room, as one account sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    pub room: RoomId,
    pub name: String,
    /// `public`; later versions may add others.
    pub kind: String,
    #[serde(default)]
    pub topic: String,
    /// Whether this account is a member.
    pub member: bool,
    /// The lowest seq that the server has.
    pub first: Seq,
    /// The current head of the log.
    pub head: Position,
    /// Every member has stored the log up to here.
    pub delivered: Seq,
    /// Every member has read the log up to here.
    pub read: Seq,
    /// The highest seq up to which any device of this account has stored the log.
    pub delivered_here: Seq,
    /// The highest seq up to which any device of this account has read the log.
    pub read_here: Seq,
}

/// A run of a log, chained to the position before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entries {
    pub room: RoomId,
    /// The position before the run.
    pub prev: Position,
    /// The entries, which follow `prev` without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// Replaces the entries when the server cannot deliver them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// The number of the `fetch` that requested the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

/// A run of seqs that is hidden, expired or erased; it counts as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The last position of the run, which starts after `prev`.
    pub to: Position,
    pub why: String,
}

/// Reports that an entry was not appended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reject {
    pub id: EntryId,
    pub room: RoomId,
    pub code: RejectCode,
    pub reason: String,
    /// With `out_of_order`: the last entry of this device in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<EntryId>,
    /// For a temporary rejection: when to send again, ms from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Why an entry was rejected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// `after` is not this device's last entry in the room; see `last`.
    OutOfOrder,
    /// The entry id is in the log with other content.
    IdConflict,
    /// The room does not exist.
    NoRoom,
    /// The account is not a member of the room.
    NotMember,
    /// The account is not allowed to do this.
    Forbidden,
    /// The body is longer than permitted.
    TooBig,
    /// The entry is invalid: an unknown kind, a missing target, or a bad name.
    BadEntry,
    /// Another account has this name.
    NameTaken,
    /// The device exceeds its rate limit.
    RateLimited,
    /// The server cannot write at the moment.
    Unavailable,
    /// A code of a later version; it counts as temporary.
    #[serde(other)]
    Unknown,
}

impl RejectCode {
    /// Whether the rejection is final. An unknown code is temporary.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::IdConflict
            | Self::NoRoom
            | Self::NotMember
            | Self::Forbidden
            | Self::TooBig
            | Self::BadEntry
            | Self::NameTaken => true,
            Self::OutOfOrder | Self::RateLimited | Self::Unavailable | Self::Unknown => false,
        }
    }
}

/// The reply to a `request`: a result, or the reason of the failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    pub request: u64,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Answer>,
    /// The kind of failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ReplyCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyCode {
    /// The name or the topic is not valid.
    BadName,
    /// Another room has the name.
    NameTaken,
    /// The device code is not valid.
    BadCode,
    /// The room does not exist.
    NotFound,
    /// The account is not allowed to do this.
    Forbidden,
    /// This server does not know the operation.
    UnknownOp,
    /// The server cannot use its storage at the moment.
    Unavailable,
    /// Never on the wire: the client is not connected, so it did not send the request.
    NotConnected,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

/// The result of a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Room(RoomInfo),
    /// A page of rooms.
    Rooms {
        rooms: Vec<RoomInfo>,
        /// Whether another page follows.
        more: bool,
    },
    /// A page of members.
    Members {
        members: Vec<Member>,
        /// Whether another page follows.
        more: bool,
    },
    /// The device code is accepted.
    Linking {
        /// Expiry, ms since 1970 on the server's clock.
        until: u64,
    },
}

/// A public room, in the list of all rooms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomInfo {
    pub room: RoomId,
    pub name: String,
    pub topic: String,
    /// Number of members.
    pub members: u64,
}

/// A member of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub account: AccountId,
    pub name: String,
    /// Whether the member is online.
    #[serde(rename = "here")]
    pub online: bool,
    /// The member has stored the log up to here.
    pub delivered: Seq,
    /// The member has read the log up to here.
    pub read: Seq,
}

/// The head of a room's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    pub room: RoomId,
    pub seq: Seq,
    /// The chain hash over the log up to `seq`.
    pub chain: Chain,
}

/// Announces that the server closes the connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bye {
    /// The same value as the WebSocket close code.
    pub code: CloseCode,
    pub reason: String,
    /// When to reconnect, ms from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `replaced`: the instance that connected instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}
