//! What the connections of a proxy share: the faults in force, the counts, and the receiver of
//! events.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::event::{Event, FaultCounts, What};
use super::plan::{Armed, FaultState};

/// The state shared by all connections.
pub(super) struct ProxyShared {
    pub(super) upstream: String,
    pub(super) state: watch::Sender<FaultState>,
    pub(super) counts: Mutex<FaultCounts>,
    pub(super) is_over: watch::Sender<bool>,
    pub(super) listens: watch::Sender<bool>,
    pub(super) began: std::time::Instant,
    pub(super) listen_to: Box<dyn Fn(Event) + Send + Sync>,
}

impl ProxyShared {
    pub(super) fn watch(&self) -> watch::Receiver<FaultState> {
        self.state.subscribe()
    }

    pub(super) fn emit(&self, what: What) {
        self.count(|counts| match &what {
            What::Opened { .. } | What::Muted { .. } => counts.opened += 1,
            What::Ended { .. } => counts.ended += 1,
            What::Swallowed { .. } => counts.frames += 1,
            _ => {} // nothing is counted
        });
        let at_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.listen_to)(Event { at_ms, what });
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut FaultCounts)) {
        change(&mut self.counts());
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, FaultCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets what was armed have its chance; no task is woken by it.
    pub(super) fn strike<T>(&self, chance: impl FnOnce(&mut Armed) -> T) -> T {
        let mut chance = Some(chance);
        let mut struck = None;
        self.state.send_if_modified(|state| {
            struck = chance.take().map(|chance| chance(&mut state.armed));
            false
        });
        struck.expect("the closure is called once")
    }

    /// Returns the delay for bytes that arrive now.
    pub(super) fn latency(&self) -> Duration {
        let state = self.state.borrow();
        state.latency + state.jitter.mul_f64(fastrand::f64())
    }

    /// Returns the rate limit, bytes per second.
    pub(super) fn rate(&self) -> Option<u64> {
        self.state.borrow().rate
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver: latency is real time")]
pub(super) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
