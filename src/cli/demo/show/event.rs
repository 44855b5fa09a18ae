//! PURE. What happens in a show, as one list. Everything that is shown, counted or replayed is
//! computed from it.

use std::sync::Arc;
use std::time::Duration;

use super::part::PartKind;
use crate::chaos::What;
use crate::cli::demo::naive::{NaiveNews, Repair};
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::stage::MyAction;
use crate::client::link::{LinkState, Wait};
use crate::client::store::OwnMark;
use crate::protocol::{EntryId, Seq};
use crate::tui::{FrameWhat, SeenFrame};

/// An event, and when it happened.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// Time since the show began.
    pub(super) at: Duration,
    pub(super) event: ShowEvent,
}

/// What can happen.
#[derive(Clone, Debug)]
pub(super) enum ShowEvent {
    /// An act begins.
    Act(ActBegin),
    /// An event of the act gets its explanation.
    Caption(Caption),
    /// An author pressed Enter, in both chats.
    Typed(TypedLine),
    /// The faulty proxy before Landfall's server.
    Proxy(What),
    /// A frame of the connection behind that proxy.
    Frame(SeenFrame),
    /// The state of that connection, with the delay that was drawn for the next attempt.
    Link(LinkState, Option<Wait>),
    /// What Landfall's screen shows.
    Screen(Arc<LandfallScreen>),
    /// Landfall's screen shows a line that was searched for, and the rows around it.
    Found(Arc<str>, Arc<[ChatRow]>),
    /// The log of Landfall's server, seen over a healthy connection.
    Log(LogChange),
    /// The naive chat, its server and its proxy.
    Naive(NaiveNews),
    /// This was done to both servers.
    Servers(ServerAction),
    /// This was done to the computer or the chat of the faulty side.
    Mine(MyAction),
    /// The live values on the faulty side.
    Gauges(Gauges),
    /// A part did not come to its end; these lines were not on Landfall's server.
    TimeIsUp(Vec<Arc<str>>),
    /// An act ended.
    ActEnded(ActEnd),
}

impl ShowEvent {
    /// The entry that Landfall sends with this event.
    pub(super) const fn sent_entry(&self) -> Option<EntryId> {
        match self {
            Self::Frame(SeenFrame {
                what: FrameWhat::Send { id, .. },
                ..
            }) => Some(*id),
            _ => None,
        }
    }
}

/// A part of the program, such as an act: it is played and counted separately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ActBegin {
    pub(super) kind: PartKind,
    /// From 1.
    pub(super) number: usize,
    pub(super) title: Arc<str>,
    /// The naive chat that plays.
    pub(super) naive: Repair,
    /// Lines of code of its client.
    pub(super) naive_lines: usize,
}

impl ActBegin {
    /// Its kind, number and title, among so many parts.
    pub(super) fn heading(&self, parts: usize) -> String {
        format!("{}{}", self.kind.heading(self.number, parts), self.title)
    }
}

/// The newest live values, by key.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Gauges {
    pub(super) values: Vec<LiveGauge>,
    /// Number of values that newer ones replaced before they were sent.
    pub(super) skipped: u64,
}

/// One live value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LiveGauge {
    pub(super) key: String,
    pub(super) value: String,
    /// When it was sent, on the clock of the show.
    pub(super) sent: Duration,
}

/// How an act ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ActEnd {
    /// Typed lines that are neither in the log nor in an outbox.
    pub(super) lost: Vec<EntryId>,
    /// Entries of the log that are neither on Landfall's screen nor in a marked gap.
    pub(super) unseen: u64,
}

/// Three layers of words about one event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caption {
    /// When its event happened.
    pub(super) since: Duration,
    /// At most six words.
    pub(super) headline: String,
    /// One or two sentences for everybody: at most 98 columns and 25 words.
    pub(super) sentence: String,
    /// For engineers: at most 76 columns.
    pub(super) detail: String,
}

impl Caption {
    /// Whether the picture of this caption begins with an event.
    pub(super) fn begins_with(&self, recorded: &Recorded) -> bool {
        match &recorded.event {
            ShowEvent::Act(_) => false, // the captions of an act follow it
            ShowEvent::Caption(caption) if caption == self => true,
            _ => self.since <= recorded.at,
        }
    }
}

/// A line that was typed into both chats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TypedLine {
    pub(super) author: &'static str,
    pub(super) id: EntryId,
    pub(super) text: Arc<str>,
}

/// What Landfall's screen shows of the room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LandfallScreen {
    /// The newest rows, from old to new.
    pub(super) rows: Vec<ChatRow>,
    /// Number of own messages that are acknowledged.
    pub(super) confirmed: u64,
    /// Own entries that are not acknowledged.
    pub(super) pending: Vec<EntryId>,
    /// Messages that are missing inside the log.
    pub(super) missing: u64,
    /// Messages that the server no longer has, kept here.
    pub(super) kept: usize,
}

impl LandfallScreen {
    /// The message with this text.
    pub(super) fn message(&self, text: &str) -> Option<&ShownMessage> {
        let mut messages = self.rows.iter().filter_map(|row| match row {
            ChatRow::Message(message) => Some(message),
            ChatRow::Gap(_) => None,
        });
        messages.find(|message| &*message.text == text)
    }

    /// Whether a message with this text is shown.
    pub(super) fn shows(&self, text: &str) -> bool {
        self.message(text).is_some()
    }
}

/// One row of the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ChatRow {
    Message(ShownMessage),
    /// Entries that are missing here.
    Gap(u64),
}

impl ChatRow {
    /// The number of a message, once it has one.
    pub(super) const fn seq(&self) -> Option<Seq> {
        match self {
            Self::Message(message) => message.seq,
            Self::Gap(_) => None,
        }
    }
}

/// A message on the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ShownMessage {
    pub(super) id: EntryId,
    /// Its number, once it has one.
    pub(super) seq: Option<Seq>,
    pub(super) author: String,
    pub(super) text: Arc<str>,
    /// The mark of an own message.
    pub(super) mark: Option<OwnMark>,
}

/// A change of the log of Landfall's server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LogChange {
    /// The log was truncated after this seq before the entries were added.
    pub(super) truncated_after: Option<Seq>,
    /// Messages and their texts.
    pub(super) added: Vec<(Seq, EntryId, Arc<str>)>,
    /// The head after the change.
    pub(super) head: Seq,
}
