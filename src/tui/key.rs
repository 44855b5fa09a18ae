//! A key with its modifiers, and its text form: `Ctrl-W`, `Alt-Up`, `F12`, `x`.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key with its modifiers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

const MODIFIERS: [(&str, KeyModifiers); 3] = [
    ("Ctrl", KeyModifiers::CONTROL),
    ("Alt", KeyModifiers::ALT),
    ("Shift", KeyModifiers::SHIFT),
];

const NAMES: [(&str, KeyCode); 15] = [
    ("Enter", KeyCode::Enter),
    ("Tab", KeyCode::Tab),
    ("Esc", KeyCode::Esc),
    ("Space", KeyCode::Char(' ')),
    ("Backspace", KeyCode::Backspace),
    ("Delete", KeyCode::Delete),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PageUp", KeyCode::PageUp),
    ("PageDown", KeyCode::PageDown),
    ("Insert", KeyCode::Insert),
];

impl Key {
    /// The character that the key types, if it does.
    pub(crate) const fn text(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }

    /// Returns the key with fewer and fewer modifiers, for unbound combinations. A character with a
    /// modifier has none, since an unbound shortcut would type it.
    pub(crate) fn fallbacks(self) -> impl Iterator<Item = Self> {
        const DROPPED: [KeyModifiers; 7] = [
            KeyModifiers::NONE,
            KeyModifiers::SHIFT,
            KeyModifiers::CONTROL,
            KeyModifiers::ALT,
            KeyModifiers::SHIFT.union(KeyModifiers::CONTROL),
            KeyModifiers::SHIFT.union(KeyModifiers::ALT),
            KeyModifiers::all(),
        ];
        let is_text = matches!(self.code, KeyCode::Char(_));
        let dropped = DROPPED
            .into_iter()
            .take(if is_text { 1 } else { DROPPED.len() });
        dropped.map(move |dropped| Self {
            code: self.code,
            modifiers: self.modifiers - dropped,
        })
    }
}

impl From<char> for Key {
    fn from(c: char) -> Self {
        Self {
            code: KeyCode::Char(c),
            modifiers: KeyModifiers::NONE,
        }
    }
}

impl From<KeyEvent> for Key {
    /// Terminals differ in their reports of Shift with a letter, and of case with Ctrl.
    fn from(event: KeyEvent) -> Self {
        let known = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        let modifiers = event.modifiers & known;
        match event.code {
            KeyCode::Char(c) => {
                let kept = if modifiers.contains(KeyModifiers::CONTROL) {
                    KeyModifiers::CONTROL
                } else {
                    modifiers & KeyModifiers::ALT
                };
                let c = if kept.is_empty() {
                    c
                } else {
                    c.to_ascii_lowercase()
                };
                Self {
                    code: KeyCode::Char(c),
                    modifiers: kept,
                }
            }
            code => Self { code, modifiers },
        }
    }
}

/// A text that names no key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a key: write it like Ctrl-W, Alt-Up, F12 or x")]
pub(crate) struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((name, behind)) = rest.split_once('-').filter(|(_, key)| !key.is_empty()) {
            let known = MODIFIERS.iter().find(|(modifier, _)| *modifier == name);
            let (_, modifier) = known.ok_or_else(|| KeyError(text.to_owned()))?;
            modifiers |= *modifier;
            rest = behind;
        }
        let code = code(rest).ok_or_else(|| KeyError(text.to_owned()))?;
        Ok(match code {
            KeyCode::Char(c) if !modifiers.is_empty() => Self {
                code: KeyCode::Char(c.to_ascii_lowercase()),
                modifiers,
            },
            code => Self { code, modifiers },
        })
    }
}

fn code(name: &str) -> Option<KeyCode> {
    if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*code);
    }
    let mut chars = name.chars();
    match (chars.next()?, chars.as_str()) {
        (c, "") => Some(KeyCode::Char(c)),
        ('F', number) => number.parse().ok().map(KeyCode::F),
        _ => None,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, modifier) in MODIFIERS {
            if self.modifiers.contains(modifier) {
                write!(f, "{name}-")?;
            }
        }
        let name = NAMES.iter().find(|(_, code)| *code == self.code);
        match (name, self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, KeyCode::Char(c)) if !self.modifiers.is_empty() => {
                write!(f, "{}", c.to_ascii_uppercase())
            }
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, KeyCode::F(n)) => write!(f, "F{n}"),
            (None, code) => write!(f, "{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    #[test]
    fn key_written_and_read_again_is_the_same() {
        for text in [
            "Enter",
            "Ctrl-W",
            "Alt-Up",
            "Shift-Enter",
            "F12",
            "x",
            "/",
            "Space",
            "-",
            "Ctrl--",
            "Ctrl-Alt-Delete",
        ] {
            assert_eq!(key(text).to_string(), text);
        }
        for text in ["", "Ctrl-", "Hyper-x", "Ctrl-Nothing", "Fx", "F999"] {
            assert!(text.parse::<Key>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn key_event_ignores_case_and_shift_of_shortcuts() {
        let event = |code, modifiers| Key::from(KeyEvent::new(code, modifiers));
        let control_shift = KeyModifiers::CONTROL | KeyModifiers::SHIFT;
        assert_eq!(event(KeyCode::Char('W'), control_shift), key("Ctrl-W"));
        assert_eq!(event(KeyCode::Char('a'), KeyModifiers::ALT), key("Alt-A"));
        let shifted = event(KeyCode::Char('X'), KeyModifiers::SHIFT);
        assert_eq!((shifted.text(), shifted), (Some('X'), key("X")));
    }

    #[test]
    fn key_falls_back_to_fewer_modifiers() {
        let mut all: Vec<_> = key("Alt-Shift-Enter").fallbacks().collect();
        all.dedup();
        let first = [key("Alt-Shift-Enter"), key("Alt-Enter")];
        assert_eq!(all[..2], first);
        assert_eq!(all.last(), Some(&key("Enter")));
        assert!(
            key("Ctrl-X")
                .fallbacks()
                .all(|other| other == key("Ctrl-X"))
        );
    }
}
