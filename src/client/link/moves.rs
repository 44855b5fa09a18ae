//! PURE. Every change of a link's state that there is; the picture in ARCHITECTURE.md is drawn from
//! it. The session refuses, in every test, to write down one that is not here.

use std::fmt::Write as _;

/// From which state to which, and what makes it.
pub const MOVES: [(&str, &str, &str); 17] = [
    ("none", "connecting", "a process begins"),
    ("none", "offline", "a process begins without a link"),
    ("connecting", "resyncing", "welcome"),
    ("connecting", "connected", "welcome, nothing to catch up"),
    ("connecting", "backoff", "no connection, or no welcome"),
    ("connecting", "offline", "refused for good, gave up, or you"),
    ("resyncing", "connected", "every room at its head"),
    ("resyncing", "connecting", "dial at once"),
    ("resyncing", "backoff", "the link broke"),
    ("resyncing", "offline", "you, or the server for good"),
    ("connected", "resyncing", "a room is behind"),
    ("connected", "connecting", "dial at once"),
    ("connected", "backoff", "the link broke"),
    ("connected", "offline", "you, or the server for good"),
    ("backoff", "connecting", "the wait is over, or Ctrl-R"),
    ("backoff", "offline", "you"),
    ("offline", "connecting", "Ctrl-R, or a look"),
];

/// Whether the state can change so.
#[must_use]
pub fn is_move(from: &str, to: &str) -> bool {
    from == to
        || MOVES
            .iter()
            .any(|(known, then, _)| (*known, *then) == (from, to))
}

/// The moves as a diagram that Markdown readers draw (Mermaid, `stateDiagram-v2`).
#[must_use]
pub fn diagram() -> String {
    let mut lines = "```mermaid\nstateDiagram-v2\n    direction LR\n".to_owned();
    for (from, to, why) in MOVES {
        let from = if from == "none" { "[*]" } else { from };
        let _ = writeln!(lines, "    {from} --> {to} : {why}"); // writing to a string cannot fail
    }
    lines + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [&str; 5] = ["connecting", "resyncing", "connected", "backoff", "offline"];

    #[test]
    fn every_state_can_be_reached_and_left() {
        for state in STATES {
            assert!(
                MOVES.iter().any(|(_, to, _)| *to == state),
                "nothing leads to {state}"
            );
            assert!(
                MOVES.iter().any(|(from, ..)| *from == state),
                "nothing leads out of {state}"
            );
        }
        let known = |state: &str| state == "none" || STATES.contains(&state);
        assert!(MOVES.iter().all(|(from, to, _)| known(from) && known(to)));
        assert!(is_move("backoff", "connecting") && !is_move("backoff", "connected"));
    }
}
