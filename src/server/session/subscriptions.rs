//! PURE. The subscriptions of one connection, and which of them reads the log.

use crate::protocol::{Head, Position, RoomId, Seq, limits};
use crate::server::subscription::Subscription;

/// The subscriptions of one connection, in the order in which the client opened them, which is the
/// order of catch-up. At most one page is being read at a time.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<Subscription>,
    is_reading: bool,
}

impl Subscriptions {
    /// Returns the subscription to a room.
    pub(super) fn get(&mut self, room: RoomId) -> Option<&mut Subscription> {
        self.list.iter_mut().find(|known| known.room() == room)
    }

    /// Opens a subscription, or counts another open of it. Returns `false` at the limit of rooms.
    pub(super) fn open(&mut self, room: RoomId) -> bool {
        if let Some(known) = self.get(room) {
            known.on_open();
            return true;
        }
        let has_space = self.list.len() < limits::ROOMS_OPEN_MAX;
        if has_space {
            self.list.push(Subscription::opening(room));
        }
        has_space
    }

    /// Ends a subscription.
    pub(super) fn close(&mut self, room: RoomId) {
        self.list.retain(|known| known.room() != room);
    }

    /// Returns the next page to read, as its room and the seq before it, unless one is being read.
    pub(super) fn next_read(&mut self) -> Option<(RoomId, Seq)> {
        if self.is_reading {
            return None;
        }
        let mut reads = self.list.iter_mut();
        let next = reads.find_map(|known| Some((known.room(), known.next_read()?)));
        self.is_reading = next.is_some();
        next
    }

    /// Ends the read of a page.
    pub(super) const fn on_read(&mut self) {
        self.is_reading = false;
    }

    /// Returns heads that changed since they were last reported, at most one pong's.
    pub(super) fn unreported_heads(&mut self) -> Vec<Head> {
        let changed = |known: &mut Subscription| Some((known.room(), known.unreported_head()?));
        self.list
            .iter_mut()
            .filter_map(changed)
            .take(limits::PONG_HEADS_MAX)
            .map(|(room, Position { seq, chain })| Head { room, seq, chain })
            .collect()
    }
}
