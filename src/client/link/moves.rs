//! PURE. The table of link state changes, from which the diagram in ARCHITECTURE.md is drawn. The
//! session asserts that every change is in the table.

use std::fmt::Write as _;

use super::LinkPhase::{self, Backoff, Connected, Connecting, Offline, Resyncing};

/// A change of the link state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The state before; `None` when the process starts.
    pub from: Option<LinkPhase>,
    pub to: LinkPhase,
    pub why: &'static str,
}

const fn starts(to: LinkPhase, why: &'static str) -> Move {
    Move {
        from: None,
        to,
        why,
    }
}

const fn moves(from: LinkPhase, to: LinkPhase, why: &'static str) -> Move {
    Move {
        from: Some(from),
        to,
        why,
    }
}

/// All changes of the link state.
pub const MOVES: [Move; 18] = [
    starts(Connecting, "the process starts"),
    starts(Offline, "another process has the connection"),
    moves(Connecting, Resyncing, "welcome"),
    moves(Connecting, Connected, "welcome, nothing to catch up"),
    moves(Connecting, Backoff, "no connection, or no welcome"),
    moves(Connecting, Offline, "rejected, gave up, or /offline"),
    moves(Resyncing, Connected, "every room is at its head"),
    moves(Resyncing, Connecting, "closed, reconnects at once"),
    moves(Resyncing, Backoff, "connection lost"),
    moves(Resyncing, Offline, "closed for good, or /offline"),
    moves(Connected, Resyncing, "a room is behind"),
    moves(Connected, Connecting, "closed, reconnects at once"),
    moves(Connected, Backoff, "connection lost"),
    moves(Connected, Offline, "closed for good, or /offline"),
    moves(Backoff, Connecting, "the delay is over, or Ctrl-R"),
    moves(Backoff, Offline, "/offline"),
    moves(Offline, Connecting, "Ctrl-R, or a periodic check"),
    moves(Offline, Backoff, "replaced by an earlier process, again"),
];

/// Whether [`MOVES`] contains the change, or nothing changes.
#[must_use]
pub fn is_move(from: Option<LinkPhase>, to: LinkPhase) -> bool {
    from == Some(to)
        || MOVES
            .iter()
            .any(|known| (known.from, known.to) == (from, to))
}

/// Returns the table as a Mermaid diagram (`stateDiagram-v2`).
#[must_use]
pub fn diagram() -> String {
    let mut lines = "```mermaid\nstateDiagram-v2\n    direction LR\n".to_owned();
    for Move { from, to, why } in MOVES {
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
            let is_reached = MOVES.iter().any(|known| known.to == phase);
            let is_left = MOVES.iter().any(|known| known.from == Some(phase));
            assert!(is_reached && is_left, "{phase}");
            assert_eq!(LinkPhase::from_word(phase.as_str()), Some(phase));
        }
        assert!(is_move(Some(Backoff), Connecting) && !is_move(Some(Backoff), Connected));
    }
}
