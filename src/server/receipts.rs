//! PURE. Watermarks that are not stored yet.

use std::collections::BTreeMap;

use super::storage::ReceiptUpdate;
use crate::protocol::{DeviceId, RoomId};

/// Maximum number of pending updates. Each takes some 200 bytes.
const PENDING_MAX: usize = 100_000;

/// The latest watermarks of each device in each room that are not stored yet.
///
/// A server's memory for them is bounded: sessions only pass on those of rooms that their account is a
/// member of, and at the limit those of further devices are dropped. They are sent again with the next
/// entry of the room, or on the next connection.
#[derive(Clone, Debug, Default)]
pub struct PendingReceipts {
    newest: BTreeMap<(RoomId, DeviceId), ReceiptUpdate>,
}

impl PendingReceipts {
    /// Adds watermarks, or replaces earlier ones of the device in the room.
    pub fn put(&mut self, update: ReceiptUpdate) {
        let key = (update.room, update.device);
        if let Some(newest) = self.newest.get_mut(&key) {
            newest.delivered = update.delivered.or(newest.delivered);
            newest.read = update.read.or(newest.read);
        } else if self.newest.len() < PENDING_MAX {
            self.newest.insert(key, update);
        }
    }

    /// Adds later ones.
    pub fn append(&mut self, later: Self) {
        later
            .newest
            .into_values()
            .for_each(|update| self.put(update));
    }

    /// Whether all are stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Returns the updates, at most one of each device and room.
    #[must_use]
    pub fn updates(&self) -> Vec<ReceiptUpdate> {
        self.newest.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{AccountId, Position, Seq};

    fn update(device: u64, delivered: Option<u64>, read: Option<u64>) -> ReceiptUpdate {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&device.to_be_bytes());
        let position = |seq| Position {
            seq: Seq(seq),
            ..Position::start(RoomId::NIL)
        };
        ReceiptUpdate {
            room: RoomId::NIL,
            account: AccountId::NIL,
            device: DeviceId::from_bytes(bytes),
            delivered: delivered.map(position),
            read: read.map(position),
        }
    }

    #[test]
    fn later_receipts_replace_only_what_they_contain() {
        let (mut pending, mut later) = (PendingReceipts::default(), PendingReceipts::default());
        pending.put(update(1, Some(5), Some(4)));
        pending.put(update(2, Some(5), None));
        later.put(update(1, Some(7), None));
        pending.append(later);
        let mut expected = [update(1, Some(7), Some(4)), update(2, Some(5), None)];
        expected.sort_by_key(|update| update.device);
        assert_eq!(pending.updates(), expected);
    }

    #[test]
    fn pending_receipts_are_bounded() {
        let mut pending = PendingReceipts::default();
        for device in 0..PENDING_MAX as u64 + 10 {
            pending.put(update(device, Some(1), None));
        }
        pending.put(update(3, None, Some(1)));
        assert_eq!(pending.updates().len(), PENDING_MAX);
        assert!(pending.updates().contains(&update(3, Some(1), Some(1))));
    }
}
