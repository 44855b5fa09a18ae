//! The content of a client's frames.

use serde::{Deserialize, Serialize};

use super::entry::{Kind, Target};
use crate::protocol::{
    AccountId, DeviceId, Dial, EntryId, InstanceId, Position, RoomId, Seq, SessionId, Token,
};

/// Identifies the device. Until the first welcome it also contains the invite and the account to make.
///
/// Decoding rejects an invalid token, the nil device, and an incomplete enrolment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "AnyHello")]
pub struct Hello {
    /// The device's secret, made by the client.
    pub token: Token,
    pub device: DeviceId,
    pub instance: InstanceId,
    /// Number of this connection attempt.
    pub dial: Dial,
    /// The session of the last welcome, to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The account to make; sent until the first welcome arrived.
    #[serde(flatten)]
    pub enrol: Option<Enrol>,
}

impl TryFrom<AnyHello> for Hello {
    type Error = &'static str;

    fn try_from(hello: AnyHello) -> Result<Self, Self::Error> {
        let AnyHello {
            token,
            device,
            instance,
            dial,
            session,
            invite,
            name,
            account,
        } = hello;
        if !token.is_whole() {
            return Err("a token has 64 hex digits");
        }
        if device == DeviceId::NIL {
            return Err("the nil device is not a device");
        }
        let enrol = match (invite, name, account) {
            (Some(invite), Some(name), Some(account)) => Some(Enrol {
                invite,
                name,
                account,
            }),
            (None, None, None) => None,
            _ => return Err("an enrolment has invite, name and account"),
        };
        Ok(Self {
            token,
            device,
            instance,
            dial,
            session,
            enrol,
        })
    }
}

/// A hello before validation.
#[derive(Deserialize)]
struct AnyHello {
    token: Token,
    device: DeviceId,
    instance: InstanceId,
    dial: Dial,
    session: Option<SessionId>,
    invite: Option<String>,
    name: Option<String>,
    account: Option<AccountId>,
}

/// The part of a hello that makes an account and its first device. It is idempotent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enrol {
    pub invite: String,
    pub name: String,
    /// The account, made by the client.
    pub account: AccountId,
}

/// Subscribes from `have`, or from the highest position of `locator` that the server's log
/// contains.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Open {
    pub room: RoomId,
    /// The client's highest stored position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<Position>,
    /// Positions that the client has stored, from high to low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<Vec<Position>>,
    /// Start near the head if more entries than this are missing; 0 means never.
    #[serde(default)]
    pub jump: u64,
    /// Only compare the logs, without a subscription.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compare: bool,
}

/// Requests entries after, or before, a seq.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fetch {
    /// Repeated in the page.
    pub request: u64,
    pub room: RoomId,
    /// The page starts after this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The page ends before this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Seq>,
    /// Maximum number of entries; the server limits the bytes too.
    pub limit: u64,
}

/// An entry to append.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendEntry {
    /// Made by the client when the user pressed Enter.
    pub id: EntryId,
    pub room: RoomId,
    /// The entry of this device that precedes it in the room.
    pub after: Option<EntryId>,
    pub kind: Kind,
    pub body: String,
    /// The entry that this one edits, redacts or reacts to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Time of Enter, ms since 1970 by the client's clock.
    pub composed_at: u64,
}

/// The watermarks of a device in a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    pub room: RoomId,
    /// The end of the lowest stored range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Position>,
    /// The user has read the log up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Position>,
}

/// The operation of a `request`. All operations are idempotent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Makes a public room under an id made by the client.
    CreateRoom {
        room: RoomId,
        name: String,
        #[serde(default)]
        topic: String,
    },
    /// Finds a public room by name or id.
    FindRoom {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomId>,
    },
    /// Lists the public rooms in pages, ordered by name.
    Rooms {
        /// The page starts after this name.
        #[serde(default)]
        after: String,
    },
    /// Lists the members of a room in pages, ordered by name.
    Members {
        room: RoomId,
        /// The page starts after this name.
        #[serde(default)]
        after: String,
    },
    /// Lets one more device into this account: the first one that enrols with this code before it
    /// expires.
    LinkDevice {
        /// Made by the client from new random bytes.
        code: String,
    },
    /// An operation of a later version; the reply is `unknown_op`.
    #[serde(other)]
    Unknown,
}

impl Op {
    /// Whether the operation writes on the server.
    #[must_use]
    pub const fn changes(&self) -> bool {
        matches!(self, Self::CreateRoom { .. } | Self::LinkDevice { .. })
    }

    /// Total length of the texts, bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::CreateRoom { name, topic, .. } => name.len() + topic.len(),
            Self::FindRoom { name, .. } => name.as_ref().map_or(0, String::len),
            Self::Rooms { after } | Self::Members { after, .. } => after.len(),
            Self::LinkDevice { code } => code.len(),
            Self::Unknown => 0,
        }
    }
}
