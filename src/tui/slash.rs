//! PURE. What each slash command does, the keys for what was refused, and what the server's answers
//! lead to.

use super::app::{App, Intention, Popup};
use super::command::Slash;
use super::moving::go_to;
use super::msg;
use super::msg::{Ask, ServerQuestion};
use crate::client::session::Command;
use crate::client::store::{OwnMark, Pending};
use crate::client::{Cause, Write};
use crate::protocol::{Answer, Kind, Op, RoomId, sanitize_line};

pub(super) fn on_slash(app: &mut App, slash: Slash) -> Vec<msg::Effect> {
    match slash {
        Slash::Offline => return vec![msg::Effect::Command(Command::GoOffline(Cause::Person))],
        Slash::Online => return vec![msg::Effect::Command(Command::GoOnline)],
        Slash::Quit => return vec![msg::Effect::Quit],
        Slash::Help => {
            app.popup = Some(Popup::Help { scroll: 0 });
            return Vec::new();
        }
        Slash::Join(_)
        | Slash::Leave
        | Slash::Create { .. }
        | Slash::Nick(_)
        | Slash::Topic(_)
        | Slash::ShowTopic
        | Slash::Who
        | Slash::Retry
        | Slash::Discard => {}
    }
    let Some((room, name)) = app.room().map(|room| (room.room, room.name.clone())) else {
        app.complain("there is no room yet: wait for the first connection");
        return Vec::new();
    };
    match slash {
        Slash::Join(name) => {
            let known = app
                .rooms
                .iter()
                .find(|room| room.name.eq_ignore_ascii_case(&name));
            let Some((known, is_in)) = known.map(|known| (known.room, known.will_be_member()))
            else {
                return vec![msg::Effect::Ask(Ask::Find {
                    name,
                    by: app.intention(room),
                })];
            };
            // Known here, so it can be joined without asking: what waits to be left is wanted
            // again, offline too.
            let join = msg::Effect::Enqueue {
                room: known,
                kind: Kind::Join,
                body: String::new(),
            };
            app.leaving.take_if(|leaving| leaving.room == known);
            (!is_in)
                .then_some(join)
                .into_iter()
                .chain(go_to(app, known))
                .collect()
        }
        Slash::Create { name, topic } => vec![msg::Effect::Ask(Ask::Create {
            name,
            topic,
            by: app.intention(room),
        })],
        Slash::Leave | Slash::Topic(_) if !app.may_speak() => {
            app.complain(format!("you are not in {name}"));
            Vec::new()
        }
        Slash::Leave => {
            app.leaving = Some(app.intention(room));
            app.say(format!("leaving {name}; what was said there stays here"));
            vec![msg::Effect::Enqueue {
                room,
                kind: Kind::Leave,
                body: String::new(),
            }]
        }
        Slash::Nick(name) if name == app.me.name => {
            app.say(format!("you are {name} already"));
            Vec::new()
        }
        Slash::Nick(name) => {
            // A name is not one room's: where one may speak, it can be taken.
            let mut own = app
                .rooms
                .iter()
                .filter(|row| row.member)
                .map(|row| row.room);
            let Some(room) = own.clone().find(|own| *own == room).or_else(|| own.next()) else {
                app.complain("you are in no room: /join one first");
                return Vec::new();
            };
            vec![msg::Effect::Enqueue {
                room,
                kind: Kind::Rename,
                body: name,
            }]
        }
        Slash::Topic(topic) => vec![msg::Effect::Enqueue {
            room,
            kind: Kind::Topic,
            body: topic,
        }],
        Slash::ShowTopic => {
            let topic = app
                .room()
                .map(|room| sanitize_line(&room.topic).into_owned())
                .filter(|topic| !topic.is_empty());
            app.say(topic.unwrap_or_else(|| format!("{name} has no topic: /topic TEXT sets one")));
            Vec::new()
        }
        Slash::Who => vec![msg::Effect::Ask(Ask::Who {
            name,
            by: app.intention(room),
        })],
        Slash::Retry => {
            let refused = app
                .log
                .pending
                .iter()
                .filter(|pending| pending.refusal.is_some());
            let retries: Vec<_> = refused
                .map(|pending| {
                    msg::Effect::Write(Write::Retry {
                        id: Some(pending.id),
                    })
                })
                .collect();
            if retries.is_empty() {
                app.say(nothing_here(app, "nothing was refused"));
            }
            retries
        }
        Slash::Discard => discard(app),
        Slash::Offline | Slash::Online | Slash::Help | Slash::Quit => Vec::new(), // need no room
    }
}

/// The newest refused message goes first, then the newest one that waits.
pub(super) fn discard(app: &mut App) -> Vec<msg::Effect> {
    let waiting = || {
        app.log
            .pending
            .iter()
            .rev()
            .find(|pending| !pending.discarded && pending.kind != Kind::Redaction)
    };
    let Some(found) = app.refused().or_else(waiting).map(|pending| pending.id) else {
        app.say(nothing_here(app, "nothing waits or was refused"));
        return Vec::new();
    };
    vec![msg::Effect::Discard(found)]
}

/// The refused text goes into the composer; it is kept here as well, until what was made of it is
/// on disk.
pub(super) fn edit_refused(app: &mut App) -> Vec<msg::Effect> {
    let is_message =
        |pending: &&Pending| pending.mark == OwnMark::Refused && pending.kind == Kind::Message;
    let Some(refused) = app.log.pending.iter().rev().find(is_message) else {
        app.say(nothing_here(app, "no message was refused"));
        return Vec::new();
    };
    let (id, room, body) = (refused.id, refused.room, refused.body.clone());
    if app.composer().is_some_and(|composer| !composer.is_empty()) {
        app.complain("send or clear the line first: the refused text comes into the composer");
        return Vec::new();
    }
    app.composer_mut().set(body);
    app.editing = Some((room, id));
    app.say("Enter sends it instead of the refused one");
    vec![msg::Effect::SaveDraft(room)]
}

/// That there is nothing in this room, and where there is something: the bar counts what was
/// refused in all rooms.
fn nothing_here(app: &App, nothing: &str) -> String {
    let elsewhere = app
        .rooms
        .iter()
        .find(|room| room.refused && Some(room.room) != app.current);
    let hint = elsewhere.map_or_else(String::new, |room| {
        format!("; look into {}", sanitize_line(&room.name))
    });
    format!("{nothing} in this room{hint}")
}

pub(super) fn on_answered(
    app: &mut App,
    asked: ServerQuestion,
    answer: Result<Answer, String>,
) -> Vec<msg::Effect> {
    match (asked, answer) {
        (ServerQuestion::Enter(by), Err(reason)) => {
            app.composers.entry(by.room).or_default().take_back();
            app.complain(format!("{reason}; the line is back"));
        }
        (ServerQuestion::Who(..), Err(reason)) => app.complain(reason),
        (ServerQuestion::Enter(by), Ok(Answer::Room(info))) => {
            app.going_to = Some(Intention {
                room: info.room,
                ..by
            });
            app.say(format!("entering {}", sanitize_line(&info.name)));
            return vec![msg::Effect::Enqueue {
                room: info.room,
                kind: Kind::Join,
                body: String::new(),
            }];
        }
        // A list that comes late would take the keys of what is being typed.
        (ServerQuestion::Who(by, room), Ok(Answer::Members { members, .. }))
            if !app.is_last(by) =>
        {
            app.say(format!(
                "{} are in {}: /who lists them",
                members.len(),
                sanitize_line(&room)
            ));
        }
        (ServerQuestion::Who(_, room), Ok(Answer::Members { members, more })) => {
            app.popup = Some(Popup::Who {
                room,
                members,
                more,
            })
        }
        (ServerQuestion::Enter(_) | ServerQuestion::Who(..), Ok(_)) => {
            app.complain("the server answered something else")
        }
    }
    Vec::new()
}

/// For the answer to come: what was asked, and how the server is asked it.
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
