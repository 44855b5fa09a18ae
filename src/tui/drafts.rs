//! Saves unsent texts: in the store, and when that is impossible, in the draft file.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Write;
use crate::client::store::{Draft, DraftFile, Store};
use crate::protocol::RoomId;

/// Time between the last key and the save of the draft.
const PAUSE: Duration = Duration::from_millis(150);

/// The unsaved drafts of a screen.
pub(super) struct Drafts {
    store: Store,
    /// `None` if it cannot be made; then a text that the store rejects is only in memory.
    file: Option<DraftFile>,
    /// Rooms whose text changed after it was saved.
    changed: BTreeSet<RoomId>,
    /// Rooms whose text could not be saved anywhere.
    unsaved: BTreeSet<RoomId>,
    due: Option<Instant>,
}

impl Drafts {
    pub(super) fn new(store: Store) -> Self {
        let file = store.draft_file();
        if let Err(error) = &file {
            tracing::warn!(%error, "there is no draft file");
        }
        Self {
            store,
            file: file.ok(),
            changed: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            due: None,
        }
    }

    /// Returns drafts that the store could not save when they were typed.
    pub(super) fn kept(&self) -> &[Draft] {
        self.file.as_ref().map_or(&[], DraftFile::drafts)
    }

    /// The text of a room changed.
    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    pub(super) fn on_changed(&mut self, room: RoomId) {
        self.changed.insert(room);
        self.due.get_or_insert(Instant::now() + PAUSE);
    }

    /// The text of a room is being moved to the outbox. Saved after that, it would become a draft
    /// again.
    pub(super) fn on_submitted(&mut self, room: RoomId) {
        self.changed.remove(&room);
    }

    /// Returns when to call [`Drafts::take_changed`] next.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the rooms whose texts must be saved now.
    pub(super) fn take_changed(&mut self) -> BTreeSet<RoomId> {
        self.due = None;
        std::mem::take(&mut self.changed)
    }

    /// Returns the rooms whose texts are on no disk.
    pub(super) fn in_memory(&self) -> BTreeSet<RoomId> {
        self.unsaved.clone()
    }

    /// Saves a text.
    ///
    /// # Errors
    /// Why it is in memory only.
    pub(super) async fn save(&mut self, room: RoomId, text: String) -> Result<(), String> {
        self.changed.remove(&room);
        let in_store = self
            .store
            .write(Write::Draft {
                room,
                text: text.clone(),
            })
            .await;
        let in_file = match &in_store {
            Ok(_) => String::new(), // the newer text is in the store
            Err(_) => text,
        };
        if self.file.is_none() && in_store.is_err() {
            self.file = self.store.draft_file().ok(); // it may be possible now
        }
        let in_file = match &mut self.file {
            Some(file) => file
                .put(Draft {
                    room,
                    text: in_file,
                })
                .map_err(|error| error.to_string()),
            None => Err("there is no draft file".to_owned()),
        };
        if in_file.is_err() {
            self.file = None; // opened again at the next attempt
        }
        let saved = in_store
            .map(|_| ())
            .map_err(|error| error.to_string())
            .or(in_file);
        match &saved {
            Ok(()) => self.unsaved.remove(&room),
            Err(_) => self.unsaved.insert(room),
        };
        saved
    }

    /// The text became a message; the store cleared its draft in the same transaction.
    pub(super) fn on_sent(&mut self, room: RoomId) {
        self.unsaved.remove(&room);
        if let Some(file) = &mut self.file {
            let _ = file.put(Draft {
                room,
                text: String::new(),
            }); // otherwise it would only return as a draft
        }
    }
}
