//! All limits of the wire, with their units. A test checks that `PROTOCOL.md` names each.

/// Maximum length of an encoded frame, bytes; a longer one closes the connection with `too_big`.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Maximum body of an entry, bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Maximum body of an entry as a JSON string, bytes: control characters become six times as long.
pub const BODY_ENCODED_BYTES_MAX: usize = 48 * 1024;
/// One `entries` frame contains entries of this many encoded bytes, or one entry.
pub const ENTRIES_BYTES_MAX: usize = 8 * 1024;
/// Maximum positions of one locator: enough for doubling steps through any log.
pub const LOCATOR_POSITIONS_MAX: usize = 64;
/// Maximum unanswered entries of one connection.
pub const WINDOW_ENTRIES_MAX: usize = 64;
/// Maximum bytes of unanswered bodies of one connection; a single larger body is allowed.
pub const WINDOW_BYTES_MAX: usize = 32 * 1024;
/// Maximum characters in the name of an account or room.
pub const NAME_CHARS_MAX: usize = 32;
/// Maximum characters in a topic.
pub const TOPIC_CHARS_MAX: usize = 256;
/// Maximum bytes of a signal's value.
pub const SIGNAL_BYTES_MAX: usize = 1024;
/// Maximum keys of pending signals of one connection; with more, the oldest is dropped.
pub const SIGNAL_KEYS_MAX: usize = 1_000;
/// Maximum signals of one device per second, and at once. Further ones are coalesced by key.
pub const SIGNALS_PER_SECOND: u32 = 200;
/// Maximum rooms of an account.
pub const ROOMS_MAX: usize = 500;
/// Maximum open rooms of one connection: those of its account, and a few that it reconciles.
pub const ROOMS_OPEN_MAX: usize = ROOMS_MAX + 8;
/// Maximum entries of a client's outbox.
pub const OUTBOX_ENTRIES_MAX: usize = 10_000;
/// Maximum bytes of the texts in a client's outbox.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// If a client asks for it, a subscription that is further behind than this starts near the head.
pub const JUMP_ENTRIES: u64 = 1_000;
/// A subscription of a new client starts this many entries before the head.
pub const SNAPSHOT_ENTRIES: u64 = 200;
/// Maximum names or rooms in one page of a reply.
pub const PAGE_ROWS_MAX: usize = 100;
/// Maximum heads in one `pong`; the others are in the next one.
pub const PONG_HEADS_MAX: usize = 200;
/// How long a device code is valid, ms.
pub const LINK_CODE_MS_MAX: u64 = 600_000;
/// Minimum length of a device code, letters and digits: a shorter one could be guessed.
pub const LINK_CODE_CHARS_MIN: usize = 24;
/// Maximum length of a device code.
pub const LINK_CODE_CHARS_MAX: usize = 64;
/// Interval after which an idle connection is pinged, ms; the server sends its own in `welcome`.
pub const HEARTBEAT_MS: u64 = 30_000;
/// Maximum time from the TCP accept to the end of the upgrade, ms.
pub const UPGRADE_MS_MAX: u64 = 10_000;
/// Maximum time from the upgrade to the hello, ms.
pub const HELLO_MS_MAX: u64 = 10_000;
/// How long a session outlives its connection, ms.
pub const SESSION_MS_MAX: u64 = 120_000;

#[cfg(test)]
mod tests {
    #[test]
    fn protocol_md_names_every_limit() {
        let text = include_str!("../../PROTOCOL.md");
        let names = include_str!("limits.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        for name in names {
            assert!(
                text.contains(&format!("`{name}`")),
                "PROTOCOL.md does not name {name}"
            );
        }
    }
}
