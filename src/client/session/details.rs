//! PURE. The session's details for an inspector: the timers and numbers on which it decides. Made
//! only while an inspector is open.

use std::time::Duration;

use super::Session;
use crate::client::link::{Limits, Now, Timers, Wait};
use crate::client::log::StoredRange;
use crate::client::meter::{LinkCounters, ReceivedWelcome};
use crate::client::outbox::Tries;
use crate::protocol::limits::{WINDOW_BYTES_MAX, WINDOW_ENTRIES_MAX};
use crate::protocol::{Dial, RoomId, Seq};

/// Period of the ack rate.
const RATE_OVER: Duration = Duration::from_secs(60);

/// The details of a session.
#[derive(Clone, PartialEq, Debug)]
pub struct Details {
    /// The current dial, or the last one.
    pub dial: Dial,
    pub timers: Timers,
    /// The limits of retries, and how close they are.
    pub limits: Limits,
    /// Number of doublings of the deadlines, caused by timeouts.
    pub doublings: u32,
    /// Backoff delays, from old to new.
    pub waits: Vec<Wait>,
    /// Round-trip times, from old to new.
    pub rtts: Vec<Duration>,
    pub rtt: Option<Duration>,
    /// How the current connection began.
    pub received: Option<ReceivedWelcome>,
    /// Counters of the current connection.
    pub of_link: LinkCounters,
    /// Counters of all connections of the process.
    pub of_process: LinkCounters,
    /// Number of acks in the last minute.
    pub acks_a_minute: u64,
    /// Median time from send to ack.
    pub ack_p50: Option<Duration>,
    /// 99th percentile of the time from send to ack.
    pub ack_p99: Option<Duration>,
    /// Live values that wait to be sent.
    pub signals_waiting: usize,
    /// Number of keys of signals that were dropped because too many were pending.
    pub signals_given_up: u64,
    /// The entries in flight.
    pub window: Window,
    /// The send attempts of each entry of the outbox that was sent.
    pub tries: Vec<Tries>,
    pub rooms: Vec<RoomDetails>,
}

/// The window: entries and bytes in flight, with their limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// Entries in flight.
    pub entries: usize,
    /// Bytes in flight.
    pub bytes: usize,
    /// Bytes sent whose arrival no reply has proved.
    pub unproved: u64,
}

impl Window {
    /// Maximum entries in flight.
    pub const ENTRIES_MAX: usize = WINDOW_ENTRIES_MAX;
    /// Maximum bytes in flight.
    pub const BYTES_MAX: usize = WINDOW_BYTES_MAX;
}

/// Sync state of one room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomDetails {
    pub room: RoomId,
    pub name: String,
    /// The known head of its log.
    pub head: Seq,
    pub ranges: Vec<StoredRange>,
    /// Number of missing entries.
    pub missing: u64,
    /// The current activity, in one or two words.
    pub doing: &'static str,
}

impl Session {
    /// Returns all details, for an inspector.
    #[must_use]
    pub fn details(&self, now: Now) -> Details {
        let tries: Vec<_> = self.outbox.tries().collect();
        let flying = || tries.iter().filter(|tries| tries.sent_at.is_some());
        let window = Window {
            entries: flying().count(),
            bytes: flying().map(|tries| tries.bytes).sum(),
            unproved: self.out.link.unproved(),
        };
        Details {
            dial: self.out.link.last_dial(),
            timers: self.out.link.timers(),
            limits: self.out.link.limits(),
            doublings: self.out.link.doublings(),
            waits: self.out.link.backoff().waits().copied().collect(),
            rtts: self.out.link.rtts().copied().collect(),
            rtt: self.out.link.rtt(),
            received: self.out.metrics.received,
            of_link: self.out.metrics.link,
            of_process: self.out.metrics.total(),
            acks_a_minute: self.out.metrics.acks_since(now.saturating_sub(RATE_OVER)),
            ack_p50: self.out.metrics.ack_time(50),
            ack_p99: self.out.metrics.ack_time(99),
            signals_waiting: self.signals.len(),
            signals_given_up: self.signals.given_up(),
            window,
            tries,
            rooms: self.rooms.details(),
        }
    }
}
