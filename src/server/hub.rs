//! Who is connected, who listens to which room, and who is here. Hands on what was appended.
//!
//! One lock, never kept across an await and never while the disk is touched. A connection's events
//! are bounded: one that does not keep up learns only that it missed some, and reads the log
//! instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::session;
use super::session::Live;
use super::storage::Floor;
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, Bye, CloseCode, Conflated, DeviceId, Dial, InstanceId, Position, Room, RoomId,
    ServerId, SessionId, Signal, limits,
};
use crate::system;

/// Events that wait for one connection. With more it learns only that it missed some.
const EVENTS_MAX: usize = 128;
/// Clients that come back after a drain are spread over this much time each, up to the second
/// figure.
const SPREAD_MS_EACH: u64 = 2;
const SPREAD_MS_MAX: u64 = 10_000;

/// The reason that a revoked device gets.
pub(super) const REVOKED: &str = "the access of this device was ended";

/// Names one connection for as long as the process runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LinkId(u64);

/// Set once a newer link of the device took over: what this link still has on its way is not taken
/// any more.
pub type Fence = Arc<AtomicBool>;

/// One connection's side of the hub.
pub struct Membership {
    /// Names it.
    pub id: LinkId,
    /// Set once nothing of it is taken any more.
    pub fence: Fence,
    /// What happens elsewhere and concerns it.
    pub events: mpsc::Receiver<session::Input>,
    /// Set when events were missed: [`Hub::catch_up`] returns what replaces them.
    pub lagged: Arc<AtomicBool>,
    /// What must stay fresh, and waits.
    pub signals: Arc<SignalQueue>,
    /// The `bye` that it is to send.
    pub bye: watch::Receiver<Option<Bye>>,
}

/// Signals that wait for one link; the newest of each key.
#[derive(Default)]
pub struct SignalQueue {
    waiting: Mutex<Conflated>,
    news: Notify,
}

impl SignalQueue {
    fn waiting(&self) -> MutexGuard<'_, Conflated> {
        // no critical section leaves it half changed
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, signal: &Arc<Signal>) {
        self.waiting().put(signal.clone());
        self.news.notify_one();
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Waits until there is one.
    pub async fn some(&self) {
        while self.is_empty() {
            self.news.notified().await;
        }
    }

    /// The next ones, of about so many bytes.
    pub fn take(&self, bytes: usize) -> Vec<Signal> {
        self.waiting().take(bytes)
    }
}

struct HubConnection {
    events: mpsc::Sender<session::Input>,
    signals: Arc<SignalQueue>,
    lagged: Arc<AtomicBool>,
    bye: watch::Sender<Option<Bye>>,
    fence: Fence,
    owner: Option<(AccountId, DeviceId, SessionId)>,
}

impl HubConnection {
    fn notify(&self, input: session::Input) {
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
    online: BTreeSet<AccountId>,
}

impl RoomEntry {
    fn is_used(&self) -> bool {
        !self.listeners.is_empty() || !self.online.is_empty()
    }
}

/// The newest link of a device. What it left with the committer may outlive it: so its fence is
/// kept here.
struct Newest {
    link: LinkId,
    instance: InstanceId,
    dial: Dial,
    fence: Fence,
}

#[derive(Default)]
struct HubState {
    links: BTreeMap<LinkId, HubConnection>,
    next: u64,
    /// The newest link of each device.
    devices: BTreeMap<DeviceId, Newest>,
    sessions: BTreeMap<SessionId, Presence>,
    rooms: BTreeMap<RoomId, RoomEntry>,
    draining: bool,
}

/// Connects the connections of one server with each other. It owns which connections exist, which
/// rooms they listen to, and who is online in a room.
///
/// A connection registers itself, listens to rooms, and receives session inputs through its
/// bounded channel. The committer publishes appended entries here.
///
/// Invariants:
/// - The lock is never kept across an `await`, and never while the disk is used.
/// - A device has one current connection; the fence of the one before it is closed first.
/// - A connection whose channel is full loses no entry: it is marked as lagging and reads its log
///   from the storage.
pub struct Hub {
    state: Mutex<HubState>,
    /// The server's id.
    pub server: ServerId,
    links: watch::Sender<usize>,
}

impl Hub {
    /// A hub without connections.
    #[must_use]
    pub fn new(server: ServerId) -> Self {
        Self {
            state: Mutex::default(),
            server,
            links: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, HubState> {
        // no critical section leaves it half changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was just upgraded.
    pub fn connect(&self) -> Membership {
        let (events, events_rx) = mpsc::channel(EVENTS_MAX);
        let (bye, bye_rx) = watch::channel(None);
        let (lagged, fence) = (Arc::new(AtomicBool::new(false)), Fence::default());
        let mut state = self.state();
        state.next += 1;
        let id = LinkId(state.next);
        if state.draining {
            let _ = bye.send(Some(draining(0)));
        }
        let signals = Arc::<SignalQueue>::default();
        let link = HubConnection {
            events,
            signals: signals.clone(),
            lagged: lagged.clone(),
            bye,
            fence: fence.clone(),
            owner: None,
        };
        state.links.insert(id, link);
        self.links.send_replace(state.links.len());
        Membership {
            id,
            fence,
            events: events_rx,
            lagged,
            signals,
            bye: bye_rx,
        }
    }

    /// The device's older connection is fenced, and gets a `bye`, before this one is welcomed.
    ///
    /// # Errors
    /// The goodbye for a dial that is older than one that was seen already.
    pub fn register(
        &self,
        id: LinkId,
        owner: (AccountId, DeviceId),
        from: (InstanceId, Dial),
        resume: Option<SessionId>,
    ) -> Result<(SessionId, bool), Bye> {
        let mut state = self.state();
        let (account, device) = owner;
        let Some(fence) = state.links.get(&id).map(|link| link.fence.clone()) else {
            return Err(bye(
                CloseCode::Normal,
                "the link ended before it was let in",
            )); // nothing would end its presence
        };
        let one = if planted_bug!(OneLinkForAccount) {
            DeviceId::from_bytes(*account.as_bytes())
        } else {
            device
        };
        if let Some(old) = state.devices.get(&one) {
            if old.instance == from.0 && from.1 < old.dial && !planted_bug!(StaleDial) {
                return Err(bye(
                    CloseCode::StaleDial,
                    "a newer dial of this process was seen",
                ));
            }
            old.fence.store(true, Ordering::Release);
            if let Some(old) = state.links.get(&old.link) {
                let replaced = Bye {
                    instance: Some(from.0),
                    ..bye(CloseCode::Replaced, "a newer link took over")
                };
                let _ = old.bye.send(Some(replaced)); // it may be gone already
            }
        }
        state.devices.insert(
            one,
            Newest {
                link: id,
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
        // A device has one presence: what an older one without its id left behind ends here.
        state
            .sessions
            .retain(|known, presence| presence.device != device || *known == session);
        state.sessions.insert(
            session,
            Presence {
                account,
                device,
                link: Some(id),
            },
        );
        if let Some(link) = state.links.get_mut(&id) {
            link.owner = Some((account, device, session));
        }
        Ok((session, kept.is_some()))
    }

    /// An account that was let in is here, in all of its rooms.
    pub fn join_rooms(&self, id: LinkId, account: AccountId, rooms: &[Room]) {
        let mut state = self.state();
        if !state.links.contains_key(&id) {
            return; // it ended meanwhile
        }
        for room in rooms {
            state.add_presence(room.room, account);
        }
    }

    /// The connection ended. What belongs to a newer link of the device is left alone. Returns the
    /// session that lives on.
    pub fn disconnect(&self, id: LinkId, said_goodbye: bool) -> Option<SessionId> {
        let mut state = self.state();
        let link = state.links.remove(&id);
        self.links.send_replace(state.links.len());
        state.rooms.retain(|_, room| {
            room.listeners.remove(&id);
            room.is_used()
        });
        let (_, _, session) = link?.owner?;
        let is_own = |presence: &&mut Presence| presence.link == Some(id) || planted_bug!(LateEnd);
        let presence = state.sessions.get_mut(&session).filter(is_own)?;
        presence.link = None;
        if said_goodbye {
            state.end_session(session);
            return None;
        }
        Some(session)
    }

    /// A session whose link did not come back in time.
    pub async fn expire(&self, session: SessionId) {
        tokio::time::sleep(Duration::from_millis(limits::SESSION_MS_MAX)).await;
        self.expire_now(session);
    }

    /// The time of a session is over: it ends, unless its device is back.
    pub fn expire_now(&self, session: SessionId) {
        let mut state = self.state();
        if state
            .sessions
            .get(&session)
            .is_some_and(|presence| presence.link.is_none())
        {
            state.end_session(session);
        }
    }

    /// Registers for live entries: those that are appended from here on are delivered.
    pub fn listen(&self, id: LinkId, room: RoomId) {
        let mut state = self.state();
        let entry = state.rooms.entry(room).or_default();
        entry.listeners.insert(id);
        let here = entry.online.len() as u64;
        if let Some(link) = state.links.get(&id) {
            link.notify(session::Input::Presence(room, here));
        }
    }

    /// No more live entries of a room.
    pub fn unlisten(&self, id: LinkId, room: RoomId) {
        let mut state = self.state();
        if let Some(entry) = state.rooms.get_mut(&room) {
            entry.listeners.remove(&id);
        }
        state.forget_unused(room);
    }

    /// Hands on a run that is on disk.
    pub fn publish(&self, live: &Arc<Live>) {
        let mut state = self.state();
        if let Some(entry) = state.rooms.get_mut(&live.room) {
            entry.head = Some(live.last);
        }
        state.notify_room(live.room, || session::Input::Live(live.clone()));
    }

    /// Publishes the head of a log, after an entry of it may not have been published.
    pub fn publish_head(&self, room: RoomId, head: Position) {
        let mut state = self.state();
        if let Some(entry) = state.rooms.get_mut(&room) {
            entry.head = Some(head);
        }
        state.notify_room(room, || session::Input::Heads(vec![(room, head)]));
    }

    /// Hands on how far everybody has come.
    pub fn publish_floor(&self, floor: Floor) {
        self.state()
            .notify_room(floor.room, || session::Input::Floor(floor));
    }

    /// Hands on something volatile.
    pub fn publish_signal(&self, signal: &Arc<Signal>) {
        let state = self.state();
        let Some(entry) = state.rooms.get(&signal.room) else {
            return;
        };
        for link in entry.listeners.iter().filter_map(|id| state.links.get(id)) {
            link.signals.put(signal);
        }
    }

    /// A room as one account sees it changed.
    pub fn publish_room(&self, account: AccountId, room: &Room) {
        let mut state = self.state();
        let is_here = state
            .sessions
            .values()
            .any(|presence| presence.account == account);
        match room.member {
            true if is_here => state.add_presence(room.room, account),
            true => {}
            false => state.remove_presence(room.room, account),
        }
        for link in state
            .links
            .values()
            .filter(|link| link.owner.is_some_and(|owner| owner.0 == account))
        {
            link.notify(session::Input::Room(room.clone()));
        }
    }

    /// The accounts that are connected and in a room.
    pub fn here(&self, room: RoomId) -> BTreeSet<AccountId> {
        self.state()
            .rooms
            .get(&room)
            .map(|entry| entry.online.clone())
            .unwrap_or_default()
    }

    /// What a connection gets instead of the events that it missed: heads and presence of the rooms
    /// that it listens to. What became of its account's rooms is read from the storage.
    pub fn catch_up(&self, id: LinkId) -> Vec<session::Input> {
        let state = self.state();
        let rooms = || {
            state
                .rooms
                .iter()
                .filter(|(_, entry)| entry.listeners.contains(&id))
        };
        let heads = rooms()
            .filter_map(|(room, entry)| Some((*room, entry.head?)))
            .collect();
        let presence =
            rooms().map(|(room, entry)| session::Input::Presence(*room, entry.online.len() as u64));
        std::iter::once(session::Input::Heads(heads))
            .chain(presence)
            .collect()
    }

    /// Sends a `bye` to every connection, with delays that spread the reconnects, and waits until they are
    /// gone.
    pub async fn drain(&self) {
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

    /// The devices that are connected.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        self.state()
            .links
            .values()
            .filter_map(|link| link.owner.map(|(_, device, _)| device))
            .collect()
    }

    /// The access of a device has ended: nothing more is taken from its connections, and they are
    /// closed.
    pub fn revoke(&self, device: DeviceId) {
        let state = self.state();
        for link in state
            .links
            .values()
            .filter(|link| link.owner.is_some_and(|owner| owner.1 == device))
        {
            link.fence.store(true, Ordering::Release);
            // it may be gone already
            let _ = link.bye.send(Some(bye(CloseCode::Unauthorized, REVOKED)));
        }
    }

    /// Connections that have not ended.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.state().links.len()
    }
}

impl HubState {
    fn notify_room(&self, room: RoomId, input: impl Fn() -> session::Input) {
        let Some(entry) = self.rooms.get(&room) else {
            return;
        };
        for link in entry.listeners.iter().filter_map(|id| self.links.get(id)) {
            link.notify(input());
        }
    }

    fn add_presence(&mut self, room: RoomId, account: AccountId) {
        let entry = self.rooms.entry(room).or_default();
        if entry.online.insert(account) {
            let here = entry.online.len() as u64;
            self.notify_room(room, || session::Input::Presence(room, here));
        }
    }

    fn remove_presence(&mut self, room: RoomId, account: AccountId) {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        if entry.online.remove(&account) {
            let here = entry.online.len() as u64;
            self.notify_room(room, || session::Input::Presence(room, here));
        }
        self.forget_unused(room);
    }

    /// A room without subscribers and without online members costs nothing.
    fn forget_unused(&mut self, room: RoomId) {
        if self.rooms.get(&room).is_some_and(|entry| !entry.is_used()) {
            self.rooms.remove(&room);
        }
    }

    fn end_session(&mut self, session: SessionId) {
        let Some(ended) = self.sessions.remove(&session) else {
            return;
        };
        if self
            .sessions
            .values()
            .any(|presence| presence.account == ended.account)
        {
            return; // another device of the account is here
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

/// A goodbye without hints.
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
        ..bye(CloseCode::Draining, "the server is going down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Seq;

    fn hub() -> Hub {
        Hub::new(ServerId::from_random([1; 16]))
    }

    fn account() -> AccountId {
        AccountId::from_random([2; 16])
    }

    fn room(n: u64) -> RoomId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_le_bytes());
        RoomId::from_random(id)
    }

    fn ours() -> Room {
        Room {
            room: room(1),
            name: "ops".into(),
            kind: "public".into(),
            topic: String::new(),
            member: true,
            first: Seq(1),
            head: Position::start(room(1)),
            delivered: Seq(0),
            read: Seq(0),
            delivered_here: Seq(0),
            read_here: Seq(0),
        }
    }

    fn register(
        hub: &Hub,
        link: &Membership,
        instance: u8,
        dial: u64,
    ) -> Result<(SessionId, bool), Bye> {
        let device = DeviceId::from_random([3; 16]);
        let from = (InstanceId::from_random([instance; 16]), Dial(dial));
        hub.register(link.id, (account(), device), from, None)
    }

    #[test]
    fn a_newer_hello_fences_the_older_link_and_its_late_end_touches_nothing_of_the_newer_one() {
        let hub = hub();
        let (mut old, new) = (hub.connect(), hub.connect());
        register(&hub, &old, 4, 1).expect("in");
        assert!(!old.fence.load(Ordering::Acquire));
        register(&hub, &new, 4, 2).expect("in");
        hub.join_rooms(new.id, account(), &[ours()]);
        assert!(
            old.fence.load(Ordering::Acquire),
            "nothing that the old link still has on its way is taken"
        );
        let answer = old.bye.borrow_and_update().clone().expect("a goodbye");
        assert_eq!(
            (answer.code, answer.instance),
            (CloseCode::Replaced, Some(InstanceId::from_random([4; 16])))
        );
        assert_eq!(hub.disconnect(old.id, true), None);
        assert_eq!(hub.here(room(1)).len(), 1, "the device is still here");
        assert!(!new.fence.load(Ordering::Acquire));
    }

    #[test]
    fn what_a_link_that_ended_left_with_the_committer_is_not_taken_after_the_next_welcome() {
        let hub = hub();
        let (old, new) = (hub.connect(), hub.connect());
        register(&hub, &old, 4, 1).expect("in");
        hub.disconnect(old.id, false);
        assert!(!old.fence.load(Ordering::Acquire), "until then it is");
        register(&hub, &new, 4, 2).expect("in");
        assert!(old.fence.load(Ordering::Acquire));
    }

    #[test]
    fn the_hello_of_an_abandoned_dial_that_comes_late_is_refused_and_changes_nothing() {
        let hub = hub();
        let (new, late, other) = (hub.connect(), hub.connect(), hub.connect());
        register(&hub, &new, 4, 8).expect("in");
        assert_eq!(
            register(&hub, &late, 4, 7).map_err(|bye| bye.code),
            Err(CloseCode::StaleDial)
        );
        assert!(!new.fence.load(Ordering::Acquire));
        assert!(
            register(&hub, &other, 5, 1).is_ok(),
            "another process counts its own dials"
        );
    }

    #[test]
    fn a_link_that_ended_before_it_was_let_in_leaves_no_ghost() {
        let hub = hub();
        let link = hub.connect();
        // the socket went while the hello was looked up
        assert_eq!(hub.disconnect(link.id, false), None);
        assert!(register(&hub, &link, 4, 1).is_err());
        hub.join_rooms(link.id, account(), &[ours()]);
        assert!(hub.state().sessions.is_empty() && hub.here(room(1)).is_empty());
    }

    #[test]
    fn rooms_that_nobody_is_in_and_nobody_listens_to_cost_nothing() {
        let hub = hub();
        let link = hub.connect();
        for n in 0..1_000 {
            hub.listen(link.id, room(n));
            hub.unlisten(link.id, room(n));
        }
        assert_eq!(hub.state().rooms.len(), 0);
        hub.listen(link.id, room(1));
        hub.disconnect(link.id, true);
        assert_eq!(hub.state().rooms.len(), 0);
    }

    #[test]
    fn a_link_that_does_not_keep_up_costs_a_bounded_number_of_events_and_learns_the_heads() {
        let hub = hub();
        let mut link = hub.connect();
        hub.listen(link.id, room(1));
        for n in 0..10_000 {
            let last = Position {
                seq: Seq(n + 1),
                ..Position::start(room(1))
            };
            hub.publish(&Arc::new(Live {
                room: room(1),
                prev: Seq(n),
                last,
                text: "x".into(),
            }));
        }
        assert!(link.lagged.load(Ordering::Acquire));
        let events = std::iter::from_fn(|| link.events.try_recv().ok()).count();
        assert_eq!(events, EVENTS_MAX);
        let answer = hub.catch_up(link.id);
        assert!(
            matches!(&answer[0], session::Input::Heads(heads) if heads[0].1.seq == Seq(10_000)),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_drain_sends_everybody_away_with_hints_that_bring_them_back_apart() {
        let hub = hub();
        let mut links: Vec<_> = (0..200).map(|_| hub.connect()).collect();
        let drained = async {
            let mut hints = Vec::new();
            for link in &mut links {
                link.bye.changed().await.expect("a goodbye");
                let answer = link.bye.borrow_and_update().clone().expect("a goodbye");
                assert_eq!(answer.code, CloseCode::Draining);
                hints.push(answer.retry_after_ms.expect("a hint"));
                hub.disconnect(link.id, false);
            }
            hints
        };
        let ((), hints) = tokio::join!(hub.drain(), drained);
        let apart = hints.iter().max().expect("some") - hints.iter().min().expect("some");
        assert!(apart > 200, "200 links are spread over {apart} ms only");
        assert!(
            hub.connect().bye.borrow().is_some(),
            "no connection is admitted any more"
        );
    }
}
