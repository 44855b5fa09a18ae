//! PURE. The inspector: its content and its keys. The driver fills it with snapshots of the
//! session, the store and the frames; `view/inspector` draws it.

mod keys;
mod ladder;
mod timeline;

pub(super) use self::timeline::{HOUR_MS, PastState, columns, stretches};

use super::ladder::{Ladder, LadderRow};
use crate::client::TracedFrame;
use crate::client::link::Timers;
use crate::client::session::Details;
use crate::client::store::{JournalRow, Pending};

/// The pages of the inspector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum InspectorPage {
    /// Link state, timers, numbers, the last hour.
    #[default]
    Link,
    Outbox,
    /// The stored ranges of each room.
    Rooms,
    Frames,
    /// Frames and states as a sequence diagram.
    Ladder,
}

impl InspectorPage {
    pub(crate) const ALL: [Self; 5] = [
        Self::Link,
        Self::Outbox,
        Self::Rooms,
        Self::Frames,
        Self::Ladder,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Outbox => "outbox",
            Self::Rooms => "rooms",
            Self::Frames => "frames",
            Self::Ladder => "ladder",
        }
    }
}

/// State of the open inspector.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    pub(crate) page: InspectorPage,
    /// Whether keys go to the inspector and not to the composer.
    pub(crate) focused: bool,
    /// The latest snapshot.
    pub(crate) look: InspectorSnapshot,
    /// The rows of the last page, of the latest snapshot.
    pub(crate) ladder: Ladder,
    /// The selected row, counted from the newest frame or row of the ladder, or from the first pending
    /// message.
    pub(crate) selected: usize,
    /// Only frames that contain this are shown.
    pub(crate) filter: String,
    /// Whether the user is typing the filter.
    pub(crate) is_filtering: bool,
    /// The frames at the moment when the list was paused.
    pub(crate) paused: Option<Vec<TracedFrame>>,
    /// Whether the selected frame is shown completely.
    pub(crate) is_whole: bool,
    /// The message that is discarded if the key is pressed again.
    pub(crate) confirming_discard: Option<crate::protocol::EntryId>,
}

/// The content at one instant.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct InspectorSnapshot {
    /// The session's internal state; none while this process has no connection.
    pub(crate) details: Option<Box<Details>>,
    /// Bytes sent and received.
    pub(crate) traffic: (u64, u64),
    /// The latest frames, oldest first.
    pub(crate) frames: Vec<TracedFrame>,
    /// The outbox of all rooms, in typed order.
    pub(crate) outbox: Vec<Pending>,
    /// The newest lines of the journal, oldest first.
    pub(crate) journal: Vec<JournalRow>,
}

impl Inspector {
    /// Returns the frames of this moment, or of that of the pause, oldest first.
    fn all_frames(&self) -> &[TracedFrame] {
        self.paused.as_ref().unwrap_or(&self.look.frames)
    }

    /// Returns the frames that the filter lets through, oldest first.
    pub(crate) fn frames(&self) -> Vec<&TracedFrame> {
        let frames = self.all_frames();
        let filter = self.filter.to_lowercase();
        frames
            .iter()
            .filter(|frame| filter.is_empty() || frame.text.to_lowercase().contains(&filter))
            .collect()
    }

    /// Returns the selected frame; the selection is counted from the newest.
    pub(crate) fn frame(&self) -> Option<&TracedFrame> {
        let frames = self.frames();
        frames
            .get(frames.len().checked_sub(1 + self.selected)?)
            .copied()
    }

    /// Replaces the snapshot, and keeps the selected row.
    pub(crate) fn on_snapshot(&mut self, look: InspectorSnapshot) {
        let selected = self
            .frame()
            .filter(|_| self.page == InspectorPage::Frames && self.selected > 0)
            .map(|frame| frame.n);
        self.look = look;
        self.draw_ladder();
        if let Some(n) = selected {
            self.selected = self
                .frames()
                .iter()
                .rev()
                .position(|frame| frame.n <= n)
                .unwrap_or(0);
        }
        self.selected = self.selected.min(self.count().saturating_sub(1));
    }

    /// Returns the selected row of the ladder; the selection is counted from the newest.
    fn ladder_row(&self) -> Option<&LadderRow> {
        let rows = &self.ladder.rows;
        rows.get(rows.len().checked_sub(1 + self.selected)?)
    }

    /// Draws the ladder anew, if its page is shown, and keeps the selected row.
    fn draw_ladder(&mut self) {
        if self.page != InspectorPage::Ladder {
            return;
        }
        let selected = self.ladder_row().filter(|_| self.selected > 0);
        let newer_than = |rows: &[LadderRow], at| rows.iter().filter(|row| row.at > at).count();
        // its time, and its place among the rows of that time
        let kept = selected.map(|row| {
            (
                row.at,
                self.selected - newer_than(&self.ladder.rows, row.at),
            )
        });
        self.ladder = ladder::ladder(self.all_frames(), &self.look.journal);
        if let Some((at, place)) = kept {
            self.selected = newer_than(&self.ladder.rows, at) + place;
        }
    }

    /// Returns after how many ms the inspector changes without an input: each second while a timer
    /// runs, else with the timeline.
    pub(crate) fn counts_down_in(&self) -> u64 {
        let timers = self.look.details.as_ref().map(|details| &details.timers);
        let runs = |timers: &Timers| {
            timers.pong_by.is_some()
                || timers.waiting_since.is_some()
                || timers.handshake_by.is_some()
        };
        if timers.is_some_and(runs) {
            1_000
        } else {
            HOUR_MS / 60
        }
    }

    /// Number of rows that can be selected.
    fn count(&self) -> usize {
        match self.page {
            InspectorPage::Link => 0,
            InspectorPage::Outbox => self.look.outbox.len(),
            InspectorPage::Rooms => self
                .look
                .details
                .as_ref()
                .map_or(0, |details| details.rooms.len()),
            InspectorPage::Frames => self.frames().len(),
            InspectorPage::Ladder => self.ladder.rows.len(),
        }
    }
}
