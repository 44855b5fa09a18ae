//! Throttles addresses that send wrong invites, with growing delays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::hub::bye;
use super::rate::Bucket;
use crate::protocol::{Bye, CloseCode};

/// Number of wrong invites from one address without a delay.
const FREE: u32 = 10;
/// The first delay; it doubles with each wrong invite.
const DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// Wrong invites are forgotten after this time without another.
const FORGET: Duration = Duration::from_secs(600);
/// Accounts that one address may make at once, and per second.
const ENROL_BURST: u32 = 500;
const ENROL_PER_SECOND: u32 = 20;
/// Maximum remembered addresses; the oldest one is forgotten first.
const ADDRESSES_MAX: usize = 10_000;

/// The addresses that sent wrong invites. Shared by all connections; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Guesses {
    table: Arc<Mutex<GuessTable>>,
    start: Instant,
}

impl Default for Guesses {
    #[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
    fn default() -> Self {
        Self {
            table: Arc::default(),
            start: Instant::now(),
        }
    }
}

impl Guesses {
    /// Checks whether an address may try an invite now.
    ///
    /// # Errors
    /// The `bye`, with the time to wait.
    pub(super) fn may_guess(&self, from: IpAddr) -> Result<(), Bye> {
        let wait = self.table().wait(network(from), self.start.elapsed());
        if wait.is_zero() {
            return Ok(());
        }
        let retry_after_ms = Some(wait.as_millis() as u64 + 1);
        Err(Bye {
            retry_after_ms,
            ..bye(
                CloseCode::Overloaded,
                "too many wrong invites from your address: wait",
            )
        })
    }

    /// Checks whether an address may make one more account now.
    ///
    /// # Errors
    /// The `bye`, with the time to wait.
    pub(super) fn may_enrol(&self, from: IpAddr) -> Result<(), Bye> {
        match self.table().enrol(network(from), self.start.elapsed()) {
            None => Ok(()),
            Some(ms) => Err(Bye {
                retry_after_ms: Some(ms),
                ..bye(CloseCode::Overloaded, "too many new accounts: wait")
            }),
        }
    }

    /// Counts a wrong invite from this address.
    pub(super) fn on_wrong(&self, from: IpAddr) {
        self.table().on_wrong(network(from), self.start.elapsed());
    }

    fn table(&self) -> std::sync::MutexGuard<'_, GuessTable> {
        // every critical section leaves a valid state
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct GuessTable {
    wrong: BTreeMap<IpAddr, Wrong>,
    enrolling: BTreeMap<IpAddr, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    last: Duration,
}

impl GuessTable {
    /// Counts one more account of an address, or returns after how many ms it may enrol.
    fn enrol(&mut self, from: IpAddr, now: Duration) -> Option<u64> {
        if self.enrolling.len() >= ADDRESSES_MAX && !self.enrolling.contains_key(&from) {
            self.enrolling.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.enrolling.len() >= ADDRESSES_MAX && !self.enrolling.contains_key(&from) {
            return Some(DELAY.as_millis() as u64);
        }
        self.enrolling
            .entry(from)
            .or_insert_with(|| Bucket::new(ENROL_BURST, ENROL_PER_SECOND, now))
            .take(now)
    }

    fn wait(&self, from: IpAddr, now: Duration) -> Duration {
        self.wrong.get(&from).map_or(Duration::ZERO, |wrong| {
            (wrong.last + delay(wrong.count)).saturating_sub(now)
        })
    }

    fn on_wrong(&mut self, from: IpAddr, now: Duration) {
        let is_over = |wrong: &Wrong| now.saturating_sub(wrong.last) > FORGET;
        if self.wrong.len() >= ADDRESSES_MAX && !self.wrong.contains_key(&from) {
            self.wrong.retain(|_, wrong| !is_over(wrong));
        }
        if self.wrong.len() >= ADDRESSES_MAX && !self.wrong.contains_key(&from) {
            let oldest = self
                .wrong
                .iter()
                .min_by_key(|(_, wrong)| wrong.last)
                .map(|(address, _)| *address);
            oldest.and_then(|address| self.wrong.remove(&address));
        }
        let wrong = self.wrong.entry(from).or_insert(Wrong {
            count: 0,
            last: now,
        });
        wrong.count = if is_over(wrong) {
            1
        } else {
            wrong.count.saturating_add(1)
        };
        wrong.last = now;
    }
}

fn delay(count: u32) -> Duration {
    match count.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => DELAY_MAX.min(DELAY * 2_u32.pow(more.min(6))),
    }
}

/// The owner of one IPv6 address has the 2^64 addresses beside it, too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn guesses_wait_longer_and_are_forgotten() {
        let mut table = GuessTable::default();
        let now = Duration::from_secs(9);
        for _ in 1..FREE {
            table.on_wrong(ADDRESS, now);
            assert_eq!(table.wait(ADDRESS, now), Duration::ZERO);
        }
        let waits = (0..8).map(|_| {
            table.on_wrong(ADDRESS, now);
            table.wait(ADDRESS, now).as_secs()
        });
        assert_eq!(waits.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(table.wait(ADDRESS, now + DELAY_MAX), Duration::ZERO);
        assert_eq!(
            table.wait(IpAddr::from([10, 0, 0, 1]), now),
            Duration::ZERO,
            "others do not wait"
        );
        table.on_wrong(ADDRESS, now + FORGET * 2);
        assert_eq!(table.wait(ADDRESS, now + FORGET * 2), Duration::ZERO);
    }

    #[test]
    fn accounts_of_one_address_are_made_at_a_rate() {
        let mut table = GuessTable::default();
        let now = Duration::from_secs(9);
        assert!((0..ENROL_BURST).all(|_| table.enrol(ADDRESS, now).is_none()));
        assert!(table.enrol(ADDRESS, now).is_some());
        assert!(
            table.enrol(IpAddr::from([10, 0, 0, 1]), now).is_none(),
            "others may"
        );
        assert!(table.enrol(ADDRESS, now + Duration::from_secs(1)).is_none());
        for n in 0..ADDRESSES_MAX as u32 + 10 {
            table.enrol(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(table.enrolling.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn guesses_of_many_addresses_are_bounded() {
        let mut table = GuessTable::default();
        let start = Duration::ZERO;
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..ADDRESSES_MAX as u32 + 500 {
            table.on_wrong(address(n), start + Duration::from_millis(n.into()));
        }
        assert_eq!(table.wrong.len(), ADDRESSES_MAX);
        assert!(
            !table.wrong.contains_key(&address(0))
                && table
                    .wrong
                    .contains_key(&address(ADDRESSES_MAX as u32 + 499))
        );
    }

    #[test]
    fn neighbours_of_an_ipv6_address_are_one_network() {
        let [one, other, elsewhere] =
            ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"]
                .map(|text| network(text.parse().expect("an address")));
        assert!(one == other && one != elsewhere);
        assert_eq!(
            network("::ffff:10.0.0.1".parse().expect("an address")),
            IpAddr::from([10, 0, 0, 1])
        );
    }
}
