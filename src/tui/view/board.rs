//! The side panel: heading, fault, detection, reaction, counters, and keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::protocol::sanitize_line;
use crate::tui::app::App;
use crate::tui::board::BoardView;
use crate::tui::text;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, board: &BoardView, area: Rect) {
    let (theme, columns) = (app.theme, usize::from(area.width));
    let has_keys = app
        .inspector
        .as_ref()
        .is_some_and(|inspector| inspector.focused);
    let hint = if has_keys {
        "keys break things; Tab to the text"
    } else {
        "Tab on an empty line: keys break things"
    };
    let heading = board.shown.heading.as_deref().unwrap_or(hint);
    let heading = format!(
        " {} ",
        text::fit(&sanitize_line(heading), columns.saturating_sub(4))
    );
    let rule = theme
        .sign("─", "-")
        .repeat(columns.saturating_sub(text::width(&heading) + 2));
    let style = if has_keys {
        theme.accent()
    } else {
        theme.dim()
    };
    let fit = |line: &str| text::fit(&sanitize_line(line), columns);
    let mut lines = vec![
        Line::from(vec![
            Span::styled(theme.sign("──", "--"), theme.dim()),
            Span::styled(heading, style),
            Span::styled(rule, theme.dim()),
        ]),
        Line::styled(fit(&board.shown.broken), theme.warning()),
    ];
    lines.extend([
        Line::from(fit(&board.shown.noticed)),
        Line::from(fit(&board.shown.did)),
    ]);
    lines.push(Line::styled(fit(&board.shown.figures), theme.dim()));
    for row in board.rows(columns) {
        let key = |(key, name): (char, &'static str)| {
            let style = if board.shown.lasting.contains(&key) {
                theme.selected()
            } else {
                theme.dim()
            };
            [
                Span::styled(format!(" {key}"), theme.strong()),
                Span::styled(format!(" {name}"), style),
                Span::raw(" "),
            ]
        };
        lines.push(Line::from(
            row.into_iter().flat_map(key).collect::<Vec<_>>(),
        ));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
