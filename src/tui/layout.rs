//! PURE. The areas of the screen, for drawing and for decisions.

use ratatui::layout::Rect;

use super::app::App;
use super::popups::PopupSpace;

/// Minimum width for the room list, columns.
const COLUMNS_FOR_ROOMS: u16 = 56;
/// From this width on the inspector is beside the log.
const COLUMNS_FOR_INSPECTOR_BESIDE: u16 = 96;
/// Maximum rows of the composer.
const COMPOSER_ROWS_MAX: u16 = 8;

/// The areas of the screen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Areas {
    pub(crate) rooms: Option<Rect>,
    pub(crate) inspector: Option<Rect>,
    pub(crate) header: Rect,
    pub(crate) log: Rect,
    pub(crate) rule: Rect,
    pub(crate) composer: Rect,
    pub(crate) status: Rect,
}

impl Areas {
    /// The space inside of the largest fitted popup.
    pub(super) fn popup_space(&self) -> PopupSpace {
        PopupSpace {
            columns: usize::from(self.status.width).saturating_sub(2),
            rows: usize::from(self.status.y).saturating_sub(2),
        }
    }

    /// The area of a large popup: most of the screen.
    pub(crate) const fn large_popup(&self) -> Rect {
        let (columns, rows) = (self.status.width, self.status.y);
        let (width, height) = (columns - columns / 8, rows - rows / 4);
        Rect::new((columns - width) / 2, (rows - height) / 2, width, height)
    }
}

/// Returns the areas for the current size of the terminal.
pub(crate) fn areas(app: &App) -> Areas {
    areas_in(app, app.size)
}

/// Returns the areas for a size, with the rows that the composer's text needs.
pub(crate) fn areas_in(app: &App, (columns, rows): (u16, u16)) -> Areas {
    let composer_columns = usize::from(columns).saturating_sub(2);
    let wanted = app
        .composer()
        .map_or(1, |composer| composer.rows(composer_columns).len());
    let most = (rows / 3).clamp(1, COMPOSER_ROWS_MAX);
    let composer_rows = u16::try_from(wanted).unwrap_or(u16::MAX).clamp(1, most);
    let rule_rows = u16::from(rows >= 7);
    let body = rows.saturating_sub(composer_rows + rule_rows + 1);
    let inspector = app
        .inspector
        .as_ref()
        .map(|_| beside_or_over(columns, body));
    let (left, top) = match inspector {
        Some(area) if area.x > 0 => (area.x, 0), // beside: the chat gets the other columns
        Some(area) => (columns, area.height),
        None => (columns, 0),
    };
    let is_wide = left >= COLUMNS_FOR_ROOMS + if left < columns { 20 } else { 0 };
    let rooms_columns = if is_wide && top == 0 {
        (columns / 5).clamp(16, 26)
    } else {
        0
    };
    let log_x = if rooms_columns > 0 {
        rooms_columns + 2
    } else {
        0
    };
    let log_columns = left.saturating_sub(log_x + u16::from(left < columns));
    let log_rows = body.saturating_sub(top);
    Areas {
        rooms: (rooms_columns > 0).then_some(Rect::new(0, 0, rooms_columns, body)),
        inspector,
        header: Rect::new(log_x, top, log_columns, 1.min(log_rows)),
        log: Rect::new(log_x, top + 1, log_columns, log_rows.saturating_sub(1)),
        rule: Rect::new(0, body, columns, rule_rows),
        composer: Rect::new(0, body + rule_rows, columns, composer_rows),
        status: Rect::new(0, rows.saturating_sub(1), columns, 1),
    }
}

/// The inspector is beside the log where both have room, else over it; the log keeps some rows
/// if there are any.
fn beside_or_over(columns: u16, body: u16) -> Rect {
    if columns >= COLUMNS_FOR_INSPECTOR_BESIDE {
        let width = (columns * 13 / 25).clamp(52, 84);
        return Rect::new(columns - width, 0, width, body);
    }
    let log_rows = match body {
        13.. => (body / 3).min(7),
        _ => 0,
    };
    Rect::new(0, 0, columns, body - log_rows)
}

/// Number of columns in a row of the composer.
pub(crate) fn composer_columns(app: &App) -> usize {
    usize::from(areas(app).composer.width).saturating_sub(2)
}
