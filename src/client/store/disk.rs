//! The store's file without a thread: one request is one transaction. The thread groups requests; a
//! simulation does not.

use std::path::Path;

use super::{EnrolmentRequest, apply, judged, load, query, schema, set_enrolment, spool};
use crate::client::limits::ClientLimits;
use crate::client::persist::{Found, Loaded, Outcome, Query, Write};
use crate::protocol::{DeviceId, InstanceId, Token};
use crate::sqlite::{Database, DbError};
use crate::system;

/// An open store file.
#[derive(Debug)]
pub struct Disk {
    db: Database,
    limits: ClientLimits,
    /// Whether a write of the core failed: further writes are rejected until a reload.
    is_broken: bool,
}

impl Disk {
    /// Opens or makes the store of a profile folder.
    ///
    /// # Errors
    /// [`DbError`]; a store of a newer version is not changed.
    pub fn open(folder: &Path) -> Result<Self, DbError> {
        Self::open_with(folder, ClientLimits::default())
    }

    /// Opens a store with the given limits.
    pub fn open_with(folder: &Path, limits: ClientLimits) -> Result<Self, DbError> {
        let mut db = Database::open(folder, &schema::SCHEMA)?;
        if query::meta::<DeviceId>(&db, "device")?.is_none() {
            let founding = db.write()?;
            let (device, token) = (
                DeviceId::from_random(system::random()),
                Token::from_random(system::random()),
            );
            apply::initialise_identity(&founding, device, token.expose())?;
            founding.commit()?;
            db.checkpoint(); // a copy of the file alone has it
        }
        let mut disk = Self {
            db,
            limits,
            is_broken: false,
        };
        spool::take_over(folder, |entries| {
            disk.write(&Write::Enqueue {
                entries,
                clears_draft: false,
            })
        });
        Ok(disk)
    }

    /// Writes and syncs.
    ///
    /// # Errors
    /// [`DbError`]: nothing was written.
    pub fn write(&mut self, write: &Write) -> Result<Outcome, DbError> {
        let limits = self.limits;
        self.commit(|db| apply::apply(db, write, limits))
    }

    /// Writes something that depends on all earlier writes of the core: after a failed one, all
    /// later ones fail, until [`Disk::load`]. `fails` makes this one fail.
    ///
    /// # Errors
    /// [`DbError`]: nothing was written.
    pub fn write_dependent(&mut self, write: &Write, fails: bool) -> Result<Outcome, DbError> {
        if self.is_broken {
            return Err(DbError::RolledBack);
        }
        let result = if fails {
            Err(DbError::Full)
        } else {
            self.write(write)
        };
        self.is_broken |= result.is_err();
        result
    }

    /// Loads the state of a session, and registers this process as an instance of the store.
    pub fn load(&mut self, instance: InstanceId) -> Result<Loaded, DbError> {
        let limits = self.limits;
        let loaded = self.commit(|db| load(db, instance, limits))?;
        self.is_broken = false;
        Ok(loaded)
    }

    /// Sets the account that this profile is to become.
    pub fn set_enrolment(&mut self, enrolment: &EnrolmentRequest) -> Result<(), DbError> {
        self.commit(|db| set_enrolment(db, enrolment))
    }

    /// Runs a query on the latest committed state.
    pub fn find(&mut self, query: &Query) -> Result<Found, DbError> {
        self.refresh()?;
        query::find(&self.db, query, self.limits)
    }

    /// Whether the file is an older copy, restored since the store was last open.
    #[must_use]
    pub const fn is_older_copy(&self) -> bool {
        self.db.is_older_copy()
    }

    /// Returns the file, for the thread that groups writes.
    pub(super) fn into_database(self) -> Database {
        self.db
    }

    /// Checks the file. After a change of its generation the core has to reload: the copy may be of
    /// a file that was overwritten before it was saved.
    fn refresh(&mut self) -> Result<(), DbError> {
        let before = self.db.generation();
        let refreshed = self.db.refresh();
        let is_another = refreshed
            .as_ref()
            .err()
            .is_some_and(DbError::is_another_file);
        self.is_broken |= is_another || before != self.db.generation();
        refreshed
    }

    fn commit<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.refresh()?;
        let mut transaction = match self.db.write() {
            Ok(transaction) => transaction,
            Err(error) => {
                self.is_broken |= error.is_another_file();
                return Err(error);
            }
        };
        let result = judged(&mut transaction, work)?;
        transaction.commit()?;
        Ok(result)
    }
}
