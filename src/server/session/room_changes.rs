//! PURE. Changes of rooms that wait for space in the log lane; a later change replaces an earlier one.

use std::collections::BTreeMap;

use crate::protocol::{Room, RoomId, ServerFrame};
use crate::server::storage::Floor;

/// The pending changes of one room.
#[derive(Clone, Default, Debug)]
struct Changes {
    room: Option<Room>,
    floor: Option<Floor>,
    online: Option<u64>,
}

/// The pending changes of all rooms: at most one of each kind for each room.
#[derive(Default, Debug)]
pub(super) struct RoomChanges {
    pending: BTreeMap<RoomId, Changes>,
}

impl RoomChanges {
    pub(super) fn put_room(&mut self, room: Room) {
        let changes = self.pending.entry(room.room).or_default();
        changes.room = Some(room);
    }

    pub(super) fn put_floor(&mut self, floor: Floor) {
        self.pending.entry(floor.room).or_default().floor = Some(floor);
    }

    /// Adds the number of online members.
    pub(super) fn put_online(&mut self, room: RoomId, online: u64) {
        self.pending.entry(room).or_default().online = Some(online);
    }

    /// Takes the changes of one room, as frames: the room itself first.
    pub(super) fn pop(&mut self) -> Option<Vec<ServerFrame>> {
        let (room, changes) = self.pending.pop_first()?;
        let described = changes.room.map(ServerFrame::Room);
        let marks = changes.floor.map(|floor| ServerFrame::Marks {
            room,
            delivered: floor.delivered,
            read: floor.read,
        });
        let presence = changes
            .online
            .map(|here| ServerFrame::Presence { room, here });
        Some(described.into_iter().chain(marks).chain(presence).collect())
    }
}
