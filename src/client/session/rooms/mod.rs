//! PURE. The rooms of a session: the stored part of each log, and how each reaches the server's head
//! after a reconnect.
//!
//! [`RoomState`] is one room, and [`phase::RoomPhase`] the state of its subscription. `sync` opens
//! rooms and fills gaps, `entries` accepts entries from the server, `reconcile` compares rooms that
//! the welcome did not name, `receipts` reports watermarks.

mod entries;
mod fetches;
mod index;
mod phase;
mod receipts;
mod reconcile;
mod room;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) use self::index::Behind;
use self::index::RoomIndex;
use self::phase::{Purpose, RoomPhase, Traffic};
use self::room::RoomState;
use super::details::RoomDetails;
use super::output::Output;
use super::status::RoomStatus;
use crate::client::cause::Cause;
use crate::client::limits::ClientLimits;
use crate::client::log::{OwnLast, RoomLog};
use crate::client::outbox::Outbox;
use crate::client::persist::{LoadedRoom, Ticket, Write};
use crate::protocol::{Position, Room, RoomId, Seq, limits};

/// All rooms of a session. It owns the state of each room, the rooms named by the welcome, and the
/// pending watermark reports.
///
/// Every change of a room goes through [`Rooms::update`], which maintains the totals over all rooms.
/// Only a welcome, a pong and the end of a connection visit every room.
///
/// Invariants:
/// - All rooms are detached after the end of a connection.
/// - At most [`reconcile::SLOTS`] rooms at a time are opened only to be reconciled. Open rooms that
///   the account leaves are reconciled before they are closed.
#[derive(Debug)]
pub(super) struct Rooms {
    limits: ClientLimits,
    rooms: BTreeMap<RoomId, RoomState>,
    index: RoomIndex,
    /// The progress of the current welcome; `None` once it is complete.
    welcome: Option<IncompleteWelcome>,
    /// The room on screen, which is opened first.
    focus: Option<RoomId>,
    /// Appends that are not on disk yet.
    appending: BTreeMap<Ticket, RoomId>,
    /// Rooms whose watermarks are reported after the next reply of the server.
    unreported: BTreeSet<RoomId>,
}

/// An incomplete welcome: `left` more rooms follow.
#[derive(Debug)]
struct IncompleteWelcome {
    left: u64,
    named: BTreeSet<RoomId>,
}

impl Rooms {
    pub(super) fn new(limits: ClientLimits, rooms: Vec<LoadedRoom>) -> Self {
        let mut new = Self {
            limits,
            rooms: BTreeMap::new(),
            index: RoomIndex::default(),
            welcome: None,
            focus: None,
            appending: BTreeMap::new(),
            unreported: BTreeSet::new(),
        };
        for loaded in rooms {
            new.insert(loaded.room, RoomState::loaded(loaded));
        }
        new
    }

    fn insert(&mut self, room: RoomId, state: RoomState) {
        self.index.update(room, &state);
        self.rooms.insert(room, state);
    }

    /// Changes a room, and updates the totals. Returns `None` for an unknown room.
    fn update<R>(&mut self, room: RoomId, change: impl FnOnce(&mut RoomState) -> R) -> Option<R> {
        let state = self.rooms.get_mut(&room)?;
        let result = change(state);
        self.index.update(room, state);
        Some(result)
    }

    /// Returns the room on screen.
    pub(super) const fn focus(&self) -> Option<RoomId> {
        self.focus
    }

    pub(super) const fn set_focus(&mut self, room: Option<RoomId>) {
        self.focus = room;
    }

    /// Whether pending messages of a room may be sent. Messages of a room wait until the welcome has
    /// named it, or is complete.
    pub(super) fn allows_sends(&self, room: RoomId) -> bool {
        let is_named = match &self.welcome {
            None => true,
            Some(welcome) => welcome.named.contains(&room),
        };
        is_named && self.rooms.get(&room).is_none_or(RoomState::allows_sends)
    }

    /// Whether pending messages of every room may be sent.
    pub(super) fn all_allow_sends(&self) -> bool {
        self.is_welcome_complete() && self.index.withheld().is_empty()
    }

    /// Whether the welcome has named all its rooms.
    pub(super) const fn is_welcome_complete(&self) -> bool {
        self.welcome.is_none()
    }

    /// Returns the work that is left until every room is at its head.
    pub(super) fn behind(&self) -> Behind {
        let behind = self.index.behind();
        match &self.welcome {
            None => behind,
            Some(welcome) => Behind {
                rooms: welcome.left + welcome.named.len() as u64, // none is opened yet
                ..behind
            },
        }
    }

    /// Returns the status of each room of the account, for the screen.
    pub(super) fn statuses(&self) -> Arc<BTreeMap<RoomId, RoomStatus>> {
        self.index.statuses()
    }

    /// Returns the details of each room of the account, for an inspector.
    pub(super) fn details(&self) -> Vec<RoomDetails> {
        self.rooms
            .iter()
            .filter(|(_, state)| state.member)
            .map(|(room, state)| details(*room, state))
            .collect()
    }

    /// Whether the account is a member of a room.
    pub(super) fn is_member(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|state| state.member)
    }

    /// Returns this device's last stored entry in a room.
    pub(super) fn own_last(&self, room: RoomId) -> Option<OwnLast> {
        self.rooms.get(&room)?.log.own_last()
    }

    /// Returns the read position of a room.
    pub(super) fn read(&self, room: RoomId) -> Option<Position> {
        self.rooms.get(&room)?.read
    }

    /// Whether an acknowledged seq was on the server before this connection was welcomed.
    pub(super) fn was_there_at_welcome(&self, room: RoomId, seq: Seq) -> bool {
        self.rooms
            .get(&room)
            .is_some_and(|state| seq <= state.on_server.head_at_welcome)
    }

    /// Sets or clears the reason why the server accepts no entries.
    pub(super) fn set_deferral(&mut self, room: RoomId, deferral: Option<String>) {
        self.update(room, |state| state.on_server.deferral = deferral);
    }

    pub(super) fn set_online(&mut self, room: RoomId, online: u64) {
        self.update(room, |state| state.on_server.online = online);
    }

    /// Starts a welcome, which is going to name `rooms` rooms.
    pub(super) fn on_welcome(&mut self, rooms: u64, outbox: &Outbox, out: &mut Output) {
        self.welcome = Some(IncompleteWelcome {
            left: rooms,
            named: BTreeSet::new(),
        });
        self.open_when_all_named(outbox, out);
    }

    /// Handles the server's description of a room, in the welcome or after a change.
    ///
    /// # Errors
    /// More rooms than an account can be a member of, or than this client keeps.
    pub(super) fn on_room(
        &mut self,
        described: Room,
        outbox: &Outbox,
        out: &mut Output,
    ) -> Result<(), Cause> {
        let room = described.room;
        if !self.rooms.contains_key(&room) {
            let has_pending = outbox.has_rows(room);
            if !has_pending && !described.member {
                return Ok(()); // joined and left on another device
            }
            let is_full = self.index.members() >= limits::ROOMS_MAX
                || self.rooms.len() >= self.limits.rooms_known;
            if !has_pending && is_full {
                return Err(too_many_rooms());
            }
            self.insert(room, RoomState::new(RoomLog::new(room, Vec::new(), None)));
        }
        let is_welcome = self.welcome.is_some();
        let is_to_open = self
            .update(room, |state| {
                describe(state, &described, is_welcome, outbox)
            })
            .unwrap_or(false);
        out.persist(Write::Room(described));
        if let Some(welcome) = &mut self.welcome {
            welcome.left = welcome.left.saturating_sub(1);
            welcome.named.insert(room);
            self.open_when_all_named(outbox, out);
        } else if is_to_open {
            self.open(room, Purpose::Member, out);
        } else {
            // The account has joined a room that is open, or the server has lost a report.
            self.report(room, out);
        }
        Ok(())
    }

    /// Opens the rooms once all are named: the one on screen first, then in descending order of
    /// missing entries. Queues unnamed rooms for reconciliation.
    fn open_when_all_named(&mut self, outbox: &Outbox, out: &mut Output) {
        let Some(welcome) = self.welcome.take_if(|welcome| welcome.left == 0) else {
            return;
        };
        let unnamed: Vec<_> = self
            .rooms
            .iter()
            .filter(|(room, _)| !welcome.named.contains(room))
            .filter(|(room, state)| state.is_worth_reconciling() || outbox.has_rows(**room))
            .map(|(room, state)| (*room, state.member || outbox.has_rows(*room)))
            .collect();
        for (room, is_urgent) in unnamed {
            self.update(room, |state| state.queue(is_urgent));
        }
        let mut order: Vec<_> = welcome
            .named
            .into_iter()
            .filter_map(|room| Some((room, self.rooms.get(&room)?)))
            .filter(|(_, state)| state.member)
            .map(|(room, state)| (self.focus != Some(room), u64::MAX - state.missing(), room))
            .collect();
        order.sort_unstable();
        for (_, _, room) in order {
            self.open(room, Purpose::Member, out);
        }
    }

    /// Detaches all rooms after the connection ended.
    pub(super) fn on_connection_ended(&mut self) {
        self.welcome = None;
        self.unreported.clear();
        for (room, state) in &mut self.rooms {
            state.on_connection_ended();
            self.index.update(*room, state);
        }
        debug_assert!(
            self.index.reconciling().is_empty(),
            "all rooms are detached"
        );
    }

    /// Handles a truncation that is on disk. `own_last` is this device's last remaining entry.
    pub(super) fn on_truncated(&mut self, room: RoomId, own_last: Option<OwnLast>) {
        self.update(room, |state| {
            let pending = &mut state.pending_writes.truncations;
            *pending = pending.saturating_sub(1);
            // Entries that arrived after the truncation was requested are newer.
            let own_last = OwnLast::latest(state.log.own_last(), own_last);
            state.log = RoomLog::new(room, state.log.ranges().to_vec(), own_last);
        });
    }
}

/// Updates a room from the server's description. Returns whether to open it.
fn describe(state: &mut RoomState, described: &Room, is_welcome: bool, outbox: &Outbox) -> bool {
    state.name.clone_from(&described.name);
    state.topic.clone_from(&described.topic);
    state.member = described.member;
    state.head = described.head.seq;
    state.on_server.reported_head = described.head.seq;
    if is_welcome {
        state.on_server.head_at_welcome = described.head.seq;
    }
    state.reported_delivered = described.delivered_here;
    state.reported_read = described.read_here;
    if described.member {
        state.phase_mut().set_purpose(Purpose::Member);
        return state.phase().purpose().is_none();
    }
    // The room is closed once its pending entries are sent.
    state
        .phase_mut()
        .set_purpose(Purpose::Reconcile { rejoined: false });
    // The account joined and left again before the room was opened, so it is unknown which pending
    // entries are in its log already: reconcile.
    let is_idle = *state.phase() == RoomPhase::IDLE;
    if is_idle && !is_welcome && outbox.has_rows(described.room) {
        state.queue(true);
    }
    false
}

fn details(room: RoomId, state: &RoomState) -> RoomDetails {
    let doing = match state.phase() {
        _ if state.pending_writes.truncations > 0 => "truncating",
        RoomPhase::Detached(_) => "",
        RoomPhase::Opening {
            traffic: Traffic::Allowed,
            ..
        } => "opening",
        RoomPhase::Live(live) if live.recheck.is_some() => "opening",
        RoomPhase::Opening { .. } | RoomPhase::Comparing { .. } | RoomPhase::Locating { .. } => {
            "comparing"
        }
        RoomPhase::Live(live) if !live.fetches.is_empty() => "filling a gap",
        RoomPhase::Live(_) if state.missing() > 0 => "catching up",
        RoomPhase::Live(_) => "live",
    };
    RoomDetails {
        room,
        name: state.name.clone(),
        head: state.head.max(state.log.top().seq),
        ranges: state.log.ranges().to_vec(),
        missing: state.missing(),
        doing,
    }
}

/// The cause for frames that violate the protocol. The client reconnects with backoff, since the
/// server may be repaired.
pub(super) fn contradiction(what: &str) -> Cause {
    Cause::Damaged {
        what: what.to_owned(),
    }
}

pub(super) fn too_many_rooms() -> Cause {
    contradiction("more rooms than an account can be in")
}
