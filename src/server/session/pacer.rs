//! PURE. Limits the bytes in flight to a client that must receive fresh live values.
//!
//! Bytes in the buffers between two machines delay everything behind them, and cannot be taken
//! back. So while a connection carries live values, the server sends only few bytes that the client
//! has not confirmed. Probes report how much the client has received: they are WebSocket pings, of
//! which a client answers at least the latest (RFC 6455, section 5.5.3). Values leave evenly over a
//! round trip. The longer confirmations are delayed, the fewer bytes may be in flight, as in RFC
//! 6817.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Lane, Now};

/// Maximum and minimum bytes of unconfirmed signals, on a connection of any speed.
const FLIGHT_BYTES: usize = 4 * 1024;
const FLIGHT_BYTES_MIN: usize = 512;
/// Bytes of signals in one batch.
pub(super) const BATCH_BYTES: usize = 1024;
/// Maximum and minimum unconfirmed bytes of the log beside signals, and bytes of one frame with several
/// entries; one frame is always allowed.
const LOG_BYTES: usize = 64 * 1024;
const LOG_BYTES_MIN: usize = 512;
/// A confirmation that takes this much longer than the fastest one was queued: fewer bytes may be
/// in flight.
const QUEUE_MAX: Duration = Duration::from_millis(500);
const LOG_QUEUE_MAX: Duration = Duration::from_millis(150);
/// The fastest confirmation is that of the last one or two windows; a slower one than this was queued,
/// or queues that never become empty would count as the path.
const QUICKEST_WINDOW: Duration = Duration::from_secs(60);
const QUICKEST_MAX: Duration = Duration::from_secs(1);
/// After this time without signals, the log is sent at full speed. Bytes that are not confirmed
/// within this time no longer count, since a client may answer no pings.
const TICKING: Duration = Duration::from_secs(5);
/// Maximum pause between two batches.
const REST_MAX: Duration = Duration::from_secs(1);
/// Maximum flights of a lane that are tracked separately; further bytes are added to the last one.
const FLIGHTS_MAX: usize = 64;

/// How far a client has read, by the last probe of each lane. The lanes overtake each other, so a
/// probe confirms both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Confirmed {
    /// The latest probe behind signals.
    pub ephemeral: u64,
    /// The latest probe behind frames of the log.
    pub log: u64,
}

impl Confirmed {
    /// A probe was written to the socket.
    pub const fn on_probe(&mut self, lane: Lane, n: u64) {
        match lane {
            Lane::Ephemeral => self.ephemeral = n,
            Lane::Log => self.log = n,
        }
    }

    /// Encodes the confirmation as the payload of a ping.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.ephemeral.to_be_bytes());
        bytes[8..].copy_from_slice(&self.log.to_be_bytes());
        bytes
    }

    /// Decodes the payload of a pong; `None` if it answers no probe.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fresh, log) = bytes.split_at_checked(8)?;
        Some(Self {
            ephemeral: u64::from_be_bytes(fresh.try_into().ok()?),
            log: u64::from_be_bytes(log.try_into().ok()?),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SentFrame {
    n: u64,
    since: Now,
    bytes: usize,
}

/// The unconfirmed bytes of one lane, and their limit.
#[derive(Debug)]
struct InFlight {
    flying: VecDeque<SentFrame>,
    bytes: usize,
    allowed: usize,
}

impl InFlight {
    const fn new(allowed: usize) -> Self {
        Self {
            flying: VecDeque::new(),
            bytes: 0,
            allowed,
        }
    }

    /// Adds bytes in flight. Returns whether to send a probe behind them.
    fn fly(&mut self, n: u64, bytes: usize, now: Now) -> bool {
        debug_assert!(self.flying.back().is_none_or(|last| last.n < n));
        self.bytes += bytes;
        if self.flying.len() >= FLIGHTS_MAX
            && let Some(last) = self.flying.back_mut()
        {
            last.bytes += bytes;
            return false;
        }
        self.flying.push_back(SentFrame {
            n,
            since: now,
            bytes,
        });
        true
    }

    /// Removes everything up to a probe. Returns when the last of it was sent.
    fn on_confirmed(&mut self, n: u64) -> Option<Now> {
        let mut since = None;
        while let Some(flight) = self.flying.pop_front_if(|flight| flight.n <= n) {
            self.bytes -= flight.bytes;
            since = Some(flight.since);
        }
        debug_assert!(!self.flying.is_empty() || self.bytes == 0);
        since
    }

    /// Drops flights that are older than [`TICKING`].
    fn expire(&mut self, now: Now) {
        while let Some(flight) = self
            .flying
            .pop_front_if(|flight| now.saturating_sub(flight.since) >= TICKING)
        {
            self.bytes -= flight.bytes;
        }
    }

    /// Whether more bytes may be in flight; one item is always allowed.
    fn has_room(&self) -> bool {
        self.flying.is_empty() || self.bytes < self.allowed
    }

    /// Returns when the oldest flight expires.
    fn expires_at(&self) -> Option<Now> {
        self.flying.front().map(|flight| flight.since + TICKING)
    }
}

/// The fastest confirmation of this window and of the one before: a path may become longer, as after a
/// handover to another network (RFC 6817 keeps such a history of base delays).
#[derive(Debug, Default)]
struct Quickest {
    current: Option<Duration>,
    before: Option<Duration>,
    since: Now,
}

impl Quickest {
    /// Returns how long something was queued that was confirmed after this time.
    fn queued(&mut self, took: Duration, now: Now) -> Duration {
        if now.saturating_sub(self.since) >= QUICKEST_WINDOW {
            self.before = self.current.take();
            self.since = now;
        }
        let quickest = self.current.map_or(took, |quickest| quickest.min(took));
        self.current = Some(quickest);
        let quickest = self.before.map_or(quickest, |before| before.min(quickest));
        took - quickest.min(QUICKEST_MAX)
    }
}

/// Limits the unconfirmed bytes on one connection while it carries live values. It owns the bytes
/// in flight of each lane, and the round-trip times measured by their probes.
///
/// The session asks before it sends, and reports each sent frame and each confirmation.
///
/// Invariants:
/// - One frame of each lane may always be in flight, on a connection of any speed.
/// - Bytes that are not confirmed within [`TICKING`] no longer count as in flight.
#[derive(Debug)]
pub(super) struct Pacer {
    probes: u64,
    fresh: InFlight,
    log: InFlight,
    round_trip: Duration,
    /// The fastest confirmations in either lane; a slower one was queued.
    quickest: Quickest,
    log_changed_at: Now,
    signalled_at: Option<Now>,
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            probes: 0,
            fresh: InFlight::new(FLIGHT_BYTES),
            log: InFlight::new(LOG_BYTES_MIN),
            round_trip: Duration::ZERO,
            quickest: Quickest::default(),
            log_changed_at: Now::ZERO,
            signalled_at: None,
        }
    }
}

impl Pacer {
    /// Returns when the next signals may leave without an earlier confirmation.
    pub(super) fn next(&self) -> Now {
        let rest = (self.round_trip / 4).min(REST_MAX);
        let rested = self.signalled_at.map_or(Now::ZERO, |at| at + rest);
        let expires_at = self.fresh.expires_at().filter(|_| !self.fresh.has_room());
        expires_at.map_or(rested, |at| at.max(rested))
    }

    /// Whether another frame of the log may leave.
    pub(super) fn lets_log_pass(&self, now: Now) -> bool {
        !self.is_ticking(now) || self.log.has_room()
    }

    /// Maximum bytes of the next frame of the log: a long one would delay values behind it.
    pub(super) fn log_frame_bytes(&self, now: Now) -> usize {
        if self.is_ticking(now) {
            self.log.allowed
        } else {
            usize::MAX
        }
    }

    /// Returns when the log continues without a confirmation.
    pub(super) fn lets_log_pass_at(&self) -> Option<Now> {
        self.log.expires_at()
    }

    /// Stops waiting for confirmations that are overdue at `now`.
    pub(super) fn expire(&mut self, now: Now) {
        self.fresh.expire(now);
        self.log.expire(now);
    }

    fn is_ticking(&self, now: Now) -> bool {
        self.signalled_at
            .is_some_and(|at| now.saturating_sub(at) < TICKING)
    }

    /// Signals were sent. Returns the probe to send behind them. `ticks` means that some are live
    /// values, for which the log is limited.
    pub(super) fn on_signals(&mut self, bytes: usize, ticks: bool, now: Now) -> Option<u64> {
        if ticks {
            self.signalled_at = Some(now);
        }
        self.probes += 1;
        self.fresh
            .fly(self.probes, bytes, now)
            .then_some(self.probes)
    }

    /// A frame of the log was sent. Returns the probe to send behind it, if one is due.
    pub(super) fn on_log(&mut self, bytes: usize, now: Now) -> Option<u64> {
        if !self.is_ticking(now) {
            return None;
        }
        self.probes += 1;
        self.log.fly(self.probes, bytes, now).then_some(self.probes)
    }

    /// The client confirmed some probes. The limit of signals is halved after queueing, and grows a
    /// little otherwise; that of the log is described at [`Self::on_log_queued`], or doubles. Signals
    /// that were queued lower the limit of the log, too: before it sends, only they measure.
    pub(super) fn on_confirmed(&mut self, reached: Confirmed, now: Now) {
        if let Some(since) = self.fresh.on_confirmed(reached.ephemeral) {
            let took = now.saturating_sub(since);
            self.round_trip = if self.round_trip.is_zero() {
                took
            } else {
                (self.round_trip * 3 + took) / 4
            };
            let queued = self.quickest.queued(took, now);
            self.on_log_queued(queued, since, now);
            let allowed = if queued > QUEUE_MAX {
                self.fresh.allowed / 2
            } else {
                self.fresh.allowed + BATCH_BYTES / 4
            };
            self.fresh.allowed = allowed.clamp(FLIGHT_BYTES_MIN, FLIGHT_BYTES);
        }
        // A limit that was not reached proves nothing about the connection, and does not grow (RFC
        // 7661).
        let was_full = !self.log.has_room();
        if let Some(since) = self.log.on_confirmed(reached.log) {
            let queued = self.quickest.queued(now.saturating_sub(since), now);
            let is_lower = self.on_log_queued(queued, since, now);
            if !is_lower && was_full && since >= self.log_changed_at {
                self.log.allowed = (self.log.allowed * 2).min(LOG_BYTES);
                self.log_changed_at = now;
            }
        }
    }

    /// Something was queued for some time: a short one halves the limit of the log, once in a round
    /// trip, since frames from before it are no measure of the new limit; a long one sets it to its
    /// minimum. Returns whether it was queued at all.
    fn on_log_queued(&mut self, queued: Duration, since: Now, now: Now) -> bool {
        if queued > QUEUE_MAX {
            self.log.allowed = LOG_BYTES_MIN;
            self.log_changed_at = now;
        } else if queued > LOG_QUEUE_MAX && since >= self.log_changed_at {
            self.log.allowed = (self.log.allowed / 2).max(LOG_BYTES_MIN);
            self.log_changed_at = now;
        }
        queued > LOG_QUEUE_MAX
    }
}

#[cfg(test)]
mod tests;
