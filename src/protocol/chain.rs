//! The chain: a hash over the ids of a log up to one seq. Two sides compare whole logs by 16 bytes.
//!
//! chain(0) is the room's id; chain(seq) is the first 16 bytes of SHA-256(chain(seq-1) ‖ author ‖
//! entry id). Equal chains mean equal logs up to there. So a client detects a server that was
//! restored from a backup.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{AccountId, EntryId, RoomId, Seq, hex};

/// The chain up to one seq, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain([u8; 16]);

impl Chain {
    /// Returns the chain before the first entry: the room's id.
    #[must_use]
    pub const fn start(room: RoomId) -> Self {
        Self(*room.as_bytes())
    }

    /// Returns the chain after one more entry.
    #[must_use]
    pub fn next(self, author: AccountId, id: EntryId) -> Self {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(author.as_bytes())
            .chain_update(id.as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes)
    }

    /// Makes a chain from 16 stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom("a chain is 32 lower-case hex digits"))
    }
}

fn parse(text: &str) -> Option<Chain> {
    if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Chain(bytes))
}

/// A seq with the chain up to it: identifies one prefix of one history of a log. Positions of one
/// history are ordered by seq.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The last seq covered.
    pub seq: Seq,
    /// The chain up to `seq`.
    pub chain: Chain,
}

impl Position {
    /// The position before a room's first entry.
    #[must_use]
    pub const fn start(room: RoomId) -> Self {
        Self {
            seq: Seq::ZERO,
            chain: Chain::start(room),
        }
    }

    /// Returns the position after one more entry.
    #[must_use]
    pub fn next(self, author: AccountId, id: EntryId) -> Self {
        Self {
            seq: self.seq.next(),
            chain: self.chain.next(author, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of PROTOCOL.md, so that the text cannot drift from the code.
    #[test]
    fn chain_matches_the_worked_example() {
        let room: RoomId = "00000000-0000-4000-8000-000000000001"
            .parse()
            .expect("uuid");
        let author: AccountId = "00000000-0000-4000-8000-00000000000a"
            .parse()
            .expect("uuid");
        let first: EntryId = "01900000-0000-7000-8000-000000000001"
            .parse()
            .expect("uuid");
        let second: EntryId = "01900000-0000-7000-8000-000000000002"
            .parse()
            .expect("uuid");
        let zero = Position::start(room);
        let one = zero.next(author, first);
        let two = one.next(author, second);
        let text = include_str!("../../PROTOCOL.md");
        for position in [zero, one, two] {
            let row = format!("| {} | `{:?}` |", position.seq, position.chain);
            assert!(text.contains(&row), "PROTOCOL.md lacks {row}");
        }
    }

    #[test]
    fn order_changes_the_chain() {
        let room = RoomId::from_random([1; 16]);
        let author = AccountId::from_random([2; 16]);
        let (a, b) = (
            EntryId::from_parts(1, [3; 10]),
            EntryId::from_parts(2, [4; 10]),
        );
        let start = Chain::start(room);
        assert_ne!(
            start.next(author, a).next(author, b),
            start.next(author, b).next(author, a)
        );
    }

    #[test]
    fn chain_that_is_not_hex_is_rejected() {
        for text in [
            "\"\"",
            "\"zz\"",
            "\"0123456789abcdef0123456789abcdeF\"",
            "7",
        ] {
            assert!(serde_json::from_str::<Chain>(text).is_err(), "{text}");
        }
    }
}
