//! PURE. Changes of rooms that wait for space in the log lane; a later change replaces an earlier one.

use std::collections::BTreeMap;

use crate::protocol::{Room, RoomId, ServerFrame};
use crate::server::storage::Watermarks;

/// The pending changes of one room.
#[derive(Clone, Default, Debug)]
struct Changes {
    room: Option<Room>,
    lowest: Option<Watermarks>,
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

    pub(super) fn put_watermarks(&mut self, lowest: Watermarks) {
        self.pending.entry(lowest.room).or_default().lowest = Some(lowest);
    }

    /// Adds the number of online members.
    pub(super) fn put_online(&mut self, room: RoomId, online: u64) {
        self.pending.entry(room).or_default().online = Some(online);
    }

    /// Takes the changes of one room, as frames: the room itself first.
    pub(super) fn pop(&mut self) -> Option<Vec<ServerFrame>> {
        let (room, changes) = self.pending.pop_first()?;
        let described = changes.room.map(ServerFrame::Room);
        let marks = changes.lowest.map(|lowest| ServerFrame::Marks {
            room,
            delivered: lowest.delivered,
            read: lowest.read,
        });
        let presence = changes
            .online
            .map(|online| ServerFrame::Presence { room, online });
        Some(described.into_iter().chain(marks).chain(presence).collect())
    }
}
