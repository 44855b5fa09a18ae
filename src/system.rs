//! The system's wall clock and randomness: the one place where drivers get them, so that pure files can be seen not to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::protocol::EntryId;

/// Wall clock, ms since 1970. For people's eyes and for ids; no deadline is kept by it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Random bytes of the system.
///
/// # Panics
/// When the system has no randomness to give: nothing safe can be done without it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A seed for a core, fresh in each process and never stored.
#[must_use]
pub fn seed() -> u64 {
    u64::from_le_bytes(random())
}

/// The id of an entry that is being made now.
#[must_use]
pub fn entry_id() -> EntryId {
    EntryId::from_parts(unix_ms(), random())
}

/// How long this machine has slept since it was started, where the system tells: its boot clock runs on meanwhile.
#[must_use]
pub fn slept() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    let boot = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let boot = clock_gettime(ClockId::Monotonic);
    let awake = clock_gettime(ClockId::Monotonic);
    let ms = |time: rustix::time::Timespec| time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000;
    Duration::from_millis(ms(boot).saturating_sub(ms(awake)))
}
