//! PURE. Reports to the server how far this device has stored and read each room.

use super::Rooms;
use crate::client::session::output::Output;
use crate::planted_bug::planted_bug;
use crate::protocol::{ClientFrame, Mark, Position, RoomId};

/// During catch-up, `delivered` is reported each time it has advanced by this many entries.
const REPORT_EVERY_ENTRIES: u64 = 500;

impl Rooms {
    /// Reports how far a room is stored and read, once that is on disk, and not for each page of a
    /// catch-up.
    pub(super) fn report(&mut self, room: RoomId, out: &mut Output) {
        let Some(state) = self.rooms.get(&room) else {
            return;
        };
        let is_stored = state.pending_writes.appends == 0 || planted_bug!(MarkedBeforeStored);
        if state.phase().live().is_none() || !is_stored || !state.member {
            return;
        }
        let is_at_head = state.log.top().seq >= state.head;
        let is_worth = |delivered: &Position| {
            let advanced = delivered.seq.since(state.reported_delivered);
            advanced >= REPORT_EVERY_ENTRIES || (is_at_head && advanced > 0)
        };
        let delivered = state.log.delivered().filter(is_worth);
        let read = state.read.filter(|read| read.seq > state.reported_read);
        if delivered.is_none() && read.is_none() {
            return;
        }
        if !out.may_send_unanswered() {
            self.unreported.insert(room);
            return;
        }
        self.update(room, |state| {
            if let Some(delivered) = delivered {
                debug_assert!(
                    delivered.seq > state.reported_delivered,
                    "watermarks advance"
                );
                state.reported_delivered = delivered.seq;
            }
            if let Some(read) = read {
                debug_assert!(read.seq > state.reported_read, "watermarks advance");
                state.reported_read = read.seq;
            }
        });
        out.send(&ClientFrame::Mark(Mark {
            room,
            delivered,
            read,
        }));
    }

    /// The server replied: sends the reports that waited for that.
    pub(in crate::client::session) fn report_waiting(&mut self, out: &mut Output) {
        for room in std::mem::take(&mut self.unreported) {
            self.report(room, out);
        }
    }

    /// A room was read up to here, as the store confirmed. Before a truncation is confirmed, the
    /// position may be of the former log; the session reads it again after that.
    pub(in crate::client::session) fn on_read(
        &mut self,
        room: RoomId,
        position: Position,
        out: &mut Output,
    ) {
        self.update(room, |state| {
            if state.pending_writes.truncations == 0 {
                state.read = Some(position);
            }
        });
        self.report(room, out);
    }

    /// Another process read a room up to here.
    pub(in crate::client::session) fn on_read_elsewhere(
        &mut self,
        room: RoomId,
        position: Position,
        out: &mut Output,
    ) {
        let is_new = self
            .rooms
            .get(&room)
            .is_some_and(|state| state.read.is_none_or(|known| known.seq < position.seq));
        if is_new {
            self.on_read(room, position, out);
        }
    }
}
