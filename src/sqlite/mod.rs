//! Opens SQLite files, for the client's store and the server's storage alike.
//!
//! Every connection has `synchronous=FULL` (a setting that is not stored in the file), so a
//! finished commit is on disk. Write transactions begin IMMEDIATE. A file of a newer version is
//! rejected before anything in it is changed.

mod backup;
mod file;
mod generation;
mod identity;
mod names;
mod note;
mod opening;
mod values;

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, OpenFlags};
use thiserror::Error;

pub use self::backup::{CheckReport, restore};
pub use self::file::{Database, Schema, WriteTransaction};
pub use self::generation::FILE_TABLE;
pub(crate) use self::values::columns;
pub use self::values::{scalar, variant, word};
use crate::protocol::sanitize_line;

/// How files are opened. A [`rusqlite::Connection`] is of one thread at a time, so no call needs a
/// lock of its own: reading a column by its name makes many calls.
const READ_WRITE: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// As [`READ_WRITE`], for a file whose path is a URI.
const READ_ONLY_URI: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY
    .union(OpenFlags::SQLITE_OPEN_URI)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

const SQLITE_IOERR_FSYNC: i32 = 1034;
/// A write failed, and not because the disk is full: a quota, a size limit, or a faulty disk.
const SQLITE_IOERR_WRITE: i32 = 778;
/// A file could not be made longer.
const SQLITE_IOERR_TRUNCATE: i32 = 1546;
const SQLITE_IOERR_DIR_FSYNC: i32 = 1290;
/// SQLite could not make the index of the write-ahead log large enough.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

/// The errors of a database file, grouped by what the user can do.
#[derive(Clone, Debug, Error)]
pub enum DbError {
    /// A later version of the program wrote it.
    #[error("{} is of version {found}, this landfall knows up to {known}: use a newer landfall, nothing was changed", path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file is damaged, or no database.
    #[error("{} is damaged ({what}): restore a backup with `landfall restore`, or move the file away to start with a new one", path.display())]
    Corrupt {
        path: PathBuf,
        /// The message of SQLite.
        what: String,
    },
    /// What is to be written contradicts what is stored; nothing was written.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The file is empty: its content is lost.
    #[error("{} is empty (0 bytes): restore a backup, or move the file away to start with a new one", path.display())]
    Empty { path: PathBuf },
    /// The file is missing, but its write-ahead log exists.
    #[error("{path} is missing, and {path}-wal beside it has the latest changes: put {path} back, or move {path}-wal away to start with a new one", path = path.display())]
    Missing { path: PathBuf },
    /// The database is missing, but a file has a name that only landfall gives to copies
    /// (`store.2.db`).
    #[error("{base} is missing, but its copy {path} exists: to use the copy, rename it to {base}; to start with a new database, move the copy away; nothing was changed", base = base.display(), path = path.display())]
    Misnamed {
        path: PathBuf,
        /// The name that a database has.
        base: PathBuf,
    },
    /// Two files could be the database.
    #[error("{} and {} are both databases of this folder. Only you can decide which one is right: move the other one away; nothing was changed", one.display(), other.display())]
    Several { one: PathBuf, other: PathBuf },
    /// The write-ahead log belongs to another file.
    #[error("{path}-wal was written for another file that had the name {path}. Put that file back, or, to use the file that is there now, move {path}-wal and {path}-shm away; nothing was changed", path = path.display())]
    ForeignLog { path: PathBuf },
    /// The file has a second name. A process that opened it by that name would have another
    /// write-ahead log.
    #[error("{} has a second name (a hard link{}). Two programs that open it under different names could destroy it: delete the second name, or replace it by a copy; nothing was changed", path.display(), in_brackets(other.as_deref()))]
    TwoNames {
        path: PathBuf,
        /// The other name, if it is in the same folder.
        other: Option<PathBuf>,
    },
    /// The other files of a database are beside the file itself, and not beside a link to it.
    #[error("{} is a symbolic link, but the other files of a database must be beside the file itself: link the whole folder instead; nothing was changed", path.display())]
    Link { path: PathBuf },
    /// The file was moved or deleted while it was open.
    #[error("try again: the database was moved or deleted while it was open, and is opened again ({})", path.display())]
    Moved { path: PathBuf },
    /// Another file has its name; the open data is saved.
    #[error("another file replaced the open database {}; nothing more is written. Your data is saved as {}. Quit, and move away the file that you do not want", path.display(), saved.display())]
    Replaced { path: PathBuf, saved: PathBuf },
    /// The file was overwritten while it was open.
    #[error("try again: the open database was overwritten by a copy, and is read again ({})", path.display())]
    Overwritten { path: PathBuf },
    /// A backup never replaces a file.
    #[error("{} exists already: name a new file", path.display())]
    Exists { path: PathBuf },
    /// The folder for a new file does not exist.
    #[error("there is no folder {}: create it, or end the path with / and landfall creates it", path.display())]
    NoFolder { path: PathBuf },
    /// A restore requires that no process uses the database.
    #[error("{} is in use: quit every landfall that uses it, then restore", path.display())]
    InUse { path: PathBuf },
    /// The file is a backup, but not of this kind of database.
    #[error("{} is a backup of the other kind: use --data for a server's backup, and no --data for a profile's; nothing was changed", path.display())]
    OtherKind { path: PathBuf },
    /// The file named by the user cannot be read.
    #[error("cannot read {}: {what}", path.display())]
    Unreadable {
        path: PathBuf,
        /// The error of the system.
        what: String,
    },
    /// The disk is full.
    #[error("the disk is full: nothing was written. Make space and try again")]
    Full,
    /// The disk accepts no more data, for a reason that SQLite does not report.
    #[error(
        "the disk accepts no more data (a quota, a size limit, or a fault): nothing was written. Make space and try again"
    )]
    WriteFailed,
    /// The file or its folder cannot be written.
    #[error("cannot write {}: check the folder's permissions", path.display())]
    NotWritable { path: PathBuf },
    /// A sync to disk failed: the content of the file is uncertain.
    #[error(
        "the disk failed to sync: nothing was written. Landfall copies the database to a new file before it writes again"
    )]
    SyncFailed,
    /// Another write in the same transaction failed, and all were rolled back.
    #[error(
        "nothing was written, because another change in the same transaction failed: try again"
    )]
    RolledBack,
    /// The store differs from what the writing process expected.
    #[error("nothing was written, because the store has changed: it is loaded again")]
    Stale,
    /// Another process locks the file, longer than any write takes.
    #[error(
        "another landfall is writing to the database: if one is stopped (Ctrl-Z), continue or end it, then try again"
    )]
    Busy,
    /// Too many writes are pending.
    #[error("the disk is too slow, too many writes are pending: try again in a moment")]
    Overloaded,
    /// The thread that owns the file has ended.
    #[error("the database thread has stopped")]
    Stopped,
    /// The linked version of SQLite has known bugs that lose data.
    #[error("SQLite {0} is too old, 3.51.3 or newer is needed")]
    OldSqlite(&'static str),
    /// Any other error, in SQLite's words.
    #[error("database: {0}")]
    Other(String),
}

fn in_brackets(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(", {}", path.display()))
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|e| (e.code, e.extended_code));
        match code {
            Some((_, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC)) => Self::SyncFailed,
            Some((ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE)) => Self::Full,
            Some((_, SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE)) => Self::WriteFailed,
            // The last one occurs while a stopped process is opening the write-ahead log.
            Some((
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
                _,
            )) => Self::Busy,
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => Self::Corrupt {
                path: PathBuf::from("the database"),
                what: in_one_line(&error),
            },
            Some((
                ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied,
                _,
            )) => Self::NotWritable {
                path: PathBuf::from("the database"),
            },
            _ => Self::Other(in_one_line(&error)),
        }
    }
}

/// A message of SQLite may contain the statement, which has several lines, and bytes of the file, which
/// can be anything.
fn in_one_line(error: &rusqlite::Error) -> String {
    in_words(&error.to_string())
}

fn in_words(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    sanitize_line(&words).into_owned()
}

impl DbError {
    /// Returns the error of a failed write to a file, if it is about space on the disk.
    #[must_use]
    pub fn of_space(error: &std::io::Error) -> Option<Self> {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::StorageFull => Some(Self::Full),
            ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Some(Self::WriteFailed),
            _ => None,
        }
    }

    /// Whether the disk accepts no more data. What is stored can be read.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full | Self::WriteFailed)
    }

    /// Whether earlier reads of the file are out of date.
    #[must_use]
    pub const fn is_another_file(&self) -> bool {
        matches!(
            self,
            Self::Moved { .. } | Self::Replaced { .. } | Self::Overwritten { .. }
        )
    }

    /// Whether only a user can decide which file is the right one: nothing was changed, and trying
    /// again changes nothing.
    #[must_use]
    pub const fn needs_decision(&self) -> bool {
        matches!(
            self,
            Self::Several { .. }
                | Self::Misnamed { .. }
                | Self::TwoNames { .. }
                | Self::Link { .. }
                | Self::ForeignLog { .. }
                | Self::Missing { .. }
                | Self::Empty { .. }
        )
    }

    /// Adds the path to errors that name a file.
    #[must_use]
    pub fn at(self, file: &Path) -> Self {
        match self {
            Self::Corrupt { what, .. } => Self::Corrupt {
                path: file.to_owned(),
                what,
            },
            Self::NotWritable { .. } => Self::NotWritable {
                path: file.to_owned(),
            },
            other => other,
        }
    }
}
