//! Write transactions on a [`Database`].

use std::ops::{Deref, DerefMut};

use rusqlite::Connection;

use super::{Database, Refreshed};
use crate::sqlite::DbError;
use crate::sqlite::identity::{Drift, OpenFiles};
use crate::sqlite::opening;

/// A write transaction; dropping it rolls back.
#[derive(Debug)]
pub struct WriteTransaction<'a> {
    database: &'a mut Database,
}

impl<'a> WriteTransaction<'a> {
    /// Wraps a database in which a transaction has begun.
    pub(super) const fn of(database: &'a mut Database) -> Self {
        Self { database }
    }

    /// Commits and syncs. After `Ok`, the file that the next start opens contains the changes.
    ///
    /// # Errors
    /// [`DbError`]: nothing was written. With [`DbError::Moved`] and [`DbError::Replaced`] the commit
    /// is in doubt.
    pub fn commit(self) -> Result<(), DbError> {
        if self.is_over() {
            return Err(DbError::RolledBack);
        }
        let is_first = opening::is_log_empty(&self.database.path());
        if let Err(error) = self
            .database
            .connection
            .execute_batch("COMMIT")
            .map_err(DbError::from)
        {
            self.database.note(&error);
            return Err(error);
        }
        if self.database.drift()? == Drift::None {
            if is_first {
                self.database.note_log();
            }
            self.database
                .files
                .iter_mut()
                .for_each(OpenFiles::on_written);
            return Ok(());
        }
        let path = self.database.path();
        match self.database.check_files() {
            Ok(Refreshed::Same | Refreshed::Copied) => Ok(()),
            // Busy: another process is saving the newest copy, which may lack this commit.
            Ok(Refreshed::Moved) | Err(DbError::Busy) => Err(DbError::Moved { path }),
            Err(error) => Err(error),
        }
    }

    /// Whether an error has ended the transaction: SQLite rolls back when the disk is full.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.database.connection.is_autocommit()
    }
}

impl Deref for WriteTransaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.database.connection
    }
}

impl DerefMut for WriteTransaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.database.connection
    }
}

impl Drop for WriteTransaction<'_> {
    fn drop(&mut self) {
        if !self.is_over() {
            // fails after SQLite rolled back
            let _ = self.database.connection.execute_batch("ROLLBACK");
        }
    }
}
