//! PURE. The session's status for the screen: the link state and the state of each room.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Session;
use crate::client::cause::Cause;
use crate::client::link::{ConnectionPhase, Limits, LinkState, Now, coarse};
use crate::protocol::{AccountId, DeviceId, RoomId};

/// A snapshot of the session, made after each change.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    pub link: LinkState,
    /// The limits of retries, and how close they are.
    pub limits: Limits,
    /// Why the last connection ended, until the next one is welcomed.
    pub last_cause: Option<Cause>,
    /// The account, after the first welcome.
    pub account: Option<AccountId>,
    pub device: DeviceId,
    /// When the oldest unanswered entry was sent on this connection, rounded up to a second: a status
    /// that changed with each entry would wake everything that waits for one.
    pub unanswered_since: Option<Now>,
    /// The rooms that the account is a member of.
    pub rooms: Arc<BTreeMap<RoomId, RoomStatus>>,
}

/// One room's part of [`Status`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomStatus {
    /// Number of online accounts; 0 if unknown.
    pub online: u64,
    /// Whether the room is subscribed on this connection.
    pub live: bool,
    /// Entries that are not stored yet.
    pub missing: u64,
    /// Whether the logs differ and are being reconciled.
    pub healing: bool,
    /// Why the server accepts no entries at the moment; pending ones are sent again automatically.
    pub deferral: Option<String>,
}

impl Session {
    /// Returns the status for the screen.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            link: self.link_state(),
            limits: self.out.link.limits(),
            last_cause: self.out.link.last_cause().cloned(),
            account: self.identity.account,
            device: self.identity.device,
            unanswered_since: (self.outbox.waiting())
                .map(|flight| Now::from_secs(flight.sent_at.as_secs() + 1)),
            rooms: self.rooms.statuses(),
        }
    }

    /// Returns the link state, with the rest of the catch-up.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        let link = &self.out.link;
        match link.phase() {
            ConnectionPhase::Offline { why, .. } => LinkState::Offline { why: why.clone() },
            ConnectionPhase::Backoff { until, cause } => LinkState::Backoff {
                attempt: link.attempt(),
                until: *until,
                cause: cause.clone(),
            },
            ConnectionPhase::Dialing { .. } | ConnectionPhase::Handshake { .. } => {
                LinkState::Connecting {
                    attempt: link.attempt(),
                }
            }
            ConnectionPhase::Up(_) => {
                let behind = self.rooms.behind();
                if behind.rooms == 0 {
                    return LinkState::Connected {
                        rtt: link.rtt().map(coarse),
                    };
                }
                LinkState::Resyncing {
                    rooms_left: behind.rooms,
                    entries_left: behind.entries,
                }
            }
        }
    }
}
