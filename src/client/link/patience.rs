//! PURE. How long to wait for a peer: the estimated round-trip time, and deadlines that grow with it.

use std::time::Duration;

use super::timing::{PONG_DEADLINE, SUSPICION_AFTER, SUSPICION_DEADLINE};
use crate::client::ring_buffer::RingBuffer;
use crate::planted_bug::planted_bug;
use crate::protocol::limits;

/// Deadline of a dial.
pub(super) const DIAL_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline of a welcome.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline of an ack on a connection that answers pings.
const ACK_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum of a doubled deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(120);
/// Maximum number of doublings.
const DOUBLINGS_MAX: u32 = 6;
/// Slower connections count as dead, bytes per second.
const SLOWEST_BYTES_PER_SECOND: u64 = 1_000;

/// What earlier connections taught about the path to the server; it outlives each of them.
#[derive(Debug)]
pub(super) struct Patience {
    /// Interval after which an idle connection is pinged.
    pub(super) interval: Duration,
    rtt: Option<Duration>,
    rtts: RingBuffer<Duration, 64>,
    /// Each timeout doubles the deadlines of the next connection.
    doublings: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(limits::HEARTBEAT_MS),
            rtt: None,
            rtts: RingBuffer::default(),
            doublings: 0,
        }
    }
}

impl Patience {
    /// The smoothed round-trip time.
    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The latest round-trip times, from old to new.
    pub(super) fn rtts(&self) -> impl Iterator<Item = &Duration> {
        self.rtts.iter()
    }

    pub(super) const fn doublings(&self) -> u32 {
        self.doublings
    }

    /// The handshake took this long: a first estimate of the round-trip time.
    pub(super) const fn on_handshake(&mut self, took: Duration) {
        self.rtt = Some(took);
    }

    /// Adds a measured round-trip time, smoothed as in RFC 6298. A shorter one counts more, so that
    /// a path that became fast is watched closely again.
    pub(super) fn on_round_trip(&mut self, took: Duration) {
        self.rtts.push(took);
        let smoothed = |rtt: Duration| {
            if took < rtt {
                (rtt + took) / 2
            } else {
                (rtt * 7 + took) / 8
            }
        };
        self.rtt = Some(self.rtt.map_or(took, smoothed));
        if took <= PONG_DEADLINE {
            self.on_quick_reply();
        }
    }

    /// A reply came within the deadline before its doubling.
    pub(super) const fn on_quick_reply(&mut self) {
        self.doublings = 0;
    }

    /// A deadline passed.
    pub(super) fn on_timeout(&mut self) {
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
    }

    pub(super) fn doubled(&self, base: Duration) -> Duration {
        if planted_bug!(DeadlinesStay) {
            return base;
        }
        base.saturating_mul(1 << self.doublings)
            .min(DEADLINE_MAX.max(base))
    }

    /// How late an ack makes a connection suspect.
    pub(super) fn suspicion_after(&self) -> Duration {
        SUSPICION_AFTER.max(self.rtt.unwrap_or_default() * 4)
    }

    /// Deadline of the pong of a suspect connection, before doubling.
    pub(super) fn suspicion_deadline(&self) -> Duration {
        SUSPICION_DEADLINE.max(self.rtt.unwrap_or_default() * 4)
    }

    /// How long an ack may take on a connection that answers pings, with `unproved` bytes in flight.
    pub(super) fn ack(&self, unproved: u64) -> Duration {
        let patience = ACK_DEADLINE.max(self.rtt.unwrap_or_default() * 8);
        self.doubled(patience) + transfer_time(unproved)
    }
}

/// Time that `bytes` need on the slowest accepted connection.
pub(super) fn transfer_time(bytes: u64) -> Duration {
    if planted_bug!(DeadlinesStay) {
        return Duration::ZERO;
    }
    Duration::from_millis(bytes * 1_000 / SLOWEST_BYTES_PER_SECOND)
}
