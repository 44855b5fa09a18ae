//! PURE. Sums and sets over all rooms, kept up to date at each change of one: no input has to look
//! at every room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::phase::{Detached, RoomPhase};
use super::room::RoomState;
use crate::client::session::status::RoomStatus;
use crate::protocol::RoomId;

/// What one room contributes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Share {
    /// Only of a room that the account is a member of.
    status: Option<RoomStatus>,
    queued: Option<QueuePlace>,
    is_reconciling: bool,
    is_asking: bool,
    is_withheld: bool,
}

/// The place of a room that waits to be reconciled: urgent ones first.
type QueuePlace = (Urgency, RoomId);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Urgency {
    Urgent,
    Normal,
}

/// Sums and sets over all rooms.
#[derive(Clone, Default, Debug)]
pub(super) struct RoomIndex {
    shares: BTreeMap<RoomId, Share>,
    statuses: Arc<BTreeMap<RoomId, RoomStatus>>,
    queued: BTreeSet<QueuePlace>,
    reconciling: BTreeSet<RoomId>,
    asking: BTreeSet<RoomId>,
    /// Number of rooms whose pending messages may not be sent now.
    withheld: usize,
    behind: Behind,
}

/// What is left until every room is at its head.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::client::session) struct Behind {
    /// Rooms that are not live, or lack entries.
    pub(in crate::client::session) rooms: u64,
    /// Entries that they lack, as far as that is known.
    pub(in crate::client::session) entries: u64,
}

impl Share {
    fn of(room: RoomId, state: &RoomState) -> Self {
        let phase = state.phase();
        let queued = match phase {
            RoomPhase::Detached(Detached::Queued { is_urgent: true }) => {
                Some((Urgency::Urgent, room))
            }
            RoomPhase::Detached(Detached::Queued { is_urgent: false }) => {
                Some((Urgency::Normal, room))
            }
            _ => None,
        };
        Self {
            status: state.member.then(|| RoomStatus {
                online: state.on_server.online,
                live: phase.live().is_some(),
                missing: state.missing(),
                healing: phase.is_withheld() || state.pending_writes.truncations > 0,
                pause: state.on_server.pause.clone(),
            }),
            queued,
            is_reconciling: phase.is_reconciling(),
            is_asking: matches!(phase, RoomPhase::Detached(Detached::Asking { .. })),
            is_withheld: !state.allows_sends(),
        }
    }

    fn behind(&self) -> Behind {
        match &self.status {
            Some(status) if !status.live || status.healing || status.missing > 0 => Behind {
                rooms: 1,
                entries: status.missing,
            },
            Some(_) | None => Behind::default(),
        }
    }
}

impl RoomIndex {
    /// Takes over what changed about a room.
    pub(super) fn update(&mut self, room: RoomId, state: &RoomState) {
        let new = Share::of(room, state);
        let old = self.shares.entry(room).or_default();
        if *old == new {
            return;
        }
        let old = std::mem::replace(old, new.clone());
        self.behind.rooms = self.behind.rooms + new.behind().rooms - old.behind().rooms;
        self.behind.entries = self.behind.entries + new.behind().entries - old.behind().entries;
        self.withheld = self.withheld + usize::from(new.is_withheld) - usize::from(old.is_withheld);
        if let Some(place) = old.queued {
            self.queued.remove(&place);
        }
        self.queued.extend(new.queued);
        set_member(&mut self.reconciling, room, new.is_reconciling);
        set_member(&mut self.asking, room, new.is_asking);
        if old.status != new.status {
            let statuses = Arc::make_mut(&mut self.statuses);
            match new.status {
                Some(status) => drop(statuses.insert(room, status)),
                None => drop(statuses.remove(&room)),
            }
        }
    }

    /// The rooms that the account is a member of, as the screen shows them.
    pub(super) fn statuses(&self) -> Arc<BTreeMap<RoomId, RoomStatus>> {
        self.statuses.clone()
    }

    /// Number of rooms that the account is a member of.
    pub(super) fn members(&self) -> usize {
        self.statuses.len()
    }

    /// What is left until every room is at its head.
    pub(super) fn behind(&self) -> Behind {
        debug_assert_eq!(
            self.behind,
            self.shares.values().fold(Behind::default(), |sum, share| {
                let more = share.behind();
                Behind {
                    rooms: sum.rooms + more.rooms,
                    entries: sum.entries + more.entries,
                }
            })
        );
        self.behind
    }

    /// Number of rooms whose pending messages may not be sent now.
    pub(super) const fn withheld(&self) -> usize {
        self.withheld
    }

    /// The first `count` rooms that wait to be reconciled.
    pub(super) fn queued(&self, count: usize) -> Vec<RoomId> {
        self.queued
            .iter()
            .take(count)
            .map(|(_, room)| *room)
            .collect()
    }

    /// The rooms that are being reconciled. Their number has a small limit.
    pub(super) const fn reconciling(&self) -> &BTreeSet<RoomId> {
        &self.reconciling
    }

    /// Those of them of which the server is to be asked whether they exist.
    pub(super) const fn asking(&self) -> &BTreeSet<RoomId> {
        &self.asking
    }
}

fn set_member(set: &mut BTreeSet<RoomId>, room: RoomId, is_in: bool) {
    if is_in {
        set.insert(room);
    } else {
        set.remove(&room);
    }
}
