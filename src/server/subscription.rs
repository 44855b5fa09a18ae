//! PURE. A subscription is a cursor: the last entry that a client was sent, and the next page it
//! needs.
//!
//! Invariant: the next entry sent is always cursor + 1. Live entries are sent directly when they
//! follow the cursor. While the subscription is behind, they only move the head, and pages of the
//! log are read until the cursor reaches it. First connect, resume, catch-up and a slow reader all
//! work this way.

use crate::planted_bug::planted_bug;
use crate::protocol::{Position, RoomId, Seq};

/// The position of one client in one room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    state: SubscriptionState,
    head: Position,
    /// The head in the last `pong`.
    reported: Seq,
    /// Number of unanswered `open` frames.
    opens: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SubscriptionState {
    /// The server is looking up the client's position.
    Opening,
    /// Entries up to the cursor are sent; `reading` while a page is being read.
    Serving { cursor: Seq, reading: bool },
}

impl Subscription {
    /// A subscription whose positions are being looked up.
    #[must_use]
    pub const fn opening(room: RoomId) -> Self {
        Self {
            state: SubscriptionState::Opening,
            head: Position::start(room),
            reported: Seq::ZERO,
            opens: 1,
        }
    }

    /// Another `open` arrived, before or after the answer to the first one.
    pub const fn on_open(&mut self) {
        self.opens += 1;
    }

    /// An `open` is answered. Returns whether it was the last one.
    pub const fn on_answer(&mut self) -> bool {
        self.opens = self.opens.saturating_sub(1);
        self.opens == 0
    }

    /// Number of unanswered `open` frames.
    #[must_use]
    pub const fn unanswered_opens(&self) -> u32 {
        self.opens
    }

    /// Both logs share `from`. Serves the entries after it, or only those near the head when there
    /// are more than `jump`.
    pub fn on_located(&mut self, from: Seq, head: Position, jump: u64, snapshot: u64) {
        self.head = self.head.max(head);
        let is_far = jump > 0 && self.head.seq.since(from) > jump;
        let cursor = if is_far {
            Seq(self.head.seq.0 - snapshot.min(self.head.seq.since(from)))
        } else {
            from
        };
        debug_assert!(cursor >= from || is_far, "nothing is sent twice");
        debug_assert!(cursor <= self.head.seq, "the cursor is in the log");
        self.reported = self.head.seq;
        self.state = SubscriptionState::Serving {
            cursor,
            reading: false,
        };
    }

    /// Handles a run that was just appended, after `prev` up to `last`. Returns whether to send it
    /// now.
    pub fn on_live(&mut self, prev: Seq, last: Position, has_room: bool) -> bool {
        self.head = self.head.max(last);
        match &mut self.state {
            SubscriptionState::Serving {
                cursor,
                reading: false,
            } if *cursor == prev && has_room => {
                debug_assert!(last.seq > *cursor, "a run has entries");
                *cursor = last.seq;
                true
            }
            SubscriptionState::Serving { cursor, .. } if planted_bug!(SlowReaderSkips) => {
                *cursor = (*cursor).max(last.seq);
                false
            }
            SubscriptionState::Serving { .. } | SubscriptionState::Opening => false,
        }
    }

    /// Sets the head, after the hub dropped events.
    pub fn on_head(&mut self, head: Position) {
        self.head = self.head.max(head);
    }

    /// Returns the seq before the next page, if the subscription is behind and no page is being
    /// read.
    pub fn next_read(&mut self) -> Option<Seq> {
        let needs_page = self.needs_page();
        match &mut self.state {
            SubscriptionState::Serving { cursor, reading } if needs_page => {
                *reading = true;
                Some(*cursor)
            }
            SubscriptionState::Serving { .. } | SubscriptionState::Opening => None,
        }
    }

    /// Whether the subscription is behind, and no page is being read.
    #[must_use]
    pub fn needs_page(&self) -> bool {
        match self.state {
            SubscriptionState::Serving { cursor, reading } => !reading && cursor < self.head.seq,
            SubscriptionState::Opening => false,
        }
    }

    /// Handles a page that starts after `after` and ends at `last`. Returns whether to send it.
    pub fn on_page(&mut self, after: Seq, last: Seq) -> bool {
        match &mut self.state {
            SubscriptionState::Serving { cursor, reading } if *cursor == after && *reading => {
                debug_assert!(last >= after, "the cursor never goes back");
                *reading = false;
                *cursor = last;
                true
            }
            // requested by an earlier `open`
            SubscriptionState::Serving { .. } | SubscriptionState::Opening => false,
        }
    }

    /// The head, if it moved since the last pong.
    pub fn unreported_head(&mut self) -> Option<Position> {
        if self.state == SubscriptionState::Opening || self.reported == self.head.seq {
            return None;
        }
        self.reported = self.head.seq;
        Some(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Chain;

    fn at(seq: u64) -> Position {
        Position {
            seq: Seq(seq),
            chain: Chain::from_bytes([seq as u8; 16]),
        }
    }

    fn serving(from: u64, head: u64) -> Subscription {
        let mut subscription = Subscription::opening(RoomId::from_random([1; 16]));
        subscription.on_located(Seq(from), at(head), 100, 10);
        subscription
    }

    #[test]
    fn subscription_at_head_passes_live_entries() {
        let mut subscription = serving(5, 5);
        assert_eq!(subscription.next_read(), None);
        assert!(subscription.on_live(Seq(5), at(6), true));
        assert!(subscription.on_live(Seq(6), at(8), true));
        assert_eq!(subscription.next_read(), None);
    }

    #[test]
    fn live_entry_during_catch_up_is_sent_once() {
        let mut subscription = serving(0, 5);
        assert_eq!(subscription.next_read(), Some(Seq(0)));
        assert!(!subscription.on_live(Seq(5), at(6), true));
        assert_eq!(subscription.next_read(), None, "one page at a time");
        assert!(subscription.on_page(Seq(0), Seq(5)));
        assert_eq!(subscription.next_read(), Some(Seq(5)));
        assert!(subscription.on_page(Seq(5), Seq(6)));
        assert!(subscription.on_live(Seq(6), at(7), true));
    }

    #[test]
    fn append_while_subscribing_is_not_lost() {
        let mut subscription = Subscription::opening(RoomId::from_random([1; 16]));
        assert!(!subscription.on_live(Seq(5), at(6), true));
        subscription.on_located(Seq(5), at(5), 0, 10);
        assert_eq!(subscription.next_read(), Some(Seq(5)));
    }

    #[test]
    fn slow_reader_is_served_from_the_log() {
        let mut subscription = serving(5, 5);
        assert!(!subscription.on_live(Seq(5), at(6), false));
        assert!(
            !subscription.on_live(Seq(6), at(7), true),
            "nothing overtakes what was left out"
        );
        assert_eq!(subscription.next_read(), Some(Seq(5)));
    }

    #[test]
    fn missed_head_is_caught_up() {
        let mut subscription = serving(5, 5);
        subscription.on_head(at(9));
        assert_eq!(subscription.next_read(), Some(Seq(5)));
    }

    #[test]
    fn without_a_jump_all_entries_are_served() {
        let mut subscription = Subscription::opening(RoomId::from_random([1; 16]));
        subscription.on_located(Seq(0), at(1_000), 0, 10);
        assert_eq!(subscription.next_read(), Some(Seq(0)));
    }

    #[test]
    fn long_absence_starts_near_the_head() {
        let mut subscription = serving(3, 500);
        assert_eq!(subscription.next_read(), Some(Seq(490)));
        let mut subscription = serving(400, 500);
        assert_eq!(
            subscription.next_read(),
            Some(Seq(400)),
            "a hundred are not too many"
        );
    }

    #[test]
    fn page_of_earlier_open_is_not_sent() {
        let mut subscription = serving(0, 5);
        assert_eq!(subscription.next_read(), Some(Seq(0)));
        subscription.on_located(Seq(3), at(5), 0, 10);
        assert!(!subscription.on_page(Seq(0), Seq(5)));
        assert_eq!(subscription.next_read(), Some(Seq(3)));
    }

    #[test]
    fn page_is_sent_only_at_the_cursor_that_was_read() {
        let mut subscription = serving(0, 5);
        assert_eq!(subscription.next_read(), Some(Seq(0)));
        subscription.on_located(Seq(0), at(5), 100, 10);
        assert!(!subscription.on_page(Seq(0), Seq(2)), "nothing is read yet");
        subscription.on_located(Seq(3), at(5), 100, 10);
        assert_eq!(subscription.next_read(), Some(Seq(3)));
        assert!(!subscription.on_page(Seq(0), Seq(2)), "it is read from 3");
        assert!(subscription.on_page(Seq(3), Seq(5)));
    }

    #[test]
    fn pong_reports_a_head_once() {
        let mut subscription = serving(5, 5);
        assert_eq!(subscription.unreported_head(), None);
        subscription.on_live(Seq(5), at(6), true);
        assert_eq!(subscription.unreported_head(), Some(at(6)));
        assert_eq!(subscription.unreported_head(), None);
    }
}
