//! PURE. A sequence diagram between a disk, the network and a server's disk: time downwards, one row
//! per event. The demo and the inspector draw it.
//!
//! A row is drawn from the trace of frames. Only an answer proves that a frame arrived, and only
//! the demo, which makes the faults, knows that one was lost: elsewhere its fate is unknown.

mod frames;
mod row;
mod seen;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::row::{Role, Signs, TextRow};
pub(crate) use self::seen::{FrameWhat, SeenFrame};
pub(crate) use self::view::{LadderTime, LadderView, right_lane};
use crate::client::grouped;
use crate::client::link::Wait;
use crate::protocol::{Dial, EntryId, Seq, sanitize_line};

/// Maximum number of kept rows.
pub(crate) const LADDER_ROWS_MAX: usize = 2_000;
/// A longer time without a row is a row of its own.
const NOTHING: Duration = Duration::from_secs(1);

/// The rows, from old to new, and what is known of the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ladder {
    pub(crate) rows: Vec<LadderRow>,
    pub(crate) is_up: bool,
    dial: Option<Dial>,
    /// What is known of the network, where the program itself makes its faults.
    pub(crate) network: KnownNetwork,
    sent: BTreeSet<EntryId>,
    acked: BTreeSet<EntryId>,
    own: BTreeMap<EntryId, Arc<str>>,
    /// Entries that the server has, as far as that is known.
    pub(crate) logged: BTreeMap<EntryId, Seq>,
    missing: u64,
    /// The number of the traced frame that is applied now.
    frame: Option<u64>,
    /// Delays since the last connection.
    waits: u32,
}

/// What the network does to the newest connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KnownNetwork {
    /// It loses what goes up.
    pub(crate) is_dead_up: bool,
    /// It keeps bytes back.
    pub(crate) is_held: bool,
}

/// The note of a frame that was lost.
pub(crate) const LOST: &str = "lost in the network";

impl KnownNetwork {
    /// What becomes of a frame that goes up now.
    const fn fate_of_new(self) -> ArrowFate {
        if self.is_dead_up {
            ArrowFate::Lost
        } else {
            ArrowFate::UnderWay
        }
    }

    /// What became of a frame without an answer when its connection ended, and the note that says so.
    const fn fate_at_end(self) -> (ArrowFate, &'static str) {
        if self.is_held || self.is_dead_up {
            (ArrowFate::Lost, LOST)
        } else {
            (ArrowFate::Unknown, "no answer")
        }
    }
}

/// One row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LadderRow {
    pub(crate) at: Duration,
    /// The number of its first traced frame.
    pub(crate) frame: Option<u64>,
    /// Whether there is a connection: how the lanes are drawn.
    pub(crate) is_up: bool,
    pub(crate) what: LadderWhat,
    /// Written and synced on the left disk, or on the right one.
    pub(crate) is_saved: bool,
    pub(crate) is_stored: bool,
    /// Beside the row, on the right.
    pub(crate) note: String,
}

/// What a row shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LadderWhat {
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
pub(crate) struct ArrowFrame {
    pub(crate) label: String,
    pub(crate) fate: ArrowFate,
    /// The own entry in it, and whether the server had it already.
    pub(crate) entry: Option<EntryId>,
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
pub(crate) enum ArrowFate {
    UnderWay,
    Arrived,
    Lost,
    /// No answer came before the connection ended.
    Unknown,
}

/// The last digits of an id: enough to recognise it.
pub(crate) fn short_id(id: EntryId) -> String {
    let text = id.to_string();
    text[text.len() - 3..].to_owned()
}

impl Ladder {
    /// The text of an own entry.
    pub(crate) fn text_of(&self, id: EntryId) -> Option<Arc<str>> {
        self.own.get(&id).cloned()
    }

    /// Whether this is an own entry.
    pub(crate) fn is_own(&self, id: &EntryId) -> bool {
        self.own.contains_key(id)
    }

    /// Removes all rows; what is known of the connection stays.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    /// A row without an arrow.
    pub(crate) fn note(&mut self, at: Duration, text: impl Into<String>) -> &mut LadderRow {
        self.push(at, LadderWhat::Note(text.into()))
    }

    pub(crate) fn push(&mut self, at: Duration, what: LadderWhat) -> &mut LadderRow {
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
        if self.rows.len() >= LADDER_ROWS_MAX {
            self.rows.drain(..LADDER_ROWS_MAX / 4);
        }
        let row = LadderRow {
            at,
            frame: self.frame,
            is_up: self.is_up,
            what,
            is_saved: false,
            is_stored: false,
            note: String::new(),
        };
        self.rows.push(row);
        self.rows.last_mut().expect("it was pushed")
    }

    /// An own line was written to the disk.
    pub(crate) fn on_saved(&mut self, id: EntryId, text: &Arc<str>, at: Duration) {
        self.own.insert(id, text.clone());
        if !self.is_up {
            let text = sanitize_line(text);
            let note = format!("saved, not sent: \"{text}\" {}", short_id(id));
            self.note(at, note).is_saved = true;
        }
    }

    pub(crate) fn on_missing(&mut self, missing: u64, at: Duration) {
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

    /// Every frame that is under way has this fate.
    pub(crate) fn end_under_way(&mut self, fate: ArrowFate, note: &str) {
        for row in self.rows.iter_mut().filter(|row| row.is_under_way()) {
            row.end_up(fate, note);
        }
    }

    /// The connection ended.
    pub(crate) fn on_ended(&mut self, why: &str, at: Duration) {
        let (fate, note) = self.network.fate_at_end();
        self.end_under_way(fate, note);
        self.is_up = false;
        self.push(at, LadderWhat::Ended(why.to_owned()));
    }

    /// An attempt failed, or the connection ended: why, and the delay before the next attempt.
    /// `is_silent`: nothing was heard, and the connection was given up.
    pub(crate) fn on_backoff(
        &mut self,
        why: &str,
        is_silent: bool,
        wait: Option<Wait>,
        at: Duration,
    ) {
        let why = sanitize_line(why).into_owned();
        if self.is_up {
            self.on_ended(
                if is_silent {
                    "connection given up"
                } else {
                    &why
                },
                at,
            );
            if is_silent && let Some(row) = self.rows.last_mut() {
                row.note = first_words(&why).to_owned();
            }
        } else if let Some(row) = self.rows.iter_mut().rev().find(|row| row.is_wait()) {
            row.note = format!("attempt {}: {}", self.waits, first_words(&why));
        }
        if let Some(wait) = wait {
            self.waits += 1;
            self.push(at, LadderWhat::Waits(wait));
        }
    }
}

/// A cause without its advice, as short as beside a ladder.
fn first_words(cause: &str) -> &str {
    let cause = cause.split(" (").next().unwrap_or(cause);
    cause.strip_prefix("connection ").unwrap_or(cause)
}

impl LadderRow {
    /// The fate of a frame to the server.
    fn end_up(&mut self, fate: ArrowFate, note: &str) {
        if let LadderWhat::Up(arrow) = &mut self.what {
            arrow.fate = fate;
            self.note = note.to_owned();
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
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
