//! PURE. The subscriptions of one connection, and which of them reads the log.

use std::collections::BTreeMap;

use crate::protocol::{Head, Position, RoomId, Seq, limits};
use crate::server::subscription::Subscription;

/// The subscriptions of one connection. At most one page is being read at a time. Pages are read in
/// the order in which the client opened the rooms.
///
/// A change of one room costs O(log n) in the number of rooms; only a ping visits every room.
///
/// Invariant: `behind` has exactly the rooms that need a page, which [`Subscriptions::change`] keeps.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    rooms: BTreeMap<RoomId, OpenRoom>,
    /// The rooms that need a page, by their numbers.
    behind: BTreeMap<u64, RoomId>,
    /// Number of rooms that were ever opened.
    opened: u64,
    /// Unanswered opens of subscriptions that have ended. They are answered first: the answers of a
    /// room come in the order of its opens.
    outlived: BTreeMap<RoomId, u32>,
    is_reading: bool,
}

/// Which open of a room an answer belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnsweredOpen {
    /// The last one of the subscription.
    Latest,
    /// An earlier one of the subscription.
    Earlier,
    /// One of a subscription that has ended since.
    Outlived,
}

#[derive(Debug)]
struct OpenRoom {
    /// Rooms are numbered in the order in which they were opened.
    number: u64,
    subscription: Subscription,
}

impl Subscriptions {
    /// Changes the subscription to a room. Returns `None` if the room is not open.
    pub(super) fn change<R>(
        &mut self,
        room: RoomId,
        change: impl FnOnce(&mut Subscription) -> R,
    ) -> Option<R> {
        let known = self.rooms.get_mut(&room)?;
        let result = change(&mut known.subscription);
        if known.subscription.needs_page() {
            self.behind.insert(known.number, room);
        } else {
            self.behind.remove(&known.number);
        }
        Some(result)
    }

    /// Opens a subscription, or counts another open of it. Returns `false` at the limit of rooms.
    pub(super) fn open(&mut self, room: RoomId) -> bool {
        if self.change(room, Subscription::on_open).is_some() {
            return true;
        }
        let has_space = self.rooms.len() < limits::ROOMS_OPEN_MAX;
        if has_space {
            self.opened += 1;
            let opened = OpenRoom {
                number: self.opened,
                subscription: Subscription::opening(room),
            };
            self.rooms.insert(room, opened);
        }
        has_space
    }

    /// Ends a subscription.
    pub(super) fn close(&mut self, room: RoomId) {
        if let Some(closed) = self.rooms.remove(&room) {
            self.behind.remove(&closed.number);
            let opens = closed.subscription.unanswered_opens();
            if opens > 0 {
                *self.outlived.entry(room).or_default() += opens;
            }
        }
    }

    /// An open of a room is answered.
    pub(super) fn on_answer(&mut self, room: RoomId) -> AnsweredOpen {
        if let Some(opens) = self.outlived.get_mut(&room) {
            *opens -= 1;
            if *opens == 0 {
                self.outlived.remove(&room);
            }
            return AnsweredOpen::Outlived;
        }
        match self.change(room, Subscription::on_answer) {
            Some(true) => AnsweredOpen::Latest,
            Some(false) => AnsweredOpen::Earlier,
            None => AnsweredOpen::Outlived,
        }
    }

    /// Returns the next page to read, as its room and the seq before it, unless one is being read.
    pub(super) fn next_read(&mut self) -> Option<(RoomId, Seq)> {
        if self.is_reading {
            return None;
        }
        let (_, room) = self.behind.first_key_value()?;
        let room = *room;
        let after = self.change(room, Subscription::next_read)??;
        self.is_reading = true;
        Some((room, after))
    }

    /// Ends the read of a page.
    pub(super) const fn on_read(&mut self) {
        self.is_reading = false;
    }

    /// Returns heads that changed since they were last reported, at most one pong's.
    pub(super) fn unreported_heads(&mut self) -> Vec<Head> {
        self.rooms
            .iter_mut()
            .filter_map(|(room, known)| Some((*room, known.subscription.unreported_head()?)))
            .take(limits::PONG_HEADS_MAX)
            .map(|(room, Position { seq, chain })| Head { room, seq, chain })
            .collect()
    }
}
