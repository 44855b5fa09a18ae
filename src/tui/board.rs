//! A board beside the chat: lines and keys of another part of the program. The demo shows there
//! what it broke.

use tokio::sync::{mpsc, watch};

use crate::protocol::EntryId;

/// What a board's owner hands to the screen.
pub struct SidePanel {
    /// What the keys do.
    pub keys: Vec<(char, &'static str)>,
    /// What is to be shown.
    pub shown: watch::Receiver<PanelContent>,
    /// Gets an event when something is done.
    pub done: mpsc::UnboundedSender<PanelEvent>,
}

/// What a board shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PanelContent {
    /// What goes on, if it is something longer.
    pub heading: Option<String>,
    /// What was broken last.
    pub broken: String,
    /// What was noticed of that.
    pub noticed: String,
    /// What was done about it.
    pub did: String,
    /// Figures that change all the time.
    pub figures: String,
    /// Keys whose doing lasts.
    pub lasting: Vec<char>,
}

/// What a person did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PanelEvent {
    /// Pressed one of the keys.
    Pressed(char),
    /// Wrote a message, which is on disk.
    Typed(EntryId, String),
    /// Took one back, or wrote another one instead of it.
    Dropped(EntryId),
}

/// The board as the screen has it.
#[derive(Clone, Debug)]
pub(crate) struct BoardView {
    pub(crate) keys: Vec<(char, &'static str)>,
    pub(crate) shown: PanelContent,
}

/// Rows above the keys: a heading, what was broken, what was noticed, what was done, the figures.
pub(crate) const HEAD: usize = 5;

impl BoardView {
    /// The keys in rows of so many columns.
    pub(crate) fn rows(&self, columns: usize) -> Vec<Vec<(char, &'static str)>> {
        let mut rows: Vec<Vec<(char, &'static str)>> = vec![Vec::new()];
        let mut used = 0;
        for (key, name) in &self.keys {
            let wide = name.chars().count() + 4;
            if used + wide > columns && used > 0 {
                rows.push(Vec::new());
                used = 0;
            }
            used += wide;
            if let Some(row) = rows.last_mut() {
                row.push((*key, name));
            }
        }
        rows
    }
}
