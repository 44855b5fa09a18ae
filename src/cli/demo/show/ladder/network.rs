//! PURE. What the events of the proxy mean for the ladder: lost frames and ended connections.

use std::time::Duration;

use super::ShowLadder;
use crate::chaos::{Direction, What};
use crate::tui::{ArrowFate, ArrowFrame, LOST, LadderWhat, short_id};

impl ShowLadder {
    pub(super) fn on_proxy(&mut self, what: &What, at: Duration) {
        match what {
            What::Opened { connection } => {
                self.connection = *connection;
                self.diagram.network.is_dead_up = false;
                self.diagram.network.is_held = false;
            }
            What::Held { .. } => self.diagram.network.is_held = true,
            what if what.is_pass() => self.diagram.network.is_held = false,
            What::Dead { way, .. } => {
                if *way == Direction::Up {
                    self.diagram.network.is_dead_up = true;
                    self.diagram.end_under_way(ArrowFate::Lost, LOST);
                } else {
                    let arrow = self.diagram.arrow("the server's frames", ArrowFate::Lost);
                    self.diagram.push(at, LadderWhat::Down(arrow)).note =
                        "lost in the network".to_owned();
                }
            }
            What::Swallowed { kind, .. } => self.on_swallowed(kind, at),
            What::Ended {
                connection, reset, ..
            } if self.diagram.is_up && *connection == self.connection => {
                let why = if *reset {
                    "connection reset"
                } else {
                    "connection closed"
                };
                self.diagram.on_ended(why, at);
            }
            _ => {}
        }
    }

    /// An answer was lost: the frame before it arrived.
    fn on_swallowed(&mut self, kind: &str, at: Duration) {
        let sent = self
            .diagram
            .rows
            .iter_mut()
            .filter(|row| row.is_under_way())
            .find_map(|row| match &mut row.what {
                LadderWhat::Up(ArrowFrame {
                    entry: Some(id),
                    fate,
                    ..
                }) if kind == "ack" => {
                    *fate = ArrowFate::Arrived;
                    row.is_stored = true;
                    Some(*id)
                }
                _ => None,
            });
        let label = match (sent, kind) {
            (Some(id), _) => format!("acknowledged {}", short_id(id)),
            (None, "entries") => "the entry itself".to_owned(),
            (None, kind) => format!("{kind} frame"),
        };
        let arrow = self.diagram.arrow(&label, ArrowFate::Lost);
        self.diagram.push(at, LadderWhat::Down(arrow)).note = "the answer is lost".to_owned();
    }
}
