//! The one thread that writes: what waits at the same moment shares one transaction and one sync.
//!
//! Answers are given only once the group is on disk; then heads move and the hub hands the entries
//! on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answers::{self, Answered};
use super::health::{Health, Watched};
use super::hub::{Fence, Hub};
use super::session::Live;
use super::storage::{
    Append, AppendedEntry, Enrolled, MarkUpdate, Storage, TokenHash, Verdict, cut_by_bytes,
};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, Enrol, Entries, Kind, Op, Position, RoomId, ServerFrame, encode, limits,
};
use crate::sqlite::DbError;
use crate::system;

/// Appends that share one transaction.
const GROUP_MAX: usize = 256;

/// Bytes of jobs that may wait for the disk.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Rooms and authors that are looked after once a commit has failed.
const UNSURE_MAX: usize = 10_000;
/// How long after it, when nothing else is to be written.
const UNSURE_PAUSE: Duration = Duration::from_secs(1);
/// How often the storage is looked after while there is work, so that an operator's command is
/// noticed.
const LOOK_BUSY: Duration = Duration::from_secs(1);
/// How often the storage is looked after while nothing is written, so that a deleted file is saved
/// before a crash.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// What a job takes besides its texts, about.
const JOB_BYTES: usize = 512;

/// Called with the answer, on the thread that writes.
pub type CommitCallback<T> = Box<dyn FnOnce(Result<T, DbError>) + Send>;

/// A connection that waits for an answer; dead once it has ended.
pub(super) type Caller = Weak<()>;

pub(super) enum CommitJob {
    Append(Box<Append>, Fence, CommitCallback<Verdict>),
    Enrol(Enrol, DeviceId, TokenHash, Caller, CommitCallback<Enrolled>),
    Request(AccountId, Op, Fence, Caller, CommitCallback<Answered>),
    /// There are marks to be stored.
    Marks,
    /// Another process may have written to the storage.
    LookAfter,
    /// Whether anything can be written.
    Probe(CommitCallback<()>),
    Stop,
}

/// A handle to the committer's thread. The limit on unanswered frames bounds each connection's
/// share of the queue. A limit in bytes bounds the jobs of closed connections while the disk does
/// not respond.
#[derive(Clone)]
pub(super) struct Committer {
    jobs: mpsc::UnboundedSender<CommitJob>,
    /// Bytes of jobs that wait.
    waiting: Arc<AtomicUsize>,
    /// The storage is to be looked after, and the thread has not come to it.
    look_asked: Arc<AtomicBool>,
    /// The newest marks of each device in each room: many updates, one row.
    marks: Arc<Mutex<BTreeMap<(RoomId, DeviceId), MarkUpdate>>>,
}

impl Committer {
    pub(super) fn start(
        storage: Box<dyn Storage>,
        hub: Arc<Hub>,
        health: Health,
    ) -> std::io::Result<(Self, system::Work)> {
        let (jobs, inbox) = mpsc::unbounded_channel(); // see above
        let (waiting, look_asked, marks) = Default::default();
        let committer = Self {
            jobs,
            waiting,
            look_asked,
            marks,
        };
        let (waiting, look_asked, marks) = (
            committer.waiting.clone(),
            committer.look_asked.clone(),
            committer.marks.clone(),
        );
        let watched = Watched(health.clone());
        let writer = Writer {
            health,
            ..Writer::new(storage, hub)
        };
        let worker = CommitWorker {
            writer,
            waiting,
            look_asked,
            marks,
            looked_at: now(),
            _watched: watched,
        };
        Ok((
            committer,
            system::spawn_worker("committer", worker.run(inbox))?,
        ))
    }

    pub(super) fn post(&self, job: CommitJob) {
        let bytes = job.bytes();
        if self.waiting.fetch_add(bytes, Ordering::AcqRel) + bytes > WAITING_BYTES_MAX && bytes > 0
        {
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
            return job.fail(&DbError::Overloaded);
        }
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job) {
            job.fail(&DbError::Stopped);
        }
    }

    /// Another process may have written to the storage: it is looked after soon, however often this
    /// is called.
    pub(super) fn look_after(&self) {
        if !self.look_asked.swap(true, Ordering::AcqRel) {
            self.post(CommitJob::LookAfter);
        }
    }

    pub(super) fn mark(&self, update: MarkUpdate) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = marks.is_empty();
        let newest = marks
            .entry((update.room, update.device))
            .or_insert_with(|| update.clone());
        newest.delivered = update.delivered.or(newest.delivered);
        newest.read = update.read.or(newest.read);
        if is_first {
            self.post(CommitJob::Marks);
        }
    }
}

impl CommitJob {
    /// What a job takes in memory, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Append(append, ..) => JOB_BYTES + append.send.body.len(),
            Self::Enrol(enrol, ..) => JOB_BYTES + enrol.invite.len() + enrol.name.len(),
            Self::Request(_, op, ..) => JOB_BYTES + op.text_bytes(),
            Self::Marks | Self::LookAfter | Self::Probe(_) | Self::Stop => 0,
        }
    }

    fn fail(self, error: &DbError) {
        match self {
            Self::Append(_, _, answer) => answer(Err(error.clone())),
            Self::Enrol(.., answer) => answer(Err(error.clone())),
            Self::Request(.., answer) => answer(Err(error.clone())),
            Self::Probe(answer) => answer(Err(error.clone())),
            Self::Marks | Self::LookAfter | Self::Stop => {}
        }
    }
}

struct CommitWorker {
    writer: Writer,
    waiting: Arc<AtomicUsize>,
    look_asked: Arc<AtomicBool>,
    marks: Arc<Mutex<BTreeMap<(RoomId, DeviceId), MarkUpdate>>>,
    looked_at: Instant,
    _watched: Watched,
}

impl CommitWorker {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<CommitJob>) {
        let mut group = Vec::new();
        while self.next(&mut inbox, &mut group).await {
            system::sim_disk_delay().await;
            let mut appends = Vec::new();
            for job in group.drain(..) {
                self.waiting.fetch_sub(job.bytes(), Ordering::AcqRel);
                match job {
                    CommitJob::Append(append, fence, answer) => {
                        appends.push((append, fence, answer))
                    }
                    other => {
                        self.writer.commit(std::mem::take(&mut appends));
                        if matches!(other, CommitJob::Stop) {
                            return;
                        }
                        self.do_other(other);
                    }
                }
            }
            self.writer.commit(appends);
            if self.looked_at.elapsed() >= LOOK_BUSY {
                self.look_after();
            }
        }
    }

    fn look_after(&mut self) {
        self.writer.look_after();
        self.looked_at = now();
    }

    /// Waits for the next jobs; none come any more when there are none. While something is unsure
    /// it is looked after now and then.
    async fn next(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<CommitJob>,
        group: &mut Vec<CommitJob>,
    ) -> bool {
        loop {
            let pause = if self.writer.is_unsure() {
                UNSURE_PAUSE
            } else {
                LOOK_PAUSE
            };
            match timeout(pause, inbox.recv_many(group, GROUP_MAX)).await {
                Ok(count) => return count > 0,
                Err(_) => self.look_after(),
            }
        }
    }

    fn do_other(&mut self, job: CommitJob) {
        match job {
            CommitJob::Append(..) | CommitJob::Stop => {}
            // Nothing waits for it any more: the client asks again on its next connection.
            CommitJob::Enrol(_, _, _, caller, _) | CommitJob::Request(_, _, _, caller, _)
                if caller.strong_count() == 0 => {}
            CommitJob::Enrol(enrol, device, token, _, answer) => {
                self.writer.enrol(&enrol, device, token, answer)
            }
            CommitJob::Request(_, _, fence, _, _) if fence.load(Ordering::Acquire) => {}
            CommitJob::Request(account, op, _, _, answer) => {
                answer(self.writer.request(account, &op))
            }
            CommitJob::LookAfter => {
                self.look_asked.store(false, Ordering::Release);
                self.look_after();
            }
            CommitJob::Probe(answer) => answer(self.writer.probe()),
            CommitJob::Marks => {
                let marks =
                    std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
                self.writer.mark(&marks.into_values().collect::<Vec<_>>());
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// The one writer of a storage; hands on what it wrote. The committer's thread runs one, and so
/// does a simulation.
pub struct Writer {
    storage: Box<dyn Storage>,
    hub: Arc<Hub>,
    /// Rooms and authors of a group whose commit failed: it may be there nevertheless, as when
    /// only the answer was lost.
    in_doubt: BTreeSet<(RoomId, AccountId)>,
    health: Health,
}

impl Writer {
    /// Writes to a storage, and publishes to a hub.
    #[must_use]
    pub fn new(storage: Box<dyn Storage>, hub: Arc<Hub>) -> Self {
        Self {
            storage,
            hub,
            in_doubt: BTreeSet::new(),
            health: Health::default(),
        }
    }

    /// Makes an account; its entry in the lobby is handed on after the answer.
    pub fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        answer: CommitCallback<Enrolled>,
    ) {
        if let Some(error) = self.health.refuses() {
            return answer(Err(error));
        }
        let enrolled = self.storage.enrol(enrol, device, token, system::unix_ms());
        enrolled
            .as_ref()
            .err()
            .into_iter()
            .for_each(|error| self.health.on_error(error));
        let stored = enrolled
            .as_ref()
            .ok()
            .and_then(|enrolled| enrolled.as_ref().ok()?.1.clone());
        answer(enrolled);
        self.publish(stored.into_iter().collect());
    }

    /// Answers a request that changes something.
    ///
    /// # Errors
    /// [`DbError`].
    pub fn request(&mut self, account: AccountId, op: &Op) -> Result<Answered, DbError> {
        if let Some(error) = self.health.refuses() {
            return Err(error);
        }
        let answered = answers::carry_out(&mut *self.storage, account, op, system::unix_ms());
        answered
            .as_ref()
            .err()
            .into_iter()
            .for_each(|error| self.health.on_error(error));
        answered
    }

    /// Writes something small: whether the storage takes anything now.
    ///
    /// # Errors
    /// [`DbError`].
    pub fn probe(&mut self) -> Result<(), DbError> {
        if let Some(error) = self.health.refuses() {
            return Err(error);
        }
        let probed = self.storage.probe(system::unix_ms());
        probed
            .as_ref()
            .err()
            .into_iter()
            .for_each(|error| self.health.on_error(error));
        probed
    }

    /// Advances receipts, and publishes the watermarks that moved.
    pub fn mark(&mut self, updates: &[MarkUpdate]) {
        match self.storage.mark(updates) {
            Ok(floors) => {
                floors
                    .into_iter()
                    .for_each(|floor| self.hub.publish_floor(floor));
                self.republish_in_doubt();
            }
            Err(error) => {
                tracing::warn!(%error, "marks are lost until they are sent again");
                self.health.on_error(&error);
            }
        }
    }

    /// Judges and appends a group in one transaction; each is answered once all of it is on disk,
    /// then it is handed on.
    pub fn commit(&mut self, appends: Vec<(Box<Append>, Fence, CommitCallback<Verdict>)>) {
        // What a replaced link still had on its way is not accepted any more: its device has learned that
        // it is gone.
        let alive = appends
            .into_iter()
            .filter(|(_, fence, _)| !fence.load(Ordering::Acquire) || planted_bug!(NoFence));
        let (group, answers): (Vec<_>, Vec<_>) =
            alive.map(|(append, _, answer)| (*append, answer)).unzip();
        if group.is_empty() {
            return;
        }
        let committed = match self.health.refuses() {
            Some(error) => Err(error),
            None => self.storage.commit(&group, system::unix_ms()),
        };
        let verdicts = match committed {
            Ok(verdicts) => verdicts,
            Err(error) => {
                tracing::error!(%error, "a group could not be committed");
                self.health.on_error(&error);
                let unsure = group.iter().map(|append| (append.send.room, append.author));
                if !planted_bug!(InDoubtForgotten) {
                    self.in_doubt
                        .extend(unsure.take(UNSURE_MAX.saturating_sub(self.in_doubt.len())));
                }
                return answers
                    .into_iter()
                    .for_each(|answer| answer(Err(error.clone())));
            }
        };
        let stored = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Stored(stored) => Some(stored.clone()),
            Verdict::Known { .. } | Verdict::Refused(_) => None,
        });
        let stored = stored.collect();
        let fails = planted_bug!(GroupFails)
            && verdicts
                .iter()
                .any(|verdict| matches!(verdict, Verdict::Refused(_)));
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            answer(if fails {
                Err(DbError::RolledBack)
            } else {
                Ok(verdict)
            });
        }
        self.publish(stored);
        self.republish_in_doubt();
    }

    /// Looks whether the storage is still what was opened, and what became of commits that failed.
    pub fn look_after(&mut self) {
        match self.storage.look_after() {
            Ok(true) => self.end_revoked(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the storage is not as it was");
                self.health.on_error(&error);
            }
        }
        self.republish_in_doubt();
    }

    /// Closes the connections of devices whose access has ended.
    fn end_revoked(&mut self) {
        match self.storage.without_access(&self.hub.devices()) {
            Ok(devices) => devices.into_iter().for_each(|device| {
                tracing::warn!(%device, "the access of a device was ended");
                self.hub.revoke(device);
            }),
            Err(error) => tracing::error!(%error, "it is not known which devices have access"),
        }
    }

    /// Whether a failed commit may have left entries that were not published.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    /// Entries that a failed commit left in the log were not published: subscribers get the head and
    /// read what they lack, and an author whether it is in the room.
    pub fn republish_in_doubt(&mut self) {
        for (room, author) in std::mem::take(&mut self.in_doubt) {
            match self.storage.room_of(author, room) {
                Ok(Some(described)) => {
                    self.hub.publish_head(room, described.head);
                    self.hub.publish_room(author, &described);
                }
                Ok(None) => {}
                Err(_) => {
                    self.in_doubt.insert((room, author));
                }
            }
        }
    }

    fn publish(&mut self, stored: Vec<AppendedEntry>) {
        let mut rooms: BTreeMap<RoomId, Vec<AppendedEntry>> = BTreeMap::new();
        let mut touched: BTreeSet<(RoomId, AccountId)> = BTreeSet::new();
        for stored in stored {
            if matches!(stored.entry.kind, Kind::Join | Kind::Leave) {
                touched.insert((stored.room, stored.entry.author));
            }
            rooms.entry(stored.room).or_default().push(stored);
        }
        for (room, run) in rooms {
            for live in live_frames(room, run) {
                self.hub.publish(&Arc::new(live));
            }
        }
        for (room, account) in touched {
            if let Ok(Some(room)) = self.storage.room_of(account, room) {
                self.hub.publish_room(account, &room);
            }
        }
    }
}

/// The run of one room as frames, each within its bytes and serialised once for everybody.
fn live_frames(room: RoomId, run: Vec<AppendedEntry>) -> Vec<Live> {
    let Some(first) = run.first() else {
        return Vec::new();
    };
    let mut prev = first.prev;
    let mut rest: Vec<_> = run.into_iter().map(|stored| stored.entry).collect();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let entries = cut_by_bytes(rest.iter().cloned(), limits::ENTRIES_BYTES_MAX);
        rest.drain(..entries.len());
        let last = entries
            .iter()
            .fold(prev, |at: Position, entry| at.next(entry.author, entry.id));
        let frame = ServerFrame::Entries(Entries {
            room,
            prev,
            entries,
            skip: None,
            request: None,
        });
        if let Ok(text) = encode(&frame) {
            frames.push(Live {
                room,
                prev: prev.seq,
                last,
                text: text.into(),
            });
        }
        prev = last;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EntryId, SendEntry};

    fn append(bytes: usize) -> Box<Append> {
        let send = SendEntry {
            id: EntryId::from_parts(1, [1; 10]),
            room: RoomId::NIL,
            after: None,
            kind: Kind::Message,
            body: "x".repeat(bytes),
            target: None,
            composed_at: 0,
        };
        Box::new(Append {
            send,
            author: AccountId::NIL,
            device: DeviceId::NIL,
            over_rate_ms: None,
        })
    }

    #[test]
    fn what_waits_for_a_disk_that_stands_still_is_bounded_and_the_rest_is_refused_at_once() {
        let (jobs, mut inbox) = mpsc::unbounded_channel();
        let (waiting, look_asked, marks) = Default::default();
        let committer = Committer {
            jobs,
            waiting,
            look_asked,
            marks,
        };
        let refused = Arc::new(AtomicUsize::new(0));
        for _ in 0..6_000 {
            let refused = refused.clone();
            let answer = Box::new(move |verdict: Result<Verdict, DbError>| {
                assert!(matches!(verdict, Err(DbError::Overloaded)));
                refused.fetch_add(1, Ordering::Relaxed);
            });
            committer.post(CommitJob::Append(
                append(16 * 1024),
                Fence::default(),
                answer,
            ));
        }
        let waiting = std::iter::from_fn(|| inbox.try_recv().ok())
            .map(|job| job.bytes())
            .sum::<usize>();
        assert!(
            (WAITING_BYTES_MAX - 17 * 1024..=WAITING_BYTES_MAX).contains(&waiting),
            "{waiting}"
        );
        assert_eq!(
            refused.load(Ordering::Relaxed),
            6_000 - waiting / (16 * 1024 + JOB_BYTES)
        );
    }
}
