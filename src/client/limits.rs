//! PURE. How much a client keeps, sends and asks for at a time.
//!
//! The program uses the values of the protocol. A simulation makes them small, so that a few dozen
//! entries reach every edge: a jump, a full window, a page boundary, a full outbox.

use crate::protocol::limits;

/// Sizes that a client works with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// Missing entries beyond which a room is opened near its head, leaving a gap that is filled
    /// later.
    pub jump_entries: u64,
    /// Entries that one `fetch` asks for.
    pub fetch_entries: u64,
    /// Entries in flight on one connection.
    pub window_entries: usize,
    /// Bytes of bodies in flight on one connection.
    pub window_bytes: usize,
    /// Entries that the outbox accepts, and that the core keeps in memory.
    pub outbox_entries: usize,
    /// Bytes of bodies that the outbox accepts.
    pub outbox_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            jump_entries: limits::JUMP_ENTRIES,
            fetch_entries: 200,
            window_entries: limits::WINDOW_ENTRIES_MAX,
            window_bytes: limits::WINDOW_BYTES_MAX,
            outbox_entries: limits::OUTBOX_ENTRIES_MAX,
            outbox_bytes: limits::OUTBOX_BYTES_MAX,
        }
    }
}
