//! Ephemeral signals on their way to one connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::planted_bug::planted_bug;
use crate::protocol::{CoalescedSignals, Signal};

/// Pending signals of one connection: the latest value of each key.
#[derive(Default)]
pub struct SignalQueue {
    pending: Mutex<CoalescedSignals>,
    changed: Notify,
}

impl SignalQueue {
    fn pending(&self) -> MutexGuard<'_, CoalescedSignals> {
        // every critical section leaves a valid state
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, signal: &Arc<Signal>) {
        if planted_bug!(OldestValue) && !self.is_empty() {
            return;
        }
        self.pending().put(signal.clone());
        self.changed.notify_one();
    }

    /// Whether no signal is pending.
    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// Waits until a signal is pending.
    pub async fn some(&self) {
        while self.is_empty() {
            self.changed.notified().await;
        }
    }

    /// Takes the next signals, of about `bytes` bytes.
    pub fn take(&self, bytes: usize) -> Vec<Signal> {
        self.pending().take(bytes)
    }
}
