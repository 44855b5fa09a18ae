//! PURE. What each frame of the server means to the session.

use std::collections::BTreeSet;
use std::time::Duration;

use super::room::Visit;
use super::{Asker, Effect, Opening, RoomState, Session};
use crate::client::cause::Cause;
use crate::client::journal::Welcomed;
use crate::client::link::{Link, Now};
use crate::client::log::{AppendOutcome, RoomLog};
use crate::client::meter::Greeting;
use crate::client::outbox::Refused;
use crate::client::persist::{Query, SpanChange, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    Bye, CloseCode, Entries, EntryId, Head, Kind, Position, Reject, Reply, Room, RoomId, Seq,
    ServerFrame, Welcome, limits,
};

impl Session {
    pub(super) fn on_frame(&mut self, frame: ServerFrame, now: Now) {
        let is_greeted = self.link.up().is_some();
        self.meter.link.frames_in += 1;
        match frame {
            ServerFrame::Welcome(welcome) if !is_greeted => self.on_welcome(welcome, now),
            ServerFrame::Bye(bye) => self.on_bye(bye, now),
            ServerFrame::Unknown => {}
            _ if !is_greeted => self.end_link(nonsense("it spoke before its welcome"), now),
            ServerFrame::Welcome(_) => self.end_link(nonsense("it said welcome twice"), now),
            ServerFrame::Room(room) => self.on_room(room, now),
            ServerFrame::Opened { room, from, head } => self.on_opened_room(room, from, head, now),
            ServerFrame::Diverged { room } => self.on_diverged(room, now),
            ServerFrame::Entries(entries) => self.on_entries(entries, now),
            ServerFrame::Ack { id, room, seq, .. } => self.on_ack(room, id, seq, now),
            ServerFrame::Reject(reject) => self.on_reject(reject, now),
            ServerFrame::Marks {
                room,
                delivered,
                read,
            } => {
                self.persist(Write::Floor {
                    room,
                    delivered,
                    read,
                });
            }
            ServerFrame::Signal(signal) => self.effects.push(Effect::Signal(signal)),
            ServerFrame::Presence { room, here } => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.online = here;
                }
            }
            ServerFrame::Reply(reply) => self.on_reply(reply, now),
            ServerFrame::Pong { n, heads } => self.on_pong(n, &heads, now),
        }
    }

    fn on_welcome(&mut self, welcome: Welcome, now: Now) {
        if self.me.server.is_some_and(|known| known != welcome.server) {
            return self.end_link(Cause::OtherServer, now);
        }
        if self
            .me
            .account
            .is_some_and(|known| known != welcome.account)
        {
            return self.end_link(nonsense("it takes this device for somebody else's"), now);
        }
        if welcome.rooms > limits::ROOMS_MAX as u64 {
            return self.end_link(nonsense("more rooms than anybody can be in"), now);
        }
        let Some(dial) = self.link.current() else {
            return;
        };
        self.link
            .on_welcome(dial, Duration::from_millis(welcome.heartbeat_ms), now);
        self.enrol_again = false;
        self.me.server = Some(welcome.server);
        self.me.account = Some(welcome.account);
        self.me.session = Some(welcome.session);
        let Welcome {
            server,
            account,
            name,
            session,
            rooms,
            resumed,
            now: server_now,
            ..
        } = welcome;
        let took = self.link.rtt().unwrap_or_default(); // it was just measured
        let welcome = Welcomed {
            session,
            resumed,
            server_now,
        };
        self.meter.greeting = Some(Greeting {
            at: now,
            took,
            welcome,
        });
        self.persist(Write::Welcome {
            server,
            account,
            name,
            session,
        });
        self.greeting = Some((rooms, BTreeSet::new()));
        self.on_greeted_room(None, now);
    }

    fn on_bye(&mut self, bye: Bye, now: Now) {
        let retry_after = bye.retry_after_ms.map(Duration::from_millis);
        let cause = Cause::Bye {
            code: bye.code,
            reason: bye.reason,
            retry_after,
        }
        .shortened();
        match (bye.code, bye.instance) {
            // Until the store has said whose instance it is, nobody dials.
            (code, Some(_)) if Link::is_by_instance(code) && planted_bug!(ReplacedFights) => {
                self.end_link(
                    Cause::Dropped {
                        what: "replaced".to_owned(),
                    },
                    now,
                );
            }
            (code, Some(instance)) if Link::is_by_instance(code) => {
                self.end_link(Cause::Replaced { instance }, now);
                self.ask(Query::Instance(instance));
            }
            (CloseCode::Unauthorized, _) if self.me.enrol.is_some() && !self.enrol_again => {
                // known server, unknown device: it was put back from an older copy
                self.enrol_again = true;
                let what = "the server does not know this device, enrolling again".to_owned();
                self.end_link(Cause::Dropped { what }, now);
            }
            _ => self.end_link(cause, now),
        }
    }

    fn on_room(&mut self, told: Room, now: Now) {
        let room = told.room;
        if !self.rooms.contains_key(&room) && !self.outbox.has_rows(room) {
            if !told.member {
                return; // joined and left on another device, before anything of it was told
            }
            if self.rooms.values().filter(|state| state.member).count() >= limits::ROOMS_MAX {
                return self.end_link(nonsense("more rooms than anybody can be in"), now);
            }
        }
        let state = self.rooms.entry(room).or_insert_with(|| {
            let log = RoomLog::new(room, Vec::new(), None);
            RoomState::new(log)
        });
        (state.name, state.topic, state.member) =
            (told.name.clone(), told.topic.clone(), told.member);
        state.head = told.head.seq;
        if self.greeting.is_some() {
            state.greeted_head = told.head.seq;
        }
        (state.reported_delivered, state.reported_read) = (told.delivered_here, told.read_here);
        let is_member = told.member;
        let is_subscribed = state.live || state.opening != Opening::No;
        state.visit = match state.visit {
            _ if is_member => Visit::No,
            // Closed once what waits for its entry there has got it.
            Visit::No | Visit::Open { .. } if is_subscribed => Visit::Open { rejoined: false },
            // Joined and left at once, before it could be opened: what waits for its entry there
            // finds it.
            Visit::No if self.greeting.is_none() && self.outbox.has_rows(room) => Visit::Wanted,
            visit => visit,
        };
        self.persist(Write::Room(told));
        if self.greeting.is_some() {
            self.on_greeted_room(Some(room), now);
        } else if is_member && self.rooms.get(&room).is_some_and(|state| !state.live) {
            self.open(room, now); // joined, perhaps again before anybody here knew that it was left
        }
    }

    /// One more room of the welcome, or none: once all are named, they are opened in the order
    /// people want them.
    fn on_greeted_room(&mut self, room: Option<RoomId>, now: Now) {
        let Some((left, named)) = &mut self.greeting else {
            return;
        };
        if let Some(room) = room {
            *left = left.saturating_sub(1);
            named.insert(room);
        }
        if *left > 0 {
            return;
        }
        let named = std::mem::take(named);
        self.greeting = None;
        for (room, state) in &mut self.rooms {
            if !named.contains(room) && (state.is_worth_a_visit() || self.outbox.has_rows(*room)) {
                state.visit = Visit::Wanted;
            }
        }
        let mut order: Vec<_> = named
            .into_iter()
            .filter(|room| self.rooms[room].member)
            .collect();
        order.sort_by_key(|room| {
            (
                self.focus != Some(*room),
                u64::MAX - self.rooms[room].missing(),
            )
        });
        for room in order {
            self.open(room, now);
        }
    }

    fn on_opened_room(&mut self, room: RoomId, from: Position, head: Position, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        match state.takes_answer() {
            Some(true) => {}
            Some(false) => return,
            None => return self.end_link(nonsense("it opened a room that nobody asked for"), now),
        }
        let opening = std::mem::replace(&mut state.opening, Opening::No);
        let top = state.log.top();
        match opening {
            Opening::Have(asked) if from == asked => {} // more may have come since it was asked
            Opening::Compare(asked) if from == asked => return self.on_same(room, now),
            Opening::Locator(asked) if asked.contains(&from) => {
                if from.seq < top.seq {
                    self.cut(room, from);
                }
            }
            Opening::No
            | Opening::Locating
            | Opening::Have(_)
            | Opening::Compare(_)
            | Opening::Locator(_) => {
                return self.end_link(nonsense("it opened a room at a place nobody named"), now);
            }
        }
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        (state.live, state.shut, state.head) = (true, false, head.seq);
        state.top_at_pong = None;
        self.tell_marks(room, now);
        self.fetch_gap(room, now);
    }

    /// The last thing both sides have is `at`: what lies above goes back to the outbox or aside, in
    /// one transaction.
    fn cut(&mut self, room: RoomId, at: Position) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        let spans = SpanChange {
            before: state.log.spans().to_vec(),
            after: state.log.cut_spans(at),
        };
        state.log = RoomLog::new(room, spans.after.clone(), None);
        state.cutting = true;
        state.reported_delivered = state.reported_delivered.min(at.seq);
        state.reported_read = state.reported_read.min(at.seq);
        state.read = state
            .read
            .map(|read| if read.seq > at.seq { at } else { read });
        self.persist(Write::Cut { room, at, spans });
    }

    fn on_diverged(&mut self, room: RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        if state.takes_answer() != Some(true) {
            return;
        }
        match state.opening {
            Opening::Locator(_) => self.end_link(
                nonsense("it does not even have the beginning of a room"),
                now,
            ),
            Opening::Locating => {}
            Opening::Compare(_) if state.visit == Visit::Comparing => self.on_not_same(room, now),
            Opening::No | Opening::Have(_) | Opening::Compare(_) => {
                state.opening = Opening::No;
                let top = state.log.top().seq;
                self.shut(room, top);
            }
        }
    }

    fn on_entries(&mut self, frame: Entries, now: Now) {
        let room = frame.room;
        let Some(state) = self.rooms.get_mut(&room) else {
            return;
        };
        let is_asked = frame
            .request
            .is_some_and(|request| state.fetches.on_page(request, frame.entries.len()));
        if is_asked {
            state.is_dry = frame.entries.is_empty() && frame.skip.is_none();
        }
        if state.shut {
            return;
        }
        let (outbox, before) = (&self.outbox, state.log.spans().to_vec());
        match state
            .log
            .enter(&frame, self.me.device, |id| outbox.order(room, id))
        {
            AppendOutcome::Nothing => {}
            AppendOutcome::Nonsense => {
                return self.end_link(nonsense("it sent a log with a hole in it"), now);
            }
            AppendOutcome::Diverged { below } => return self.shut(room, below),
            AppendOutcome::Take { entries, skip } => {
                let spans = SpanChange {
                    before,
                    after: state.log.spans().to_vec(),
                };
                state.head = state.head.max(state.log.top().seq);
                if let Some(topic) = entries
                    .iter()
                    .rev()
                    .find(|chained| chained.entry.kind == Kind::Topic)
                {
                    state.topic.clone_from(&topic.entry.body);
                }
                let account = self.me.account;
                let standing = entries
                    .iter()
                    .rev()
                    .map(|chained| &chained.entry)
                    .find(|entry| {
                        Some(entry.author) == account
                            && matches!(entry.kind, Kind::Join | Kind::Leave)
                    });
                if let (Visit::Open { .. }, Some(entry)) = (state.visit, standing) {
                    state.visit = Visit::Open {
                        rejoined: entry.kind == Kind::Join,
                    };
                }
                let own: Vec<_> = entries
                    .iter()
                    .map(|c| &c.entry)
                    .filter(|e| Some(e.author) == account)
                    .map(|e| e.id)
                    .collect();
                let ticket = self.persist(Write::Append {
                    room,
                    entries,
                    skip,
                    spans,
                });
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.appending.insert(ticket);
                }
                for id in own {
                    self.outbox.on_entry(room, id);
                }
                self.void_acks_held(room);
            }
        }
        self.fetch_gap(room, now);
    }

    /// An ack whose seq is held, while its entry is not: that seq holds another entry, so the
    /// server lost it.
    fn void_acks_held(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get(&room) else {
            return;
        };
        let voided = self.outbox.void_acks(room, |seq| state.log.holds(seq));
        if !voided.is_empty() {
            self.persist(Write::Unacked(voided));
        }
    }

    fn on_ack(&mut self, room: RoomId, id: EntryId, seq: Seq, now: Now) {
        if let Some(state) = self.rooms.get_mut(&room) {
            state.held = None;
        }
        let got_there_before = self
            .rooms
            .get(&room)
            .is_some_and(|state| seq <= state.greeted_head);
        self.meter.link.acked += 1;
        self.meter.link.deduplicated +=
            u64::from(got_there_before || self.outbox.is_answered(room, id));
        if !self.outbox.contains(room, id) {
            return;
        }
        if let Some((sent_at, mark)) = self.outbox.on_ack(room, id, seq) {
            self.link.on_answer(sent_at, mark, now);
            self.tell_waiting_marks(now);
            self.meter.on_ack_time(now, now.saturating_sub(sent_at));
        }
        self.persist(Write::Acked { id, seq });
        self.fetch_gap(room, now);
        if self
            .rooms
            .get(&room)
            .is_some_and(|state| state.live && state.log.holds(seq))
        {
            self.open(room, now); // the seq is held and is not this entry: let both sides compare
        }
    }

    fn on_reject(&mut self, reject: Reject, now: Now) {
        self.meter.link.refused += 1;
        // A refusal is an answer too: the way out works, and what was sent up to here has arrived.
        if let Some((sent_at, mark)) = self.outbox.sent(reject.room, reject.id) {
            self.link.on_answer(sent_at, mark, now);
        }
        match self.outbox.on_reject(&reject, now) {
            Refused::Later => {
                if let Some(state) = self.rooms.get_mut(&reject.room) {
                    state.held = Some(reject.reason);
                }
            }
            Refused::ForGood => {
                let Reject {
                    id, code, reason, ..
                } = reject;
                self.persist(Write::Refused { id, code, reason });
            }
            Refused::Order { last } => self.on_order_refused(reject.room, last, now),
            Refused::OrderAgain { last } => {
                if let Some(state) = self.rooms.get_mut(&reject.room) {
                    state.held = Some(reject.reason);
                }
                self.on_order_refused(reject.room, last, now);
            }
        }
    }

    fn on_order_refused(&mut self, room: RoomId, last: Option<EntryId>, now: Now) {
        let own_last = self
            .rooms
            .get(&room)
            .and_then(|state| state.log.own_last())
            .map(|own| own.id);
        match last {
            _ if last == own_last => {}
            Some(last) if self.outbox.contains(room, last) => {}
            Some(last) => self.ask(Query::Knows { room, id: last }),
            None => self.compare_from_have(room, now),
        }
    }

    /// The entry that the server calls this device's last was looked up in the store.
    pub(super) fn on_last_looked_up(&mut self, room: RoomId, id: EntryId, known: bool, now: Now) {
        if known {
            let is_behind = self
                .rooms
                .get(&room)
                .is_some_and(|state| state.log.own_last().is_some_and(|own| own.id != id));
            if is_behind && !self.outbox.contains(room, id) {
                self.compare_from_have(room, now);
            }
            return;
        }
        self.outbox.use_hint(room, id);
    }

    /// The server's last entry of this device is older than what is held: it lost entries, so look
    /// at the log first.
    fn compare_from_have(&mut self, room: RoomId, now: Now) {
        if let Some(state) = self.rooms.get_mut(&room)
            && state.opening == Opening::No
        {
            state.shut = true;
            self.open(room, now);
        }
    }

    fn on_reply(&mut self, reply: Reply, now: Now) {
        match self.asked.remove(&reply.request) {
            None => {}
            Some(Asker::Person(key)) => self.effects.push(Effect::Reply(key, reply)),
            Some(Asker::Lost(room)) => self.on_lost_room(room, &reply, now),
            Some(Asker::Remade(room)) => self.on_remade_room(room, &reply),
        }
    }

    fn on_pong(&mut self, n: u64, heads: &[Head], now: Now) {
        self.link.on_pong(n, now);
        self.tell_waiting_marks(now);
        self.persist(Write::Seen);
        // Should another process have died between its commit and its word to this one.
        self.ask_above();
        for head in heads {
            self.on_head(head, now);
        }
        self.ask_for_lost_rooms(now);
        let mut stuck = Vec::new();
        for (room, state) in self
            .rooms
            .iter_mut()
            .filter(|(_, state)| state.live && !state.shut)
        {
            let top = state.log.top().seq;
            if state.head > top && state.top_at_pong == Some(top) {
                stuck.push(*room); // nothing came since the last pong: a tail was lost
            }
            state.top_at_pong = Some(top);
        }
        for room in stuck {
            self.open(room, now);
        }
    }

    fn on_head(&mut self, head: &Head, now: Now) {
        let Some(state) = self.rooms.get_mut(&head.room) else {
            return;
        };
        if !state.live || state.shut {
            return;
        }
        let top = state.log.top();
        state.head = head.seq.max(top.seq);
        let is_elsewhere = head.seq < top.seq || (head.seq == top.seq && head.chain != top.chain);
        if is_elsewhere {
            self.open(head.room, now);
        }
        let is_void = |seq| seq > head.seq || (seq == head.seq && planted_bug!(AckAtHeadIsVoid));
        let voided = self.outbox.void_acks(head.room, is_void);
        if !voided.is_empty() {
            self.persist(Write::Unacked(voided));
        }
    }
}

/// What no server says; retried with backoff, since it may be mended.
fn nonsense(what: &str) -> Cause {
    Cause::Damaged {
        what: what.to_owned(),
    }
}
