//! The connections of a server, their subscriptions, and presence. Publishes appended entries.
//!
//! One lock, never kept across an await and never while the disk is used. The events of a connection
//! are bounded: a slow connection is informed that it missed some, and reads the log instead.

mod signal_queue;
mod state;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::signal_queue::SignalQueue;
use self::state::{HubConnection, HubState, Newest, Owner, Presence};
use super::session;
use super::session::Live;
use super::storage::Watermarks;
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, Bye, CloseCode, DeviceId, Dial, InstanceId, Position, Room, RoomId, ServerId,
    SessionId, Signal, limits,
};
use crate::system;

/// Maximum pending events of one connection. With more, it is only marked as lagging.
const EVENTS_MAX: usize = 128;
/// After a shutdown, the reconnects of n connections are spread over n times this time, ms.
const SPREAD_MS_EACH: u64 = 2;
/// Maximum time over which they are spread in all, ms.
const SPREAD_MS_MAX: u64 = 10_000;

/// The close reason for a revoked device.
pub(super) const REVOKED: &str = "this device was revoked";

/// The number of a connection, unique within the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConnectionId(u64);

/// Set once a newer connection of the device took over: the server then ignores everything still in
/// flight from the older one.
pub type Fence = Arc<AtomicBool>;

/// The hub's interface for one connection.
pub struct HubHandle {
    pub id: ConnectionId,
    /// Set once the connection is replaced or revoked.
    pub fence: Fence,
    /// Events of other connections.
    pub events: mpsc::Receiver<session::Input>,
    /// Set when events were dropped: [`Hub::catch_up`] returns the current state instead.
    pub lagged: Arc<AtomicBool>,
    /// Pending ephemeral signals.
    pub signals: Arc<SignalQueue>,
    /// The `bye` to send.
    pub bye: watch::Receiver<Option<Bye>>,
}

/// Connects the connections of one server with each other. It owns which connections exist, which
/// rooms they listen to, and who is online in a room.
///
/// A connection registers itself, listens to rooms, and receives session inputs through its
/// bounded channel. The committer publishes appended entries here.
///
/// Invariants:
/// - The lock is never kept across an `await`, and never while the disk is used.
/// - A device has one current connection; the one before it is fenced first.
/// - A connection whose channel is full loses no entry: it is marked as lagging and reads its log
///   from the storage.
pub struct Hub {
    state: Mutex<HubState>,
    pub server: ServerId,
    connections: watch::Sender<usize>,
}

impl Hub {
    /// Makes a hub without connections.
    #[must_use]
    pub fn new(server: ServerId) -> Self {
        Self {
            state: Mutex::default(),
            server,
            connections: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, HubState> {
        // every critical section leaves a valid state
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection that was just upgraded.
    pub fn connect(&self) -> HubHandle {
        let (events, events_rx) = mpsc::channel(EVENTS_MAX);
        let (bye, bye_rx) = watch::channel(None);
        let (lagged, fence) = (Arc::new(AtomicBool::new(false)), Fence::default());
        let mut state = self.state();
        state.next += 1;
        let id = ConnectionId(state.next);
        if state.draining {
            let _ = bye.send(Some(draining(0)));
        }
        let signals = Arc::<SignalQueue>::default();
        let connection = HubConnection {
            events,
            signals: signals.clone(),
            lagged: lagged.clone(),
            bye,
            fence: fence.clone(),
            owner: None,
        };
        state.connections.insert(id, connection);
        self.connections.send_replace(state.connections.len());
        HubHandle {
            id,
            fence,
            events: events_rx,
            lagged,
            signals,
            bye: bye_rx,
        }
    }

    /// Registers an admitted connection. Fences the device's older connection and sends it a `bye`.
    /// Returns the session and whether it was resumed.
    ///
    /// # Errors
    /// The `bye` for a dial that is older than the device's latest one.
    pub fn register(
        &self,
        id: ConnectionId,
        owner: (AccountId, DeviceId),
        from: (InstanceId, Dial),
        resume: Option<SessionId>,
    ) -> Result<(SessionId, bool), Bye> {
        let mut state = self.state();
        let (account, device) = owner;
        let Some(fence) = state
            .connections
            .get(&id)
            .map(|connection| connection.fence.clone())
        else {
            // Registered now, it would stay online for ever: its end is over.
            return Err(bye(
                CloseCode::Normal,
                "the connection ended before it was admitted",
            ));
        };
        let owner_key = if planted_bug!(OneLinkForAccount) {
            DeviceId::from_bytes(*account.as_bytes())
        } else {
            device
        };
        if let Some(old) = state.devices.get(&owner_key) {
            if old.instance == from.0 && from.1 < old.dial && !planted_bug!(StaleDial) {
                return Err(bye(
                    CloseCode::StaleDial,
                    "a newer dial of this process is connected",
                ));
            }
            old.fence.store(true, Ordering::Release);
            if let Some(old) = state.connections.get(&old.connection) {
                let replaced = Bye {
                    instance: Some(from.0),
                    ..bye(
                        CloseCode::Replaced,
                        "a newer connection of this device took over",
                    )
                };
                let _ = old.bye.send(Some(replaced)); // it may have ended
            }
        }
        state.devices.insert(
            owner_key,
            Newest {
                connection: id,
                instance: from.0,
                dial: from.1,
                fence,
            },
        );
        let kept = resume.filter(|session| {
            state
                .sessions
                .get(session)
                .is_some_and(|known| known.device == device)
        });
        let session = kept.unwrap_or_else(|| SessionId::from_random(system::random()));
        // A device has one session: a former one that was not resumed ends here.
        state
            .sessions
            .retain(|known, presence| presence.device != device || *known == session);
        state.sessions.insert(
            session,
            Presence {
                account,
                device,
                connection: Some(id),
            },
        );
        if let Some(connection) = state.connections.get_mut(&id) {
            connection.owner = Some(Owner {
                account,
                device,
                session,
            });
        }
        Ok((session, kept.is_some()))
    }

    /// Adds the presence of an admitted account to its rooms.
    pub fn join_rooms(&self, id: ConnectionId, account: AccountId, rooms: &[Room]) {
        let mut state = self.state();
        if !state.connections.contains_key(&id) {
            return; // it has ended
        }
        for room in rooms {
            state.add_presence(room.room, account);
        }
    }

    /// Removes a connection that ended. A newer connection of the device keeps the session. Returns
    /// the session that can be resumed, if the connection was not closed cleanly.
    pub fn disconnect(&self, id: ConnectionId, is_clean: bool) -> Option<SessionId> {
        let mut state = self.state();
        let connection = state.connections.remove(&id);
        self.connections.send_replace(state.connections.len());
        state.rooms.retain(|_, room| {
            room.listeners.remove(&id);
            room.is_used()
        });
        let Owner { session, .. } = connection?.owner?;
        let is_own =
            |presence: &&mut Presence| presence.connection == Some(id) || planted_bug!(LateEnd);
        let presence = state.sessions.get_mut(&session).filter(is_own)?;
        presence.connection = None;
        if is_clean {
            state.end_session(session);
            return None;
        }
        Some(session)
    }

    /// Waits for the time in which a session can be resumed, then ends it.
    pub async fn expire(&self, session: SessionId) {
        tokio::time::sleep(Duration::from_millis(limits::SESSION_MS_MAX)).await;
        self.expire_now(session);
    }

    /// Ends a session, unless its device is connected again.
    pub fn expire_now(&self, session: SessionId) {
        let mut state = self.state();
        if state
            .sessions
            .get(&session)
            .is_some_and(|presence| presence.connection.is_none())
        {
            state.end_session(session);
        }
    }

    /// Subscribes a connection to the live entries of a room: all entries appended from now on.
    pub fn listen(&self, id: ConnectionId, room: RoomId) {
        let mut state = self.state();
        let hub_room = state.rooms.entry(room).or_default();
        hub_room.listeners.insert(id);
        let online = hub_room.online.len() as u64;
        if let Some(connection) = state.connections.get(&id) {
            connection.notify(session::Input::Presence(room, online));
        }
    }

    /// Ends the subscription of a connection to a room.
    pub fn unlisten(&self, id: ConnectionId, room: RoomId) {
        let mut state = self.state();
        if let Some(hub_room) = state.rooms.get_mut(&room) {
            hub_room.listeners.remove(&id);
        }
        state.forget_unused(room);
    }

    /// Publishes a run of entries that is on disk.
    pub fn publish(&self, live: &Arc<Live>) {
        let mut state = self.state();
        if let Some(hub_room) = state.rooms.get_mut(&live.room) {
            hub_room.head = Some(live.last);
        }
        state.notify_room(live.room, || session::Input::Live(live.clone()));
    }

    /// Publishes a log's head when some entries up to it may never have been published: subscriptions
    /// then read them from the storage.
    pub fn publish_head(&self, room: RoomId, head: Position) {
        let mut state = self.state();
        if let Some(hub_room) = state.rooms.get_mut(&room) {
            hub_room.head = Some(head);
        }
        state.notify_room(room, || session::Input::Heads(vec![(room, head)]));
    }

    /// Publishes the lowest watermarks of a room.
    pub fn publish_watermarks(&self, lowest: Watermarks) {
        self.state()
            .notify_room(lowest.room, || session::Input::Watermarks(lowest));
    }

    /// Publishes an ephemeral signal.
    pub fn publish_signal(&self, signal: &Arc<Signal>) {
        let state = self.state();
        let Some(hub_room) = state.rooms.get(&signal.room) else {
            return;
        };
        for connection in hub_room
            .listeners
            .iter()
            .filter_map(|id| state.connections.get(id))
        {
            connection.signals.put(signal);
        }
    }

    /// Publishes a changed room to the connections of one account.
    pub fn publish_room(&self, account: AccountId, room: &Room) {
        let mut state = self.state();
        let is_online = state
            .sessions
            .values()
            .any(|presence| presence.account == account);
        match room.member {
            true if is_online => state.add_presence(room.room, account),
            true => {}
            false => state.remove_presence(room.room, account),
        }
        for connection in state.connections.values().filter(|connection| {
            connection
                .owner
                .is_some_and(|owner| owner.account == account)
        }) {
            connection.notify(session::Input::Room(room.clone()));
        }
    }

    /// Returns the online members of a room.
    pub fn online(&self, room: RoomId) -> BTreeSet<AccountId> {
        self.state()
            .rooms
            .get(&room)
            .map(|hub_room| hub_room.online.clone())
            .unwrap_or_default()
    }

    /// Returns the inputs that replace dropped events of a connection: heads and presence of its
    /// subscribed rooms. The driver reads the account's rooms from the storage.
    pub fn catch_up(&self, id: ConnectionId) -> Vec<session::Input> {
        let state = self.state();
        let rooms = || {
            state
                .rooms
                .iter()
                .filter(|(_, hub_room)| hub_room.listeners.contains(&id))
        };
        let heads = rooms()
            .filter_map(|(room, hub_room)| Some((*room, hub_room.head?)))
            .collect();
        let presence = rooms()
            .map(|(room, hub_room)| session::Input::Presence(*room, hub_room.online.len() as u64));
        std::iter::once(session::Input::Heads(heads))
            .chain(presence)
            .collect()
    }

    /// Sends a `bye` to every connection, with hints that spread the reconnects, and waits until all
    /// have ended.
    pub async fn drain(&self) {
        {
            let mut state = self.state();
            state.draining = true;
            let spread = (state.connections.len() as u64 * SPREAD_MS_EACH).min(SPREAD_MS_MAX);
            for connection in state.connections.values() {
                let hint = u64::from_le_bytes(system::random()) % (spread + 1);
                let _ = connection.bye.send(Some(draining(hint))); // it may have ended
            }
        }
        let mut connections = self.connections.subscribe();
        let _ = connections.wait_for(|count| *count == 0).await; // the sender is part of `self`
    }

    /// Returns the devices that are connected.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        self.state()
            .connections
            .values()
            .filter_map(|connection| connection.owner.map(|owner| owner.device))
            .collect()
    }

    /// Fences and closes the connections of a revoked device.
    pub fn revoke(&self, device: DeviceId) {
        let state = self.state();
        for connection in state
            .connections
            .values()
            .filter(|connection| connection.owner.is_some_and(|owner| owner.device == device))
        {
            connection.fence.store(true, Ordering::Release);
            // it may have ended
            let _ = connection
                .bye
                .send(Some(bye(CloseCode::Unauthorized, REVOKED)));
        }
    }

    /// Number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.state().connections.len()
    }
}

/// Makes a `bye` without hints.
#[must_use]
pub fn bye(code: CloseCode, reason: &str) -> Bye {
    Bye {
        code,
        reason: reason.to_owned(),
        retry_after_ms: None,
        instance: None,
    }
}

fn draining(hint_ms: u64) -> Bye {
    Bye {
        retry_after_ms: Some(hint_ms + 300),
        ..bye(CloseCode::Draining, "server is shutting down")
    }
}

#[cfg(test)]
mod tests;
