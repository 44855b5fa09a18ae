//! PURE. The composer: what keys change in the text, and how it becomes a message or a command.

use super::action::Action;
use super::app::{Anchor, App, NoticeEnd};
use super::command::{self, too_long};
use super::composer::Composer;
use super::keymap::key_of;
use super::layout::composer_columns;
use super::msg::{self, Effects};
use crate::client::Outcome;
use crate::client::link::LinkState;
use crate::client::session::Command;
use crate::protocol::{Kind, RoomId, sanitize_line};

impl App {
    pub(super) fn on_edit(&mut self, action: Action, effects: &mut Effects) {
        let columns = composer_columns(self);
        let mut edit = |work: &dyn Fn(&mut Composer)| self.edit(work, effects);
        match action {
            Action::Insert(c) => edit(&|composer| composer.insert(c.encode_utf8(&mut [0; 4]))),
            Action::Newline => edit(&|composer| composer.insert("\n")),
            Action::Backspace => edit(&Composer::backspace),
            Action::Delete | Action::DeleteOrQuit => edit(&Composer::delete),
            Action::DeleteWord => edit(&Composer::delete_word),
            Action::DeleteToStart => edit(&Composer::delete_to_start),
            Action::DeleteToEnd => edit(&Composer::delete_to_end),
            Action::Up => edit(&|composer| composer.up(columns)),
            Action::Down => edit(&|composer| composer.down(columns)),
            Action::Left => self.composer_mut().left(),
            Action::Right => self.composer_mut().right(),
            Action::WordLeft => self.composer_mut().word_left(),
            Action::WordRight => self.composer_mut().word_right(),
            Action::Home => self.composer_mut().home(),
            Action::End => self.composer_mut().end(),
            _ => {} // handled by the caller
        }
    }

    pub(super) fn paste(&mut self, text: &str, effects: &mut Effects) {
        self.edit(|composer| composer.paste(text), effects);
    }

    /// Changes the text. It is saved as a draft, so it survives a crash.
    fn edit(&mut self, work: impl FnOnce(&mut Composer), effects: &mut Effects) {
        self.intentions += 1;
        work(self.composer_mut());
        self.notice.take_if(|notice| notice.end == NoticeEnd::Edit);
        if self.is_text_empty() {
            self.notice = None; // it was about the line that is gone
            self.end_editing();
        }
        self.save_draft(effects);
        self.announce_typing(effects);
    }

    fn save_draft(&self, effects: &mut Effects) {
        effects.extend(self.current.map(msg::Effect::SaveDraft));
    }

    /// The text does not replace a rejected message any more.
    fn end_editing(&mut self) {
        let room = self.current;
        self.editing
            .take_if(|(edited_in, _)| Some(*edited_in) == room);
    }

    /// Reports that a message is being typed, if a member may see it.
    fn announce_typing(&mut self, effects: &mut Effects) {
        let is_member = self.room().is_some_and(|room| room.member);
        let Some(room) = self.current.filter(|_| is_member) else {
            return;
        };
        let is_message = self
            .composer()
            .is_some_and(|composer| !composer.is_empty() && !composer.text().starts_with('/'));
        let is_connected = matches!(self.status.link, LinkState::Connected { .. });
        if is_message
            && is_connected
            && let Some(signal) = self.typing.announce(room, self.now)
        {
            effects.push(msg::Effect::Command(Command::Signal(signal)));
        }
    }

    pub(super) fn clear_line(&mut self, effects: &mut Effects) {
        let was_empty = self.is_text_empty();
        let is_changed = self.composer_mut().clear_or_restore();
        self.end_editing();
        match (is_changed, was_empty) {
            (true, false) => {
                self.show_notice(format!(
                    "Cleared. {} again restores it",
                    key_of(Action::ClearLine)
                ));
                self.end_notice_at(NoticeEnd::Edit);
            }
            (true, true) => self.notice = None, // its offer was accepted
            (false, _) => self.show_notice(format!(
                "{}: quit · {}: help",
                key_of(Action::DeleteOrQuit),
                key_of(Action::Help)
            )),
        }
        self.save_draft(effects);
    }

    pub(super) fn complete(&mut self, effects: &mut Effects) {
        let rooms: Vec<String> = self.rooms.iter().map(|room| room.name.clone()).collect();
        let completed = self
            .composer()
            .and_then(|composer| command::complete(composer.text(), &rooms));
        if let Some(completed) = completed {
            self.edit(|composer| composer.set(completed), effects);
        }
    }

    pub(super) fn submit(&mut self, effects: &mut Effects) {
        let Some(composer) = self.composer() else {
            return;
        };
        let text = composer.text().trim_end().to_owned();
        if text.trim().is_empty() || self.submitting.is_some() {
            return;
        }
        self.notice = None;
        match command::parse(&text) {
            Some(Ok(slash)) => {
                self.intentions += 1;
                self.composer_mut().submitted_command();
                self.end_editing();
                self.save_draft(effects);
                self.on_slash(slash, effects);
            }
            Some(Err(reason)) => self.show_error(reason),
            None => match self.addressed(command::message(&text)) {
                Ok(room) => self.send(room, command::message(&text).to_owned(), effects),
                Err(reason) => self.show_error(reason),
            },
        }
    }

    /// The room that a message goes to, or why it cannot be sent.
    fn addressed(&self, body: &str) -> Result<RoomId, String> {
        if let Some(reason) = too_long(body) {
            return Err(reason);
        }
        let Some(room) = self.current else {
            return Err("Not connected yet: your text stays in the composer".into());
        };
        if self.may_speak() {
            return Ok(room);
        }
        let name = self
            .room()
            .map(|room| sanitize_line(&room.name).into_owned())
            .unwrap_or_default();
        Err(format!(
            "You are not in #{name}: /join {name} first. Your text stays in the composer"
        ))
    }

    fn send(&mut self, room: RoomId, body: String, effects: &mut Effects) {
        self.submitting = Some(room);
        let replaces = self.editing.filter(|(edited_in, _)| *edited_in == room);
        effects.push(msg::Effect::Submit {
            room,
            kind: Kind::Message,
            body,
            replaces: replaces.map(|(_, id)| id),
        });
    }

    /// The message is on disk, or is not.
    pub(super) fn on_submitted(&mut self, result: Result<Outcome, String>, effects: &mut Effects) {
        let submitted = self.submitting.take();
        match result {
            Ok(Outcome::Queued) => {
                // Not the composer on screen, since the user may have changed the room.
                if let Some(composer) = self.composers.get_mut(&submitted) {
                    composer.submitted();
                }
                self.editing.take_if(|(room, _)| Some(*room) == submitted);
                self.typing.sent();
                self.log.anchor = Anchor::Bottom;
                self.log.new_after = None;
                effects.push(msg::Effect::Load);
            }
            Ok(Outcome::OutboxFull) => self.show_error(
                "The outbox is full (10,000 messages or 64 MiB). Your text stays in the composer: press Enter again when some are sent",
            ),
            Ok(Outcome::NotFound) => {
                self.editing.take_if(|(room, _)| Some(*room) == submitted);
                self.show_error(
                    "It was retried or deleted meanwhile: Enter sends it as a new message",
                );
            }
            Ok(_) => {}
            Err(reason) => {
                self.show_error(format!("Not saved, your text stays in the composer: {reason}"));
            }
        }
    }
}
