//! PURE. The text in the composer: its cursor, the history, and the text that Ctrl-C cleared last.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};
use unicode_width::UnicodeWidthStr;

use super::text;

/// Maximum entries of the history.
const HISTORY_MAX: usize = 200;

/// The composer of one room. Only its user's keys change it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Composer {
    text: String,
    /// Byte offset of a grapheme boundary.
    cursor: usize,
    history: Vec<String>,
    /// The displayed line of the history, and the text from before.
    recalled: Option<(usize, String)>,
    cleared: Option<String>,
}

impl Composer {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn set(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
        self.recalled = None;
    }

    pub(crate) fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.recalled = None;
    }

    /// Inserts a pasted text; its line ends become line feeds.
    pub(crate) fn paste(&mut self, text: &str) {
        self.insert(&text.replace("\r\n", "\n").replace('\r', "\n"));
    }

    fn before(&self, at: usize) -> usize {
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        cursor
            .prev_boundary(&self.text, 0)
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        cursor
            .next_boundary(&self.text, 0)
            .ok()
            .flatten()
            .unwrap_or(self.text.len())
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.before(self.cursor);
    }

    pub(crate) fn right(&mut self) {
        self.cursor = self.after(self.cursor);
    }

    pub(crate) fn word_left(&mut self) {
        let mut words = self.text[..self.cursor].unicode_word_indices();
        self.cursor = words.next_back().map_or(0, |(at, _)| at);
    }

    pub(crate) fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let end = rest
            .unicode_word_indices()
            .next()
            .map_or(rest.len(), |(at, word)| at + word.len());
        self.cursor += end;
    }

    pub(crate) fn home(&mut self) {
        self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.text[self.cursor..]
            .find('\n')
            .map_or(self.text.len(), |at| self.cursor + at);
    }

    pub(crate) fn backspace(&mut self) {
        let from = self.before(self.cursor);
        self.remove(from, self.cursor);
    }

    pub(crate) fn delete(&mut self) {
        let to = self.after(self.cursor);
        self.remove(self.cursor, to);
    }

    pub(crate) fn delete_word(&mut self) {
        let end = self.cursor;
        self.word_left();
        self.remove(self.cursor, end);
    }

    pub(crate) fn delete_to_start(&mut self) {
        let end = self.cursor;
        self.home();
        self.remove(self.cursor, end);
    }

    pub(crate) fn delete_to_end(&mut self) {
        let start = self.cursor;
        self.end();
        self.remove(start, self.cursor);
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.recalled = None;
    }

    /// Clears the text; the second time, restores it. Returns whether the text changed.
    pub(crate) fn clear_or_restore(&mut self) -> bool {
        if !self.text.is_empty() {
            self.cleared = Some(std::mem::take(&mut self.text));
            self.cursor = 0;
            return true;
        }
        let Some(text) = self.cleared.take() else {
            return false;
        };
        self.set(text);
        true
    }

    /// The text was stored as a message: moves it to the history.
    pub(crate) fn submitted(&mut self) {
        self.submitted_command();
        self.cleared = None;
    }

    /// The text is being carried out as a command: moves it to the history. A message that was
    /// cleared for it can still be restored.
    pub(crate) fn submitted_command(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.remember(text);
        self.cursor = 0;
        self.recalled = None;
    }

    /// The command that was submitted last could not be done: it is here again, unless
    /// something else does.
    pub(crate) fn take_back(&mut self) {
        if let Some(line) = self
            .history
            .last()
            .filter(|line| self.text.is_empty() && line.starts_with('/'))
        {
            self.set(line.clone());
        }
    }

    /// Adds a text to the history, unless it is the newest one already.
    pub(crate) fn remember(&mut self, text: String) {
        if text.is_empty() || self.history.last() == Some(&text) {
            return;
        }
        self.history.push(text);
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
    }

    /// Moves up: within the text, then to older history. `columns` is the width at which the text
    /// wraps.
    pub(crate) fn up(&mut self, columns: usize) {
        if !self.move_row(columns, -1) {
            self.recall(-1);
        }
    }

    /// Moves down: within the text, then to newer history.
    pub(crate) fn down(&mut self, columns: usize) {
        if !self.move_row(columns, 1) {
            self.recall(1);
        }
    }

    fn recall(&mut self, step: isize) {
        let (at, draft) = match self.recalled.take() {
            Some((at, draft)) => (at.checked_add_signed(step), draft),
            None if step < 0 => (self.history.len().checked_sub(1), self.text.clone()),
            None => return,
        };
        let Some(at) = at else {
            self.recalled = Some((0, draft));
            return;
        };
        match self.history.get(at) {
            Some(line) => {
                self.text = line.clone();
                self.cursor = self.text.len();
                self.recalled = Some((at, draft));
            }
            None => self.set(draft),
        }
    }

    fn move_row(&mut self, columns: usize, step: isize) -> bool {
        let rows = self.rows(columns);
        let (row, column) = self.place(&rows);
        let Some(target) = row.checked_add_signed(step).and_then(|row| rows.get(row)) else {
            return false;
        };
        let (from, to) = *target;
        let mut at = from;
        let mut used = 0;
        for grapheme in self.text[from..to].graphemes(true) {
            used += grapheme.width();
            if used > column {
                break;
            }
            at += grapheme.len();
        }
        self.cursor = at;
        debug_assert!(self.text.is_char_boundary(self.cursor));
        true
    }

    /// Returns the rows of the text as byte ranges. A row ends at a line feed, or after its last
    /// space if it is full; spaces may extend beyond the edge.
    pub(crate) fn rows(&self, columns: usize) -> Vec<(usize, usize)> {
        let columns = columns.max(2);
        let mut rows = Vec::new();
        let mut at = 0;
        for line in self.text.split('\n') {
            let (mut from, mut used) = (at, 0);
            let mut after_space = None;
            for (offset, grapheme) in line.grapheme_indices(true) {
                let (here, wide) = (at + offset, text::width(&shown(grapheme)));
                if used + wide > columns && grapheme != " " {
                    let (end, used_there) = after_space.take().unwrap_or((here, used));
                    rows.push((from, end));
                    (from, used) = (end, used - used_there);
                }
                used += wide;
                if grapheme == " " {
                    after_space = Some((here + 1, used));
                }
            }
            rows.push((from, at + line.len()));
            at += line.len() + 1;
        }
        rows
    }

    /// Returns row and column of the cursor.
    pub(crate) fn place(&self, rows: &[(usize, usize)]) -> (usize, usize) {
        let row = rows
            .iter()
            .rposition(|(from, _)| *from <= self.cursor)
            .unwrap_or(0);
        let from = rows.get(row).map_or(0, |row| row.0);
        (
            row,
            text::width(&shown(&self.text[from..self.cursor.max(from)])),
        )
    }
}

/// Returns a text as the composer shows it: sanitized, and with tabs as one space.
pub(crate) fn shown(text: &str) -> String {
    crate::protocol::sanitize(text).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composer_wraps_after_spaces() {
        let rows = |text: &str, columns| {
            let mut composer = Composer::default();
            composer.set(text.to_owned());
            composer
                .rows(columns)
                .into_iter()
                .map(|(from, to)| text[from..to].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(rows("one two three", 8), ["one two ", "three"]);
        assert_eq!(
            rows("one two three", 7),
            ["one two ", "three"],
            "the space hangs over the edge"
        );
        assert_eq!(rows("a abcdefghij", 5), ["a ", "abcde", "fghij"]);
        assert_eq!(rows("日本語 日本", 6), ["日本語 ", "日本"]);
        assert_eq!(rows("a\n\nb", 5), ["a", "", "b"]);
    }

    fn typed(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    #[test]
    fn cursor_moves_over_whole_characters() {
        let mut composer = typed("a👩‍👩‍👧é");
        composer.left();
        composer.left();
        composer.insert("X");
        assert_eq!(composer.text(), "aX👩‍👩‍👧é");
        composer.delete();
        assert_eq!(composer.text(), "aXé");
        composer.backspace();
        composer.backspace();
        composer.backspace();
        assert_eq!(composer.text(), "é");
    }

    #[test]
    fn paste_is_one_text() {
        let mut composer = Composer::default();
        composer.paste("one\r\ntwo\rthree\n");
        assert_eq!(composer.text(), "one\ntwo\nthree\n");
        assert_eq!(composer.rows(80).len(), 4);
    }

    #[test]
    fn clearing_can_be_taken_back() {
        let mut composer = typed("precious");
        assert!(composer.clear_or_restore());
        assert!(composer.is_empty());
        assert!(composer.clear_or_restore());
        assert_eq!(composer.text(), "precious");
    }

    #[test]
    fn history_keeps_the_line_being_written() {
        let mut composer = typed("first");
        composer.submitted();
        composer.insert("second");
        composer.submitted();
        composer.insert("draft");
        composer.up(80);
        assert_eq!(composer.text(), "second");
        composer.up(80);
        composer.up(80);
        assert_eq!(composer.text(), "first");
        composer.down(80);
        composer.down(80);
        assert_eq!(composer.text(), "draft");
    }

    #[test]
    fn up_and_down_move_within_rows_first() {
        let mut composer = typed("one\ntwo");
        composer.up(80);
        composer.insert("!");
        assert_eq!(composer.text(), "one!\ntwo");
    }

    #[test]
    fn words_are_deleted_one_at_a_time() {
        let mut composer = typed("hello big world");
        composer.delete_word();
        assert_eq!(composer.text(), "hello big ");
        composer.delete_word();
        assert_eq!(composer.text(), "hello ");
    }
}
