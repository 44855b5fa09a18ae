//! The only writer of a storage: commits groups of appends, and publishes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::answers::{self, Answered};
use super::health::Health;
use super::hub::{Fence, Hub};
use super::receipts::PendingReceipts;
use super::session::Live;
use super::storage::{Append, AppendedEntry, Enrolled, Storage, TokenHash, Verdict, cut_by_bytes};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, Enrol, Entries, Kind, Op, Position, RoomId, ServerFrame, encode, limits,
};
use crate::sqlite::DbError;
use crate::system;

/// Maximum rooms and authors that are looked up after failed commits.
const IN_DOUBT_MAX: usize = 10_000;

/// Receives the result, on the writing thread.
pub type CommitCallback<T> = Box<dyn FnOnce(Result<T, DbError>) + Send>;

/// An append that waits for its commit.
pub struct PendingAppend {
    /// The entry, with its author.
    pub append: Box<Append>,
    /// Set once the connection was replaced: the append is dropped.
    pub fence: Fence,
    /// Receives the verdict.
    pub answer: CommitCallback<Verdict>,
}

/// The only writer of a storage. The committer's thread runs one, and so does a simulation.
///
/// It owns the storage and answers each request on the calling thread. Invariants: a callback is
/// called after its transaction is on disk; entries are published after their callbacks; entries
/// that a failed commit left in the log are published as soon as the storage can be read; watermarks,
/// which have no callback, are kept until they are stored.
pub struct Writer {
    storage: Box<dyn Storage>,
    hub: Arc<Hub>,
    /// Rooms and authors of commits in doubt: a failed commit may have been written.
    in_doubt: BTreeSet<(RoomId, AccountId)>,
    /// Watermarks that the storage has not accepted yet.
    receipts: PendingReceipts,
    health: Health,
}

impl Writer {
    /// Makes the writer of `storage`, which publishes to `hub`.
    #[must_use]
    pub fn new(storage: Box<dyn Storage>, hub: Arc<Hub>) -> Self {
        Self::with_health(storage, hub, Health::default())
    }

    /// Makes a writer that reports errors of the storage to `health`.
    pub(super) fn with_health(storage: Box<dyn Storage>, hub: Arc<Hub>, health: Health) -> Self {
        Self {
            storage,
            hub,
            in_doubt: BTreeSet::new(),
            receipts: PendingReceipts::default(),
            health,
        }
    }

    /// Enrols a device. A new account's entry in the lobby is published after the answer.
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
        let enrolled = self.watch(enrolled);
        let stored = enrolled
            .as_ref()
            .ok()
            .and_then(|enrolled| enrolled.joined().cloned());
        answer(enrolled);
        self.publish(stored.into_iter().collect());
    }

    /// Carries out a request that writes.
    pub fn request(&mut self, account: AccountId, op: &Op) -> Result<Answered, DbError> {
        if let Some(error) = self.health.refuses() {
            return Err(error);
        }
        let answered = answers::carry_out(&mut *self.storage, account, op, system::unix_ms());
        self.watch(answered)
    }

    /// Writes one small row, to check that the storage accepts writes.
    pub fn probe(&mut self) -> Result<(), DbError> {
        if let Some(error) = self.health.refuses() {
            return Err(error);
        }
        let probed = self.storage.probe(system::unix_ms());
        self.watch(probed)
    }

    /// Reports an error of the storage to the health check.
    fn watch<T>(&self, result: Result<T, DbError>) -> Result<T, DbError> {
        result.inspect_err(|error| self.health.on_error(error))
    }

    /// Advances watermarks, and publishes the lowest ones that changed.
    pub fn mark(&mut self, updates: PendingReceipts) {
        self.receipts.append(updates);
        self.finish();
    }

    fn store_receipts(&mut self) {
        if self.receipts.is_empty() || self.health.refuses().is_some() {
            return;
        }
        match self.storage.mark(&self.receipts.updates()) {
            Ok(changed) => {
                self.receipts = PendingReceipts::default();
                changed
                    .into_iter()
                    .for_each(|lowest| self.hub.publish_watermarks(lowest));
            }
            Err(error) => {
                tracing::warn!(%error, "watermarks are not stored yet");
                self.health.on_error(&error);
            }
        }
    }

    /// Judges and appends a group in one transaction. Calls the callbacks once the transaction is
    /// on disk, then publishes the entries.
    pub fn commit(&mut self, group: Vec<PendingAppend>) {
        // The device of a replaced connection was informed that it is closed.
        let is_alive =
            |append: &PendingAppend| !append.fence.load(Ordering::Acquire) || planted_bug!(NoFence);
        let (group, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .filter(is_alive)
            .map(|pending| (*pending.append, pending.answer))
            .unzip();
        if group.is_empty() {
            return;
        }
        let committed = match self.health.refuses() {
            Some(error) => Err(error),
            None => self.storage.commit(&group, system::unix_ms()),
        };
        match committed {
            Ok(verdicts) => self.on_committed(verdicts, answers),
            Err(error) => {
                tracing::error!(%error, "a group could not be committed");
                self.health.on_error(&error);
                self.add_in_doubt(&group);
                for answer in answers {
                    answer(Err(error.clone()));
                }
            }
        }
    }

    fn on_committed(&mut self, verdicts: Vec<Verdict>, answers: Vec<CommitCallback<Verdict>>) {
        debug_assert_eq!(verdicts.len(), answers.len(), "one verdict for each append");
        let stored = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Stored(stored) => Some(stored.clone()),
            Verdict::Known { .. } | Verdict::Rejected(_) => None,
        });
        let stored = stored.collect();
        let is_rejected = |verdict: &Verdict| matches!(verdict, Verdict::Rejected(_));
        let fails = planted_bug!(GroupFails) && verdicts.iter().any(is_rejected);
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            answer(if fails {
                Err(DbError::RolledBack)
            } else {
                Ok(verdict)
            });
        }
        self.publish(stored);
        self.finish();
    }

    fn add_in_doubt(&mut self, group: &[Append]) {
        if planted_bug!(InDoubtForgotten) {
            return;
        }
        let free = IN_DOUBT_MAX.saturating_sub(self.in_doubt.len());
        let appends = group.iter().map(|append| (append.send.room, append.author));
        self.in_doubt.extend(appends.take(free));
    }

    /// Checks whether the database files are still the opened ones, and looks up commits in doubt.
    pub fn check_storage(&mut self) {
        match self.storage.check_storage() {
            Ok(true) => self.end_revoked(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the storage has changed");
                self.health.on_error(&error);
            }
        }
        self.finish();
    }

    /// Closes the connections of revoked devices.
    fn end_revoked(&mut self) {
        match self.storage.without_access(&self.hub.devices()) {
            Ok(devices) => devices.into_iter().for_each(|device| {
                tracing::warn!(%device, "device revoked");
                self.hub.revoke(device);
            }),
            Err(error) => tracing::error!(%error, "the revoked devices cannot be read"),
        }
    }

    /// Whether failed writes left something for [`Writer::finish`].
    #[must_use]
    pub fn has_unfinished(&self) -> bool {
        !self.in_doubt.is_empty() || !self.receipts.is_empty()
    }

    /// Finishes what failed writes have left: stores watermarks, and publishes commits in doubt.
    pub fn finish(&mut self) {
        self.store_receipts();
        self.republish_in_doubt();
    }

    /// Publishes what commits in doubt left in the log: the head to subscribers, who read the missing
    /// entries, and the membership to the authors.
    fn republish_in_doubt(&mut self) {
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

/// Encodes a run of one room as frames, within the limit of bytes. Each is encoded once for all
/// subscribers.
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
