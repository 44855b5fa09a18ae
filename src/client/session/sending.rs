//! PURE. What leaves the outbox: frozen in the store first, then sent; and once more when its ack
//! stays out.

use super::{Session, is_open};
use crate::client::cause::Cause;
use crate::client::link::Now;
use crate::client::outbox::Placement;
use crate::client::persist::{NewEntry, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{ClientFrame, EntryId, SendEntry};

/// An entry without its ack.
pub(super) struct Overdue {
    id: EntryId,
    pub(super) at: Now,
    may_go_again: bool,
}

impl Session {
    /// Sends what may go out: first it is frozen in the store, then it leaves.
    pub(super) fn pump(&mut self, now: Now) {
        if self.link.up().is_none() {
            return;
        }
        let Self {
            outbox,
            rooms,
            greeting,
            ..
        } = self;
        let ids = outbox.take_sendable(now, |room| is_open(rooms, greeting.as_ref(), room));
        if !ids.is_empty() {
            self.freeze(ids);
        }
    }

    /// The oldest entry whose ack stays out although the link answers, and when it is too late.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let (room, id, sent_at, mark, resent) = self.outbox.oldest_flight()?;
        // Into a room whose door is shut nothing is sent: there it has twice the time, as if it had
        // gone again.
        let may_go_again = !resent && is_open(&self.rooms, self.greeting.as_ref(), room);
        let at = sent_at + self.link.ack_patience() * if resent || may_go_again { 1 } else { 2 };
        let waits = self.link.has_proved(mark) && self.resending != Some(id);
        waits.then_some(Overdue {
            id,
            at,
            may_go_again,
        })
    }

    /// An ack that stays out on a link that answers: once more on the same link, then a new link.
    pub(super) fn resend_overdue(&mut self, now: Now) {
        let Some(Overdue {
            id, may_go_again, ..
        }) = self.overdue().filter(|overdue| now >= overdue.at)
        else {
            return;
        };
        if !may_go_again {
            self.end_link(Cause::AckOverdue, now);
            return;
        }
        self.resending = Some(id);
        self.freeze(vec![id]);
    }

    pub(super) fn freeze(&mut self, ids: Vec<EntryId>) {
        let ticket = self.persist(Write::Freeze(ids.clone()));
        self.freezing.insert(ticket, ids);
    }

    pub(super) fn send_frozen(&mut self, entry: NewEntry, now: Now) {
        if self.resending == Some(entry.id) {
            self.resending = None;
        }
        let state = self.rooms.get(&entry.room);
        let own_last = state.and_then(|state| state.log.own_last());
        let is_open = is_open(&self.rooms, self.greeting.as_ref(), entry.room);
        let placement = if is_open && self.link.up().is_some() {
            self.outbox.placement(entry.room, entry.id, own_last)
        } else {
            Placement::Withheld
        };
        let after = match placement {
            Placement::Withheld => return self.outbox.on_not_sent(entry.room, entry.id),
            Placement::First => None,
            Placement::After(entry) => Some(entry),
        };
        let (room, id) = (entry.room, entry.id);
        let NewEntry {
            kind,
            body,
            target,
            composed_at,
            ..
        } = entry;
        let body = if planted_bug!(TextLost) {
            String::new()
        } else {
            body
        };
        let frame = ClientFrame::Send(SendEntry {
            id,
            room,
            after,
            kind,
            body,
            target,
            composed_at,
        });
        match self.transmit(&frame, now) {
            Some(mark) => {
                self.outbox.on_sent(room, id, now, mark);
                self.meter.link.sent += 1;
                self.meter.link.resent += u64::from(self.outbox.sends(room, id) > 1);
            }
            None => self.outbox.on_not_sent(room, id),
        }
    }
}
