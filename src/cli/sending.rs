//! The messages of one command: saved, sent, and their results.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::exit::{self, Failure};
use super::profile::{Profile, RunningClient, Who};
use crate::client::link::LinkState;
use crate::client::store::{Change, OwnMark, Reader, spool};
use crate::client::{Cause, LinkLock, NewEntry, Outcome, Write};
use crate::print;
use crate::protocol::limits::{BODY_BYTES_MAX, BODY_ENCODED_BYTES_MAX};
use crate::protocol::{EntryId, Kind, RoomId, encoded_body_len};
use crate::sqlite::DbError;
use crate::system;

/// Maximum messages before their acknowledgements are looked up.
const UNSETTLED_MAX: usize = 1_000;
/// While the store is busy, messages go to the spool; the store is tried again after this time.
const STORE_PAUSE: Duration = Duration::from_secs(10);
pub(super) const FULL: &str = "the outbox is full (10,000 messages or 64 MiB)";

/// The messages of one command.
pub(super) struct Sending<'a> {
    profile: &'a Profile,
    reader: Reader,
    room: RoomId,
    changes: Receiver<Change>,
    /// `None`: the command does not wait.
    running: Option<RunningClient>,
    wait: Duration,
    /// Entries of a write whose result has not arrived yet.
    handed: Vec<EntryId>,
    /// Number of saved messages.
    kept: usize,
    /// Saved messages without a known acknowledgement.
    unsettled: BTreeSet<EntryId>,
    /// What to report of the first message that was rejected, or deleted from the outbox.
    rejected: Option<String>,
    /// The spool, once the store was busy.
    spooled: Option<Spooled>,
}

/// Messages in the spool.
struct Spooled {
    ids: Vec<EntryId>,
    /// The latest attempt to write to the store.
    tried_at: Instant,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        profile: &'a Profile,
        who: &Who,
        room: RoomId,
        wait_s: u64,
    ) -> Result<Self, Failure> {
        Ok(Self {
            profile,
            reader: profile.reader()?,
            room,
            changes: profile.store.changes(),
            running: if wait_s > 0 {
                Some(profile.start(who)?)
            } else {
                None
            },
            wait: Duration::from_secs(wait_s),
            handed: Vec::new(),
            kept: 0,
            unsettled: BTreeSet::new(),
            rejected: None,
            spooled: None,
        })
    }

    /// Waits until all messages are acknowledged. Returns `false` after the maximum wait.
    ///
    /// # Errors
    /// When a message was rejected.
    pub(super) async fn settle(&mut self) -> Result<bool, Failure> {
        if self.running.is_none() || self.spooled.is_some() {
            return Ok(false);
        }
        let wait = self.wait;
        let Ok(settled) = tokio::time::timeout(wait, self.settled()).await else {
            return Ok(false);
        };
        settled?;
        match self.rejected.take() {
            None => Ok(true),
            Some(why) => Err(Failure::new(exit::REJECTED, why)),
        }
    }

    /// Saves all messages or none. Returns `false` when they do not fit into the outbox at the
    /// moment.
    pub(super) async fn keep(&mut self, bodies: &[String]) -> Result<bool, Failure> {
        let entries: Vec<_> = bodies.iter().map(|body| self.entry(body.clone())).collect();
        self.handed = entries.iter().map(|entry| entry.id).collect();
        let stored = self.store(&entries).await;
        let ids = std::mem::take(&mut self.handed);
        match stored {
            Ok(Outcome::OutboxFull) => return Ok(false),
            Ok(_) => {
                // The store takes over the spool before it accepts new entries.
                let spooled = self.spooled.take().map(|spooled| spooled.ids);
                self.unsettled
                    .extend(spooled.into_iter().flatten().chain(ids.iter().copied()));
            }
            // After `Moved` the entries may be stored already. When the store takes over the spool,
            // it recognises them by their ids.
            Err(DbError::Busy | DbError::Moved { .. }) => self.spool(&entries)?,
            Err(error) => return Err(Failure::from(error).not_kept()),
        }
        self.kept += ids.len();
        if self.unsettled.len() > UNSETTLED_MAX {
            self.look()?;
        }
        Ok(true)
    }

    /// Writes entries to the store, unless it was busy a moment ago: each attempt may take seconds.
    async fn store(&self, entries: &[NewEntry]) -> Result<Outcome, DbError> {
        if self
            .spooled
            .as_ref()
            .is_some_and(|spooled| spooled.tried_at.elapsed() < STORE_PAUSE)
        {
            return Err(DbError::Busy);
        }
        self.profile
            .store
            .write(Write::Enqueue {
                entries: entries.to_vec(),
                clears_draft: false,
            })
            .await
    }

    fn spool(&mut self, entries: &[NewEntry]) -> Result<(), Failure> {
        spool::keep(&self.profile.folder, entries)
            .map_err(|error| Failure::new(exit::DISK, format!("not saved: {error}")))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a command has the system's clock"
        )]
        let tried_at = Instant::now();
        let spooled = self.spooled.get_or_insert_with(|| Spooled {
            ids: Vec::new(),
            tried_at,
        });
        if spooled.tried_at.elapsed() >= STORE_PAUSE {
            spooled.tried_at = tried_at;
        }
        spooled.ids.extend(entries.iter().map(|entry| entry.id));
        Ok(())
    }

    fn entry(&self, body: String) -> NewEntry {
        NewEntry::plain(
            system::entry_id(),
            system::unix_ms(),
            self.room,
            Kind::Message,
            body,
        )
    }

    /// Number of saved messages.
    pub(super) const fn count(&self) -> usize {
        self.kept
    }

    /// Whether stored messages are sent while this command waits.
    pub(super) const fn has_link(&self) -> bool {
        self.running.is_some()
    }

    /// Waits until an entry has left the outbox.
    pub(super) async fn some_left(&mut self) -> Result<(), Failure> {
        let before = self.reader.waiting()?;
        while self.reader.waiting()? >= before {
            self.changed().await?;
        }
        Ok(())
    }

    async fn settled(&mut self) -> Result<(), Failure> {
        loop {
            self.look()?;
            if self.unsettled.is_empty() {
                return Ok(());
            }
            self.changed().await?;
        }
    }

    async fn changed(&mut self) -> Result<(), Failure> {
        match self.changes.recv().await {
            Err(RecvError::Closed) => Err(Failure::new(exit::SOFTWARE, "the store's thread ended")),
            Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
        }
    }

    /// Forgets the messages, from the first one on, that are acknowledged or rejected. It ends at
    /// the first one that is pending: those behind it are hardly ever acknowledged before it, and
    /// reading all of them at each change would cost their number squared.
    fn look(&mut self) -> Result<(), Failure> {
        while let Some(id) = self.unsettled.first().copied() {
            if self.is_pending(id)? {
                break;
            }
            self.unsettled.remove(&id);
        }
        Ok(())
    }

    /// The same for all of them: then it is known how many are pending.
    fn look_at_all(&mut self) -> Result<(), Failure> {
        for id in self.unsettled.clone() {
            if !self.is_pending(id)? {
                self.unsettled.remove(&id);
            }
        }
        Ok(())
    }

    /// Whether a message is not acknowledged yet. One that was rejected is remembered.
    fn is_pending(&mut self, id: EntryId) -> Result<bool, Failure> {
        let rejected = match self.reader.fate(id)? {
            Some((OwnMark::Queued | OwnMark::Sent, _)) => return Ok(true),
            Some((OwnMark::Acked | OwnMark::Delivered | OwnMark::Read, _)) => return Ok(false),
            Some((OwnMark::Rejected, why)) => {
                let why = why.unwrap_or_default();
                format!("rejected: {why}; see `landfall outbox`")
            }
            None => "a message was deleted from the outbox before it was acknowledged".to_owned(),
        };
        self.rejected.get_or_insert(rejected);
        Ok(false)
    }

    /// Waits for the result of a write that a signal interrupted.
    async fn settle_handed(&mut self) -> Result<(), Failure> {
        let handed = std::mem::take(&mut self.handed);
        if handed.is_empty() {
            return Ok(());
        }
        // Answered after the interrupted write, which may have failed.
        let _ = self.profile.store.write(Write::Barrier).await;
        for id in handed {
            if self.reader.fate(id)?.is_some() {
                self.kept += 1;
                self.unsettled.insert(id);
            }
        }
        Ok(())
    }

    /// Reports the unacknowledged messages, with the cause and the process that will send them.
    pub(super) async fn later(&mut self) -> Result<u8, Failure> {
        self.settle_handed().await?;
        if self.spooled.is_some() {
            print::note(
                "another landfall process is suspended (Ctrl-Z) during a write: the message is saved in the folder spool, and is sent the next time landfall runs with this profile",
            );
            return Ok(exit::LATER);
        }
        self.look_at_all()?;
        let what = match (self.unsettled.len(), self.kept) {
            (_, 0) => return Err(Failure::new(exit::DISK, "ended before anything was saved")),
            (0, all) => {
                print::note(format!(
                    "interrupted: {all} messages are on the server, later lines were not saved"
                ));
                return Ok(exit::LATER);
            }
            (1, 1) => "the message is".to_owned(),
            (waiting, all) if waiting == all => format!("{all} messages are"),
            (1, all) => format!("1 of {all} messages is"),
            (waiting, all) => format!("{waiting} of {all} messages are"),
        };
        print::note(format!(
            "{what} saved, not acknowledged yet: {}",
            self.who_sends_on()
        ));
        Ok(exit::LATER)
    }

    fn who_sends_on(&self) -> String {
        let status = self
            .running
            .as_ref()
            .map(|running| running.client.status().borrow().clone());
        let (them, they_are) = match self.unsettled.len() {
            1 => ("it", "it is"),
            _ => ("them", "they are"),
        };
        let next = format!("{they_are} sent the next time landfall runs with this profile");
        let Some(status) = status else {
            let owner = LinkLock::of(&self.profile.folder).holder();
            let why = owner.map(|pid| Cause::NotOwner { pid: Some(pid) });
            return why.map_or(next, |why| {
                format!("{why} and sends {them} once it is connected")
            });
        };
        match &status.link {
            LinkState::Offline {
                why: why @ Cause::NotOwner { .. },
            } => format!("{why} and sends {them} once it is connected"),
            LinkState::Offline { why } if why.is_without_access() => format!("{why}{}", exit::ANEW),
            LinkState::Backoff { cause, .. } | LinkState::Offline { why: cause } => {
                format!("{cause}; {next}")
            }
            LinkState::Connecting { .. }
            | LinkState::Resyncing { .. }
            | LinkState::Connected { .. } => {
                let deferral = status
                    .rooms
                    .get(&self.room)
                    .and_then(|room| room.deferral.clone());
                deferral.map_or_else(|| next.clone(), |deferral| format!("{deferral}; {next}"))
            }
        }
    }

    pub(super) async fn end(self) -> Result<(), Failure> {
        if let Some(running) = &self.running {
            running.client.quit().await;
            if self.spooled.is_none() {
                self.profile.store.write(Write::Barrier).await?; // behind the last line of the journal
            }
        }
        Ok(())
    }
}

/// Checks that a text fits in one message.
pub(super) fn check(body: &str, what: &str) -> Result<(), Failure> {
    if body.len() > BODY_BYTES_MAX || encoded_body_len(body) > BODY_ENCODED_BYTES_MAX {
        return Err(too_long(what));
    }
    Ok(())
}

pub(super) fn too_long(what: &str) -> Failure {
    let text = format!(
        "{what} is too long: at most {BODY_BYTES_MAX} bytes fit in one message; it was not saved"
    );
    Failure::new(exit::REJECTED, text)
}
