//! Records everything that happens in a show, with real times.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::event::{ChatRow, LandfallScreen, LogChange, Recorded, ShowEvent, ShownMessage};
use super::model::Model;
use crate::cli::demo::person::Person;
use crate::cli::exit::Failure;
use crate::client::actor::Client;
use crate::client::link::{LinkState, Wait};
use crate::client::store::{OwnMark, Reader};
use crate::protocol::{EntryId, Kind, RoomId, Seq};
use crate::tui::{FrameWhat, SeenFrame};

/// Rows of Landfall's screen that are recorded: as many as the highest pane has.
const ROWS: usize = 40;
/// Rows before a gap that are recorded.
const ROWS_BEFORE_GAP: usize = 3;
/// Rows before and after one that was searched for, and how many candidates are looked at.
const ROWS_AROUND: usize = 2;
const SEARCH_HITS: usize = 10;
/// Entries of a log that are read at once.
const LOG_PAGE: usize = 1_000;
/// Maximum number of recorded events; later ones change only the model. All acts have about 30,000.
const EVENTS_MAX: usize = 200_000;

/// The list of events, and the state after them.
pub(super) struct Recorder {
    start: Instant,
    recording: Mutex<Recording>,
    news: watch::Sender<usize>,
}

/// Everything that happened so far.
pub(super) struct Recording {
    pub(super) events: Vec<Recorded>,
    /// The state after all events: the present.
    pub(super) model: Model,
    /// Whether the recording has ended.
    is_over: bool,
}

impl Recorder {
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver: events have real times"
    )]
    pub(super) fn new(me: &'static str) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            recording: Mutex::new(Recording {
                events: Vec::new(),
                model: Model::new(me),
                is_over: false,
            }),
            news: watch::Sender::default(),
        })
    }

    pub(super) fn recording(&self) -> MutexGuard<'_, Recording> {
        // every critical section leaves a valid state
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the show began.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// What happens from now on, such as the end of all clients, is no part of the show.
    pub(super) fn stop(&self) {
        self.recording().is_over = true;
    }

    pub(super) fn record(&self, event: ShowEvent) {
        let mut recording = self.recording();
        if recording.is_over {
            return;
        }
        let at = self.now().max(recording.model.at);
        let recorded = Recorded { at, event };
        recording.model.apply(&recorded);
        if recording.events.len() < EVENTS_MAX {
            recording.events.push(recorded);
        }
        let count = recording.events.len();
        drop(recording);
        self.news.send_replace(count);
    }

    /// Changes with each event.
    pub(super) fn news(&self) -> watch::Receiver<usize> {
        self.news.subscribe()
    }
}

/// The tasks that watch both sides, until this is dropped.
pub(super) struct Watchers(Vec<JoinHandle<()>>);

impl Drop for Watchers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Watchers {
    /// Watches the one behind the faulty proxy, and the log through a healthy connection.
    pub(super) fn start(
        recorder: &Arc<Recorder>,
        me: &Person,
        healthy: &Person,
    ) -> Result<Self, Failure> {
        let client = || me.running.client.clone();
        let room = me.author.room();
        let log = LogWatcher {
            recorder: recorder.clone(),
            reader: healthy.store().reader()?,
            room,
            known: Vec::new(),
        };
        let mine = me.store().reader()?;
        Ok(Self(vec![
            tokio::spawn(watch_link(recorder.clone(), client())),
            tokio::spawn(watch_frames(recorder.clone(), client())),
            tokio::spawn(watch_screen(
                recorder.clone(),
                mine,
                room,
                me.store().changes(),
            )),
            tokio::spawn(log.run(healthy.store().changes())),
        ]))
    }
}

/// The parts of a link state that are worth an event: not each round-trip time.
fn outline(link: &LinkState) -> (crate::client::link::LinkPhase, u32) {
    let attempt = match link {
        LinkState::Connecting { attempt } | LinkState::Backoff { attempt, .. } => *attempt,
        _ => 0,
    };
    (link.phase(), attempt)
}

async fn watch_link(recorder: Arc<Recorder>, client: Client) {
    let mut status = client.status();
    let mut last = None;
    loop {
        let link = status.borrow_and_update().link.clone();
        if last != Some(outline(&link)) {
            last = Some(outline(&link));
            let wait = drawn_wait(&client, &link).await;
            recorder.record(ShowEvent::Link(link, wait));
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

async fn drawn_wait(client: &Client, link: &LinkState) -> Option<Wait> {
    if !matches!(link, LinkState::Backoff { .. }) {
        return None;
    }
    client.details().await?.waits.last().copied()
}

async fn watch_frames(recorder: Arc<Recorder>, client: Client) {
    let mut news = client.trace().news();
    let mut last = 0;
    loop {
        for frame in client.trace().frames_after(last) {
            last = frame.n;
            let frame = SeenFrame::of(&frame);
            if frame.what != FrameWhat::Other {
                recorder.record(ShowEvent::Frame(frame));
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

type Changes = broadcast::Receiver<crate::client::store::Change>;

/// Waits for a change, and forgets all that came with it. Returns whether the store is still open.
async fn changed(changes: &mut Changes) -> bool {
    use broadcast::error::{RecvError, TryRecvError};
    let is_open = !matches!(changes.recv().await, Err(RecvError::Closed));
    while !matches!(
        changes.try_recv(),
        Err(TryRecvError::Empty | TryRecvError::Closed)
    ) {}
    is_open
}

async fn watch_screen(recorder: Arc<Recorder>, reader: Reader, room: RoomId, mut changes: Changes) {
    let mut last = None;
    loop {
        // a database that is busy or replaced is read after its next change
        if let Ok(screen) = reader.at_once(|reader| screen(reader, room))
            && last.as_ref() != Some(&screen)
        {
            last = Some(screen.clone());
            recorder.record(ShowEvent::Screen(Arc::new(screen)));
        }
        if !changed(&mut changes).await {
            return;
        }
    }
}

/// Reads the message with this text, and those around it.
pub(super) fn around(
    reader: &Reader,
    room: RoomId,
    text: &str,
) -> Result<Vec<ChatRow>, crate::sqlite::DbError> {
    let hits = reader.search(text, SEARCH_HITS)?;
    let hit = hits.iter().find(|hit| hit.line.body == text);
    let Some(seq) = hit.map(|hit| hit.line.seq) else {
        return Ok(Vec::new());
    };
    let mut lines = reader.before(room, seq, ROWS_AROUND)?;
    lines.extend(reader.after(room, Seq(seq.0 - 1), ROWS_AROUND + 1)?);
    Ok(lines.into_iter().filter_map(message).collect())
}

/// A message as a row.
fn message(line: crate::client::store::Line) -> Option<ChatRow> {
    (line.kind == Kind::Message).then(|| {
        ChatRow::Message(ShownMessage {
            id: line.id,
            seq: Some(line.seq),
            author: line.name,
            text: line.body.into(),
            mark: line.mark,
        })
    })
}

/// Reads what the chat shows of a room.
fn screen(reader: &Reader, room: RoomId) -> Result<LandfallScreen, crate::sqlite::DbError> {
    let lines = reader.before(room, Seq::MAX, ROWS)?;
    let mut rows = Vec::new();
    let gaps = reader.gaps(room)?;
    if let Some((after, count)) = gaps
        .last()
        .filter(|(after, _)| lines.first().is_some_and(|line| line.seq > *after))
    {
        let before = reader.before(room, after.next(), ROWS_BEFORE_GAP)?;
        rows.extend(before.into_iter().filter_map(message));
        rows.push(ChatRow::Gap(*count));
    }
    rows.extend(lines.into_iter().filter_map(message));
    let pending = reader.outbox(Some(room), ROWS)?;
    let mine = reader.mine()?.name;
    let mut waiting = Vec::new();
    for entry in pending.into_iter().filter(|entry| !entry.discarded) {
        let is_acked = entry.acked.is_some();
        if !is_acked {
            waiting.push(entry.id);
        }
        rows.push(ChatRow::Message(ShownMessage {
            id: entry.id,
            seq: entry.acked,
            author: mine.clone(),
            text: entry.body.into(),
            mark: Some(if is_acked { OwnMark::Acked } else { entry.mark }),
        }));
    }
    Ok(LandfallScreen {
        confirmed: reader.counts()?.acked,
        rows,
        pending: waiting,
        missing: gaps.iter().map(|(_, count)| count).sum(),
        kept: reader.count_aside(room)?,
    })
}

/// Follows the log of Landfall's server.
struct LogWatcher {
    recorder: Arc<Recorder>,
    reader: Reader,
    room: RoomId,
    known: Vec<(Seq, EntryId)>,
}

impl LogWatcher {
    async fn run(mut self, mut changes: Changes) {
        loop {
            while self.read().unwrap_or(false) {}
            if !changed(&mut changes).await {
                return;
            }
        }
    }

    /// Reads what is new. Returns whether there may be more.
    fn read(&mut self) -> Result<bool, crate::sqlite::DbError> {
        let truncated_after = self.truncate()?;
        let last = self.known.last().map_or(Seq::ZERO, |(seq, _)| *seq);
        let lines = self.reader.after(self.room, last, LOG_PAGE)?;
        let is_more = lines.len() == LOG_PAGE;
        if lines.is_empty() && truncated_after.is_none() {
            return Ok(false);
        }
        self.known
            .extend(lines.iter().map(|line| (line.seq, line.id)));
        let head = self.known.last().map_or(Seq::ZERO, |(seq, _)| *seq);
        let messages = lines.into_iter().filter(|line| line.kind == Kind::Message);
        let added = messages
            .map(|line| (line.seq, line.id, line.body.into()))
            .collect();
        let change = LogChange {
            truncated_after,
            added,
            head,
        };
        self.recorder.record(ShowEvent::Log(change));
        Ok(is_more)
    }

    /// Forgets entries that the log no longer has. Returns the seq of the last one that it has.
    fn truncate(&mut self) -> Result<Option<Seq>, crate::sqlite::DbError> {
        let before = self.known.len();
        while let Some((seq, id)) = self.known.last() {
            let at = self.reader.before(self.room, seq.next(), 1)?;
            if at
                .first()
                .is_some_and(|line| line.seq == *seq && line.id == *id)
            {
                break;
            }
            self.known.pop();
        }
        let last = self.known.last().map_or(Seq::ZERO, |(seq, _)| *seq);
        Ok((self.known.len() < before).then_some(last))
    }
}
