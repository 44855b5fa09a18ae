//! Output of commands, in one place: foreign text is sanitized here, and a closed pipe is no error.
//!
//! `println!` and `eprintln!` panic when their pipe is closed; `tests/tidy.rs` bans them everywhere
//! else.

use std::fmt::Display;
use std::io::{self, Write};

use crate::protocol::{sanitize_json, sanitize_line};

/// Prints one line on standard error, after the program's name.
pub fn note(text: impl Display) {
    let text = text.to_string();
    let _ = writeln!(io::stderr(), "landfall: {}", sanitize_line(&text)); // there is no place to report it
}

/// One line on standard output.
///
/// # Errors
/// When it cannot be written; a closed pipe is [`io::ErrorKind::BrokenPipe`].
pub fn line(text: impl Display) -> io::Result<()> {
    write_line(&mut io::stdout().lock(), text)
}

/// Writes one line and flushes.
///
/// # Errors
/// Those of the writer.
pub fn write_line(out: &mut impl Write, text: impl Display) -> io::Result<()> {
    writeln!(out, "{}", sanitize_line(&text.to_string()))?;
    out.flush()
}

/// Prints one JSON object as a line on standard output.
///
/// # Errors
/// Those of standard output.
pub fn json(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", sanitize_json(&value.to_string()))?;
    out.flush()
}

/// Prints lines of the program's own text on standard error, without foreign text.
pub fn lines(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes()); // there is no place to report it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line() {
        let mut out = Vec::new();
        write_line(&mut out, "a\u{1b}]0;b\u{7}\r\nlandfall: you are root").expect("writes");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "a␛]0;b␇␍␊landfall: you are root\n"
        );
    }
}
