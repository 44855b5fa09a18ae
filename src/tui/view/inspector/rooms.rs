//! The third page: stored and missing entries of each room's log.

use ratatui::text::{Line, Span};

use crate::client::counted;
use crate::client::session::RoomDetails;
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
    let Some(details) = &inspector.look.details else {
        return Vec::new();
    };
    let behind = details.rooms.iter().filter(|room| room.missing > 0).count();
    let missing: u64 = details.rooms.iter().map(|room| room.missing).sum();
    let words = match behind {
        0 => "every room is stored up to its head".to_owned(),
        _ => {
            let (missing, rooms) = (
                counted(missing, "entry", "entries"),
                details.rooms.len() as u64,
            );
            format!(
                "{missing} to come in {behind} of {}",
                counted(rooms, "room", "rooms")
            )
        }
    };
    let mut lines = vec![Line::from(text::fit(&words, columns)), Line::default()];
    let most = rows.saturating_sub(lines.len()) / 2;
    let first = inspector
        .selected
        .min(details.rooms.len().saturating_sub(most));
    for room in details.rooms.iter().skip(first).take(most) {
        let name = format!("#{} ", sanitize_line(&room.name));
        let words = format!("{} of {} stored {}", stored(room), room.head.0, room.doing);
        let name = text::fit(&name, columns.saturating_sub(text::width(&words)));
        lines.push(Line::from(vec![
            Span::styled(name, app.theme.accent()),
            Span::raw(text::fit(&words, columns)),
        ]));
        lines.push(bar(app, room, columns));
    }
    lines
}

/// Number of stored entries.
fn stored(room: &RoomDetails) -> u64 {
    room.ranges
        .iter()
        .map(|span| span.end.seq.since(span.start.seq))
        .sum()
}

/// The log from its first entry to its head: stored, missing, or some of both.
fn bar(app: &App, room: &RoomDetails, columns: usize) -> Line<'static> {
    let head = room.head.0;
    let cells = (columns as u64).min(head.max(1));
    let cell = |at: u64| {
        let (from, to) = (head * at / cells, head * (at + 1) / cells);
        let stored: u64 = room
            .ranges
            .iter()
            .map(|span| {
                span.end
                    .seq
                    .0
                    .min(to)
                    .saturating_sub(span.start.seq.0.max(from))
            })
            .sum();
        match stored {
            _ if to == from => Span::raw(" "),
            stored if stored >= to - from => {
                Span::styled(app.theme.sign("█", "#"), app.theme.good())
            }
            0 => Span::styled(app.theme.sign("░", "."), app.theme.dim()),
            _ => Span::styled(app.theme.sign("▒", ":"), app.theme.warning()),
        }
    };
    Line::from((0..cells).map(cell).collect::<Vec<_>>())
}
