//! PURE. How a room reaches the server's head: it is opened with our highest position, the last
//! common position is searched if the logs differ, and gaps are filled from old to new.

use super::fetches::Range;
use super::phase::{Locator, Purpose, RoomPhase};
use super::room::OpenAnswer;
use super::{Rooms, contradiction};
use crate::client::cause::Cause;
use crate::client::log::RoomLog;
use crate::client::outbox::Outbox;
use crate::client::persist::{Query, RangeChange, Write};
use crate::client::session::output::Output;
use crate::planted_bug::planted_bug;
use crate::protocol::{ClientFrame, Fetch, Head, Open, Position, RoomId, Seq};

impl Rooms {
    /// Opens a room, or compares again while it is live. Nothing happens while an `open` is in
    /// flight.
    pub(super) fn open(&mut self, room: RoomId, purpose: Purpose, out: &mut Output) {
        let have = self.update(room, |state| state.begin_opening(purpose));
        self.send_open(room, have.flatten(), out);
    }

    /// The server's answers contradict our log: compares again, and withholds entries until then.
    pub(in crate::client::session) fn compare_withheld(&mut self, room: RoomId, out: &mut Output) {
        let have = self.update(room, |state| state.begin_withheld());
        self.send_open(room, have.flatten(), out);
    }

    fn send_open(&self, room: RoomId, have: Option<Position>, out: &mut Output) {
        if have.is_some() {
            out.send(&ClientFrame::Open(Open {
                room,
                have,
                locator: None,
                jump: self.jump(room),
                compare: false,
            }));
        }
    }

    /// Number of missing entries beyond which the server starts near the head; 0: it never does. A jump
    /// adds a range, so there is none in a room with as many as may be.
    fn jump(&self, room: RoomId) -> u64 {
        let ranges = (self.rooms.get(&room)).map_or(0, |state| state.log.ranges().len());
        if ranges >= self.limits.ranges {
            0
        } else {
            self.limits.jump_entries
        }
    }

    /// Both logs differ somewhere above `below`: searches the last position that both have.
    pub(super) fn locate(&mut self, room: RoomId, below: Seq, purpose: Purpose, out: &mut Output) {
        if self.update(room, |state| state.begin_locating(purpose)) == Some(true) {
            out.ask(Query::Locator { room, top: below });
        }
    }

    /// The store returned positions to search with.
    pub(in crate::client::session) fn on_locator(
        &mut self,
        room: RoomId,
        positions: Vec<Position>,
        out: &mut Output,
    ) {
        if self.update(room, |state| state.on_locator(&positions)) == Some(true) {
            out.send(&ClientFrame::Open(Open {
                room,
                have: None,
                locator: Some(positions),
                jump: self.jump(room),
                compare: false,
            }));
        }
    }

    /// The server opened a room: its log continues ours after `from`.
    ///
    /// # Errors
    /// No such `open` was sent.
    pub(in crate::client::session) fn on_opened(
        &mut self,
        room: RoomId,
        from: Position,
        head: Position,
        outbox: &Outbox,
        out: &mut Output,
    ) -> Result<(), Cause> {
        let Some(answer) = self.update(room, |state| state.on_open_answered()) else {
            return Ok(());
        };
        match answer {
            OpenAnswer::Last => {}
            OpenAnswer::Superseded => return Ok(()),
            OpenAnswer::Unrequested => {
                return Err(contradiction("it opened a room without being asked"));
            }
        }
        match self.on_common_position(room, from)? {
            Common::Compared(purpose) => {
                self.on_equal(room, purpose, outbox, out);
                return Ok(());
            }
            Common::Everything => self.update(room, |state| {
                state.head = head.seq.max(state.on_server.reported_head);
            }),
            Common::Below => {
                self.truncate(room, from, out);
                self.update(room, |state| {
                    state.on_server.reported_head = head.seq;
                    state.head = head.seq;
                })
            }
        };
        self.report(room, out);
        self.fetch_gaps(room, outbox, out);
        Ok(())
    }

    /// The server named the last common position. Returns its meaning for our log.
    fn on_common_position(&mut self, room: RoomId, from: Position) -> Result<Common, Cause> {
        let judge = |state: &mut super::RoomState| {
            let top = state.log.top();
            let (purpose, common) = match state.phase_mut() {
                RoomPhase::Comparing { have, purpose } if from == *have => {
                    return Some(Common::Compared(*purpose));
                }
                RoomPhase::Live(live) if live.recheck == Some(from) => {
                    live.recheck = None;
                    live.top_at_pong = None;
                    return Some(Common::Everything);
                }
                // Entries may have arrived since the `open` was sent.
                RoomPhase::Opening { have, purpose, .. } if from == *have => {
                    (*purpose, Common::Everything)
                }
                RoomPhase::Locating {
                    locator: Locator::Sent(positions),
                    purpose,
                } if positions.contains(&from) => {
                    let is_below = from.seq < top.seq;
                    (
                        *purpose,
                        if is_below {
                            Common::Below
                        } else {
                            Common::Everything
                        },
                    )
                }
                RoomPhase::Detached(_)
                | RoomPhase::Comparing { .. }
                | RoomPhase::Opening { .. }
                | RoomPhase::Locating { .. }
                | RoomPhase::Live(_) => return None,
            };
            state.become_live(purpose);
            Some(common)
        };
        self.update(room, judge)
            .flatten()
            .ok_or_else(|| contradiction("it opened a room at a position that was not sent"))
    }

    /// Removes the log above the last common position `at`. Own entries return to the outbox, the
    /// others are orphaned, in one transaction.
    fn truncate(&mut self, room: RoomId, at: Position, out: &mut Output) {
        let ranges = self.update(room, |state| {
            let ranges = RangeChange {
                before: state.log.ranges().to_vec(),
                after: state.log.truncated_ranges(at),
            };
            state.log = RoomLog::new(room, ranges.after.clone(), None);
            state.pending_writes.truncations += 1;
            state.reported_delivered = state.reported_delivered.min(at.seq);
            state.reported_read = state.reported_read.min(at.seq);
            state.read = state.read.map(|read| read.min(at));
            ranges
        });
        if let Some(ranges) = ranges {
            out.persist(Write::Truncate { room, at, ranges });
        }
    }

    /// The server does not have the position that an `open` named.
    ///
    /// # Errors
    /// It does not even have the beginning of the log.
    pub(in crate::client::session) fn on_diverged(
        &mut self,
        room: RoomId,
        out: &mut Output,
    ) -> Result<(), Cause> {
        if self.update(room, |state| state.on_open_answered()) != Some(OpenAnswer::Last) {
            return Ok(());
        }
        let Some(state) = self.rooms.get(&room) else {
            return Ok(());
        };
        let top = state.log.top().seq;
        match state.phase() {
            RoomPhase::Comparing {
                purpose: Purpose::Reconcile { .. },
                ..
            } => self.on_unequal(room, out),
            RoomPhase::Locating { .. } => {
                return Err(contradiction("it does not have the beginning of a room"));
            }
            RoomPhase::Detached(_)
            | RoomPhase::Comparing { .. }
            | RoomPhase::Opening { .. }
            | RoomPhase::Live(_) => {
                if let Some(purpose) = state.phase().purpose() {
                    self.locate(room, top, purpose, out);
                }
            }
        }
        Ok(())
    }

    /// Requests entries in gaps, several pages at a time, once the room is at its head.
    ///
    /// An own entry that was acknowledged below the stored ranges is requested separately, which
    /// leaves a gap above it.
    pub(in crate::client::session) fn fetch_gaps(
        &mut self,
        room: RoomId,
        outbox: &Outbox,
        out: &mut Output,
    ) {
        while let Some(range) = self.next_fetch(room, outbox) {
            let fetch = Fetch {
                request: out.next_request(),
                room,
                after: Some(range.after),
                before: None,
                limit: range.to.since(range.after),
            };
            self.fetch(fetch, range, out);
        }
    }

    fn next_fetch(&self, room: RoomId, outbox: &Outbox) -> Option<Range> {
        let state = self.rooms.get(&room)?;
        let live = state.phase().live().filter(|live| !live.is_exhausted)?;
        if state.log.top().seq < state.head {
            return None;
        }
        let lowest = state.lowest();
        let acked = outbox
            .lowest_ack(room)
            .filter(|acked| lowest.is_some_and(|lowest| *acked <= lowest));
        let below = acked.map(|acked| Range {
            after: Seq(acked.0.saturating_sub(1)),
            to: acked,
        });
        let gaps = state.log.gaps().map(|(after, to)| Range { after, to });
        live.fetches
            .next(below.into_iter().chain(gaps), self.limits.fetch_entries)
    }

    /// The user scrolled to the lowest stored entry: requests the page before it.
    pub(in crate::client::session) fn fetch_before(&mut self, room: RoomId, out: &mut Output) {
        let limit = self.limits.fetch_entries;
        let Some(lowest) = self
            .lowest_while_idle(room)
            .filter(|lowest| *lowest > Seq::ZERO)
        else {
            return;
        };
        let fetch = Fetch {
            request: out.next_request(),
            room,
            after: None,
            before: Some(lowest.next()),
            limit,
        };
        let after = Seq(lowest.0.saturating_sub(limit));
        self.fetch(fetch, Range { after, to: lowest }, out);
    }

    /// A reader is at `after`, below everything that is stored: requests the page there. With it,
    /// what lies between is a gap.
    pub(in crate::client::session) fn fetch_after(
        &mut self,
        room: RoomId,
        after: Seq,
        out: &mut Output,
    ) {
        let Some(lowest) = self
            .lowest_while_idle(room)
            .filter(|lowest| after < *lowest)
        else {
            return;
        };
        let to = lowest.min(Seq(after.0 + self.limits.fetch_entries));
        let fetch = Fetch {
            request: out.next_request(),
            room,
            after: Some(after),
            before: None,
            limit: to.since(after),
        };
        self.fetch(fetch, Range { after, to }, out);
    }

    /// The seq below everything that is stored, when a page may be requested and none is in flight.
    fn lowest_while_idle(&self, room: RoomId) -> Option<Seq> {
        let state = self.rooms.get(&room)?;
        let live = state.phase().live()?;
        (!live.is_exhausted && live.fetches.is_empty()).then(|| state.lowest().unwrap_or(Seq::ZERO))
    }

    fn fetch(&mut self, fetch: Fetch, range: Range, out: &mut Output) {
        let request = fetch.request;
        self.update(fetch.room, |state| {
            if let Some(live) = state.phase_mut().live_mut() {
                live.fetches.on_asked(request, range);
            }
        });
        out.send(&ClientFrame::Fetch(fetch));
    }

    /// A pong names the head of each subscribed room. Compares again where ours cannot be right.
    pub(in crate::client::session) fn on_heads(
        &mut self,
        heads: &[Head],
        outbox: &mut Outbox,
        out: &mut Output,
    ) {
        for head in heads {
            self.on_head(head, outbox, out);
        }
        self.ask_for_lost_rooms(out);
        let mut stuck = Vec::new();
        for (room, state) in &mut self.rooms {
            let (top, head) = (state.log.top().seq, state.head);
            if let Some(live) = state.phase_mut().live_mut() {
                if head > top && live.top_at_pong == Some(top) {
                    stuck.push(*room); // nothing arrived since the last pong: entries were lost
                }
                live.top_at_pong = Some(top);
            }
        }
        for room in stuck {
            self.open(room, Purpose::Member, out);
        }
    }

    fn on_head(&mut self, head: &Head, outbox: &mut Outbox, out: &mut Output) {
        let is_other = self.update(head.room, |state| {
            state.phase().live()?;
            let top = state.log.top();
            state.head = head.seq.max(top.seq);
            state.on_server.reported_head = head.seq;
            Some(head.seq < top.seq || (head.seq == top.seq && head.chain != top.chain))
        });
        let Some(is_other) = is_other.flatten() else {
            return;
        };
        if is_other {
            self.open(head.room, Purpose::Member, out);
        }
        let is_early = planted_bug!(AckAtHeadIsVoid);
        let above = Seq(head.seq.0.saturating_sub(u64::from(is_early)));
        let voided = outbox.void_acks(head.room, above, Seq::MAX);
        if !voided.is_empty() {
            out.persist(Write::Unacked(voided));
        }
    }
}

/// The meaning of the last common position for our log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Common {
    /// Only a comparison was asked for, and both logs are equal.
    Compared(Purpose),
    /// The server has everything that is stored.
    Everything,
    /// The server lacks the entries above the position.
    Below,
}
