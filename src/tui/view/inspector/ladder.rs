//! The fifth page: frames and states as a sequence diagram, and what the selected row means.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::app::App;
use crate::tui::inspector::Inspector;
use crate::tui::ladder::{LadderTime, LadderView, Role, Signs, TextRow, right_lane};
use crate::tui::text;
use crate::tui::theme::Theme;

pub(super) fn lines(
    app: &App,
    inspector: &Inspector,
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let theme = app.theme;
    let view = LadderView {
        columns,
        signs: Signs {
            ascii: theme.is_ascii(),
        },
        time: LadderTime::Clock(app.zone.clone()),
    };
    let all = &inspector.ladder.rows;
    let right = right_lane(columns);
    let head = format!(
        "{:>11}{:<width$}the server",
        "",
        "this computer",
        width = right.saturating_sub(10)
    );
    let mut lines = vec![Line::styled(text::fit(&head, columns), theme.dim())];
    if all.is_empty() {
        lines.push(Line::styled("no frames yet", theme.dim()));
        return lines;
    }
    // The newest row is at the bottom, and the selected one stays visible.
    let list_rows = rows.saturating_sub(1);
    let hidden = (inspector.selected + 1)
        .saturating_sub(list_rows)
        .min(all.len());
    let last = all.len() - hidden;
    for at in last.saturating_sub(list_rows)..last {
        let is_marked = all.len() - 1 - at == inspector.selected;
        lines.push(line(view.row(&all[at], is_marked), theme));
    }
    lines
}

fn line(row: TextRow, theme: Theme) -> Line<'static> {
    let spans = row
        .pieces
        .into_iter()
        .map(|(text, role)| Span::styled(text, style(role, theme)));
    Line::from_iter(spans)
}

const fn style(role: Role, theme: Theme) -> Style {
    match role {
        Role::Plain => Style::new(),
        Role::Dim => theme.dim(),
        Role::Head => theme.strong(),
        Role::Broken => theme.error(),
        Role::Waiting => theme.warning(),
        Role::Safe => theme.good(),
        Role::Focus => theme.accent(),
    }
}
