//! PURE. A welcomed connection: its signs of life, its ping, and its suspicion.

use std::time::Duration;

use super::Now;
use super::patience::{Patience, transfer_time};
use crate::planted_bug::planted_bug;
use crate::protocol::Dial;

/// A welcomed connection.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Up {
    pub(crate) dial: Dial,
    pub(super) since: Now,
    last_in: Now,
    last_out: Now,
    last_answer: Now,
    pub(super) ping: Option<Ping>,
    /// Bytes sent on this connection.
    sent_bytes: u64,
    /// Bytes that replies have proved to be received.
    proved_bytes: u64,
    /// The oldest entry without an answer.
    pub(super) waiting: Option<Waiting>,
}

/// An entry without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    pub(crate) since: Now,
    /// Bytes sent up to the end of the entry.
    pub(crate) sent_up_to: u64,
}

/// A ping without a pong.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Ping {
    n: u64,
    pub(super) sent_at: Now,
    base: Duration,
    /// A reply within this time shows that the path is quick.
    undoubled: Duration,
    sent_up_to: u64,
    /// Whether a late ack has shortened the deadline; that happens once.
    is_tight: bool,
}

/// The information from a pong.
pub(super) struct PongProof {
    pub(super) sent_at: Now,
    pub(super) sent_up_to: u64,
    pub(super) is_quick: bool,
}

impl Up {
    /// A connection that was welcomed at `now`.
    pub(super) const fn new(dial: Dial, now: Now) -> Self {
        Self {
            dial,
            since: now,
            last_in: now,
            last_out: now,
            last_answer: now,
            ping: None,
            sent_bytes: 0,
            proved_bytes: 0,
            waiting: None,
        }
    }

    /// Bytes sent whose arrival no reply has proved.
    pub(super) fn unproved(&self) -> u64 {
        debug_assert!(
            self.proved_bytes <= self.sent_bytes,
            "more arrived than was sent"
        );
        self.sent_bytes - self.proved_bytes
    }

    /// Whether a reply to a later frame proved that everything up to `sent_up_to` arrived.
    pub(super) const fn has_proved(&self, sent_up_to: u64) -> bool {
        self.proved_bytes > sent_up_to
    }

    /// When the connection is to be pinged, replied or suspected next.
    pub(super) fn deadline(&self, patience: &Patience) -> Now {
        let probe = match &self.ping {
            Some(ping) => self.pong_deadline(ping),
            None => self.ping_due(patience),
        };
        probe.min(self.suspicion_due(patience).unwrap_or(probe))
    }

    pub(super) fn ping_due(&self, patience: &Patience) -> Now {
        if planted_bug!(OwnWritesAreLife) {
            return self.last_out + patience.interval;
        }
        self.last_in.min(self.last_out) + patience.interval
    }

    /// When a late ack makes the connection suspect; `None` while a ping with the short deadline is
    /// unanswered.
    pub(super) fn suspicion_due(&self, patience: &Patience) -> Option<Now> {
        let Waiting { since, sent_up_to } = self.waiting?;
        let since = if planted_bug!(OwnWritesAreLife) {
            self.last_out
        } else {
            since
        };
        // Bytes sent behind the entry do not delay its ack.
        let due = since.max(self.last_answer)
            + patience.suspicion_after()
            + transfer_time(sent_up_to.saturating_sub(self.proved_bytes));
        match &self.ping {
            None => Some(due),
            Some(ping) if ping.is_tight || ping.sent_at >= due => None,
            Some(ping) => {
                let short = due.saturating_sub(ping.sent_at) + self.short_deadline(ping, patience);
                (ping.base > short).then_some(due)
            }
        }
    }

    fn short_deadline(&self, ping: &Ping, patience: &Patience) -> Duration {
        patience.doubled(patience.suspicion_deadline())
            + transfer_time(ping.sent_up_to.saturating_sub(self.proved_bytes))
    }

    /// Inbound bytes extend the deadline, at most threefold: they prove only the way in.
    pub(super) fn pong_deadline(&self, ping: &Ping) -> Now {
        let quiet = ping.sent_at.max(self.last_in) + ping.base;
        quiet.min(ping.sent_at + ping.base * 3)
    }

    /// Starts ping number `n`, with a deadline of `base` before doubling.
    pub(super) fn start_ping(&mut self, n: u64, base: Duration, patience: &Patience, now: Now) {
        let growth = transfer_time(self.unproved());
        self.ping = Some(Ping {
            n,
            sent_at: now,
            base: patience.doubled(base) + growth,
            undoubled: base + growth,
            sent_up_to: self.sent_bytes,
            is_tight: false,
        });
    }

    /// Shortens the deadline of the current ping, since an ack is late.
    pub(super) fn tighten(&mut self, patience: &Patience, now: Now) {
        let Some(ping) = &self.ping else { return };
        let wanted = now.saturating_sub(ping.sent_at) + self.short_deadline(ping, patience);
        if let Some(ping) = &mut self.ping {
            ping.base = ping.base.min(wanted);
            ping.is_tight = true;
        }
    }

    pub(super) fn on_bytes(&mut self, now: Now) {
        debug_assert!(now >= self.last_in, "time goes on");
        self.last_in = now;
        if planted_bug!(BytesAreAnswers) {
            self.last_answer = now;
            self.ping = None;
        }
    }

    /// Returns the number of bytes sent so far.
    pub(super) const fn on_sent(&mut self, bytes: usize, now: Now) -> u64 {
        self.last_out = now;
        self.sent_bytes += bytes as u64;
        self.sent_bytes
    }

    pub(super) fn on_answer(&mut self, sent_up_to: u64, now: Now) {
        self.last_answer = now;
        self.proved_bytes = self.proved_bytes.max(sent_up_to);
    }

    /// Takes the current ping if `n` is its number. An unsolicited pong proves nothing.
    pub(super) fn on_pong(&mut self, n: u64, now: Now) -> Option<PongProof> {
        let ping = self.ping.take_if(|ping| ping.n == n)?;
        Some(PongProof {
            sent_at: ping.sent_at,
            sent_up_to: ping.sent_up_to,
            is_quick: now.saturating_sub(ping.sent_at) <= ping.undoubled,
        })
    }
}
