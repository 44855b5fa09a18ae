//! The system's wall clock, random bytes and threads. Drivers get them only here. So it is visible
//! that pure files use none, and a simulation can replace them.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::protocol::EntryId;

/// The clock and random bytes of a simulation.
struct Pretence {
    unix_ms: u64,
    random: fastrand::Rng,
}

thread_local! {
    static PRETENCE: RefCell<Option<Pretence>> = const { RefCell::new(None) };
}

/// Makes randomness of this thread come from a seed, and stops its clock until [`set_clock`], so
/// that a simulation is repeatable.
pub fn override_for_test(unix_ms: u64, seed: u64) {
    PRETENCE.set(Some(Pretence {
        unix_ms,
        random: fastrand::Rng::with_seed(seed),
    }));
}

/// Sets the simulated clock of this thread.
pub fn set_clock(unix_ms: u64) {
    PRETENCE.with_borrow_mut(|pretence| {
        pretence
            .iter_mut()
            .for_each(|pretence| pretence.unix_ms = unix_ms)
    });
}

/// Wall clock, ms since 1970, for display and ids. No deadline depends on it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_ms() -> u64 {
    if let Some(unix_ms) =
        PRETENCE.with_borrow(|pretence| pretence.as_ref().map(|pretence| pretence.unix_ms))
    {
        return unix_ms;
    }
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Whether the wall clock is between 1970 and 9999: the HTTP library panics outside of that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn is_clock_on_calendar() -> bool {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since < YEAR_10000)
}

/// Returns random bytes of the system.
///
/// # Panics
/// When the system has none: nothing safe can be done without them.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let is_pretence = PRETENCE.with_borrow_mut(|pretence| {
        pretence
            .iter_mut()
            .for_each(|pretence| pretence.random.fill(&mut bytes));
        pretence.is_some()
    });
    if is_pretence {
        return bytes;
    }
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A task in the background.
pub struct Work(Executor);

enum Executor {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Spawns work that blocks on a disk on a thread of its own. With a simulated clock it is a task of
/// the only thread instead, so the simulation controls its turn.
///
/// # Errors
/// When the system has no more threads.
pub fn spawn_worker(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Work> {
    if is_pretended() {
        return Ok(Work(Executor::Task(tokio::spawn(work))));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(work))?;
    Ok(Work(Executor::Thread(thread)))
}

impl Work {
    /// Waits until it ends.
    pub async fn done(self) {
        match self.0 {
            Executor::Thread(thread) => {
                drop(tokio::task::spawn_blocking(move || thread.join()).await)
            }
            Executor::Task(task) => drop(task.await),
        }
    }
}

/// Simulates the time of a disk access; without a simulation, returns at once.
pub async fn sim_disk_delay() {
    if is_pretended() {
        let ms = 1 + u64::from(random::<1>()[0]) / 32;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn is_pretended() -> bool {
    PRETENCE.with_borrow(Option::is_some)
}

/// Returns a random seed for a core; it is never stored.
#[must_use]
pub fn seed() -> u64 {
    u64::from_le_bytes(random())
}

/// Makes the id of a new entry.
#[must_use]
pub fn entry_id() -> EntryId {
    EntryId::from_parts(unix_ms(), random())
}

/// Raises this process's limit of open files to the maximum: a server needs one for each
/// connection.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // the limit stays as it was
}

/// Makes a write over the size limit of files (`ulimit -f`) an error. Without this, the system kills
/// the process in the middle of a write.
pub fn survive_file_size_limit() {
    use rustix::process::Signal;
    let is_hit = std::sync::Arc::default();
    // cannot fail: the signal exists and can be caught
    let _ = signal_hook::flag::register(Signal::XFSZ.as_raw(), is_hit);
}

/// Total time that this machine slept since its start, if the system provides it: its boot clock
/// advances during sleep.
#[must_use]
pub fn slept() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    let boot = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let boot = clock_gettime(ClockId::Monotonic);
    let awake = clock_gettime(ClockId::Monotonic);
    let ms =
        |time: rustix::time::Timespec| time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000;
    Duration::from_millis(ms(boot).saturating_sub(ms(awake)))
}

/// Reports changes of this machine's network: an address that others can reach appeared or
/// disappeared.
pub struct Network(Option<netwatcher::AsyncWatch>);

impl Network {
    /// Begins to watch, where the system reports it; a simulation has a network of its own.
    #[must_use]
    pub fn watch() -> Self {
        let watch =
            || netwatcher::watch_interfaces_async::<netwatcher::async_adapter::Tokio>().ok();
        Self(if is_pretended() { None } else { watch() })
    }

    /// Waits for the next change; for ever if the system reports none. Cancelling the wait loses
    /// nothing.
    pub async fn changed(&mut self) {
        let Some(watch) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            let update = watch.changed().await;
            let mut addresses = update.addrs_added().chain(update.addrs_removed());
            if !update.is_initial && addresses.any(|(_, address)| !is_link_local(address.ip)) {
                return;
            }
        }
    }
}

/// Whether an address is link-local. Each virtual interface has one, and they change often.
const fn is_link_local(ip: std::net::IpAddr) -> bool {
    match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Sleeps until a deadline; for ever without one.
pub async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
