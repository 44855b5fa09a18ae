//! PURE. The decisions of the screen: how each input changes its state, and the resulting effects.

use super::action::Action;
use super::app::{App, NoticeEnd};
use super::composer::Composer;
use super::keymap::{self, Context};
use super::layout::areas;
use super::msg::{self, Effects, Intention, Snapshot};
use super::popups::{Popup, PopupStep};
use crate::client::counted;
use crate::client::link::{LinkPhase, LinkState};
use crate::client::session::{Command, Status};
use crate::client::{Cause, Outcome};
use crate::protocol::{RoomId, Seq, sanitize_line};

impl App {
    /// Processes one input and adds the resulting effects to `effects`.
    pub(crate) fn update(&mut self, input: msg::Input, effects: &mut Effects) {
        match input {
            msg::Input::Key(key) => {
                if let Some(action) = keymap::action(key, self.context()) {
                    self.on_key_action(action, effects);
                }
            }
            msg::Input::Paste(text) => match &mut self.popup {
                Some(popup) if popup.takes_text() => popup.paste(&text, effects),
                Some(_) | None => self.paste(&text, effects),
            },
            msg::Input::Resized(columns, rows) => self.size = (columns, rows),
            msg::Input::Focused(focused) => {
                self.focused = focused;
                self.mark_read(effects);
            }
            msg::Input::Status(status) => self.on_status(*status),
            msg::Input::Loaded(snapshot) => self.on_loaded(*snapshot, effects),
            msg::Input::Earlier(lines) => self.on_earlier(lines),
            msg::Input::Later(lines) => self.on_later(lines),
            msg::Input::Found(hits) => {
                if let Some(Popup::Find(find)) = &mut self.popup {
                    find.on_found(hits);
                }
            }
            msg::Input::Submitted(result) => self.on_submitted(result, effects),
            msg::Input::Wrote(result) => self.on_wrote(result),
            msg::Input::Answered(asked, answer) => self.on_answered(asked, answer, effects),
            msg::Input::Typing(signal) => {
                if let Some(who) = signal.account.filter(|who| Some(*who) != self.me.account) {
                    self.typing.heard(signal.room, who, self.now);
                }
            }
            msg::Input::Inspected(look) => {
                if let Some(inspector) = &mut self.inspector {
                    inspector.on_snapshot(*look);
                }
            }
        }
    }

    /// Returns the context in which a key is looked up.
    fn context(&self) -> Context {
        match &self.inspector {
            Some(inspector) if self.popup.is_none() => inspector.context(),
            Some(_) | None => Context::Chat,
        }
    }

    fn on_key_action(&mut self, action: Action, effects: &mut Effects) {
        if self.popup.is_some() {
            self.in_popup(action, effects);
        } else if !self.act_in_inspector(action, effects) {
            self.on_action(action, effects);
        }
    }

    fn on_action(&mut self, action: Action, effects: &mut Effects) {
        match action {
            Action::Submit => self.submit(effects),
            Action::Complete => self.complete(effects),
            Action::ClearLine => self.clear_line(effects),
            Action::EditRejected => self.edit_rejected(effects),
            Action::PageUp => self.scroll_by(self.page_rows(), effects),
            Action::PageDown => self.scroll_by(-self.page_rows(), effects),
            Action::ScrollUp => self.scroll_by(1, effects),
            Action::ScrollDown => self.scroll_by(-1, effects),
            Action::ToBottom => self.go_to_bottom(effects),
            Action::Escape => {
                self.log.new_after = None;
                self.log.sought = None;
                self.notice = None;
                self.go_to_bottom(effects);
            }
            Action::NextRoom => self.step_room(1, effects),
            Action::PreviousRoom => self.step_room(-1, effects),
            Action::NextUnread => self.next_unread(effects),
            Action::PickRoom => self.popup = Some(Popup::room_picker()),
            Action::Find => self.popup = Some(Popup::find()),
            Action::Help => self.popup = Some(Popup::help()),
            Action::Inspect => self.toggle_inspector(effects),
            Action::RetryNow => effects.push(msg::Effect::Command(Command::RetryNow)),
            Action::Redraw => effects.push(msg::Effect::Redraw),
            Action::Suspend => effects.push(msg::Effect::Suspend),
            Action::Quit => effects.push(msg::Effect::Quit),
            Action::DeleteOrQuit if self.is_text_empty() => effects.push(msg::Effect::Quit),
            _ => self.on_edit(action, effects),
        }
    }

    /// Handles a key while a popup is open. Global keys work there too.
    fn in_popup(&mut self, action: Action, effects: &mut Effects) {
        match action {
            Action::Quit | Action::DeleteOrQuit => return effects.push(msg::Effect::Quit),
            Action::Suspend => return effects.push(msg::Effect::Suspend),
            Action::Redraw => return effects.push(msg::Effect::Redraw),
            _ => {}
        }
        let Some(mut popup) = self.popup.take() else {
            return;
        };
        let step = match action {
            Action::Escape | Action::ClearLine => PopupStep::Close,
            _ => {
                let space = areas(self).popup_space();
                popup.on_action(action, &self.rooms, space, effects)
            }
        };
        match step {
            PopupStep::Stay => self.popup = Some(popup),
            PopupStep::Close => {
                self.mark_read(effects);
                // Typing over it loses no letter; `q` closes, as in a pager.
                if matches!(action, Action::Insert(letter) if letter != 'q') {
                    self.on_action(action, effects);
                }
            }
            PopupStep::GoTo(room) => self.go_to(room, effects),
            PopupStep::GoToLine(room, seq) => self.go_to_line(room, seq, effects),
        }
    }

    fn on_status(&mut self, status: Status) {
        let was = self.status.link.phase();
        let is = status.link.phase();
        if was == LinkPhase::Connected && is == LinkPhase::Backoff {
            self.show_notice("Connection lost. Messages are saved on this computer and sent later · Ctrl-R: reconnect now");
            self.end_notice_at(NoticeEnd::Connected);
        } else if was != LinkPhase::Offline
            && let LinkState::Offline {
                why: why @ Cause::GaveUp { .. },
            } = &status.link
        {
            let waiting = self.counts.queued + self.counts.unacked;
            let saved = match waiting {
                0 => String::new(),
                n => format!("; {} saved here", counted(n, "message is", "messages are")),
            };
            let key = keymap::key_of(Action::RetryNow);
            let text = format!("{why}{saved} ({key}: reconnect now)");
            self.show_error(sanitize_line(&text).into_owned());
            self.end_notice_at(NoticeEnd::Connected);
        } else if is == LinkPhase::Connected {
            self.notice
                .take_if(|notice| notice.end == NoticeEnd::Connected);
        }
        self.status = status;
    }

    fn on_loaded(&mut self, snapshot: Snapshot, effects: &mut Effects) {
        let loaded_room = snapshot.room;
        self.take_over(&snapshot);
        self.rooms = snapshot.rooms;
        if let Some(room) = self.room_to_go_to() {
            return self.go_to(room, effects);
        }
        if self.room().is_none() {
            return;
        }
        if loaded_room != self.current {
            return effects.push(msg::Effect::Load);
        }
        let seen = self.log.lines.last().map(|line| line.seq);
        debug_assert!(
            snapshot.lines.is_sorted_by(|one, next| one.seq < next.seq),
            "lines are in the order of the log"
        );
        self.log.lines = snapshot.lines;
        self.end_typing_after(seen);
        self.log.pending = snapshot.pending;
        self.log.gaps = snapshot.gaps;
        self.log.aside = snapshot.aside;
        self.log.at_start = snapshot.at_start;
        self.log.at_end = snapshot.at_end;
        if let Some(sought) = self.log.sought.as_mut().filter(|sought| !sought.is_placed) {
            sought.is_placed = true;
            return self.scroll_by(-((self.log_rows() / 2) as isize), effects);
        }
        self.mark_read(effects);
    }

    /// Updates the user, the counts, and the drafts of new rooms.
    fn take_over(&mut self, snapshot: &Snapshot) {
        self.me = snapshot.me.clone();
        let is_enrolled = self.me.account.is_some();
        if *self.is_new.get_or_insert(!is_enrolled) && is_enrolled {
            self.is_new = Some(false);
            self.show_notice(format!(
                "You are \"{}\". Change it with /nick NAME · {}: help",
                sanitize_line(&self.me.name),
                keymap::key_of(Action::Help)
            ));
        }
        self.counts = snapshot.counts;
        for room in &snapshot.rooms {
            self.composers.entry(Some(room.room)).or_insert_with(|| {
                let mut composer = Composer::default();
                composer.set(room.draft.clone());
                composer
            });
        }
    }

    /// Returns the room to switch to after a load: the one just joined; else another one, if the one on
    /// screen was left; else the first, if none is on screen.
    fn room_to_go_to(&mut self) -> Option<RoomId> {
        if let Some(joined) = self.room_after_join() {
            return Some(joined);
        }
        if let Some(other) = self.room_after_leave() {
            return Some(other);
        }
        match self.room() {
            Some(_) => None,
            None => self.rooms.first().map(|room| room.room),
        }
    }

    /// Once the account is a member of the room that the user joined last: returns it, or shows a notice
    /// if the user has done something else since.
    fn room_after_join(&mut self) -> Option<RoomId> {
        let rooms = &self.rooms;
        let is_in = |wanted: &mut Intention| {
            let mut own = rooms.iter().filter(|room| room.member);
            own.any(|room| room.room == wanted.room)
        };
        let wanted = self.going_to.take_if(is_in)?;
        if self.is_last(wanted) {
            return Some(wanted.room);
        }
        let name = self
            .rooms
            .iter()
            .find(|room| room.room == wanted.room)
            .map(|room| sanitize_line(&room.name).into_owned())
            .unwrap_or_default();
        self.show_notice(format!("You joined #{name}: /join {name} opens it"));
        None
    }

    /// Once the account has left the room that the user left last: returns another room to show, if that
    /// one is still on screen.
    fn room_after_leave(&mut self) -> Option<RoomId> {
        let rooms = &self.rooms;
        let is_left = |left: &mut Intention| {
            let mut others = rooms.iter().filter(|room| !room.member);
            others.any(|room| room.room == left.room)
        };
        let left = self.leaving.take_if(is_left)?;
        let is_shown = self.is_last(left) && self.current == Some(left.room);
        let other = self.rooms.iter().find(|room| room.member)?;
        is_shown.then_some(other.room)
    }

    /// Ends the typing notices of the authors of new messages.
    fn end_typing_after(&mut self, seen: Option<Seq>) {
        let (Some(room), Some(seen)) = (self.current, seen) else {
            return;
        };
        let new = self.log.lines.iter().rev();
        for line in new.take_while(|line| line.seq > seen) {
            self.typing.on_message(room, line.author);
        }
    }

    fn on_wrote(&mut self, result: Result<Outcome, String>) {
        match result {
            Ok(Outcome::NotFound) => self.show_notice("Nothing to retry or discard"),
            Ok(Outcome::OutboxFull) => {
                self.show_error("The outbox is full: try again when some messages were sent");
            }
            Ok(_) => {}
            Err(reason) => self.show_error(reason),
        }
    }
}
