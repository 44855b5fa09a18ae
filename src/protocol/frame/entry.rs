//! An entry of a room's log.

use serde::{Deserialize, Serialize};

use crate::protocol::{AccountId, DeviceId, EntryId, Seq};

/// The kind of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text message.
    Message,
    /// Replaces the body of an own entry.
    Edit,
    /// Deletes the text of an own entry.
    Redaction,
    /// A short reaction to an entry.
    Reaction,
    /// The author joined the room.
    Join,
    /// The author left the room.
    Leave,
    /// The body is the room's new topic.
    Topic,
    /// The body is the author's new name.
    Rename,
    /// A kind of a later version: stored and displayed as such, never sent.
    #[serde(other)]
    Unknown,
}

/// A reference to another entry, by its immutable identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    pub author: AccountId,
    pub id: EntryId,
}

/// One item of a room's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub seq: Seq,
    /// Made once by the author's client.
    pub id: EntryId,
    pub author: AccountId,
    /// The author's name at the time of the append.
    pub name: String,
    /// The author's device; nil for entries that the server made for the author.
    pub device: DeviceId,
    pub kind: Kind,
    pub body: String,
    /// The entry that this one edits, redacts or reacts to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Time of the append, ms since 1970 by the server's clock; never decreases within a log.
    pub at: u64,
    /// Time of Enter, ms since 1970 by the author's clock.
    pub composed_at: u64,
}
