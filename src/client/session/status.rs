//! PURE. What the session tells the screen about itself: the link's state and the state of each
//! room.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Session;
use crate::client::cause::Cause;
use crate::client::link::{ConnectionPhase, Limits, LinkState, coarse};
use crate::protocol::{AccountId, DeviceId, RoomId};

/// A picture of the session, made anew when something changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// The link.
    pub link: LinkState,
    /// How near the link is to giving up, if it may.
    pub limits: Limits,
    /// Why the last link ended, as long as there is none again.
    pub last_cause: Option<Cause>,
    /// Who this is, once there was a welcome.
    pub account: Option<AccountId>,
    /// Which install.
    pub device: DeviceId,
    /// Median time from send to ack, of the last few.
    pub ack_p50: Option<Duration>,
    /// The rooms that this link speaks of.
    pub rooms: BTreeMap<RoomId, RoomStatus>,
}

/// One room's part of [`Status`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomStatus {
    /// Accounts that are here now; 0 when it is not known.
    pub online: u64,
    /// Subscribed on this link.
    pub live: bool,
    /// Entries that are not held yet.
    pub missing: u64,
    /// The logs differ and are being brought together.
    pub healing: bool,
    /// Why the server takes nothing now, in its words; what waits is sent again by itself.
    pub held: Option<String>,
}

impl Session {
    /// The session as the screen shows it.
    #[must_use]
    pub fn status(&self) -> Status {
        let rooms = self
            .rooms
            .iter()
            .filter(|(_, state)| state.member)
            .map(|(room, state)| {
                let healing = state.shut || state.cutting;
                (
                    *room,
                    RoomStatus {
                        online: state.online,
                        live: state.live,
                        missing: state.missing(),
                        healing,
                        held: state.held.clone(),
                    },
                )
            });
        Status {
            link: self.link_state(),
            limits: self.link.limits(),
            last_cause: self.link.last_cause().cloned(),
            account: self.me.account,
            device: self.me.device,
            ack_p50: self.meter.ack_time(50),
            rooms: rooms.collect(),
        }
    }

    /// The link's state, with what is left to catch up.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        match self.link.phase() {
            ConnectionPhase::Offline { why, .. } => LinkState::Offline { why: why.clone() },
            ConnectionPhase::Backoff { until, cause } => LinkState::Backoff {
                attempt: self.link.attempt(),
                until: *until,
                cause: cause.clone(),
            },
            ConnectionPhase::Dialing { .. } | ConnectionPhase::Greeting { .. } => {
                LinkState::Connecting {
                    attempt: self.link.attempt(),
                }
            }
            ConnectionPhase::Up(_) => {
                let behind = |state: &&super::RoomState| {
                    state.member
                        && (!state.live || state.shut || state.cutting || state.missing() > 0)
                };
                let rooms: Vec<_> = self.rooms.values().filter(behind).collect();
                let to_come = self.greeting.as_ref().map_or(0, |(left, _)| *left);
                let rooms_left = rooms.len() as u64 + to_come;
                if rooms_left == 0 {
                    return LinkState::Connected {
                        rtt: self.link.rtt().map(coarse),
                    };
                }
                LinkState::Resyncing {
                    rooms_left,
                    entries_left: rooms.iter().map(|state| state.missing()).sum(),
                }
            }
        }
    }
}
