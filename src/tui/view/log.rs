//! The log of the room on screen, from its bottom edge upwards. Only visible lines are wrapped and
//! drawn.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::counted;
use crate::client::store::{Line, OwnMark, Pending};
use crate::protocol::{Kind, Seq, sanitize_line};
use crate::tui::action::Action;
use crate::tui::app::{Anchor, App};
use crate::tui::items::{self, Columns, Item, body, pending_body};
use crate::tui::keymap::key_of;
use crate::tui::text;

/// One row of an item, ready to draw.
struct ScreenRow {
    parts: Vec<RowPart>,
}

/// A styled text at a column of a row.
struct RowPart {
    x: u16,
    text: String,
    style: Style,
}

impl RowPart {
    const fn new(x: u16, text: String, style: Style) -> Self {
        Self { x, text, style }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(room) = app.room() else {
        let text = "Connecting … your rooms appear here";
        frame.buffer_mut().set_stringn(
            area.x + 1,
            area.y + 1,
            text,
            area.width.saturating_sub(1).into(),
            app.theme.dim(),
        );
        return;
    };
    let columns = Columns::of(area.width.into());
    let all = items::items(&app.log, room.bottom, &app.zone);
    let (end, hidden) = items::bottom(&all, app.log.anchor);
    let mut y = area.bottom();
    let mut skip = hidden;
    'items: for item in all[..end].iter().rev() {
        for row in rows(app, item, columns, area.width).into_iter().rev() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if y == area.y {
                break 'items;
            }
            y -= 1;
            draw_row(frame.buffer_mut(), &row, area, y);
        }
    }
    if all.is_empty() {
        let text = "No messages yet. Type one and press Enter";
        frame.buffer_mut().set_stringn(
            area.x + 1,
            area.bottom().saturating_sub(1),
            text,
            area.width.into(),
            app.theme.dim(),
        );
    }
    if app.log.anchor != Anchor::Bottom {
        draw_below(frame.buffer_mut(), app, area, room.top);
    }
}

/// Shows the number of newer messages below, and the key that scrolls there.
fn draw_below(buffer: &mut Buffer, app: &App, area: Rect, top: Seq) {
    let last = match app.log.anchor {
        Anchor::At(seq, _) => seq,
        Anchor::Bottom => top,
    };
    let more = top.since(last);
    let sign = app.theme.sign("↓", "v");
    let text = format!(" {sign} {more} below, {} ", key_of(Action::ToBottom));
    let x = area
        .right()
        .saturating_sub(text::width(&text) as u16 + 1)
        .max(area.x);
    buffer.set_stringn(
        x,
        area.bottom().saturating_sub(1),
        text,
        area.width.into(),
        app.theme.selected(),
    );
}

fn draw_row(buffer: &mut Buffer, row: &ScreenRow, area: Rect, y: u16) {
    for RowPart { x, text, style } in &row.parts {
        let left = area.width.saturating_sub(*x);
        buffer.set_stringn(area.x + x, y, text, left.into(), *style);
    }
}

fn rows(app: &App, item: &Item<'_>, columns: Columns, width: u16) -> Vec<ScreenRow> {
    let theme = app.theme;
    match item {
        Item::Older => vec![rule(
            app,
            "Scroll up to load older messages",
            width,
            theme.dim(),
        )],
        Item::Date(day) => vec![rule(app, day, width, theme.dim())],
        Item::New => vec![rule(app, "new", width, theme.warning())],
        Item::Gap(missing) => {
            vec![rule(
                app,
                &format!(
                    "{} missing, loading …",
                    counted(*missing, "message", "messages")
                ),
                width,
                theme.warning(),
            )]
        }
        Item::Aside(count) => {
            vec![rule(
                app,
                &format!(
                    "{} lost when the server was restored from a backup; kept here",
                    counted(*count as u64, "message was", "messages were")
                ),
                width,
                theme.warning(),
            )]
        }
        Item::Line(line) if line.kind == Kind::Message => message(app, line, columns, width),
        Item::Line(line) => event(app, line, columns),
        Item::Pending(pending) => waiting(app, pending, columns, width),
    }
}

fn rule(app: &App, text: &str, width: u16, style: Style) -> ScreenRow {
    let line = app.theme.sign("─", "-");
    let label = text::fit(text, usize::from(width).saturating_sub(8));
    let rest = usize::from(width).saturating_sub(text::width(&label) + 5);
    ScreenRow {
        parts: vec![RowPart::new(
            0,
            format!("{} {label} {}", line.repeat(2), line.repeat(rest)),
            style,
        )],
    }
}

fn message(app: &App, line: &Line, columns: Columns, width: u16) -> Vec<ScreenRow> {
    let is_mine = Some(line.author) == app.me.account;
    let name = if is_mine {
        "you".to_owned()
    } else {
        sanitize_line(&line.name).into_owned()
    };
    let name_style = if is_mine {
        app.theme.dim()
    } else {
        app.theme.name(&name)
    };
    let is_sought = app.log.sought.is_some_and(|sought| sought.seq == line.seq);
    let style = match line.redacted {
        true => app.theme.dim(),
        false if is_sought => app.theme.selected(),
        false => Style::new(),
    };
    let head = LineHead {
        at: line.at,
        name,
        name_style,
        mark: line.mark,
    };
    block(app, &head, &body(line), style, columns, width)
}

struct LineHead {
    at: u64,
    name: String,
    name_style: Style,
    mark: Option<OwnMark>,
}

fn block(
    app: &App,
    head: &LineHead,
    body: &str,
    style: Style,
    columns: Columns,
    width: u16,
) -> Vec<ScreenRow> {
    let indent = (columns.time + columns.name) as u16;
    let wrapped = text::wrap(body, columns.body).into_iter();
    let mut rows: Vec<ScreenRow> = wrapped
        .map(|text| ScreenRow {
            parts: vec![RowPart::new(indent, text, style)],
        })
        .collect();
    let Some(first) = rows.first_mut() else {
        return rows;
    };
    if columns.time > 0 {
        first.parts.push(RowPart::new(
            0,
            items::time(head.at, &app.zone),
            app.theme.dim(),
        ));
    }
    first.parts.push(RowPart::new(
        columns.time as u16,
        text::fit(&head.name, columns.name - 1),
        head.name_style,
    ));
    if let Some(mark) = head.mark {
        let (sign, style) = app.theme.mark(mark);
        first.parts.push(RowPart::new(
            width.saturating_sub(columns.mark as u16 - 1),
            sign.to_owned(),
            style,
        ));
    }
    rows
}

fn event(app: &App, line: &Line, columns: Columns) -> Vec<ScreenRow> {
    let wrapped = text::wrap(&body(line), columns.name + columns.body);
    let mut rows: Vec<ScreenRow> = wrapped
        .into_iter()
        .map(|text| ScreenRow {
            parts: vec![RowPart::new(columns.time as u16, text, app.theme.dim())],
        })
        .collect();
    if let (Some(first), true) = (rows.first_mut(), columns.time > 0) {
        first.parts.push(RowPart::new(
            0,
            items::time(line.at, &app.zone),
            app.theme.dim(),
        ));
    }
    rows
}

fn waiting(app: &App, pending: &Pending, columns: Columns, width: u16) -> Vec<ScreenRow> {
    let style = if pending.discarded || pending.kind != Kind::Message {
        app.theme.dim()
    } else {
        Style::new()
    };
    let head = LineHead {
        at: pending.composed_at,
        name: "you".to_owned(),
        name_style: app.theme.dim(),
        mark: Some(pending.mark),
    };
    let mut rows = block(app, &head, &pending_body(pending), style, columns, width);
    if let Some((_, reason)) = &pending.rejection {
        let indent = (columns.time + columns.name) as u16;
        let why = items::refusal_rows(pending.kind, reason, columns).into_iter();
        rows.extend(why.map(|text| ScreenRow {
            parts: vec![RowPart::new(indent, text, app.theme.error())],
        }));
    }
    rows
}
