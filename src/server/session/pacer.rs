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
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    const fn fresh(n: u64) -> Confirmed {
        Confirmed {
            ephemeral: n,
            log: 0,
        }
    }

    const fn log(n: u64) -> Confirmed {
        Confirmed {
            ephemeral: 0,
            log: n,
        }
    }

    #[test]
    fn pacer_paces_signals_when_unconfirmed() {
        let mut pace = Pacer::default();
        assert_eq!(pace.next(), ms(0));
        let probes: Vec<_> = (0..4)
            .filter_map(|_| pace.on_signals(BATCH_BYTES, true, ms(10)))
            .collect();
        assert_eq!(pace.next(), ms(10) + TICKING);
        pace.on_confirmed(fresh(probes[0]), ms(410));
        assert_eq!(
            pace.next(),
            ms(110),
            "a quarter of the round trip after the last ones"
        );
        pace.on_confirmed(fresh(probes[3]), ms(500));
        assert_eq!(
            pace.fresh.bytes, 0,
            "the newest answer confirms all before it"
        );
    }

    #[test]
    fn pacer_shrinks_window_on_slow_connection() {
        let mut pace = Pacer::default();
        let mut flies = |now: u64, took: u64| {
            let mut probes = Vec::new();
            while pace.next() <= ms(now) {
                probes.extend(pace.on_signals(256, true, ms(now)));
                pace.round_trip = Duration::ZERO;
            }
            probes
                .iter()
                .for_each(|probe| pace.on_confirmed(fresh(*probe), ms(now + took)));
            probes.len() * 256
        };
        assert_eq!(flies(0, 100), FLIGHT_BYTES);
        assert_eq!(flies(1_000, 2_000), FLIGHT_BYTES);
        assert_eq!(flies(4_000, 2_000), FLIGHT_BYTES_MIN);
        assert_eq!(flies(8_000, 100), FLIGHT_BYTES_MIN);
        assert!(flies(9_000, 100) > FLIGHT_BYTES_MIN);
    }

    #[test]
    fn pacer_limit_halves_after_queueing_and_grows_a_little() {
        let mut pace = Pacer::default();
        let mut confirm = |sent: u64, took: u64| {
            let probe = pace.on_signals(10, true, ms(sent)).expect("a probe");
            pace.on_confirmed(fresh(probe), ms(sent + took));
            (pace.fresh.allowed, pace.round_trip)
        };
        assert_eq!(confirm(0, 100), (FLIGHT_BYTES, ms(100)));
        // Not queued: as much later than the fastest one as is allowed.
        assert_eq!(confirm(1_000, 600), (FLIGHT_BYTES, ms(225)));
        assert_eq!(confirm(2_000, 601), (FLIGHT_BYTES / 2, ms(319)));
        let grown = FLIGHT_BYTES / 2 + BATCH_BYTES / 4;
        assert_eq!(confirm(3_000, 119), (grown, ms(269)));
    }

    #[test]
    fn pacer_log_uses_full_speed_beside_values() {
        let mut pace = Pacer::default();
        assert_eq!(pace.on_log(8_000, ms(0)), None);
        assert!(pace.lets_log_pass(ms(0)));
        let mut at = 1_000;
        let mut flies = |took: u64| {
            pace.on_signals(100, true, ms(at));
            let mut probes = Vec::new();
            while pace.lets_log_pass(ms(at)) && probes.len() < FLIGHTS_MAX {
                probes.extend(pace.on_log(8_000, ms(at)));
            }
            at += took;
            probes
                .iter()
                .for_each(|probe| pace.on_confirmed(log(*probe), ms(at)));
            probes.len()
        };
        assert_eq!(
            [flies(100), flies(100), flies(100), flies(100), flies(100)],
            [1, 1, 1, 1, 2]
        );
        assert!(
            (0..5).map(|_| flies(100)).last() >= Some(9),
            "a quick link is filled"
        );
        let _ = flies(900); // what was on its way shows that it queues
        assert_eq!(flies(900), 1);
    }

    /// A connection that becomes slow shows it by its signals first: the log sends no burst into it.
    #[test]
    fn pacer_queued_signals_lower_the_limit_of_the_log() {
        let mut pace = Pacer::default();
        pace.log.allowed = LOG_BYTES;
        let confirm = |pace: &mut Pacer, sent: u64, took: u64| {
            let probe = pace.on_signals(100, true, ms(sent)).expect("a probe");
            pace.on_confirmed(fresh(probe), ms(sent + took));
            pace.log.allowed
        };
        assert_eq!(confirm(&mut pace, 0, 20), LOG_BYTES);
        assert_eq!(
            confirm(&mut pace, 1_000, 170),
            LOG_BYTES,
            "not queued long enough"
        );
        assert_eq!(confirm(&mut pace, 2_000, 171), LOG_BYTES / 2);
        assert_eq!(
            confirm(&mut pace, 2_100, 171),
            LOG_BYTES / 2,
            "sent before that"
        );
        assert_eq!(confirm(&mut pace, 3_000, 521), LOG_BYTES_MIN);
    }

    /// A handover to a distant network is no queue for ever.
    #[test]
    fn pacer_adapts_to_a_longer_path() {
        let mut pace = Pacer::default();
        let mut flies = |at: u64, took: u64| {
            pace.on_signals(100, true, ms(at));
            let mut probes = Vec::new();
            while pace.lets_log_pass(ms(at)) && probes.len() < FLIGHTS_MAX {
                probes.extend(pace.on_log(400, ms(at)));
            }
            let confirm = |probe: &u64| pace.on_confirmed(log(*probe), ms(at + took));
            probes.iter().for_each(confirm);
            pace.log.allowed
        };
        for n in 0..10 {
            flies(n * 100, 10);
        }
        assert_eq!(flies(2_000, 700), LOG_BYTES_MIN);
        let later = (3..200).map(|n| flies(n * 1_000, 700)).last();
        assert_eq!(later, Some(LOG_BYTES / 2)); // as many flights as are tracked
    }

    #[test]
    fn pacer_small_first_frame_allows_no_burst() {
        let mut pace = Pacer::default();
        pace.on_signals(100, true, ms(0));
        let fill = |pace: &mut Pacer, at| {
            let before = pace.log.bytes;
            while pace.lets_log_pass(at) {
                pace.on_log(25, at);
            }
            pace.log.bytes - before
        };
        fill(&mut pace, ms(0));
        let first = pace.log.flying[0].n;
        let confirmed: usize = (0..10)
            .map(|n| {
                pace.on_confirmed(log(first + n), ms(600 + n));
                fill(&mut pace, ms(600 + n))
            })
            .sum();
        assert!(
            pace.log.bytes <= 2 * LOG_BYTES_MIN + 25,
            "{} after {confirmed}",
            pace.log.bytes
        );
    }

    #[test]
    fn pacer_stops_waiting_for_missing_confirmation() {
        let mut pace = Pacer::default();
        pace.on_signals(FLIGHT_BYTES, true, ms(1_000));
        pace.on_log(8_000, ms(1_000));
        pace.on_signals(10, true, ms(4_000)); // not paced here
        assert!(!pace.lets_log_pass(ms(4_000)) && pace.next() > ms(4_000));
        assert_eq!(pace.lets_log_pass_at(), Some(ms(6_000)));
        pace.expire(ms(6_000));
        assert_eq!((pace.fresh.bytes, pace.log.bytes), (10, 0));
        assert!(pace.lets_log_pass(ms(6_000)) && pace.next() <= ms(6_000));
    }

    #[test]
    fn pacer_log_is_free_some_time_after_the_signals() {
        let mut pace = Pacer::default();
        pace.on_signals(10, true, ms(1_000));
        let end = ms(1_000) + TICKING;
        assert!(pace.on_log(8_000, end - ms(1)).is_some());
        assert_eq!(pace.on_log(8_000, end), None);
    }

    #[test]
    fn any_number_of_frames_costs_bounded_memory() {
        let mut pace = Pacer::default();
        pace.on_signals(10, true, ms(0));
        let probes = (0..10_000).filter_map(|_| pace.on_log(100, ms(1))).count();
        assert_eq!(
            (probes, pace.log.flying.len(), pace.log.bytes),
            (FLIGHTS_MAX, FLIGHTS_MAX, 1_000_000)
        );
        pace.on_confirmed(log(u64::MAX), ms(2));
        assert_eq!(pace.log.bytes, 0);
    }

    #[test]
    fn ping_payload_returns_with_its_pong() {
        let mut reached = Confirmed::default();
        reached.on_probe(Lane::Ephemeral, 3);
        reached.on_probe(Lane::Log, 4);
        assert_eq!(
            Confirmed::from_bytes(&reached.to_bytes()),
            Some(Confirmed {
                ephemeral: 3,
                log: 4
            })
        );
        assert_eq!(
            [&b""[..], b"1234567", b"12345678", &[0; 17]].map(Confirmed::from_bytes),
            [None; 4]
        );
    }
}
