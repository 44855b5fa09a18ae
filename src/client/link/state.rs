//! PURE. The state of a link for the screen, and its timers for an inspector.

use std::time::Duration;

use super::{ConnectionPhase, Link, LinkPhase, Now};
use crate::client::cause::Cause;

/// What the status bar shows, computed from the state machine.
#[derive(Clone, PartialEq, Debug)]
pub enum LinkState {
    /// Dialling, or waiting for the welcome.
    Connecting {
        /// Which try this is, from 1.
        attempt: u32,
    },
    /// Connected; rooms are catching up.
    Resyncing {
        /// Rooms not yet at their head.
        rooms_left: u64,
        /// Entries not stored yet.
        entries_left: u64,
    },
    /// The server answers and everything is stored.
    Connected {
        /// Smoothed round trip, once one was measured.
        rtt: Option<Duration>,
    },
    /// Waiting to dial again.
    Backoff {
        /// Which try comes next, from 1.
        attempt: u32,
        /// When it comes.
        until: Now,
        /// Why the last link ended.
        cause: Cause,
    },
    /// Not dialling until the user asks.
    Offline {
        /// Why.
        why: Cause,
    },
}

impl LinkState {
    /// The state without its details.
    #[must_use]
    pub const fn phase(&self) -> LinkPhase {
        match self {
            Self::Connecting { .. } => LinkPhase::Connecting,
            Self::Resyncing { .. } => LinkPhase::Resyncing,
            Self::Connected { .. } => LinkPhase::Connected,
            Self::Backoff { .. } => LinkPhase::Backoff,
            Self::Offline { .. } => LinkPhase::Offline,
        }
    }
}

/// Every timer of a link; what does not run is not there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {
    /// The next dial.
    pub dial_at: Option<Now>,
    /// The welcome must be there by then.
    pub greeted_by: Option<Now>,
    /// Since when it is connected.
    pub up_since: Option<Now>,
    /// A quiet link is pinged then.
    pub ping_at: Option<Now>,
    /// A ping is out since the first, and its answer must be there by the second.
    pub pong_by: Option<(Now, Now)>,
    /// The oldest entry without an answer went out then.
    pub waiting_since: Option<Now>,
    /// When that makes the link suspect.
    pub suspicious_at: Option<Now>,
    /// How long an ack may stay out on a link that answers pings.
    pub patience: Duration,
    /// The heartbeat's interval.
    pub interval: Duration,
}

impl Link {
    /// Every timer of the link as it is now.
    pub(crate) fn timers(&self) -> Timers {
        let mut timers = Timers {
            patience: self.ack_patience(),
            interval: self.interval,
            ..Timers::default()
        };
        match &self.phase {
            ConnectionPhase::Offline { .. } => {}
            ConnectionPhase::Backoff { until, .. } => timers.dial_at = Some(*until),
            ConnectionPhase::Dialing { deadline, .. }
            | ConnectionPhase::Greeting { deadline, .. } => timers.greeted_by = Some(*deadline),
            ConnectionPhase::Up(up) => {
                timers.up_since = Some(up.since);
                match &up.ping {
                    Some(ping) => {
                        timers.pong_by = Some((ping.sent_at, self.pong_deadline(up, ping)))
                    }
                    None => timers.ping_at = Some(self.ping_due(up)),
                }
                timers.waiting_since = up.waiting.map(|(since, _)| since);
                timers.suspicious_at = self.suspicion_due(up);
            }
        }
        timers
    }
}
