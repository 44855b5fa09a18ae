//! Saves a database whose file is suspect, deleted, replaced or overwritten while it is open.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{Database, Refreshed};
use crate::sqlite::generation::{self, path, suspect_marker};
use crate::sqlite::identity::{OpenFiles, Stamp, wal, with_ending};
use crate::sqlite::note::{self, Note};
use crate::sqlite::opening::{self, reader};
use crate::sqlite::scalar;
use crate::sqlite::{DbError, backup, names};
use crate::system;

/// The source of a deleted file once it was copied; the number of the copy follows.
const SUPERSEDED: &str = "superseded by ";
/// Longer than the interval at which a process checks its files, ms.
const SUCCESSOR_WAIT_MS: u64 = 15_000;

impl Database {
    /// Replaces the open file, which has lost its name, by a copy of it. The note is removed after
    /// the copy is open: a process that waits for its lock then finds the copy.
    pub(super) fn replace_by(&mut self, generation: u32) -> Result<(), DbError> {
        let next = Self::of_generation(&self.folder, self.schema, generation, self.writes)?;
        self.note_successor(generation);
        self.files.iter().for_each(OpenFiles::remove_names);
        generation::remove(&self.folder, &self.path(), &[note::ENDING]);
        *self = next;
        Ok(())
    }

    /// Copies the readable content of a suspect file to the next generation, and syncs that.
    pub(super) fn copy_suspect(&mut self) -> Result<Refreshed, DbError> {
        // the marker: without it, a power cut leaves two files of which neither is marked
        generation::sync(&self.folder)?;
        // prevents writes and copies of other processes
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let copied = match self.next_generation() {
            Some(_) => Ok(Refreshed::Moved), // another process made it while this one waited
            // SQLite cannot copy from a connection that has the lock.
            None => reader(&self.path())
                .and_then(|source| self.copy_from(&source, None))
                .map(|_| Refreshed::Copied),
        };
        self.connection.execute_batch("ROLLBACK")?;
        let copied = copied?;
        let next = self
            .next_generation()
            .ok_or_else(|| DbError::Moved { path: self.path() })?;
        self.replace_by(next)?;
        Ok(copied)
    }

    /// The names refer to other files, or to none: one process saves the open data for all.
    pub(super) fn rescue(&mut self) -> Result<Refreshed, DbError> {
        let path = self.path();
        if !self.writes {
            return Err(DbError::Moved { path });
        }
        // the folder may be missing too
        std::fs::create_dir_all(&self.folder).map_err(|error| self.io_error(&error))?;
        let main = Stamp::of(&path).map_err(|error| self.io_error(&error))?;
        let files = self.files.as_ref();
        let is_ours = main.is_some_and(|main| files.is_some_and(|files| main.id == files.main.id));
        let note = Note::lock(&path).map_err(|error| self.io_error(&error))?;
        if let Some(next) = self.next_generation() {
            self.follow(next)?; // another process saved it while this one waited
            return Ok(Refreshed::Moved);
        }
        let noted = note.ids();
        if is_ours
            && files
                .is_some_and(|files| files.is_overwritten(noted.as_ref().map(<[u32; 2]>::as_slice)))
        {
            drop(note); // following it locks the note again
            return self.on_overwritten();
        }
        let successor = self.successor()?;
        if successor.is_some() && !self.has_waited_for_successor() {
            return Err(DbError::Busy);
        }
        let has_foreign_log = Stamp::of(&wal(&path)).is_ok_and(|log| log.is_some());
        let is_taken = if is_ours {
            has_foreign_log
        } else {
            main.is_some()
        };
        if is_ours && !is_taken {
            // so that the remaining files are not taken for another database
            let _ = File::create(suspect_marker(&path));
            generation::sync(&self.folder)?;
        }
        let next = self.copy_from(&self.connection, successor)?;
        let saved = generation::path(&self.folder, self.schema, next);
        if is_taken {
            tracing::error!(file = %path.display(), saved = %saved.display(), "replaced by another file while it was open");
            let ended = DbError::Replaced { path, saved };
            self.ended = Some(ended.clone());
            return Err(ended);
        }
        tracing::error!(file = %path.display(), saved = %saved.display(), "deleted or moved while it was open: saved");
        self.replace_by(next)?;
        Ok(Refreshed::Copied)
    }

    /// The files were overwritten in place, for example by an older copy: the former content is
    /// lost.
    pub(super) fn on_overwritten(&mut self) -> Result<Refreshed, DbError> {
        let path = self.path();
        tracing::error!(file = %path.display(), "overwritten while it was open: read again from the disk");
        self.files
            .as_ref()
            .map_or(Ok(()), OpenFiles::forget_index)
            .map_err(|error| self.io_error(&error))?;
        let generation = generation::current(&self.folder, self.schema)?.unwrap_or(1);
        self.go_on_with(generation)?;
        Err(DbError::Overwritten { path })
    }

    /// The generation that another process made from the deleted file that is open here. It may
    /// contain later commits, so it must not be replaced by a second copy of this file.
    fn successor(&self) -> Result<Option<u32>, DbError> {
        let source =
            self.connection
                .query_row("SELECT source FROM file", [], scalar::<Option<String>>);
        let source = source.optional()?.flatten();
        Ok(source.and_then(|source| source.strip_prefix(SUPERSEDED)?.parse().ok()))
    }

    /// Whether the processes that have the newer copy open have had time to save it: each checks
    /// its files at intervals.
    fn has_waited_for_successor(&mut self) -> bool {
        let now = system::unix_ms();
        let since = *self.successor_lost_at.get_or_insert(now);
        now.saturating_sub(since) >= SUCCESSOR_WAIT_MS
    }

    /// Continues with a generation that another process made from the open file.
    pub(super) fn follow(&mut self, generation: u32) -> Result<(), DbError> {
        let next = Self::of_generation(&self.folder, self.schema, generation, self.writes)?;
        if self.writes && !matches!(self.successor(), Ok(Some(_))) {
            self.note_successor(generation);
        }
        *self = next;
        Ok(())
    }

    /// Marks the deleted file, so that every process that has it open learns that a copy is in use.
    fn note_successor(&self, next: u32) {
        let noted = self.connection.execute(
            "UPDATE file SET source = ?1",
            [format!("{SUPERSEDED}{next}")],
        );
        if let Err(error) = noted {
            // on a full disk, for example
            tracing::warn!(%error, "a deleted file could not be marked as copied");
        }
    }

    /// Makes the next generation from the content that a connection reads, numbered above
    /// `successor`.
    fn copy_from(&self, source: &Connection, successor: Option<u32>) -> Result<u32, DbError> {
        let newest = successor.map_or(self.generation, |successor| successor.max(self.generation));
        let number = generation::next_free(&self.folder, self.schema, newest);
        let next = path(&self.folder, self.schema, number);
        let fresh = names::fresh_name(&next);
        let made = self.fill_copy(source, &fresh, number, &next);
        let _ = std::fs::remove_file(&fresh); // it has its final name now, or is useless
        made.map(|()| number)
    }

    fn fill_copy(
        &self,
        source: &Connection,
        fresh: &Path,
        number: u32,
        next: &Path,
    ) -> Result<(), DbError> {
        let copy = backup::copy(source, fresh).map_err(|error| error.at(next))?;
        let origin = rusqlite::params![number, self.generation, self.source()];
        copy.execute(
            "UPDATE file SET generation = ?1, parent = ?2, source = ?3",
            origin,
        )?;
        // distinguishes the copy from its source
        copy.pragma_update(None, "application_id", opening::checkpoint_id())?;
        drop(copy);
        // left by an earlier file of this name
        let _ = std::fs::remove_file(with_ending(next, note::ENDING));
        // The new file is suspect too until its name is on the disk.
        File::create(suspect_marker(next)).map_err(|error| self.io_error(&error))?;
        if !generation::publish(fresh, next)? {
            return Err(DbError::Several {
                one: self.path(),
                other: next.to_owned(),
            });
        }
        let _ = std::fs::remove_file(suspect_marker(next));
        tracing::warn!(file = %next.display(), "copied and synced");
        Ok(())
    }
}
