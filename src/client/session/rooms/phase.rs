//! PURE. The state of one room's subscription on this connection.

use super::fetches::Fetches;
use crate::protocol::{Position, Seq};

/// The state of one room's subscription. A connection that ends takes it back to
/// `Detached(Detached::Idle)`, so nothing here can be waited for on a later connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RoomPhase {
    /// Not subscribed, and no `open` is in flight.
    Detached(Detached),
    /// An `open` that only compares both logs is in flight. No entries are sent, unless the account
    /// joined in the meantime.
    Comparing { have: Position, purpose: Purpose },
    /// An `open` is in flight. `have`: our highest position when it was sent.
    Opening {
        have: Position,
        purpose: Purpose,
        traffic: Traffic,
    },
    /// Both logs differ. The last position that both sides have is being searched; until it is
    /// found, no entries are accepted or sent.
    Locating { locator: Locator, purpose: Purpose },
    /// Subscribed: new entries arrive as they are appended.
    Live(LiveRoom),
}

/// Why a room is not subscribed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Detached {
    /// Nothing is to be done about it.
    Idle,
    /// The welcome did not name it, so it is to be reconciled when a slot is free. Urgent: the
    /// account was a member, or pending messages wait for it.
    Queued { is_urgent: bool },
    /// Its logs differ, or the server has none. The server is asked whether the room exists, by the
    /// request of this number if one is in flight.
    Asking { request: Option<u64> },
}

/// Whether entries pass while an `open` is in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    Allowed,
    /// An answer of the server contradicts our log: first both sides compare.
    Withheld,
}

/// Why a room is subscribed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The account is a member.
    Member,
    /// The welcome did not name the room. It is closed once both logs agree and nothing is pending,
    /// unless the account's own join was appended in the meantime.
    Reconcile { rejoined: bool },
}

/// Where the search for the last common position is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Locator {
    /// The store was asked for positions.
    Requested,
    /// An `open` with these positions is in flight.
    Sent(Vec<Position>),
}

/// What exists only while a room is subscribed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LiveRoom {
    pub(super) purpose: Purpose,
    /// A further `open`, sent to compare both logs again, with this position.
    pub(super) recheck: Option<Position>,
    pub(super) fetches: Fetches,
    /// A requested page was empty: nothing more is requested on this connection.
    pub(super) is_exhausted: bool,
    /// Our highest seq at the last pong. If it did not change until the next one although the
    /// server's head is above it, entries were lost on the way.
    pub(super) top_at_pong: Option<Seq>,
}

impl LiveRoom {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            recheck: None,
            fetches: Fetches::default(),
            is_exhausted: false,
            top_at_pong: None,
        }
    }
}

impl RoomPhase {
    pub(super) const IDLE: Self = Self::Detached(Detached::Idle);

    /// Why the room is subscribed, or about to be.
    pub(super) const fn purpose(&self) -> Option<Purpose> {
        match self {
            Self::Detached(_) => None,
            Self::Comparing { purpose, .. }
            | Self::Opening { purpose, .. }
            | Self::Locating { purpose, .. } => Some(*purpose),
            Self::Live(live) => Some(live.purpose),
        }
    }

    /// Changes why the room is subscribed. Nothing happens to a room that is not.
    pub(super) fn set_purpose(&mut self, new: Purpose) {
        match self {
            Self::Detached(_) => {}
            Self::Comparing { purpose, .. }
            | Self::Opening { purpose, .. }
            | Self::Locating { purpose, .. } => *purpose = new,
            Self::Live(live) => live.purpose = new,
        }
    }

    /// Subscribed with nothing withheld.
    pub(super) const fn live(&self) -> Option<&LiveRoom> {
        match self {
            Self::Live(live) => Some(live),
            Self::Detached(_)
            | Self::Comparing { .. }
            | Self::Opening { .. }
            | Self::Locating { .. } => None,
        }
    }

    pub(super) const fn live_mut(&mut self) -> Option<&mut LiveRoom> {
        match self {
            Self::Live(live) => Some(live),
            Self::Detached(_)
            | Self::Comparing { .. }
            | Self::Opening { .. }
            | Self::Locating { .. } => None,
        }
    }

    /// Whether entries of the server are accepted.
    pub(super) const fn accepts_entries(&self) -> bool {
        !self.is_withheld()
    }

    /// Whether pending messages may be sent. Before its `open` is answered they may: that saves a
    /// round trip after each reconnect.
    pub(super) const fn allows_sends(&self) -> bool {
        match self {
            Self::Detached(Detached::Queued { .. } | Detached::Asking { .. })
            | Self::Comparing {
                purpose: Purpose::Reconcile { .. },
                ..
            } => false,
            Self::Detached(Detached::Idle)
            | Self::Comparing {
                purpose: Purpose::Member,
                ..
            }
            | Self::Opening { .. }
            | Self::Locating { .. }
            | Self::Live(_) => !self.is_withheld(),
        }
    }

    /// Whether both logs differ, or may: nothing passes until that is resolved.
    pub(super) const fn is_withheld(&self) -> bool {
        matches!(
            self,
            Self::Locating { .. }
                | Self::Opening {
                    traffic: Traffic::Withheld,
                    ..
                }
        )
    }

    /// Whether a slot for reconciling is taken.
    pub(super) const fn is_reconciling(&self) -> bool {
        matches!(self, Self::Detached(Detached::Asking { .. }))
            || matches!(self.purpose(), Some(Purpose::Reconcile { .. }))
    }

    /// The transitions of the state machine, checked in debug builds.
    pub(super) const fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            // The connection ended, or the room was closed.
            (_, Self::Detached(Detached::Idle)) => true,
            (Self::Detached(Detached::Idle), Self::Detached(Detached::Queued { .. })) => true,
            // The account is a member, again perhaps.
            (Self::Detached(_) | Self::Comparing { .. }, Self::Opening { .. }) => true,
            (Self::Detached(Detached::Queued { .. }), Self::Comparing { .. }) => true,
            (Self::Detached(Detached::Asking { .. }), next) => matches!(
                next,
                Self::Detached(Detached::Asking { .. }) | Self::Locating { .. }
            ),
            (Self::Comparing { .. }, Self::Detached(Detached::Asking { .. })) => true,
            (Self::Comparing { .. }, Self::Locating { .. }) => true,
            (Self::Opening { .. }, Self::Live(_) | Self::Locating { .. }) => true,
            (Self::Locating { .. }, Self::Locating { .. } | Self::Live(_)) => true,
            (Self::Live(_), Self::Opening { .. } | Self::Locating { .. }) => true,
            (_, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RoomId;

    #[test]
    fn transitions_that_skip_a_step_are_mistakes() {
        let have = Position::start(RoomId::from_random([1; 16]));
        let purpose = Purpose::Member;
        let comparing = RoomPhase::Comparing { have, purpose };
        let live = RoomPhase::Live(LiveRoom::new(purpose));
        let asking = RoomPhase::Detached(Detached::Asking { request: None });
        assert!(!RoomPhase::IDLE.may_become(&live), "it was never opened");
        assert!(!RoomPhase::IDLE.may_become(&comparing), "it has no slot");
        assert!(!comparing.may_become(&live), "it is not subscribed");
        assert!(!live.may_become(&asking), "it exists");
        assert!(!asking.may_become(&live), "it is not subscribed");
        assert!(live.may_become(&RoomPhase::IDLE) && comparing.may_become(&asking));
    }
}
