//! PURE. Rooms that the welcome did not name: left, or lost by a server that was put back from a
//! copy.
//!
//! Both logs are compared first, which costs one small frame each way when nothing is wrong. Where
//! they differ, the room is asked for by id and made again if it is gone; then it is opened, healed
//! like any other, and closed.

use super::room::Visit;
use super::{Asker, Opening, RoomState, Session};
use crate::client::link::Now;
use crate::client::persist::Write;
use crate::protocol::{ClientFrame, Op, Open, Reply, ReplyCode, RoomId, limits};

/// Visits at one time: fewer than the server lets a link have open beyond an account's own rooms.
const VISITS_MAX: usize = limits::ROOMS_OPEN_MAX - limits::ROOMS_MAX;

impl Session {
    /// Those that wait for their turn; what somebody misses or has written something for comes
    /// first.
    pub(super) fn begin_visits(&mut self, now: Now) {
        if self.link.up().is_none() || self.greeting.is_some() {
            return;
        }
        let is_under_way = |state: &&RoomState| !matches!(state.visit, Visit::No | Visit::Wanted);
        let free = VISITS_MAX.saturating_sub(self.rooms.values().filter(is_under_way).count());
        let wanted = self
            .rooms
            .iter()
            .filter(|(_, state)| state.visit == Visit::Wanted);
        let mut wanted: Vec<_> = wanted
            .map(|(room, state)| (!state.member && !self.outbox.has_rows(*room), *room))
            .collect();
        wanted.sort_unstable();
        for (_, room) in wanted.into_iter().take(free) {
            self.compare(room, now);
        }
    }

    fn compare(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        let top = state.log.top();
        (state.visit, state.opening) = (Visit::Comparing, Opening::Compare(top));
        state.unanswered_opens += 1;
        let open = Open {
            room,
            have: Some(top),
            locator: None,
            jump: 0,
            compare: true,
        };
        self.transmit(&ClientFrame::Open(open), now);
    }

    /// The server has everything that is held of a room.
    pub(super) fn on_same(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        let is_joined_meanwhile = state.visit == Visit::No;
        if !is_joined_meanwhile && !state.doubts_refusals && !self.outbox.has_rows(room) {
            return self.take_leave(room);
        }
        if !is_joined_meanwhile {
            state.visit = Visit::Open { rejoined: false };
        }
        self.open(room, now);
    }

    /// It has not, or there is no such room.
    pub(super) fn on_not_same(&mut self, room: RoomId, now: Now) {
        if let Some(state) = self.rooms.get_mut(&room) {
            (state.visit, state.opening) = (Visit::Asking, Opening::No);
        }
        self.ask_for_lost_rooms(now);
    }

    /// Is a room whose log is another one still there? What was not answered is asked again with
    /// the next heartbeat.
    pub(super) fn ask_for_lost_rooms(&mut self, now: Now) {
        let is_asked = |room: &RoomId| {
            self.asked
                .values()
                .any(|asker| matches!(asker, Asker::Lost(r) | Asker::Remade(r) if r == room))
        };
        let lost = self
            .rooms
            .iter()
            .filter(|(room, state)| state.visit == Visit::Asking && !is_asked(room));
        let lost: Vec<_> = lost.map(|(room, _)| *room).collect();
        for room in lost {
            self.request(
                Asker::Lost(room),
                Op::FindRoom {
                    name: None,
                    room: Some(room),
                },
                now,
            );
        }
    }

    pub(super) fn on_lost_room(&mut self, room: RoomId, reply: &Reply, now: Now) {
        let Some(state) = self
            .rooms
            .get_mut(&room)
            .filter(|state| state.visit == Visit::Asking)
        else {
            return;
        };
        if reply.ok.is_some() {
            state.visit = Visit::Open { rejoined: false };
            let top = state.log.top().seq;
            // one's own entries go back to the outbox if its log has lost them
            self.shut(room, top);
        } else if reply.code == Some(ReplyCode::NotFound) {
            let (name, topic) = (state.name.clone(), state.topic.clone());
            self.request(
                Asker::Remade(room),
                Op::CreateRoom { room, name, topic },
                now,
            );
        }
    }

    pub(super) fn on_remade_room(&mut self, room: RoomId, reply: &Reply) {
        let Some(state) = self
            .rooms
            .get_mut(&room)
            .filter(|state| state.visit == Visit::Asking)
        else {
            return;
        };
        if reply.ok.is_some() {
            state.visit = Visit::Open { rejoined: false };
            let top = state.log.top().seq;
            self.shut(room, top); // one's own join goes back to the outbox
        } else if matches!(reply.code, Some(ReplyCode::NameTaken | ReplyCode::BadName)) {
            self.take_leave(room); // another room has taken its place
        }
    }

    /// A visit ends when both sides agree on the log and nothing waits: then this account is not in
    /// the room any more.
    pub(super) fn end_visits(&mut self, now: Now) {
        let is_over = |room: &RoomId, state: &RoomState| {
            state.visit == Visit::Open { rejoined: false }
                && state.live
                && state.is_open()
                && state.opening == Opening::No
                && (!state.doubts_refusals || state.is_caught_up())
                && !self.outbox.has_rows(*room)
        };
        let over: Vec<_> = self
            .rooms
            .iter()
            .filter(|(room, state)| is_over(room, state))
            .map(|(room, _)| *room)
            .collect();
        for room in over {
            self.transmit(&ClientFrame::Close { room }, now);
            self.take_leave(room);
        }
    }

    fn take_leave(&mut self, room: RoomId) {
        if let Some(state) = self.rooms.get_mut(&room) {
            let was_member = std::mem::replace(&mut state.member, false);
            (state.live, state.visit, state.doubts_refusals) = (false, Visit::No, false);
            if was_member {
                self.persist(Write::Gone(room));
            }
        }
    }
}
