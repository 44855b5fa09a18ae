//! PURE. Received entries: accepted by the room's log, stored, and compared with pending ones.

use super::phase::Purpose;
use super::room::RoomState;
use super::{Rooms, contradiction};
use crate::client::cause::Cause;
use crate::client::log::{AppendOutcome, Chained};
use crate::client::outbox::Outbox;
use crate::client::persist::{RangeChange, Ticket, Write};
use crate::client::session::identity::Identity;
use crate::client::session::output::Output;
use crate::protocol::{AccountId, Entries, Entry, Kind, Position, RoomId, Seq, Skip};

/// A page that the log accepted, with the stored ranges before and after it.
struct Accepted {
    entries: Vec<Chained>,
    skip: Option<(Position, Skip)>,
    ranges: RangeChange,
}

impl Rooms {
    /// Entries arrived, requested or not.
    ///
    /// # Errors
    /// They contradict themselves.
    pub(in crate::client::session) fn on_entries(
        &mut self,
        frame: &Entries,
        me: &Identity,
        outbox: &mut Outbox,
        out: &mut Output,
    ) -> Result<(), Cause> {
        let room = frame.room;
        let ranges_max = self.limits.ranges;
        let entered = self.update(room, |state| {
            on_page(state, frame);
            if !state.phase().accepts_entries() {
                return None;
            }
            let before = state.log.ranges().to_vec();
            let outcome = state
                .log
                .accept(frame, me.device, ranges_max, |id| outbox.order(room, id));
            Some((before, outcome))
        });
        let Some((before, outcome)) = entered.flatten() else {
            return Ok(());
        };
        match outcome {
            AppendOutcome::Nothing => {}
            AppendOutcome::Invalid => {
                return Err(contradiction("it sent a log with a hole in it"));
            }
            AppendOutcome::Diverged { below } => {
                self.on_other_log(room, below, out);
                return Ok(());
            }
            AppendOutcome::Store { entries, skip } => {
                let after = self.rooms[&room].log.ranges().to_vec();
                let ranges = RangeChange { before, after };
                let accepted = Accepted {
                    entries,
                    skip,
                    ranges,
                };
                self.on_accepted(room, accepted, me.account, outbox, out);
            }
        }
        self.fetch_gaps(room, outbox, out);
        Ok(())
    }

    /// The server's log is another one above `below`. A room that is not subscribed is compared
    /// when it is opened.
    fn on_other_log(&mut self, room: RoomId, below: Seq, out: &mut Output) {
        let purpose = self
            .rooms
            .get(&room)
            .and_then(|state| state.phase().purpose());
        if let Some(purpose) = purpose {
            self.locate(room, below, purpose, out);
        }
    }

    fn on_accepted(
        &mut self,
        room: RoomId,
        accepted: Accepted,
        account: Option<AccountId>,
        outbox: &mut Outbox,
        out: &mut Output,
    ) {
        let Accepted {
            entries,
            skip,
            ranges,
        } = accepted;
        let own: Vec<_> = entries
            .iter()
            .filter(|chained| Some(chained.entry.author) == account)
            .map(|chained| chained.entry.id)
            .collect();
        self.update(room, |state| {
            state.head = state.head.max(state.log.top().seq);
            state.pending_writes.appends += 1;
            if ranges.has_at_top(&entries) {
                on_newest(state, &entries, account);
            }
        });
        let ticket = out.persist(Write::Append {
            room,
            entries,
            skip,
            ranges,
        });
        self.appending.insert(ticket, room);
        for id in own {
            outbox.on_entry(room, id);
        }
        self.void_stored_acks(room, outbox, out);
    }

    /// An append is on disk.
    pub(in crate::client::session) fn on_appended(&mut self, ticket: Ticket, out: &mut Output) {
        let Some(room) = self.appending.remove(&ticket) else {
            return;
        };
        self.update(room, |state| {
            debug_assert!(state.pending_writes.appends > 0, "confirmed twice");
            state.pending_writes.appends = state.pending_writes.appends.saturating_sub(1);
        });
        self.report(room, out);
    }

    /// An acknowledged seq is stored, while its entry is still pending: the server has another
    /// entry there, so it lost the acknowledged one.
    fn void_stored_acks(&self, room: RoomId, outbox: &mut Outbox, out: &mut Output) {
        let Some(state) = self.rooms.get(&room) else {
            return;
        };
        let ranges = state.log.ranges().iter();
        let voided: Vec<_> = ranges
            .flat_map(|range| outbox.void_acks(room, range.start.seq, range.end.seq))
            .collect();
        if !voided.is_empty() {
            out.persist(Write::Unacked(voided));
        }
    }

    /// An entry was acknowledged. If its seq is stored, with another entry, both logs are compared.
    pub(in crate::client::session) fn on_acknowledged(
        &mut self,
        room: RoomId,
        seq: Seq,
        outbox: &Outbox,
        out: &mut Output,
    ) {
        self.fetch_gaps(room, outbox, out);
        let is_other = self
            .rooms
            .get(&room)
            .is_some_and(|state| state.phase().live().is_some() && state.log.contains(seq));
        if is_other {
            self.open(room, Purpose::Member, out);
        }
    }
}

/// The answer to a `fetch`, if it is one.
fn on_page(state: &mut RoomState, frame: &Entries) {
    let Some((request, live)) = frame.request.zip(state.phase_mut().live_mut()) else {
        return;
    };
    if live.fetches.on_page(request, frame.entries.len()) {
        live.is_exhausted = frame.entries.is_empty() && frame.skip.is_none();
    }
}

/// The newest entries of a room: its topic changed, or the account joined or left a room that is being
/// reconciled. Entries that fill a gap below are of an earlier state, and do not count.
fn on_newest(state: &mut RoomState, entries: &[Chained], account: Option<AccountId>) {
    let newest = entries.iter().rev().map(|chained| &chained.entry);
    if let Some(topic) = newest.clone().find(|entry| entry.kind == Kind::Topic) {
        state.topic.clone_from(&topic.body);
    }
    let is_membership = |entry: &&Entry| matches!(entry.kind, Kind::Join | Kind::Leave);
    let mut own = newest.filter(|entry| Some(entry.author) == account);
    if let (Some(Purpose::Reconcile { .. }), Some(entry)) =
        (state.phase().purpose(), own.find(is_membership))
    {
        let rejoined = entry.kind == Kind::Join;
        state
            .phase_mut()
            .set_purpose(Purpose::Reconcile { rejoined });
    }
}
