//! Which key does what, in one table that help shows too.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::Action;

/// A key as people write it, what it does, and the words for it.
pub(crate) struct Binding {
    pub(crate) keys: &'static str,
    pub(crate) does: &'static str,
}

/// What help shows. The table below is the truth; a test holds both together.
pub(crate) const BINDINGS: [Binding; 19] = [
    Binding {
        keys: "Enter",
        does: "send",
    },
    Binding {
        keys: "Alt-Enter, Ctrl-J, Shift-Enter",
        does: "new line",
    },
    Binding {
        keys: "Up, Down",
        does: "move in the text, then through what you wrote before",
    },
    Binding {
        keys: "Tab",
        does: "complete a command",
    },
    Binding {
        keys: "Ctrl-C",
        does: "clear the line; once more brings it back",
    },
    Binding {
        keys: "Ctrl-W, Ctrl-U, Ctrl-K",
        does: "delete a word, to the start, to the end",
    },
    Binding {
        keys: "PageUp, PageDown",
        does: "scroll; Shift-Up and Shift-Down by a line",
    },
    Binding {
        keys: "Ctrl-End",
        does: "to the newest",
    },
    Binding {
        keys: "Alt-Up, Alt-Down",
        does: "previous, next room",
    },
    Binding {
        keys: "Alt-A",
        does: "next room with something unread",
    },
    Binding {
        keys: "Ctrl-O",
        does: "pick a room",
    },
    Binding {
        keys: "Ctrl-F",
        does: "find what was said, in all rooms",
    },
    Binding {
        keys: "Ctrl-R",
        does: "dial now",
    },
    Binding {
        keys: "F12, Alt-I",
        does: "look at the link from inside: states, timers, outbox, frames",
    },
    Binding {
        keys: "Alt-E",
        does: "edit the refused message",
    },
    Binding {
        keys: "Ctrl-L",
        does: "draw the screen anew",
    },
    Binding {
        keys: "Ctrl-Z",
        does: "suspend; fg comes back",
    },
    Binding {
        keys: "F1",
        does: "help",
    },
    Binding {
        keys: "Ctrl-Q, Ctrl-D",
        does: "quit; Ctrl-D on an empty line only",
    },
];

/// The action of a key.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    match key.code {
        KeyCode::Char(c) if control => of_control(c.to_ascii_lowercase()),
        KeyCode::Char(c) if alt => of_alt(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Some(Action::Insert(c)),
        KeyCode::Enter if alt || shift || control => Some(Action::Newline),
        KeyCode::Enter => Some(Action::Submit),
        KeyCode::Up if alt => Some(Action::PreviousRoom),
        KeyCode::Down if alt => Some(Action::NextRoom),
        KeyCode::Up if shift => Some(Action::ScrollUp),
        KeyCode::Down if shift => Some(Action::ScrollDown),
        KeyCode::Up => Some(Action::Up),
        KeyCode::Down => Some(Action::Down),
        KeyCode::Left if control || alt => Some(Action::WordLeft),
        KeyCode::Right if control || alt => Some(Action::WordRight),
        KeyCode::Left => Some(Action::Left),
        KeyCode::Right => Some(Action::Right),
        KeyCode::End if control => Some(Action::ToBottom),
        KeyCode::Home => Some(Action::Home),
        KeyCode::End => Some(Action::End),
        KeyCode::Backspace if control || alt => Some(Action::DeleteWord),
        KeyCode::Backspace => Some(Action::Backspace),
        KeyCode::Delete => Some(Action::Delete),
        KeyCode::PageUp => Some(Action::PageUp),
        KeyCode::PageDown => Some(Action::PageDown),
        KeyCode::Tab => Some(Action::Complete),
        KeyCode::F(1) => Some(Action::Help),
        KeyCode::F(12) => Some(Action::Inspect),
        KeyCode::Esc => Some(Action::Escape),
        _ => None, // keys that nothing is bound to
    }
}

const fn of_control(c: char) -> Option<Action> {
    Some(match c {
        'a' => Action::Home,
        'b' => Action::Left,
        'c' => Action::ClearLine,
        'd' => Action::DeleteOrQuit,
        'q' => Action::Quit,
        'e' => Action::End,
        'f' => Action::Find,
        'h' => Action::Backspace,
        'j' => Action::Newline,
        'k' => Action::DeleteToEnd,
        'l' => Action::Redraw,
        'o' => Action::PickRoom,
        'r' => Action::RetryNow,
        'u' => Action::DeleteToStart,
        'w' => Action::DeleteWord,
        'z' => Action::Suspend,
        _ => return None,
    })
}

const fn of_alt(c: char) -> Option<Action> {
    Some(match c {
        'a' => Action::NextUnread,
        'b' => Action::WordLeft,
        'e' => Action::EditRefused,
        'f' => Action::WordRight,
        'i' => Action::Inspect,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_line_has_a_key_on_every_terminal() {
        let key = |code, modifiers| action(KeyEvent::new(code, modifiers));
        assert_eq!(
            key(KeyCode::Enter, KeyModifiers::ALT),
            Some(Action::Newline)
        );
        assert_eq!(
            key(KeyCode::Enter, KeyModifiers::SHIFT),
            Some(Action::Newline)
        );
        assert_eq!(
            key(KeyCode::Char('j'), KeyModifiers::CONTROL),
            Some(Action::Newline)
        );
        assert_eq!(
            key(KeyCode::Enter, KeyModifiers::NONE),
            Some(Action::Submit)
        );
    }

    #[test]
    fn help_tells_of_every_control_key_that_is_not_plain_editing() {
        let told: String = BINDINGS
            .iter()
            .map(|binding| binding.keys)
            .collect::<Vec<_>>()
            .join(" ");
        for c in 'a'..='z' {
            let is_editing = matches!(c, 'a' | 'b' | 'e' | 'h');
            if of_control(c).is_some() && !is_editing {
                assert!(
                    told.contains(&format!("Ctrl-{}", c.to_ascii_uppercase())),
                    "Ctrl-{c}"
                );
            }
        }
    }
}
