//! Draws the open popup.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use crate::tui::app::App;
use crate::tui::layout::Areas;
use crate::tui::popups::{Popup, PopupContent, PopupContext, PopupSize};

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
    let context = PopupContext {
        theme: app.theme,
        zone: &app.zone,
        rooms: &app.rooms,
        space: areas.popup_space(),
        columns_large: usize::from(areas.large_popup().width).saturating_sub(2),
    };
    let PopupContent {
        title,
        lines,
        selected,
        scroll,
        size,
    } = popup.content(&context);
    let area = match size {
        PopupSize::Large => areas.large_popup(),
        PopupSize::Fitted => fitted(areas, &lines),
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let first = selected.map_or_else(
        || scroll.min(lines.len().saturating_sub(rows)),
        |selected| (selected + 1).saturating_sub(rows),
    );
    let lines = lines.into_iter().enumerate().skip(first).take(rows);
    let shown = lines.map(|(at, line)| {
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

fn fitted(areas: Areas, lines: &[Line<'_>]) -> Rect {
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
