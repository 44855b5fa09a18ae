//! PURE. The pending messages: composed here, and not yet in the log that is stored here. Decides
//! what to send next, and what an answer means.
//!
//! Texts stay in the store; the core keeps one small row for each message (`rows.rs`). Order, pauses
//! and rejections are per room; the window is shared, and no room takes more than half of it. Each
//! `send` names the entry of this device that precedes it (`after`), so one rejection stops what is
//! in flight behind it, and the composed order survives every resend.

mod answers;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::answers::Refused;
pub(crate) use self::rows::Flight;
use self::rows::{PendingRow, RowStage, Rows, Used};
use super::limits::ClientLimits;
use super::link::Now;
use super::log::OwnLast;
use super::persist::{AddedRows, NewRows, OutboxRow, SendBudget};
use crate::planted_bug::planted_bug;
use crate::protocol::{EntryId, RoomId, Seq};

/// What was tried with one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    pub id: EntryId,
    /// Bytes of its body.
    pub bytes: usize,
    /// How often it went out; all that earlier processes did counts as once.
    pub sends: u32,
    /// Since when its answer is waited for, if it is.
    pub sent_at: Option<Now>,
}

/// This device's last entry in the room according to the server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Hint {
    #[default]
    None,
    /// Trusted over what is stored: this store was put back from a copy.
    Use(EntryId),
}

/// What decides when the rows of one room are sent.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Queue {
    hint: Hint,
    paused_until: Option<Now>,
    /// Rounds of order rejections since an entry was acknowledged for the first time or arrived.
    order_rounds: u32,
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
/// - One input costs O(log n) in the number of rows, unless it concerns all of them: a load, or the
///   end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    limits: ClientLimits,
    rows: Rows,
    queues: BTreeMap<RoomId, Queue>,
    /// The rooms in which something was rejected: the outstanding answers are awaited before
    /// anything else is sent.
    awaiting: BTreeSet<RoomId>,
    /// The rooms that wait before they send again, and until when.
    pauses: BTreeSet<(Now, RoomId)>,
    highest_order: i64,
    /// The store has no rows beyond those here.
    is_whole: bool,
    /// More rows were asked for, and the answer is still to come.
    is_more_asked: bool,
    /// After a close over a frame: one entry at a time, to find the one that caused it.
    careful: bool,
    strikes: BTreeMap<EntryId, u32>,
}

impl Outbox {
    /// Makes an empty outbox with the given limits.
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            rows: Rows::default(),
            queues: BTreeMap::new(),
            awaiting: BTreeSet::new(),
            pauses: BTreeSet::new(),
            highest_order: i64::MIN,
            is_whole: true,
            is_more_asked: false,
            careful: false,
            strikes: BTreeMap::new(),
        }
    }

    /// Replaces all rows by what the store contains. What is known of their stage stays.
    pub(crate) fn load(&mut self, rows: Vec<OutboxRow>) {
        let known: BTreeMap<EntryId, PendingRow> =
            self.rows.drain().map(|row| (row.id, row)).collect();
        self.highest_order = i64::MIN;
        self.is_more_asked = false;
        self.is_whole = rows.len() < self.limits.outbox_entries;
        for row in rows.into_iter().take(self.limits.outbox_entries) {
            let known = known.get(&row.id);
            self.push(row, known);
        }
        debug_assert!(self.rows.len() <= self.limits.outbox_entries);
    }

    /// Rows after all others: the answer to what [`Outbox::above`] asked for.
    ///
    /// An answer to a question from before [`Outbox::load`] may begin above what was loaded: the
    /// rows between the two would never arrive, so nothing of it is taken.
    pub(crate) fn add(&mut self, added: AddedRows) {
        let AddedRows {
            above,
            rows,
            is_whole,
        } = added;
        if above > self.highest_order && !planted_bug!(LateRowsTaken) {
            self.is_whole = false; // they are asked for again
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
        self.limits.outbox_entries.saturating_sub(self.rows.len())
    }

    /// What to ask the store for when rows were added to it: those above an order, and how many.
    pub(crate) fn above(&mut self) -> Option<NewRows> {
        let limit = self.space();
        if limit == 0 {
            self.is_whole = false;
            return None;
        }
        self.is_more_asked = true;
        Some(NewRows {
            above: self.highest_order,
            limit,
        })
    }

    /// The same, when rows wait on disk and half of the space is free.
    pub(crate) fn more(&mut self) -> Option<NewRows> {
        let is_due = !self.is_whole
            && !self.is_more_asked
            && self.space() >= self.limits.outbox_entries.div_ceil(2);
        if is_due { self.above() } else { None }
    }

    fn push(&mut self, row: OutboxRow, known: Option<&PendingRow>) {
        self.highest_order = self.highest_order.max(row.order);
        self.queues.entry(row.room).or_default();
        let mut row = PendingRow::new(row);
        // A rejected entry that is sent again comes back with its id, in another place.
        self.rows.remove(row.room, row.id);
        if let Some(known) = known {
            row.stage = known.stage;
            row.sends = known.sends;
        }
        self.rows.insert(row);
    }

    /// A new connection, or none: nothing is in flight, and everything is sent again, in order,
    /// acknowledged or not.
    pub(crate) fn on_link_changed(&mut self) {
        if !planted_bug!(InFlightForgotten) {
            for (room, id) in self.rows.busy() {
                self.rows.set_stage(room, id, RowStage::Idle);
            }
        }
        if planted_bug!(ResentBackwards) {
            self.reverse();
        }
        self.queues
            .values_mut()
            .for_each(|queue| *queue = Queue::default());
        self.pauses.clear();
        self.awaiting.clear();
    }

    fn reverse(&mut self) {
        let rows: Vec<_> = self.rows.drain().collect();
        let orders: Vec<_> = rows.iter().map(|row| row.order).collect();
        for (row, order) in rows.into_iter().zip(orders.into_iter().rev()) {
            self.rows.insert(PendingRow { order, ..row });
        }
    }

    /// Takes the rows that may be sent now, in order. They are to be frozen in the store first.
    pub(crate) fn take_sendable(
        &mut self,
        now: Now,
        is_open: impl Fn(RoomId) -> bool,
    ) -> Vec<EntryId> {
        self.end_pauses(now);
        let mut taken = Vec::new();
        let mut room = self.rows.next_idle_room(None);
        while let Some(at) = room {
            if self.rows.used().entries >= self.window().entries {
                break;
            }
            if is_open(at) {
                self.take_of_room(at, &mut taken);
            }
            room = self.rows.next_idle_room(Some(at));
        }
        taken
    }

    /// A pause that is over ends whether or not anything is sent: its deadline would stay in the
    /// past otherwise.
    fn end_pauses(&mut self, now: Now) {
        while let Some((until, room)) = self.pauses.first().copied()
            && until <= now
        {
            self.pauses.pop_first();
            if let Some(queue) = self.queues.get_mut(&room) {
                queue.paused_until = None;
            }
        }
    }

    fn pause(&mut self, room: RoomId, until: Now) {
        let queue = self.queues.entry(room).or_default();
        if let Some(before) = queue.paused_until.replace(until) {
            let was_paused = self.pauses.remove(&(before, room));
            debug_assert!(was_paused, "a pause of a room is in the set");
        }
        self.pauses.insert((until, room));
    }

    /// The most that may be in flight at once.
    const fn window(&self) -> Used {
        if self.careful {
            return Used {
                entries: 1,
                bytes: usize::MAX,
            };
        }
        Used {
            entries: self.limits.window_entries,
            bytes: self.limits.window_bytes,
        }
    }

    /// How much of what is composed next may be sent at once, in whatever room; nothing while
    /// anything waits, because that is sent first.
    pub(crate) fn budget(&self) -> Option<SendBudget> {
        if self.careful || !self.pauses.is_empty() || self.rows.next_idle_room(None).is_some() {
            return None;
        }
        let is_awaiting = |room: &RoomId| self.rows.used_by(*room).entries > 0;
        if self.awaiting.iter().any(is_awaiting) {
            return None;
        }
        let used = self.rows.used();
        let share = share_of(self.window());
        let budget = SendBudget {
            entries: share.entries.saturating_sub(used.entries),
            bytes: share.bytes.saturating_sub(used.bytes),
        };
        (budget.entries > 0).then_some(budget)
    }

    fn take_of_room(&mut self, room: RoomId, taken: &mut Vec<EntryId>) {
        let window = self.window();
        let mut by_room = self.rows.used_by(room);
        let is_paused = self
            .queues
            .get(&room)
            .is_some_and(|queue| queue.paused_until.is_some());
        if is_paused || (by_room.entries > 0 && self.awaiting.contains(&room)) {
            return;
        }
        self.awaiting.remove(&room);
        let share = share_of(window);
        while let Some(row) = self.rows.first_idle(room) {
            let (id, bytes) = (row.id, row.bytes);
            if !fits(bytes, self.rows.used(), window) || !fits(bytes, by_room, share) {
                break;
            }
            self.rows.set_stage(room, id, RowStage::Freezing);
            by_room.add(bytes);
            taken.push(id);
        }
        debug_assert!(self.rows.used().entries <= window.entries.max(self.limits.window_entries));
    }

    /// Returns where a frozen row that is about to be sent goes.
    ///
    /// It follows the row before it, unless this device's last stored entry was composed later.
    /// Then the row before it lies in a gap: the server has it, and the last stored entry after it.
    pub(crate) fn placement(
        &self,
        room: RoomId,
        id: EntryId,
        own_last: Option<OwnLast>,
    ) -> Placement {
        let (Some(queue), Some(row)) = (self.queues.get(&room), self.rows.get(room, id)) else {
            return Placement::Withheld;
        };
        // A row that is sent again does not wait for the answers of a round of rejections.
        let is_withheld = self.awaiting.contains(&room) && row.stage == RowStage::Freezing;
        if row.stage == RowStage::Idle || is_withheld {
            return Placement::Withheld;
        }
        let before = self.rows.before(row);
        debug_assert!(before.is_none_or(|before| before.order < row.order));
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

    /// A frozen row cannot be sent now after all.
    pub(crate) fn on_not_sent(&mut self, room: RoomId, id: EntryId) {
        let row = self.rows.get(room, id);
        if row.is_some_and(|row| row.stage == RowStage::Freezing) {
            self.rows.set_stage(room, id, RowStage::Idle);
        }
    }

    /// It was sent; `mark` is the connection's byte count after it.
    pub(crate) fn on_sent(&mut self, room: RoomId, id: EntryId, now: Now, mark: u64) {
        self.rows.change(room, id, |row| {
            row.stage = RowStage::InFlight(Flight {
                sent_at: now,
                mark,
                is_resent: row.flight().is_some(),
            });
            row.sends += 1;
        });
    }

    /// The flight of an entry that was sent once on this connection and not answered.
    pub(crate) fn single_flight(&self, room: RoomId, id: EntryId) -> Option<Flight> {
        let flight = self.rows.get(room, id)?.flight()?;
        (!flight.is_resent).then_some(flight)
    }

    /// Whether it was answered on this connection already.
    pub(crate) fn is_answered(&self, room: RoomId, id: EntryId) -> bool {
        self.rows
            .get(room, id)
            .is_some_and(|row| row.stage == RowStage::Acknowledged)
    }

    /// How often an entry was sent. All that earlier processes did counts as once.
    pub(crate) fn sends(&self, room: RoomId, id: EntryId) -> u32 {
        self.rows.get(room, id).map_or(0, |row| row.sends)
    }

    /// What is in the window or was sent before, from old to new in each room.
    pub(crate) fn tries(&self) -> impl Iterator<Item = Tries> {
        self.rows
            .iter()
            .filter(|row| row.sends > 0 || row.is_in_window())
            .map(|row| Tries {
                id: row.id,
                bytes: row.bytes,
                sends: row.sends,
                sent_at: row.flight().map(|flight| flight.sent_at),
            })
    }

    /// Whether an entry is pending.
    pub(crate) fn contains(&self, room: RoomId, id: EntryId) -> bool {
        self.rows.get(room, id).is_some()
    }

    /// The composed order of a pending entry.
    pub(crate) fn order(&self, room: RoomId, id: EntryId) -> Option<i64> {
        self.rows.get(room, id).map(|row| row.order)
    }

    /// Whether anything of a room is pending, or may be: rows on disk can be of any room.
    pub(crate) fn has_rows(&self, room: RoomId) -> bool {
        !self.is_whole || self.rows.has_room(room)
    }

    /// The lowest acknowledged seq of a pending entry.
    pub(crate) fn lowest_ack(&self, room: RoomId) -> Option<Seq> {
        self.rows.lowest_acked(room)
    }

    /// The flight of the oldest unanswered entry.
    pub(crate) fn waiting(&self) -> Option<Flight> {
        self.oldest_flight().map(|oldest| oldest.flight)
    }

    /// The oldest unanswered entry.
    pub(crate) fn oldest_flight(&self) -> Option<Unanswered> {
        let (row, flight) = self.rows.in_flight().next()?;
        Some(Unanswered {
            room: row.room,
            id: row.id,
            flight,
        })
    }

    /// When a pause ends.
    pub(crate) fn deadline(&self) -> Option<Now> {
        let mut pauses = self.pauses.iter();
        pauses
            .find(|(_, room)| self.rows.has_room(*room))
            .map(|(until, _)| *until)
    }
}

/// An entry that was sent and not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unanswered {
    pub(crate) room: RoomId,
    pub(crate) id: EntryId,
    pub(crate) flight: Flight,
}

/// The most that one room may have in flight.
const fn share_of(window: Used) -> Used {
    let entries = window.entries / 2;
    Used {
        entries: if entries == 0 { 1 } else { entries },
        bytes: window.bytes / 2,
    }
}

/// Whether one more message of so many bytes may be sent. A message that is larger than the window
/// is sent alone.
const fn fits(bytes: usize, used: Used, most: Used) -> bool {
    used.entries < most.entries && (used.entries == 0 || used.bytes + bytes <= most.bytes)
}

#[cfg(test)]
mod tests;
