//! The thread that owns the store's file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Change, EnrolmentRequest, apply, judged, load, query, set_enrolment, spool, suspend};
use crate::client::limits::ClientLimits;
use crate::client::persist::{Found, Loaded, NewEntry, Outcome, Query, Write};
use crate::peers::{News, Peers};
use crate::planted_bug::planted_bug;
use crate::protocol::{AccountId, InstanceId};
use crate::sqlite::{self, Database, DbError};
use crate::system;

/// Maximum writes in one transaction.
const GROUP_MAX: usize = 64;
/// Interval between two checks of the files.
pub(super) const LOOK_PAUSE: Duration = Duration::from_secs(10);

pub(super) type StoreCallback<T> = Box<dyn FnOnce(Result<T, DbError>) + Send>;

/// A job of the store's thread, with the callback for its result.
pub(super) enum StoreJob {
    Write(Write, StoreCallback<Outcome>),
    /// A write of the core, which depends on all of its earlier writes.
    DependentWrite(Write, StoreCallback<Outcome>),
    Find(Query, StoreCallback<Found>),
    Load(InstanceId, StoreCallback<Loaded>),
    /// Loads on a full disk, without registering this process.
    LoadReadOnly(InstanceId, StoreCallback<Loaded>),
    SetEnrolment(EnrolmentRequest, StoreCallback<()>),
    /// Stops this process between two transactions, so no other process waits for its lock.
    /// Continues when the process is continued.
    Suspend(bool, StoreCallback<()>),
    /// The last job: moves the write-ahead log into the file, which is then complete on its own.
    Close(StoreCallback<()>),
}

impl StoreJob {
    pub(super) fn fail(self, error: &DbError) {
        match self {
            Self::Write(_, answer) | Self::DependentWrite(_, answer) => answer(Err(error.clone())),
            Self::Find(_, answer) => answer(Err(error.clone())),
            Self::Load(_, answer) | Self::LoadReadOnly(_, answer) => answer(Err(error.clone())),
            Self::SetEnrolment(_, answer) | Self::Suspend(_, answer) | Self::Close(answer) => {
                answer(Err(error.clone()))
            }
        }
    }

    /// The answer to a job whose group failed before it.
    fn unfinished(self) -> Finish {
        Box::new(move |failed| self.fail(failed.unwrap_or(&DbError::RolledBack)))
    }

    /// Whether the job runs outside of a transaction, after all earlier jobs.
    const fn is_alone(&self) -> bool {
        matches!(self, Self::Suspend(..) | Self::Close(_))
    }

    const fn enqueues(&self) -> bool {
        matches!(self, Self::Write(Write::Enqueue { .. }, _))
    }

    const fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Find(..) | Self::LoadReadOnly(..) | Self::Suspend(..) | Self::Close(_)
        )
    }
}

/// Answers a job once its group is on disk.
type Finish = Box<dyn FnOnce(Option<&DbError>) + Send>;

/// The store's thread: runs jobs in groups, one transaction and one sync for each group.
pub(super) struct StoreWorker {
    folder: PathBuf,
    pub(super) db: Database,
    limits: ClientLimits,
    generation: u32,
    /// A write of the core has failed: see [`Store::write_dependent`](super::Store::write_dependent).
    is_broken: bool,
    changes: broadcast::Sender<Change>,
    peers: Peers,
}

impl StoreWorker {
    pub(super) fn new(
        folder: &Path,
        db: Database,
        limits: ClientLimits,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        let generation = db.generation();
        let peers = Peers::new(folder);
        let folder = folder.to_owned();
        Self {
            folder,
            db,
            limits,
            generation,
            is_broken: false,
            changes,
            peers,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<StoreJob>) {
        let mut group = Vec::new();
        let mut looks = interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.next(&mut looks, &mut inbox, &mut group).await {
            system::sim_disk_delay().await;
            let mut group = std::mem::take(&mut group);
            if group.iter().any(StoreJob::enqueues) {
                self.take_over_spool(); // typed before the new entries
            }
            while let Some(at) = group.iter().position(StoreJob::is_alone) {
                let behind = group.split_off(at + 1);
                let alone = group.pop();
                self.run_group(group);
                match alone {
                    Some(StoreJob::Close(answer)) => {
                        drop(self.db);
                        return answer(Ok(()));
                    }
                    Some(StoreJob::Suspend(with_group, answer)) => {
                        suspend::stop(with_group);
                        answer(Ok(()));
                    }
                    _ => {}
                }
                group = behind;
            }
            self.run_group(group);
        }
        let _ = self.db.pragma_update(None, "optimize", ""); // an optimization at the end
    }

    /// Waits for the next jobs. Every [`LOOK_PAUSE`] it also checks the files: a deleted store is
    /// saved, and spooled entries are moved into the outbox.
    async fn next(
        &mut self,
        looks: &mut Interval,
        inbox: &mut mpsc::UnboundedReceiver<StoreJob>,
        group: &mut Vec<StoreJob>,
    ) -> bool {
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    let looked = self.db.refresh();
                    self.on_result(&looked);
                    self.take_over_spool();
                }
                count = inbox.recv_many(group, GROUP_MAX) => return count > 0,
            }
        }
    }

    fn take_over_spool(&mut self) {
        let folder = self.folder.clone();
        spool::take_over(&folder, |entries| self.enqueue(entries));
    }

    /// Adds entries to the outbox in a transaction of their own, outside of the inbox.
    fn enqueue(&mut self, entries: Vec<NewEntry>) -> Result<Outcome, DbError> {
        let (tx, mut rx) = oneshot::channel();
        let answer = Box::new(move |result| drop(tx.send(result))); // received below
        self.run_group(vec![StoreJob::Write(
            Write::Enqueue {
                entries,
                clears_draft: false,
            },
            answer,
        )]);
        rx.try_recv().unwrap_or(Err(DbError::Stopped)) // a group answers each of its jobs
    }

    /// After a change of file, the core's state is out of date: further writes fail until it has
    /// loaded the store, and every view of the store reads it again.
    fn on_result<T>(&mut self, result: &Result<T, DbError>) {
        let is_another = result.as_ref().err().is_some_and(DbError::is_another_file);
        let before = std::mem::replace(&mut self.generation, self.db.generation());
        if is_another || before != self.generation {
            self.is_broken = true; // as in `Disk::refresh`
            let _ = self.changes.send(Change::Everything); // fails without a receiver, which is fine
        }
    }

    pub(super) fn run_group(&mut self, group: Vec<StoreJob>) {
        if group.is_empty() {
            return;
        }
        let changes: Vec<Change> = group.iter().flat_map(changes_of).collect();
        if planted_bug!(ReportedBeforeStored) {
            self.notify(&changes);
        }
        let is_precious = group.iter().any(|job| is_precious(&self.db, job));
        let (finishes, done) = if group.iter().any(StoreJob::writes) {
            self.write(group)
        } else {
            self.read(group)
        };
        if is_precious && done.is_ok() {
            self.db.checkpoint();
        }
        // Published before it is answered: a command may end its process with the answer.
        if done.is_ok() {
            self.notify(&changes);
        }
        self.on_result(&done);
        let failed = done.err();
        finishes
            .into_iter()
            .for_each(|finish| finish(failed.as_ref()));
    }

    /// Runs a group in one transaction and one sync.
    fn write(&mut self, group: Vec<StoreJob>) -> (Vec<Finish>, Result<(), DbError>) {
        let follows = group
            .iter()
            .any(|job| matches!(job, StoreJob::DependentWrite(..) | StoreJob::Load(..)));
        let mut transaction = match self.db.write() {
            Ok(transaction) => transaction,
            Err(error) => {
                self.is_broken |= follows;
                return (
                    group.into_iter().map(StoreJob::unfinished).collect(),
                    Err(error),
                );
            }
        };
        let mut finishes: Vec<Finish> = Vec::with_capacity(group.len());
        for job in group {
            let is_over = transaction.is_over();
            finishes.push(if is_over {
                job.unfinished()
            } else {
                run_job(&mut transaction, job, self.limits, &mut self.is_broken)
            });
        }
        let done = transaction.commit();
        self.is_broken |= follows && done.is_err();
        (finishes, done)
    }

    fn read(&mut self, group: Vec<StoreJob>) -> (Vec<Finish>, Result<(), DbError>) {
        let done = self
            .db
            .refresh()
            .and_then(|()| Ok(self.db.execute_batch("BEGIN")?)); // one snapshot for all
        let finishes = group.into_iter().map(|job| match job {
            StoreJob::Find(query, answer) => {
                answer_later(query::find(&self.db, &query, self.limits), answer)
            }
            StoreJob::LoadReadOnly(instance, answer) => {
                self.is_broken = false;
                answer_later(query::load(&self.db, instance, self.limits), answer)
            }
            other => other.unfinished(),
        });
        let finishes = finishes.collect();
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("COMMIT"); // nothing was written
        }
        (finishes, done)
    }

    fn notify(&self, changes: &[Change]) {
        if planted_bug!(ChangeNotReported) {
            return;
        }
        for change in changes {
            let _ = self.changes.send(*change); // fails without a receiver, which is fine
        }
        if changes
            .iter()
            .any(|change| !matches!(change, Change::Journal))
        {
            let is_outbox = changes
                .iter()
                .any(|change| matches!(change, Change::OutboxGrew | Change::Outbox));
            self.peers.notify(if is_outbox {
                News::Outbox
            } else {
                News::Everything
            });
        }
    }
}

/// Runs one job inside the group's transaction. A failed job does not affect the others.
fn run_job(
    transaction: &mut sqlite::WriteTransaction<'_>,
    job: StoreJob,
    limits: ClientLimits,
    is_broken: &mut bool,
) -> Finish {
    match job {
        StoreJob::DependentWrite(_, answer) if *is_broken => {
            answer_later(Err(DbError::RolledBack), answer)
        }
        StoreJob::DependentWrite(write, answer) => {
            let result = judged(transaction, |db| apply::apply(db, &write, limits));
            *is_broken = result.is_err();
            answer_later(result, answer)
        }
        StoreJob::Write(write, answer) => answer_later(
            judged(transaction, |db| apply::apply(db, &write, limits)),
            answer,
        ),
        StoreJob::Find(query, answer) => {
            answer_later(query::find(transaction, &query, limits), answer)
        }
        StoreJob::Load(instance, answer) => {
            *is_broken = false;
            answer_later(judged(transaction, |db| load(db, instance, limits)), answer)
        }
        StoreJob::LoadReadOnly(instance, answer) => {
            *is_broken = false;
            answer_later(query::load(transaction, instance, limits), answer)
        }
        StoreJob::SetEnrolment(enrolment, answer) => answer_later(
            judged(transaction, |db| set_enrolment(db, &enrolment)),
            answer,
        ),
        // carried out separately, in no transaction
        StoreJob::Suspend(_, answer) | StoreJob::Close(answer) => answer_later(Ok(()), answer),
    }
}

fn answer_later<T: Send + 'static>(result: Result<T, DbError>, answer: StoreCallback<T>) -> Finish {
    // The job's own error is more precise than the one of its group.
    Box::new(move |failed| {
        answer(result.and_then(|done| failed.map_or(Ok(done), |error| Err(error.clone()))))
    })
}

/// Whether the job writes something irreplaceable: the profile's identity and its rooms. It is
/// moved into the file itself at once, so that a copy of the file alone has it.
fn is_precious(db: &Connection, job: &StoreJob) -> bool {
    let is_new = match job {
        StoreJob::SetEnrolment(..) => Ok(true),
        StoreJob::Write(Write::Welcome { .. }, _)
        | StoreJob::DependentWrite(Write::Welcome { .. }, _) => {
            query::meta::<AccountId>(db, "account").map(|account| account.is_none())
        }
        StoreJob::Write(Write::Room(room), _) | StoreJob::DependentWrite(Write::Room(room), _) => {
            query::is_room_known(db, room.room).map(|is_known| !is_known)
        }
        _ => Ok(false),
    };
    is_new.unwrap_or_default() // the write itself fails then
}

fn changes_of(job: &StoreJob) -> Vec<Change> {
    let (StoreJob::Write(write, _) | StoreJob::DependentWrite(write, _)) = job else {
        return Vec::new();
    };
    match write {
        Write::Freeze(_)
        | Write::Take(..)
        | Write::Acked { .. }
        | Write::Unacked(_)
        | Write::Rejected { .. } => vec![Change::OutboxStages],
        Write::Append { room, .. }
        | Write::Truncate { room, .. }
        | Write::Watermarks { room, .. }
        | Write::MarkRead { room, .. } => {
            vec![Change::Log(*room)]
        }
        Write::Room(_) | Write::RoomLeft(_) | Write::Welcome { .. } => vec![Change::Rooms],
        Write::Journal(_) => vec![Change::Journal],
        Write::Enqueue { .. } => vec![Change::OutboxGrew],
        Write::Replace { .. } => vec![Change::Outbox],
        Write::Discard { .. } | Write::Retry { .. } => vec![Change::Outbox],
        Write::LastSeen | Write::Barrier | Write::Draft { .. } => Vec::new(),
    }
}
