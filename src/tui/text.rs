//! PURE. Measures and wraps text, for everything that is drawn.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

const TAB: &str = "    ";

/// Returns the width of a text in columns, as ratatui counts it.
pub(crate) fn width(text: &str) -> usize {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.len();
    }
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// Whether terminals disagree about the width of a symbol: flags, joined and coloured emoji, and
/// characters followed by a variation selector.
pub(crate) fn is_uncertain(symbol: &str) -> bool {
    symbol.chars().any(
        |c| matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{20e3}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}'),
    )
}

/// Returns the longest prefix of `text` that fits into `columns`, with an ellipsis if it is
/// truncated.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut taken = String::new();
    let mut used = 1;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > columns {
            break;
        }
        taken.push_str(grapheme);
    }
    if columns > 0 {
        taken.push('…');
    }
    taken
}

/// Wraps a text into rows of at most `columns`. A row ends at a line feed, else at a space, else
/// inside a word that is longer than a row.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2); // a wide character needs two
    let mut rows = Vec::new();
    for line in text.replace('\t', TAB).split('\n') {
        wrap_line(line, columns, &mut rows);
    }
    rows
}

/// Splits a line after spaces and wide characters; everything else is one piece, also URLs and
/// options.
fn pieces(line: &str) -> Vec<&str> {
    let is_apart = |word: &str| {
        word.trim().is_empty()
            || word
                .graphemes(true)
                .next()
                .is_some_and(|sign| sign.width() > 1)
    };
    let (mut pieces, mut start) = (Vec::new(), 0);
    for (at, word) in line
        .split_word_bound_indices()
        .filter(|(_, word)| is_apart(word))
    {
        pieces.extend([&line[start..at], word]);
        start = at + word.len();
    }
    pieces.push(&line[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn wrap_line(line: &str, columns: usize, rows: &mut Vec<String>) {
    if width(line) <= columns {
        rows.push(line.to_owned());
        return;
    }
    let (mut row, mut used) = (String::new(), 0);
    for word in pieces(line) {
        let wide = width(word);
        if used + wide <= columns {
            row.push_str(word);
            used += wide;
            continue;
        }
        if word.trim().is_empty() {
            continue; // a space that would start the next row
        }
        if wide <= columns {
            rows.push(std::mem::replace(&mut row, word.to_owned()));
            used = wide;
            continue;
        }
        for grapheme in word.graphemes(true) {
            let wide = grapheme.width();
            if used + wide > columns {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            row.push_str(grapheme);
            used += wide;
        }
    }
    rows.push(row);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_rows_fit_and_keep_every_word() {
        let text = "the quick 👩‍👩‍👧 family jumps over 日本語のテキスト and averyveryverylongwordthatdoesnotfit ❤️ end";
        for columns in 2..40 {
            let rows = wrap(text, columns);
            assert!(
                rows.iter().all(|row| width(row) <= columns),
                "{columns}: {rows:?}"
            );
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&rows.concat()), squeeze(text), "{columns}");
        }
    }

    #[test]
    fn wrapped_rows_keep_urls_and_options_whole() {
        assert_eq!(
            wrap("see https://a.example/b-c now", 22),
            ["see ", "https://a.example/b-c ", "now"]
        );
        assert_eq!(
            wrap("press Alt-E or /retry", 9),
            ["press ", "Alt-E or ", "/retry"]
        );
        assert_eq!(wrap("日本語のテキスト", 6), ["日本語", "のテキ", "スト"]);
    }

    #[test]
    fn ascii_is_as_wide_as_its_graphemes() {
        let each = (0..128_u8).map(|byte| format!("ab{}c", char::from(byte)));
        for text in each.chain(["ab\r\nc".to_owned()]) {
            let graphemes: usize = text.graphemes(true).map(UnicodeWidthStr::width).sum();
            assert_eq!(width(&text), graphemes, "{text:?}");
        }
    }

    #[test]
    fn line_feeds_break_and_empty_lines_stay() {
        assert_eq!(wrap("a\n\nb", 10), ["a", "", "b"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn truncated_text_ends_in_an_ellipsis() {
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("abc", 4), "abc");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
    }
}
