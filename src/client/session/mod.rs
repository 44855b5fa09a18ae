//! PURE. The client's session core: combines [`super::link`], [`super::outbox`] and [`super::log`]
//! into one state machine.
//!
//! `step(now, input)` returns effects. The core has no socket, clock, randomness or disk: time is an
//! argument, the seed comes with the constructor, and a decision that must wait for the disk waits
//! for [`Input::Persisted`]. The same code runs in the program and in the simulation, which
//! simulates a crash by dropping this value between two effects.
//!
//! Each part owns its data: `rooms` the subscriptions, `sending` the entries being frozen, `identity`
//! the hello, `journaling` the last written link state, `mode` the inputs deferred while the store is
//! reloaded. `output` owns the link state and collects the effects of a step.

mod answers;
mod connecting;
mod details;
mod frames;
mod identity;
mod io;
mod journaling;
mod mode;
mod output;
mod rooms;
mod sending;
mod signals;
mod status;
#[cfg(test)]
mod tests;

pub use self::details::{Details, RoomDetails, Window};
pub use self::io::{Command, Effect, Input};
pub use self::status::{RoomStatus, Status};

use self::identity::Identity;
use self::journaling::JournalCursor;
use self::mode::{Deferred, Mode};
use self::output::{Asker, Output};
use self::rooms::Rooms;
use self::sending::Freezes;
use super::cause::Cause;
use super::limits::ClientLimits;
use super::link::{Due, Link, LinkSettings, Now, Waiting};
use super::outbox::Outbox;
use super::persist::{Found, Loaded, Outcome, Query, Ticket, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{CoalescedSignals, Dial, RoomId, Seq};

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
    identity: Identity,
    out: Output,
    outbox: Outbox,
    freezes: Freezes,
    rooms: Rooms,
    signals: CoalescedSignals,
    journal: JournalCursor,
    mode: Mode,
}

impl Session {
    /// Makes a session from the content of the store. `seed` must be different in each process.
    #[must_use]
    pub fn new(settings: LinkSettings, seed: u64, now: Now, loaded: Loaded) -> Self {
        Self::with_limits(settings, ClientLimits::default(), seed, now, loaded)
    }

    /// Makes a session with the given limits.
    #[must_use]
    pub fn with_limits(
        settings: LinkSettings,
        limits: ClientLimits,
        seed: u64,
        now: Now,
        loaded: Loaded,
    ) -> Self {
        let out = Output::new(Link::new(settings, seed, now));
        Self::from_loaded(out, limits, loaded)
    }

    /// Replaces all state but the connection by the content of the store, after [`Effect::Reload`].
    #[must_use]
    pub fn reloaded(self, loaded: Loaded) -> Self {
        let mut new = Self::from_loaded(self.out, self.limits, loaded);
        new.rooms.set_focus(self.rooms.focus());
        new.journal = self.journal;
        new.mode = match self.mode {
            Mode::Active => Mode::Active,
            Mode::Reloading(deferred) | Mode::Loaded(deferred) => Mode::Loaded(deferred),
        };
        new
    }

    fn from_loaded(out: Output, limits: ClientLimits, mut loaded: Loaded) -> Self {
        let identity = Identity::new(&loaded);
        let mut outbox = Outbox::new(limits);
        outbox.load(std::mem::take(&mut loaded.outbox));
        Self {
            limits,
            identity,
            out,
            outbox,
            freezes: Freezes::default(),
            rooms: Rooms::new(limits, loaded.rooms),
            signals: CoalescedSignals::default(),
            journal: JournalCursor::default(),
            mode: Mode::Active,
        }
    }

    /// Returns when [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        if matches!(self.mode, Mode::Reloading(_)) {
            return None;
        }
        let link = self.out.link.deadline();
        if !self.out.link.is_up() {
            return link;
        }
        let resend = self.overdue().map(|overdue| overdue.at);
        [link, resend, self.outbox.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Processes one input at `now` and returns the effects, in their order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.out.begin(now);
        match std::mem::replace(&mut self.mode, Mode::Active) {
            Mode::Reloading(mut deferred) => {
                deferred.defer(input, &mut self.rooms, &mut self.out);
                self.mode = Mode::Reloading(deferred);
                return self.out.take();
            }
            Mode::Loaded(deferred) => self.resume(deferred),
            Mode::Active => {}
        }
        self.on_input(input);
        if matches!(self.mode, Mode::Active) {
            self.tick();
            self.write_journal();
        }
        self.out.take()
    }

    /// Carries out commands that arrived while the store was being reloaded.
    fn resume(&mut self, deferred: Deferred) {
        if deferred.dials {
            self.dial();
        }
        if deferred.asks_for_outbox {
            self.out.ask(Query::Outbox);
        }
        for (room, seq) in deferred.reads {
            self.on_command(Command::Read { room, seq });
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Tick => {}
            Input::Opened { dial, server } if self.is_current(dial) => self.on_opened(dial, server),
            Input::Bytes(dial) if self.is_current(dial) => self.on_bytes(),
            Input::Received(dial, frame) if self.is_current(dial) => {
                self.on_bytes();
                if let Err(cause) = self.on_frame(*frame) {
                    self.end_connection(cause);
                }
            }
            Input::Ended(dial, cause) if self.is_current(dial) => self.end_connection(cause),
            // Inputs of abandoned dials change nothing.
            Input::Opened { .. } | Input::Bytes(_) | Input::Received(..) | Input::Ended(..) => {}
            Input::Persisted(ticket, outcome) => self.on_persisted(ticket, outcome),
            Input::PersistFailed(_, cause) => self.on_persist_failed(cause),
            // The answer would become a frame of the connection that asked, which has ended.
            Input::Found(ticket, Found::EntryKnown { .. } | Found::Locator { .. })
                if self.out.belongs_to_ended(ticket) => {}
            Input::Found(_, found) => self.on_found(found),
            Input::OutboxGrew => self.take_new_rows(),
            Input::OutboxChanged => self.out.ask(Query::Outbox),
            Input::ChangedElsewhere => {
                self.out.ask(Query::Reads);
                self.ask_for_new_rows();
            }
            Input::Command(command) => self.on_command(command),
        }
    }

    fn is_current(&self, dial: Dial) -> bool {
        self.out.link.current() == Some(dial)
            || (planted_bug!(OldDialCounts) && self.out.link.is_up())
    }

    fn on_bytes(&mut self) {
        self.out.link.on_bytes(self.out.now());
    }

    /// Carries out everything that is due after an input.
    fn tick(&mut self) {
        self.rooms.end_reconciling(&self.outbox, &mut self.out);
        self.rooms.begin_reconciling(&mut self.out);
        self.send_pending();
        if let Some(rows) = self.outbox.request_more_rows() {
            self.out.ask(Query::NewRows(rows));
        }
        self.send_signals();
        self.resend_overdue();
        let waiting = self.outbox.waiting();
        self.out.link.set_waiting(waiting.map(|flight| Waiting {
            since: flight.sent_at,
            sent_up_to: flight.sent_up_to,
        }));
        loop {
            match self.out.link.poll(self.out.now()) {
                Due::Nothing => break,
                Due::Dead(_, cause) => self.end_connection(cause),
                due @ (Due::Dial(_) | Due::Ping(_)) => self.out.perform(due),
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::RetryNow | Command::GoOnline => self.on_dial_wanted(),
            Command::Woke | Command::NetworkChanged => self.on_network_changed(),
            Command::GoOffline(why) => self.go_offline(why),
            Command::LockTaken { .. } if planted_bug!(TakenOverUnread) => self.on_dial_wanted(),
            Command::LockTaken { dials } => self.reload(dials),
            Command::Focus(room) => self.rooms.set_focus(Some(room)),
            Command::Read { room, seq } => self.on_read_wanted(room, seq),
            Command::Signal(signal) => self.signals.put(std::sync::Arc::new(signal)),
            Command::FetchBefore(room) => self.rooms.fetch_before(room, &mut self.out),
            Command::FetchAfter(room, seq) => self.rooms.fetch_after(room, seq, &mut self.out),
            Command::Request { key, op } => {
                self.out.request(Asker::User(key), op);
            }
        }
    }

    fn on_read_wanted(&mut self, room: RoomId, seq: Seq) {
        if self.rooms.read(room).is_none_or(|read| read.seq < seq) {
            self.out.persist(Write::MarkRead { room, seq });
        }
    }

    /// The store may differ from the session's state: defers all inputs until it is reloaded.
    fn reload(&mut self, dials: bool) {
        self.mode = Mode::Reloading(Deferred {
            dials,
            ..Deferred::default()
        });
        self.out.push(Effect::Reload);
    }

    fn on_persist_failed(&mut self, cause: Cause) {
        if self.out.link.current().is_some() {
            self.end_connection(cause);
        }
        if planted_bug!(StaleCore) {
            self.out.push(Effect::Reload);
        } else {
            self.reload(false);
        }
    }

    fn on_persisted(&mut self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.rooms.on_appended(ticket, &mut self.out),
            Outcome::Frozen(entries) => self.on_frozen(ticket, entries),
            Outcome::Taken { rows, frozen } => self.on_taken(rows, frozen),
            Outcome::Truncated {
                room,
                own_last,
                outbox,
            } => {
                self.rooms.on_truncated(room, own_last);
                self.load_outbox(outbox);
                self.outbox.on_truncated(room);
                self.out.ask(Query::Reads);
            }
            Outcome::Read(Some((room, position))) => {
                self.rooms.on_read(room, position, &mut self.out);
            }
            Outcome::Read(None)
            | Outcome::Queued
            | Outcome::Requeued(_)
            | Outcome::OutboxFull
            | Outcome::NotFound => {}
        }
    }

    fn on_found(&mut self, found: Found) {
        match found {
            Found::NewRows(added) => self.add_rows(added),
            Found::Outbox(rows) => self.load_outbox(rows),
            Found::Reads(reads) => {
                for (room, read) in reads {
                    self.rooms.on_read_elsewhere(room, read, &mut self.out);
                }
            }
            Found::Locator { room, positions } => {
                self.rooms.on_locator(room, positions, &mut self.out);
            }
            Found::EntryKnown { room, id, known } => self.on_entry_known(room, id, known),
            Found::Instance { instance, own } => self.on_instance(instance, own),
        }
    }

    /// Requests rows that were added to the outbox.
    fn ask_for_new_rows(&mut self) {
        if let Some(rows) = self.outbox.request_new_rows() {
            self.out.ask(Query::NewRows(rows));
        }
    }
}
