//! The note beside a database file: which checkpoints the file itself may contain.
//!
//! A write-ahead log belongs to one state of its file. If a file is restored from a copy while the
//! log of the newer one stays, SQLite applies the log and silently corrupts the database. So each
//! of our checkpoints has an id. It is written into the database, and noted here and synced before
//! the checkpoint starts (the old one and the new one while it runs). A file whose id is not noted
//! does not belong to the log beside it. The note also contains whether the log has commits: if it
//! had, and is missing, it was removed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::identity::{Stamp, with_ending};

/// Ending of the note's name.
pub(super) const ENDING: &str = "-checkpoint";
/// Maximum wait for a note's lock while another process has it.
const LOCK_MAX: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
const HEADER: &str = "landfall checkpoints";
const LOG: &str = "log";

/// Whether the write-ahead log contains commits that the file lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogState {
    Empty,
    HasCommits,
}

/// The content of a note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Noted {
    /// The checkpoints that the file may contain: two different ones while one runs.
    pub(super) ids: [u32; 2],
    pub(super) log: LogState,
}

/// The note, locked against other landfall processes while this value exists. If no file can be
/// made, nothing is locked.
#[derive(Debug)]
pub(super) struct Note {
    file: Option<File>,
}

impl Note {
    /// The content of the note beside a file, without making or locking one.
    pub(super) fn peek(path: &Path) -> Option<Noted> {
        Self {
            file: Some(File::open(with_ending(path, ENDING)).ok()?),
        }
        .read()
    }

    /// Waits for the lock.
    pub(super) fn lock(path: &Path) -> io::Result<Self> {
        let mut pauses = LOCK_MAX.as_millis() / LOCK_PAUSE.as_millis();
        loop {
            if let Some(note) = Self::try_lock(path)? {
                return Ok(note);
            }
            pauses = pauses.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
            std::thread::sleep(LOCK_PAUSE); // as SQLite waits for its own locks
        }
    }

    /// `None` while another process has the lock.
    pub(super) fn try_lock(path: &Path) -> io::Result<Option<Self>> {
        let name = with_ending(path, ENDING);
        loop {
            let Some(file) = open(&name)? else {
                return Ok(Some(Self { file: None }));
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                // the file system has no locks
                Err(TryLockError::Error(_)) => return Ok(Some(Self { file: Some(file) })),
            }
            let is_named =
                Stamp::of(&name)?.map(|stamp| stamp.id) == Some(Stamp::from(&file.metadata()?).id);
            if is_named {
                return Ok(Some(Self { file: Some(file) }));
            }
        }
    }

    /// Returns the noted ids; `None` if there is no readable note.
    pub(super) fn ids(&self) -> Option<[u32; 2]> {
        self.read().map(|noted| noted.ids)
    }

    /// Returns the content; `None` when there is no readable note.
    pub(super) fn read(&self) -> Option<Noted> {
        let mut bytes = [0; 128];
        let read = self.file.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..read]).ok()?;
        let mut words = text
            .lines()
            .next()?
            .strip_prefix(HEADER)?
            .split_whitespace();
        let ids = [(); 2].map(|()| u32::from_str_radix(words.next()?, 16).ok());
        let log = if words.next() == Some(LOG) {
            LogState::HasCommits
        } else {
            LogState::Empty
        };
        Some(Noted {
            ids: [ids[0]?, ids[1]?],
            log,
        })
    }

    /// Writes the ids and the state of the log, and syncs. The length is constant, so the write
    /// succeeds on a full disk too.
    pub(super) fn write(&self, ids: [u32; 2], log: LogState) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        let log = if log == LogState::HasCommits {
            LOG
        } else {
            "-"
        };
        let text = format!("{HEADER} {:08x} {:08x} {log:<3}\n", ids[0], ids[1]);
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()
    }
}

/// Opens the note for writing, or only for reading if that is all that its permissions allow.
fn open(name: &PathBuf) -> io::Result<Option<File>> {
    let writable = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(name);
    match writable.or_else(|_| File::open(name)) {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
