//! PURE. A sequence diagram between the disk of the faulty side, the network and the server's disk:
//! time downwards, one row per event.
//!
//! A row is drawn from the trace of frames. Only an answer proves that a frame arrived, and only
//! an event of the proxy that it was lost.

mod frames;
mod network;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::event::{LogChange, Recorded, ShowEvent, TypedLine};
use super::score::Nets;
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::stage::MyAction;
use crate::client::counted;
use crate::client::grouped;
use crate::client::link::Wait;
use crate::protocol::{Dial, EntryId, Seq, sanitize_line};

/// Maximum number of kept rows.
const ROWS_MAX: usize = 2_000;
/// A longer time without a row is a row of its own.
const NOTHING: Duration = Duration::from_secs(1);

/// The rows of one act, from old to new.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder {
    pub(super) rows: Vec<LadderRow>,
    me: &'static str,
    is_up: bool,
    dial: Option<Dial>,
    /// The newest connection through the proxy.
    connection: u64,
    /// Whether this connection loses what goes up.
    is_dead_up: bool,
    /// Whether a stall keeps bytes of this connection back.
    is_held: bool,
    sent: BTreeSet<EntryId>,
    acked: BTreeSet<EntryId>,
    own: BTreeMap<EntryId, Arc<str>>,
    /// Entries that the server has, and the newest that its copy has.
    logged: BTreeMap<EntryId, Seq>,
    copied: Seq,
    /// Entries that a restored server lacks.
    forgotten: BTreeSet<EntryId>,
    missing: u64,
    /// Delays since the last connection.
    waits: u32,
}

/// One row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LadderRow {
    pub(super) at: Duration,
    /// Whether there is a connection: how the lanes are drawn.
    pub(super) is_up: bool,
    pub(super) what: LadderWhat,
    /// Written and synced on the left disk, or on the right one.
    pub(super) is_saved: bool,
    pub(super) is_stored: bool,
    /// Beside the row, on the right.
    pub(super) note: String,
}

/// What a row shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LadderWhat {
    /// A frame to the server.
    Up(ArrowFrame),
    /// A frame from the server.
    Down(ArrowFrame),
    /// The connection ended.
    Ended(String),
    /// A delay before the next attempt.
    Waits(Wait),
    /// A text without an arrow.
    Note(String),
    /// Pings with their answers.
    Heartbeat {
        count: u32,
        answered_ms: Option<u64>,
    },
    /// Nothing happened for so long.
    Nothing(Duration),
}

/// The arrow of one frame, or of several that are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ArrowFrame {
    pub(super) label: String,
    pub(super) fate: ArrowFate,
    /// The own entry in it, and whether the server had it already.
    pub(super) entry: Option<EntryId>,
    is_known: bool,
    /// Number of acknowledgements in it.
    acks: u32,
    dial: Dial,
    pages: Option<Pages>,
}

/// Frames with entries that follow each other: one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pages {
    /// Answers to fetches.
    is_fetched: bool,
    count: u64,
    first: Seq,
    last: Seq,
    bytes: u64,
    began: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ArrowFate {
    UnderWay,
    Arrived,
    Lost,
    /// No answer came before the connection ended.
    Unknown,
}

/// The last digits of an id: enough to recognise it.
pub(super) fn short_id(id: EntryId) -> String {
    let text = id.to_string();
    text[text.len() - 3..].to_owned()
}

impl Ladder {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            me,
            ..Self::default()
        }
    }

    /// The text of an own entry.
    pub(super) fn text_of(&self, id: EntryId) -> Option<Arc<str>> {
        self.own.get(&id).cloned()
    }

    /// Begins the rows of another act; what is known of the connection stays.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    pub(super) fn apply(&mut self, recorded: &Recorded, nets: &Nets) {
        let at = recorded.at;
        match &recorded.event {
            ShowEvent::Act(_) => self.clear(),
            ShowEvent::Typed(line) if line.author == self.me => self.on_typed(line, at),
            ShowEvent::Proxy(what) => self.on_proxy(what, at),
            ShowEvent::Frame(frame) => self.on_frame(frame, at),
            ShowEvent::Link(link, wait) => self.on_link(link, *wait, at, nets),
            ShowEvent::Log(change) => self.on_log(change, at),
            ShowEvent::Servers(action) => self.on_servers(*action, at),
            ShowEvent::Mine(action) => self.on_mine(*action, at),
            ShowEvent::Screen(screen) => self.on_missing(screen.missing, at),
            _ => {}
        }
    }

    fn push(&mut self, at: Duration, what: LadderWhat) -> &mut LadderRow {
        let last = self.rows.last();
        let is_wait = last.is_some_and(|row| matches!(row.what, LadderWhat::Waits(_)));
        if let Some(quiet) = last.map(|last| at.saturating_sub(last.at))
            && quiet > NOTHING
            && !is_wait
        {
            self.insert(at, LadderWhat::Nothing(quiet));
        }
        self.insert(at, what)
    }

    fn insert(&mut self, at: Duration, what: LadderWhat) -> &mut LadderRow {
        if self.rows.len() >= ROWS_MAX {
            self.rows.drain(..ROWS_MAX / 4);
        }
        let row = LadderRow {
            at,
            is_up: self.is_up,
            what,
            is_saved: false,
            is_stored: false,
            note: String::new(),
        };
        self.rows.push(row);
        self.rows.last_mut().expect("it was pushed")
    }

    fn on_typed(&mut self, line: &TypedLine, at: Duration) {
        self.own.insert(line.id, line.text.clone());
        if !self.is_up {
            let text = sanitize_line(&line.text);
            let note = format!("saved, not sent: \"{text}\" {}", short_id(line.id));
            self.push(at, LadderWhat::Note(note)).is_saved = true;
        }
    }

    fn on_log(&mut self, change: &LogChange, at: Duration) {
        if let Some(after) = change.truncated_after {
            self.logged.retain(|_, seq| *seq <= after);
        }
        let mut returned = 0;
        for (seq, id, _) in &change.added {
            self.logged.insert(*id, *seq);
            let is_returned = self.forgotten.remove(id) && !self.own.contains_key(id);
            returned += u64::from(is_returned);
        }
        if returned > 0 {
            let what = counted(returned, "line", "lines");
            let text = format!("the others' clients have given back {what}");
            self.push(at, LadderWhat::Note(text)).is_stored = true;
        }
    }

    /// The server has what its copy had.
    fn on_restored(&mut self) {
        let copied = self.copied;
        let forgotten = self.logged.extract_if(.., |_, seq| *seq > copied);
        self.forgotten.extend(forgotten.map(|(id, _)| id));
    }

    fn on_servers(&mut self, action: ServerAction, at: Duration) {
        match action {
            ServerAction::Copy => {
                self.copied = self.logged.values().copied().max().unwrap_or(Seq::ZERO)
            }
            ServerAction::Restore => self.on_restored(),
            _ => {}
        }
        let (what, is_stored) = match action {
            ServerAction::Copy => ("copy of the server's disk", true),
            ServerAction::Restore => ("the server's disk is replaced by the copy", true),
            ServerAction::Kill => ("the server is killed (SIGKILL)", false),
            ServerAction::Start => ("the server is started", false),
            ServerAction::Stop => ("the server hangs (SIGSTOP)", false),
            ServerAction::Continue => ("the server continues (SIGCONT)", false),
            ServerAction::Fill => ("the server's disk is full", false),
            ServerAction::Free => ("the server's disk has space", false),
        };
        self.push(at, LadderWhat::Note(what.to_owned())).is_stored = is_stored;
    }

    fn on_mine(&mut self, action: MyAction, at: Duration) {
        let what = match action {
            MyAction::Stop => "this computer sleeps",
            MyAction::Continue => "this computer wakes",
            MyAction::GoOffline => "/offline",
            MyAction::GoOnline => "/online",
            MyAction::RetryNow => "Ctrl-R: try now",
        };
        self.push(at, LadderWhat::Note(what.to_owned()));
    }

    fn on_missing(&mut self, missing: u64, at: Duration) {
        if self.missing == 0 && missing > 0 {
            let what = match missing {
                1 => "1 message is".to_owned(),
                missing => format!("{} messages are", grouped(missing)),
            };
            let text = format!("gap marked: {what} missing here");
            self.push(at, LadderWhat::Note(text)).is_saved = true;
        } else if self.missing > 0 && missing == 0 {
            let text = "gap filled: no number is missing".to_owned();
            self.push(at, LadderWhat::Note(text)).is_saved = true;
        }
        self.missing = missing;
    }
}

impl LadderRow {
    fn is_under_way(&self) -> bool {
        matches!(&self.what, LadderWhat::Up(arrow) if arrow.fate == ArrowFate::UnderWay)
    }

    const fn is_wait(&self) -> bool {
        matches!(self.what, LadderWhat::Waits(_))
    }

    fn is_fetch_or_page(&self) -> bool {
        match &self.what {
            LadderWhat::Up(arrow) => arrow.label.starts_with("fetch"),
            LadderWhat::Down(arrow) => arrow.pages.is_some_and(|pages| pages.is_fetched),
            _ => false,
        }
    }
}
