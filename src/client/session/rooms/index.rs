//! PURE. Sums and sets over all rooms, kept up to date at each change of one: no input has to look
//! at every room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::phase::{Detached, RoomPhase};
use super::room::RoomState;
use crate::client::session::status::RoomStatus;
use crate::protocol::RoomId;

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
    statuses: Arc<BTreeMap<RoomId, RoomStatus>>,
    queued: BTreeSet<QueuePlace>,
    reconciling: BTreeSet<RoomId>,
    reconciled: BTreeSet<RoomId>,
    asking: BTreeSet<RoomId>,
    withheld: BTreeSet<RoomId>,
    /// The sum over all statuses.
    behind: Behind,
}

/// The work that is left until every room is at its head.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::client::session) struct Behind {
    /// Rooms that are not live, or lack entries.
    pub(in crate::client::session) rooms: u64,
    /// Entries that they lack, as far as that is known.
    pub(in crate::client::session) entries: u64,
}

impl Behind {
    fn of(status: &RoomStatus) -> Self {
        if status.live && !status.healing && status.missing == 0 {
            return Self::default();
        }
        Self {
            rooms: 1,
            entries: status.missing,
        }
    }

    const fn add(&mut self, other: Self) {
        self.rooms += other.rooms;
        self.entries += other.entries;
    }

    const fn subtract(&mut self, other: Self) {
        self.rooms -= other.rooms;
        self.entries -= other.entries;
    }
}

impl RoomIndex {
    /// Takes over what changed about a room.
    pub(super) fn update(&mut self, room: RoomId, state: &RoomState) {
        let phase = state.phase();
        let detached = match phase {
            RoomPhase::Detached(detached) => Some(*detached),
            _ => None,
        };
        for (urgency, is_urgent) in [(Urgency::Urgent, true), (Urgency::Normal, false)] {
            let is_queued = detached == Some(Detached::Queued { is_urgent });
            set_member(&mut self.queued, (urgency, room), is_queued);
        }
        let is_asking = matches!(detached, Some(Detached::Asking { .. }));
        set_member(&mut self.asking, room, is_asking);
        set_member(&mut self.reconciling, room, phase.is_reconciling());
        set_member(&mut self.reconciled, room, state.is_reconciled());
        set_member(&mut self.withheld, room, !state.allows_sends());
        self.set_status(room, state.member.then(|| status(state)));
    }

    fn set_status(&mut self, room: RoomId, new: Option<RoomStatus>) {
        if self.statuses.get(&room) == new.as_ref() {
            return; // the screen keeps the map that it has
        }
        self.behind
            .add(new.as_ref().map(Behind::of).unwrap_or_default());
        let statuses = Arc::make_mut(&mut self.statuses);
        let old = match new {
            Some(status) => statuses.insert(room, status),
            None => statuses.remove(&room),
        };
        self.behind
            .subtract(old.as_ref().map(Behind::of).unwrap_or_default());
    }

    /// The rooms that the account is a member of, as the screen shows them.
    pub(super) fn statuses(&self) -> Arc<BTreeMap<RoomId, RoomStatus>> {
        self.statuses.clone()
    }

    /// Number of rooms that the account is a member of.
    pub(super) fn members(&self) -> usize {
        self.statuses.len()
    }

    /// Returns the work that is left until every room is at its head.
    pub(super) fn behind(&self) -> Behind {
        debug_assert_eq!(self.behind, {
            let mut sum = Behind::default();
            self.statuses
                .values()
                .for_each(|status| sum.add(Behind::of(status)));
            sum
        });
        self.behind
    }

    /// The rooms whose pending messages may not be sent now.
    pub(super) const fn withheld(&self) -> &BTreeSet<RoomId> {
        &self.withheld
    }

    /// The first `count` rooms that wait to be reconciled.
    pub(super) fn queued(&self, count: usize) -> Vec<RoomId> {
        self.queued
            .iter()
            .take(count)
            .map(|(_, room)| *room)
            .collect()
    }

    /// The rooms that are being reconciled.
    pub(super) const fn reconciling(&self) -> &BTreeSet<RoomId> {
        &self.reconciling
    }

    /// Those of them with nothing left to reconcile in the log.
    pub(super) const fn reconciled(&self) -> &BTreeSet<RoomId> {
        &self.reconciled
    }

    /// Those of them of which the server is to be asked whether they exist.
    pub(super) const fn asking(&self) -> &BTreeSet<RoomId> {
        &self.asking
    }
}

fn status(state: &RoomState) -> RoomStatus {
    let phase = state.phase();
    RoomStatus {
        online: state.on_server.online,
        live: phase.live().is_some(),
        missing: state.missing(),
        healing: phase.is_withheld() || state.pending_writes.truncations > 0,
        deferral: state.on_server.deferral.clone(),
    }
}

fn set_member<T: Ord>(set: &mut BTreeSet<T>, item: T, is_in: bool) {
    if is_in {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
