//! Ephemeral signals: live values by key, and typing notices.

use serde::{Deserialize, Serialize};

use super::{AccountId, RoomId};

/// An ephemeral signal: never stored, and replaced by a newer one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signal {
    pub room: RoomId,
    /// `typing`, or a word that an application chooses.
    pub kind: String,
    /// Of pending signals with one key, only the latest is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The sender; set by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// When it was sent, ms since 1970 by the server's clock; set by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// How many older values of this key were skipped on this connection since the last one; set by the
    /// server.
    #[serde(default, skip_serializing_if = "is_none_skipped")]
    pub skipped: u64,
}

impl Signal {
    /// The kind of a live value.
    pub const LIVE: &'static str = "live";
    /// The kind of typing signals.
    pub const TYPING: &'static str = "typing";

    /// As a client sends it.
    #[must_use]
    pub fn new(room: RoomId, kind: &str, key: Option<String>, value: Option<String>) -> Self {
        Self {
            room,
            kind: kind.to_owned(),
            key,
            value,
            account: None,
            at: None,
            skipped: 0,
        }
    }

    /// Total bytes of its texts, at most [`SIGNAL_BYTES_MAX`](super::limits::SIGNAL_BYTES_MAX).
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [Some(&self.kind), self.key.as_ref(), self.value.as_ref()];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_none_skipped(skipped: &u64) -> bool {
    *skipped == 0
}
