//! PURE. What each message to the screen changes, and what is to be done about it.

use super::action::Action;
use super::app::{Anchor, App, Intention, LINES_MAX, Popup};
use super::command::{self, too_long};
use super::inspector::{in_inspector, toggle};
use super::layout::composer_columns;
use super::moving::{
    go_to, log_rows, mark_read, next_unread, on_earlier, scroll_by, step_room, to_bottom,
};
use super::msg;
use super::msg::Snapshot;
use super::popups::in_popup;
use super::slash::{edit_refused, on_answered, on_slash};
use crate::client::link::{LinkPhase, LinkState};
use crate::client::session::{Command, Status};
use crate::client::{Cause, Outcome};
use crate::protocol::{Kind, sanitize_line};

/// One message, and everything that is to be done about it.
pub(crate) fn update(app: &mut App, msg: msg::Input) -> Vec<msg::Effect> {
    match msg {
        msg::Input::Action(action) if app.popup.is_some() => in_popup(app, action),
        msg::Input::Action(action) => {
            in_inspector(app, action).unwrap_or_else(|| on_action(app, action))
        }
        msg::Input::Paste(text) => match &mut app.popup {
            Some(Popup::Rooms { filter, .. }) => {
                filter.push_str(text.lines().next().unwrap_or(""));
                Vec::new()
            }
            Some(Popup::Find { words, .. }) => {
                words.push_str(text.lines().next().unwrap_or(""));
                vec![msg::Effect::Find(words.clone())]
            }
            _ => edit(app, |composer| composer.paste(&text)),
        },
        msg::Input::Resized(columns, rows) => {
            app.size = (columns, rows);
            Vec::new()
        }
        msg::Input::Focused(focused) => {
            app.focused = focused;
            mark_read(app)
        }
        msg::Input::Status(status) => {
            on_status(app, *status);
            Vec::new()
        }
        msg::Input::Loaded(snapshot) => on_loaded(app, *snapshot),
        msg::Input::Earlier(lines) => on_earlier(app, lines),
        msg::Input::Later(lines) => {
            app.log.at_end = lines.is_empty();
            app.log.lines.extend(lines);
            let surplus = app.log.lines.len().saturating_sub(LINES_MAX);
            app.log.lines.drain(..surplus);
            app.log.at_start &= surplus == 0;
            Vec::new()
        }
        msg::Input::Found(hits) => {
            if let Some(Popup::Find {
                found, selected, ..
            }) = &mut app.popup
            {
                (*found, *selected) = (hits, 0);
            }
            Vec::new()
        }
        msg::Input::Submitted(result) => on_submitted(app, result),
        msg::Input::Wrote(result) => {
            on_wrote(app, result);
            Vec::new()
        }
        msg::Input::Answered(asked, answer) => on_answered(app, asked, answer),
        msg::Input::Typing(signal) => {
            if let Some(who) = signal.account.filter(|who| Some(*who) != app.me.account) {
                app.typing.heard(signal.room, who, app.now);
            }
            Vec::new()
        }
        msg::Input::Board(shown) => {
            if let Some(board) = &mut app.board {
                board.shown = shown;
            }
            Vec::new()
        }
        msg::Input::Looked(look) => {
            if let Some(inspector) = &mut app.inspector {
                inspector.on_look(*look);
            }
            Vec::new()
        }
    }
}

fn on_status(app: &mut App, status: Status) {
    let (was, is) = (app.status.link.phase(), status.link.phase());
    if was == LinkPhase::Connected && is == LinkPhase::Backoff {
        app.say("the link is lost: what you write is kept and sent when it is back");
        app.notice
            .iter_mut()
            .for_each(|notice| notice.of_link = true);
    } else if let (
        LinkState::Offline {
            why: why @ Cause::GaveUp { .. },
        },
        true,
    ) = (&status.link, was != LinkPhase::Offline)
    {
        let waiting = app.counts.queued + app.counts.unacked;
        let kept = if waiting > 0 {
            format!("; {waiting} of yours stay queued here")
        } else {
            String::new()
        };
        let text = sanitize_line(&format!("{why}{kept}; Ctrl-R dials again")).into_owned();
        app.complain(text);
        app.notice
            .iter_mut()
            .for_each(|notice| notice.of_link = true);
    } else if is == LinkPhase::Connected {
        app.notice.take_if(|notice| notice.of_link);
    }
    app.status = status;
}

fn on_loaded(app: &mut App, snapshot: Snapshot) -> Vec<msg::Effect> {
    app.me = snapshot.me;
    let is_in = app.me.account.is_some();
    if *app.is_new.get_or_insert(!is_in) && is_in {
        app.is_new = Some(false);
        app.say(format!(
            "you are {}: /nick NAME changes it, F1 helps",
            sanitize_line(&app.me.name)
        ));
    }
    app.counts = snapshot.counts;
    for room in &snapshot.rooms {
        app.composers.entry(room.room).or_insert_with(|| {
            let mut composer = super::composer::Composer::default();
            composer.set(room.draft.clone());
            composer
        });
    }
    app.rooms = snapshot.rooms;
    let is_in = |wanted: &mut Intention| {
        app.rooms
            .iter()
            .any(|room| room.room == wanted.room && room.member)
    };
    if let Some(wanted) = app.going_to.take_if(is_in) {
        if app.is_last(wanted) {
            return go_to(app, wanted.room);
        }
        let name = app
            .rooms
            .iter()
            .find(|room| room.room == wanted.room)
            .map(|room| room.name.clone());
        let name = sanitize_line(&name.unwrap_or_default()).into_owned();
        app.say(format!("you are in {name} now: /join {name} goes there"));
    }
    let is_left = |left: &mut Intention| {
        app.rooms
            .iter()
            .any(|room| room.room == left.room && !room.member)
    };
    if let Some(left) = app.leaving.take_if(is_left)
        && app.is_last(left)
        && app.current == Some(left.room)
        && let Some(other) = app
            .rooms
            .iter()
            .find(|room| room.member)
            .map(|room| room.room)
    {
        return go_to(app, other);
    }
    if app.room().is_none() {
        if let Some(first) = app.rooms.first().map(|room| room.room) {
            return go_to(app, first);
        }
        return Vec::new();
    }
    if snapshot.room != app.current {
        return vec![msg::Effect::Load];
    }
    let seen = app.log.lines.last().map(|line| line.seq);
    app.log.lines = snapshot.lines;
    for line in app
        .log
        .lines
        .iter()
        .rev()
        .take_while(|line| seen.is_some_and(|seen| line.seq > seen))
    {
        snapshot
            .room
            .into_iter()
            .for_each(|room| app.typing.said(room, line.author));
    }
    app.log.pending = snapshot.pending;
    app.log.gaps = snapshot.gaps;
    app.log.aside = snapshot.aside;
    (app.log.at_start, app.log.at_end) = (snapshot.at_start, snapshot.at_end);
    if let Some(sought) = app.log.sought.as_mut().filter(|sought| !sought.is_placed) {
        sought.is_placed = true;
        return scroll_by(app, -((log_rows(app) / 2) as isize));
    }
    mark_read(app)
}

fn on_action(app: &mut App, action: Action) -> Vec<msg::Effect> {
    match action {
        Action::Submit => submit(app),
        Action::Complete => complete(app),
        Action::ClearLine => clear_line(app),
        Action::EditRefused => edit_refused(app),
        Action::PageUp => scroll_by(app, log_rows(app).saturating_sub(2) as isize),
        Action::PageDown => scroll_by(app, -(log_rows(app).saturating_sub(2) as isize)),
        Action::ScrollUp => scroll_by(app, 1),
        Action::ScrollDown => scroll_by(app, -1),
        Action::ToBottom => to_bottom(app),
        Action::Escape => {
            (app.log.new_after, app.log.sought) = (None, None);
            app.notice = None;
            to_bottom(app)
        }
        Action::NextRoom => step_room(app, 1),
        Action::PreviousRoom => step_room(app, -1),
        Action::NextUnread => next_unread(app),
        Action::PickRoom => {
            app.popup = Some(Popup::Rooms {
                filter: String::new(),
                selected: 0,
            });
            Vec::new()
        }
        Action::Find => {
            app.popup = Some(Popup::Find {
                words: String::new(),
                found: Vec::new(),
                selected: 0,
            });
            Vec::new()
        }
        Action::Inspect => toggle(app),
        Action::RetryNow => vec![msg::Effect::Command(Command::RetryNow)],
        Action::Help => {
            app.popup = Some(Popup::Help { scroll: 0 });
            Vec::new()
        }
        Action::Redraw => vec![msg::Effect::Redraw],
        Action::Suspend => vec![msg::Effect::Suspend],
        Action::Quit => vec![msg::Effect::Quit],
        Action::DeleteOrQuit
            if app
                .composer()
                .is_none_or(super::composer::Composer::is_empty) =>
        {
            vec![msg::Effect::Quit]
        }
        _ => on_edit(app, action),
    }
}

fn on_edit(app: &mut App, action: Action) -> Vec<msg::Effect> {
    let columns = composer_columns(app);
    let move_only = |app: &mut App, work: fn(&mut super::composer::Composer)| {
        work(app.composer_mut());
        Vec::new()
    };
    match action {
        Action::Insert(c) => edit(app, |composer| composer.insert(c.encode_utf8(&mut [0; 4]))),
        Action::Newline => edit(app, |composer| composer.insert("\n")),
        Action::Backspace => edit(app, super::composer::Composer::backspace),
        Action::Delete | Action::DeleteOrQuit => edit(app, super::composer::Composer::delete),
        Action::DeleteWord => edit(app, super::composer::Composer::delete_word),
        Action::DeleteToStart => edit(app, super::composer::Composer::delete_to_start),
        Action::DeleteToEnd => edit(app, super::composer::Composer::delete_to_end),
        Action::Up => edit(app, |composer| composer.up(columns)),
        Action::Down => edit(app, |composer| composer.down(columns)),
        Action::Left => move_only(app, super::composer::Composer::left),
        Action::Right => move_only(app, super::composer::Composer::right),
        Action::WordLeft => move_only(app, super::composer::Composer::word_left),
        Action::WordRight => move_only(app, super::composer::Composer::word_right),
        Action::Home => move_only(app, super::composer::Composer::home),
        Action::End => move_only(app, super::composer::Composer::end),
        _ => Vec::new(), // handled by the caller
    }
}

/// Changes the text; what is half typed survives a crash.
fn edit(app: &mut App, work: impl FnOnce(&mut super::composer::Composer)) -> Vec<msg::Effect> {
    app.intentions += 1;
    work(app.composer_mut());
    if app
        .composer()
        .is_none_or(super::composer::Composer::is_empty)
    {
        app.notice = None; // what was said of a line goes with it
        let room = app.composing_in();
        app.editing.take_if(|(edited_in, _)| *edited_in == room);
    }
    app.current
        .map(msg::Effect::SaveDraft)
        .into_iter()
        .chain(tell_typing(app))
        .collect()
}

/// Tells that a message is being typed, when there is somebody to hear it.
fn tell_typing(app: &mut App) -> Option<msg::Effect> {
    let room = app
        .current
        .filter(|_| app.room().is_some_and(|room| room.member))?;
    let is_message = app
        .composer()
        .is_some_and(|composer| !composer.is_empty() && !composer.text().starts_with('/'));
    let is_heard = matches!(app.status.link, LinkState::Connected { .. });
    let signal = if is_message && is_heard {
        app.typing.tell(room, app.now)
    } else {
        None
    };
    signal.map(|signal| msg::Effect::Command(Command::Signal(signal)))
}

fn clear_line(app: &mut App) -> Vec<msg::Effect> {
    let was_empty = app
        .composer()
        .is_none_or(super::composer::Composer::is_empty);
    let changed = app.composer_mut().clear_or_restore();
    let room = app.composing_in();
    app.editing.take_if(|(edited_in, _)| *edited_in == room);
    match (changed, was_empty) {
        (true, false) => app.say("cleared: Ctrl-C again brings it back"),
        (true, true) => app.notice = None, // what it said was done
        (false, _) => app.say("Ctrl-D quits, F1 helps"),
    }
    app.current
        .map(msg::Effect::SaveDraft)
        .into_iter()
        .collect()
}

fn submit(app: &mut App) -> Vec<msg::Effect> {
    let Some(composer) = app.composer() else {
        return Vec::new();
    };
    let text = composer.text().trim_end().to_owned();
    if text.trim().is_empty() || app.submitting.is_some() {
        return Vec::new();
    }
    app.notice = None;
    match command::parse(&text) {
        Some(Ok(slash)) => {
            app.intentions += 1;
            app.composer_mut().submitted();
            let room = app.composing_in();
            app.editing.take_if(|(edited_in, _)| *edited_in == room);
            let mut todo: Vec<_> = app
                .current
                .map(msg::Effect::SaveDraft)
                .into_iter()
                .collect();
            todo.extend(on_slash(app, slash));
            todo
        }
        Some(Err(reason)) => {
            app.complain(reason);
            Vec::new()
        }
        None => {
            let body = command::message(&text).to_owned();
            if let Some(reason) = too_long(&body) {
                app.complain(reason);
                return Vec::new();
            }
            let Some(room) = app.current else {
                app.complain("there is no room yet: it stays here until the first connection");
                return Vec::new();
            };
            if !app.may_speak() {
                let name = app
                    .room()
                    .map(|room| sanitize_line(&room.name).into_owned())
                    .unwrap_or_default();
                app.complain(format!(
                    "you are not in {name}: /join {name} first; the text stays here"
                ));
                return Vec::new();
            }
            app.submitting = Some(room);
            let replaces = app
                .editing
                .filter(|(edited_in, _)| *edited_in == room)
                .map(|(_, id)| id);
            vec![msg::Effect::Submit {
                room,
                kind: Kind::Message,
                body,
                replaces,
            }]
        }
    }
}

fn on_submitted(app: &mut App, result: Result<Outcome, String>) -> Vec<msg::Effect> {
    let submitted = app.submitting.take();
    match result {
        Ok(Outcome::Queued) => {
            // Not the one on screen: a room that was asked for may have come in between.
            if let Some(composer) = submitted.and_then(|room| app.composers.get_mut(&room)) {
                composer.submitted();
            }
            app.editing.take_if(|(room, _)| Some(*room) == submitted);
            app.typing.sent();
            app.log.anchor = Anchor::Bottom;
            app.log.new_after = None;
            vec![msg::Effect::Load]
        }
        Ok(Outcome::OutboxFull) => {
            app.complain(
                "the outbox is full (10,000 entries or 64 MiB): it stays in the composer until some were sent",
            );
            Vec::new()
        }
        Ok(_) => Vec::new(),
        Err(reason) => {
            app.complain(format!("not sent, it stays in the composer: {reason}"));
            Vec::new()
        }
    }
}

fn on_wrote(app: &mut App, result: Result<Outcome, String>) {
    match result {
        Ok(Outcome::NotFound) => app.say("there is nothing to do that with"),
        Ok(Outcome::OutboxFull) => {
            app.complain("the outbox is full: try again when some of it was sent")
        }
        Ok(_) => {}
        Err(reason) => app.complain(reason),
    }
}

fn complete(app: &mut App) -> Vec<msg::Effect> {
    let rooms: Vec<String> = app.rooms.iter().map(|room| room.name.clone()).collect();
    let Some(completed) = app
        .composer()
        .and_then(|composer| command::complete(composer.text(), &rooms))
    else {
        return Vec::new();
    };
    edit(app, |composer| composer.set(completed))
}
