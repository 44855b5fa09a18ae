//! PURE. What was written here and does not yet stand in the log held here: what to send next, and
//! what an answer means.
//!
//! Bodies stay in the store; kept here is one small row for each entry. Order, holds and refusals
//! are per room; the window is shared, and no room takes more than half of it. Each `send` names
//! the entry of this device that stands before it (`after`), so one refusal stops what is in flight
//! behind it and the typed order survives every resend.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::limits::ClientLimits;
use super::link::Now;
use super::log::OwnLast;
use crate::planted_bug::planted_bug;
use crate::protocol::{EntryId, Reject, RoomId, Seq};

/// Wait after a passing refusal that says no time.
const HOLD: Duration = Duration::from_secs(5);
/// Rounds of order refusals without progress before each further one waits, so that two sides that
/// disagree do not spin.
const ORDER_ROUNDS_FREE: u32 = 4;
/// The first of these waits; each further one is twice as long, up to [`HOLD`].
const ORDER_WAIT_MIN: Duration = Duration::from_millis(100);
/// Closes that an entry, alone in the window, may provoke before it counts as refused.
const STRIKES_MAX: u32 = 3;

/// One row of the outbox as the core needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// The row's own counter: the order in which things were typed.
    pub order: i64,
    /// The entry.
    pub id: EntryId,
    /// Its room.
    pub room: RoomId,
    /// Bytes of its body.
    pub bytes: usize,
    /// The seq that the server acked, if it did.
    pub acked: Option<Seq>,
    /// It went out before, or was about to.
    pub frozen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RowStage {
    /// Not sent on this link.
    Idle,
    /// Its body is being frozen in the store; it goes out when that is done.
    Freezing,
    /// Sent, no answer yet. `mark` is the link's byte count behind it.
    Flying {
        sent_at: Now,
        mark: u64,
        resent: bool,
    },
    /// Answered on this link; its entry is still to come.
    Done,
}

/// What was tried with one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    /// The entry.
    pub id: EntryId,
    /// Bytes of its body.
    pub bytes: usize,
    /// How often it went out; all that earlier processes did counts as once.
    pub sends: u32,
    /// Since when its answer is waited for, if it is.
    pub sent_at: Option<Now>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct PendingRow {
    order: i64,
    id: EntryId,
    bytes: usize,
    acked: Option<Seq>,
    flight: RowStage,
    /// How often it went out; once for all that earlier processes did.
    sends: u32,
}

impl PendingRow {
    const fn in_window(&self) -> bool {
        matches!(self.flight, RowStage::Freezing | RowStage::Flying { .. })
    }
}

/// What the server said was this device's last entry in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hint {
    None,
    /// Trusted over what is held: this store was put back from a copy.
    Use(EntryId),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Queue {
    rows: VecDeque<PendingRow>,
    hint: Hint,
    /// Something was refused: wait for the outstanding answers before going on.
    waiting: bool,
    hold_until: Option<Now>,
    /// Rounds of order refusals since an entry was acknowledged for the first time or got its
    /// place.
    order_rounds: u32,
}

impl Queue {
    const fn new() -> Self {
        Self {
            rows: VecDeque::new(),
            hint: Hint::None,
            waiting: false,
            hold_until: None,
            order_rounds: 0,
        }
    }

    fn flying(&self) -> usize {
        self.rows.iter().filter(|row| row.in_window()).count()
    }

    fn row(&mut self, id: EntryId) -> Option<&mut PendingRow> {
        self.rows.iter_mut().find(|row| row.id == id)
    }
}

/// Where a frozen row goes in this device's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// It is not sent now.
    Withheld,
    /// It is this device's first entry in the room.
    First,
    /// It follows this entry of the device.
    After(EntryId),
}

/// What a refusal means for the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Nothing to do but wait, or an answer to nothing.
    Later,
    /// For good: the row leaves the outbox and comes back to the person.
    ForGood,
    /// The server's last entry of this device is not the one that stands before: find out which
    /// side lost what.
    Order { last: Option<EntryId> },
    /// The same, once more and without progress in between: the room waits before it tries again.
    OrderAgain { last: Option<EntryId> },
}

/// Decides which pending messages are sent next, and what each answer means. It owns one row for
/// each pending message, without its text, and the state of each room's queue.
///
/// [`Outbox::take_sendable`] returns messages to freeze; once the store has frozen one,
/// [`Outbox::placement`] returns the entry that it follows. Answers arrive through
/// [`Outbox::on_ack`], [`Outbox::on_reject`] and [`Outbox::on_entry`].
///
/// Invariants:
/// - The rows of a room are in the order in which they were composed.
/// - At most [`ClientLimits::window_entries`] messages are in flight, and at most half of them in
///   one room.
/// - The rows here are the first ones of the store, up to [`ClientLimits::outbox_entries`]. Further
///   rows stay on disk until half of the space is free.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    limits: ClientLimits,
    queues: BTreeMap<RoomId, Queue>,
    highest_order: i64,
    /// The store has no rows beyond those here.
    is_whole: bool,
    /// More rows were asked for, and the answer is still to come.
    is_more_asked: bool,
    /// After a close over a frame: one entry at a time, to find the one that does it.
    careful: bool,
    strikes: BTreeMap<EntryId, u32>,
}

impl Outbox {
    /// An empty outbox.
    pub(crate) const fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            highest_order: i64::MIN,
            is_whole: true,
            is_more_asked: false,
            careful: false,
            strikes: BTreeMap::new(),
        }
    }

    /// Replaces the rows of every room by what the store holds, keeping what is known of their
    /// flight.
    pub(crate) fn load(&mut self, rows: Vec<OutboxRow>) {
        let mut flights: BTreeMap<EntryId, (RowStage, u32)> = BTreeMap::new();
        for queue in self.queues.values_mut() {
            flights.extend(
                queue
                    .rows
                    .drain(..)
                    .map(|row| (row.id, (row.flight, row.sends))),
            );
        }
        (self.highest_order, self.is_more_asked) = (i64::MIN, false);
        self.is_whole = rows.len() < self.limits.outbox_entries;
        for row in rows.into_iter().take(self.limits.outbox_entries) {
            let flight = flights.remove(&row.id);
            self.push(row, flight);
        }
    }

    /// Rows behind all others: the answer to what [`Outbox::above`] asked for. `is_whole`: there
    /// are no further ones.
    ///
    /// An answer to a question from before [`Outbox::load`] may begin above what was loaded: the
    /// rows between the two would never come, so nothing of it is taken.
    pub(crate) fn add(&mut self, above: i64, rows: Vec<OutboxRow>, is_whole: bool) {
        if above > self.highest_order && !planted_bug!(LateRowsTaken) {
            return;
        }
        let space = self.space();
        self.is_whole = is_whole && rows.len() <= space;
        self.is_more_asked = false;
        for row in rows.into_iter().take(space) {
            if row.order > self.highest_order {
                self.push(row, None);
            }
        }
    }

    /// Rows that still fit.
    fn space(&self) -> usize {
        let held: usize = self.queues.values().map(|queue| queue.rows.len()).sum();
        self.limits.outbox_entries.saturating_sub(held)
    }

    /// What to ask the store for when rows were added to it: those above an order, and how many.
    pub(crate) fn above(&mut self) -> Option<(i64, usize)> {
        let space = self.space();
        if space == 0 {
            self.is_whole = false;
            return None;
        }
        self.is_more_asked = true;
        Some((self.highest_order, space))
    }

    /// The same, when rows wait on disk and half of the space is free.
    pub(crate) fn more(&mut self) -> Option<(i64, usize)> {
        let is_due = !self.is_whole
            && !self.is_more_asked
            && self.space() >= self.limits.outbox_entries.div_ceil(2);
        if is_due { self.above() } else { None }
    }

    fn push(&mut self, row: OutboxRow, flight: Option<(RowStage, u32)>) {
        self.highest_order = self.highest_order.max(row.order);
        let OutboxRow {
            order,
            id,
            room,
            bytes,
            acked,
            frozen,
        } = row;
        let (flight, sends) = flight.unwrap_or((RowStage::Idle, u32::from(frozen)));
        let queue = self.queues.entry(room).or_insert_with(Queue::new);
        queue.rows.push_back(PendingRow {
            order,
            id,
            bytes,
            acked,
            flight,
            sends,
        });
    }

    /// A new link, or none: nothing is in flight, and everything is sent again, in order, acked or
    /// not.
    pub(crate) fn on_link_changed(&mut self) {
        for queue in self.queues.values_mut() {
            if !planted_bug!(InFlightForgotten) {
                queue
                    .rows
                    .iter_mut()
                    .for_each(|row| row.flight = RowStage::Idle);
            }
            if planted_bug!(ResentBackwards) {
                queue.rows.make_contiguous().reverse();
            }
            queue.hint = Hint::None;
            queue.waiting = false;
            queue.hold_until = None;
            queue.order_rounds = 0;
        }
    }

    /// Rows that may go out now, in order; they are to be frozen in the store first.
    pub(crate) fn take_sendable(
        &mut self,
        now: Now,
        is_open: impl Fn(RoomId) -> bool,
    ) -> Vec<EntryId> {
        let (entries_max, bytes_max) = if self.careful {
            (1, usize::MAX)
        } else {
            (self.limits.window_entries, self.limits.window_bytes)
        };
        let mut entries: usize = self.queues.values().map(Queue::flying).sum();
        let mut bytes: usize = self
            .queues
            .values()
            .flat_map(|q| &q.rows)
            .filter(|r| r.in_window())
            .map(|r| r.bytes)
            .sum();
        let share = (entries_max / 2).max(1);
        let mut taken = Vec::new();
        for (room, queue) in &mut self.queues {
            if queue.hold_until.is_some_and(|until| now < until) {
                continue;
            }
            // over, whether or not something may go out: else it would be waited for without end
            queue.hold_until = None;
            if !is_open(*room) {
                continue;
            }
            let mut flying = queue.flying();
            if queue.waiting && flying > 0 {
                continue;
            }
            queue.waiting = false;
            let mut room_bytes: usize = queue
                .rows
                .iter()
                .filter(|r| r.in_window())
                .map(|r| r.bytes)
                .sum();
            for row in queue
                .rows
                .iter_mut()
                .filter(|row| row.flight == RowStage::Idle)
            {
                let is_full =
                    entries >= entries_max || (entries > 0 && bytes + row.bytes > bytes_max);
                let is_share_full =
                    flying >= share || (flying > 0 && room_bytes + row.bytes > bytes_max / 2);
                if is_full || is_share_full {
                    break;
                }
                row.flight = RowStage::Freezing;
                (entries, flying) = (entries + 1, flying + 1);
                (bytes, room_bytes) = (bytes + row.bytes, room_bytes + row.bytes);
                taken.push(row.id);
            }
        }
        taken
    }

    /// Returns where a frozen row that is about to be sent goes.
    ///
    /// It follows the row before it, unless this device's last stored entry was typed later. Then
    /// the row before it lies in a gap: the server has it, and the last stored entry after it.
    pub(crate) fn placement(
        &self,
        room: RoomId,
        id: EntryId,
        own_last: Option<OwnLast>,
    ) -> Placement {
        let Some(queue) = self.queues.get(&room) else {
            return Placement::Withheld;
        };
        let Some(index) = queue.rows.iter().position(|row| row.id == id) else {
            return Placement::Withheld;
        };
        // A row that is sent again does not wait for the answers of a round of refusals.
        let is_held = queue.waiting && queue.rows[index].flight == RowStage::Freezing;
        if queue.rows[index].flight == RowStage::Idle || is_held {
            return Placement::Withheld;
        }
        let before = index.checked_sub(1).map(|index| &queue.rows[index]);
        match (before, own_last, queue.hint) {
            (Some(before), Some(own), _)
                if own.is_behind(before.order, before.acked) && !planted_bug!(AfterTheGap) =>
            {
                Placement::After(own.id)
            }
            (Some(before), _, _) => Placement::After(before.id),
            (None, _, Hint::Use(last)) => Placement::After(last),
            (None, own, Hint::None) => own.map_or(Placement::First, |own| Placement::After(own.id)),
        }
    }

    /// A frozen row cannot go out now after all.
    pub(crate) fn on_not_sent(&mut self, room: RoomId, id: EntryId) {
        if let Some(row) = self.queues.get_mut(&room).and_then(|queue| queue.row(id))
            && row.flight == RowStage::Freezing
        {
            row.flight = RowStage::Idle;
        }
    }

    /// It went out; `mark` is the link's byte count behind it.
    pub(crate) fn on_sent(&mut self, room: RoomId, id: EntryId, now: Now, mark: u64) {
        if let Some(row) = self.queues.get_mut(&room).and_then(|queue| queue.row(id)) {
            let resent = matches!(row.flight, RowStage::Flying { .. });
            row.flight = RowStage::Flying {
                sent_at: now,
                mark,
                resent,
            };
            row.sends += 1;
        }
    }

    /// An ack. Returns when and with which mark the entry was sent, if it was waited for.
    pub(crate) fn on_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) -> Option<(Now, u64)> {
        let sent = self.sent(room, id);
        let queue = self.queues.get_mut(&room)?;
        let row = queue.row(id)?;
        let is_progress = row.acked.replace(seq) != Some(seq);
        row.flight = RowStage::Done;
        if is_progress {
            queue.order_rounds = 0;
        }
        self.careful &= planted_bug!(CarefulForEver);
        sent
    }

    /// When an entry that is in flight was sent, and the link's byte count behind it; not when it
    /// went twice.
    pub(crate) fn sent(&self, room: RoomId, id: EntryId) -> Option<(Now, u64)> {
        match self.row(room, id)?.flight {
            RowStage::Flying {
                sent_at,
                mark,
                resent: false,
            } => Some((sent_at, mark)),
            RowStage::Flying { resent: true, .. }
            | RowStage::Idle
            | RowStage::Freezing
            | RowStage::Done => None,
        }
    }

    fn row(&self, room: RoomId, id: EntryId) -> Option<&PendingRow> {
        self.queues.get(&room)?.rows.iter().find(|row| row.id == id)
    }

    /// Whether it was answered on this link already.
    pub(crate) fn is_answered(&self, room: RoomId, id: EntryId) -> bool {
        self.row(room, id)
            .is_some_and(|row| row.flight == RowStage::Done)
    }

    /// How often an entry went out; all that earlier processes did counts as once.
    pub(crate) fn sends(&self, room: RoomId, id: EntryId) -> u32 {
        self.row(room, id).map_or(0, |row| row.sends)
    }

    /// What is in the window or went out before, from old to new in each room.
    pub(crate) fn tries(&self) -> impl Iterator<Item = Tries> {
        self.queues
            .values()
            .flat_map(|queue| &queue.rows)
            .filter(|row| row.sends > 0 || row.in_window())
            .map(|row| {
                let sent_at = match row.flight {
                    RowStage::Flying { sent_at, .. } => Some(sent_at),
                    RowStage::Idle | RowStage::Freezing | RowStage::Done => None,
                };
                Tries {
                    id: row.id,
                    bytes: row.bytes,
                    sends: row.sends,
                    sent_at,
                }
            })
    }

    /// Whether the row is waiting for its entry.
    pub(crate) fn contains(&self, room: RoomId, id: EntryId) -> bool {
        self.row(room, id).is_some()
    }

    /// The order in which a pending entry was typed.
    pub(crate) fn order(&self, room: RoomId, id: EntryId) -> Option<i64> {
        self.row(room, id).map(|row| row.order)
    }

    /// Whether anything of a room is waiting for its entry, or may be: rows on disk can be of any
    /// room.
    pub(crate) fn has_rows(&self, room: RoomId) -> bool {
        !self.is_whole
            || self
                .queues
                .get(&room)
                .is_some_and(|queue| !queue.rows.is_empty())
    }

    /// The lowest place that the server acked for what still waits for its entry.
    pub(crate) fn lowest_ack(&self, room: RoomId) -> Option<Seq> {
        self.queues
            .get(&room)?
            .rows
            .iter()
            .filter_map(|row| row.acked)
            .min()
    }

    /// A refusal.
    pub(crate) fn on_reject(&mut self, reject: &Reject, now: Now) -> Refused {
        let Some(queue) = self.queues.get_mut(&reject.room) else {
            return Refused::Later;
        };
        let Some(row) = queue.row(reject.id) else {
            return Refused::Later;
        };
        if !matches!(row.flight, RowStage::Flying { .. }) {
            return Refused::Later;
        }
        row.flight = RowStage::Idle;
        let is_first = !std::mem::replace(&mut queue.waiting, true);
        let is_order = reject.code == crate::protocol::RejectCode::OutOfOrder;
        let is_final = reject.code.is_final() && !planted_bug!(RefusedBlocks);
        if is_final || planted_bug!(PassingIsFinal) {
            queue.rows.retain(|row| row.id != reject.id);
            self.strikes.remove(&reject.id);
            self.careful &= planted_bug!(CarefulForEver);
            return Refused::ForGood;
        }
        if !is_order {
            let hold = reject
                .retry_after_ms
                .map_or(HOLD, |ms| Duration::from_millis(ms.min(600_000)));
            queue.hold_until = Some(queue.hold_until.unwrap_or(now).max(now + hold));
            return Refused::Later;
        }
        for row in queue
            .rows
            .iter_mut()
            .filter(|row| row.flight == RowStage::Done)
        {
            row.flight = RowStage::Idle;
        }
        // the others of the round were refused for the same reason
        queue.order_rounds += u32::from(is_first);
        let Some(doublings) = queue.order_rounds.checked_sub(ORDER_ROUNDS_FREE + 1) else {
            return Refused::Order { last: reject.last };
        };
        queue.hold_until = Some(now + HOLD.min(ORDER_WAIT_MIN * 2_u32.saturating_pow(doublings)));
        Refused::OrderAgain { last: reject.last }
    }

    /// `last` is an entry that this store has never seen: go on from there.
    pub(crate) fn use_hint(&mut self, room: RoomId, last: EntryId) {
        if let Some(queue) = self.queues.get_mut(&room) {
            queue.hint = Hint::Use(last);
        }
    }

    /// An entry of this account stands in the log: its row is gone. Returns whether there was one.
    pub(crate) fn on_entry(&mut self, room: RoomId, id: EntryId) -> bool {
        let Some(queue) = self.queues.get_mut(&room) else {
            return false;
        };
        let before = queue.rows.len();
        queue.rows.retain(|row| row.id != id);
        if queue.rows.len() < before {
            queue.hint = Hint::None; // from here on, what is held speaks for itself
            queue.order_rounds = 0;
            self.strikes.remove(&id);
        }
        queue.rows.len() < before
    }

    /// The store has no such row: whatever was said of it here is out of date.
    pub(crate) fn forget(&mut self, id: EntryId) {
        self.queues
            .values_mut()
            .for_each(|queue| queue.rows.retain(|row| row.id != id));
    }

    /// Acks of seqs for which `is_void` holds are void: those rows are sent again. Returns them.
    pub(crate) fn void_acks(
        &mut self,
        room: RoomId,
        is_void: impl Fn(Seq) -> bool,
    ) -> Vec<EntryId> {
        let Some(queue) = self.queues.get_mut(&room) else {
            return Vec::new();
        };
        let mut voided = Vec::new();
        for row in queue
            .rows
            .iter_mut()
            .filter(|row| row.acked.is_some_and(&is_void))
        {
            row.acked = None;
            row.flight = if row.flight == RowStage::Done {
                RowStage::Idle
            } else {
                row.flight
            };
            voided.push(row.id);
        }
        voided
    }

    /// The room's log was cut: everything in it is sent again, acked or not.
    pub(crate) fn on_truncated(&mut self, room: RoomId) {
        let Some(queue) = self.queues.get_mut(&room) else {
            return;
        };
        queue.hint = Hint::None;
        for row in &mut queue.rows {
            row.acked = None;
            row.flight = if row.flight == RowStage::Done {
                RowStage::Idle
            } else {
                row.flight
            };
        }
        queue.waiting = true;
    }

    /// When the oldest unanswered entry was sent, and the link's byte count behind it.
    pub(crate) fn waiting(&self) -> Option<(Now, u64)> {
        self.flights()
            .map(|(_, _, sent_at, mark, _)| (sent_at, mark))
            .min()
    }

    /// The oldest unanswered entry: room, id, when it was sent, its mark, and whether that was the
    /// second time.
    pub(crate) fn oldest_flight(&self) -> Option<(RoomId, EntryId, Now, u64, bool)> {
        self.flights()
            .min_by_key(|(_, _, sent_at, mark, _)| (*sent_at, *mark))
    }

    fn flights(&self) -> impl Iterator<Item = (RoomId, EntryId, Now, u64, bool)> {
        self.queues.iter().flat_map(|(room, queue)| {
            queue.rows.iter().filter_map(|row| match row.flight {
                RowStage::Flying {
                    sent_at,
                    mark,
                    resent,
                } => Some((*room, row.id, sent_at, mark, resent)),
                RowStage::Idle | RowStage::Freezing | RowStage::Done => None,
            })
        })
    }

    /// When a hold ends.
    pub(crate) fn deadline(&self) -> Option<Now> {
        self.queues
            .values()
            .filter(|queue| !queue.rows.is_empty())
            .filter_map(|queue| queue.hold_until)
            .min()
    }

    /// The server closed over a frame. Returns the entry that did it, once that is certain.
    pub(crate) fn on_blamed(&mut self) -> Option<(RoomId, EntryId)> {
        let flying: Vec<_> = self.flights().map(|(room, id, ..)| (room, id)).collect();
        self.careful = !flying.is_empty();
        let [(room, id)] = flying.as_slice() else {
            return None;
        };
        let strikes = self.strikes.entry(*id).or_default();
        *strikes += 1;
        if *strikes < STRIKES_MAX {
            return None;
        }
        self.strikes.remove(id);
        self.careful &= planted_bug!(CarefulForEver);
        self.on_entry(*room, *id).then_some((*room, *id))
    }
}

#[cfg(test)]
mod tests;
