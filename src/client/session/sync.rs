//! PURE. How a room comes to its head: opened with what is held, located where the logs differ,
//! gaps fetched behind.

use super::Session;
use super::fetches::Range;
use super::room::Opening;
use crate::client::link::Now;
use crate::client::persist::Query;
use crate::protocol::{ClientFrame, Fetch, Open, Position, RoomId, Seq};

impl Session {
    pub(super) fn open(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        if state.opening != Opening::No {
            return;
        }
        let top = state.log.top();
        state.opening = Opening::Have(top);
        state.unanswered_opens += 1;
        let open = Open {
            room,
            have: Some(top),
            locator: None,
            jump: self.limits.jump_entries,
            compare: false,
        };
        self.transmit(&ClientFrame::Open(open), now);
    }

    /// The logs differ from somewhere above `below` on: shut the door and find the last thing both
    /// sides have.
    pub(super) fn shut(&mut self, room: RoomId, below: Seq) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        if matches!(state.opening, Opening::Locating | Opening::Locator(_)) {
            return;
        }
        state.shut = true;
        state.opening = Opening::Locating;
        self.ask(Query::Locator { room, top: below });
    }

    pub(super) fn open_with_locator(&mut self, room: RoomId, positions: Vec<Position>, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        if state.opening != Opening::Locating {
            return; // asked for by a link that is gone
        }
        state.opening = Opening::Locator(positions.clone());
        state.unanswered_opens += 1;
        let open = Open {
            room,
            have: None,
            locator: Some(positions),
            jump: self.limits.jump_entries,
            compare: false,
        };
        self.transmit(&ClientFrame::Open(open), now);
    }

    /// Gaps fill from behind, several pages at a time, once the room is at its head.
    ///
    /// An own entry that was acked below everything that is held is fetched by itself: what lies
    /// between is then a gap.
    pub(super) fn fetch_gap(&mut self, room: RoomId, now: Now) {
        while let Some(range) = self.next_fetch(room) {
            let limit = range.to.since(range.after);
            self.fetch(
                Fetch {
                    request: 0,
                    room,
                    after: Some(range.after),
                    before: None,
                    limit,
                },
                range,
                now,
            );
        }
    }

    fn next_fetch(&self, room: RoomId) -> Option<Range> {
        let state = self.rooms.get(&room)?;
        if !state.may_fetch() || state.log.top().seq < state.head {
            return None;
        }
        let lowest = state.log.spans().first().map(|span| span.start.seq);
        let acked = self
            .outbox
            .lowest_ack(room)
            .filter(|acked| lowest.is_some_and(|lowest| *acked <= lowest));
        let below = acked.map(|acked| Range {
            after: Seq(acked.0.saturating_sub(1)),
            to: acked,
        });
        let gaps = state.log.gaps().map(|(after, to)| Range { after, to });
        state
            .fetches
            .next(below.into_iter().chain(gaps), self.limits.fetch_entries)
    }

    pub(super) fn fetch_before(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get(&room) else {
            return;
        };
        let lowest = state
            .log
            .spans()
            .first()
            .map_or(Seq::ZERO, |span| span.start.seq);
        if state.may_fetch() && state.fetches.is_empty() && lowest > Seq::ZERO {
            let limit = self.limits.fetch_entries;
            let range = Range {
                after: Seq(lowest.0.saturating_sub(limit)),
                to: lowest,
            };
            self.fetch(
                Fetch {
                    request: 0,
                    room,
                    after: None,
                    before: Some(lowest.next()),
                    limit,
                },
                range,
                now,
            );
        }
    }

    /// What is read next is below everything that is held: with its first page, what lies between
    /// is a gap.
    pub(super) fn fetch_after(&mut self, room: RoomId, after: Seq, now: Now) {
        let Some(state) = self.rooms.get(&room) else {
            return;
        };
        let lowest = state
            .log
            .spans()
            .first()
            .map_or(Seq::ZERO, |span| span.start.seq);
        if state.may_fetch() && state.fetches.is_empty() && after < lowest {
            let to = lowest.min(Seq(after.0 + self.limits.fetch_entries));
            let limit = to.since(after);
            self.fetch(
                Fetch {
                    request: 0,
                    room,
                    after: Some(after),
                    before: None,
                    limit,
                },
                Range { after, to },
                now,
            );
        }
    }

    fn fetch(&mut self, mut fetch: Fetch, range: Range, now: Now) {
        self.requests += 1;
        fetch.request = self.requests;
        if let Some(state) = self.rooms.get_mut(&fetch.room) {
            state.fetches.on_asked(fetch.request, range);
        }
        self.transmit(&ClientFrame::Fetch(fetch), now);
    }
}
