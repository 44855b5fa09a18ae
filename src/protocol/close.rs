//! The table of close codes: number, and reaction of a client.

use serde::{Deserialize, Serialize};

/// Why the server closes a connection; sent as `bye` and again as the WebSocket close code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseCode {
    /// The client closed first.
    Normal,
    /// The server is shutting down or restarting.
    Draining,
    /// A frame that is invalid, or out of order.
    BadFrame,
    /// A frame is longer than permitted.
    TooBig,
    /// The server does not know this device with this token, or has revoked it.
    Unauthorized,
    /// A newer connection of the same device took over; `instance` names its process.
    Replaced,
    /// A hello of a dial that is older than the one of the current connection.
    StaleDial,
    /// The hello or an answer did not arrive in time.
    Timeout,
    /// Too many connections, or a temporary failure of the storage.
    Overloaded,
    /// The invite is unknown, used or expired.
    BadInvite,
    /// Another account has the name.
    NameTaken,
    /// The name is empty, too long, or has a character that is not allowed.
    BadName,
    /// A code of a later version; it counts as temporary.
    #[serde(other)]
    Unknown,
}

/// The reaction of a client to a close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseAction {
    /// Reconnect at once; the backoff still grows when that repeats.
    RetryNow,
    /// Reconnect after the backoff, or after the server's hint.
    Backoff,
    /// Stop, show the cause, and wait for the user.
    Stop,
    /// Depends on the instance that `bye` names: reconnect for an own one, stop for another one.
    ByInstance,
}

/// Code, number on the wire, and the client's action.
const TABLE: [(CloseCode, u16, CloseAction); 12] = [
    (CloseCode::Normal, 1000, CloseAction::Backoff),
    (CloseCode::Draining, 1001, CloseAction::Backoff),
    (CloseCode::BadFrame, 4000, CloseAction::Backoff),
    (CloseCode::TooBig, 1009, CloseAction::Backoff),
    (CloseCode::Unauthorized, 4001, CloseAction::Stop),
    (CloseCode::Replaced, 4002, CloseAction::ByInstance),
    (CloseCode::StaleDial, 4003, CloseAction::RetryNow),
    (CloseCode::Timeout, 4004, CloseAction::Backoff),
    (CloseCode::Overloaded, 4005, CloseAction::Backoff),
    (CloseCode::BadInvite, 4006, CloseAction::Stop),
    (CloseCode::NameTaken, 4007, CloseAction::Stop),
    (CloseCode::BadName, 4008, CloseAction::Stop),
];

impl CloseCode {
    /// Returns the number for the WebSocket close frame.
    #[must_use]
    pub fn number(self) -> u16 {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(1011, |row| row.1)
    }

    /// Returns the code for a number in a WebSocket close frame.
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        TABLE
            .iter()
            .find(|row| row.1 == number)
            .map_or(Self::Unknown, |row| row.0)
    }

    /// Returns the reaction of a client; an unknown code is temporary.
    #[must_use]
    pub fn action(self) -> CloseAction {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(CloseAction::Backoff, |row| row.2)
    }

    /// Whether the server closed because of a frame that it had just read: the entry in flight may
    /// be the cause.
    #[must_use]
    pub const fn blames_a_frame(self) -> bool {
        matches!(self, Self::BadFrame | Self::TooBig)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree_both_ways() {
        for (code, number, _) in TABLE {
            assert_eq!(CloseCode::from_number(number), code);
            assert_eq!(code.number(), number);
        }
        assert_eq!(CloseCode::from_number(1011).action(), CloseAction::Backoff);
    }

    #[test]
    fn protocol_md_lists_every_code_with_its_number() {
        let text = include_str!("../../PROTOCOL.md");
        for (code, number, _) in TABLE {
            let name = serde_json::to_string(&code)
                .expect("a unit variant")
                .replace('"', "`");
            assert!(
                text.contains(&format!("| {name} | {number} |")),
                "PROTOCOL.md lacks {name} {number}"
            );
        }
    }
}
