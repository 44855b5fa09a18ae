//! PURE. The five link states, without details.

use std::fmt;

/// A link state as stored in the journal, and as named in JSON and the diagram.
///
/// [`LinkState`](super::LinkState) adds the current details.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkPhase {
    /// Dialing, or waiting for the welcome.
    Connecting,
    /// Connected, and at least one room is not at its head.
    Resyncing,
    /// Connected, with every room at its head.
    Connected,
    /// Waiting for the next attempt.
    Backoff,
    /// No attempt is planned until the user or the network asks for one.
    Offline,
}

impl LinkPhase {
    /// All phases, in the order of a connection.
    pub const ALL: [Self; 5] = [
        Self::Connecting,
        Self::Resyncing,
        Self::Connected,
        Self::Backoff,
        Self::Offline,
    ];

    /// The stored word. It never changes: journals of earlier versions contain it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Resyncing => "resyncing",
            Self::Connected => "connected",
            Self::Backoff => "backoff",
            Self::Offline => "offline",
        }
    }

    /// The phase of a stored word; `None` for any other text.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

impl fmt::Display for LinkPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
