//! PURE. The slash commands, the keys for rejected messages, and the server's replies to them.

use super::app::App;
use super::command::{RoomSlash, Slash};
use super::msg::{self, Ask, Effects, Intention, ServerQuestion};
use super::popups::Popup;
use crate::client::session::Command;
use crate::client::store::{OwnMark, Pending};
use crate::client::{Cause, Write};
use crate::protocol::{Answer, Kind, Op, RoomId, sanitize_line};

impl App {
    pub(super) fn on_slash(&mut self, slash: Slash, effects: &mut Effects) {
        match slash {
            Slash::Offline => {
                effects.push(msg::Effect::Command(Command::GoOffline(Cause::Person)));
            }
            Slash::Online => effects.push(msg::Effect::Command(Command::GoOnline)),
            Slash::Quit => effects.push(msg::Effect::Quit),
            Slash::Help => self.popup = Some(Popup::help()),
            Slash::OfRoom(slash) => match self.room().map(|room| (room.room, room.name.clone())) {
                Some((room, name)) => self.on_room_slash(slash, room, name, effects),
                None => self
                    .show_error("Not connected yet: your rooms appear with the first connection"),
            },
        }
    }

    /// A command about the room on screen, whose name this is.
    fn on_room_slash(
        &mut self,
        slash: RoomSlash,
        room: RoomId,
        name: String,
        effects: &mut Effects,
    ) {
        match slash {
            RoomSlash::Join(wanted) => self.join(wanted, room, effects),
            RoomSlash::Create { name, topic } => {
                let by = self.intention(room);
                effects.push(msg::Effect::Ask(Ask::Create { name, topic, by }));
            }
            RoomSlash::Leave | RoomSlash::Topic(_) if !self.may_speak() => {
                self.show_error(format!("You are not in #{name}"));
            }
            RoomSlash::Leave => {
                self.leaving = Some(self.intention(room));
                self.show_notice(format!(
                    "Leaving #{name}; its history stays on this computer"
                ));
                effects.push(enqueue(room, Kind::Leave, String::new()));
            }
            RoomSlash::Nick(name) if name == self.me.name => {
                self.show_notice(format!("Your name is {name} already"));
            }
            RoomSlash::Nick(name) => self.rename(name, room, effects),
            RoomSlash::Topic(topic) => effects.push(enqueue(room, Kind::Topic, topic)),
            RoomSlash::ShowTopic => {
                let topic = self
                    .room()
                    .map(|room| sanitize_line(&room.topic).into_owned())
                    .filter(|topic| !topic.is_empty());
                let none = || format!("#{name} has no topic. Set one with /topic TEXT");
                self.show_notice(topic.unwrap_or_else(none));
            }
            RoomSlash::Who => {
                let by = self.intention(room);
                effects.push(msg::Effect::Ask(Ask::Who { name, by }));
            }
            RoomSlash::Retry => self.retry(effects),
            RoomSlash::Discard => self.discard(effects),
        }
    }

    /// Joins a known room without asking the server, offline too. Cancels a pending leave.
    fn join(&mut self, name: String, from: RoomId, effects: &mut Effects) {
        let known = self
            .rooms
            .iter()
            .find(|room| room.name.eq_ignore_ascii_case(&name));
        let Some((known, is_in)) = known.map(|known| (known.room, known.will_be_member())) else {
            let by = self.intention(from);
            return effects.push(msg::Effect::Ask(Ask::Find { name, by }));
        };
        self.leaving.take_if(|leaving| leaving.room == known);
        if !is_in {
            effects.push(enqueue(known, Kind::Join, String::new()));
        }
        self.go_to(known, effects);
    }

    /// A name belongs to the account, and not to a room: any room that the account is in will do.
    fn rename(&mut self, name: String, room: RoomId, effects: &mut Effects) {
        let own = || self.rooms.iter().filter(|row| row.member);
        let is_in = own().any(|row| row.room == room);
        let room = Some(room)
            .filter(|_| is_in)
            .or_else(|| own().next().map(|row| row.room));
        match room {
            Some(room) => effects.push(enqueue(room, Kind::Rename, name)),
            None => self.show_error("Join a room first: /join ROOM"),
        }
    }

    fn retry(&mut self, effects: &mut Effects) {
        let rejected = self
            .log
            .pending
            .iter()
            .filter(|pending| pending.rejection.is_some());
        let before = effects.len();
        effects.extend(rejected.map(|pending| {
            let id = Some(pending.id);
            msg::Effect::Write(Write::Retry { id })
        }));
        if effects.len() == before {
            self.show_notice(self.nothing_here("Nothing to retry"));
        }
    }

    /// The newest rejected message goes first, then the newest pending one.
    fn discard(&mut self, effects: &mut Effects) {
        let waiting = || {
            let mut newest = self.log.pending.iter().rev();
            newest.find(|pending| !pending.discarded && pending.kind != Kind::Redaction)
        };
        match self
            .last_rejected()
            .or_else(waiting)
            .map(|pending| pending.id)
        {
            Some(found) => effects.push(msg::Effect::Discard(found)),
            None => self.show_notice(self.nothing_here("Nothing to discard")),
        }
    }

    /// The text of a rejected message goes into the composer. It is kept here as well, until its
    /// replacement is on disk.
    pub(super) fn edit_rejected(&mut self, effects: &mut Effects) {
        let is_message =
            |pending: &&Pending| pending.mark == OwnMark::Rejected && pending.kind == Kind::Message;
        let Some(rejected) = self.log.pending.iter().rev().find(is_message) else {
            return self.show_notice(self.nothing_here("No rejected message to edit"));
        };
        let (id, room, body) = (rejected.id, rejected.room, rejected.body.clone());
        if !self.is_text_empty() {
            return self
                .show_error("Send or clear the composer first: the rejected text goes there");
        }
        self.composer_mut().set(body);
        self.editing = Some((room, id));
        self.show_notice("Enter sends this text instead of the rejected one");
        effects.push(msg::Effect::SaveDraft(room));
    }

    /// Reports that there is nothing in this room, and which room has something: the bar counts the
    /// rejections of all rooms.
    fn nothing_here(&self, nothing: &str) -> String {
        let elsewhere = self
            .rooms
            .iter()
            .find(|room| room.has_rejected && Some(room.room) != self.current);
        let hint = elsewhere.map_or_else(String::new, |room| {
            format!(" · see #{}", sanitize_line(&room.name))
        });
        format!("{nothing} in this room{hint}")
    }

    pub(super) fn on_answered(
        &mut self,
        asked: ServerQuestion,
        answer: Result<Answer, String>,
        effects: &mut Effects,
    ) {
        match (asked, answer) {
            (ServerQuestion::Enter(by), Err(reason)) => {
                self.composers.entry(Some(by.room)).or_default().take_back();
                self.show_error(format!("{reason} (your command is back in the composer)"));
            }
            (ServerQuestion::Who(..), Err(reason)) => self.show_error(reason),
            (ServerQuestion::Enter(by), Ok(Answer::Room(info))) => {
                let room = info.room;
                self.going_to = Some(Intention { room, ..by });
                self.show_notice(format!("Joining #{}", sanitize_line(&info.name)));
                effects.push(enqueue(room, Kind::Join, String::new()));
            }
            // A list that opens late would take the keys of the text that the user is typing by now.
            (ServerQuestion::Who(by, room), Ok(Answer::Members { members, .. }))
                if !self.is_last(by) =>
            {
                let count = match members.len() {
                    1 => "1 user is".to_owned(),
                    n => format!("{n} users are"),
                };
                let room = sanitize_line(&room);
                self.show_notice(format!("{count} in #{room} · /who lists them"));
            }
            (ServerQuestion::Who(_, room), Ok(Answer::Members { members, more })) => {
                self.popup = Some(Popup::members(room, members, more));
            }
            (ServerQuestion::Enter(_) | ServerQuestion::Who(..), Ok(_)) => {
                self.show_error("Unexpected reply from the server");
            }
        }
    }
}

const fn enqueue(room: RoomId, kind: Kind, body: String) -> msg::Effect {
    msg::Effect::Enqueue { room, kind, body }
}

/// Returns the question, to match the reply, and the request to the server.
pub(super) fn question(ask: Ask, new_room: RoomId) -> (ServerQuestion, Op) {
    match ask {
        Ask::Find { name, by } => (
            ServerQuestion::Enter(by),
            Op::FindRoom {
                name: Some(name),
                room: None,
            },
        ),
        Ask::Create { name, topic, by } => (
            ServerQuestion::Enter(by),
            Op::CreateRoom {
                room: new_room,
                name,
                topic,
            },
        ),
        Ask::Who { name, by } => (
            ServerQuestion::Who(by, name),
            Op::Members {
                room: by.room,
                after: String::new(),
            },
        ),
    }
}
