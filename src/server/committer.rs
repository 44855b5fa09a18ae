//! The thread that runs the [`Writer`]: appends that are pending at the same time share one
//! transaction and one sync.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answers::Answered;
use super::health::{Health, Watched};
use super::hub::{Fence, Hub};
use super::receipts::PendingReceipts;
use super::storage::{Enrolled, ReceiptUpdate, Storage, TokenHash};
use super::writer::{CommitCallback, PendingAppend, Writer};
use crate::protocol::{AccountId, DeviceId, Enrol, Op};
use crate::sqlite::DbError;
use crate::system;

/// Maximum jobs that share one transaction.
const GROUP_MAX: usize = 256;

/// Maximum bytes of pending jobs.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Interval of checks of the storage after a write failed.
const UNFINISHED_PAUSE: Duration = Duration::from_secs(1);
/// Interval of checks of the storage under load; they notice what an operator's
/// command wrote from another process.
const CHECK_BUSY: Duration = Duration::from_secs(1);
/// Interval of checks of the storage while idle. They notice a deleted database file while it is open
/// and can be rescued; once the process ends, its data would be lost.
const CHECK_IDLE: Duration = Duration::from_secs(10);
/// Bytes of memory of a job without its texts, rounded up.
const JOB_BYTES: usize = 512;

/// A connection that waits for a result; dead once it has ended.
pub(super) type Caller = Weak<()>;

/// An enrolment that waits for its turn.
pub(super) struct PendingEnrol {
    pub(super) enrol: Enrol,
    pub(super) device: DeviceId,
    pub(super) token: TokenHash,
    pub(super) caller: Caller,
    pub(super) answer: CommitCallback<Enrolled>,
}

/// A request that waits for its turn.
pub(super) struct PendingRequest {
    pub(super) account: AccountId,
    pub(super) op: Op,
    pub(super) fence: Fence,
    pub(super) caller: Caller,
    pub(super) answer: CommitCallback<Answered>,
}

pub(super) enum CommitJob {
    Append(PendingAppend),
    Enrol(PendingEnrol),
    Request(PendingRequest),
    /// Store the pending watermarks.
    Marks,
    /// Check the storage: another process may have written to it.
    CheckStorage,
    /// Check whether the storage accepts writes.
    Probe(CommitCallback<()>),
    Stop,
}

/// A handle to the committer's thread. The limit on unanswered frames bounds each connection's
/// share of the queue. Jobs of closed connections stay queued while the disk does not respond; a limit
/// in bytes bounds them.
#[derive(Clone)]
pub(super) struct Committer {
    jobs: mpsc::UnboundedSender<CommitJob>,
    /// Bytes of pending jobs.
    waiting: Arc<AtomicUsize>,
    /// A check of the storage is queued.
    is_check_queued: Arc<AtomicBool>,
    marks: Arc<Mutex<PendingReceipts>>,
}

impl Committer {
    pub(super) fn start(
        storage: Box<dyn Storage>,
        hub: Arc<Hub>,
        health: Health,
    ) -> std::io::Result<(Self, system::Work)> {
        let (jobs, inbox) = mpsc::unbounded_channel(); // bounded as described at `Committer`
        let committer = Self {
            jobs,
            waiting: Arc::default(),
            is_check_queued: Arc::default(),
            marks: Arc::default(),
        };
        let watched = Watched(health.clone());
        let writer = Writer::with_health(storage, hub, health);
        let worker = CommitWorker {
            writer,
            waiting: committer.waiting.clone(),
            is_check_queued: committer.is_check_queued.clone(),
            marks: committer.marks.clone(),
            checked_at: now(),
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

    /// Queues a check of the storage, unless one is queued already.
    pub(super) fn check_storage(&self) {
        if !self.is_check_queued.swap(true, Ordering::AcqRel) {
            self.post(CommitJob::CheckStorage);
        }
    }

    pub(super) fn mark(&self, update: ReceiptUpdate) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = marks.is_empty();
        marks.put(update);
        if is_first {
            self.post(CommitJob::Marks);
        }
    }
}

impl CommitJob {
    /// Bytes of memory of the job, rounded up.
    fn bytes(&self) -> usize {
        match self {
            Self::Append(pending) => JOB_BYTES + pending.append.send.body.len(),
            Self::Enrol(PendingEnrol { enrol, .. }) => {
                JOB_BYTES + enrol.invite.len() + enrol.name.len()
            }
            Self::Request(request) => JOB_BYTES + request.op.text_bytes(),
            Self::Marks | Self::CheckStorage | Self::Probe(_) | Self::Stop => 0,
        }
    }

    fn fail(self, error: &DbError) {
        match self {
            Self::Append(pending) => (pending.answer)(Err(error.clone())),
            Self::Enrol(pending) => (pending.answer)(Err(error.clone())),
            Self::Request(pending) => (pending.answer)(Err(error.clone())),
            Self::Probe(answer) => answer(Err(error.clone())),
            Self::Marks | Self::CheckStorage | Self::Stop => {}
        }
    }
}

struct CommitWorker {
    writer: Writer,
    waiting: Arc<AtomicUsize>,
    is_check_queued: Arc<AtomicBool>,
    marks: Arc<Mutex<PendingReceipts>>,
    checked_at: Instant,
    /// Ends the server if this thread panics.
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
                    CommitJob::Append(append) => appends.push(append),
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
            if self.checked_at.elapsed() >= CHECK_BUSY {
                self.check_storage();
            }
        }
    }

    fn check_storage(&mut self) {
        self.writer.check_storage();
        self.checked_at = now();
    }

    /// Waits for the next jobs, and checks the storage at intervals. Returns `false` when the queue
    /// is closed.
    async fn next(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<CommitJob>,
        group: &mut Vec<CommitJob>,
    ) -> bool {
        loop {
            let pause = if self.writer.has_unfinished() {
                UNFINISHED_PAUSE
            } else {
                CHECK_IDLE
            };
            match timeout(pause, inbox.recv_many(group, GROUP_MAX)).await {
                Ok(count) => return count > 0,
                Err(_) => self.check_storage(),
            }
        }
    }

    fn do_other(&mut self, job: CommitJob) {
        match job {
            CommitJob::Append(..) | CommitJob::Stop => {}
            // The connection has ended: the client repeats the request on its next one.
            CommitJob::Enrol(PendingEnrol { caller, .. })
            | CommitJob::Request(PendingRequest { caller, .. })
                if caller.strong_count() == 0 => {}
            CommitJob::Enrol(of) => {
                self.writer.enrol(&of.enrol, of.device, of.token, of.answer);
            }
            CommitJob::Request(request) if request.fence.load(Ordering::Acquire) => {}
            CommitJob::Request(request) => {
                (request.answer)(self.writer.request(request.account, &request.op));
            }
            CommitJob::CheckStorage => {
                self.is_check_queued.store(false, Ordering::Release);
                self.check_storage();
            }
            CommitJob::Probe(answer) => answer(self.writer.probe()),
            CommitJob::Marks => {
                let marks =
                    std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
                self.writer.mark(marks);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EntryId, Kind, RoomId, SendEntry};
    use crate::server::storage::{Append, Verdict};

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
    fn committer_queue_on_a_stuck_disk_is_bounded() {
        let (jobs, mut inbox) = mpsc::unbounded_channel();
        let (waiting, is_check_queued, marks) = Default::default();
        let committer = Committer {
            jobs,
            waiting,
            is_check_queued,
            marks,
        };
        let rejected = Arc::new(AtomicUsize::new(0));
        for _ in 0..6_000 {
            let rejected = rejected.clone();
            let answer = Box::new(move |verdict: Result<Verdict, DbError>| {
                assert!(matches!(verdict, Err(DbError::Overloaded)));
                rejected.fetch_add(1, Ordering::Relaxed);
            });
            committer.post(CommitJob::Append(PendingAppend {
                append: append(16 * 1024),
                fence: Fence::default(),
                answer,
            }));
        }
        let waiting = std::iter::from_fn(|| inbox.try_recv().ok())
            .map(|job| job.bytes())
            .sum::<usize>();
        assert!(
            (WAITING_BYTES_MAX - 17 * 1024..=WAITING_BYTES_MAX).contains(&waiting),
            "{waiting}"
        );
        assert_eq!(
            rejected.load(Ordering::Relaxed),
            6_000 - waiting / (16 * 1024 + JOB_BYTES)
        );
    }
}
