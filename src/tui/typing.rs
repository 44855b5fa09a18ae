//! PURE. Typing notices: sent at intervals while a user types, expired soon after, and not stored.
//! Like other live values, a slow connection drops some, and no message waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::link::Now;
use crate::protocol::{AccountId, RoomId, Signal};

/// Resend interval while the user keeps typing.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3);
/// Time until it is not shown any more.
const SHOWN_FOR: Duration = Duration::from_secs(6);
/// Maximum typing users remembered at a time.
const PEOPLE_MAX: usize = 256;

/// The signal that the user is typing in a room.
#[must_use]
pub fn typing(room: RoomId) -> Signal {
    Signal::new(room, Signal::TYPING, None, None)
}

/// The typing users, and when this user's notice was last sent.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    announced: Option<(RoomId, Now)>,
    people: BTreeMap<(RoomId, AccountId), Now>,
}

/// Whether a signal is about typing.
pub(crate) fn is_typing(signal: &Signal) -> bool {
    signal.kind == Signal::TYPING
}

impl Typing {
    /// The user types in a room. Returns the signal to send, unless one was sent just now.
    pub(crate) fn announce(&mut self, room: RoomId, now: Now) -> Option<Signal> {
        let is_announced = self.announced.is_some_and(|(announced, at)| {
            announced == room && now.saturating_sub(at) < ANNOUNCE_EVERY
        });
        if is_announced {
            return None;
        }
        self.announced = Some((room, now));
        Some(typing(room))
    }

    /// The message was sent: the next letter is announced at once.
    pub(crate) const fn sent(&mut self) {
        self.announced = None;
    }

    /// A member is typing.
    pub(crate) fn heard(&mut self, room: RoomId, who: AccountId, now: Now) {
        self.people.retain(|_, until| *until > now);
        if self.people.len() < PEOPLE_MAX || self.people.contains_key(&(room, who)) {
            self.people.insert((room, who), now + SHOWN_FOR);
        }
    }

    /// The message arrived: its author no longer types.
    pub(crate) fn on_message(&mut self, room: RoomId, who: AccountId) {
        self.people.remove(&(room, who));
    }

    /// Returns the users who are typing in a room.
    pub(crate) fn in_room(&self, room: RoomId, now: Now) -> impl Iterator<Item = AccountId> {
        self.people
            .iter()
            .filter(move |((in_room, _), until)| *in_room == room && **until > now)
            .map(|((_, who), _)| *who)
    }

    /// Time until a member is not shown as typing any more.
    pub(crate) fn changes_in(&self, now: Now) -> Option<Duration> {
        self.people
            .values()
            .filter(|until| **until > now)
            .min()
            .map(|until| until.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn typing_is_announced_at_intervals() {
        let (mut typing, room, other) =
            (Typing::default(), RoomId::NIL, RoomId::from_random([1; 16]));
        assert!(
            typing
                .announce(room, s(1))
                .is_some_and(|signal| is_typing(&signal))
        );
        assert_eq!(typing.announce(room, s(3)), None);
        assert!(typing.announce(room, s(4)).is_some() && typing.announce(other, s(4)).is_some());
        typing.sent();
        assert!(typing.announce(other, s(4)).is_some());
    }

    #[test]
    fn typing_members_expire_and_are_bounded() {
        let (mut typing, room, who) = (
            Typing::default(),
            RoomId::NIL,
            AccountId::from_random([1; 16]),
        );
        typing.heard(room, who, s(1));
        assert_eq!(typing.in_room(room, s(6)).collect::<Vec<_>>(), [who]);
        assert_eq!(typing.changes_in(s(2)), Some(s(5)));
        assert_eq!(
            (typing.in_room(room, s(7)).count(), typing.changes_in(s(7))),
            (0, None)
        );
        typing.heard(room, who, s(8));
        typing.on_message(room, who);
        assert_eq!(typing.in_room(room, s(8)).count(), 0);
        (0..1_000_u16).for_each(|n| {
            typing.heard(
                room,
                AccountId::from_random([
                    n.to_le_bytes()[0],
                    n.to_le_bytes()[1],
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                ]),
                s(9),
            )
        });
        assert!(typing.people.len() <= PEOPLE_MAX);
    }
}
