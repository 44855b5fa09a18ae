//! All state of the screen. Its view of the chat comes from the store, and is not a copy that could
//! become stale.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::composer::Composer;
use super::inspector::Inspector;
use super::msg::Intention;
use super::popups::Popup;
use super::theme::Theme;
use super::typing::Typing;
use crate::client::link::{LinkState, Now};
use crate::client::session::Status;
use crate::client::store::{Line, Mine, OutboxCounts, OwnMark, Pending, RoomRow};
use crate::protocol::{EntryId, Kind, RoomId, Seq};

/// Lines read at a time.
pub(crate) const PAGE_LINES: usize = 200;
/// Lines that are loaded; more are read again when the user scrolls there.
pub(crate) const LINES_MAX: usize = 1_200;
/// Maximum pending messages shown in one room.
pub(crate) const PENDING_MAX: usize = 200;
/// Maximum results of a search.
pub(crate) const HITS_MAX: usize = 100;
/// Duration of a notice, ms.
pub(crate) const NOTICE_MS: u64 = 8_000;

/// State of the whole screen.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) theme: Theme,
    pub(crate) zone: TimeZone,
    pub(crate) me: Mine,
    pub(crate) rooms: Vec<RoomRow>,
    pub(crate) current: Option<RoomId>,
    pub(crate) log: LogView,
    /// One for each room. `None`: text that was typed before there was a room.
    pub(crate) composers: BTreeMap<Option<RoomId>, Composer>,
    pub(crate) status: Status,
    pub(crate) counts: OutboxCounts,
    pub(crate) notice: Option<Notice>,
    pub(crate) popup: Option<Popup>,
    pub(crate) inspector: Option<Inspector>,
    pub(crate) typing: Typing,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// Whether the terminal's window has the focus; terminals that do not report it always have it.
    pub(crate) focused: bool,
    /// The session's clock: link states contain times of it.
    pub(crate) now: Now,
    /// The time, ms since 1970.
    pub(crate) wall: u64,
    /// The room whose composed text is being saved; its composer is cleared once that is done.
    pub(crate) submitting: Option<RoomId>,
    /// The rejected entry whose text is being edited, with its room. It is kept until the new text
    /// is on disk.
    pub(crate) editing: Option<(RoomId, EntryId)>,
    /// Counts the user's changes of text and view. The reply to an earlier request then
    /// changes neither.
    pub(crate) intentions: u64,
    /// The room to show once the account is a member.
    pub(crate) going_to: Option<Intention>,
    /// The room that the account is leaving; once it has, another room is shown.
    pub(crate) leaving: Option<Intention>,
    /// The room and seq that were last reported as read.
    pub(crate) reported_read: Option<(RoomId, Seq)>,
    /// The device had no account yet when this screen began; not known before the first look into the
    /// store.
    pub(crate) is_new: Option<bool>,
}

/// The loaded part of a room's log.
#[derive(Debug, Default)]
pub(crate) struct LogView {
    pub(crate) lines: Vec<Line>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) gaps: Vec<(Seq, u64)>,
    pub(crate) aside: usize,
    pub(crate) anchor: Anchor,
    /// A line that was searched for: it is brought to the middle when it is loaded, and is highlighted.
    pub(crate) sought: Option<Sought>,
    /// Where the 'new' line is.
    pub(crate) new_after: Option<Seq>,
    /// Nothing older is stored.
    pub(crate) at_start: bool,
    /// Whether the newest line is loaded.
    pub(crate) at_end: bool,
}

/// A line that was found by a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sought {
    pub(crate) seq: Seq,
    /// Whether the view has been centred on it.
    pub(crate) is_placed: bool,
}

/// The line at the bottom edge of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Anchor {
    /// The latest line.
    #[default]
    Bottom,
    /// This line, with this many of its rows below the edge.
    At(Seq, usize),
}

/// A message of one line to the user.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) is_error: bool,
    pub(crate) end: NoticeEnd,
    /// When it disappears, ms since 1970.
    pub(crate) until: u64,
}

/// What makes a notice untrue before its time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoticeEnd {
    Never,
    /// The next connection.
    Connected,
    /// A change of the text in the composer.
    Edit,
}

impl App {
    pub(crate) fn new(theme: Theme, zone: TimeZone, status: Status) -> Self {
        Self {
            theme,
            zone,
            me: Mine::default(),
            rooms: Vec::new(),
            current: None,
            log: LogView {
                at_end: true,
                ..LogView::default()
            },
            composers: BTreeMap::new(),
            status,
            counts: OutboxCounts::default(),
            notice: None,
            popup: None,
            inspector: None,
            typing: Typing::default(),
            size: (80, 24),
            focused: true,
            now: Now::ZERO,
            wall: 0,
            submitting: None,
            editing: None,
            intentions: 0,
            going_to: None,
            leaving: None,
            reported_read: None,
            is_new: None,
        }
    }

    pub(crate) fn room(&self) -> Option<&RoomRow> {
        self.rooms
            .iter()
            .find(|room| Some(room.room) == self.current)
    }

    /// Notes that the user wants something of a room now.
    pub(crate) const fn intention(&self, room: RoomId) -> Intention {
        Intention {
            room,
            count: self.intentions,
        }
    }

    /// Whether the user has neither typed nor changed the room since this intention.
    pub(crate) const fn is_last(&self, intention: Intention) -> bool {
        intention.count == self.intentions
    }

    /// Whether a message to the room on screen can be sent: the account is a member, or about to be.
    pub(crate) fn may_speak(&self) -> bool {
        let is_joining =
            |pending: &Pending| pending.kind == Kind::Join && pending.rejection.is_none();
        self.room().is_some_and(|room| room.member) || self.log.pending.iter().any(is_joining)
    }

    /// The composer of the room on screen.
    pub(crate) fn composer(&self) -> Option<&Composer> {
        self.composers.get(&self.current)
    }

    pub(crate) fn composer_mut(&mut self) -> &mut Composer {
        self.composers.entry(self.current).or_default()
    }

    /// Whether there is no text in the composer.
    pub(crate) fn is_text_empty(&self) -> bool {
        self.composer().is_none_or(Composer::is_empty)
    }

    /// Text that was typed before there was a room goes to the first one.
    pub(crate) fn adopt_early_text(&mut self, room: RoomId) {
        if let Some(early) = self.composers.remove(&None)
            && !early.is_empty()
        {
            self.composers.insert(Some(room), early);
        }
    }

    pub(crate) fn show_notice(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            is_error: false,
            end: NoticeEnd::Never,
            until: self.wall + NOTICE_MS,
        });
    }

    pub(crate) fn show_error(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            is_error: true,
            end: NoticeEnd::Never,
            until: self.wall + 2 * NOTICE_MS,
        });
    }

    /// Lets the current notice end early.
    pub(crate) fn end_notice_at(&mut self, end: NoticeEnd) {
        if let Some(notice) = &mut self.notice {
            notice.end = end;
        }
    }

    /// Number of users who are typing in the room on screen.
    pub(crate) fn typing_count(&self) -> usize {
        self.current
            .map_or(0, |room| self.typing.in_room(room, self.now).count())
    }

    /// Returns the names of the users who are typing in the room on screen, as its log has them.
    pub(crate) fn typing_here(&self) -> Vec<&str> {
        let Some(room) = self.current else {
            return Vec::new();
        };
        let name = |who| {
            self.log
                .lines
                .iter()
                .rev()
                .find(|line| line.author == who)
                .map(|line| line.name.as_str())
        };
        self.typing
            .in_room(room, self.now)
            .map(|who| name(who).unwrap_or("a member"))
            .collect()
    }

    /// Returns the latest rejected message of the room on screen.
    pub(crate) fn last_rejected(&self) -> Option<&Pending> {
        self.log
            .pending
            .iter()
            .rev()
            .find(|pending| pending.mark == OwnMark::Rejected)
    }

    /// Returns after how many ms the screen changes without an input; `None` at rest.
    pub(crate) fn counts_down_in(&self) -> Option<u64> {
        let countdown = match &self.status.link {
            LinkState::Backoff { until, .. } => {
                let left = until.saturating_sub(self.now).as_millis() as u64;
                Some(left % 1_000 + 1)
            }
            LinkState::Connecting { .. }
            | LinkState::Resyncing { .. }
            | LinkState::Connected { .. }
            | LinkState::Offline { .. } => None,
        };
        let age = self.counts.oldest.map(|_| 1_000);
        let inspected = self
            .inspector
            .as_ref()
            .map(|inspector| inspector.counts_down_in());
        let notice = self
            .notice
            .as_ref()
            .map(|notice| notice.until.saturating_sub(self.wall) + 1);
        let typing = self
            .typing
            .changes_in(self.now)
            .map(|left| left.as_millis() as u64 + 1);
        [countdown, age, notice, inspected, typing]
            .into_iter()
            .flatten()
            .min()
    }
}
