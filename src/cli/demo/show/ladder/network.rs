//! PURE. What proxy and link mean for the ladder: lost frames, ended connections and delays.

use std::time::Duration;

use super::{ArrowFate, ArrowFrame, Ladder, LadderWhat, short_id};
use crate::chaos::{Direction, What};
use crate::cli::demo::show::score::Nets;
use crate::client::link::{LinkState, Wait};
use crate::protocol::sanitize_line;

impl Ladder {
    pub(super) fn on_proxy(&mut self, what: &What, at: Duration) {
        match what {
            What::Opened { connection } => {
                self.connection = *connection;
                self.is_dead_up = false;
                self.is_held = false;
            }
            What::Held { .. } => self.is_held = true,
            what if what.is_pass() => self.is_held = false,
            What::Dead { way, .. } => {
                if *way == Direction::Up {
                    self.is_dead_up = true;
                    self.lose_under_way("lost in the network");
                } else {
                    let arrow = self.arrow("the server's frames", ArrowFate::Lost);
                    self.push(at, LadderWhat::Down(arrow)).note = "lost in the network".to_owned();
                }
            }
            What::Swallowed { kind, .. } => self.on_swallowed(kind, at),
            What::Ended {
                connection, reset, ..
            } if self.is_up && *connection == self.connection => {
                let why = if *reset {
                    "connection reset"
                } else {
                    "connection closed"
                };
                self.on_ended(why, at);
            }
            _ => {}
        }
    }

    /// An answer was lost: the frame before it arrived.
    fn on_swallowed(&mut self, kind: &str, at: Duration) {
        let sent = self
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
        let arrow = self.arrow(&label, ArrowFate::Lost);
        self.push(at, LadderWhat::Down(arrow)).note = "the answer is lost".to_owned();
    }

    fn lose_under_way(&mut self, note: &str) {
        for row in self.rows.iter_mut().filter(|row| row.is_under_way()) {
            if let LadderWhat::Up(arrow) = &mut row.what {
                arrow.fate = ArrowFate::Lost;
                row.note = note.to_owned();
            }
        }
    }

    fn on_ended(&mut self, why: &str, at: Duration) {
        if self.is_held || self.is_dead_up {
            self.lose_under_way("lost in the network");
        }
        for row in self.rows.iter_mut().filter(|row| row.is_under_way()) {
            if let LadderWhat::Up(arrow) = &mut row.what {
                arrow.fate = ArrowFate::Unknown;
                row.note = "no answer".to_owned();
            }
        }
        self.is_up = false;
        self.push(at, LadderWhat::Ended(why.to_owned()));
    }

    pub(super) fn on_link(
        &mut self,
        link: &LinkState,
        wait: Option<Wait>,
        at: Duration,
        nets: &Nets,
    ) {
        if let LinkState::Backoff { cause, .. } = link {
            let why = sanitize_line(&cause.to_string()).into_owned();
            if self.is_up {
                let is_silent = nets.landfall.is_open();
                self.on_ended(
                    if is_silent {
                        "connection given up"
                    } else {
                        &why
                    },
                    at,
                );
                if is_silent && let Some(row) = self.rows.last_mut() {
                    row.note = first_words(&why).to_owned();
                }
            } else if let Some(row) = self.rows.iter_mut().rev().find(|row| row.is_wait()) {
                row.note = format!("attempt {}: {}", self.waits, first_words(&why));
            }
            if let Some(wait) = wait {
                self.waits += 1;
                self.push(at, LadderWhat::Waits(wait));
            }
        }
    }
}

/// A cause without its advice, as short as beside a ladder.
fn first_words(cause: &str) -> &str {
    let cause = cause.split(" (").next().unwrap_or(cause);
    cause.strip_prefix("connection ").unwrap_or(cause)
}
