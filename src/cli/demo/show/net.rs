//! PURE. The current connection through one proxy: which ways lose bytes, and how long its chat
//! shows "connected" although nothing passes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chaos::{Direction, What};

/// What is known of the connections through one proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct NetState {
    /// The newest connection that was opened.
    pub(super) connection: Option<u64>,
    /// Connections that are open, those of them that lose bytes, and those that lose what goes up.
    open: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    dead_up: BTreeSet<u64>,
    /// Since when no byte passes on the newest connection.
    broken_since: Option<Duration>,
    shows_connected: bool,
    /// Since when the chat shows "connected" although no byte passes.
    false_since: Option<Duration>,
    false_total: Duration,
}

impl NetState {
    /// Applies an event of the proxy.
    pub(super) fn on_proxy(&mut self, what: &What, at: Duration) {
        match what {
            What::Opened { connection } => {
                self.open.insert(*connection);
                self.connection = Some(*connection);
                self.broken_since = None;
            }
            What::Dead { connection, way } => {
                self.dead.insert(*connection);
                if *way == Direction::Up {
                    self.dead_up.insert(*connection);
                }
                self.breaks(*connection, at);
            }
            What::Held { connection, .. } => self.breaks(*connection, at),
            What::Ended { connection, .. } => {
                self.open.remove(connection);
                self.dead.remove(connection);
                self.dead_up.remove(connection);
            }
            // what was kept back passes now; what is dead stays dead
            what if what.is_pass() => {
                let is_dead = self.connection.is_some_and(|n| self.dead.contains(&n));
                self.broken_since = self.broken_since.filter(|_| is_dead);
            }
            _ => {}
        }
        self.count(at);
    }

    fn breaks(&mut self, connection: u64, at: Duration) {
        if self.connection == Some(connection) {
            self.broken_since.get_or_insert(at);
        }
    }

    /// The chat's screen changed between "connected" and anything else.
    pub(super) fn on_screen(&mut self, shows_connected: bool, at: Duration) {
        self.shows_connected = shows_connected;
        self.count(at);
    }

    fn count(&mut self, at: Duration) {
        let is_false = self.shows_connected && self.broken_since.is_some();
        match self.false_since {
            None if is_false => self.false_since = Some(at),
            Some(since) if !is_false => {
                self.false_total += at.saturating_sub(since);
                self.false_since = None;
            }
            _ => {}
        }
    }

    /// Time of "connected" during which no byte could pass, until `now`.
    pub(super) fn false_time(&self, now: Duration) -> Duration {
        let running = self
            .false_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.false_total + running
    }

    /// Whether bytes that were written to this connection can still reach the server.
    pub(super) fn passes_up(&self, connection: u64) -> bool {
        self.open.contains(&connection) && !self.dead_up.contains(&connection)
    }

    /// Whether the newest connection is open.
    pub(super) fn is_open(&self) -> bool {
        self.connection
            .is_some_and(|connection| self.open.contains(&connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn pass() -> What {
        What::CommandReceived {
            command: "pass".to_owned(),
        }
    }

    fn held(connection: u64) -> What {
        What::Held {
            connection,
            way: Direction::Up,
            bytes: 9,
        }
    }

    #[test]
    fn false_time_counts_only_while_nothing_passes() {
        let mut net = NetState::default();
        net.on_proxy(&What::Opened { connection: 1 }, S(0));
        net.on_screen(true, S(1));
        assert_eq!(net.false_time(S(9)), S(0));
        net.on_proxy(&held(1), S(10));
        assert_eq!(net.false_time(S(12)), S(2));
        net.on_proxy(&pass(), S(13));
        assert_eq!(net.false_time(S(20)), S(3), "it passes again");
        let dead = What::Dead {
            connection: 1,
            way: Direction::Up,
        };
        net.on_proxy(&dead, S(20));
        net.on_proxy(&pass(), S(21));
        assert_eq!(net.false_time(S(25)), S(8), "a dead connection stays dead");
        assert!(!net.passes_up(1) && net.is_open());
        net.on_screen(false, S(26));
        assert_eq!(net.false_time(S(40)), S(9), "it no longer shows that");
    }

    #[test]
    fn connection_that_hears_nothing_stays_dead_after_pass() {
        let mut net = NetState::default();
        net.on_proxy(&What::Opened { connection: 1 }, S(0));
        net.on_screen(true, S(0));
        let dead = What::Dead {
            connection: 1,
            way: Direction::Down,
        };
        net.on_proxy(&dead, S(1));
        net.on_proxy(&pass(), S(2));
        assert_eq!(net.false_time(S(5)), S(4));
        assert!(net.passes_up(1), "what goes up still arrives");
    }

    #[test]
    fn next_connection_passes_again() {
        let mut net = NetState::default();
        net.on_proxy(&What::Opened { connection: 1 }, S(0));
        net.on_screen(true, S(0));
        net.on_proxy(&held(1), S(1));
        let ended = What::Ended {
            connection: 1,
            reset: true,
            up: 0,
            down: 0,
            lost: 9,
        };
        net.on_proxy(&ended, S(2));
        net.on_screen(false, S(2));
        assert!(!net.passes_up(1) && !net.is_open());
        net.on_proxy(&What::Opened { connection: 2 }, S(3));
        net.on_screen(true, S(3));
        net.on_proxy(&held(1), S(4));
        assert_eq!(
            net.false_time(S(9)),
            S(1),
            "an older connection counts no more"
        );
        assert!(net.passes_up(2));
    }
}
