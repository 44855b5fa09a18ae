//! PURE. The outbox: entries of this device that are not in the local log yet. Decides which entry is
//! sent next, and what an answer means.
//!
//! Texts stay in the store; the core has one small row for each entry (`rows.rs`). Order, pauses and
//! rejections apply to one room. The window is shared, and one room uses at most half of it. Each
//! `send` names the preceding entry of this device (`after`), so the server rejects everything behind
//! a rejected entry, and the order of typing survives every resend.

mod answers;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::answers::Rejected;
pub(crate) use self::rows::Flight;
use self::rows::{Amount, PendingRow, RowStage, Rows};
use super::limits::ClientLimits;
use super::link::Now;
use super::log::OwnLast;
use super::persist::{AddedRows, NewRows, OutboxRow, SendBudget};
use crate::planted_bug::planted_bug;
use crate::protocol::{EntryId, RoomId, Seq};

/// The send attempts of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    pub id: EntryId,
    /// Bytes of its body.
    pub bytes: usize,
    /// Number of sends; all sends of earlier processes count as one.
    pub sends: u32,
    /// When it was sent, while it has no answer.
    pub sent_at: Option<Now>,
}

/// This device's last entry in a room, if the server reported one that the store does not have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Hint {
    #[default]
    None,
    /// The predecessor to name instead of the last stored entry: the store lacks it, since it was
    /// restored from a backup.
    Use(EntryId),
}

/// The state of one room's queue.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Queue {
    hint: Hint,
    paused_until: Option<Now>,
    /// How often in a row this queue was sent again after `out_of_order`, without a new ack.
    order_rounds: u32,
}

/// The predecessor that a `send` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Predecessor {
    /// The entry is not sent at the moment.
    Withheld,
    /// None: this is the device's first entry in the room.
    First,
    /// This entry of the device.
    After(EntryId),
}

/// Decides which pending entries are sent next, and what each answer means. It owns one row for each
/// pending entry, without its text, and the state of each room's queue.
///
/// [`Outbox::take_sendable`] returns entries to freeze. Once the store has frozen an entry,
/// [`Outbox::predecessor`] returns its predecessor, and it is sent. Answers arrive through
/// [`Outbox::on_ack`], [`Outbox::on_reject`] and [`Outbox::on_entry`].
///
/// Invariants:
/// - The rows of a room are in the order of typing.
/// - At most [`ClientLimits::window_entries`] entries are in flight, at most half of them in one room.
/// - The outbox has the first rows of the store, up to [`ClientLimits::outbox_entries`]. The other
///   rows stay on disk until half of the space is free.
/// - One input costs O(log n) in the number of rows; a load and the end of a connection cost O(n).
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    limits: ClientLimits,
    rows: Rows,
    queues: BTreeMap<RoomId, Queue>,
    /// Rooms with a rejection: nothing is sent there before all outstanding answers have arrived.
    awaiting: BTreeSet<RoomId>,
    /// The end of each room's pause.
    pauses: BTreeSet<(Now, RoomId)>,
    highest_order: i64,
    /// The row of that order.
    highest: Option<EntryId>,
    /// Whether the store has no further rows.
    is_whole: bool,
    /// Whether more rows are requested.
    is_more_asked: bool,
    /// One entry at a time, after the server closed the connection because of a frame.
    careful: bool,
    /// Number of closes that each entry may have caused.
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
            highest: None,
            is_whole: true,
            is_more_asked: false,
            careful: false,
            strikes: BTreeMap::new(),
        }
    }

    /// Replaces all rows by those of the store. Known rows keep their stage.
    pub(crate) fn load(&mut self, rows: Vec<OutboxRow>) {
        let known: BTreeMap<EntryId, PendingRow> =
            self.rows.drain().map(|row| (row.id, row)).collect();
        self.highest_order = i64::MIN;
        self.highest = None;
        self.is_more_asked = false;
        self.is_whole = rows.len() < self.limits.outbox_entries;
        for row in rows.into_iter().take(self.limits.outbox_entries) {
            let known = known.get(&row.id);
            self.push(row, known);
        }
        debug_assert!(self.rows.len() <= self.limits.outbox_entries);
    }

    /// Adds the rows that [`Outbox::request_new_rows`] requested.
    ///
    /// Rows that were requested before [`Outbox::load`] may start above the loaded ones. They are
    /// ignored, since the rows between would be missing.
    pub(crate) fn add(&mut self, added: AddedRows) {
        let AddedRows {
            above,
            rows,
            is_whole,
        } = added;
        if above > self.highest_order && !planted_bug!(LateRowsTaken) {
            self.is_whole = false; // they are requested again
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

    /// Number of rows that fit.
    fn space(&self) -> usize {
        self.limits.outbox_entries.saturating_sub(self.rows.len())
    }

    /// Returns the request for rows that were added to the store; `None` if no more fit.
    pub(crate) fn request_new_rows(&mut self) -> Option<NewRows> {
        let limit = self.space();
        if limit == 0 {
            self.is_whole = false;
            return None;
        }
        self.is_more_asked = true;
        Some(NewRows {
            above: self.highest_order,
            last: self.highest,
            limit,
        })
    }

    /// Returns the request for further rows on disk, when half of the space is free.
    pub(crate) fn request_more_rows(&mut self) -> Option<NewRows> {
        let is_due = !self.is_whole
            && !self.is_more_asked
            && self.space() >= self.limits.outbox_entries.div_ceil(2);
        if is_due {
            self.request_new_rows()
        } else {
            None
        }
    }

    fn push(&mut self, row: OutboxRow, known: Option<&PendingRow>) {
        if row.order > self.highest_order {
            self.highest_order = row.order;
            self.highest = Some(row.id);
        }
        self.queues.entry(row.room).or_default();
        let mut row = PendingRow::new(row);
        // A rejected entry that is retried has the same id and a new order.
        self.rows.remove(row.room, row.id);
        if let Some(known) = known {
            row.stage = known.stage;
            row.sends = known.sends;
        }
        self.rows.insert(row);
    }

    /// The connection changed: nothing is in flight, and everything is sent again, in order, also
    /// acknowledged entries that are not in the log yet.
    pub(crate) fn on_link_changed(&mut self) {
        if !planted_bug!(InFlightForgotten) {
            for (room, id) in self.rows.busy() {
                self.rows.set_stage(room, id, RowStage::Idle);
            }
        }
        self.queues
            .values_mut()
            .for_each(|queue| *queue = Queue::default());
        self.pauses.clear();
        self.awaiting.clear();
    }

    /// Takes the sendable rows, in order. The caller freezes them in the store before it sends them.
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
        if planted_bug!(SentBackwards) {
            taken.reverse();
        }
        taken
    }

    /// Ends expired pauses, also when there is nothing to send. Otherwise the deadline would stay in
    /// the past, and the timer would fire again and again.
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

    /// Maximum entries and bytes in flight.
    const fn window(&self) -> Amount {
        if self.careful {
            return Amount {
                entries: 1,
                bytes: usize::MAX,
            };
        }
        Amount {
            entries: self.limits.window_entries,
            bytes: self.limits.window_bytes,
        }
    }

    /// Returns how many entries composed from now on may be sent immediately, in any room; `None`
    /// while other entries are pending, since they are sent first.
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

    /// Returns the predecessor of a frozen row that is about to be sent.
    ///
    /// Normally it is the preceding row R. But if the local log has an own entry E that was typed
    /// after R, the server has appended R too (in a gap of the local log), and the predecessor is E.
    pub(crate) fn predecessor(
        &self,
        room: RoomId,
        id: EntryId,
        own_last: Option<OwnLast>,
    ) -> Predecessor {
        let (Some(queue), Some(row)) = (self.queues.get(&room), self.rows.get(room, id)) else {
            return Predecessor::Withheld;
        };
        // Only new rows wait for outstanding answers after a rejection; resent rows do not.
        let is_withheld = self.awaiting.contains(&room) && row.stage == RowStage::Freezing;
        if row.stage == RowStage::Idle || is_withheld {
            return Predecessor::Withheld;
        }
        let before = self.rows.before(row);
        debug_assert!(before.is_none_or(|before| before.order < row.order));
        match (before, own_last, queue.hint) {
            (Some(before), Some(own), _)
                if own.comes_after(before.order, before.acked) && !planted_bug!(AfterTheGap) =>
            {
                Predecessor::After(own.id)
            }
            (Some(before), _, _) => Predecessor::After(before.id),
            (None, _, Hint::Use(last)) => Predecessor::After(last),
            (None, own, Hint::None) => {
                own.map_or(Predecessor::First, |own| Predecessor::After(own.id))
            }
        }
    }

    /// A frozen row was not sent.
    pub(crate) fn on_not_sent(&mut self, room: RoomId, id: EntryId) {
        let row = self.rows.get(room, id);
        if row.is_some_and(|row| row.stage == RowStage::Freezing) {
            self.rows.set_stage(room, id, RowStage::Idle);
        }
    }

    /// An entry was sent; `sent_up_to` is the number of bytes sent on the connection up to the end
    /// of its frame.
    pub(crate) fn on_sent(&mut self, room: RoomId, id: EntryId, now: Now, sent_up_to: u64) {
        self.rows.change(room, id, |row| {
            row.stage = RowStage::InFlight(Flight {
                sent_at: now,
                sent_up_to,
                is_resent: row.flight().is_some(),
            });
            row.sends += 1;
        });
    }

    /// Returns the flight of an unanswered entry that was sent once on this connection.
    pub(crate) fn single_flight(&self, room: RoomId, id: EntryId) -> Option<Flight> {
        let flight = self.rows.get(room, id)?.flight()?;
        (!flight.is_resent).then_some(flight)
    }

    /// Whether an entry was acknowledged on this connection.
    pub(crate) fn is_acknowledged(&self, room: RoomId, id: EntryId) -> bool {
        self.rows
            .get(room, id)
            .is_some_and(|row| row.stage == RowStage::Acknowledged)
    }

    /// Number of sends of an entry; all sends of earlier processes count as one.
    pub(crate) fn sends(&self, room: RoomId, id: EntryId) -> u32 {
        self.rows.get(room, id).map_or(0, |row| row.sends)
    }

    /// The entries that are in the window or were sent, room by room, each room in typed order.
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

    /// The typed order of a pending entry.
    pub(crate) fn order(&self, room: RoomId, id: EntryId) -> Option<i64> {
        self.rows.get(room, id).map(|row| row.order)
    }

    /// Whether a room has pending entries among the loaded rows.
    pub(crate) fn has_rows(&self, room: RoomId) -> bool {
        self.rows.has_room(room)
    }

    /// The lowest seq at which the server acknowledged an entry that is still in the outbox.
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

    /// Returns when the next pause ends.
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

/// Maximum entries and bytes of one room in flight.
const fn share_of(window: Amount) -> Amount {
    let entries = window.entries / 2;
    Amount {
        entries: if entries == 0 { 1 } else { entries },
        bytes: window.bytes / 2,
    }
}

/// Whether an entry of `bytes` fits into the window. An entry larger than the window is sent alone.
const fn fits(bytes: usize, used: Amount, most: Amount) -> bool {
    used.entries < most.entries && (used.entries == 0 || used.bytes + bytes <= most.bytes)
}

#[cfg(test)]
mod tests;
