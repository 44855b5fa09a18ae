//! PURE. How a room comes to its head: opened with what is held, located where the logs differ, gaps fetched behind.

use super::Session;
use super::room::Opening;
use crate::client::link::Now;
use crate::client::persist::Query;
use crate::protocol::{ClientFrame, Fetch, Open, Position, RoomId, Seq};

impl Session {
    pub(super) fn open(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if state.opening != Opening::No {
            return;
        }
        let top = state.log.top();
        state.opening = Opening::Have(top);
        state.unanswered_opens += 1;
        let open = Open { room, have: Some(top), locator: None, jump: self.limits.jump_entries, compare: false };
        self.transmit(&ClientFrame::Open(open), now);
    }

    /// The logs differ from somewhere above `below` on: shut the door and find the last thing both sides have.
    pub(super) fn shut(&mut self, room: RoomId, below: Seq) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if matches!(state.opening, Opening::Locating | Opening::Locator(_)) {
            return;
        }
        state.shut = true;
        state.opening = Opening::Locating;
        self.ask(Query::Locator { room, top: below });
    }

    pub(super) fn open_with_locator(&mut self, room: RoomId, positions: Vec<Position>, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if state.opening != Opening::Locating {
            return; // asked for by a link that is gone
        }
        state.opening = Opening::Locator(positions.clone());
        state.unanswered_opens += 1;
        let open = Open { room, have: None, locator: Some(positions), jump: self.limits.jump_entries, compare: false };
        self.transmit(&ClientFrame::Open(open), now);
    }

    /// Gaps fill from behind, one page at a time, once the room is at its head.
    ///
    /// An own entry that was acked below everything that is held is fetched by itself: what lies between is then a gap.
    pub(super) fn fetch_gap(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get(&room) else { return };
        let is_free = state.may_fetch() && state.log.top().seq >= state.head;
        let below = || {
            let lowest = state.log.spans().first()?.start.seq;
            let acked = self.outbox.lowest_ack(room).filter(|acked| *acked <= lowest)?;
            Some((Seq(acked.0.saturating_sub(1)), acked))
        };
        let (true, Some((after, up_to))) = (is_free, state.log.gap().or_else(below)) else { return };
        let limit = up_to.since(after).min(self.limits.fetch_entries);
        self.fetch(Fetch { request: 0, room, after: Some(after), before: None, limit }, now);
    }

    pub(super) fn fetch_before(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get(&room) else { return };
        let lowest = state.log.spans().first().map_or(Seq::ZERO, |span| span.start.seq);
        if state.may_fetch() && lowest > Seq::ZERO {
            let limit = self.limits.fetch_entries;
            self.fetch(Fetch { request: 0, room, after: None, before: Some(lowest.next()), limit }, now);
        }
    }

    pub(super) fn fetch(&mut self, mut fetch: Fetch, now: Now) {
        self.requests += 1;
        fetch.request = self.requests;
        if let Some(state) = self.rooms.get_mut(&fetch.room) {
            state.fetching = Some(fetch.request);
        }
        self.transmit(&ClientFrame::Fetch(fetch), now);
    }
}
