//! Sanitizes foreign text for a terminal: control characters and characters that change the
//! direction of text are made visible.
//!
//! The store and the wire keep the original text; it is sanitized where it is displayed.

use std::borrow::Cow;

use super::limits::NAME_CHARS_MAX;

/// Returns `text` with every control, bidi and invisible format character made visible. Line feeds
/// and tabs stay.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if !text
        .chars()
        .any(|c| is_harmful(c) && c != '\n' && c != '\t')
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| {
                if c == '\n' || c == '\t' {
                    c
                } else {
                    picture(c)
                }
            })
            .collect(),
    )
}

/// As [`sanitize`], on one line: line feeds and tabs are pictured too.
#[must_use]
pub fn sanitize_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(picture).collect())
}

/// Returns a line of JSON with these characters escaped: the same value, safe for a terminal.
#[must_use]
pub fn sanitize_json(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    for c in line.chars() {
        if is_harmful(c) {
            let units = c
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            clean.push_str(&units);
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether an account or room may have this name: letters, digits, `-`, `_` and `.`, beginning with
/// a letter or digit.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().next().is_some_and(char::is_alphanumeric)
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(inner)
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn picture(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        _ if is_harmful(c) => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_value_and_harmless() {
        let value = serde_json::json!({ "a\u{9b}": "b\u{202e}c\u{e0041}\u{7f}\n日本" });
        let line = sanitize_json(&value.to_string());
        assert!(!line.chars().any(is_harmful), "{line}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).expect("JSON"),
            value
        );
    }

    #[test]
    fn no_escape_and_no_bidi_override_gets_through() {
        let nasty = "a\x1b[31mb\u{9b}c\u{202e}d\u{7f}\r\ne";
        let shown = sanitize(nasty);
        assert!(
            shown.chars().all(|c| !c.is_control() || c == '\n'),
            "{shown:?}"
        );
        assert_eq!(shown, "a␛[31mb\u{fffd}c\u{fffd}d␡␍\ne");
        assert!(sanitize_line(nasty).chars().all(|c| !c.is_control()));
    }

    #[test]
    fn emoji_sequences_stay_whole() {
        let family = "👩‍👩‍👧 ❤️ नमस्ते";
        assert_eq!(sanitize(family), family);
    }

    #[test]
    fn names_are_words() {
        for good in ["ana", "Zoë", "b0b", "a-b_c.d", "愛"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "a b",
            "-a",
            "a\u{202e}",
            "\x1b",
            "#x",
            &"x".repeat(33),
        ] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
    }
}
