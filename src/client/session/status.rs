//! PURE. What the session shows on the screen: the link's state and the state of each
//! room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Session;
use crate::client::cause::Cause;
use crate::client::link::{ConnectionPhase, Limits, LinkState, coarse};
use crate::protocol::{AccountId, DeviceId, RoomId};

/// A picture of the session, made anew when something changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    pub link: LinkState,
    /// How near the link is to giving up, if it may.
    pub limits: Limits,
    /// Why the last link ended, as long as there is none again.
    pub last_cause: Option<Cause>,
    /// Who this is, once there was a welcome.
    pub account: Option<AccountId>,
    pub device: DeviceId,
    /// Median time from send to ack, of the last few.
    pub ack_p50: Option<Duration>,
    /// The rooms that the account is a member of.
    pub rooms: Arc<BTreeMap<RoomId, RoomStatus>>,
}

/// One room's part of [`Status`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomStatus {
    /// Accounts that are here now; 0 when it is not known.
    pub online: u64,
    /// Subscribed on this link.
    pub live: bool,
    /// Entries that are not stored yet.
    pub missing: u64,
    /// The logs differ and are being brought together.
    pub healing: bool,
    /// Why the server takes nothing now, in its words; what waits is sent again by itself.
    pub pause: Option<String>,
}

impl Session {
    /// The session as the screen shows it.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            link: self.link_state(),
            limits: self.out.link.limits(),
            last_cause: self.out.link.last_cause().cloned(),
            account: self.identity.account,
            device: self.identity.device,
            ack_p50: self.out.metrics.ack_time(50),
            rooms: self.rooms.statuses(),
        }
    }

    /// The link state, with what is left to catch up.
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
            ConnectionPhase::Dialing { .. } | ConnectionPhase::Greeting { .. } => {
                LinkState::Connecting {
                    attempt: link.attempt(),
                }
            }
            ConnectionPhase::Up(_) => {
                let behind = self.rooms.behind();
                let rooms_left = behind.rooms + self.rooms.rooms_to_come().unwrap_or(0);
                if rooms_left == 0 {
                    return LinkState::Connected {
                        rtt: link.rtt().map(coarse),
                    };
                }
                LinkState::Resyncing {
                    rooms_left,
                    entries_left: behind.entries,
                }
            }
        }
    }
}
