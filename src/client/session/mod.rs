//! PURE. The client's session core: joins [`super::link`], [`super::outbox`] and [`super::log`]
//! into one state machine.
//!
//! `step(now, input)` returns what is to be done about it. There is no socket, no clock, no
//! randomness and no disk in here: time is an argument, the seed came with the constructor, and
//! what must wait for the disk waits for [`Input::Persisted`]. So the same code runs in the program
//! and in a simulation, and a crash is this value dropped between any two effects.

mod details;
mod fetches;
mod frames;
mod io;
mod marks;
mod reconcile;
mod room;
mod sending;
mod signals;
mod status;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::details::{Details, RoomDetails, Window};
pub use self::io::{Command, Effect, Input};
use self::room::{Opening, RoomState};
pub use self::status::{RoomStatus, Status};

use super::cause::Cause;
use super::journal::{Ended, JournalDetails, JournalLine};
use super::limits::ClientLimits;
use super::link::{ConnectionPhase, Due, Link, LinkPhase, LinkSettings, LinkState, Now, is_move};
use super::log::{OwnLast, RoomLog};
use super::meter::Metrics;
use super::outbox::Outbox;
use super::persist::{Found, Loaded, Outcome, Query, Ticket, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    ClientFrame, Conflated, Dial, EntryId, Hello, Op, Reply, ReplyCode, RoomId, Seq, ServerId,
    encode,
};

/// Who asked the server for something.
#[derive(Clone, Debug)]
enum Asker {
    Person(u64),
    /// A room that the store has and the welcome did not name: is it still there?
    Lost(RoomId),
    /// A room that the server lost, made again.
    Remade(RoomId),
}

/// The client's protocol as a state machine. It owns the link state, the outbox, and the log and
/// subscription of each room; entries and message texts stay in the store.
///
/// A driver calls [`Session::step`] with each [`Input`] and the current time, carries out the
/// returned [`Effect`]s in their order, and reports the results as further inputs. It calls again
/// with [`Input::Tick`] at [`Session::deadline`].
///
/// Invariants:
/// - An entry is sent only after the store has confirmed its freeze, so its content never changes
///   between two sends.
/// - The store confirms writes in the order in which they were requested. After a failed write the
///   session does nothing until it is loaded again.
/// - Inputs of an abandoned dial change nothing.
#[derive(Debug)]
pub struct Session {
    limits: ClientLimits,
    link: Link,
    outbox: Outbox,
    rooms: BTreeMap<RoomId, RoomState>,
    me: Loaded,
    /// The server did not know this device: the next hello asks to be enrolled again.
    enrol_again: bool,
    /// Room frames of the welcome that are still to come, and the rooms they named so far.
    greeting: Option<(u64, BTreeSet<RoomId>)>,
    focus: Option<RoomId>,
    tickets: u64,
    /// What was asked of the store up to here was asked for a link that has ended.
    tickets_of_ended: u64,
    requests: u64,
    asked: BTreeMap<u64, Asker>,
    resending: Option<EntryId>,
    /// What each freeze on its way to the disk asked for.
    freezing: BTreeMap<Ticket, Vec<EntryId>>,
    meter: Metrics,
    /// The link that ended in this step.
    ended: Option<Ended>,
    marks_waiting: BTreeSet<RoomId>,
    /// What is to be said and is worth nothing later.
    signals: Conflated,
    /// The phase of the journal's last line.
    journaled: Option<LinkPhase>,
    /// The dial whose welcome stands in the journal.
    journaled_welcome: Option<Dial>,
    /// A write failed: what is believed here is not what the disk holds, and nothing is done until
    /// it is loaded again.
    is_stale: bool,
    /// Somebody wanted a link meanwhile.
    dials_when_loaded: bool,
    /// What was read meanwhile.
    read_when_loaded: BTreeMap<RoomId, Seq>,
    /// The outbox changed meanwhile, perhaps after it was loaded.
    asks_when_loaded: bool,
    effects: Vec<Effect>,
}

impl Session {
    /// A session over what the store holds. `seed` must be fresh in each process.
    #[must_use]
    pub fn new(settings: LinkSettings, seed: u64, now: Now, loaded: Loaded) -> Self {
        Self::with_limits(settings, ClientLimits::default(), seed, now, loaded)
    }

    /// The same with other limits than the program's.
    #[must_use]
    pub fn with_limits(
        settings: LinkSettings,
        limits: ClientLimits,
        seed: u64,
        now: Now,
        loaded: Loaded,
    ) -> Self {
        Self::over(Link::new(settings, seed, now), limits, loaded)
    }

    /// The same link over what the store holds now: after a write failed.
    #[must_use]
    pub fn reloaded(self, loaded: Loaded) -> Self {
        let mut again = Self::over(self.link, self.limits, loaded);
        (again.tickets, again.requests, again.journaled) =
            (self.tickets, self.requests, self.journaled);
        again.tickets_of_ended = self.tickets;
        again.journaled_welcome = self.journaled_welcome;
        (again.focus, again.dials_when_loaded) = (self.focus, self.dials_when_loaded);
        again.read_when_loaded = self.read_when_loaded;
        again.asks_when_loaded = self.asks_when_loaded;
        again.meter = self.meter;
        again
    }

    fn over(link: Link, limits: ClientLimits, mut loaded: Loaded) -> Self {
        let mut outbox = Outbox::new(limits);
        outbox.load(std::mem::take(&mut loaded.outbox));
        let rooms = std::mem::take(&mut loaded.rooms)
            .into_iter()
            .map(|room| (room.room, RoomState::loaded(room)))
            .collect();
        Self {
            limits,
            link,
            outbox,
            rooms,
            me: loaded,
            enrol_again: false,
            greeting: None,
            focus: None,
            tickets: 0,
            tickets_of_ended: 0,
            requests: 0,
            asked: BTreeMap::new(),
            resending: None,
            freezing: BTreeMap::new(),
            meter: Metrics::default(),
            ended: None,
            marks_waiting: BTreeSet::new(),
            signals: Conflated::default(),
            journaled: None,
            journaled_welcome: None,
            is_stale: false,
            dials_when_loaded: false,
            read_when_loaded: BTreeMap::new(),
            asks_when_loaded: false,
            effects: Vec::new(),
        }
    }

    /// When [`Input::Tick`] is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        if self.is_stale {
            return None;
        }
        let link = self.link.deadline();
        if self.link.up().is_none() {
            return link;
        }
        let resend = self.overdue().map(|overdue| overdue.at);
        [link, resend, self.outbox.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// One input, and everything that is to be done about it.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        if self.is_stale {
            self.while_stale(input);
            return std::mem::take(&mut self.effects);
        }
        if std::mem::take(&mut self.dials_when_loaded) {
            let due = self.link.retry_now(now);
            self.on_due(due, now);
        }
        if std::mem::take(&mut self.asks_when_loaded) {
            self.ask(Query::Outbox);
        }
        for (room, seq) in std::mem::take(&mut self.read_when_loaded) {
            self.on_command(Command::Read { room, seq }, now);
        }
        match input {
            Input::Tick => {}
            Input::Opened { dial, server } if self.is_current(dial) => {
                self.on_opened(dial, server, now)
            }
            Input::Bytes(dial) if self.is_current(dial) => self.link.on_bytes(now),
            Input::Received(dial, frame) if self.is_current(dial) => {
                self.link.on_bytes(now);
                self.on_frame(*frame, now);
            }
            Input::Ended(dial, cause) if self.is_current(dial) => self.end_link(cause, now),
            // Inputs of abandoned dials say nothing about the link of today.
            Input::Opened { .. } | Input::Bytes(_) | Input::Received(..) | Input::Ended(..) => {}
            Input::Persisted(ticket, outcome) => self.on_persisted(ticket, outcome, now),
            Input::PersistFailed(_, what) => {
                if self.link.current().is_some() {
                    self.end_link(Cause::Store { what }, now);
                }
                self.is_stale = !planted_bug!(StaleCore);
                self.effects.push(Effect::Reload);
                return std::mem::take(&mut self.effects);
            }
            // What was to be said on a link that has ended is said on no other.
            Input::Found(ticket, Found::Knows { .. } | Found::Locator { .. })
                if ticket.0 <= self.tickets_of_ended => {}
            Input::Found(_, found) => self.on_found(found, now),
            Input::OutboxGrew => self.ask_above(),
            Input::OutboxChanged => self.ask(Query::Outbox),
            Input::ReadElsewhere => {
                self.ask(Query::Reads);
                self.ask_above();
            }
            Input::Command(command) => self.on_command(command, now),
        }
        self.tick(now);
        self.journal();
        std::mem::take(&mut self.effects)
    }

    /// Until it is loaded again, a core only remembers what people want.
    fn while_stale(&mut self, input: Input) {
        match input {
            Input::Command(Command::RetryNow | Command::GoOnline) => self.dials_when_loaded = true,
            Input::Command(Command::Own { dials }) => self.dials_when_loaded = dials,
            Input::Command(Command::GoOffline(why)) => {
                self.dials_when_loaded = false;
                self.link.go_offline(why);
            }
            Input::Command(Command::Focus(room)) => self.focus = Some(room),
            Input::Command(Command::Read { room, seq }) => {
                let read = self.read_when_loaded.entry(room).or_default();
                *read = seq.max(*read);
            }
            Input::Command(Command::Request { key, .. }) => {
                self.effects.push(Effect::Reply(key, not_connected()))
            }
            Input::OutboxGrew | Input::OutboxChanged | Input::ReadElsewhere => {
                self.asks_when_loaded = true
            }
            _ => {} // nothing can be made of it
        }
    }

    fn is_current(&self, dial: Dial) -> bool {
        self.link.current() == Some(dial)
            || (planted_bug!(OldDialCounts) && self.link.up().is_some())
    }

    /// Whatever time and the new state make due.
    fn tick(&mut self, now: Now) {
        self.end_visits(now);
        self.begin_visits(now);
        self.pump(now);
        if let Some((order, limit)) = self.outbox.more() {
            self.ask(Query::OutboxAbove { order, limit });
        }
        self.pump_signals(now);
        self.resend_overdue(now);
        self.link.set_waiting(self.outbox.waiting());
        loop {
            match self.link.poll(now) {
                Due::Nothing => break,
                due => self.on_due(due, now),
            }
        }
    }

    fn on_due(&mut self, due: Due, now: Now) {
        match due {
            Due::Nothing => {}
            Due::Dial(dial) => self.effects.push(Effect::Dial(dial)),
            Due::Ping(n) => {
                self.transmit(&ClientFrame::Ping { n }, now);
            }
            Due::Dead(_, cause) => self.end_link(cause, now),
        }
    }

    fn on_command(&mut self, command: Command, now: Now) {
        match command {
            Command::RetryNow | Command::GoOnline => self.on_wanted(now),
            Command::Woke | Command::NetworkChanged => {
                self.abandon_dial(now);
                let due = self.link.on_elsewhere(now);
                self.on_due(due, now);
            }
            Command::GoOffline(why) => {
                if self.link.current().is_some() {
                    self.end_link(why.clone(), now);
                }
                self.link.go_offline(why);
            }
            Command::Own { .. } if planted_bug!(TakenOverUnread) => self.on_wanted(now),
            Command::Own { dials } => {
                (self.is_stale, self.dials_when_loaded) = (true, dials);
                self.effects.push(Effect::Reload);
            }
            Command::Focus(room) => self.focus = Some(room),
            Command::Read { room, seq } => {
                let read = self
                    .rooms
                    .get(&room)
                    .and_then(|state| state.read)
                    .map(|read| read.seq);
                if read.is_none_or(|read| read < seq) {
                    self.persist(Write::Read { room, seq });
                }
            }
            Command::Signal(signal) => self.signals.put(Arc::new(signal)),
            Command::FetchBefore(room) => self.fetch_before(room, now),
            Command::FetchAfter(room, seq) => self.fetch_after(room, seq, now),
            Command::Request { key, op } => self.request(Asker::Person(key), op, now),
        }
    }

    /// Somebody wants a link. From a copy of this profile it is taken back as a new instance: the
    /// copied store knows the old one, and would take it for an earlier process of its own.
    fn on_wanted(&mut self, now: Now) {
        if matches!(
            self.link.phase(),
            ConnectionPhase::Offline {
                why: Cause::Replaced { .. },
                ..
            }
        ) {
            (self.is_stale, self.dials_when_loaded) = (true, true);
            self.effects.push(Effect::Reload);
            return;
        }
        self.abandon_dial(now);
        let due = self.link.retry_now(now);
        self.on_due(due, now);
    }

    /// A dial that takes long is hung up, so that another one can be made.
    fn abandon_dial(&mut self, now: Now) {
        if let Some(dial) = self.link.abandon_dial(now) {
            self.effects.push(Effect::Hangup(dial));
            self.tickets_of_ended = self.tickets;
        }
    }

    fn on_persisted(&mut self, ticket: Ticket, outcome: Outcome, now: Now) {
        match outcome {
            Outcome::Done => self.on_appended(ticket, now),
            Outcome::Frozen(entries) => {
                // What the store has no more left for the log or was dropped after it was last
                // asked for.
                let asked = self.freezing.remove(&ticket).unwrap_or_default();
                for gone in asked
                    .iter()
                    .filter(|id| entries.iter().all(|entry| entry.id != **id))
                {
                    self.outbox.forget(*gone);
                }
                for entry in entries {
                    self.send_frozen(entry, now);
                }
            }
            Outcome::Cut {
                room,
                own_last,
                outbox,
            } => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.cutting = false;
                    let spans = state.log.spans().to_vec();
                    // Entries that came back since the cut know better than the cut itself.
                    let own_last = latest(state.log.own_last(), own_last);
                    state.log = RoomLog::new(room, spans, own_last);
                }
                self.outbox.load(outbox);
                self.outbox.on_cut(room);
            }
            Outcome::Read(Some((room, position))) => {
                if let Some(state) = self.rooms.get_mut(&room) {
                    state.read = Some(position);
                }
                self.tell_marks(room, now);
            }
            Outcome::Read(None)
            | Outcome::Queued
            | Outcome::Requeued(_)
            | Outcome::OutboxFull
            | Outcome::NotFound => {}
        }
    }

    fn on_found(&mut self, found: Found, now: Now) {
        match found {
            Found::OutboxAbove {
                order,
                rows,
                is_whole,
            } => self.outbox.add(order, rows, is_whole),
            Found::Outbox(rows) => self.outbox.load(rows),
            Found::Reads(reads) => {
                for (room, read) in reads {
                    if let Some(state) = self.rooms.get_mut(&room)
                        && state.read.is_none_or(|known| known.seq < read.seq)
                    {
                        state.read = Some(read);
                        self.tell_marks(room, now);
                    }
                }
            }
            Found::Locator { room, positions } => self.open_with_locator(room, positions, now),
            Found::Knows { room, id, known } => self.on_last_looked_up(room, id, known, now),
            Found::Instance { instance, own } => {
                let is_asked = matches!(self.link.phase(), ConnectionPhase::Offline { why: Cause::Replaced { instance: by }, .. } if *by == instance);
                if own && is_asked {
                    let due = self.link.retry_now(now);
                    self.on_due(due, now);
                }
            }
        }
    }

    fn on_opened(&mut self, dial: Dial, server: ServerId, now: Now) {
        if self.me.server.is_some_and(|known| known != server) {
            self.end_link(Cause::OtherServer, now);
            return;
        }
        self.link.on_opened(dial, now);
        let is_new = self.me.account.is_none() || self.enrol_again;
        let hello = Hello {
            token: self.me.token.clone(),
            device: self.me.device,
            instance: self.me.instance,
            dial,
            session: self.me.session,
            enrol: self.me.enrol.clone().filter(|_| is_new),
        };
        self.transmit(&ClientFrame::Hello(hello), now);
    }

    fn end_link(&mut self, cause: Cause, now: Now) {
        let cause = cause.shortened();
        if let Some(dial) = self.link.current() {
            self.effects.push(Effect::Hangup(dial));
        }
        if let Cause::Bye { code, .. } = &cause
            && code.blames_a_frame()
            && let Some((_, id)) = self.outbox.on_blamed()
        {
            let reason = "the server closed the connection over it three times".to_owned();
            self.persist(Write::Refused {
                id,
                code: crate::protocol::RejectCode::BadEntry,
                reason,
            });
        }
        self.ended = self.link.stood_for(now).map(|stood| Ended {
            stood_ms: ms(stood),
            figures: self.meter.link,
        });
        self.meter.on_link_ended();
        self.link.on_ended(cause, now);
        self.tickets_of_ended = self.tickets;
        self.outbox.on_link_changed();
        self.rooms.values_mut().for_each(RoomState::on_link_changed);
        self.greeting = None;
        self.resending = None;
        self.marks_waiting.clear();
        for (_, asker) in std::mem::take(&mut self.asked) {
            if let Asker::Person(key) = asker {
                self.effects.push(Effect::Reply(key, not_connected()));
            }
        }
    }

    /// Sends one frame on the current link; returns the link's byte count behind it.
    fn transmit(&mut self, frame: &ClientFrame, now: Now) -> Option<u64> {
        let dial = self.link.current()?;
        let text = encode(frame).ok()?;
        let mark = self.link.on_sent(text.len(), now);
        self.meter.link.frames_out += 1;
        self.effects.push(Effect::Transmit(dial, text));
        Some(mark)
    }

    fn persist(&mut self, write: Write) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.effects.push(Effect::Persist(ticket, write));
        ticket
    }

    fn ask(&mut self, query: Query) {
        self.tickets += 1;
        self.effects.push(Effect::Ask(Ticket(self.tickets), query));
    }

    /// Asks for rows that were added to the outbox.
    fn ask_above(&mut self) {
        if let Some((order, limit)) = self.outbox.above() {
            self.ask(Query::OutboxAbove { order, limit });
        }
    }

    fn request(&mut self, asker: Asker, op: Op, now: Now) {
        if self.link.up().is_none() {
            if let Asker::Person(key) = asker {
                self.effects.push(Effect::Reply(key, not_connected()));
            }
            return;
        }
        self.requests += 1;
        let request = self.requests;
        self.asked.insert(request, asker);
        self.transmit(&ClientFrame::Request { request, op }, now);
    }

    /// A line in the journal whenever the state's word changed.
    fn journal(&mut self) {
        let state = self.link_state();
        let (from, to) = (self.journaled, state.phase());
        // The journal is the link's, and a process without the link has nothing to say of it.
        let is_elsewhere = matches!(
            self.link.phase(),
            ConnectionPhase::Offline {
                why: Cause::NotOwner { .. },
                ..
            }
        );
        if from == Some(to) || is_elsewhere {
            return;
        }
        debug_assert!(is_move(from, to), "{from:?} to {to} is not among the moves");
        self.journaled = Some(to);
        let cause = match self.link.phase() {
            ConnectionPhase::Offline { why: cause, .. }
            | ConnectionPhase::Backoff { cause, .. } => cause.clone(),
            ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Greeting { .. }
            | ConnectionPhase::Up(_) => Cause::Start,
        };
        let numbers = self.numbers(&state);
        self.persist(Write::Journal(JournalLine {
            from,
            to,
            cause,
            numbers: Box::new(numbers),
        }));
    }

    /// The numbers of the state that was just reached.
    fn numbers(&mut self, state: &LinkState) -> JournalDetails {
        let mut numbers = JournalDetails {
            dial: self.link.current(),
            ended: self.ended.take(),
            ..JournalDetails::default()
        };
        match state {
            LinkState::Connecting { attempt } => numbers.attempt = Some(*attempt),
            LinkState::Backoff { attempt, .. } => {
                numbers.attempt = Some(*attempt);
                (numbers.wait_ms, numbers.wait_max_ms) = self
                    .link
                    .backoff()
                    .last_wait()
                    .map(|wait| (ms(wait.drawn), ms(wait.longest)))
                    .unzip();
            }
            LinkState::Resyncing {
                rooms_left,
                entries_left,
            } => {
                (numbers.rooms_left, numbers.entries_left) =
                    (Some(*rooms_left), Some(*entries_left));
            }
            LinkState::Connected { .. } => numbers.rtt_ms = self.link.rtt().map(ms),
            LinkState::Offline { .. } => {}
        }
        if self.journaled_welcome != numbers.dial {
            self.journaled_welcome = numbers.dial.filter(|_| self.meter.greeting.is_some());
            numbers.welcome = self.meter.greeting.map(|greeting| greeting.welcome);
        }
        numbers
    }
}

/// Whether entries may go out there. A room that the welcome has not named yet may be one that it
/// will not name.
fn is_open(
    rooms: &BTreeMap<RoomId, RoomState>,
    greeting: Option<&(u64, BTreeSet<RoomId>)>,
    room: RoomId,
) -> bool {
    greeting.is_none_or(|(_, named)| named.contains(&room))
        && rooms.get(&room).is_none_or(RoomState::is_open)
}

/// The one of two that stands higher in the log, with the higher order of both.
fn latest(one: Option<OwnLast>, other: Option<OwnLast>) -> Option<OwnLast> {
    let order = one.into_iter().chain(other).map(|own| own.order).max()?;
    let last = one.into_iter().chain(other).max_by_key(|own| own.seq)?;
    Some(OwnLast { order, ..last })
}

/// Milliseconds, as the journal tells them.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn not_connected() -> Reply {
    let reason = "not connected: try again when the link is up".to_owned();
    Reply {
        request: 0,
        ok: None,
        code: Some(ReplyCode::NotConnected),
        reason: Some(reason),
    }
}
