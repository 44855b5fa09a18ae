//! PURE. The times of a link that do not depend on settings, ms precision.

use std::time::Duration;

/// Deadline of the pong to a ping on an idle connection.
pub const PONG_DEADLINE: Duration = Duration::from_secs(10);
/// An ack that takes longer than this makes a connection suspect.
pub const SUSPICION_AFTER: Duration = Duration::from_secs(2);
/// Deadline of the pong of a suspect connection.
pub const SUSPICION_DEADLINE: Duration = Duration::from_secs(3);
/// Upper bound of the first delay.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// A connection that is up for so long resets the backoff.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
