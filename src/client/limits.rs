//! PURE. The limits of a client.
//!
//! The program uses the values of the protocol. A simulation makes them small, so that a few dozen
//! entries reach every edge: a jump, a full window, a page boundary, a full outbox.

use crate::protocol::limits;

/// The limits of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// Missing entries beyond which a room is opened near its head, leaving a gap that is filled
    /// later.
    pub jump_entries: u64,
    /// Maximum stored ranges of a room. Each jump adds one, and each filled gap removes one; a room with
    /// so many is opened without a jump.
    pub ranges: usize,
    /// Number of entries that one `fetch` requests.
    pub fetch_entries: u64,
    /// Maximum entries in flight on one connection.
    pub window_entries: usize,
    /// Maximum bytes of bodies in flight on one connection.
    pub window_bytes: usize,
    /// Maximum entries in the outbox, and in the core's memory.
    pub outbox_entries: usize,
    /// Maximum bytes of bodies in the outbox.
    pub outbox_bytes: usize,
    /// Maximum rooms, including those that the account has left.
    pub rooms_known: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            jump_entries: limits::JUMP_ENTRIES,
            ranges: 1_000,
            fetch_entries: 200,
            window_entries: limits::WINDOW_ENTRIES_MAX,
            window_bytes: limits::WINDOW_BYTES_MAX,
            outbox_entries: limits::OUTBOX_ENTRIES_MAX,
            outbox_bytes: limits::OUTBOX_BYTES_MAX,
            rooms_known: 10 * limits::ROOMS_MAX,
        }
    }
}
