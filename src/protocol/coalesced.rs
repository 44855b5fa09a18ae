//! PURE. Coalesces values that are useless once they are old: a newer value replaces the pending
//! one of its key.
//!
//! Both sides queue ephemeral signals in this way. A message must arrive, however late; a live
//! value must be fresh.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::limits::SIGNAL_KEYS_MAX;
use super::{AccountId, RoomId, Signal};

type Key = (RoomId, Option<AccountId>, String, Option<String>);

/// Pending signals of one connection.
#[derive(Debug, Default)]
pub struct CoalescedSignals {
    waiting: BTreeMap<Key, (Arc<Signal>, u64)>,
    /// The keys in the order of their arrival: each keeps its turn when its value changes.
    turns: VecDeque<Key>,
    given_up: u64,
}

impl CoalescedSignals {
    /// Adds a value. With too many keys, the oldest one is dropped.
    pub fn put(&mut self, signal: Arc<Signal>) {
        let key = (
            signal.room,
            signal.account,
            signal.kind.clone(),
            signal.key.clone(),
        );
        if let Some((waiting, skipped)) = self.waiting.get_mut(&key) {
            *skipped = skipped.saturating_add(1).saturating_add(signal.skipped);
            *waiting = signal;
            return;
        }
        if self.turns.len() >= SIGNAL_KEYS_MAX
            && let Some(oldest) = self.turns.pop_front()
        {
            self.waiting.remove(&oldest);
            self.given_up = self.given_up.saturating_add(1);
        }
        self.turns.push_back(key.clone());
        let skipped = signal.skipped;
        self.waiting.insert(key, (signal, skipped));
    }

    /// Takes the next values, of about `bytes` bytes, each with the number of skipped values of its
    /// key.
    pub fn take(&mut self, bytes: usize) -> Vec<Signal> {
        let (mut taken, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some(key) = self.turns.pop_front()
        {
            let Some((signal, skipped)) = self.waiting.remove(&key) else {
                continue;
            };
            size += 100 + signal.bytes();
            taken.push(Signal {
                skipped,
                ..Signal::clone(&signal)
            });
        }
        taken
    }

    /// Number of dropped keys.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Number of pending keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether no value is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(key: &str, value: u32) -> Arc<Signal> {
        let (key, value) = (Some(key.to_owned()), Some(value.to_string()));
        let room = RoomId::from_random([1; 16]);
        Arc::new(Signal::new(room, Signal::LIVE, key, value))
    }

    fn taken(coalesced: &mut CoalescedSignals, bytes: usize) -> Vec<(String, String, u64)> {
        let taken = coalesced.take(bytes).into_iter();
        taken
            .map(|s| {
                (
                    s.key.unwrap_or_default(),
                    s.value.unwrap_or_default(),
                    s.skipped,
                )
            })
            .collect()
    }

    #[test]
    fn conflated_newest_per_key_with_skipped_count() {
        let mut coalesced = CoalescedSignals::default();
        coalesced.put(signal("a", 1));
        coalesced.put(signal("b", 1));
        coalesced.put(signal("a", 2));
        coalesced.put(signal("a", 3));
        assert_eq!(taken(&mut coalesced, 1), [("a".into(), "3".into(), 2)]);
        coalesced.put(signal("a", 4));
        assert_eq!(
            taken(&mut coalesced, 1_000),
            [("b".into(), "1".into(), 0), ("a".into(), "4".into(), 0)]
        );
        assert!(coalesced.is_empty());
    }

    #[test]
    fn conflated_adds_skips_of_earlier_hops() {
        let mut coalesced = CoalescedSignals::default();
        let skipped = |value, skipped| {
            Arc::new(Signal {
                skipped,
                ..Signal::clone(&signal("a", value))
            })
        };
        coalesced.put(skipped(1, 5));
        coalesced.put(skipped(2, 2));
        coalesced.put(skipped(3, u64::MAX));
        assert_eq!(
            taken(&mut coalesced, 1_000),
            [("a".into(), "3".into(), u64::MAX)]
        );
        coalesced.put(skipped(4, 5));
        coalesced.put(skipped(5, 2));
        assert_eq!(taken(&mut coalesced, 1_000), [("a".into(), "5".into(), 8)]);
    }

    #[test]
    fn conflated_keys_are_bounded_and_newest_stays() {
        let mut coalesced = CoalescedSignals::default();
        (0..10_000).for_each(|n| coalesced.put(signal(&n.to_string(), n)));
        assert_eq!(
            (coalesced.turns.len(), coalesced.given_up()),
            (SIGNAL_KEYS_MAX, 10_000 - SIGNAL_KEYS_MAX as u64)
        );
        assert!(
            taken(&mut coalesced, usize::MAX)
                .iter()
                .any(|(key, ..)| key == "9999")
        );
    }
}
