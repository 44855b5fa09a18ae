//! PURE. What was written here and does not yet stand in the log held here: what to send next, and what an answer means.
//!
//! Bodies stay in the store; kept here is one small row for each entry. Order, holds and refusals are per room; the
//! window is shared, and no room takes more than half of it. Each `send` names the entry of this device that stands
//! before it (`after`), so one refusal stops what is in flight behind it and the typed order survives every resend.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::link::Now;
use crate::mistake::{Mistake, is_made};
use crate::protocol::limits::{WINDOW_BYTES_MAX, WINDOW_ENTRIES_MAX};
use crate::protocol::{EntryId, Reject, RoomId, Seq};

/// Wait after a passing refusal that says no time.
const HOLD: Duration = Duration::from_secs(5);
/// Refusals of order in a row before a room is held, so that two sides that disagree do not spin.
const ORDER_REFUSALS_MAX: u32 = 4;
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
enum Flight {
    /// Not sent on this link.
    Idle,
    /// Its body is being frozen in the store; it goes out when that is done.
    Freezing,
    /// Sent, no answer yet. `mark` is the link's byte count behind it.
    Flying { sent_at: Now, mark: u64, resent: bool },
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
struct Row {
    order: i64,
    id: EntryId,
    bytes: usize,
    acked: Option<Seq>,
    flight: Flight,
    /// How often it went out; once for all that earlier processes did.
    sends: u32,
}

impl Row {
    const fn in_window(&self) -> bool {
        matches!(self.flight, Flight::Freezing | Flight::Flying { .. })
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
    rows: VecDeque<Row>,
    hint: Hint,
    /// Something was refused: wait for the outstanding answers before going on.
    waiting: bool,
    hold_until: Option<Now>,
    order_refusals: u32,
}

impl Queue {
    const fn new() -> Self {
        Self { rows: VecDeque::new(), hint: Hint::None, waiting: false, hold_until: None, order_refusals: 0 }
    }

    fn flying(&self) -> usize {
        self.rows.iter().filter(|row| row.in_window()).count()
    }

    fn row(&mut self, id: EntryId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.id == id)
    }
}

/// What a refusal means for the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Nothing to do but wait, or an answer to nothing.
    Later,
    /// For good: the row leaves the outbox and comes back to the person.
    ForGood,
    /// The server's last entry of this device is not the one that stands before: find out which side lost what.
    Order { last: Option<EntryId> },
}

/// The pure core of the outbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    queues: BTreeMap<RoomId, Queue>,
    highest_order: i64,
    /// After a close over a frame: one entry at a time, to find the one that does it.
    careful: bool,
    strikes: BTreeMap<EntryId, u32>,
}

impl Outbox {
    /// Replaces the rows of every room by what the store holds, keeping what is known of their flight.
    pub(crate) fn load(&mut self, rows: Vec<OutboxRow>) {
        let mut flights: BTreeMap<EntryId, (Flight, u32)> = BTreeMap::new();
        for queue in self.queues.values_mut() {
            flights.extend(queue.rows.drain(..).map(|row| (row.id, (row.flight, row.sends))));
        }
        for row in rows {
            let flight = flights.remove(&row.id);
            self.push(row, flight);
        }
    }

    /// Rows that were added behind all others.
    pub(crate) fn add(&mut self, rows: Vec<OutboxRow>) {
        for row in rows {
            if row.order > self.highest_order {
                self.push(row, None);
            }
        }
    }

    fn push(&mut self, row: OutboxRow, flight: Option<(Flight, u32)>) {
        self.highest_order = self.highest_order.max(row.order);
        let OutboxRow { order, id, room, bytes, acked, frozen } = row;
        let (flight, sends) = flight.unwrap_or((Flight::Idle, u32::from(frozen)));
        let queue = self.queues.entry(room).or_insert_with(Queue::new);
        queue.rows.push_back(Row { order, id, bytes, acked, flight, sends });
    }

    /// The highest order that is known here; what the store has above it is new.
    pub(crate) const fn highest_order(&self) -> i64 {
        self.highest_order
    }

    /// A new link, or none: nothing is in flight, and everything is sent again, in order, acked or not.
    pub(crate) fn on_link_changed(&mut self) {
        for queue in self.queues.values_mut() {
            if !is_made(Mistake::InFlightForgotten) {
                queue.rows.iter_mut().for_each(|row| row.flight = Flight::Idle);
            }
            if is_made(Mistake::ResentBackwards) {
                queue.rows.make_contiguous().reverse();
            }
            queue.hint = Hint::None;
            queue.waiting = false;
            queue.hold_until = None;
            queue.order_refusals = 0;
        }
    }

    /// Rows that may go out now, in order; they are to be frozen in the store first.
    pub(crate) fn take_sendable(&mut self, now: Now, is_open: impl Fn(RoomId) -> bool) -> Vec<EntryId> {
        let (entries_max, bytes_max) =
            if self.careful { (1, usize::MAX) } else { (WINDOW_ENTRIES_MAX, WINDOW_BYTES_MAX) };
        let mut entries: usize = self.queues.values().map(Queue::flying).sum();
        let mut bytes: usize =
            self.queues.values().flat_map(|q| &q.rows).filter(|r| r.in_window()).map(|r| r.bytes).sum();
        let share = (entries_max / 2).max(1);
        let mut taken = Vec::new();
        for (room, queue) in &mut self.queues {
            if queue.hold_until.is_some_and(|until| now < until) {
                continue;
            }
            queue.hold_until = None; // over, whether or not something may go out: else it would be waited for without end
            if !is_open(*room) {
                continue;
            }
            let mut flying = queue.flying();
            if queue.waiting && flying > 0 {
                continue;
            }
            queue.waiting = false;
            let mut room_bytes: usize = queue.rows.iter().filter(|r| r.in_window()).map(|r| r.bytes).sum();
            for row in queue.rows.iter_mut().filter(|row| row.flight == Flight::Idle) {
                let is_full = entries >= entries_max || (entries > 0 && bytes + row.bytes > bytes_max);
                let is_share_full = flying >= share || (flying > 0 && room_bytes + row.bytes > bytes_max / 2);
                if is_full || is_share_full {
                    break;
                }
                row.flight = Flight::Freezing;
                (entries, flying) = (entries + 1, flying + 1);
                (bytes, room_bytes) = (bytes + row.bytes, room_bytes + row.bytes);
                taken.push(row.id);
            }
        }
        taken
    }

    /// A frozen row is about to be sent: the entry that it stands after. `None` when it is not to be sent any more.
    pub(crate) fn after(&self, room: RoomId, id: EntryId, own_last: Option<EntryId>) -> Option<Option<EntryId>> {
        let queue = self.queues.get(&room)?;
        let index = queue.rows.iter().position(|row| row.id == id)?;
        let is_held = queue.waiting && queue.rows[index].flight == Flight::Freezing; // one that goes again is not
        if queue.rows[index].flight == Flight::Idle || is_held {
            return None;
        }
        if index > 0 {
            return Some(Some(queue.rows[index - 1].id));
        }
        Some(match queue.hint {
            Hint::Use(last) => Some(last),
            Hint::None => own_last,
        })
    }

    /// A frozen row cannot go out now after all.
    pub(crate) fn on_not_sent(&mut self, room: RoomId, id: EntryId) {
        if let Some(row) = self.queues.get_mut(&room).and_then(|queue| queue.row(id))
            && row.flight == Flight::Freezing
        {
            row.flight = Flight::Idle;
        }
    }

    /// It went out; `mark` is the link's byte count behind it.
    pub(crate) fn on_sent(&mut self, room: RoomId, id: EntryId, now: Now, mark: u64) {
        if let Some(row) = self.queues.get_mut(&room).and_then(|queue| queue.row(id)) {
            let resent = matches!(row.flight, Flight::Flying { .. });
            row.flight = Flight::Flying { sent_at: now, mark, resent };
            row.sends += 1;
        }
    }

    /// An ack. Returns when and with which mark the entry was sent, if it was waited for.
    pub(crate) fn on_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) -> Option<(Now, u64)> {
        let sent = self.sent(room, id);
        let queue = self.queues.get_mut(&room)?;
        queue.order_refusals = 0;
        let row = queue.row(id)?;
        row.acked = Some(seq);
        row.flight = Flight::Done;
        self.careful = false;
        sent
    }

    /// When an entry that is in flight was sent, and the link's byte count behind it; not when it went twice.
    pub(crate) fn sent(&self, room: RoomId, id: EntryId) -> Option<(Now, u64)> {
        match self.row(room, id)?.flight {
            Flight::Flying { sent_at, mark, resent: false } => Some((sent_at, mark)),
            Flight::Flying { resent: true, .. } | Flight::Idle | Flight::Freezing | Flight::Done => None,
        }
    }

    fn row(&self, room: RoomId, id: EntryId) -> Option<&Row> {
        self.queues.get(&room)?.rows.iter().find(|row| row.id == id)
    }

    /// Whether it was answered on this link already.
    pub(crate) fn is_answered(&self, room: RoomId, id: EntryId) -> bool {
        self.row(room, id).is_some_and(|row| row.flight == Flight::Done)
    }

    /// How often an entry went out; all that earlier processes did counts as once.
    pub(crate) fn sends(&self, room: RoomId, id: EntryId) -> u32 {
        self.row(room, id).map_or(0, |row| row.sends)
    }

    /// What is in the window or went out before, from old to new in each room.
    pub(crate) fn tries(&self) -> impl Iterator<Item = Tries> {
        self.queues.values().flat_map(|queue| &queue.rows).filter(|row| row.sends > 0 || row.in_window()).map(|row| {
            let sent_at = match row.flight {
                Flight::Flying { sent_at, .. } => Some(sent_at),
                Flight::Idle | Flight::Freezing | Flight::Done => None,
            };
            Tries { id: row.id, bytes: row.bytes, sends: row.sends, sent_at }
        })
    }

    /// Whether the row is waiting for its entry.
    pub(crate) fn contains(&self, room: RoomId, id: EntryId) -> bool {
        self.row(room, id).is_some()
    }

    /// Whether anything of a room is waiting for its entry.
    pub(crate) fn has_rows(&self, room: RoomId) -> bool {
        self.queues.get(&room).is_some_and(|queue| !queue.rows.is_empty())
    }

    /// The lowest place that the server acked for what still waits for its entry.
    pub(crate) fn lowest_ack(&self, room: RoomId) -> Option<Seq> {
        self.queues.get(&room)?.rows.iter().filter_map(|row| row.acked).min()
    }

    /// A refusal.
    pub(crate) fn on_reject(&mut self, reject: &Reject, now: Now) -> Refused {
        let Some(queue) = self.queues.get_mut(&reject.room) else { return Refused::Later };
        let Some(row) = queue.row(reject.id) else { return Refused::Later };
        if !matches!(row.flight, Flight::Flying { .. }) {
            return Refused::Later;
        }
        row.flight = Flight::Idle;
        queue.waiting = true;
        let is_order = reject.code == crate::protocol::RejectCode::OutOfOrder;
        let is_final = reject.code.is_final() && !is_made(Mistake::RefusedBlocks);
        if is_final || (is_made(Mistake::PassingIsFinal) && !is_order) {
            queue.rows.retain(|row| row.id != reject.id);
            self.strikes.remove(&reject.id);
            self.careful = false;
            return Refused::ForGood;
        }
        if !is_order {
            let hold = reject.retry_after_ms.map_or(HOLD, |ms| Duration::from_millis(ms.min(600_000)));
            queue.hold_until = Some(queue.hold_until.unwrap_or(now).max(now + hold));
            return Refused::Later;
        }
        for row in queue.rows.iter_mut().filter(|row| row.flight == Flight::Done) {
            row.flight = Flight::Idle;
        }
        queue.order_refusals += 1;
        if queue.order_refusals > ORDER_REFUSALS_MAX * WINDOW_ENTRIES_MAX as u32 {
            queue.hold_until = Some(now + HOLD);
        }
        Refused::Order { last: reject.last }
    }

    /// `last` is an entry that this store has never seen: go on from there.
    pub(crate) fn use_hint(&mut self, room: RoomId, last: EntryId) {
        if let Some(queue) = self.queues.get_mut(&room) {
            queue.hint = Hint::Use(last);
        }
    }

    /// An entry of this account stands in the log: its row is gone. Returns whether there was one.
    pub(crate) fn on_entry(&mut self, room: RoomId, id: EntryId) -> bool {
        let Some(queue) = self.queues.get_mut(&room) else { return false };
        let before = queue.rows.len();
        queue.rows.retain(|row| row.id != id);
        if queue.rows.len() < before {
            queue.hint = Hint::None; // from here on, what is held speaks for itself
            self.strikes.remove(&id);
        }
        queue.rows.len() < before
    }

    /// The store has no such row: whatever was said of it here is out of date.
    pub(crate) fn forget(&mut self, id: EntryId) {
        self.queues.values_mut().for_each(|queue| queue.rows.retain(|row| row.id != id));
    }

    /// Acks of seqs for which `is_void` holds are void: those rows are sent again. Returns them.
    pub(crate) fn void_acks(&mut self, room: RoomId, is_void: impl Fn(Seq) -> bool) -> Vec<EntryId> {
        let Some(queue) = self.queues.get_mut(&room) else { return Vec::new() };
        let mut voided = Vec::new();
        for row in queue.rows.iter_mut().filter(|row| row.acked.is_some_and(&is_void)) {
            row.acked = None;
            row.flight = if row.flight == Flight::Done { Flight::Idle } else { row.flight };
            voided.push(row.id);
        }
        voided
    }

    /// The room's log was cut: everything in it is sent again, acked or not.
    pub(crate) fn on_cut(&mut self, room: RoomId) {
        let Some(queue) = self.queues.get_mut(&room) else { return };
        queue.hint = Hint::None;
        for row in &mut queue.rows {
            row.acked = None;
            row.flight = if row.flight == Flight::Done { Flight::Idle } else { row.flight };
        }
        queue.waiting = true;
    }

    /// When the oldest unanswered entry was sent, and the link's byte count behind it.
    pub(crate) fn waiting(&self) -> Option<(Now, u64)> {
        self.flights().map(|(_, _, sent_at, mark, _)| (sent_at, mark)).min()
    }

    /// The oldest unanswered entry: room, id, when it was sent, its mark, and whether that was the second time.
    pub(crate) fn oldest_flight(&self) -> Option<(RoomId, EntryId, Now, u64, bool)> {
        self.flights().min_by_key(|(_, _, sent_at, mark, _)| (*sent_at, *mark))
    }

    fn flights(&self) -> impl Iterator<Item = (RoomId, EntryId, Now, u64, bool)> {
        self.queues.iter().flat_map(|(room, queue)| {
            queue.rows.iter().filter_map(|row| match row.flight {
                Flight::Flying { sent_at, mark, resent } => Some((*room, row.id, sent_at, mark, resent)),
                Flight::Idle | Flight::Freezing | Flight::Done => None,
            })
        })
    }

    /// When a hold ends.
    pub(crate) fn deadline(&self) -> Option<Now> {
        self.queues.values().filter(|queue| !queue.rows.is_empty()).filter_map(|queue| queue.hold_until).min()
    }

    /// The server closed over a frame. Returns the entry that did it, once that is certain.
    pub(crate) fn on_blamed(&mut self) -> Option<(RoomId, EntryId)> {
        let flying: Vec<_> = self.flights().map(|(room, id, ..)| (room, id)).collect();
        self.careful = !flying.is_empty();
        let [(room, id)] = flying.as_slice() else { return None };
        let strikes = self.strikes.entry(*id).or_default();
        *strikes += 1;
        if *strikes < STRIKES_MAX {
            return None;
        }
        self.strikes.remove(id);
        self.careful = false;
        self.on_entry(*room, *id).then_some((*room, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RejectCode;

    fn room(n: u8) -> RoomId {
        RoomId::from_random([n; 16])
    }

    fn id(n: i64) -> EntryId {
        EntryId::from_parts(n as u64, [0; 10])
    }

    fn row(order: i64, room: RoomId, bytes: usize) -> OutboxRow {
        OutboxRow { order, id: id(order), room, bytes, acked: None, frozen: false }
    }

    fn outbox(n: i64) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.load((1..=n).map(|order| row(order, room(1), 10)).collect());
        outbox
    }

    /// Sends whatever may go, and says in which order, and after what.
    fn send(outbox: &mut Outbox, own_last: Option<EntryId>) -> Vec<(EntryId, Option<EntryId>)> {
        let taken = outbox.take_sendable(Now::ZERO, |_| true);
        let place = |outbox: &Outbox, id| outbox.queues.keys().copied().find(|room| outbox.contains(*room, id));
        taken
            .into_iter()
            .map(|id| {
                let room = place(outbox, id).expect("is in a room");
                let after = outbox.after(room, id, own_last).expect("is to be sent");
                outbox.on_sent(room, id, Now::ZERO, 0);
                (id, after)
            })
            .collect()
    }

    fn reject(n: i64, code: RejectCode, last: Option<EntryId>) -> Reject {
        Reject { id: id(n), room: room(1), code, reason: String::new(), last, retry_after_ms: None }
    }

    #[test]
    fn each_entry_names_the_one_before_it() {
        let mut outbox = outbox(3);
        let own = Some(id(99));
        assert_eq!(send(&mut outbox, own), [(id(1), own), (id(2), Some(id(1))), (id(3), Some(id(2)))]);
        assert_eq!(send(&mut outbox, own), [], "nothing is sent twice on one link");
    }

    #[test]
    fn a_refusal_in_the_middle_of_the_window_keeps_the_order_behind_it() {
        let mut outbox = outbox(4);
        send(&mut outbox, None);
        outbox.on_ack(room(1), id(1), Seq(1));
        assert_eq!(outbox.on_reject(&reject(2, RejectCode::Forbidden, None), Now::ZERO), Refused::ForGood);
        let order = |n| reject(n, RejectCode::OutOfOrder, Some(id(1)));
        assert_eq!(outbox.on_reject(&order(3), Now::ZERO), Refused::Order { last: Some(id(1)) });
        assert_eq!(send(&mut outbox, None), [], "waits for the outstanding answer");
        outbox.on_reject(&order(4), Now::ZERO);
        let again = send(&mut outbox, None);
        assert_eq!(again, [(id(1), None), (id(3), Some(id(1))), (id(4), Some(id(3)))]);
    }

    #[test]
    fn a_refusal_for_a_while_holds_the_room_and_no_other() {
        let mut outbox = Outbox::default();
        outbox.load(vec![row(1, room(1), 1), row(2, room(2), 1)]);
        send(&mut outbox, None);
        let later = Reject { retry_after_ms: Some(1_000), ..reject(1, RejectCode::RateLimited, None) };
        assert_eq!(outbox.on_reject(&later, Now::ZERO), Refused::Later);
        outbox.add(vec![row(3, room(2), 1)]);
        assert_eq!(outbox.take_sendable(Now::ZERO, |_| true), [id(3)]);
        assert_eq!(outbox.deadline(), Some(Duration::from_secs(1)));
        assert_eq!(outbox.take_sendable(Duration::from_secs(1), |_| false), []);
        assert_eq!(outbox.deadline(), None, "a hold that is over while the door is shut is not waited for");
        assert_eq!(outbox.take_sendable(Duration::from_secs(1), |_| true), [id(1)]);
    }

    #[test]
    fn an_unknown_refusal_is_passing() {
        let mut outbox = outbox(1);
        send(&mut outbox, None);
        assert_eq!(outbox.on_reject(&reject(1, RejectCode::Unknown, None), Now::ZERO), Refused::Later);
        assert!(outbox.contains(room(1), id(1)));
    }

    #[test]
    fn ack_for_nothing_and_ack_twice_change_nothing() {
        let mut outbox = outbox(1);
        assert_eq!(outbox.on_ack(room(1), id(77), Seq(1)), None);
        assert_eq!(outbox.on_ack(room(9), id(1), Seq(1)), None);
        send(&mut outbox, None);
        assert!(outbox.on_ack(room(1), id(1), Seq(1)).is_some());
        assert_eq!(outbox.on_ack(room(1), id(1), Seq(1)), None);
        assert!(outbox.contains(room(1), id(1)), "an ack is a promise, an entry is a place");
        assert!(outbox.on_entry(room(1), id(1)));
        assert!(!outbox.on_entry(room(1), id(1)));
    }

    #[test]
    fn own_entry_before_its_ack_ends_the_row() {
        let mut outbox = outbox(2);
        send(&mut outbox, None);
        assert!(outbox.on_entry(room(1), id(1)));
        assert_eq!(outbox.on_ack(room(1), id(1), Seq(1)), None);
        assert_eq!(outbox.waiting(), Some((Now::ZERO, 0)), "the second one still waits");
    }

    #[test]
    fn a_new_link_sends_everything_again_acked_or_not() {
        let mut outbox = outbox(2);
        send(&mut outbox, None);
        outbox.on_ack(room(1), id(1), Seq(1));
        outbox.on_link_changed();
        assert_eq!(send(&mut outbox, None), [(id(1), None), (id(2), Some(id(1)))]);
    }

    #[test]
    fn a_last_that_nobody_knows_is_gone_on_from() {
        let mut outbox = outbox(1);
        send(&mut outbox, Some(id(50)));
        outbox.on_reject(&reject(1, RejectCode::OutOfOrder, Some(id(60))), Now::ZERO);
        outbox.use_hint(room(1), id(60));
        assert_eq!(send(&mut outbox, Some(id(50))), [(id(1), Some(id(60)))]);
    }

    #[test]
    fn a_void_ack_is_sent_again() {
        let mut outbox = outbox(1);
        send(&mut outbox, None);
        outbox.on_ack(room(1), id(1), Seq(4));
        assert_eq!(outbox.void_acks(room(1), |seq| seq < Seq(4)), []);
        assert_eq!(outbox.void_acks(room(1), |seq| seq <= Seq(4)), [id(1)]);
        assert_eq!(send(&mut outbox, None).len(), 1);
    }

    #[test]
    fn no_room_takes_more_than_half_of_the_window() {
        let mut outbox = Outbox::default();
        let rows = (1..=200).map(|n| row(n, room(if n <= 150 { 1 } else { 2 }), 1));
        outbox.load(rows.collect());
        let sent = send(&mut outbox, None);
        assert_eq!(sent.len(), WINDOW_ENTRIES_MAX);
        assert_eq!(sent.iter().filter(|(id, _)| outbox.contains(room(1), *id)).count(), WINDOW_ENTRIES_MAX / 2);
    }

    #[test]
    fn one_large_body_is_always_let_through() {
        let mut outbox = Outbox::default();
        outbox.load(vec![row(1, room(1), 100_000), row(2, room(1), 1)]);
        assert_eq!(send(&mut outbox, None).len(), 1);
    }

    #[test]
    fn an_entry_the_server_closes_over_is_found_and_given_back() {
        let mut outbox = outbox(3);
        send(&mut outbox, None);
        assert_eq!(outbox.on_blamed(), None, "three in flight: nobody knows which");
        for strike in 1..=3 {
            outbox.on_link_changed();
            assert_eq!(send(&mut outbox, None).len(), 1, "alone in the window");
            let found = outbox.on_blamed();
            assert_eq!(found, (strike == 3).then_some((room(1), id(1))));
        }
        outbox.on_link_changed();
        assert_eq!(send(&mut outbox, None).len(), 2);
    }

    #[test]
    fn rows_reloaded_from_the_store_keep_their_flight() {
        let mut outbox = outbox(2);
        send(&mut outbox, None);
        outbox.load(vec![row(2, room(1), 10), row(3, room(1), 10)]);
        assert_eq!(send(&mut outbox, None), [(id(3), Some(id(2)))]);
    }
}
