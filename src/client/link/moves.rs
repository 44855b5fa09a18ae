//! PURE. Every change of a link's state that there is; the picture in ARCHITECTURE.md is drawn from
//! it. The session refuses, in every test, to write down one that is not here.

use std::fmt::Write as _;

use super::LinkPhase::{self, Backoff, Connected, Connecting, Offline, Resyncing};

/// State before, state after, and the reason. A process starts from no state.
pub const MOVES: [(Option<LinkPhase>, LinkPhase, &str); 17] = [
    (None, Connecting, "a process begins"),
    (None, Offline, "a process begins without a link"),
    (Some(Connecting), Resyncing, "welcome"),
    (Some(Connecting), Connected, "welcome, nothing to catch up"),
    (Some(Connecting), Backoff, "no connection, or no welcome"),
    (
        Some(Connecting),
        Offline,
        "refused for good, gave up, or you",
    ),
    (Some(Resyncing), Connected, "every room at its head"),
    (Some(Resyncing), Connecting, "dial at once"),
    (Some(Resyncing), Backoff, "the link broke"),
    (Some(Resyncing), Offline, "you, or the server for good"),
    (Some(Connected), Resyncing, "a room is behind"),
    (Some(Connected), Connecting, "dial at once"),
    (Some(Connected), Backoff, "the link broke"),
    (Some(Connected), Offline, "you, or the server for good"),
    (Some(Backoff), Connecting, "the wait is over, or Ctrl-R"),
    (Some(Backoff), Offline, "you"),
    (Some(Offline), Connecting, "Ctrl-R, or a look"),
];

/// Whether [`MOVES`] has this change, or nothing changes.
#[must_use]
pub fn is_move(from: Option<LinkPhase>, to: LinkPhase) -> bool {
    from == Some(to)
        || MOVES
            .iter()
            .any(|(known, then, _)| (*known, *then) == (from, to))
}

/// The moves as a diagram that Markdown readers draw (Mermaid, `stateDiagram-v2`).
#[must_use]
pub fn diagram() -> String {
    let mut lines = "```mermaid\nstateDiagram-v2\n    direction LR\n".to_owned();
    for (from, to, why) in MOVES {
        let from = from.map_or("[*]", LinkPhase::as_str);
        let _ = writeln!(lines, "    {from} --> {to} : {why}"); // writing to a string cannot fail
    }
    lines + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_can_be_reached_and_left() {
        for phase in LinkPhase::ALL {
            let is_reached = MOVES.iter().any(|(_, to, _)| *to == phase);
            let is_left = MOVES.iter().any(|(from, ..)| *from == Some(phase));
            assert!(is_reached && is_left, "{phase}");
            assert_eq!(LinkPhase::from_word(phase.as_str()), Some(phase));
        }
        assert!(is_move(Some(Backoff), Connecting) && !is_move(Some(Backoff), Connected));
    }
}
