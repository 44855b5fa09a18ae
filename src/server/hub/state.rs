//! The state under the hub's lock: connections, sessions, and the rooms in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};

use super::signal_queue::SignalQueue;
use super::{ConnectionId, Fence};
use crate::protocol::{AccountId, Bye, DeviceId, Dial, InstanceId, Position, RoomId, SessionId};
use crate::server::session;

/// The account, device and session of an admitted connection.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    pub(super) session: SessionId,
}

pub(super) struct HubConnection {
    pub(super) events: mpsc::Sender<session::Input>,
    pub(super) signals: Arc<SignalQueue>,
    pub(super) lagged: Arc<AtomicBool>,
    pub(super) bye: watch::Sender<Option<Bye>>,
    pub(super) fence: Fence,
    /// Set once the device is admitted.
    pub(super) owner: Option<Owner>,
}

impl HubConnection {
    pub(super) fn notify(&self, input: session::Input) {
        if self.events.try_send(input).is_err() {
            self.lagged.store(true, Ordering::Release);
        }
    }
}

/// The presence of one device; it survives a short disconnect.
pub(super) struct Presence {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    pub(super) connection: Option<ConnectionId>,
}

#[derive(Default)]
pub(super) struct RoomEntry {
    pub(super) head: Option<Position>,
    pub(super) listeners: BTreeSet<ConnectionId>,
    pub(super) online: BTreeSet<AccountId>,
}

impl RoomEntry {
    pub(super) fn is_used(&self) -> bool {
        !self.listeners.is_empty() || !self.online.is_empty()
    }
}

/// The latest connection of a device. Its fence is kept here, since appends of a connection can be
/// pending after its end.
pub(super) struct Newest {
    pub(super) connection: ConnectionId,
    pub(super) instance: InstanceId,
    pub(super) dial: Dial,
    pub(super) fence: Fence,
}

#[derive(Default)]
pub(super) struct HubState {
    pub(super) connections: BTreeMap<ConnectionId, HubConnection>,
    pub(super) next: u64,
    /// The latest connection of each device.
    pub(super) devices: BTreeMap<DeviceId, Newest>,
    pub(super) sessions: BTreeMap<SessionId, Presence>,
    pub(super) rooms: BTreeMap<RoomId, RoomEntry>,
    pub(super) draining: bool,
}

impl HubState {
    pub(super) fn notify_room(&self, room: RoomId, input: impl Fn() -> session::Input) {
        let Some(entry) = self.rooms.get(&room) else {
            return;
        };
        for connection in entry
            .listeners
            .iter()
            .filter_map(|id| self.connections.get(id))
        {
            connection.notify(input());
        }
    }

    pub(super) fn add_presence(&mut self, room: RoomId, account: AccountId) {
        let entry = self.rooms.entry(room).or_default();
        if entry.online.insert(account) {
            let online = entry.online.len() as u64;
            self.notify_room(room, || session::Input::Presence(room, online));
        }
    }

    pub(super) fn remove_presence(&mut self, room: RoomId, account: AccountId) {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        if entry.online.remove(&account) {
            let online = entry.online.len() as u64;
            self.notify_room(room, || session::Input::Presence(room, online));
        }
        self.forget_unused(room);
    }

    /// A room without subscribers and without online members costs nothing.
    pub(super) fn forget_unused(&mut self, room: RoomId) {
        if self.rooms.get(&room).is_some_and(|entry| !entry.is_used()) {
            self.rooms.remove(&room);
        }
    }

    pub(super) fn end_session(&mut self, session: SessionId) {
        let Some(ended) = self.sessions.remove(&session) else {
            return;
        };
        if self
            .sessions
            .values()
            .any(|presence| presence.account == ended.account)
        {
            return; // another device of the account is online
        }
        let rooms: Vec<_> = self
            .rooms
            .iter()
            .filter(|(_, entry)| entry.online.contains(&ended.account))
            .map(|(room, _)| *room)
            .collect();
        for room in rooms {
            self.remove_presence(room, ended.account);
        }
    }
}
