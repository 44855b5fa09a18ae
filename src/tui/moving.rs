//! PURE. Where the person looks: from room to room, through a room's log, and how that counts as
//! read.

use super::app::{Anchor, App, LINES_MAX, LogView, Sought};
use super::items::{Columns, scroll};
use super::layout::areas;
use super::msg;
use crate::client::session::Command;
use crate::client::store::Line;
use crate::protocol::{RoomId, Seq};

/// What is on screen while the window has the focus and the bottom is shown counts as read.
pub(super) fn mark_read(app: &mut App) -> Vec<msg::Effect> {
    let Some(room) = app.room() else {
        return Vec::new();
    };
    let (id, read) = (room.room, room.read);
    let is_seen = app.focused && app.log.anchor == Anchor::Bottom && app.popup.is_none();
    let top = app.log.lines.last().map_or(Seq::ZERO, |line| line.seq);
    if top <= read {
        app.reported_read = None; // should the log be cut and come back, it is told again
    }
    if !is_seen || top <= read || app.reported_read == Some((id, top)) {
        return Vec::new();
    }
    app.reported_read = Some((id, top));
    vec![msg::Effect::Command(Command::Read { room: id, seq: top })]
}

pub(super) fn go_to(app: &mut App, room: RoomId) -> Vec<msg::Effect> {
    if let (None, Some(orphan)) = (app.current, app.composers.remove(&RoomId::NIL))
        && !orphan.is_empty()
    {
        app.composers.insert(room, orphan);
    }
    app.intentions += 1;
    app.current = Some(room);
    app.log = LogView {
        at_end: true,
        ..Default::default()
    };
    let unread = app.room().filter(|row| row.unread > 0).map(|row| row.read);
    app.log.new_after = unread;
    vec![
        msg::Effect::Command(Command::Focus(room)),
        msg::Effect::Load,
    ]
}

pub(super) fn step_room(app: &mut App, step: isize) -> Vec<msg::Effect> {
    let count = app.rooms.len() as isize;
    let at = app
        .rooms
        .iter()
        .position(|room| Some(room.room) == app.current);
    let (Some(at), true) = (at, count > 1) else {
        return Vec::new();
    };
    let next = app.rooms[(at as isize + step).rem_euclid(count) as usize].room;
    go_to(app, next)
}

pub(super) fn next_unread(app: &mut App) -> Vec<msg::Effect> {
    let at = app
        .rooms
        .iter()
        .position(|room| Some(room.room) == app.current)
        .unwrap_or(0);
    let after = app.rooms.iter().cycle().skip(at + 1).take(app.rooms.len());
    let Some(next) = after
        .into_iter()
        .find(|room| room.unread > 0)
        .map(|room| room.room)
    else {
        app.say("everything is read");
        return Vec::new();
    };
    go_to(app, next)
}

/// Goes to a room and shows one line of it in the middle.
pub(super) fn go_to_line(app: &mut App, room: RoomId, seq: Seq) -> Vec<msg::Effect> {
    let todo = go_to(app, room);
    app.log.anchor = Anchor::At(seq, 0);
    app.log.sought = Some(Sought {
        seq,
        is_placed: false,
    });
    todo
}

/// Rows of the log on screen.
pub(super) fn log_rows(app: &App) -> usize {
    areas(app).log.height.into()
}

pub(super) fn scroll_by(app: &mut App, rows: isize) -> Vec<msg::Effect> {
    let columns = Columns::of(areas(app).log.width.into());
    let (anchor, near_start) = scroll(app, rows, columns, log_rows(app));
    app.log.anchor = anchor;
    if rows > 0 && near_start {
        if !app.log.at_start {
            return vec![msg::Effect::LoadEarlier];
        }
        let room = app
            .room()
            .filter(|room| room.bottom > Seq(1))
            .map(|room| room.room);
        return room
            .map(|room| msg::Effect::Command(Command::FetchBefore(room)))
            .into_iter()
            .collect();
    }
    if rows < 0 && !app.log.at_end {
        return vec![msg::Effect::LoadLater];
    }
    mark_read(app)
}

pub(super) fn to_bottom(app: &mut App) -> Vec<msg::Effect> {
    app.log.anchor = Anchor::Bottom;
    if !app.log.at_end {
        return vec![msg::Effect::Load];
    }
    mark_read(app)
}

pub(super) fn on_earlier(app: &mut App, mut lines: Vec<Line>) -> Vec<msg::Effect> {
    if lines.is_empty() {
        app.log.at_start = true;
        return Vec::new();
    }
    lines.append(&mut app.log.lines);
    app.log.at_end &= lines.len() <= LINES_MAX;
    lines.truncate(LINES_MAX);
    app.log.lines = lines;
    Vec::new()
}
