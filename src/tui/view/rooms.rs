//! The list of rooms, in a fixed order, which never changes while messages arrive.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::store::RoomRow;
use crate::protocol::sanitize_line;
use crate::tui::app::App;
use crate::tui::text;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    frame.buffer_mut().set_stringn(
        area.x + 1,
        area.y,
        "rooms",
        area.width.into(),
        app.theme.dim(),
    );
    let rows = usize::from(area.height.saturating_sub(1));
    let current = app
        .rooms
        .iter()
        .position(|room| Some(room.room) == app.current)
        .unwrap_or(0);
    let first = (current + 1).saturating_sub(rows);
    for (y, room) in app.rooms.iter().skip(first).take(rows).enumerate() {
        draw_room(frame, app, room, area, area.y + 1 + y as u16);
    }
}

fn draw_room(frame: &mut Frame<'_>, app: &App, room: &RoomRow, area: Rect, y: u16) {
    let is_current = Some(room.room) == app.current;
    let count = match room.unread {
        0 => String::new(),
        n if n > 999 => "999+".to_owned(),
        n if room.mentioned => format!("@{n}"),
        n => n.to_string(),
    };
    let style = match room.unread {
        _ if !room.member => app.theme.dim(),
        _ if is_current => app.theme.accent(),
        0 => Style::new(),
        _ => app.theme.strong(),
    };
    let bar = if is_current {
        app.theme.sign("▌", ">")
    } else {
        " "
    };
    let draft = if room.draft.is_empty() || is_current {
        ""
    } else {
        app.theme.sign(" ✎", " *")
    };
    let rejected = if room.has_rejected {
        app.theme.sign(" ✗", " x")
    } else {
        ""
    };
    let columns =
        usize::from(area.width).saturating_sub(text::width(&count) + text::width(rejected) + 3);
    let name = text::fit(&format!("{}{draft}", sanitize_line(&room.name)), columns);
    let rejected_x = area.x + 1 + text::width(&name) as u16;
    frame
        .buffer_mut()
        .set_string(area.x, y, bar, app.theme.accent());
    frame.buffer_mut().set_string(area.x + 1, y, name, style);
    frame
        .buffer_mut()
        .set_string(rejected_x, y, rejected, app.theme.error());
    let x = area.right().saturating_sub(text::width(&count) as u16 + 1);
    let count_style = if room.mentioned {
        app.theme.error()
    } else {
        app.theme.warning()
    };
    frame.buffer_mut().set_string(x, y, count, count_style);
}
