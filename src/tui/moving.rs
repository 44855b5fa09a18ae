//! PURE. Moving the view: between rooms, through a log, and how that marks messages as read.

use super::app::{Anchor, App, LINES_MAX, LogView, Sought};
use super::items::{Columns, scroll};
use super::layout::areas;
use super::msg::{self, Effects};
use crate::client::session::Command;
use crate::client::store::Line;
use crate::protocol::{RoomId, Seq};

impl App {
    /// Marks the messages on screen as read while the window has the focus and the bottom is shown.
    pub(super) fn mark_read(&mut self, effects: &mut Effects) {
        let Some(room) = self.room() else {
            return;
        };
        let (id, read) = (room.room, room.read);
        let is_seen = self.focused && self.log.anchor == Anchor::Bottom && self.popup.is_none();
        let top = self.log.lines.last().map_or(Seq::ZERO, |line| line.seq);
        if top <= read {
            self.reported_read = None; // should the log be truncated and grow again
        }
        if !is_seen || top <= read || self.reported_read == Some((id, top)) {
            return;
        }
        self.reported_read = Some((id, top));
        effects.push(msg::Effect::Command(Command::Read { room: id, seq: top }));
    }

    pub(super) fn go_to(&mut self, room: RoomId, effects: &mut Effects) {
        if self.current.is_none() {
            self.adopt_early_text(room);
        }
        self.intentions += 1;
        self.current = Some(room);
        self.log = LogView {
            at_end: true,
            ..LogView::default()
        };
        self.log.new_after = self.room().filter(|row| row.unread > 0).map(|row| row.read);
        effects.push(msg::Effect::Command(Command::Focus(room)));
        effects.push(msg::Effect::Load);
    }

    /// Goes to the next or a previous room of the list.
    pub(super) fn step_room(&mut self, step: isize, effects: &mut Effects) {
        let count = self.rooms.len() as isize;
        let Some(at) = self.current_index().filter(|_| count > 1) else {
            return;
        };
        let next = (at as isize + step).rem_euclid(count) as usize;
        self.go_to(self.rooms[next].room, effects);
    }

    pub(super) fn next_unread(&mut self, effects: &mut Effects) {
        let at = self.current_index().unwrap_or(0);
        let mut after = self
            .rooms
            .iter()
            .cycle()
            .skip(at + 1)
            .take(self.rooms.len());
        match after.find(|room| room.unread > 0).map(|room| room.room) {
            Some(next) => self.go_to(next, effects),
            None => self.show_notice("No unread messages"),
        }
    }

    /// The place of the room on screen in the list.
    fn current_index(&self) -> Option<usize> {
        self.rooms
            .iter()
            .position(|room| Some(room.room) == self.current)
    }

    /// Shows a room, with one line of it in the middle.
    pub(super) fn go_to_line(&mut self, room: RoomId, seq: Seq, effects: &mut Effects) {
        self.go_to(room, effects);
        self.log.anchor = Anchor::At(seq, 0);
        self.log.sought = Some(Sought {
            seq,
            is_placed: false,
        });
    }

    /// Number of rows of the log on screen.
    pub(super) fn log_rows(&self) -> usize {
        areas(self).log.height.into()
    }

    /// Rows of a page, less two that stay in view.
    pub(super) fn page_rows(&self) -> isize {
        self.log_rows().saturating_sub(2) as isize
    }

    /// Scrolls up by `rows`; negative values scroll down.
    pub(super) fn scroll_by(&mut self, rows: isize, effects: &mut Effects) {
        let columns = Columns::of(areas(self).log.width.into());
        let (anchor, near_start) = scroll(self, rows, columns, self.log_rows());
        self.log.anchor = anchor;
        if rows > 0 && near_start {
            self.load_earlier(effects);
        } else if rows < 0 && !self.log.at_end {
            effects.push(msg::Effect::LoadLater);
        } else {
            self.mark_read(effects);
        }
    }

    /// From the store as long as it has older lines, then from the server.
    fn load_earlier(&self, effects: &mut Effects) {
        if !self.log.at_start {
            effects.push(msg::Effect::LoadEarlier);
        } else if let Some(room) = self.room().filter(|room| room.bottom > Seq(1)) {
            effects.push(msg::Effect::Command(Command::FetchBefore(room.room)));
        }
    }

    pub(super) fn go_to_bottom(&mut self, effects: &mut Effects) {
        self.log.anchor = Anchor::Bottom;
        if self.log.at_end {
            self.mark_read(effects);
        } else {
            effects.push(msg::Effect::Load);
        }
    }

    pub(super) fn on_earlier(&mut self, mut lines: Vec<Line>) {
        if lines.is_empty() {
            self.log.at_start = true;
            return;
        }
        lines.append(&mut self.log.lines);
        self.log.at_end &= lines.len() <= LINES_MAX;
        lines.truncate(LINES_MAX);
        debug_assert!(lines.is_sorted_by(|one, next| one.seq < next.seq));
        self.log.lines = lines;
    }

    pub(super) fn on_later(&mut self, lines: Vec<Line>) {
        self.log.at_end = lines.is_empty();
        self.log.lines.extend(lines);
        debug_assert!(self.log.lines.is_sorted_by_key(|line| line.seq));
        let surplus = self.log.lines.len().saturating_sub(LINES_MAX);
        self.log.lines.drain(..surplus);
        self.log.at_start &= surplus == 0;
    }
}
