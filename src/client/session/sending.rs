//! PURE. Entries that leave the outbox: frozen in the store, then sent, and sent again when the
//! acknowledgement is late.

use std::collections::{BTreeMap, BTreeSet};

use super::Session;
use crate::client::cause::Cause;
use crate::client::link::Now;
use crate::client::outbox::{Predecessor, Unanswered};
use crate::client::persist::{AddedRows, NewEntry, OutboxRow, Query, Ticket, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{ClientFrame, EntryId, RoomId, SendEntry};

/// Entries between the outbox and the connection.
#[derive(Clone, Default, Debug)]
pub(super) struct Freezes {
    /// The entries of each freeze that is not on disk yet.
    freezing: BTreeMap<Ticket, Vec<EntryId>>,
    /// The entry that is about to be sent a second time on this connection.
    resending: Option<EntryId>,
}

/// An entry without its acknowledgement.
pub(super) struct Overdue {
    id: EntryId,
    pub(super) at: Now,
    may_go_again: bool,
}

impl Session {
    /// Sends the sendable entries, after freezing them in the store.
    pub(super) fn send_pending(&mut self) {
        let ids = self.take_sendable();
        if !ids.is_empty() {
            self.freeze(ids);
        }
    }

    fn take_sendable(&mut self) -> Vec<EntryId> {
        if !self.out.link.is_up() {
            return Vec::new();
        }
        let Self { outbox, rooms, .. } = self;
        outbox.take_sendable(self.out.now(), |room| rooms.allows_sends(room))
    }

    /// Messages were composed. If they could be sent at once, the store freezes them in the same
    /// transaction that returns them.
    pub(super) fn take_new_rows(&mut self) {
        let Some(rows) = self.outbox.request_new_rows() else {
            return;
        };
        let is_ready = self.out.link.is_up() && self.rooms.all_allow_sends();
        match self.outbox.budget().filter(|_| is_ready) {
            Some(budget) => {
                self.out.persist(Write::Take(rows, budget));
            }
            None => self.out.ask(Query::NewRows(rows)),
        }
    }

    /// Rows that were added to the store, or did not fit before.
    pub(super) fn add_rows(&mut self, added: AddedRows) {
        let rooms = rooms_sent_to(&added.rows);
        self.outbox.add(added);
        self.rooms.on_rows_loaded(rooms, &self.out);
    }

    pub(super) fn load_outbox(&mut self, rows: Vec<OutboxRow>) {
        let rooms = rooms_sent_to(&rows);
        self.outbox.load(rows);
        self.rooms.on_rows_loaded(rooms, &self.out);
    }

    /// New rows, and the texts of the first of them. Those are sent now unless something changed
    /// since they were asked for: then they are frozen once more, in their turn.
    pub(super) fn on_taken(&mut self, rows: AddedRows, frozen: Vec<NewEntry>) {
        self.add_rows(rows);
        let ids = self.take_sendable();
        let entries: Vec<_> = frozen
            .into_iter()
            .filter(|entry| ids.contains(&entry.id))
            .collect();
        if entries.len() == ids.len() {
            for entry in entries {
                self.send_frozen(entry);
            }
        } else {
            self.freeze(ids);
        }
    }

    /// Returns the oldest entry with a late acknowledgement, and its deadline.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let Unanswered { room, id, flight } = self.outbox.oldest_flight()?;
        // Nothing is sent into a room whose log is being compared: there an entry has twice the
        // time, as if it had been sent again.
        let may_go_again = !flight.is_resent && self.rooms.allows_sends(room);
        let patiences = if flight.is_resent || may_go_again {
            1
        } else {
            2
        };
        let at = flight.sent_at + self.out.link.ack_patience() * patiences;
        let waits =
            self.out.link.has_proved(flight.sent_up_to) && self.freezes.resending != Some(id);
        waits.then_some(Overdue {
            id,
            at,
            may_go_again,
        })
    }

    /// Resends an entry with a late acknowledgement: first on the same connection, then on a new
    /// one.
    pub(super) fn resend_overdue(&mut self) {
        let now = self.out.now();
        let Some(overdue) = self.overdue().filter(|overdue| now >= overdue.at) else {
            return;
        };
        if !overdue.may_go_again {
            self.end_connection(Cause::AckOverdue);
            return;
        }
        self.freezes.resending = Some(overdue.id);
        self.freeze(vec![overdue.id]);
    }

    fn freeze(&mut self, ids: Vec<EntryId>) {
        debug_assert!(!ids.is_empty(), "nothing to freeze");
        let ticket = self.out.persist(Write::Freeze(ids.clone()));
        self.freezes.freezing.insert(ticket, ids);
    }

    /// Entries are frozen. Those that the store does not have any more entered the log, or were
    /// discarded, after the store was asked.
    pub(super) fn on_frozen(&mut self, ticket: Ticket, entries: Vec<NewEntry>) {
        let asked = self.freezes.freezing.remove(&ticket).unwrap_or_default();
        let is_gone = |id: &&EntryId| entries.iter().all(|entry| entry.id != **id);
        for gone in asked.iter().filter(is_gone) {
            self.outbox.forget(*gone);
        }
        for entry in entries {
            self.send_frozen(entry);
        }
    }

    fn send_frozen(&mut self, entry: NewEntry) {
        if self.freezes.resending == Some(entry.id) {
            self.freezes.resending = None;
        }
        let (room, id) = (entry.room, entry.id);
        let placement = if self.out.link.is_up() && self.rooms.allows_sends(room) {
            self.outbox.predecessor(room, id, self.rooms.own_last(room))
        } else {
            Predecessor::Withheld
        };
        let after = match placement {
            Predecessor::Withheld => return self.outbox.on_not_sent(room, id),
            Predecessor::First => None,
            Predecessor::After(entry) => Some(entry),
        };
        match self.out.send(&send_frame(entry, after)) {
            Some(sent_up_to) => {
                self.outbox.on_sent(room, id, self.out.now(), sent_up_to);
                let is_resent = self.outbox.sends(room, id) > 1;
                self.out.metrics.link.sent += 1;
                self.out.metrics.link.resent += u64::from(is_resent);
            }
            None => self.outbox.on_not_sent(room, id),
        }
    }
}

fn send_frame(entry: NewEntry, after: Option<EntryId>) -> ClientFrame {
    let body = if planted_bug!(TextLost) {
        String::new()
    } else {
        entry.body
    };
    ClientFrame::Send(SendEntry {
        id: entry.id,
        room: entry.room,
        after,
        kind: entry.kind,
        body,
        target: entry.target,
        composed_at: entry.composed_at,
    })
}

/// The rooms whose logs may contain some of these rows: they may have been sent.
fn rooms_sent_to(rows: &[OutboxRow]) -> BTreeSet<RoomId> {
    let sent = rows.iter().filter(|row| row.frozen);
    sent.map(|row| row.room).collect()
}
