//! PURE. The link state for a screen, and its timers for an inspector.

use std::time::Duration;

use super::{ConnectionPhase, Link, LinkPhase, Now};
use crate::client::cause::Cause;

/// The link state, as the status bar and the journal show it.
#[derive(Clone, PartialEq, Debug)]
pub enum LinkState {
    /// Dialling, or waiting for the welcome.
    Connecting {
        /// Number of this attempt, from 1.
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
        /// Smoothed round-trip time, once measured.
        rtt: Option<Duration>,
    },
    /// Waiting for the next dial.
    Backoff {
        /// Number of the next attempt, from 1.
        attempt: u32,
        until: Now,
        /// Why the last connection ended.
        cause: Cause,
    },
    /// Not dialling until the user asks.
    Offline { why: Cause },
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

/// All timers of a link; `None` for a timer that does not run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {
    pub dial_at: Option<Now>,
    /// Deadline of the welcome.
    pub handshake_by: Option<Now>,
    /// Time of the welcome.
    pub up_since: Option<Now>,
    /// When an idle connection is pinged.
    pub ping_at: Option<Now>,
    /// When the current ping was sent, and the deadline of its pong.
    pub pong_by: Option<(Now, Now)>,
    /// When the oldest entry without an answer was sent.
    pub waiting_since: Option<Now>,
    /// When that makes the connection suspect.
    pub suspicious_at: Option<Now>,
    /// Maximum time of an ack on a connection that answers pings.
    pub patience: Duration,
    pub interval: Duration,
}

impl Link {
    /// Returns the current timers.
    pub(crate) fn timers(&self) -> Timers {
        let mut timers = Timers {
            patience: self.ack_patience(),
            interval: self.patience.interval,
            ..Timers::default()
        };
        match &self.phase {
            ConnectionPhase::Offline { .. } => {}
            ConnectionPhase::Backoff { until, .. } => timers.dial_at = Some(*until),
            ConnectionPhase::Dialing { deadline, .. }
            | ConnectionPhase::Handshake { deadline, .. } => timers.handshake_by = Some(*deadline),
            ConnectionPhase::Up(up) => {
                timers.up_since = Some(up.since);
                match &up.ping {
                    Some(ping) => timers.pong_by = Some((ping.sent_at, up.pong_deadline(ping))),
                    None => timers.ping_at = Some(up.ping_due(&self.patience)),
                }
                timers.waiting_since = up.waiting.map(|waiting| waiting.since);
                timers.suspicious_at = up.suspicion_due(&self.patience);
            }
        }
        timers
    }
}
