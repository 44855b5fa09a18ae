//! Who is connected, who listens to which room, and who is here. Hands on what was appended.
//!
//! One lock, never held across an await and never while the disk is touched. A connection's events are bounded: one that
//! does not keep up is told only that it missed some, and reads the log instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::session::{Input, Live};
use super::storage::Floor;
use crate::protocol::{
    AccountId, Bye, CloseCode, DeviceId, Dial, InstanceId, Position, Room, RoomId, ServerId, SessionId, Signal, limits,
};
use crate::system;

/// Events of one connection before it is told that it missed some.
const EVENTS_MAX: usize = 128;
/// Clients that come back after a drain are spread over this much time each, up to the second figure.
const SPREAD_MS_EACH: u64 = 2;
const SPREAD_MS_MAX: u64 = 10_000;

/// Names one connection for as long as the process runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LinkId(u64);

/// Set once a newer link of the device took over: what this link still has on its way is not taken any more.
pub(super) type Fence = Arc<AtomicBool>;

/// One connection's side of the hub.
pub(super) struct Membership {
    pub(super) id: LinkId,
    pub(super) fence: Fence,
    pub(super) events: mpsc::Receiver<Input>,
    pub(super) lagged: Arc<AtomicBool>,
    pub(super) bye: watch::Receiver<Option<Bye>>,
}

struct Link {
    events: mpsc::Sender<Input>,
    lagged: Arc<AtomicBool>,
    bye: watch::Sender<Option<Bye>>,
    fence: Fence,
    owner: Option<(AccountId, DeviceId, SessionId)>,
}

impl Link {
    fn tell(&self, input: Input) {
        if self.events.try_send(input).is_err() {
            self.lagged.store(true, Ordering::Release);
        }
    }
}

/// One device's presence; outlives a short cut.
struct Presence {
    account: AccountId,
    device: DeviceId,
    link: Option<LinkId>,
}

#[derive(Default)]
struct RoomEntry {
    head: Option<Position>,
    listeners: BTreeSet<LinkId>,
    here: BTreeSet<AccountId>,
}

#[derive(Default)]
struct State {
    links: BTreeMap<LinkId, Link>,
    next: u64,
    /// The newest link of each device.
    devices: BTreeMap<DeviceId, (LinkId, InstanceId, Dial)>,
    sessions: BTreeMap<SessionId, Presence>,
    rooms: BTreeMap<RoomId, RoomEntry>,
    draining: bool,
}

/// The hub of one server.
pub(super) struct Hub {
    state: Mutex<State>,
    pub(super) server: ServerId,
    links: watch::Sender<usize>,
}

impl Hub {
    pub(super) fn new(server: ServerId) -> Self {
        Self { state: Mutex::default(), server, links: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // no critical section leaves it half changed
    }

    /// A connection that was just upgraded.
    pub(super) fn enter(&self) -> Membership {
        let (events, events_rx) = mpsc::channel(EVENTS_MAX);
        let (bye, bye_rx) = watch::channel(None);
        let (lagged, fence) = (Arc::new(AtomicBool::new(false)), Fence::default());
        let mut state = self.state();
        state.next += 1;
        let id = LinkId(state.next);
        if state.draining {
            let _ = bye.send(Some(draining(0)));
        }
        let link = Link { events, lagged: lagged.clone(), bye, fence: fence.clone(), owner: None };
        state.links.insert(id, link);
        self.links.send_replace(state.links.len());
        Membership { id, fence, events: events_rx, lagged, bye: bye_rx }
    }

    /// The device's older link is fenced off and told so, before this one is welcomed.
    ///
    /// # Errors
    /// The goodbye for a dial that is older than one that was seen already.
    pub(super) fn register(
        &self,
        id: LinkId,
        owner: (AccountId, DeviceId),
        from: (InstanceId, Dial),
        resume: Option<SessionId>,
    ) -> Result<(SessionId, bool), Bye> {
        let mut state = self.state();
        let (account, device) = owner;
        if let Some((old, instance, dial)) = state.devices.get(&device).copied() {
            if instance == from.0 && from.1 < dial {
                return Err(bye(CloseCode::StaleDial, "a newer dial of this process was seen"));
            }
            if let Some(old) = state.links.get(&old) {
                old.fence.store(true, Ordering::Release);
                let replaced = Bye { instance: Some(from.0), ..bye(CloseCode::Replaced, "a newer link took over") };
                let _ = old.bye.send(Some(replaced)); // it may be gone already
            }
        }
        state.devices.insert(device, (id, from.0, from.1));
        let kept = resume.filter(|session| state.sessions.get(session).is_some_and(|known| known.device == device));
        let session = kept.unwrap_or_else(|| SessionId::from_random(system::random()));
        // A device has one presence: what an older one without its id left behind ends here.
        state.sessions.retain(|known, presence| presence.device != device || *known == session);
        state.sessions.insert(session, Presence { account, device, link: Some(id) });
        if let Some(link) = state.links.get_mut(&id) {
            link.owner = Some((account, device, session));
        }
        Ok((session, kept.is_some()))
    }

    /// An account that was let in is here, in all of its rooms.
    pub(super) fn arrive(&self, account: AccountId, rooms: &[Room]) {
        let mut state = self.state();
        for room in rooms {
            state.come(room.room, account);
        }
    }

    /// The connection ended. What belongs to a newer link of the device is left alone. Returns the session that lives on.
    pub(super) fn leave(&self, id: LinkId, said_goodbye: bool) -> Option<SessionId> {
        let mut state = self.state();
        let link = state.links.remove(&id);
        self.links.send_replace(state.links.len());
        state.rooms.values_mut().for_each(|room| {
            room.listeners.remove(&id);
        });
        let (_, _, session) = link?.owner?;
        let presence = state.sessions.get_mut(&session).filter(|presence| presence.link == Some(id))?;
        presence.link = None;
        if said_goodbye {
            state.end_session(session);
            return None;
        }
        Some(session)
    }

    /// A session whose link did not come back in time.
    pub(super) async fn expire(&self, session: SessionId) {
        tokio::time::sleep(Duration::from_millis(limits::SESSION_MS_MAX)).await;
        let mut state = self.state();
        if state.sessions.get(&session).is_some_and(|presence| presence.link.is_none()) {
            state.end_session(session);
        }
    }

    /// Registers for live entries; what is appended from here on is told.
    pub(super) fn listen(&self, id: LinkId, room: RoomId) {
        let mut state = self.state();
        let entry = state.rooms.entry(room).or_default();
        entry.listeners.insert(id);
        let here = entry.here.len() as u64;
        if let Some(link) = state.links.get(&id) {
            link.tell(Input::Presence(room, here));
        }
    }

    pub(super) fn unlisten(&self, id: LinkId, room: RoomId) {
        if let Some(entry) = self.state().rooms.get_mut(&room) {
            entry.listeners.remove(&id);
        }
    }

    /// Hands on a run that is on disk.
    pub(super) fn publish(&self, live: &Arc<Live>) {
        let mut state = self.state();
        state.rooms.entry(live.room).or_default().head = Some(live.last);
        state.tell_room(live.room, || Input::Live(live.clone()));
    }

    pub(super) fn publish_floor(&self, floor: Floor) {
        self.state().tell_room(floor.room, || Input::Floor(floor));
    }

    pub(super) fn publish_signal(&self, signal: &Arc<Signal>) {
        self.state().tell_room(signal.room, || Input::Signal(signal.clone()));
    }

    /// A room as one account sees it changed.
    pub(super) fn publish_room(&self, account: AccountId, room: &Room) {
        let mut state = self.state();
        let is_here = state.sessions.values().any(|presence| presence.account == account);
        match room.member {
            true if is_here => state.come(room.room, account),
            true => {}
            false => state.go(room.room, account),
        }
        for link in state.links.values().filter(|link| link.owner.is_some_and(|owner| owner.0 == account)) {
            link.tell(Input::Room(room.clone()));
        }
    }

    /// The accounts that are connected and in a room.
    pub(super) fn here(&self, room: RoomId) -> BTreeSet<AccountId> {
        self.state().rooms.get(&room).map(|entry| entry.here.clone()).unwrap_or_default()
    }

    /// What a connection that missed some news is told instead: heads and presence of the rooms that it listens to.
    pub(super) fn catch_up(&self, id: LinkId) -> Vec<Input> {
        let state = self.state();
        let rooms = || state.rooms.iter().filter(|(_, entry)| entry.listeners.contains(&id));
        let heads = rooms().filter_map(|(room, entry)| Some((*room, entry.head?))).collect();
        let presence = rooms().map(|(room, entry)| Input::Presence(*room, entry.here.len() as u64));
        std::iter::once(Input::Heads(heads)).chain(presence).collect()
    }

    /// Says goodbye to everybody, with hints that bring them back apart, and waits until they are gone.
    pub(super) async fn drain(&self) {
        {
            let mut state = self.state();
            state.draining = true;
            let spread = (state.links.len() as u64 * SPREAD_MS_EACH).min(SPREAD_MS_MAX);
            for link in state.links.values() {
                let hint = u64::from_le_bytes(system::random()) % (spread + 1);
                let _ = link.bye.send(Some(draining(hint))); // it may be gone already
            }
        }
        let mut links = self.links.subscribe();
        let _ = links.wait_for(|count| *count == 0).await; // the sender lives in self
    }

    pub(super) fn link_count(&self) -> usize {
        self.state().links.len()
    }
}

impl State {
    fn tell_room(&self, room: RoomId, input: impl Fn() -> Input) {
        let Some(entry) = self.rooms.get(&room) else { return };
        for link in entry.listeners.iter().filter_map(|id| self.links.get(id)) {
            link.tell(input());
        }
    }

    fn come(&mut self, room: RoomId, account: AccountId) {
        let entry = self.rooms.entry(room).or_default();
        if entry.here.insert(account) {
            let here = entry.here.len() as u64;
            self.tell_room(room, || Input::Presence(room, here));
        }
    }

    fn go(&mut self, room: RoomId, account: AccountId) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        if entry.here.remove(&account) {
            let here = entry.here.len() as u64;
            self.tell_room(room, || Input::Presence(room, here));
        }
    }

    fn end_session(&mut self, session: SessionId) {
        let Some(ended) = self.sessions.remove(&session) else { return };
        if self.sessions.values().any(|presence| presence.account == ended.account) {
            return; // another device of the account is here
        }
        let rooms: Vec<_> =
            self.rooms.iter().filter(|(_, entry)| entry.here.contains(&ended.account)).map(|(room, _)| *room).collect();
        for room in rooms {
            self.go(room, ended.account);
        }
    }
}

pub(super) fn bye(code: CloseCode, reason: &str) -> Bye {
    Bye { code, reason: reason.to_owned(), retry_after_ms: None, instance: None }
}

fn draining(hint_ms: u64) -> Bye {
    Bye { retry_after_ms: Some(hint_ms + 300), ..bye(CloseCode::Draining, "the server is going down") }
}
