//! PURE. The reaction of the session to acknowledgements and rejections.

use super::Session;
use crate::client::outbox::{Flight, Rejected};
use crate::client::persist::{Query, Write};
use crate::protocol::{EntryId, Reject, RoomId, Seq};

impl Session {
    pub(super) fn on_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) {
        self.rooms.set_deferral(room, None);
        let is_repeated =
            self.rooms.was_there_at_welcome(room, seq) || self.outbox.is_acknowledged(room, id);
        let metrics = &mut self.out.metrics;
        metrics.link.acked += 1;
        metrics.link.deduplicated += u64::from(is_repeated);
        if !self.outbox.contains(room, id) {
            return;
        }
        if let Some(flight) = self.outbox.on_ack(room, id, seq) {
            self.on_answer(flight);
            self.rooms.report_waiting(&mut self.out);
            let now = self.out.now();
            let took = now.saturating_sub(flight.sent_at);
            self.out.metrics.on_ack_time(now, took);
        }
        self.out.persist(Write::Acked { id, seq });
        self.rooms
            .on_acknowledged(room, seq, &self.outbox, &mut self.out);
    }

    fn on_answer(&mut self, flight: Flight) {
        let now = self.out.now();
        self.out
            .link
            .on_answer(flight.sent_at, flight.sent_up_to, now);
    }

    pub(super) fn on_reject(&mut self, reject: Reject) {
        self.out.metrics.link.rejected += 1;
        // A rejection also proves the arrival of everything up to the entry.
        if let Some(flight) = self.outbox.single_flight(reject.room, reject.id) {
            self.on_answer(flight);
        }
        let Reject {
            id,
            room,
            code,
            reason,
            ..
        } = reject.clone();
        match self.outbox.on_reject(&reject, self.out.now()) {
            Rejected::Later => self.rooms.set_deferral(room, Some(reason)),
            Rejected::ForGood => {
                self.out.persist(Write::Rejected { id, code, reason });
            }
            Rejected::Order { last } => self.on_order_rejected(room, last),
            Rejected::OrderAgain { last } => {
                self.rooms.set_deferral(room, Some(reason));
                self.on_order_rejected(room, last);
            }
        }
    }

    /// The server's last entry of this device is not the one that an entry followed: finds out
    /// which side lost what.
    fn on_order_rejected(&mut self, room: RoomId, last: Option<EntryId>) {
        let own_last = self.rooms.own_last(room).map(|own| own.id);
        match last {
            _ if last == own_last => {}
            Some(last) if self.outbox.contains(room, last) => {}
            Some(last) => self.out.ask(Query::Knows { room, id: last }),
            None => self.rooms.compare_withheld(room, &mut self.out),
        }
    }

    /// The store was asked for the entry that the server calls this device's last. If it has it,
    /// and a later one too, the server lost entries: both logs are compared first.
    pub(super) fn on_entry_known(&mut self, room: RoomId, id: EntryId, known: bool) {
        if !known {
            self.outbox.use_hint(room, id);
            return;
        }
        let has_later = self.rooms.own_last(room).is_some_and(|own| own.id != id);
        if has_later && !self.outbox.contains(room, id) {
            self.rooms.compare_withheld(room, &mut self.out);
        }
    }
}
