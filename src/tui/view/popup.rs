//! What lies over the screen: help, who is here, the room picker. Esc always gets out.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use crate::client::store::Hit;
use crate::protocol::sanitize_line;
use crate::tui::app::{App, Popup, picked};
use crate::tui::command::COMMANDS;
use crate::tui::items;
use crate::tui::keymap::BINDINGS;
use crate::tui::layout::Areas;
use crate::tui::text;
use crate::tui::theme::Theme;

pub(super) const ASCII: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, popup: &Popup, areas: Areas) {
    let (title, lines, selected, scroll) = match popup {
        Popup::Help { scroll } => (
            " help · arrows scroll, Esc closes ".to_owned(),
            help(app.theme, usize::from(areas.status.width).saturating_sub(2)),
            None,
            *scroll,
        ),
        Popup::Who {
            room,
            members,
            more,
        } => {
            let sign = |here: bool| {
                if here {
                    app.theme.sign("●", "*")
                } else {
                    app.theme.sign("○", "o")
                }
            };
            let member = |m: &crate::protocol::Member| {
                Line::from(format!("{} {}", sign(m.here), sanitize_line(&m.name)))
            };
            let mut lines: Vec<_> = members.iter().map(member).collect();
            if *more {
                lines.push(Line::from("… and more"));
            }
            (
                format!(" in {} · Esc closes ", sanitize_line(room)),
                lines,
                None,
                0,
            )
        }
        Popup::Rooms { filter, selected } => {
            let found = picked(&app.rooms, filter);
            let lines = found.iter().map(|room| {
                let unread = if room.unread > 0 {
                    format!("  {}", room.unread)
                } else {
                    String::new()
                };
                Line::from(format!("{}{unread}", sanitize_line(&room.name)))
            });
            let title = format!(
                " go to: {}_ · Enter goes, Esc closes ",
                sanitize_line(filter)
            );
            (
                title,
                lines.collect(),
                Some((*selected).min(found.len().saturating_sub(1))),
                0,
            )
        }
        Popup::Find {
            words,
            found,
            selected,
        } => {
            let title = format!(
                " find: {}_ · Enter goes there, Esc closes ",
                sanitize_line(words)
            );
            let mut lines: Vec<_> = found
                .iter()
                .map(|hit| hit_line(app, hit, lasting(areas).width))
                .collect();
            if lines.is_empty() {
                let nothing = if words.trim().is_empty() {
                    "in what is held here"
                } else {
                    "nothing held here has that"
                };
                lines.push(Line::styled(nothing, app.theme.dim()));
            }
            (
                title,
                lines,
                Some(*selected).filter(|_| !found.is_empty()),
                0,
            )
        }
    };
    let area = match popup {
        Popup::Find { .. } => lasting(areas), // it must not jump about with each key
        Popup::Help { .. } | Popup::Who { .. } | Popup::Rooms { .. } => centered(areas, &lines),
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let first = selected.map_or_else(
        || usize::from(scroll).min(lines.len().saturating_sub(rows)),
        |selected| (selected + 1).saturating_sub(rows),
    );
    let shown = lines
        .into_iter()
        .enumerate()
        .skip(first)
        .take(rows)
        .map(|(at, line)| {
            if Some(at) == selected {
                line.style(app.theme.selected())
            } else {
                line
            }
        });
    let block = Block::bordered().border_style(app.theme.accent());
    let block = if app.theme.is_ascii() {
        block.border_set(ASCII).title(title.replace('·', "-"))
    } else {
        block.border_type(BorderType::Rounded).title(title)
    };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()).block(block), area);
}

fn hit_line(app: &App, hit: &Hit, columns: u16) -> Line<'static> {
    let at = format!(
        "{} {}",
        items::date(hit.line.at, &app.zone),
        items::time(hit.line.at, &app.zone)
    );
    let (room, name) = (sanitize_line(&hit.room_name), sanitize_line(&hit.line.name));
    let said = format!("{at} #{room} {name}: {}", sanitize_line(&hit.line.body));
    Line::from(text::fit(&said, usize::from(columns).saturating_sub(2)))
}

fn centered(areas: Areas, lines: &[Line<'_>]) -> Rect {
    let (columns, rows) = (areas.status.width, areas.status.y);
    let wide = lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 4;
    let width = wide.max(44).min(columns);
    let height = (lines.len() as u16 + 2).clamp(3, rows.max(3));
    Rect::new(
        (columns - width) / 2,
        (rows.saturating_sub(height)) / 2,
        width,
        height.min(rows),
    )
}

/// Most of the screen, whatever is in it.
fn lasting(areas: Areas) -> Rect {
    let (columns, rows) = (areas.status.width, areas.status.y);
    let (width, height) = (columns - columns / 8, rows - rows / 4);
    Rect::new((columns - width) / 2, (rows - height) / 2, width, height)
}

/// Columns of what is explained.
const EXPLAINED: usize = 33;
/// Columns that an explanation needs beside that; where there are fewer it goes below.
const BESIDE_MIN: usize = 16;

/// What is explained, and beside or below it the explanation, in as many rows as it needs.
fn explained(what: &str, style: Style, explanation: &str, columns: usize) -> Vec<Line<'static>> {
    let is_beside = columns >= EXPLAINED + BESIDE_MIN;
    let indent = if is_beside { EXPLAINED } else { 4 };
    let what = Span::styled(format!(" {what:<width$}", width = EXPLAINED - 1), style);
    let mut rows = text::wrap(explanation, columns.saturating_sub(indent)).into_iter();
    let first = if is_beside {
        rows.next().unwrap_or_default()
    } else {
        String::new()
    };
    let below = rows.map(|row| Line::from(format!("{:indent$}{row}", "")));
    std::iter::once(Line::from(vec![what, Span::raw(first)]))
        .chain(below)
        .collect()
}

fn help(theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for binding in BINDINGS {
        lines.extend(explained(
            binding.keys,
            theme.strong(),
            binding.does,
            columns,
        ));
    }
    lines.push(Line::default());
    for spec in COMMANDS {
        lines.extend(explained(
            &format!("/{} {}", spec.name, spec.arguments),
            theme.strong(),
            spec.does,
            columns,
        ));
    }
    lines.push(Line::default());
    let marks = [
        (
            crate::client::store::OwnMark::Queued,
            "queued here, safe on this disk",
        ),
        (crate::client::store::OwnMark::Sent, "sent, no ack yet"),
        (
            crate::client::store::OwnMark::Acked,
            "safe on the server's disk",
        ),
        (
            crate::client::store::OwnMark::Delivered,
            "delivered to everyone in the room",
        ),
        (
            crate::client::store::OwnMark::Read,
            "read by everyone in the room",
        ),
        (
            crate::client::store::OwnMark::Refused,
            "refused by the server: edit, retry or discard",
        ),
    ];
    for (mark, means) in marks {
        let (sign, style) = theme.mark(mark);
        lines.extend(explained(sign, style, means, columns));
    }
    lines.push(Line::default());
    let mouse = "To select text with the mouse, drag: landfall leaves the mouse to the terminal.";
    lines.extend(
        text::wrap(mouse, columns.saturating_sub(1))
            .into_iter()
            .map(|row| Line::from(format!(" {row}"))),
    );
    lines
}
