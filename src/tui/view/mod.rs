//! The screen as a function of [`App`]: it reads nothing else, and drawing changes nothing.

mod inspector;
mod log;
mod popup;
mod rooms;
mod status;

use std::collections::BTreeSet;

use ratatui::Frame;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::app::App;
use super::composer::shown;
use super::layout::{Areas, areas_in};
use super::{command, text};
use crate::client::session::RoomStatus;
use crate::protocol::limits::BODY_BYTES_MAX;
use crate::protocol::sanitize_line;

/// Minimum width of a terminal for the chat, columns.
const COLUMNS_MIN: u16 = 20;
const ROWS_MIN: u16 = 5;
/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) {
    let size = frame.area();
    if size.width < COLUMNS_MIN || size.height < ROWS_MIN {
        let text = text::wrap(
            "Terminal too small (needs 20x5). Landfall keeps running",
            size.width.into(),
        );
        frame.render_widget(
            Paragraph::new(text.into_iter().map(Line::from).collect::<Vec<_>>()),
            size,
        );
        return;
    }
    // the current size, which may differ from the last reported one
    let areas = areas_in(app, (size.width, size.height));
    if let Some(area) = areas.rooms {
        rooms::draw(frame, app, area);
        let bar = app.theme.sign("│", "|");
        for y in 0..area.height {
            frame
                .buffer_mut()
                .set_string(area.width, y, bar, app.theme.dim());
        }
    }
    draw_header(frame, app, areas.header);
    log::draw(frame, app, areas.log);
    draw_rule(frame, app, areas);
    draw_composer(frame, app, areas.composer);
    status::draw(frame, app, areas.status);
    if let (Some(inspector), Some(area)) = (&app.inspector, areas.inspector) {
        inspector::draw(frame, app, inspector, area);
    }
    if let Some(popup) = &app.popup {
        popup::draw(frame, app, popup, areas);
    }
    if app.theme.is_ascii() {
        for cell in frame
            .buffer_mut()
            .content
            .iter_mut()
            .filter(|cell| cell.symbol() == "…")
        {
            cell.set_symbol("~");
        }
    }
}

/// Draws rows with characters of uncertain width completely, while they are visible and once after:
/// otherwise cells that the terminal has shifted or covered would stay. `uncertain` remembers them.
pub(crate) fn write_uncertain_rows_whole(buffer: &mut Buffer, uncertain: &mut BTreeSet<u16>) {
    let area = buffer.area;
    let now: BTreeSet<u16> = (area.top()..area.bottom())
        .filter(|y| {
            (area.left()..area.right()).any(|x| text::is_uncertain(buffer[(x, *y)].symbol()))
        })
        .collect();
    for y in now.union(uncertain).filter(|y| **y < area.bottom()) {
        for x in area.left()..area.right() {
            buffer[(x, *y)].set_diff_option(CellDiffOption::AlwaysUpdate);
        }
    }
    *uncertain = now;
}

fn draw_header(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(room) = app.room() else { return };
    let status = app.status.rooms.get(&room.room);
    let here = status.map_or(0, |status| status.online);
    let right = match status {
        _ if !room.member => "you are not in this room".to_owned(),
        Some(status) if status.healing => "checking for lost messages".to_owned(),
        Some(RoomStatus {
            deferral: Some(reason),
            ..
        }) => format!("messages wait: {}", sanitize_line(reason)),
        _ if here > 0 => format!("{here} online"),
        _ => String::new(),
    };
    let right = text::fit(&right, usize::from(area.width) * 2 / 3);
    let columns = usize::from(area.width).saturating_sub(text::width(&right) + 2);
    let name = format!("#{}", sanitize_line(&room.name));
    let topic = if room.topic.is_empty() {
        String::new()
    } else {
        format!(" · {}", sanitize_line(&room.topic))
    };
    let left = Line::from(vec![
        Span::styled(text::fit(&name, columns), app.theme.accent()),
        Span::styled(
            text::fit(&topic, columns.saturating_sub(text::width(&name))),
            app.theme.dim(),
        ),
    ]);
    frame.render_widget(left, area);
    let x = area
        .right()
        .saturating_sub(text::width(&right) as u16 + 1)
        .max(area.x);
    frame
        .buffer_mut()
        .set_stringn(x, area.y, &right, area.width.into(), app.theme.dim());
}

/// Draws the line above the composer: a notice, a hint, or how much of the maximum length the text
/// has.
fn draw_rule(frame: &mut Frame<'_>, app: &App, areas: Areas) {
    let area = areas.rule;
    if area.height == 0 {
        return;
    }
    let rule = app.theme.sign("─", "-").repeat(area.width.into());
    frame
        .buffer_mut()
        .set_string(area.x, area.y, rule, app.theme.dim());
    if let Some(rooms) = areas.rooms {
        frame.buffer_mut().set_string(
            rooms.width,
            area.y,
            app.theme.sign("┴", "+"),
            app.theme.dim(),
        );
    }
    let Some((text, style)) = rule_text(app) else {
        return;
    };
    let label = format!(
        " {} ",
        text::fit(&text, usize::from(area.width).saturating_sub(4))
    );
    frame
        .buffer_mut()
        .set_string(area.x + 1, area.y, label, style);
}

fn rule_text(app: &App) -> Option<(String, Style)> {
    let composed = app.composer().map_or("", |composer| composer.text());
    let too_long = command::too_long(command::message(composed));
    let notice = app.notice.as_ref().filter(|notice| notice.until > app.wall);
    match (notice, too_long) {
        (Some(notice), too_long) if notice.is_error || too_long.is_none() => {
            let style = if notice.is_error {
                app.theme.error()
            } else {
                app.theme.warning()
            };
            return Some((sanitize_line(&notice.text).into_owned(), style));
        }
        (_, Some(reason)) => return Some((reason, app.theme.error())),
        (_, None) => {}
    }
    if composed.len() > BODY_BYTES_MAX * 9 / 10 {
        return Some((
            format!("{} of {BODY_BYTES_MAX} bytes", composed.len()),
            app.theme.warning(),
        ));
    }
    if let Some(begun) = composed.strip_prefix("/join ") {
        let rooms = app
            .rooms
            .iter()
            .map(|room| sanitize_line(&room.name))
            .filter(|name| name.starts_with(begun));
        let rooms: Vec<_> = rooms.collect();
        return (rooms.len() > 1).then(|| (rooms.join("  "), app.theme.dim()));
    }
    let typing = app.typing_here();
    if let (false, [first, others @ ..]) = (composed.starts_with('/'), &typing[..]) {
        let text = match others {
            [] => format!("{} is typing", sanitize_line(first)),
            [second] => format!(
                "{} and {} are typing",
                sanitize_line(first),
                sanitize_line(second)
            ),
            _ => format!("{} are typing", typing.len()),
        };
        return Some((text, app.theme.dim()));
    }
    let hints: Vec<_> = command::candidates(composed)
        .into_iter()
        .map(|spec| {
            if spec.arguments.is_empty() {
                format!("/{}", spec.name)
            } else {
                format!("/{} {}", spec.name, spec.arguments)
            }
        })
        .collect();
    (!hints.is_empty()).then(|| (hints.join("  "), app.theme.dim()))
}

fn draw_composer(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let prompt = if app.submitting.is_some() {
        app.theme.dim()
    } else {
        app.theme.accent()
    };
    frame.buffer_mut().set_string(area.x, area.y, ">", prompt);
    let Some(composer) = app.composer() else {
        return;
    };
    let columns = usize::from(area.width).saturating_sub(2);
    let rows = composer.rows(columns);
    let (row, column) = composer.place(&rows);
    let height = usize::from(area.height);
    let first = row
        .saturating_sub(height.saturating_sub(1))
        .min(rows.len().saturating_sub(height));
    for (y, (from, to)) in rows.iter().skip(first).take(height).enumerate() {
        let text = shown(&composer.text()[*from..*to]);
        let style = if app.submitting.is_some() {
            app.theme.dim()
        } else {
            Style::new()
        };
        frame
            .buffer_mut()
            .set_stringn(area.x + 2, area.y + y as u16, text, columns, style);
    }
    if app.popup.is_none()
        && app
            .inspector
            .as_ref()
            .is_none_or(|inspector| !inspector.focused)
    {
        let x = area.x + 2 + (column as u16).min(area.width.saturating_sub(3));
        frame.set_cursor_position(Position::new(x, area.y + (row - first) as u16));
    }
}
