//! PURE. Moving through the log: by rows, through what is held, and on to what has to be fetched.

use super::app::{Anchor, App, LINES_MAX};
use super::items::{Columns, scroll};
use super::update::{Do, mark_read};
use crate::client::session::Command;
use crate::client::store::Line;
use crate::protocol::Seq;

/// Rows of the log on screen.
pub(super) fn log_rows(app: &App) -> usize {
    super::view::areas(app).log.height.into()
}

pub(super) fn scroll_by(app: &mut App, rows: isize) -> Vec<Do> {
    let columns = Columns::of(super::view::areas(app).log.width.into());
    let (anchor, near_start) = scroll(app, rows, columns, log_rows(app));
    app.log.anchor = anchor;
    if rows > 0 && near_start {
        if !app.log.at_start {
            return vec![Do::LoadEarlier];
        }
        let room = app.room().filter(|room| room.bottom > Seq(1)).map(|room| room.room);
        return room.map(|room| Do::Command(Command::FetchBefore(room))).into_iter().collect();
    }
    if rows < 0 && !app.log.at_end {
        return vec![Do::LoadLater];
    }
    mark_read(app)
}

pub(super) fn to_bottom(app: &mut App) -> Vec<Do> {
    app.log.anchor = Anchor::Bottom;
    if !app.log.at_end {
        return vec![Do::Load];
    }
    mark_read(app)
}

pub(super) fn on_earlier(app: &mut App, mut lines: Vec<Line>) -> Vec<Do> {
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
