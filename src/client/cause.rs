//! Why a connection ended or is not dialled, as data for the journal and as text.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::{CloseAction, CloseCode, InstanceId};
use crate::sqlite::DbError;

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The program just started.
    Start,
    Refused,
    /// The host name has no address.
    NoSuchHost,
    /// The network has no route to the host.
    Unreachable,
    /// The connection was not opened in time.
    DialTimeout,
    /// Connected, but the server did not send its welcome in time.
    #[serde(rename = "greeting_timeout")]
    HandshakeTimeout,
    /// The response is not from a Landfall server.
    NotLandfall {
        /// The unexpected response.
        what: String,
    },
    /// A Landfall server sent invalid data: it was damaged on the way, or the server has a bug.
    Damaged {
        what: String,
    },
    /// There was no reply within the deadline.
    NoAnswer {
        waited: Duration,
    },
    /// The server answers pings, but an entry got no answer.
    AckOverdue,
    /// The peer, or something on the path, closed the connection.
    Dropped {
        /// The error of the system.
        what: String,
    },
    /// The server sent a `bye`.
    Bye {
        code: CloseCode,
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Another process or copy of this profile took over the connection.
    Replaced {
        instance: InstanceId,
    },
    /// Another server answers at this address than the one of this profile.
    OtherServer,
    /// A received entry could not be saved.
    Store {
        /// The error of the store.
        what: String,
    },
    /// This machine's own server does not start.
    Hosting {
        what: String,
    },
    /// The user went offline.
    Person,
    /// The program or command ended.
    Finished,
    /// Another process of the profile has the connection.
    NotOwner {
        /// The process id, if known.
        pid: Option<u32>,
    },
    /// `max_attempts` or `give_up_after` was reached.
    GaveUp {
        attempts: u32,
        /// The cause of the last failed attempt.
        last: String,
    },
}

/// Maximum length of a reason that a peer sent, in bytes.
const WORDS_MAX: usize = 240;

impl Cause {
    /// Limits the length of a reason from a peer.
    pub(crate) fn shortened(mut self) -> Self {
        if let Self::NotLandfall { what: words }
        | Self::Damaged { what: words }
        | Self::Dropped { what: words }
        | Self::Bye { reason: words, .. } = &mut self
        {
            words.truncate(words.floor_char_boundary(WORDS_MAX));
        }
        self
    }

    /// Whether a deadline passed. If so, the next connection gets longer ones.
    #[must_use]
    pub const fn is_deadline(&self) -> bool {
        matches!(
            self,
            Self::DialTimeout | Self::HandshakeTimeout | Self::NoAnswer { .. } | Self::AckOverdue
        )
    }

    /// Whether the server does not accept this device. Messages stay pending until the user joins
    /// again.
    #[must_use]
    pub const fn is_without_access(&self) -> bool {
        matches!(
            self,
            Self::Bye {
                code: CloseCode::Unauthorized,
                ..
            }
        )
    }

    /// Whether dialling again is useless until the user does something.
    #[must_use]
    pub fn stops(&self) -> bool {
        match self {
            // Replaced by an unnamed instance: dialling again could make both replace each other.
            Self::Bye { code, .. } => {
                matches!(code.action(), CloseAction::Stop | CloseAction::ByInstance)
            }
            Self::Replaced { .. }
            | Self::OtherServer
            | Self::Person
            | Self::Finished
            | Self::NotOwner { .. }
            | Self::GaveUp { .. } => true,
            Self::Start
            | Self::Refused
            | Self::NoSuchHost
            | Self::Unreachable
            | Self::DialTimeout
            | Self::HandshakeTimeout
            | Self::NotLandfall { .. }
            | Self::Damaged { .. }
            | Self::NoAnswer { .. }
            | Self::AckOverdue
            | Self::Dropped { .. }
            | Self::Hosting { .. }
            | Self::Store { .. } => false,
        }
    }
}

/// A failed write or query of the store.
impl From<DbError> for Cause {
    fn from(error: DbError) -> Self {
        let what = error.to_string();
        match error {
            DbError::Contradiction(_) => Self::Damaged { what },
            _ => Self::Store { what },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("starting"),
            Self::Refused => f.write_str("connection refused (is the server running?)"),
            Self::NoSuchHost => f.write_str("host not found"),
            Self::Unreachable => f.write_str("network unreachable"),
            Self::DialTimeout => f.write_str("connection timed out"),
            Self::HandshakeTimeout => f.write_str("server did not complete the handshake"),
            Self::NotLandfall { what } => write!(f, "not a landfall server: {what}"),
            Self::Damaged { what } => write!(f, "received corrupted data: {what}"),
            Self::NoAnswer { waited } => {
                write!(f, "server stopped responding ({} s)", waited.as_secs())
            }
            Self::AckOverdue => f.write_str("no acknowledgement received"),
            Self::Dropped { what } => write!(f, "connection lost: {what}"),
            // The server's reason is not shown: after a revocation the client tries to join again, and
            // the reason is about that attempt.
            Self::Bye {
                code: CloseCode::Unauthorized,
                ..
            } => f.write_str("the server does not know this device"),
            Self::Bye {
                code: CloseCode::Draining,
                ..
            } => f.write_str("server is shutting down"),
            Self::Bye { reason, .. } => write!(f, "server: {reason}"),
            Self::Replaced { .. } => f.write_str("this profile connected from another place"),
            Self::OtherServer => f.write_str("this is not the server you joined; nothing was sent"),
            Self::Store { what } => write!(f, "cannot save: {what}"),
            Self::Hosting { what } => write!(f, "cannot run the server on this machine: {what}"),
            Self::Person => f.write_str("offline by your request"),
            Self::Finished => f.write_str("finished"),
            Self::NotOwner { pid: Some(pid) } => {
                write!(f, "another landfall of this profile is running (pid {pid})")
            }
            Self::NotOwner { pid: None } => {
                f.write_str("another landfall of this profile is running")
            }
            Self::GaveUp { attempts: 1, last } => write!(f, "gave up after 1 attempt: {last}"),
            Self::GaveUp { attempts, last } => {
                write!(f, "gave up after {attempts} attempts: {last}")
            }
        }
    }
}
