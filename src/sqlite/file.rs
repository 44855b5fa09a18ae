//! A database file with one connection to it, over all generations.
//!
//! After a failed sync, the content of a file on the disk is unknown: the system may have dropped
//! the pages and marked them as written, and the next sync succeeds (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). Such a file is marked as suspect,
//! and is not used again until it was copied to a new file and synced. A file whose name was
//! deleted or replaced while it was open is copied in the same way, from the open descriptors.
//! Other processes detect this before their next write.
//!
//! SQLite's automatic checkpoints are off, since they hide failed syncs. Checkpoints are made here,
//! and noted before they start.

mod saving;
mod transaction;

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite_migration::Migrations;

pub use self::transaction::WriteTransaction;
use super::generation::{self, path, suspect_marker};
use super::identity::{Drift, OpenFiles, Origin, wal};
use super::note::{LogState, Note};
use super::opening::{self, BUSY_MAX, Connected, connect};
use super::{DbError, backup};
use crate::planted_bug::planted_bug;
use crate::sqlite::scalar;
use crate::system;

/// Size of the write-ahead log from which a checkpoint empties it, bytes.
const WAL_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Older versions can lose a commit when two checkpoints race.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Maximum step between the ids of checkpoints. Steps are random, so that two diverged copies of a
/// file do not get the same id.
const CHECKPOINT_STEP_MAX: u32 = 1_000_000;

/// The name and schema of a kind of database file.
#[derive(Debug)]
pub struct Schema {
    /// The file's name without its extension.
    pub name: &'static str,
    /// The migrations; [`FILE_TABLE`](super::FILE_TABLE) is one of them.
    pub migrations: &'static LazyLock<Migrations<'static>>,
    /// The newest version that this program knows.
    pub version: i64,
    /// A table that only this kind of database has.
    pub signature: &'static str,
}

/// A connection to the current generation of a database file. It owns the connection, and the
/// identities of the file, its write-ahead log and its index.
///
/// [`Database::write`] starts a transaction, [`WriteTransaction::commit`] makes it durable. Call
/// [`Database::refresh`] before reading, and at intervals when idle: it detects files that were
/// deleted, replaced or overwritten.
///
/// Invariants:
/// - A commit is reported only if the next start opens a file that contains it.
/// - After a failed sync, the file is not written any more, but copied to the next generation.
/// - A foreign file under the database's name is never written.
#[derive(Debug)]
pub struct Database {
    schema: &'static Schema,
    folder: PathBuf,
    generation: u32,
    writes: bool,
    connection: Connection,
    /// Dropped after the connection: see [`MainFile`](super::identity::MainFile). None while the
    /// database is closed; the connection is then an empty one in memory.
    files: Option<OpenFiles>,
    origin: Option<Origin>,
    /// Set once nothing more is written, because another file has the name.
    ended: Option<DbError>,
    /// When this connection detected that the copy of its deleted file is missing too, ms since
    /// 1970.
    successor_lost_at: Option<u64>,
    is_older_copy: bool,
}

/// The result of a refresh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Refreshed {
    /// The file is unchanged.
    Same,
    /// This connection copied all that it had written to the next generation.
    Copied,
    /// Another file is open, or the same one was opened again: the latest commit may be missing in
    /// it.
    Moved,
}

impl Database {
    /// Opens a folder's file for writing, creates it if it is missing, and migrates it to the
    /// newest version.
    ///
    /// # Errors
    /// A file of a newer version is not changed.
    pub fn open(folder: &Path, schema: &'static Schema) -> Result<Self, DbError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(DbError::OldSqlite(rusqlite::version()));
        }
        opening::sweep(folder, schema);
        let generation = match generation::current(folder, schema)? {
            Some(generation) => generation,
            None => {
                opening::create(folder, schema)?;
                1
            }
        };
        let mut database = Self::of_generation(folder, schema, generation, true)?;
        database.refresh()?;
        Ok(database)
    }

    /// Opens a second connection that only reads. The file must exist.
    pub fn open_reader(folder: &Path, schema: &'static Schema) -> Result<Self, DbError> {
        let generation = generation::current(folder, schema)?.unwrap_or(1);
        Self::of_generation(folder, schema, generation, false)
    }

    fn of_generation(
        folder: &Path,
        schema: &'static Schema,
        generation: u32,
        writes: bool,
    ) -> Result<Self, DbError> {
        let path = path(folder, schema, generation);
        let Connected {
            connection,
            files,
            origin,
            is_older_copy,
        } = connect(&path, schema, writes).map_err(|error| error.at(&path))?;
        if is_older_copy {
            tracing::warn!(file = %path.display(), "the latest changes may be missing: the file was replaced by an older copy, or its -wal was removed");
        }
        Ok(Self {
            schema,
            folder: folder.to_owned(),
            generation,
            writes,
            connection,
            files: Some(files),
            origin,
            ended: None,
            successor_lost_at: None,
            is_older_copy,
        })
    }

    /// Writes a backup of all that is committed into a new file, also while other processes write.
    ///
    /// # Errors
    /// [`DbError::Exists`] when the name is taken.
    pub fn back_up(&self, to: &Path) -> Result<(), DbError> {
        backup::back_up(&self.connection, to).map_err(|error| match error {
            DbError::Corrupt { .. } => error.at(&self.path()),
            _ => error.at(to),
        })
    }

    /// Checks the database of a folder, which may be in use: its pages, tables and references, then
    /// with `more`.
    pub fn check_folder<T>(
        folder: &Path,
        schema: &'static Schema,
        more: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let database = Self::open_reader(folder, schema)?;
        backup::check(&database.connection, &database.path(), schema)?;
        more(&database.connection)
    }

    /// Checks a file that is a copy of such a database: its pages and references, then with `more`.
    pub fn check_copy<T>(
        file: &Path,
        schema: &Schema,
        more: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let copy = backup::open_copy(file, schema)?;
        let checked = backup::check(&copy, file, schema).and_then(|()| more(&copy));
        checked.map_err(|error| error.at(file))
    }

    /// Whether the file is older than at its last use: a copy was restored, or its write-ahead log
    /// was removed.
    #[must_use]
    pub const fn is_older_copy(&self) -> bool {
        self.is_older_copy
    }

    /// Returns the generation that is open; it changes when the file is copied.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether a folder has such a file, or something that only a user can distinguish from one.
    #[must_use]
    pub fn exists(folder: &Path, schema: &Schema) -> bool {
        !matches!(generation::current(folder, schema), Ok(None))
    }

    /// Checks the files, and continues with the current generation. If this connection writes,
    /// copies a suspect file first.
    ///
    /// # Errors
    /// [`DbError`]: nothing can be written while the disk does not sync, or another file
    /// has the name.
    pub fn refresh(&mut self) -> Result<(), DbError> {
        self.check_files().map(|_| ())
    }

    fn check_files(&mut self) -> Result<Refreshed, DbError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let mut refreshed = Refreshed::Same;
        loop {
            match self.drift()? {
                Drift::None if self.writes && suspect_marker(&self.path()).exists() => {
                    refreshed = refreshed.max(self.copy_suspect()?);
                }
                Drift::None => return Ok(refreshed),
                Drift::Index => {
                    self.close()?;
                    self.go_on_with(self.generation)?;
                    tracing::warn!(file = %self.path().display(), "the index of the write-ahead log was lost: opened again");
                    refreshed = Refreshed::Moved;
                }
                Drift::Touched if self.accepts()? => {}
                Drift::Touched => return self.on_overwritten(),
                Drift::Lost => match self.next_generation() {
                    Some(next) => {
                        self.follow(next)?;
                        refreshed = Refreshed::Moved;
                    }
                    None => refreshed = refreshed.max(self.rescue()?),
                },
            }
        }
    }

    /// Begins to write. Dropped without [`WriteTransaction::commit`], nothing of it happened.
    pub fn write(&mut self) -> Result<WriteTransaction<'_>, DbError> {
        loop {
            self.refresh()?;
            self.empty_grown_wal();
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let found = opening::version(&self.connection)?;
            if self.drift()? == Drift::None
                && !suspect_marker(&self.path()).exists()
                && found <= self.schema.version
            {
                return Ok(WriteTransaction::of(self));
            }
            self.connection.execute_batch("ROLLBACK")?; // another file was opened while this one waited
            if found > self.schema.version {
                return Err(DbError::Newer {
                    path: self.path(),
                    found,
                    known: self.schema.version,
                });
            }
        }
    }

    fn path(&self) -> PathBuf {
        path(&self.folder, self.schema, self.generation)
    }

    fn drift(&self) -> Result<Drift, DbError> {
        if planted_bug!(LostFileTaken) {
            return Ok(Drift::None);
        }
        let drift = self
            .files
            .as_ref()
            .map_or(Ok(Drift::Index), OpenFiles::drift);
        drift.map_err(|error| self.io_error(&error))
    }

    fn accepts(&mut self) -> Result<bool, DbError> {
        // While this is locked, no process of ours makes a checkpoint.
        let note = Note::lock(&self.path()).map_err(|error| self.io_error(&error))?;
        let noted = note.ids();
        let accepted = self.files.as_mut().map_or(Ok(false), |files| {
            files.accept(noted.as_ref().map(<[u32; 2]>::as_slice))
        });
        accepted.map_err(|error| self.io_error(&error))
    }

    /// Closes everything: SQLite keeps an index open as long as any connection of the process has
    /// it.
    fn close(&mut self) -> Result<(), DbError> {
        self.connection = Connection::open_in_memory()?;
        self.files = None;
        Ok(())
    }

    /// The write-ahead log that is open, as the source of a copy.
    fn source(&self) -> Option<String> {
        Some(self.files.as_ref()?.wal_id()?.as_source())
    }

    fn io_error(&self, error: &std::io::Error) -> DbError {
        match error.kind() {
            std::io::ErrorKind::TimedOut => DbError::Busy,
            _ => DbError::of_space(error)
                .unwrap_or_else(|| DbError::Other(format!("{}: {error}", self.path().display()))),
        }
    }

    /// Returns a newer generation that was copied from this file, if there is one.
    fn next_generation(&self) -> Option<u32> {
        let source = self.source();
        let is_source = |origin: &Origin| origin.source == source;
        let origin = self.origin.as_ref()?;
        generation::successor(
            &self.folder,
            self.schema,
            (self.generation, origin),
            is_source,
        )
    }

    fn go_on_with(&mut self, generation: u32) -> Result<(), DbError> {
        *self = Self::of_generation(&self.folder, self.schema, generation, self.writes)?;
        Ok(())
    }

    /// Records a failed sync on disk, so that the next process knows of it.
    fn note(&self, error: &DbError) {
        if matches!(error, DbError::SyncFailed) {
            tracing::error!(file = %self.path().display(), "a sync failed: the file is copied before it is used again");
            // Other processes see the marker at once; it is synced before the copy is made.
            let _ = File::create(suspect_marker(&self.path()));
        }
    }

    /// Notes that the log contains commits, after the first commit behind a checkpoint. A note
    /// before the commit could outlive a process that never made the commit. Without a note, a
    /// removed log cannot be detected.
    fn note_log(&self) {
        let path = self.path();
        let Ok(note) = Note::lock(&path) else { return };
        if opening::is_log_empty(&path) {
            return; // another process moved it into the file meanwhile
        }
        let checkpoint = || Some([self.files.as_ref()?.main.checkpoint().ok()?; 2]);
        if let Some(ids) = note.ids().or_else(checkpoint) {
            let _ = note.write(ids, LogState::HasCommits); // as above
        }
    }

    fn empty_grown_wal(&mut self) {
        if wal(&self.path())
            .metadata()
            .is_ok_and(|file| file.len() > WAL_BYTES_MAX)
        {
            self.checkpoint();
        }
    }

    /// Moves the write-ahead log into the file, as far as readers permit; then a copy of the file
    /// alone is complete.
    pub fn checkpoint(&mut self) {
        // another process is in the way: at the next write again
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let done = self.checkpoint_noted();
        let _ = self.connection.busy_timeout(BUSY_MAX);
        if let Err(error) = done {
            self.note(&error);
        }
        self.files.iter_mut().for_each(OpenFiles::on_checkpoint);
    }

    fn checkpoint_noted(&self) -> Result<(), DbError> {
        let io_error = |error: std::io::Error| self.io_error(&error);
        let Some(files) = self
            .files
            .as_ref()
            .filter(|files| matches!(files.drift(), Ok(Drift::None)))
        else {
            return Ok(()); // refreshed before the next write
        };
        let Some(note) = Note::try_lock(&self.path()).map_err(io_error)? else {
            return Ok(());
        };
        if opening::is_log_empty(&self.path()) {
            return Ok(());
        }
        let logical: i64 = self
            .connection
            .query_row("PRAGMA application_id", [], scalar)?;
        let random = u32::from_le_bytes(system::random());
        let next = (logical as u32).wrapping_add(1 + random % CHECKPOINT_STEP_MAX);
        let current = files.main.checkpoint().map_err(io_error)?;
        if note.ids() != Some([current, current]) {
            // After an unfinished checkpoint, pages read from the file may not be on the disk, but
            // the note would be.
            files.main.sync().map_err(|_| DbError::SyncFailed)?;
        }
        note.write([current, next], LogState::HasCommits)
            .map_err(io_error)?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let numbered = self
            .connection
            .pragma_update(None, "application_id", next.cast_signed());
        self.connection.execute_batch(if numbered.is_ok() {
            "COMMIT"
        } else {
            "ROLLBACK"
        })?;
        let is_busy =
            self.connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], scalar::<i64>)?;
        if is_busy == 0 {
            note.write([next, next], LogState::Empty)
                .map_err(io_error)?;
        }
        Ok(())
    }
}

impl Deref for Database {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.writes {
            self.checkpoint();
        }
    }
}

#[cfg(test)]
mod tests;
