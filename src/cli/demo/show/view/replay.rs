//! PURE. The same rows at a fixed width, for a page that replays a show.

use super::panes;
use crate::cli::demo::show::model::Model;
use crate::tui::{LadderRow, LadderTime, LadderView, LadderWhat};
use crate::tui::{Signs, TextRow};

/// Columns and rows of a chat, without its status line.
const CHAT: (usize, usize) = (50, 12);
/// Columns of the ladder.
const LADDER_COLUMNS: usize = 100;

/// What a replay page shows.
pub(in crate::cli::demo::show) struct ReplayView;

impl ReplayView {
    const SIGNS: Signs = Signs { ascii: false };

    /// The naive chat, with its status line.
    pub(in crate::cli::demo::show) fn naive(model: &Model) -> Vec<TextRow> {
        let (columns, rows) = CHAT;
        let mut naive = panes::naive(model, columns, rows, Self::SIGNS);
        naive.push(panes::naive_status(model, columns));
        naive
    }

    /// Landfall, with its status line.
    pub(in crate::cli::demo::show) fn landfall(model: &Model) -> Vec<TextRow> {
        let (columns, rows) = CHAT;
        let mut landfall = panes::landfall(model, columns, rows, Self::SIGNS);
        landfall.push(panes::landfall_status(
            model,
            model.at,
            columns,
            Self::SIGNS,
        ));
        landfall
    }

    /// One row of the ladder.
    pub(in crate::cli::demo::show) fn ladder_row(
        model: &Model,
        row: &LadderRow,
        is_newest: bool,
    ) -> TextRow {
        let view = LadderView {
            columns: LADDER_COLUMNS,
            signs: Self::SIGNS,
            time: LadderTime::Since(model.act_at),
        };
        let mut drawn = view.row(row, is_newest);
        if let LadderWhat::Up(arrow) | LadderWhat::Down(arrow) = &row.what {
            drawn.message = arrow.entry.and_then(|id| model.ladder.diagram.text_of(id));
        }
        drawn
    }
}
