//! PURE. How much may be on its way to a client while live values have to stay fresh.
//!
//! Whatever waits in the buffers between two machines makes all that is behind it late, and nobody can take it back. So as
//! long as a link carries live values, only little is sent that the client has not confirmed: probes (WebSocket pings, which
//! every client answers, RFC 6455, section 5.5.2) tell how far it has come. Values leave evenly over a round trip, not in
//! bursts, and the more of them wait on the way the fewer may fly (as in RFC 6817, which keeps queues short by their delay).

use std::collections::VecDeque;
use std::time::Duration;

use super::Now;

/// Bytes of signals that may be unconfirmed at most, and at least, however slow the link is.
const FLIGHT_BYTES: usize = 4 * 1024;
const FLIGHT_BYTES_MIN: usize = 512;
/// Bytes of signals that leave at a time.
pub(super) const BATCH_BYTES: usize = 1024;
/// A confirmation that takes so much longer than the quickest one has waited behind others: less may fly.
const QUEUE_MAX: Duration = Duration::from_millis(500);
/// A link on which no signal was told for so long carries its log without regard for them.
const TICKING: Duration = Duration::from_secs(5);
/// The longest rest between two batches, however far the client is.
const REST_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Flight {
    n: u64,
    since: Now,
    bytes: usize,
    is_log: bool,
}

/// What is on its way and not confirmed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    probes: u64,
    flying: VecDeque<Flight>,
    round_trip: Duration,
    /// The quickest confirmation of signals.
    quickest: Option<Duration>,
    /// Bytes that may be unconfirmed at present; nothing is known at first.
    allowed: Option<usize>,
    told_at: Option<Now>,
}

impl Pace {
    /// When the next signals may leave; `None` before something is confirmed.
    pub(super) fn next(&self) -> Option<Now> {
        let bytes: usize = self.flying.iter().filter(|flight| !flight.is_log).map(|flight| flight.bytes).sum();
        let rest = (self.round_trip / 4).min(REST_MAX);
        (bytes < self.allowed.unwrap_or(FLIGHT_BYTES)).then(|| self.told_at.map_or(Now::ZERO, |told| told + rest))
    }

    /// Whether another frame of the log may leave: while values are told, one at a time.
    pub(super) fn lets_log_pass(&self, now: Now) -> bool {
        !self.is_ticking(now) || self.flying.iter().all(|flight| !flight.is_log)
    }

    /// When the log goes on though a frame of it was never confirmed: a client that answers no pings must not wait for ever.
    pub(super) fn lets_log_pass_at(&self) -> Option<Now> {
        let is_held = self.flying.iter().any(|flight| flight.is_log);
        self.told_at.filter(|_| is_held).map(|told| told + TICKING)
    }

    fn is_ticking(&self, now: Now) -> bool {
        self.told_at.is_some_and(|told| now.saturating_sub(told) < TICKING)
    }

    /// Signals leave; returns the probe that is to follow them.
    pub(super) fn on_signals(&mut self, bytes: usize, now: Now) -> u64 {
        self.told_at = Some(now);
        self.fly(bytes, false, now)
    }

    /// A frame of the log leaves; returns the probe that is to follow it, if one is wanted.
    pub(super) fn on_log(&mut self, bytes: usize, now: Now) -> Option<u64> {
        self.is_ticking(now).then(|| self.fly(bytes, true, now))
    }

    fn fly(&mut self, bytes: usize, is_log: bool, now: Now) -> u64 {
        self.probes += 1;
        self.flying.push_back(Flight { n: self.probes, since: now, bytes, is_log });
        self.probes
    }

    /// The client has read everything up to a probe.
    pub(super) fn on_confirmed(&mut self, n: u64, now: Now) {
        // Two lanes: what was probed later may be confirmed sooner.
        let Some(at) = self.flying.iter().position(|flight| flight.n == n) else { return };
        if let Some(flight) = self.flying.remove(at) {
            let took = now.saturating_sub(flight.since);
            self.round_trip = if self.round_trip.is_zero() { took } else { (self.round_trip * 3 + took) / 4 };
            if !flight.is_log {
                self.adapt(took);
            }
        }
    }
}

impl Pace {
    /// Half as much when what was confirmed had to wait on its way, and a little more when it had not.
    fn adapt(&mut self, took: Duration) {
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        let allowed = self.allowed.unwrap_or(FLIGHT_BYTES);
        let next = if took > quickest + QUEUE_MAX { allowed / 2 } else { allowed + BATCH_BYTES / 4 };
        (self.quickest, self.allowed) = (Some(quickest), Some(next.clamp(FLIGHT_BYTES_MIN, FLIGHT_BYTES)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    #[test]
    fn signals_wait_once_enough_is_unconfirmed_and_leave_evenly_after_that() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(), Some(ms(0)));
        let probes: Vec<_> = (0..4).map(|_| pace.on_signals(BATCH_BYTES, ms(10))).collect();
        assert_eq!(pace.next(), None);
        pace.on_confirmed(probes[0], ms(410));
        assert_eq!(pace.next(), Some(ms(110)), "a quarter of the round trip after the last ones");
        pace.on_confirmed(99, ms(500));
        assert_eq!(pace.flying.len(), 3, "what was never asked confirms nothing");
    }

    #[test]
    fn on_a_slow_link_less_flies_until_it_is_quick_again() {
        let mut pace = Pace::default();
        let mut flies = |now: u64, took: u64| {
            let mut probes = Vec::new();
            while pace.next().is_some() && probes.len() < 100 {
                probes.push(pace.on_signals(256, ms(now)));
            }
            probes.iter().for_each(|probe| pace.on_confirmed(*probe, ms(now + took)));
            probes.len() * 256
        };
        assert_eq!(flies(0, 100), FLIGHT_BYTES);
        assert_eq!(flies(1_000, 2_000), FLIGHT_BYTES);
        assert_eq!(flies(4_000, 2_000), FLIGHT_BYTES_MIN);
        assert_eq!(flies(8_000, 100), FLIGHT_BYTES_MIN);
        assert!(flies(9_000, 100) > FLIGHT_BYTES_MIN);
    }

    #[test]
    fn the_log_goes_one_frame_at_a_time_only_while_values_are_told() {
        let mut pace = Pace::default();
        assert_eq!(pace.on_log(8_000, ms(0)), None);
        assert!(pace.lets_log_pass(ms(0)));
        pace.on_signals(100, ms(1_000));
        let probe = pace.on_log(8_000, ms(1_100)).expect("is probed");
        assert!(!pace.lets_log_pass(ms(1_200)));
        pace.on_confirmed(probe, ms(1_600));
        assert!(pace.lets_log_pass(ms(1_600)));
        pace.on_log(8_000, ms(1_700));
        assert!(pace.lets_log_pass(ms(1_000) + TICKING), "nobody tells values any more");
    }
}
