//! The client's SQLite store, on a thread of its own: the single source of truth of a client.
//!
//! Everything that must not be lost is a row here before anything else happens: the outbox, the log
//! with its stored ranges, orphaned entries, watermarks, drafts and the journal. Writers pass a
//! [`Write`] to the thread and get a result when it is on disk. Writes that are pending at the same
//! time share one transaction and one sync. A [`Change`] only names *what* changed: readers query
//! the new state through a [`Reader`].

mod apply;
mod disk;
mod drafts;
pub mod maintenance;
mod query;
mod reader;
mod room_list;
mod rows;
mod schema;
mod search;
mod shared;
mod shown;
pub mod spool;
mod suspend;
#[cfg(test)]
mod tests;
mod truncate;
mod worker;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use disk::Disk;
pub use drafts::{Draft, DraftFile};
pub use reader::Reader;
pub use search::Hit;
pub use shown::{Aside, JournalRow, Line, LinkRow, Mine, OutboxCounts, OwnMark, Pending, RoomRow};

use self::worker::{StoreCallback, StoreJob, StoreWorker};
use super::limits::ClientLimits;
use super::persist::{Found, Loaded, Outcome, Query, Write};
use crate::protocol::{AccountId, InstanceId, RoomId};
use crate::sqlite::{self, Database, DbError};
use crate::system;

/// Maximum remembered processes of a store; hellos of older ones cannot arrive any more.
const INSTANCES_MAX: i64 = 1_000;
/// Changes that wait for a slow listener. With more it learns only that everything changed.
const CHANGES_MAX: usize = 256;

/// Maximum writes of an entry whose file was moved at that moment.
const MOVES_MAX: usize = 5;

/// A change in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// The log of a room, or its watermarks.
    Log(RoomId),
    /// Entries were added to the outbox.
    OutboxGrew,
    /// Anything in the outbox.
    Outbox,
    /// The core moved pending messages to another stage: sent, acknowledged or rejected.
    OutboxStages,
    /// The list of rooms.
    Rooms,
    Journal,
    /// Another process wrote, or too much changed to name it.
    Everything,
}

/// The account to enrol, and its server.
#[derive(Clone, Debug)]
pub struct EnrolmentRequest {
    /// The server's address; `None` for this machine's own server.
    pub url: Option<String>,
    pub invite: String,
    pub name: String,
}

/// A handle to the client's database: profile, rooms, logs, outbox, drafts and journal.
///
/// A thread of its own runs the jobs of all handles in groups, one transaction and one sync for
/// each group. A handle is cheap to clone; the thread ends when the last one is dropped.
///
/// Invariants:
/// - A result is reported only after its transaction is on disk.
/// - Jobs take effect in the order of their submission, each one completely or not at all.
/// - Changes are announced after they are on disk, and before the job is answered.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::UnboundedSender<StoreJob>,
    changes: broadcast::Sender<Change>,
    folder: PathBuf,
    is_older_copy: bool,
}

impl Store {
    /// Opens or makes the store of a profile folder, and starts its thread.
    ///
    /// # Errors
    /// [`DbError`]; a store of a newer version is not changed.
    pub fn open(folder: &Path) -> Result<Self, DbError> {
        let limits = ClientLimits::default();
        let db = Disk::open(folder)?.into_database();
        // bounded by the writers, who wait for results
        let (jobs, inbox) = mpsc::unbounded_channel();
        let changes = broadcast::Sender::new(CHANGES_MAX);
        let is_older_copy = db.is_older_copy();
        // made in advance, since the disk may be full later; an error is retried later
        let _ = DraftFile::make(folder);
        let worker = StoreWorker::new(folder, db, limits, changes.clone());
        system::spawn_worker("store", worker.run(inbox))
            .map_err(|error| DbError::Other(error.to_string()))?;
        Ok(Self {
            jobs,
            changes,
            folder: folder.to_owned(),
            is_older_copy,
        })
    }

    /// Whether a profile folder has a store.
    #[must_use]
    pub fn exists(folder: &Path) -> bool {
        Database::exists(folder, &schema::SCHEMA)
    }

    /// Whether the file is an older copy, restored since the store was last open.
    #[must_use]
    pub const fn is_older_copy(&self) -> bool {
        self.is_older_copy
    }

    /// A connection for a screen or a command that only reads.
    pub fn reader(&self) -> Result<Reader, DbError> {
        Reader::open(&self.folder)
    }

    /// Opens the file for drafts that the store cannot save.
    ///
    /// # Errors
    /// When the file cannot be made or read.
    pub fn draft_file(&self) -> std::io::Result<DraftFile> {
        DraftFile::open(&self.folder)
    }

    /// Subscribes to changes, also those of other processes (as [`Change::Everything`] or
    /// [`Change::Outbox`]).
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Reports a change that another process made.
    pub(crate) fn announce(&self, change: Change) {
        let _ = self.changes.send(change); // fails without a receiver, which is fine
    }

    /// Writes after all earlier writes. The result arrives when it is on disk; the write also
    /// happens if the result is not awaited. New entries are written again when the file was moved;
    /// their ids prevent duplicates.
    ///
    /// # Errors
    /// [`DbError`]: nothing was written. After [`DbError::Moved`] the write is in doubt.
    pub fn write(
        &self,
        write: Write,
    ) -> impl Future<Output = Result<Outcome, DbError>> + Send + use<> {
        let again = matches!(write, Write::Enqueue { .. }).then(|| (self.clone(), write.clone()));
        let first = self.call(|answer| StoreJob::Write(write, answer));
        async move {
            let mut result = first.await;
            for (store, write) in again
                .iter()
                .flat_map(|again| std::iter::repeat_n(again, MOVES_MAX))
            {
                if !matches!(result, Err(DbError::Moved { .. })) {
                    break;
                }
                result = store
                    .call(|answer| StoreJob::Write(write.clone(), answer))
                    .await;
            }
            result
        }
    }

    /// Sets the account that this profile is to become; its ids are made and synced before the server is asked.
    pub async fn set_enrolment(&self, enrolment: EnrolmentRequest) -> Result<(), DbError> {
        self.call(|answer| StoreJob::SetEnrolment(enrolment, answer))
            .await
    }

    /// Loads the state of a session, and registers this process as an instance of the store, unless
    /// the disk is full.
    pub async fn load(&self, instance: InstanceId) -> Result<Loaded, DbError> {
        match self.call(|answer| StoreJob::Load(instance, answer)).await {
            Err(error) if error.is_full() => {
                self.call(|answer| StoreJob::LoadReadOnly(instance, answer))
                    .await
            }
            loaded => loaded,
        }
    }

    /// Stops this process, or its whole process group, between two transactions. Returns when it is
    /// continued.
    pub async fn suspend(&self, with_group: bool) {
        // closed already
        let _ = self
            .call(|answer| StoreJob::Suspend(with_group, answer))
            .await;
    }

    /// Closes the file, and removes the files beside it if no other process reads. Nothing is
    /// written after that.
    pub async fn close(&self) {
        let _ = self.call(StoreJob::Close).await; // closed already
    }

    /// Writes for the core. After a failed write all later ones fail, until [`Store::load`]: they
    /// were made by a core that assumed the first one.
    pub(crate) fn write_dependent(
        &self,
        write: Write,
        answer: impl FnOnce(Result<Outcome, DbError>) + Send + 'static,
    ) {
        self.post(StoreJob::DependentWrite(write, Box::new(answer)));
    }

    /// Runs a query and calls back from the store's thread.
    pub(crate) fn find(
        &self,
        query: Query,
        answer: impl FnOnce(Result<Found, DbError>) + Send + 'static,
    ) {
        self.post(StoreJob::Find(query, Box::new(answer)));
    }

    fn call<T: Send + 'static, F: FnOnce(StoreCallback<T>) -> StoreJob>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<T, DbError>> + Send + use<T, F> {
        let (tx, rx) = oneshot::channel();
        self.post(job(Box::new(move |result| {
            let _ = tx.send(result); // the caller may have ended
        })));
        async { rx.await.unwrap_or(Err(DbError::Stopped)) }
    }

    fn post(&self, job: StoreJob) {
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job) {
            job.fail(&DbError::Stopped);
        }
    }
}

fn judged<T>(
    transaction: &mut sqlite::WriteTransaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let savepoint = transaction.savepoint()?;
    let result = work(&savepoint)?; // a dropped savepoint rolls back
    savepoint.commit()?;
    Ok(result)
}

fn load(db: &Connection, instance: InstanceId, limits: ClientLimits) -> Result<Loaded, DbError> {
    let sql = "INSERT OR IGNORE INTO instances (id, since) VALUES (?1, ?2)";
    db.execute(sql, rusqlite::params![instance, system::unix_ms() as i64])?;
    let oldest = "DELETE FROM instances WHERE since < (SELECT since FROM instances ORDER BY since DESC LIMIT 1 OFFSET ?1)";
    db.execute(oldest, [INSTANCES_MAX])?;
    query::load(db, instance, limits)
}

fn set_enrolment(db: &Connection, enrolment: &EnrolmentRequest) -> Result<(), DbError> {
    if let Some(url) = &enrolment.url {
        apply::set_meta(db, "url", url)?;
    }
    apply::set_meta(db, "invite", &enrolment.invite)?;
    if query::meta::<AccountId>(db, "wanted_account")?.is_none() {
        apply::set_meta(
            db,
            "wanted_account",
            AccountId::from_random(system::random()),
        )?;
    }
    apply::set_meta(db, "wanted_name", &enrolment.name)
}
