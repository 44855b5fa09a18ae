//! The events of the proxy, and its counters.

use std::net::SocketAddr;

use serde::Serialize;

use super::plan::{Direction, FaultCommand};

/// One event. Its JSON is a flat object with the kind under `event`.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since the proxy started.
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events. Connections are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The proxy accepts connections.
    Listening {
        address: SocketAddr,
        upstream: String,
    },
    /// It got this command.
    #[serde(rename = "told")]
    CommandReceived { command: String },
    /// A connection was accepted and is open on both sides.
    Opened { connection: u64 },
    /// A connection was accepted and is never answered.
    Muted { connection: u64 },
    /// A connection was accepted and gets a login page.
    Redirected { connection: u64 },
    /// The server could not be reached.
    Unreachable { connection: u64 },
    /// A connection has bytes to pass in this direction that a stall keeps back.
    Held {
        connection: u64,
        way: Direction,
        bytes: u64,
    },
    /// The first bytes of a connection were lost in this direction: nothing passes on it any more.
    Dead { connection: u64, way: Direction },
    /// A byte was changed.
    Corrupted { connection: u64, way: Direction },
    /// A frame was dropped.
    Swallowed { connection: u64, kind: String },
    /// A connection ended; `up`, `down` and `lost` are bytes. `lost` were
    /// read and not passed.
    Ended {
        connection: u64,
        reset: bool,
        up: u64,
        down: u64,
        lost: u64,
    },
}

impl What {
    /// Whether all faults end with this event.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        match self {
            Self::CommandReceived { command } => command.parse() == Ok(FaultCommand::Pass),
            _ => false,
        }
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// Number of accepted connections.
    pub opened: u64,
    /// Number of ended connections.
    pub ended: u64,
    /// Bytes sent to the server.
    pub up: u64,
    /// Bytes sent to clients.
    pub down: u64,
    /// Bytes that were read and not passed: dropped on purpose, or their connection ended first.
    pub lost: u64,
    /// Frames dropped on purpose.
    pub frames: u64,
}
