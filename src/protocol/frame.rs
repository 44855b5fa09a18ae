//! Every frame of the wire as a type. `PROTOCOL.md` shows one example of each.

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::{
    AccountId, Chain, CloseCode, DeviceId, Dial, EntryId, InstanceId, Position, RoomId, Seq,
    ServerId, SessionId, Token,
};

/// A frame of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// First frame of a link.
    Hello(Hello),
    /// Subscribe to a room from a position.
    Open(Open),
    /// End a subscription.
    Close {
        /// The room.
        room: RoomId,
    },
    /// Ask for a page of a room's log.
    Fetch(Fetch),
    /// Ask for an entry to be appended.
    Send(SendEntry),
    /// Report what this device has stored and read.
    Mark(Mark),
    /// Something volatile: typing, a live value.
    Signal(Signal),
    /// Anything that is asked and answered.
    Request {
        /// Chosen by the client, echoed in the reply.
        request: u64,
        /// What is asked.
        #[serde(flatten)]
        op: Op,
    },
    /// Are you there?
    Ping {
        /// Echoed in the pong.
        n: u64,
    },
}

/// Who dials; the first time also the invite and the account that is to be made.
///
/// Decoding refuses a token that is none, the nil device, and half of an enrolment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "AnyHello")]
pub struct Hello {
    /// The device's secret, made by the client.
    pub token: Token,
    /// The device.
    pub device: DeviceId,
    /// The process.
    pub instance: InstanceId,
    /// Which attempt this is.
    pub dial: Dial,
    /// The session of the last welcome, to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Who to become, as long as no welcome was ever received.
    #[serde(flatten)]
    pub enrol: Option<Enrol>,
}

/// A hello as it comes in.
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

/// The part of a hello that makes the account and its first device; asking again gets the same
/// answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enrol {
    /// The invite's code.
    pub invite: String,
    /// The wanted name.
    pub name: String,
    /// The account, made by the client.
    pub account: AccountId,
}

/// Subscribe: from `have`, or from the highest position of `locator` that the server's log
/// contains.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Open {
    /// The room.
    pub room: RoomId,
    /// The client's highest stored position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub have: Option<Position>,
    /// Positions that the client has stored, from high to low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<Vec<Position>>,
    /// When more entries than this are missing, start near the head instead; 0 for never.
    #[serde(default)]
    pub jump: u64,
    /// Only compare: nothing is subscribed, and nothing follows the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compare: bool,
}

/// Ask for entries after, or before, a seq.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fetch {
    /// Echoed in the page.
    pub request: u64,
    /// The room.
    pub room: RoomId,
    /// The page begins after this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// The page ends before this seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Seq>,
    /// At most so many entries; the server cuts by bytes as well.
    pub limit: u64,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text message.
    Message,
    /// A new body for the author's own target.
    Edit,
    /// The author's own target is to be shown empty.
    Redaction,
    /// A short answer to the target.
    Reaction,
    /// The author became a member.
    Join,
    /// The author is no longer a member.
    Leave,
    /// The body is the room's new topic.
    Topic,
    /// The body is the author's new name.
    Rename,
    /// A kind of a later version: kept and shown as such, never sent.
    #[serde(other)]
    Unknown,
}

/// Another entry, named by what never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Its author.
    pub author: AccountId,
    /// Its id.
    pub id: EntryId,
}

/// An entry to be appended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendEntry {
    /// Made when Enter was pressed.
    pub id: EntryId,
    /// The room.
    pub room: RoomId,
    /// The entry of this device that precedes it in the room.
    pub after: Option<EntryId>,
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub body: String,
    /// What it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// When it was typed, ms since 1970 by the client's clock.
    pub composed_at: u64,
}

/// How far a device has come in a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The room.
    pub room: RoomId,
    /// The end of the lowest range: everything up to here is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Position>,
    /// Everything up to here was seen by the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Position>,
}

/// What a `request` asks. All of it may be asked twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Make a public room under an id made by the client.
    CreateRoom {
        /// The new room.
        room: RoomId,
        /// Its name.
        name: String,
        /// Its topic.
        #[serde(default)]
        topic: String,
    },
    /// The public room of a name, or of an id.
    FindRoom {
        /// The name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomId>,
    },
    /// The public rooms, by name, a page at a time.
    Rooms {
        /// The page begins after this name.
        #[serde(default)]
        after: String,
    },
    /// The members of a room, by name, a page at a time.
    Members {
        /// The room.
        room: RoomId,
        /// The page begins after this name.
        #[serde(default)]
        after: String,
    },
    /// Let one more device into this account: the first one that enrols with this code within its time.
    LinkDevice {
        /// Made by the client, from fresh randomness.
        code: String,
    },
    /// An operation of a later version: answered with `unknown_op`.
    #[serde(other)]
    Unknown,
}

impl Op {
    /// Whether it changes something on the server.
    #[must_use]
    pub const fn changes(&self) -> bool {
        matches!(self, Self::CreateRoom { .. } | Self::LinkDevice { .. })
    }

    /// The length of its texts, bytes.
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

/// A frame of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The hello is accepted; `rooms` frames of type `room` follow.
    Welcome(Welcome),
    /// A room of this account, after the welcome and whenever it changes.
    Room(Room),
    /// The room is subscribed. What follows begins after `from`, or nearer to the head when the
    /// subscription jumped.
    Opened {
        /// The room.
        room: RoomId,
        /// What the client keeps.
        from: Position,
        /// Where the log ends now.
        head: Position,
    },
    /// The server's log does not contain what the client has: open again with a locator.
    Diverged {
        /// The room.
        room: RoomId,
    },
    /// A run of a room's log: live, caught up and fetched alike.
    Entries(Entries),
    /// The entry is durable at `seq`.
    Ack {
        /// The entry.
        id: EntryId,
        /// Its room.
        room: RoomId,
        /// Its place.
        seq: Seq,
        /// When it was appended, ms since 1970 by the server's clock.
        at: u64,
    },
    /// The entry was not appended.
    Reject(Reject),
    /// How far everybody has come: the lowest over the room's members.
    Marks {
        /// The room.
        room: RoomId,
        /// Every member has stored up to here.
        delivered: Seq,
        /// Everyone has read up to here.
        read: Seq,
    },
    /// Something volatile.
    Signal(Signal),
    /// Who is here.
    Presence {
        /// The room.
        room: RoomId,
        /// How many accounts are here.
        here: u64,
    },
    /// The answer to a `request`.
    Reply(Reply),
    /// I am here.
    Pong {
        /// Of the ping.
        n: u64,
        /// Heads of the member's rooms that moved since the last pong.
        #[serde(default)]
        heads: Vec<Head>,
    },
    /// The last frame before the server closes.
    Bye(Bye),
    /// A frame of a later version: ignored.
    #[serde(other)]
    Unknown,
}

/// The client is admitted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's id, as in the header of the upgrade.
    pub server: ServerId,
    /// To resume with.
    pub session: SessionId,
    /// Whether presence was kept; the cursors do the catching up in any case.
    pub resumed: bool,
    /// Who this device is.
    pub account: AccountId,
    /// The account's name.
    pub name: String,
    /// Interval after which a quiet link is pinged, ms.
    pub heartbeat_ms: u64,
    /// Encoded frame, bytes.
    pub frame_bytes_max: u64,
    /// The server's clock, ms since 1970.
    pub now: u64,
    /// How many `room` frames follow.
    pub rooms: u64,
}

/// One room as its member sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// The room.
    pub room: RoomId,
    /// Its name.
    pub name: String,
    /// `public`; others may come.
    pub kind: String,
    /// Its topic.
    #[serde(default)]
    pub topic: String,
    /// Whether this account is (still) a member.
    pub member: bool,
    /// The first seq that can be had.
    pub first: Seq,
    /// Where the log ends now.
    pub head: Position,
    /// Every member has stored up to here.
    pub delivered: Seq,
    /// Everyone has read up to here.
    pub read: Seq,
    /// This account has stored up to here, on some device.
    pub delivered_here: Seq,
    /// This account has read up to here, on some device.
    pub read_here: Seq,
}

/// One item of a room's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// Made by its author's client.
    pub id: EntryId,
    /// Who wrote it.
    pub author: AccountId,
    /// The author's name when it was appended.
    pub name: String,
    /// On which device; nil for what the server wrote in the author's name.
    pub device: DeviceId,
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub body: String,
    /// What it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// When it was appended, ms since 1970 by the server's clock; never falls within a log.
    pub at: u64,
    /// When it was typed, ms since 1970 by the author's clock.
    pub composed_at: u64,
}

/// A run of a log, chained to what precedes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entries {
    /// The room.
    pub room: RoomId,
    /// The position before the first of them.
    pub prev: Position,
    /// The entries, at seqs that follow `prev` one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// Instead of entries: a run that cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// The `fetch` that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

/// A run of seqs that is hidden, expired or erased; it counts as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The last position of the run, which begins after `prev`.
    pub to: Position,
    /// For people.
    pub why: String,
}

/// Why an entry was not appended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reject {
    /// The entry.
    pub id: EntryId,
    /// Its room.
    pub room: RoomId,
    /// For programs.
    pub code: RejectCode,
    /// For people.
    pub reason: String,
    /// With `out_of_order`: the last entry of this device in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<EntryId>,
    /// Not now, but after so many ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The kinds of refusal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// `after` is not this device's last entry in the room; see `last`.
    OutOfOrder,
    /// The id is in the log with another body.
    IdConflict,
    /// There is no such room.
    NoRoom,
    /// The account is not a member of the room.
    NotMember,
    /// The account may not do this.
    Forbidden,
    /// The body is over a limit.
    TooBig,
    /// The entry makes no sense: an unknown kind, a missing target, a bad name.
    BadEntry,
    /// Another account has the name.
    NameTaken,
    /// Too many entries in too short a time.
    RateLimited,
    /// The server cannot write now.
    Unavailable,
    /// A code of a later version: taken as passing.
    #[serde(other)]
    Unknown,
}

impl RejectCode {
    /// Whether it is for good. Only what is listed here is: an unknown code is passing.
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

/// The answer to a `request`: what was asked for, or why not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Of the request.
    pub request: u64,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Answer>,
    /// For programs: the kind of refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ReplyCode>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyCode {
    /// The name or the topic is not valid.
    BadName,
    /// Another room has the name.
    NameTaken,
    /// The code for one more device is not valid.
    BadCode,
    /// There is no such room.
    NotFound,
    /// The account may not do this.
    Forbidden,
    /// This server does not know the operation.
    UnknownOp,
    /// The server cannot use its storage now.
    Unavailable,
    /// Never on the wire: the client is not connected, so nothing was asked.
    NotConnected,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

/// What a request was answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One room.
    Room(RoomInfo),
    /// A page of rooms.
    Rooms {
        /// By name.
        rooms: Vec<RoomInfo>,
        /// Whether another page follows.
        more: bool,
    },
    /// A page of members.
    Members {
        /// By name.
        members: Vec<Member>,
        /// Whether another page follows.
        more: bool,
    },
    /// The code is good.
    Linking {
        /// Until then; ms since 1970 on the server's clock.
        until: u64,
    },
}

/// A public room in the directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomInfo {
    /// The room.
    pub room: RoomId,
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// How many members it has.
    pub members: u64,
}

/// A member of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Whether one of its sessions is on the server.
    pub here: bool,
    /// Up to where it has stored the room.
    pub delivered: Seq,
    /// Up to where it has read the room.
    pub read: Seq,
}

/// Where a room's log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The room.
    pub room: RoomId,
    /// Its last seq.
    pub seq: Seq,
    /// The chain up to it.
    pub chain: Chain,
}

/// Goodbye, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bye {
    /// Also the WebSocket close code.
    pub code: CloseCode,
    /// For people.
    pub reason: String,
    /// Dial again after so many ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `replaced`: the instance that took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;

    /// Every frame that PROTOCOL.md shows is read, and written again as the same JSON.
    #[test]
    fn the_examples_of_protocol_md_round_trip() {
        let text = include_str!("../../PROTOCOL.md");
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with("{\"type\"")) {
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let kind = value["type"].as_str().expect("a type").to_owned();
            let again = match decode::<ServerFrame>(line) {
                Ok(frame) if frame != ServerFrame::Unknown && kind != "signal" => encode(&frame),
                _ => encode(&decode::<ClientFrame>(line).unwrap_or_else(|e| panic!("{e}: {line}"))),
            };
            let again: serde_json::Value =
                serde_json::from_str(&again.expect("encodes")).expect("json");
            assert_eq!(again, value);
            seen.insert(kind);
        }
        let all = "ack bye close diverged entries fetch hello mark marks open opened ping pong presence reject reply request room send signal welcome";
        assert_eq!(seen.into_iter().collect::<Vec<_>>().join(" "), all);
    }

    #[test]
    fn a_frame_of_a_later_version_is_ignored() {
        assert_eq!(
            decode::<ServerFrame>("{\"type\":\"hologram\",\"x\":1}").expect("ignored"),
            ServerFrame::Unknown
        );
        let entry = "{\"seq\":1,\"id\":\"01900000-0000-7000-8000-000000000001\",\"author\":\"00000000-0000-4000-8000-00000000000a\",\"name\":\"ana\",\"device\":\"00000000-0000-4000-8000-00000000000d\",\"kind\":\"hologram\",\"body\":\"\",\"at\":1,\"composed_at\":1}";
        let entry: Entry = serde_json::from_str(entry).expect("an entry");
        assert_eq!(entry.kind, Kind::Unknown);
    }

    #[test]
    fn an_unknown_refusal_is_passing() {
        let code: RejectCode =
            serde_json::from_str("\"mercury_retrograde\"").expect("taken as unknown");
        assert!(!code.is_final());
    }
}
