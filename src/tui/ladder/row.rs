//! PURE. A row of the screen as pieces of text, each with what it means. Colours come last.

use std::sync::Arc;

use crate::tui::{fit, width};

/// What a piece of text means: the only reason for a colour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    /// Ordinary text.
    Plain,
    /// Not in focus.
    Dim,
    /// A headline, or an arrow under way.
    Head,
    /// Broken now, or lost.
    Broken,
    /// Waiting now.
    Waiting,
    /// Safe.
    Safe,
    /// The mark of what to look at, and keys.
    Focus,
}

/// One row, from left to right.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct TextRow {
    pub(crate) pieces: Vec<(String, Role)>,
    /// The text of the message that the row is about.
    pub(crate) message: Option<Arc<str>>,
}

impl TextRow {
    pub(crate) fn of(text: impl Into<String>, role: Role) -> Self {
        Self::default().with(text, role)
    }

    #[must_use]
    pub(crate) fn with(mut self, text: impl Into<String>, role: Role) -> Self {
        self.push(text, role);
        self
    }

    pub(crate) fn push(&mut self, text: impl Into<String>, role: Role) {
        self.pieces.push((text.into(), role));
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.pieces.iter().map(|(text, _)| width(text)).sum()
    }

    /// Fills with spaces up to a column.
    #[must_use]
    pub(crate) fn padded_to(mut self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        if missing > 0 {
            self.push(" ".repeat(missing), Role::Plain);
        }
        self
    }

    /// Shortens to at most so many columns.
    #[must_use]
    pub(crate) fn fit(mut self, columns: usize) -> Self {
        let mut used = 0;
        for (text, _) in &mut self.pieces {
            let left = columns.saturating_sub(used);
            *text = fit(text, left);
            used += width(text);
        }
        self.pieces.retain(|(text, _)| !text.is_empty());
        self
    }

    /// Exactly so many columns.
    #[must_use]
    pub(crate) fn exactly(self, columns: usize) -> Self {
        self.fit(columns).padded_to(columns)
    }

    /// Puts another row behind this one.
    #[must_use]
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// The text without roles.
    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// The signs of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signs {
    pub(crate) ascii: bool,
}

impl Signs {
    /// A sign, or its ASCII replacement.
    pub(crate) const fn sign(self, sign: &'static str, plain: &'static str) -> &'static str {
        if self.ascii { plain } else { sign }
    }

    pub(crate) const fn line(self) -> &'static str {
        self.sign("─", "-")
    }

    /// A rule: titles at columns, and where a vertical line meets it.
    pub(crate) fn rule(
        self,
        columns: usize,
        titles: &[(usize, &str)],
        meets: Option<(usize, &'static str)>,
    ) -> TextRow {
        let mut row = TextRow::default();
        let mut titles: Vec<_> = titles.to_vec();
        titles.sort_unstable_by_key(|(at, _)| *at);
        let fill = |row: TextRow, column: usize| {
            let from = row.width();
            let line: String = (from..column)
                .map(|at| match meets {
                    Some((meets_at, sign)) if at == meets_at => self.sign(sign, "+"),
                    _ => self.line(),
                })
                .collect();
            row.with(line, Role::Dim)
        };
        for (at, title) in titles {
            row = fill(row, at);
            row.push(format!(" {title} "), Role::Dim);
        }
        fill(row, columns).fit(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_row_has_exactly_the_columns() {
        let row = TextRow::of("日本語", Role::Plain).with(" and more", Role::Dim);
        for columns in [0, 3, 6, 10, 40] {
            assert_eq!(row.clone().exactly(columns).width(), columns, "{columns}");
        }
    }

    #[test]
    fn rule_has_titles_and_meets_the_line() {
        let signs = Signs { ascii: false };
        let rule = signs.rule(20, &[(2, "a"), (9, "b")], Some((14, "┬")));
        assert_eq!(rule.text(), "── a ──── b ──┬─────");
    }
}
