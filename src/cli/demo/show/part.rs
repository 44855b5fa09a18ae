//! PURE. What the parts of a program are, and how the screen calls them.

/// What the parts of a program are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PartKind {
    Act,
    /// A station of the tour.
    Station,
    Scenario,
    Free,
}

impl PartKind {
    /// What the title calls a part.
    pub(super) fn heading(self, number: usize, of: usize) -> String {
        match self {
            Self::Act => format!("act {number} of {of}: "),
            Self::Station => format!("tour, {number} of {of}: "),
            Self::Scenario => "scenario: ".to_owned(),
            Self::Free => String::new(),
        }
    }

    /// What lines call a part, without their number.
    pub(super) fn line_heading(self, number: usize) -> String {
        match self {
            Self::Act | Self::Station => format!("{} {number}: ", self.word()),
            Self::Scenario | Self::Free => self.heading(number, 1),
        }
    }

    /// What one part is.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Station => "station",
            Self::Scenario => "scenario",
            Self::Free => "free play",
        }
    }

    /// The title of the table of all parts.
    pub(super) const fn table_title(self) -> &'static str {
        match self {
            Self::Act => "act by act",
            Self::Station => "station by station",
            Self::Scenario | Self::Free => "in figures",
        }
    }
}
