//! PURE. The help: keys, commands and marks.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{PopupContent, PopupContext, PopupSize, PopupSpace, PopupStep};
use crate::client::store::OwnMark;
use crate::tui::action::Action;
use crate::tui::command::COMMANDS;
use crate::tui::keymap::BINDINGS;
use crate::tui::text;
use crate::tui::theme::Theme;

#[derive(Clone, Default, Debug)]
pub(crate) struct HelpPopup {
    /// Lines above the first one shown.
    scroll: usize,
}

impl HelpPopup {
    pub(super) fn on_action(&mut self, action: Action, space: PopupSpace) -> PopupStep {
        // Two rows stay in view, as in the log.
        let page = space.rows.saturating_sub(2).max(1);
        let lines = help(Theme::new(false, false), space.columns).len();
        let end = lines.saturating_sub(space.rows);
        let first = self.scroll.min(end); // the screen may have grown
        let scroll = match action {
            Action::Down | Action::ScrollDown => first + 1,
            Action::Up | Action::ScrollUp => first.saturating_sub(1),
            Action::PageDown => first + page,
            Action::PageUp => first.saturating_sub(page),
            Action::Home => 0,
            Action::End => end,
            _ => return PopupStep::Close,
        };
        self.scroll = scroll.min(end);
        PopupStep::Stay
    }

    pub(super) fn content(&self, context: &PopupContext<'_>) -> PopupContent {
        PopupContent {
            title: " help · arrows, PgUp, PgDn: scroll · Esc: close ".to_owned(),
            lines: help(context.theme, context.space.columns),
            selected: None,
            scroll: self.scroll,
            size: PopupSize::Fitted,
        }
    }
}

/// Columns of the explained term.
const EXPLAINED: usize = 33;
/// Minimum columns for the text beside a key; with fewer, it goes below the key.
const BESIDE_MIN: usize = 16;

/// Returns a term with its explanation beside or below it, in as many rows as it needs.
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
    for bindings in BINDINGS.chunk_by(|one, next| one.help == next.help) {
        let keys: Vec<_> = bindings.iter().flat_map(|binding| binding.keys).collect();
        let keys = keys.iter().map(|key| **key).collect::<Vec<_>>().join(", ");
        lines.extend(explained(&keys, theme.strong(), bindings[0].help, columns));
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
        (OwnMark::Queued, "saved on this computer"),
        (OwnMark::Sent, "sent, no acknowledgement yet"),
        (OwnMark::Acked, "on the server (acknowledged)"),
        (OwnMark::Delivered, "delivered to everyone in the room"),
        (OwnMark::Read, "read by everyone in the room"),
        (
            OwnMark::Rejected,
            "rejected by the server: edit, retry or discard",
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
