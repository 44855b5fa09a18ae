//! The screen over the client: rooms, log, composer, status.
//!
//! [`app`] is all state, [`mod@update`] all decisions, [`view`] all drawing; `items` lays the log out, `keymap` knows the keys
//! and `theme` the looks. This file is the loop that joins them with the terminal, the store and the client. Nothing is
//! drawn unless something changed.

mod action;
mod app;
mod board;
mod command;
mod composer;
mod inspector;
mod items;
mod keymap;
mod layout;
mod moving;
mod msg;
mod popups;
mod slash;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod typing;
mod update;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use self::action::Action;
use self::app::{Anchor, App, HITS_MAX, PAGE_LINES, PENDING_MAX};
use self::board::BoardView;
pub use self::board::{Board, Done, Shown};
use self::inspector::Look;
use self::msg::{Do, Msg, Snapshot};
use self::terminal::Screen;
pub use self::theme::{BARS, Theme};
pub use self::typing::typing;
use self::update::update;
use crate::client::actor::Client;
use crate::client::session::Status;
use crate::client::store::{Change, JournalRow, Reader, Store};
use crate::client::{Outcome, Write};
use crate::protocol::{RoomId, Seq, Signal};
use crate::sqlite::DbError;
use crate::system;

/// Pause between the last key and the draft on disk.
const DRAFT_PAUSE: Duration = Duration::from_millis(150);
/// Shortest time between two reads of the store.
const LOAD_PAUSE: Duration = Duration::from_millis(30);
/// Messages to the screen that wait.
const MESSAGES_MAX: usize = 256;
/// Shortest time between two looks of an open inspector.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Keys at once, with line ends among them, that nobody types: a paste in a terminal that does not mark pastes.
const PASTE_KEYS_MIN: usize = 32;
/// Events taken at once, so that an endless stream of them is bounded and is drawn now and then.
const BATCH_MAX: usize = 65_536;
/// Lines of the journal that an inspector reads.
const JOURNAL_MAX: usize = 1_000;
/// Keys that wait while a message is on its way to the disk.
const HELD_MAX: usize = 4_096;

/// What a screen needs.
pub struct Options {
    /// Looks.
    pub theme: Theme,
    /// The profile's store.
    pub store: Store,
    /// Starts the client; called once the first screen is drawn.
    pub connect: Box<dyn FnOnce() -> io::Result<Client>>,
    /// What the status says before that.
    pub status: Status,
    /// Named when a bug ends the program.
    pub log_file: PathBuf,
    /// Called before the program is stopped by Ctrl-Z, and after it goes on.
    pub pause: Box<dyn Fn(bool)>,
    /// Something to tell the person at the start.
    pub greeting: Option<String>,
    /// Somebody else's lines and keys beside the chat; the inspector is open then.
    pub board: Option<Board>,
}

/// Runs the chat until its person, a signal or the end of the terminal ends it.
///
/// # Errors
/// When the terminal cannot be taken, or the store cannot be read.
pub async fn run(options: Options) -> io::Result<()> {
    let reader = options.store.reader().map_err(io::Error::other)?;
    terminal::give_back_on_panic(&options.log_file);
    let size = crossterm::terminal::size()?;
    let mut app = first_screen(&reader, options.theme, options.status, size).map_err(io::Error::other)?;
    if let Some(greeting) = options.greeting {
        app.complain(greeting);
    }
    let board = options.board.map(|Board { keys, shown, done }| {
        let now = shown.borrow().clone();
        app.board = Some(BoardView { keys, shown: now });
        update(&mut app, Msg::Action(Action::Inspect));
        (shown, done)
    });
    let mut screen = Screen::enter()?;
    screen.terminal.draw(|frame| view::draw(frame, &app))?;
    let client = (options.connect)()?;
    let (msgs, inbox) = mpsc::channel(MESSAGES_MAX);
    let driver = Driver {
        app,
        screen,
        reader,
        client: client.clone(),
        store: options.store,
        msgs,
        pause: options.pause,
        drafts: BTreeSet::new(),
        draft_at: None,
        load_at: None,
        loaded_at: None,
        look_at: None,
        looked_at: None,
        journal: None,
        held: VecDeque::new(),
        uncertain: BTreeSet::new(),
        done: board.as_ref().map(|(_, done)| done.clone()),
        dirty: true,
        ended: false,
    };
    let result = driver.run(inbox, board.map(|(shown, _)| shown)).await;
    client.quit().await;
    result
}

/// The screen over a store, as it would be drawn first, without a terminal: a picture of it.
///
/// # Errors
/// [`DbError`] when the store cannot be read.
pub fn still(
    reader: &Reader,
    theme: Theme,
    status: Status,
    (columns, rows): (u16, u16),
) -> Result<ratatui::buffer::Buffer, DbError> {
    let app = first_screen(reader, theme, status, (columns, rows))?;
    let Ok(mut terminal) = ratatui::Terminal::new(ratatui::backend::TestBackend::new(columns, rows));
    let Ok(drawn) = terminal.draw(|frame| view::draw(frame, &app));
    Ok(drawn.buffer.clone())
}

fn first_screen(reader: &Reader, theme: Theme, status: Status, size: (u16, u16)) -> Result<App, DbError> {
    let mut app = App::new(theme, jiff::tz::TimeZone::system(), status);
    (app.size, app.wall) = (size, system::unix_ms());
    for _ in 0..2 {
        let snapshot = load(reader, &app)?;
        update(&mut app, Msg::Loaded(Box::new(snapshot))); // the first time it chooses a room
    }
    Ok(app)
}

/// Everything on the screen that the store holds, as it stood at one instant.
fn load(reader: &Reader, app: &App) -> Result<Snapshot, DbError> {
    reader.at_once(|reader| {
        let rooms = reader.rooms()?;
        let row = rooms.iter().find(|room| Some(room.room) == app.current);
        let (bottom, top) = row.map_or((Seq(1), Seq::ZERO), |row| (row.bottom, row.top));
        let (lines, pending, gaps, aside) = match app.current {
            None => (Vec::new(), Vec::new(), Vec::new(), 0),
            Some(room) => (
                load_lines(reader, app, room)?,
                reader.outbox(Some(room), PENDING_MAX)?,
                reader.gaps(room)?,
                reader.aside(room)?.len(),
            ),
        };
        Ok(Snapshot {
            me: reader.mine()?,
            counts: reader.counts()?,
            room: app.current,
            at_start: lines.first().is_none_or(|line| line.seq <= bottom),
            at_end: lines.last().is_none_or(|line| line.seq >= top),
            rooms,
            lines,
            pending,
            gaps,
            aside,
        })
    })
}

fn load_lines(reader: &Reader, app: &App, room: RoomId) -> Result<Vec<crate::client::store::Line>, DbError> {
    match (app.log.anchor, app.log.lines.first()) {
        (Anchor::At(..), Some(first)) => reader.after(room, Seq(first.seq.0 - 1), app.log.lines.len().max(PAGE_LINES)),
        (Anchor::At(seq, _), None) => {
            let mut lines = reader.before(room, seq.next(), PAGE_LINES / 2)?;
            lines.extend(reader.after(room, seq, PAGE_LINES / 2)?);
            Ok(lines)
        }
        (Anchor::Bottom, _) => reader.before(room, Seq(i64::MAX as u64), PAGE_LINES),
    }
}

struct Driver {
    app: App,
    screen: Screen,
    reader: Reader,
    client: Client,
    store: Store,
    msgs: mpsc::Sender<Msg>,
    pause: Box<dyn Fn(bool)>,
    drafts: BTreeSet<RoomId>,
    draft_at: Option<Instant>,
    load_at: Option<Instant>,
    loaded_at: Option<Instant>,
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// The newest lines of the journal, as long as nothing was added to it.
    journal: Option<Vec<JournalRow>>,
    held: VecDeque<Msg>,
    /// Rows of the screen whose widths the terminal may see otherwise.
    uncertain: BTreeSet<u16>,
    /// Whoever has a board is told what is done.
    done: Option<mpsc::UnboundedSender<Done>>,
    dirty: bool,
    ended: bool,
}

impl Driver {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Msg>,
        mut board: Option<watch::Receiver<Shown>>,
    ) -> io::Result<()> {
        let mut events = EventStream::new();
        let mut changes = self.store.changes();
        let mut status = self.client.status();
        let mut passed = self.client.trace().news();
        let mut signals = self.client.signals();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
        let vanished = terminal::vanished();
        tokio::pin!(vanished);
        self.load_soon();
        self.look_soon();
        while !self.ended {
            self.draw()?;
            let wake = self.wake_at();
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.on_events(event, &mut events).await,
                    Some(Err(error)) => return Err(error),
                    None => break,
                },
                Some(msg) = inbox.recv() => self.on_msg(msg).await,
                change = changes.recv() => self.on_change(change.ok()),
                Ok(()) = passed.changed(), if self.app.inspector.is_some() => self.look_soon(),
                signal = next_typing(&mut signals) => self.on_msg(Msg::Typing(signal)).await,
                Some(shown) = news_of(&mut board) => self.on_msg(Msg::Board(shown)).await,
                Ok(()) = status.changed() => {
                    self.look_soon();
                    let status = Box::new(status.borrow_and_update().clone());
                    self.on_msg(Msg::Status(status)).await;
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => break,
                Some(()) = continued.recv() => {
                    let _ = self.screen.reenter(); // whoever stopped it may have used the terminal
                    self.dirty = true;
                }
                () = &mut vanished => break,
                () = sleep_until(wake) => self.on_wake().await,
            }
        }
        self.save_drafts().await;
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        (self.app.now, self.app.wall) = (self.client.now(), system::unix_ms());
        let Self { app, screen, uncertain, .. } = self;
        screen.terminal.draw(|frame| {
            view::draw(frame, app);
            view::write_uncertain_rows_whole(frame.buffer_mut(), uncertain);
        })?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn wake_at(&self) -> Option<Instant> {
        let counts = self.app.counts_down_in().map(|ms| Instant::now() + Duration::from_millis(ms));
        [self.draft_at, self.load_at, self.look_at, counts].into_iter().flatten().min()
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    async fn on_wake(&mut self) {
        let now = Instant::now();
        if self.draft_at.is_some_and(|at| at <= now) {
            self.save_drafts().await;
        }
        if self.load_at.is_some_and(|at| at <= now) {
            self.load().await;
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look();
        }
        let wall = system::unix_ms();
        self.app.notice = self.app.notice.take().filter(|notice| notice.until > wall);
        self.dirty = true;
    }

    /// Something in the store changed; what is lost of such news may have been anything.
    fn on_change(&mut self, change: Option<Change>) {
        if matches!(change, None | Some(Change::Journal | Change::Everything)) {
            self.journal = None;
        }
        if change != Some(Change::Journal) {
            self.load_soon();
        }
        self.look_soon();
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn look_soon(&mut self) {
        if self.app.inspector.is_none() {
            return;
        }
        let now = Instant::now();
        let at = self.looked_at.map_or(now, |at| (at + LOOK_PAUSE).max(now));
        self.look_at.get_or_insert(at);
    }

    /// Fills the inspector: from the store at once, and from the session as soon as it answers.
    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn look(&mut self) {
        (self.look_at, self.looked_at) = (None, Some(Instant::now()));
        let read = self.reader.at_once(|reader| {
            let journal = self.journal.take().map_or_else(|| reader.journal(0, JOURNAL_MAX), Ok)?;
            Ok((journal, reader.outbox(None, PENDING_MAX)?))
        });
        let (journal, outbox) = match read {
            Ok(read) => read,
            Err(error) => return self.app.complain(error.to_string()),
        };
        self.journal = Some(journal.clone());
        let (client, msgs) = (self.client.clone(), self.msgs.clone());
        tokio::spawn(async move {
            let details = client.details().await;
            let (traffic, frames) = (client.trace().traffic(), client.trace().frames());
            let look = Look { details, traffic, frames, outbox, journal };
            let _ = msgs.send(Msg::Looked(Box::new(look))).await; // the screen may have ended
        });
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn load_soon(&mut self) {
        let now = Instant::now();
        let at = self.loaded_at.map_or(now, |at| (at + LOAD_PAUSE).max(now));
        self.load_at.get_or_insert(at);
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    async fn load(&mut self) {
        (self.load_at, self.loaded_at) = (None, Some(Instant::now()));
        match load(&self.reader, &self.app) {
            Ok(snapshot) => Box::pin(self.on_msg(Msg::Loaded(Box::new(snapshot)))).await,
            Err(error) => self.app.complain(error.to_string()),
        }
    }

    /// One event and whatever came with it: what came at once is drawn at once.
    async fn on_events(&mut self, first: Event, events: &mut EventStream) {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Some(event) = waiting(events).await
        {
            batch.push(event);
        }
        for msg in read_events(batch) {
            self.on_msg(msg).await;
        }
    }

    async fn on_msg(&mut self, msg: Msg) {
        if let (Msg::Looked(look), Some(inspector)) = (&msg, &self.app.inspector)
            && **look == inspector.look
        {
            return; // nothing new to draw
        }
        self.dirty = true;
        let is_typed = matches!(msg, Msg::Action(_) | Msg::Paste(_));
        if is_typed && self.app.submitting.is_some() {
            if self.held.len() < HELD_MAX {
                self.held.push_back(msg); // until the message before it is on disk
            }
            return;
        }
        (self.app.now, self.app.wall) = (self.client.now(), system::unix_ms());
        for todo in update(&mut self.app, msg) {
            self.carry_out(todo).await;
        }
        while self.app.submitting.is_none() {
            let Some(held) = self.held.pop_front() else { return };
            for todo in update(&mut self.app, held) {
                self.carry_out(todo).await;
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    async fn carry_out(&mut self, todo: Do) {
        match todo {
            Do::Submit { room, kind, body, replaces } => {
                let entry = update::entry(system::entry_id(), system::unix_ms(), room, kind, body);
                let done = std::iter::once(Done::Typed(entry.id, entry.body.clone()));
                let done = done.chain(replaces.map(Done::Dropped)).collect();
                self.drafts.remove(&room);
                let write = match replaces {
                    Some(refused) => Write::Replace { refused, entry },
                    None => Write::Enqueue { entries: vec![entry], clears_draft: true },
                };
                self.submit(write, Msg::Submitted, done);
            }
            Do::Enqueue { room, kind, body } => {
                let entry = update::entry(system::entry_id(), system::unix_ms(), room, kind, body);
                self.submit(Write::Enqueue { entries: vec![entry], clears_draft: false }, Msg::Wrote, Vec::new());
            }
            Do::SaveDraft(room) => {
                self.drafts.insert(room);
                self.draft_at.get_or_insert(Instant::now() + DRAFT_PAUSE);
            }
            Do::Write(write) => self.submit(write, Msg::Wrote, Vec::new()),
            Do::Discard(id) => {
                let write = Write::Discard { id, redaction: system::entry_id(), composed_at: system::unix_ms() };
                self.submit(write, Msg::Wrote, vec![Done::Dropped(id)]);
            }
            Do::Press(key) => self.tell(Done::Pressed(key)),
            Do::Command(command) => self.client.command(command).await,
            Do::Ask(ask) => {
                let (asked, op) = slash::question(ask, RoomId::from_random(system::random()));
                let (client, msgs) = (self.client.clone(), self.msgs.clone());
                tokio::spawn(async move {
                    let answer = client.request(op).await;
                    let _ = msgs.send(Msg::Answered(asked, answer)).await; // the screen may have ended
                });
            }
            Do::LoadEarlier => self.load_more(true).await,
            Do::LoadLater => self.load_more(false).await,
            Do::Find(words) => match self.reader.search(&words, HITS_MAX) {
                Ok(hits) => Box::pin(self.on_msg(Msg::Found(hits))).await,
                Err(error) => self.app.complain(error.to_string()),
            },
            Do::Load => Box::pin(self.load()).await,
            Do::Look if self.app.inspector.is_some() => self.look(),
            Do::Look => {}
            Do::Redraw => {
                let _ = self.screen.reenter(); // a terminal that is gone is noticed elsewhere
            }
            Do::Suspend => self.suspend().await,
            Do::Quit => self.ended = true,
        }
    }

    fn tell(&self, done: Done) {
        if let Some(board) = &self.done {
            let _ = board.send(done); // its owner may have ended
        }
    }

    fn submit(&self, write: Write, msg: fn(Result<Outcome, String>) -> Msg, done: Vec<Done>) {
        let (msgs, board, written) = (self.msgs.clone(), self.done.clone(), self.store.write(write));
        tokio::spawn(async move {
            let outcome = written.await;
            if let (Some(board), Ok(Outcome::Queued | Outcome::Done)) = (board, &outcome) {
                done.into_iter().for_each(|done| drop(board.send(done))); // its owner may have ended
            }
            let _ = msgs.send(msg(outcome.map_err(|error| error.to_string()))).await; // the screen may have ended
        });
    }

    async fn load_more(&mut self, earlier: bool) {
        let lines = &self.app.log.lines;
        let Some(room) = self.app.current else { return };
        let read = match (earlier, lines.first(), lines.last()) {
            (true, Some(first), _) => self.reader.before(room, first.seq, PAGE_LINES).map(Msg::Earlier),
            (false, _, Some(last)) => self.reader.after(room, last.seq, PAGE_LINES).map(Msg::Later),
            (_, None, _) | (_, _, None) => return,
        };
        match read {
            Ok(msg) => Box::pin(self.on_msg(msg)).await,
            Err(error) => self.app.complain(error.to_string()),
        }
    }

    async fn save_drafts(&mut self) {
        self.draft_at = None;
        for room in std::mem::take(&mut self.drafts) {
            let text = self.app.composers.get(&room).map(|composer| composer.text().to_owned()).unwrap_or_default();
            if let Err(error) = self.store.write(Write::Draft { room, text }).await {
                self.app.complain(format!("the draft is not saved: {error}"));
            }
        }
    }

    /// Ctrl-Z: the terminal, the link and the hosting are given up, and taken again when the program goes on.
    async fn suspend(&mut self) {
        self.save_drafts().await;
        self.client.yield_link().await;
        (self.pause)(true);
        terminal::give_back();
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP); // returns when continued
        (self.pause)(false);
        self.client.resume_link().await;
        let _ = self.screen.reenter(); // a terminal that is gone is noticed elsewhere
        self.dirty = true;
    }
}

/// An event that is there already. Polled with the waker of this task: another one would be the one that is woken.
async fn waiting(events: &mut EventStream) -> Option<Event> {
    tokio::select! {
        biased;
        event = events.next() => event.and_then(Result::ok),
        () = std::future::ready(()) => None,
    }
}

/// The next that says that somebody is typing; what is missed of such news is worth nothing.
async fn next_typing(signals: &mut broadcast::Receiver<Signal>) -> Signal {
    loop {
        match signals.recv().await {
            Ok(signal) if typing::is_typing(&signal) => return signal,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// What a board shows now; never, when there is none.
async fn news_of(board: &mut Option<watch::Receiver<Shown>>) -> Option<Shown> {
    if let Some(shown) = board
        && shown.changed().await.is_ok()
    {
        return Some(shown.borrow_and_update().clone());
    }
    std::future::pending().await
}

/// Messages from what came at once. A burst of keys with line ends inside is a paste that nobody marked.
fn read_events(batch: Vec<Event>) -> Vec<Msg> {
    let keys: Vec<_> =
        batch.iter().filter_map(|event| event.as_key_event().filter(|key| key.kind != KeyEventKind::Release)).collect();
    let ends = keys.iter().filter(|key| key.code == KeyCode::Enter).count();
    if batch.len() == keys.len() && keys.len() >= PASTE_KEYS_MIN && ends >= 2 {
        let text = keys.iter().filter_map(|key| match key.code {
            KeyCode::Char(c) => Some(c),
            KeyCode::Enter => Some('\n'),
            KeyCode::Tab => Some('\t'),
            _ => None, // not text
        });
        return vec![Msg::Paste(text.collect())];
    }
    batch.into_iter().filter_map(read_event).collect()
}

fn read_event(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => keymap::action(key).map(Msg::Action),
        Event::Key(_) | Event::Mouse(_) => None,
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resized(columns, rows)),
        Event::FocusGained => Some(Msg::Focused(true)),
        Event::FocusLost => Some(Msg::Focused(false)),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
