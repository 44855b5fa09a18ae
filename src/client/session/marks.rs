//! PURE. How far this device has come, told to the server.

use super::Session;
use crate::client::link::Now;
use crate::client::persist::Ticket;
use crate::planted_bug::planted_bug;
use crate::protocol::{ClientFrame, Mark, RoomId};

/// Marks and signals wait while so many bytes are without an answer: they must not make a dead link
/// look like a slow one.
const UNANSWERED_MAX: u64 = 2 * 1024;
/// While catching up, `delivered` is told each time it has moved so far.
const MARK_EVERY: u64 = 500;

impl Session {
    pub(super) fn on_appended(&mut self, ticket: Ticket, now: Now) {
        let room = self
            .rooms
            .iter_mut()
            .find_map(|(room, state)| state.appending.remove(&ticket).then_some(*room));
        if let Some(room) = room {
            self.tell_marks(room, now);
        }
    }

    /// Tells how far this device has come, once the disk has it, and not for each page of a
    /// catch-up.
    pub(super) fn tell_marks(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        let is_stored = state.appending.is_empty() || planted_bug!(MarkedBeforeStored);
        if !state.live || state.shut || !is_stored || !state.member {
            return;
        }
        let held = state
            .log
            .delivered()
            .filter(|held| held.seq > state.reported_delivered);
        let is_time = state.log.top().seq >= state.head;
        let delivered =
            held.filter(|held| is_time || held.seq.since(state.reported_delivered) >= MARK_EVERY);
        let read = state.read.filter(|read| read.seq > state.reported_read);
        if delivered.is_none() && read.is_none() {
            return;
        }
        if !self.may_say_more(now) {
            self.marks_waiting.insert(room);
            return;
        }
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        state.reported_delivered =
            delivered.map_or(state.reported_delivered, |position| position.seq);
        state.reported_read = read.map_or(state.reported_read, |position| position.seq);
        self.transmit(
            &ClientFrame::Mark(Mark {
                room,
                delivered,
                read,
            }),
            now,
        );
    }

    /// Whether what nobody answers may be said now; else an answer is asked for.
    pub(super) fn may_say_more(&mut self, now: Now) -> bool {
        let may = self.link.unanswered() <= UNANSWERED_MAX;
        if !may {
            let due = self.link.probe(now);
            self.on_due(due, now);
        }
        may
    }

    /// An answer came: what waited for one may be told.
    pub(super) fn tell_waiting_marks(&mut self, now: Now) {
        for room in std::mem::take(&mut self.marks_waiting) {
            self.tell_marks(room, now);
        }
    }
}
