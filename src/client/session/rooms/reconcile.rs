//! PURE. Rooms that the welcome did not name: left, or lost by a server that was restored from a
//! backup.
//!
//! First both logs are compared, which costs one small frame each way when they are equal. Where
//! they differ, the server is asked whether the room exists, and the room is created again if not.
//! Then it is opened, synced like any other room, and closed.

use super::Rooms;
use super::phase::{Detached, Purpose, RoomPhase};
use super::room::RoomState;
use crate::client::outbox::Outbox;
use crate::client::persist::Write;
use crate::client::session::output::{Asker, Output};
use crate::protocol::{ClientFrame, Op, Open, Reply, ReplyCode, RoomId, limits};

/// Rooms that are reconciled at a time: as many as the server lets a connection subscribe to
/// beyond an account's own rooms.
pub(super) const SLOTS: usize = limits::ROOMS_OPEN_MAX - limits::ROOMS_MAX;

impl Rooms {
    /// Begins to reconcile queued rooms, as long as slots are free.
    pub(in crate::client::session) fn begin_reconciling(&mut self, out: &mut Output) {
        debug_assert!(
            self.index.queued(1).is_empty() || (out.link.is_up() && self.is_welcome_complete()),
            "rooms are queued by a complete welcome, or after it"
        );
        let free = SLOTS.saturating_sub(self.index.reconciling().len());
        for room in self.index.queued(free) {
            let Some(have) = self.update(room, RoomState::begin_comparing) else {
                continue;
            };
            out.send(&ClientFrame::Open(Open {
                room,
                have: Some(have),
                locator: None,
                jump: 0,
                compare: true,
            }));
        }
        debug_assert!(self.index.queued(1).is_empty() || self.index.reconciling().len() >= SLOTS);
    }

    /// Pending entries were loaded that may be in the logs of these rooms already. If the welcome did
    /// not name a room, and it was closed before, it is reconciled again.
    pub(in crate::client::session) fn on_rows_loaded(
        &mut self,
        rooms: impl IntoIterator<Item = RoomId>,
        out: &Output,
    ) {
        if !out.link.is_up() || self.welcome.is_some() {
            return;
        }
        for room in rooms {
            let phase = self.rooms.get(&room).map(RoomState::phase);
            if phase == Some(&RoomPhase::IDLE) {
                self.update(room, |state| state.queue(true));
            }
        }
    }

    /// The server has everything that is stored of a room.
    pub(super) fn on_equal(
        &mut self,
        room: RoomId,
        purpose: Purpose,
        outbox: &Outbox,
        out: &mut Output,
    ) {
        let is_member = purpose == Purpose::Member;
        let doubts = self
            .rooms
            .get(&room)
            .is_some_and(|state| state.doubts_rejections);
        if is_member || doubts || outbox.has_rows(room) {
            self.open(room, purpose, out);
        } else {
            self.leave(room, out);
        }
    }

    /// The logs differ, or the server does not have the room.
    pub(super) fn on_unequal(&mut self, room: RoomId, out: &mut Output) {
        self.update(room, |state| state.ask_whether_it_exists(None));
        self.ask_for_lost_rooms(out);
    }

    /// Asks whether rooms with another log exist. What got no useful answer is asked again after
    /// the next heartbeat.
    pub(super) fn ask_for_lost_rooms(&mut self, out: &mut Output) {
        for room in self.index.asking().clone() {
            if self.asked_by(room).is_some() {
                continue;
            }
            let find = Op::FindRoom {
                name: None,
                room: Some(room),
            };
            let request = out.request(Asker::FindRoom(room), find);
            self.update(room, |state| state.ask_whether_it_exists(request));
        }
    }

    /// The request that asks whether a room exists, while it is in flight.
    fn asked_by(&self, room: RoomId) -> Option<u64> {
        match self.rooms.get(&room)?.phase() {
            RoomPhase::Detached(Detached::Asking { request }) => *request,
            _ => None,
        }
    }

    /// Whether a reply belongs to the request in flight about a room; if so, the request is finished.
    fn takes_answer(&mut self, room: RoomId, reply: &Reply) -> bool {
        let has_pending = self.asked_by(room) == Some(reply.request);
        if has_pending {
            self.update(room, |state| state.ask_whether_it_exists(None));
        }
        has_pending
    }

    /// The server answered whether a room exists.
    pub(in crate::client::session) fn on_room_found(
        &mut self,
        room: RoomId,
        reply: &Reply,
        out: &mut Output,
    ) {
        if !self.takes_answer(room, reply) {
            return;
        }
        let create = self.rooms.get(&room).map(|state| Op::CreateRoom {
            room,
            name: state.name.clone(),
            topic: state.topic.clone(),
        });
        if reply.ok.is_some() {
            self.locate_lost(room, out);
        } else if let (Some(ReplyCode::NotFound), Some(create)) = (reply.code, create) {
            let request = out.request(Asker::CreateRoom(room), create);
            self.update(room, |state| state.ask_whether_it_exists(request));
        }
    }

    /// The server made a lost room again, or rejected that.
    pub(in crate::client::session) fn on_room_created(
        &mut self,
        room: RoomId,
        reply: &Reply,
        out: &mut Output,
    ) {
        if !self.takes_answer(room, reply) {
            return;
        }
        if reply.ok.is_some() {
            self.locate_lost(room, out);
        } else if matches!(reply.code, Some(ReplyCode::NameTaken | ReplyCode::BadName)) {
            self.leave(room, out); // another room has its name now
        }
    }

    /// The room exists, with another log: entries of this account go back to the outbox where the
    /// server's log lacks them.
    fn locate_lost(&mut self, room: RoomId, out: &mut Output) {
        let Some(top) = self.rooms.get(&room).map(|state| state.log.top().seq) else {
            return;
        };
        self.locate(room, top, Purpose::Reconcile { rejoined: false }, out);
    }

    /// Closes the rooms that are reconciled: both logs agree, nothing is pending, and the account
    /// is not a member.
    pub(in crate::client::session) fn end_reconciling(
        &mut self,
        outbox: &Outbox,
        out: &mut Output,
    ) {
        let reconciled = self.index.reconciled().iter().copied();
        let over: Vec<_> = reconciled.filter(|room| !outbox.has_rows(*room)).collect();
        for room in over {
            out.send(&ClientFrame::Close { room });
            self.leave(room, out);
        }
    }

    fn leave(&mut self, room: RoomId, out: &mut Output) {
        if self.update(room, RoomState::leave) == Some(true) {
            out.persist(Write::RoomLeft(room));
        }
    }
}
