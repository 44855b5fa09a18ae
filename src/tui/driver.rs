//! The loop that joins the screen with the terminal, the store and the client. It decides nothing:
//! [`App::update`] does.

mod ending;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

use super::app::{App, HITS_MAX, PAGE_LINES, PENDING_MAX};
use super::drafts::Drafts;
use super::events::{Events, read_events};
use super::inspector::InspectorSnapshot;
use super::load::load;
use super::msg::{self, Effects};
use super::signals::{RaisedSignals, SignalChoice};
use super::terminal::{self, Screen};
use super::{slash, typing, view};
use crate::client::actor::Client;
use crate::client::store::{Change, JournalRow, Reader, Store};
use crate::client::{NewEntry, Outcome, Write};
use crate::protocol::{RoomId, Signal};
use crate::sqlite::DbError;
use crate::system;

/// Minimum time between two reads of the store.
const LOAD_PAUSE: Duration = Duration::from_millis(30);
/// Minimum time between two updates of an open inspector.
const INSPECT_PAUSE: Duration = Duration::from_millis(100);
/// Maximum lines of the journal that the inspector reads.
const JOURNAL_MAX: usize = 1_000;
/// Maximum keys that wait while a message is being saved.
const POSTPONED_MAX: usize = 4_096;

/// One step of handling an input.
pub(super) enum DriverWork {
    /// Something that was read or answered: it is decided upon before anything that follows it.
    Input(msg::Input),
    Effect(msg::Effect),
}

/// Runs the screen. It owns the terminal, the reader of the store and the handle to the client.
///
/// Each event becomes a [`msg::Input`] for [`App::update`], whose [`msg::Effect`]s it carries out.
/// The screen is drawn only when something changed.
///
/// Invariants:
/// - Keys are handled in the order in which they were typed, also while a message is being stored.
/// - However the loop ends, drafts are saved and the terminal is restored.
pub(super) struct Driver {
    pub(super) app: App,
    pub(super) screen: Screen,
    pub(super) reader: Reader,
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) msgs: mpsc::Sender<msg::Input>,
    pub(super) pause: Box<dyn Fn(bool)>,
    pub(super) drafts: Drafts,
    pub(super) load_at: Option<Instant>,
    pub(super) loaded_at: Option<Instant>,
    pub(super) inspect_at: Option<Instant>,
    pub(super) inspected_at: Option<Instant>,
    /// The newest lines of the journal; none after lines were added, until they are read again.
    pub(super) journal: Option<Vec<JournalRow>>,
    pub(super) postponed: VecDeque<msg::Input>,
    /// The inputs and effects that follow from the current input, in order.
    pub(super) work: VecDeque<DriverWork>,
    /// Rows of the screen with characters whose width terminals disagree about.
    pub(super) uncertain: BTreeSet<u16>,
    pub(super) dirty: bool,
    pub(super) ended: bool,
    /// Rooms whose unsaved text would be lost by quitting; the user was warned.
    pub(super) quit_warned: BTreeSet<RoomId>,
}

impl Driver {
    /// Runs until the user, a signal or the terminal ends it. Then all drafts are on disk. A closed
    /// terminal is an ordinary end.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<msg::Input>,
        signals: &mut RaisedSignals,
    ) -> io::Result<()> {
        let result = self.run_screen(&mut inbox, signals).await;
        while self.app.submitting.is_some()
            && let Some(msg) = inbox.recv().await
        {
            // decides whether it was sent or is still a draft, before later keys
            self.on_msg(msg).await;
        }
        self.save_drafts().await;
        match result {
            Err(_) if terminal::is_gone() => Ok(()),
            result => result,
        }
    }

    async fn run_screen(
        &mut self,
        inbox: &mut mpsc::Receiver<msg::Input>,
        signals: &mut RaisedSignals,
    ) -> io::Result<()> {
        let mut events = Events::read()?;
        let mut changes = self.store.changes();
        let mut status = self.client.status();
        let mut passed = self.client.trace().news();
        let mut values = self.client.signals();
        let vanished = terminal::vanished();
        tokio::pin!(vanished);
        self.load_soon();
        self.inspect_soon();
        while !self.ended {
            self.draw()?;
            let wake = self.wake_at();
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(batch)) => {
                        for msg in read_events(batch) {
                            self.on_msg(msg).await;
                        }
                    }
                    Some(Err(error)) => return Err(error),
                    None => break,
                },
                Some(msg) = inbox.recv() => self.on_msg(msg).await,
                change = changes.recv() => self.on_change(change.ok()),
                Ok(()) = passed.changed(), if self.app.inspector.is_some() => self.inspect_soon(),
                signal = next_typing(&mut values) => self.on_msg(msg::Input::Typing(signal)).await,
                Ok(()) = status.changed() => {
                    self.inspect_soon();
                    let status = Box::new(status.borrow_and_update().clone());
                    self.on_msg(msg::Input::Status(status)).await;
                }
                asked = signals.next() => match asked {
                    SignalChoice::End => break,
                    SignalChoice::Stop => self.suspend().await,
                    SignalChoice::GoOn => {
                        // another program may have used the terminal
                        let _ = self.screen.reenter();
                        self.dirty = true;
                    }
                },
                () = &mut vanished => break,
                () = system::sleep_until(wake) => self.on_wake().await,
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        self.app.now = self.client.now();
        self.app.wall = system::unix_ms();
        let Self {
            app,
            screen,
            uncertain,
            ..
        } = self;
        screen.terminal.draw(|frame| {
            view::draw(frame, app);
            view::write_uncertain_rows_whole(frame.buffer_mut(), uncertain);
        })?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn wake_at(&self) -> Option<Instant> {
        let counts = self
            .app
            .counts_down_in()
            .map(|ms| Instant::now() + Duration::from_millis(ms));
        [self.drafts.due(), self.load_at, self.inspect_at, counts]
            .into_iter()
            .flatten()
            .min()
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    async fn on_wake(&mut self) {
        let now = Instant::now();
        if self.drafts.due().is_some_and(|at| at <= now) {
            self.save_drafts().await;
        }
        if self.load_at.is_some_and(|at| at <= now) {
            self.load();
            self.run_work().await;
        }
        if self.inspect_at.is_some_and(|at| at <= now) {
            self.inspect();
        }
        let wall = system::unix_ms();
        self.app.notice = self.app.notice.take().filter(|notice| notice.until > wall);
        self.dirty = true;
    }

    /// Handles a change of the store. A dropped notification can mean any change.
    fn on_change(&mut self, change: Option<Change>) {
        if matches!(change, None | Some(Change::Journal | Change::Everything)) {
            self.journal = None;
        }
        if change != Some(Change::Journal) {
            self.load_soon();
        }
        self.inspect_soon();
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn inspect_soon(&mut self) {
        if self.app.inspector.is_none() {
            return;
        }
        let now = Instant::now();
        let at = self
            .inspected_at
            .map_or(now, |at| (at + INSPECT_PAUSE).max(now));
        self.inspect_at.get_or_insert(at);
    }

    /// Fills the inspector: with the store's data at once, and with the session's as soon as it
    /// answers.
    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn inspect(&mut self) {
        self.inspect_at = None;
        self.inspected_at = Some(Instant::now());
        let read = self.reader.at_once(|reader| {
            let journal = self
                .journal
                .take()
                .map_or_else(|| reader.journal(0, JOURNAL_MAX), Ok)?;
            Ok((journal, reader.outbox(None, PENDING_MAX)?))
        });
        let (journal, outbox) = match read {
            Ok(read) => read,
            Err(error) => return self.app.show_error(error.to_string()),
        };
        self.journal = Some(journal.clone());
        let (client, msgs) = (self.client.clone(), self.msgs.clone());
        tokio::spawn(async move {
            let details = client.details().await;
            let (traffic, frames) = (client.trace().traffic(), client.trace().frames());
            let look = InspectorSnapshot {
                details,
                traffic,
                frames,
                outbox,
                journal,
            };
            let _ = msgs.send(msg::Input::Inspected(Box::new(look))).await; // the screen may have ended
        });
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn load_soon(&mut self) {
        let now = Instant::now();
        let at = self.loaded_at.map_or(now, |at| (at + LOAD_PAUSE).max(now));
        self.load_at.get_or_insert(at);
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn load(&mut self) {
        self.load_at = None;
        self.loaded_at = Some(Instant::now());
        match load(&self.reader, &self.app) {
            Err(error) if error.is_another_file() => {
                // The next write saves the store or fails, and then it is read from there.
                self.submit(Write::Barrier, msg::Input::Wrote);
            }
            read => self.follow(read.map(|snapshot| msg::Input::Loaded(Box::new(snapshot)))),
        }
    }

    /// Queues the result of a read before all other work.
    fn follow(&mut self, read: Result<msg::Input, DbError>) {
        match read {
            Ok(input) => self.work.push_front(DriverWork::Input(input)),
            Err(error) => self.app.show_error(error.to_string()),
        }
    }

    async fn on_msg(&mut self, msg: msg::Input) {
        if let (msg::Input::Inspected(look), Some(inspector)) = (&msg, &self.app.inspector)
            && **look == inspector.look
        {
            return; // nothing new to draw
        }
        let typed_here = matches!(msg, msg::Input::Typing(_)).then(|| self.app.typing_count());
        self.dirty |= typed_here.is_none();
        let is_typed = matches!(msg, msg::Input::Key(_) | msg::Input::Paste(_));
        if is_typed && self.app.submitting.is_some() {
            if self.postponed.len() < POSTPONED_MAX {
                self.postponed.push_back(msg); // until the previous message is on disk
            }
            return;
        }
        if let (msg::Input::Submitted(outcome), Some(room)) = (&msg, self.app.submitting) {
            match outcome {
                Ok(Outcome::Queued) => self.drafts.on_sent(room),
                _ => self.save_draft(room).await, // before the screen shows that the message was not saved
            }
        }
        self.work.push_back(DriverWork::Input(msg));
        self.run_work().await;
        self.dirty |= typed_here.is_some_and(|before| before != self.app.typing_count());
        while self.app.submitting.is_none()
            && let Some(postponed) = self.postponed.pop_front()
        {
            self.work.push_back(DriverWork::Input(postponed));
            self.run_work().await;
        }
    }

    /// Handles inputs and effects until none is left. The effects of an input come before later
    /// inputs.
    async fn run_work(&mut self) {
        self.app.now = self.client.now();
        self.app.wall = system::unix_ms();
        while let Some(work) = self.work.pop_front() {
            match work {
                DriverWork::Input(input) => {
                    let mut effects = Effects::new();
                    self.app.update(input, &mut effects);
                    for effect in effects.into_iter().rev() {
                        self.work.push_front(DriverWork::Effect(effect));
                    }
                }
                DriverWork::Effect(effect) => self.carry_out(effect).await,
            }
        }
    }

    async fn carry_out(&mut self, todo: msg::Effect) {
        match todo {
            msg::Effect::Submit {
                room,
                kind,
                body,
                replaces,
            } => {
                let entry =
                    NewEntry::plain(system::entry_id(), system::unix_ms(), room, kind, body);
                self.drafts.on_submitted(room);
                let write = match replaces {
                    Some(rejected) => Write::Replace { rejected, entry },
                    None => Write::Enqueue {
                        entries: vec![entry],
                        clears_draft: true,
                    },
                };
                self.submit(write, msg::Input::Submitted);
            }
            msg::Effect::Enqueue { room, kind, body } => {
                let entry =
                    NewEntry::plain(system::entry_id(), system::unix_ms(), room, kind, body);
                self.submit(
                    Write::Enqueue {
                        entries: vec![entry],
                        clears_draft: false,
                    },
                    msg::Input::Wrote,
                );
            }
            msg::Effect::SaveDraft(room) => {
                self.quit_warned.clear();
                self.drafts.on_changed(room);
            }
            msg::Effect::Write(write) => self.submit(write, msg::Input::Wrote),
            msg::Effect::Discard(id) => {
                let write = Write::Discard {
                    id,
                    redaction: system::entry_id(),
                    composed_at: system::unix_ms(),
                };
                self.submit(write, msg::Input::Wrote);
            }
            msg::Effect::Command(command) => self.client.command(command).await,
            msg::Effect::Ask(ask) => {
                let (asked, op) = slash::question(ask, RoomId::from_random(system::random()));
                let (client, msgs) = (self.client.clone(), self.msgs.clone());
                tokio::spawn(async move {
                    let answer = client.request(op).await;
                    // the screen may have ended
                    let _ = msgs.send(msg::Input::Answered(asked, answer)).await;
                });
            }
            msg::Effect::LoadEarlier => self.load_earlier(),
            msg::Effect::LoadLater => self.load_later(),
            msg::Effect::Find(words) => {
                let found = self.reader.search(&words, HITS_MAX);
                self.follow(found.map(msg::Input::Found));
            }
            msg::Effect::Load => self.load(),
            msg::Effect::Inspect if self.app.inspector.is_some() => self.inspect(),
            msg::Effect::Inspect => {}
            msg::Effect::Redraw => {
                let _ = self.screen.reenter(); // the loss of the terminal is detected elsewhere
            }
            msg::Effect::Suspend => self.suspend().await,
            msg::Effect::Quit => self.quit().await,
        }
    }

    fn submit(&self, write: Write, msg: fn(Result<Outcome, String>) -> msg::Input) {
        let (msgs, written) = (self.msgs.clone(), self.store.write(write));
        tokio::spawn(async move {
            let outcome = written.await;
            let _ = msgs
                .send(msg(outcome.map_err(|error| error.to_string())))
                .await; // the screen may have ended
        });
    }

    fn load_earlier(&mut self) {
        if let (Some(room), Some(first)) = (self.app.current, self.app.log.lines.first()) {
            let lines = self.reader.before(room, first.seq, PAGE_LINES);
            self.follow(lines.map(msg::Input::Earlier));
        }
    }

    fn load_later(&mut self) {
        if let (Some(room), Some(last)) = (self.app.current, self.app.log.lines.last()) {
            let lines = self.reader.after(room, last.seq, PAGE_LINES);
            self.follow(lines.map(msg::Input::Later));
        }
    }
}

/// Waits for the next typing signal. Dropped ones do not matter.
async fn next_typing(signals: &mut broadcast::Receiver<Signal>) -> Signal {
    loop {
        match signals.recv().await {
            Ok(signal) if typing::is_typing(&signal) => return signal,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}
