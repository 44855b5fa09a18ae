//! All colours and signs of the screen.

use ratatui::style::{Color, Modifier, Style};

use crate::client::store::OwnMark;

/// Bars from low to high.
pub const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The look: with or without colour, in Unicode or in ASCII only.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    color: bool,
    ascii: bool,
}

impl Theme {
    /// Makes a theme; the caller has read `NO_COLOR` and the ASCII setting.
    #[must_use]
    pub const fn new(color: bool, ascii: bool) -> Self {
        Self { color, ascii }
    }

    const fn fg(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(crate) const fn dim(self) -> Style {
        if self.color {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    pub(crate) const fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) const fn accent(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(crate) const fn warning(self) -> Style {
        self.fg(Color::Yellow)
    }

    pub(crate) const fn error(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(crate) const fn good(self) -> Style {
        self.fg(Color::Green)
    }

    pub(crate) const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Returns the colour of a user's name; a name has the same one everywhere.
    pub(crate) fn name(self, name: &str) -> Style {
        const COLORS: [Color; 6] = [
            Color::Green,
            Color::Yellow,
            Color::Blue,
            Color::Magenta,
            Color::LightRed,
            Color::LightBlue,
        ];
        let sum = name.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        self.fg(COLORS[sum % COLORS.len()])
    }

    /// The mark of an own message: distinct without colour too.
    pub(crate) const fn mark(self, mark: OwnMark) -> (&'static str, Style) {
        let (sign, plain, style) = match mark {
            OwnMark::Queued => ("◌", ".", self.warning()),
            OwnMark::Sent => ("○", "o", self.warning()),
            OwnMark::Acked => ("✓", "v", self.dim()),
            OwnMark::Delivered => ("✓✓", "vv", self.dim()),
            OwnMark::Read if !self.color => ("✓✓", "VV", Style::new().add_modifier(Modifier::BOLD)),
            OwnMark::Read => ("✓✓", "VV", self.accent()),
            OwnMark::Rejected => ("✗", "x", self.error()),
        };
        (if self.ascii { plain } else { sign }, style)
    }

    /// A sign, or its ASCII replacement.
    pub(crate) const fn sign(self, sign: &'static str, plain: &'static str) -> &'static str {
        if self.ascii { plain } else { sign }
    }

    pub(crate) const fn is_ascii(self) -> bool {
        self.ascii
    }
}
