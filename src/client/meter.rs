//! PURE. Counters of one connection and of the whole process, and response times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ring_buffer::RingBuffer;
use crate::protocol::{Now, SessionId};

/// Number of remembered response times.
const SAMPLES: usize = 256;

/// The counters of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Frames to the server.
    pub frames_out: u64,
    /// Frames from the server.
    pub frames_in: u64,
    /// Number of sent entries; each send counts.
    pub sent: u64,
    /// Number of repeated sends among them.
    pub resent: u64,
    pub acked: u64,
    /// Acknowledgements of entries that the server already had: resent duplicates.
    pub deduplicated: u64,
    /// Its name in stored journals is an older word.
    #[serde(rename = "refused")]
    pub rejected: u64,
}

impl LinkCounters {
    fn add(&mut self, more: Self) {
        let Self {
            frames_out,
            frames_in,
            sent,
            resent,
            acked,
            deduplicated,
            rejected,
        } = more;
        self.frames_out += frames_out;
        self.frames_in += frames_in;
        self.sent += sent;
        self.resent += resent;
        self.acked += acked;
        self.deduplicated += deduplicated;
        self.rejected += rejected;
    }
}

/// The content of a welcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcomed {
    pub session: SessionId,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// The server's clock, ms since 1970.
    pub server_now: u64,
}

/// The start of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceivedWelcome {
    /// When the welcome arrived.
    pub at: Now,
    /// Time from the hello to the welcome.
    pub took: Duration,
    pub welcome: Welcomed,
}

impl ReceivedWelcome {
    /// Returns how far the server's clock is ahead, ms. Half of the handshake is counted as the
    /// welcome's latency.
    #[must_use]
    pub fn ahead_ms(&self, now: Now, unix_ms: u64) -> i64 {
        let ms = |ms: u128| i64::try_from(ms).unwrap_or(i64::MAX);
        let then = ms(unix_ms.into()).saturating_sub(ms(now.saturating_sub(self.at).as_millis()));
        ms(self.welcome.server_now.into())
            .saturating_add(ms(self.took.as_millis() / 2))
            .saturating_sub(then)
    }
}

/// Returns a percentile: 50 is the median.
#[must_use]
pub fn quantile<T: Ord + Copy>(mut values: Vec<T>, percent: usize) -> Option<T> {
    let at = (values.len() * percent / 100).min(values.len().checked_sub(1)?);
    Some(*values.select_nth_unstable(at).1)
}

/// The counters and response times beside the link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Of the current connection.
    pub(crate) link: LinkCounters,
    before: LinkCounters,
    pub(crate) received: Option<ReceivedWelcome>,
    acks: RingBuffer<(Now, Duration), SAMPLES>,
}

impl Metrics {
    /// The connection ended: adds its counters to the total.
    pub(crate) fn on_link_ended(&mut self) {
        self.before.add(std::mem::take(&mut self.link));
        self.received = None;
    }

    /// Returns the counters of all connections of the process.
    pub(crate) fn total(&self) -> LinkCounters {
        let mut total = self.before;
        total.add(self.link);
        total
    }

    /// An ack of an entry that was sent once.
    pub(crate) fn on_ack_time(&mut self, now: Now, took: Duration) {
        self.acks.push((now, took));
    }

    /// Number of acks after a time, limited to the remembered ones.
    pub(crate) fn acks_since(&self, since: Now) -> u64 {
        self.acks.iter().filter(|(at, _)| *at >= since).count() as u64
    }

    /// Returns a percentile of the last ack times; 50 is the median.
    pub(crate) fn ack_time(&self, percent: usize) -> Option<Duration> {
        quantile(self.acks.iter().map(|(_, took)| *took).collect(), percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meter_counts_per_connection_and_in_total() {
        let mut meter = Metrics::default();
        meter.link.sent = 3;
        meter.on_link_ended();
        meter.link.sent = 2;
        assert_eq!((meter.link.sent, meter.total().sent), (2, 5));
    }

    #[test]
    fn clock_offset_subtracts_half_the_handshake() {
        let welcome = |server_now| Welcomed {
            session: SessionId::NIL,
            resumed: false,
            server_now,
        };
        let (at, took) = (Now::from_secs(10), Duration::from_millis(400));
        let ahead = |server_now, unix_ms| {
            ReceivedWelcome {
                at,
                took,
                welcome: welcome(server_now),
            }
            .ahead_ms(Now::from_secs(11), unix_ms)
        };
        assert_eq!(
            ahead(5_800, 7_000),
            0,
            "it was 5.8 s there, 0.2 s before it was 6 s here"
        );
        assert_eq!(ahead(9_800, 7_000), 4_000);
        assert_eq!(
            [ahead(u64::MAX, 0) > 0, ahead(0, u64::MAX) < 0],
            [true; 2],
            "senseless, and survived"
        );
    }

    #[test]
    fn quantiles_are_those_of_the_newest_samples() {
        let mut meter = Metrics::default();
        assert_eq!(meter.ack_time(50), None);
        for ms in 0..1_000 {
            meter.on_ack_time(Now::from_millis(ms), Duration::from_millis(ms));
        }
        assert_eq!(meter.ack_time(50), Some(Duration::from_millis(1_000 - 128)));
        assert_eq!(meter.ack_time(99), Some(Duration::from_millis(997)));
        assert_eq!(meter.ack_time(100), Some(Duration::from_millis(999)));
        assert_eq!(meter.acks_since(Now::from_millis(990)), 10);
    }
}
