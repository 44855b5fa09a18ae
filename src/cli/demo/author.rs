//! Writes messages for a user of the demo.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::naive::NaiveKeys;
use crate::cli::exit::Failure;
use crate::client::store::Store;
use crate::client::{NewEntry, Outcome, Write};
use crate::protocol::{EntryId, Kind, RoomId};
use crate::system;

/// Writes messages for one user and remembers them, for the proof.
#[derive(Clone)]
pub(super) struct MessageAuthor {
    store: Store,
    room: RoomId,
    typed: Arc<Mutex<Vec<(EntryId, String)>>>,
    /// The naive chat that gets the same keys.
    naive: Option<NaiveKeys>,
    on_enter: Option<OnEnter>,
}

/// Gets the id and the text of each line before any chat has it.
pub(super) type OnEnter = Arc<dyn Fn(EntryId, &str) + Send + Sync>;

impl MessageAuthor {
    pub(super) fn new(store: Store, room: RoomId) -> Self {
        Self {
            store,
            room,
            typed: Arc::default(),
            naive: None,
            on_enter: None,
        }
    }

    /// From now on, each line is reported when it is typed.
    pub(super) fn reports_to(&mut self, on_enter: OnEnter) {
        self.on_enter = Some(on_enter);
    }

    /// From now on, each line is typed into this naive chat too.
    pub(super) fn types_into(&mut self, chat: NaiveKeys) {
        self.naive = Some(chat);
    }

    pub(super) fn typed(&self) -> MutexGuard<'_, Vec<(EntryId, String)>> {
        // every critical section leaves a valid state
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_enter(&self, lines: &[(EntryId, String)]) {
        for (id, body) in lines {
            if let Some(report) = &self.on_enter {
                report(*id, body);
            }
            if let Some(chat) = &self.naive {
                let _ = chat.send(body.clone()); // the chat ends with the demo
            }
        }
    }

    pub(super) const fn room(&self) -> RoomId {
        self.room
    }

    /// Sends a line as the composer does: it is saved before anything else happens.
    pub(super) async fn send(&self, text: &str) -> Result<(), Failure> {
        self.send_all(std::iter::once(text.to_owned())).await
    }

    /// Sends several lines at once.
    pub(super) async fn send_all(
        &self,
        texts: impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let entry = |body| {
            NewEntry::plain(
                system::entry_id(),
                system::unix_ms(),
                self.room,
                Kind::Message,
                body,
            )
        };
        let entries: Vec<_> = texts.map(entry).collect();
        let typed: Vec<_> = entries
            .iter()
            .map(|entry| (entry.id, entry.body.clone()))
            .collect();
        self.on_enter(&typed);
        let write = Write::Enqueue {
            entries,
            clears_draft: false,
        };
        if self.store.write(write).await? == Outcome::Queued {
            self.typed().extend(typed);
        }
        Ok(())
    }
}
