//! All frames of the wire as types. `PROTOCOL.md` has an example of each.

mod client;
mod entry;
mod server;

use serde::{Deserialize, Serialize};

pub use self::client::*;
pub use self::entry::*;
pub use self::server::*;
use super::signal::Signal;
use super::{EntryId, Position, RoomId, Seq};

/// A frame of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame of a connection.
    Hello(Hello),
    /// Subscribes to a room from a position.
    Open(Open),
    /// Ends a subscription.
    Close { room: RoomId },
    /// Requests a page of a room's log.
    Fetch(Fetch),
    /// Sends an entry to be appended.
    Send(SendEntry),
    /// Reports what this device has stored and read.
    Mark(Mark),
    /// An ephemeral signal: typing, or a live value.
    Signal(Signal),
    /// A request that gets one `reply`.
    Request {
        /// Chosen by the client, repeated in the reply.
        request: u64,
        #[serde(flatten)]
        op: Op,
    },
    /// Checks whether the server responds.
    Ping {
        /// Repeated in the pong.
        n: u64,
    },
}

/// A frame of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The hello is accepted. Its field `rooms` is the number of `room` frames that follow.
    Welcome(Welcome),
    /// A room of this account: after the welcome, and after each change.
    Room(Room),
    /// The room is subscribed. The entries that follow start after `from`, or nearer to the head if
    /// the subscription jumped.
    Opened {
        room: RoomId,
        /// The highest common position: the client keeps its entries up to here.
        from: Position,
        /// The current head of the log.
        head: Position,
    },
    /// The server's log does not contain the client's position: open again with a locator.
    Diverged {
        room: RoomId,
    },
    /// A run of a room's log: live, from catch-up, or fetched.
    Entries(Entries),
    /// The entry is on the server's disk at `seq`.
    Ack {
        id: EntryId,
        room: RoomId,
        seq: Seq,
        /// When the entry was appended, ms since 1970 by the server's clock.
        at: u64,
    },
    /// The entry was rejected.
    Reject(Reject),
    /// The lowest watermarks over the members of a room.
    Marks {
        room: RoomId,
        /// Every member has stored the log up to here.
        delivered: Seq,
        /// Every member has read the log up to here.
        read: Seq,
    },
    Signal(Signal),
    /// Number of online members of a room.
    Presence {
        room: RoomId,
        /// Number of online accounts.
        #[serde(rename = "here")]
        online: u64,
    },
    /// The reply to a `request`.
    Reply(Reply),
    /// The reply to a `ping`.
    Pong {
        n: u64,
        /// Heads of the account's rooms that changed since the last pong.
        #[serde(default)]
        heads: Vec<Head>,
    },
    /// The last frame before the server closes the connection.
    Bye(Bye),
    /// A frame of a later version; ignored.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;

    /// Every frame that PROTOCOL.md shows is read, and written again as the same JSON.
    #[test]
    fn examples_of_protocol_md_round_trip() {
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
    fn frame_of_later_version_is_ignored() {
        assert_eq!(
            decode::<ServerFrame>("{\"type\":\"hologram\",\"x\":1}").expect("ignored"),
            ServerFrame::Unknown
        );
        let entry = "{\"seq\":1,\"id\":\"01900000-0000-7000-8000-000000000001\",\"author\":\"00000000-0000-4000-8000-00000000000a\",\"name\":\"ana\",\"device\":\"00000000-0000-4000-8000-00000000000d\",\"kind\":\"hologram\",\"body\":\"\",\"at\":1,\"composed_at\":1}";
        let entry: Entry = serde_json::from_str(entry).expect("an entry");
        assert_eq!(entry.kind, Kind::Unknown);
    }

    #[test]
    fn unknown_reject_code_is_temporary() {
        let code: RejectCode =
            serde_json::from_str("\"mercury_retrograde\"").expect("taken as unknown");
        assert!(!code.is_final());
    }
}
