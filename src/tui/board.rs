//! A panel beside the chat, with lines and keys of another part of the program. The demo shows its
//! faults there.

use tokio::sync::{mpsc, watch};

use crate::protocol::EntryId;

/// A panel, as its owner passes it to the screen.
pub struct SidePanel {
    /// The keys, with their descriptions.
    pub keys: Vec<(char, &'static str)>,
    /// The content.
    pub shown: watch::Receiver<PanelContent>,
    /// Gets an event when something is done.
    pub done: mpsc::UnboundedSender<PanelEvent>,
}

/// The content of a panel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PanelContent {
    /// The current activity, if it takes longer.
    pub heading: Option<String>,
    /// The latest fault.
    pub broken: String,
    /// How the fault was detected.
    pub noticed: String,
    /// The reaction to the fault.
    pub did: String,
    /// Text of numbers that change continuously.
    pub figures: String,
    /// Keys whose fault lasts until it is ended.
    pub lasting: Vec<char>,
}

/// An action of the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PanelEvent {
    /// A key of the board was pressed.
    Pressed(char),
    /// A message was composed, and is on disk.
    Typed(EntryId, String),
    /// A message was discarded, or replaced by a new one.
    Dropped(EntryId),
}

/// The board as the screen has it.
#[derive(Clone, Debug)]
pub(crate) struct BoardView {
    pub(crate) keys: Vec<(char, &'static str)>,
    pub(crate) shown: PanelContent,
}

/// Rows above the keys: heading, fault, detection, reaction, and counters.
pub(crate) const HEAD: usize = 5;

impl BoardView {
    /// Distributes the keys over rows of `columns` columns.
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
