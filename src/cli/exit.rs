//! The exit codes, after sysexits(3), and the one-line message of a failure.

use std::fmt;
use std::path::Path;

use crate::client::Cause;
use crate::protocol::CloseCode;
use crate::server::http::ServerError;
use crate::sqlite::DbError;

pub(super) const OK: u8 = 0;
pub(super) const USAGE: u8 = 64;
pub(super) const REJECTED: u8 = 65;
pub(super) const NO_INPUT: u8 = 66;
pub(super) const UNAVAILABLE: u8 = 69;
pub(super) const SOFTWARE: u8 = 70;
pub(super) const CANNOT_CREATE: u8 = 73;
pub(super) const DISK: u8 = 74;
pub(super) const LATER: u8 = 75;
pub(super) const PROTOCOL: u8 = 76;
pub(super) const NOT_LET_IN: u8 = 77;
pub(super) const CONFIG: u8 = 78;

/// A failure: one line and an exit code.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    text: String,
}

/// Advice for a device without access.
pub(super) const ANEW: &str = ": `landfall join URL#INVITE --profile NAME` makes a new account in a new profile; `landfall outbox` shows your unsent messages";

impl Failure {
    pub(super) fn new(code: u8, text: impl fmt::Display) -> Self {
        Self {
            code,
            text: text.to_string(),
        }
    }

    pub(super) fn usage(text: impl fmt::Display) -> Self {
        Self::new(USAGE, text)
    }

    /// Adds where it was.
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self {
            text: format!("{place}: {}", self.text),
            ..self
        }
    }

    /// Appends a hint to the message.
    pub(super) fn with(self, more: impl fmt::Display) -> Self {
        Self {
            text: format!("{}; {more}", self.text),
            ..self
        }
    }

    /// Changes code 75, which would mean that the message was saved, to 74.
    pub(super) fn not_kept(self) -> Self {
        let code = if self.code == LATER { DISK } else { self.code };
        Self { code, ..self }
    }

    /// Whether there is anything to report.
    pub(super) const fn is_silent(&self) -> bool {
        self.code == OK
    }

    pub(super) const fn code(&self) -> u8 {
        self.code
    }

    /// The failure of a command without a connection.
    pub(super) fn no_link(cause: &Cause) -> Self {
        let code = match cause {
            Cause::Bye { code, .. } => match code {
                CloseCode::Unauthorized | CloseCode::BadInvite => NOT_LET_IN,
                CloseCode::NameTaken | CloseCode::BadName => REJECTED,
                _ => UNAVAILABLE, // temporary
            },
            Cause::NotLandfall { .. } | Cause::OtherServer => PROTOCOL,
            Cause::Store { .. } | Cause::Hosting { .. } => DISK,
            _ => UNAVAILABLE, // errors of the network
        };
        let advice = match cause {
            Cause::NoSuchHost => ": check the address",
            Cause::NotLandfall { .. } => ": check the address and port",
            Cause::Bye {
                code: CloseCode::NameTaken,
                ..
            } => ": choose another one with --name",
            Cause::Bye {
                code: CloseCode::BadInvite,
                ..
            } => ": ask for a new one",
            cause if cause.is_without_access() => ANEW,
            Cause::Unreachable => ": is this machine on the network?",
            _ => "", // the text of the cause is enough
        };
        Self::new(
            code,
            format!(
                "{}{advice}",
                crate::protocol::sanitize_line(&cause.to_string())
            ),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        let code = match error {
            ref error if error.needs_decision() => CONFIG,
            DbError::Newer { .. } => CONFIG,
            DbError::NotWritable { .. } | DbError::Exists { .. } | DbError::NoFolder { .. } => {
                CANNOT_CREATE
            }
            DbError::OtherKind { .. } => REJECTED,
            DbError::Unreadable { .. } => NO_INPUT,
            DbError::InUse { .. } => UNAVAILABLE,
            DbError::Full
            | DbError::WriteFailed
            | DbError::SyncFailed
            | DbError::RolledBack
            | DbError::Corrupt { .. }
            | DbError::Moved { .. }
            | DbError::Replaced { .. }
            | DbError::Overwritten { .. } => DISK,
            DbError::Busy | DbError::Overloaded => LATER,
            _ => SOFTWARE, // none that a user can cause
        };
        Self::new(code, error)
    }
}

/// The failure of a screen; a failure of the store names its folder.
pub(super) fn of_screen(error: std::io::Error, folder: &Path) -> Failure {
    match error.downcast::<DbError>() {
        Ok(error) => error.at(&folder.join("store.db")).into(),
        Err(error) => error.into(),
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Listen { address, ref error } => {
                let what = match error.kind() {
                    std::io::ErrorKind::AddrInUse => {
                        "the port is in use: choose another one with --listen".to_owned()
                    }
                    std::io::ErrorKind::PermissionDenied => {
                        "not permitted: choose a port above 1023".to_owned()
                    }
                    _ => error.to_string(),
                };
                Self::new(UNAVAILABLE, format!("cannot listen on {address}: {what}"))
            }
            ServerError::Folder { .. } => Self::new(CANNOT_CREATE, error),
            ServerError::Storage(error) => error.into(),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::BrokenPipe => OK, // the reader has closed the pipe
            _ if DbError::of_space(&error).is_some() => DISK,
            std::io::ErrorKind::IsADirectory => NO_INPUT,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                CANNOT_CREATE
            }
            _ => SOFTWARE,
        };
        Self::new(code, error)
    }
}
