//! The fourth page: all frames, and the selected one in full.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::bytes;
use crate::client::{FrameDirection, TracedFrame};
use crate::protocol::{sanitize, sanitize_line};
use crate::tui::app::App;
use crate::tui::inspector::Inspector;
use crate::tui::{items, text};

/// Minimum rows of the list beside a whole frame.
const LIST_ROWS_MIN: usize = 4;

pub(super) fn lines(
    app: &App,
    inspector: &Inspector,
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let theme = app.theme;
    let frames = inspector.frames();
    let whole = inspector
        .frame()
        .filter(|_| inspector.is_whole)
        .map(|frame| pretty(&frame.text, columns));
    let whole = whole.unwrap_or_default();
    let whole_rows = whole.len().min(rows.saturating_sub(LIST_ROWS_MIN + 2));
    let list_rows = rows.saturating_sub(1 + whole_rows + usize::from(whole_rows > 0));
    let mut lines = vec![Line::styled(
        text::fit(&above(inspector, frames.len()), columns),
        theme.dim(),
    )];
    // The latest frame is at the bottom, and the selected one stays visible.
    let hidden = (inspector.selected + 1).saturating_sub(list_rows);
    let last = frames.len() - hidden.min(frames.len());
    for (at, frame) in frames
        .iter()
        .enumerate()
        .take(last)
        .skip(last.saturating_sub(list_rows))
    {
        let line = line(app, frame, columns);
        let is_selected = frames.len() - 1 - at == inspector.selected && inspector.focused;
        lines.push(if is_selected {
            line.style(theme.selected())
        } else {
            line
        });
    }
    if whole_rows > 0 {
        lines.push(Line::styled(
            theme.sign("─", "-").repeat(columns),
            theme.dim(),
        ));
        lines.extend(whole.into_iter().take(whole_rows).map(Line::from));
    }
    lines
}

fn above(inspector: &Inspector, count: usize) -> String {
    let filter = match (&inspector.filter, inspector.is_filtering) {
        (filter, true) => format!(", with {filter}_"),
        (filter, false) if filter.is_empty() => String::new(),
        (filter, false) => format!(", with {}", sanitize_line(filter)),
    };
    let paused = if inspector.paused.is_some() {
        ", paused"
    } else {
        ""
    };
    format!("the last {count} frames{filter}{paused}; secrets are left out")
}

fn line(app: &App, frame: &TracedFrame, columns: usize) -> Line<'static> {
    let theme = app.theme;
    let (way, style) = match frame.way {
        FrameDirection::Up => (theme.sign("▴", "^"), theme.accent()),
        FrameDirection::Down => (theme.sign("▾", "v"), Style::new()),
    };
    let (kind, rest) = split(&frame.text);
    let before = format!("{} ", items::clock(frame.at, &app.zone));
    let what = format!(
        "{way} {:>2} {kind:<8} {:>7} ",
        frame.dial.0,
        bytes(frame.bytes as u64)
    );
    let left = columns.saturating_sub(text::width(&before) + text::width(&what));
    Line::from(vec![
        Span::styled(before, theme.dim()),
        Span::styled(what, style),
        Span::styled(text::fit(&rest, left), theme.dim()),
    ])
}

/// Splits a frame into its type and a short form of the rest.
fn split(frame: &str) -> (String, String) {
    const SHOWN: usize = 400; // a screen is no wider
    let Some(after) = frame.strip_prefix("{\"type\":\"") else {
        let shown: String = frame.chars().take(SHOWN).collect();
        return ("?".to_owned(), sanitize_line(&shown).into_owned());
    };
    let kind = after.split('"').next().unwrap_or_default();
    let rest: String = after
        .chars()
        .skip(kind.chars().count() + 2)
        .take(SHOWN)
        .collect();
    (
        sanitize_line(kind).into_owned(),
        sanitize_line(rest.trim_end_matches('}')).into_owned(),
    )
}

/// Formats JSON over several rows.
fn pretty(frame: &str, columns: usize) -> Vec<String> {
    let parsed = serde_json::from_str::<serde_json::Value>(frame);
    let pretty = parsed
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| frame.to_owned());
    text::wrap(&sanitize(&pretty), columns)
}
