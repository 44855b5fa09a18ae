//! The inspector: a border with the titles of its pages, and one page.

mod frames;
mod ladder;
mod link;
mod outbox;
mod rooms;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use super::popup::ASCII;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::inspector::{Inspector, InspectorPage};
use crate::tui::keymap::key_of;
use crate::tui::text;
use crate::tui::theme::Theme;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, inspector: &Inspector, area: Rect) {
    let theme = app.theme;
    let style = if inspector.focused {
        theme.accent()
    } else {
        theme.dim()
    };
    let block = Block::bordered()
        .border_style(style)
        .title(titles(theme, inspector))
        .title_bottom(hint(inspector, area));
    let block = if theme.is_ascii() {
        block.border_set(ASCII)
    } else {
        block.border_type(BorderType::Rounded)
    };
    let inner = block.inner(area);
    let (columns, rows) = (usize::from(inner.width), usize::from(inner.height));
    let lines = match inspector.page {
        InspectorPage::Link => link::lines(app, inspector, columns, rows),
        InspectorPage::Outbox => outbox::lines(app, inspector, columns, rows),
        InspectorPage::Rooms => rooms::lines(app, inspector, columns, rows),
        InspectorPage::Frames => frames::lines(app, inspector, columns, rows),
        InspectorPage::Ladder => ladder::lines(app, inspector, columns, rows),
    };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn titles(theme: Theme, inspector: &Inspector) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (at, page) in InspectorPage::ALL.into_iter().enumerate() {
        let style = if page == inspector.page {
            theme.selected()
        } else {
            Style::new()
        };
        spans.push(Span::styled(
            format!(" {} {} ", at + 1, page.title()),
            style,
        ));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// Returns the keys of this page and their effects.
fn hint(inspector: &Inspector, area: Rect) -> Line<'static> {
    let key = |action, does| format!("{} {does}", key_of(action));
    let page = match inspector.page {
        _ if inspector.is_filtering => "Enter keeps the filter, Esc drops it".to_owned(),
        InspectorPage::Link => String::new(),
        InspectorPage::Outbox => [
            key(Action::RetrySelected, "retries"),
            key(Action::DiscardSelected, "discards"),
        ]
        .join(", "),
        InspectorPage::Rooms => "arrows scroll".to_owned(),
        InspectorPage::Frames if inspector.is_whole => {
            key(Action::ShowWhole, "closes it, arrows go on")
        }
        InspectorPage::Frames => [
            key(Action::ShowWhole, "opens"),
            key(Action::PauseFrames, "pauses"),
            key(Action::FilterFrames, "filters"),
        ]
        .join(", "),
        InspectorPage::Ladder => [
            key(Action::ShowWhole, "opens its frame"),
            key(Action::PauseFrames, "pauses"),
        ]
        .join(", "),
    };
    let keys = if inspector.focused {
        [
            key(Action::LeaveInspector, "to the text"),
            key(Action::CloseInspector, "closes"),
        ]
    } else {
        [
            key(Action::LeaveInspector, "to here"),
            key(Action::Inspect, "closes"),
        ]
    }
    .join(", ");
    let words = if page.is_empty() {
        keys
    } else {
        format!("{page} · {keys}")
    };
    let columns = usize::from(area.width).saturating_sub(4);
    let words = if text::width(&words) > columns && !page.is_empty() {
        page
    } else {
        words
    };
    Line::from(format!(" {} ", text::fit(&words, columns)))
}

/// A label in its column, and its values.
fn row(
    theme: Theme,
    label: &'static str,
    words: Vec<Span<'static>>,
    columns: usize,
) -> Line<'static> {
    let mut spans = vec![Span::styled(format!("{label:<LABEL$}"), theme.dim())];
    let mut left = columns.saturating_sub(LABEL);
    for span in words {
        let fitted = text::fit(&span.content, left);
        left -= text::width(&fitted).min(left);
        spans.push(Span::styled(fitted, span.style));
    }
    Line::from(spans)
}

/// Columns of a label.
const LABEL: usize = 11;

/// Joins the texts that are not empty with dots.
fn dotted(pieces: impl IntoIterator<Item = String>) -> String {
    pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Bytes as people write them.
fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{} kB", count / 1_000),
        _ => format!("{} MB", count / 1_000_000),
    }
}
