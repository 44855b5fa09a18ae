//! PURE. The meaning of the server's answers for pending entries: acknowledgements, rejections, and
//! entries that arrive in the log.

use std::time::Duration;

use super::rows::{Flight, RowStage};
use super::{Hint, Outbox};
use crate::client::link::Now;
use crate::planted_bug::planted_bug;
use crate::protocol::{EntryId, Reject, RejectCode, RoomId, Seq};

/// Wait after a passing rejection without a time.
const PAUSE: Duration = Duration::from_secs(5);
/// Number of order rejections without progress before the room pauses, so that two sides that
/// disagree do not loop at full speed.
const ORDER_ROUNDS_FREE: u32 = 4;
/// The first of these waits; each further one is twice as long, up to [`PAUSE`].
const ORDER_WAIT_MIN: Duration = Duration::from_millis(100);
/// Number of closes by one entry, alone in the window, before it counts as rejected.
const STRIKES_MAX: u32 = 3;

/// The reaction of the session to a rejection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rejected {
    /// Wait for more answers, or nothing to do.
    Later,
    /// Final: the row leaves the outbox, and the user gets the message back.
    ForGood,
    /// The server's last entry of this device is not the one that precedes: find out which
    /// side lost what.
    Order { last: Option<EntryId> },
    /// Again without progress: the room pauses before it sends again.
    OrderAgain { last: Option<EntryId> },
}

impl Outbox {
    /// An acknowledgement. Returns the flight that it answers, unless the entry was sent twice: then
    /// it is unknown which one.
    pub(crate) fn on_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) -> Option<Flight> {
        let flight = self.single_flight(room, id);
        let is_progress = self.rows.get(room, id)?.acked != Some(seq);
        self.rows.change(room, id, |row| {
            row.acked = Some(seq);
            row.stage = RowStage::Acknowledged;
        });
        if is_progress && let Some(queue) = self.queues.get_mut(&room) {
            queue.order_rounds = 0;
        }
        self.careful &= planted_bug!(CarefulForEver);
        flight
    }

    /// Handles the rejection of one entry at `now`.
    pub(crate) fn on_reject(&mut self, reject: &Reject, now: Now) -> Rejected {
        let room = reject.room;
        let row = self.rows.get(room, reject.id);
        if row.is_none_or(|row| row.flight().is_none()) {
            return Rejected::Later;
        }
        self.rows.set_stage(room, reject.id, RowStage::Idle);
        let is_first = self.awaiting.insert(room);
        let is_order = reject.code == RejectCode::OutOfOrder;
        let is_final = reject.code.is_final() && !planted_bug!(RefusedBlocks);
        if is_final || planted_bug!(PassingIsFinal) {
            self.rows.remove(room, reject.id);
            self.strikes.remove(&reject.id);
            self.careful &= planted_bug!(CarefulForEver);
            return Rejected::ForGood;
        }
        if is_order {
            return self.on_order_rejected(reject, is_first, now);
        }
        let pause = reject
            .retry_after_ms
            .map_or(PAUSE, |ms| Duration::from_millis(ms.min(600_000)));
        let paused = self.queues.get(&room).and_then(|queue| queue.paused_until);
        self.pause(room, paused.unwrap_or(now).max(now + pause));
        Rejected::Later
    }

    /// The acknowledged entries of the room are sent again too: the server may have lost them.
    fn on_order_rejected(&mut self, reject: &Reject, is_first: bool, now: Now) -> Rejected {
        let room = reject.room;
        self.resend_acknowledged(room);
        let queue = self.queues.entry(room).or_default();
        // The others of the round were rejected for the same reason.
        queue.order_rounds += u32::from(is_first);
        let last = reject.last;
        let Some(doublings) = queue.order_rounds.checked_sub(ORDER_ROUNDS_FREE + 1) else {
            return Rejected::Order { last };
        };
        let wait = PAUSE.min(ORDER_WAIT_MIN * 2_u32.saturating_pow(doublings));
        self.pause(room, now + wait);
        Rejected::OrderAgain { last }
    }

    fn resend_acknowledged(&mut self, room: RoomId) {
        for id in self.rows.acknowledged(room) {
            self.rows.set_stage(room, id, RowStage::Idle);
        }
    }

    /// Continues after `last`, which the server has as this device's last entry in the room, and which
    /// this store never had: it was restored from a backup.
    pub(crate) fn use_hint(&mut self, room: RoomId, last: EntryId) {
        if let Some(queue) = self.queues.get_mut(&room) {
            queue.hint = Hint::Use(last);
        }
    }

    /// An entry of this account is in the log: its row is gone. Returns whether there was one.
    pub(crate) fn on_entry(&mut self, room: RoomId, id: EntryId) -> bool {
        if self.rows.remove(room, id).is_none() {
            return false;
        }
        let queue = self.queues.entry(room).or_default();
        queue.hint = Hint::None; // from here on, the stored log is enough
        queue.order_rounds = 0;
        self.strikes.remove(&id);
        true
    }

    /// The store has no such row any more.
    pub(crate) fn forget(&mut self, id: EntryId) {
        if let Some(room) = self.rows.room_of(id) {
            self.rows.remove(room, id);
        }
    }

    /// Acknowledgements of seqs above `after`, up to and with `to`, are void: those rows are sent
    /// again. Returns them.
    pub(crate) fn void_acks(&mut self, room: RoomId, after: Seq, to: Seq) -> Vec<EntryId> {
        let voided = self.rows.acked_in(room, after, to);
        for id in &voided {
            self.rows.change(room, *id, |row| {
                row.acked = None;
                if row.stage == RowStage::Acknowledged {
                    row.stage = RowStage::Idle;
                }
            });
        }
        voided
    }

    /// The room's log was truncated: everything pending is sent again, acknowledged or not.
    pub(crate) fn on_truncated(&mut self, room: RoomId) {
        self.void_acks(room, Seq::ZERO, Seq::MAX);
        self.resend_acknowledged(room);
        if let Some(queue) = self.queues.get_mut(&room) {
            queue.hint = Hint::None;
            self.awaiting.insert(room);
        }
    }

    /// The server closed the connection over a frame. Returns the entry that caused it, once that
    /// is certain.
    pub(crate) fn on_blamed(&mut self) -> Option<EntryId> {
        let mut in_flight = self.rows.in_flight().map(|(row, _)| (row.room, row.id));
        let first = in_flight.next();
        let is_only_one = in_flight.next().is_none();
        drop(in_flight);
        self.careful = first.is_some();
        let (room, id) = first.filter(|_| is_only_one)?;
        let strikes = self.strikes.entry(id).or_default();
        *strikes += 1;
        if *strikes < STRIKES_MAX {
            return None;
        }
        self.strikes.remove(&id);
        self.careful &= planted_bug!(CarefulForEver);
        self.on_entry(room, id).then_some(id)
    }
}
