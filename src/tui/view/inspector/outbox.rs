//! The second page: pending messages with age, attempts, and reason.

use ratatui::text::{Line, Span};

use super::dotted;
use crate::client::session::Window;
use crate::client::store::{OwnMark, Pending};
use crate::client::{Tries, brief};
use crate::protocol::sanitize_line;
use crate::tui::app::App;
use crate::tui::inspector::Inspector;
use crate::tui::text;

pub(super) fn lines(
    app: &App,
    inspector: &Inspector,
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let details = inspector.look.details.as_ref();
    let window = details.map(|details| details.window).unwrap_or_default();
    let flying = format!(
        "in flight {} of {} entries",
        window.entries,
        Window::ENTRIES_MAX
    );
    let bytes = format!("{} of {} bytes", window.bytes, Window::BYTES_MAX);
    let mut lines = vec![
        Line::from(text::fit(
            &dotted([
                flying,
                bytes,
                format!("{} without a sign of arrival", window.unproved),
            ]),
            columns,
        )),
        Line::default(),
    ];
    if inspector.look.outbox.is_empty() {
        lines.push(Line::styled(
            "nothing is pending: all that was written here is in the log",
            app.theme.dim(),
        ));
        return lines;
    }
    lines.push(Line::styled(
        format!(
            "   {:>7} {:>5}  {}",
            "age", "tries", "what, and why it is still here"
        ),
        app.theme.dim(),
    ));
    let room = rows.saturating_sub(lines.len()).max(1);
    let first = (inspector.selected + 1).saturating_sub(room);
    for (at, pending) in inspector
        .look
        .outbox
        .iter()
        .enumerate()
        .skip(first)
        .take(room)
    {
        let tries =
            details.and_then(|details| details.tries.iter().find(|tries| tries.id == pending.id));
        let line = line(app, pending, tries, columns);
        lines.push(if at == inspector.selected && inspector.focused {
            line.style(app.theme.selected())
        } else {
            line
        });
    }
    lines
}

fn line(app: &App, pending: &Pending, tries: Option<&Tries>, columns: usize) -> Line<'static> {
    let (sign, style) = app.theme.mark(pending.mark);
    let age = brief(app.wall.saturating_sub(pending.composed_at));
    let tries = tries.map_or(0, |tries| tries.sends);
    let room = sanitize_line(&pending.room_name);
    let body = sanitize_line(&pending.body);
    let deferral = app
        .status
        .rooms
        .get(&pending.room)
        .and_then(|room| room.deferral.clone());
    let why = match (&pending.rejection, pending.mark, deferral) {
        (Some((_, reason)), ..) => format!("rejected: {}", sanitize_line(reason)),
        (None, OwnMark::Queued | OwnMark::Sent, Some(deferral)) => {
            format!("waiting: {}", sanitize_line(&deferral))
        }
        (None, OwnMark::Acked, _) => "acked, not yet in the log here".to_owned(),
        (None, ..) if pending.discarded => "being taken back".to_owned(),
        (None, ..) => String::new(),
    };
    let words = dotted([why, format!("#{room} {body}")]);
    let left = columns.saturating_sub(18);
    Line::from(vec![
        Span::styled(format!("{sign:<2} "), style),
        Span::raw(format!("{age:>7} {tries:>5}  ")),
        Span::raw(text::fit(&words, left)),
    ])
}
