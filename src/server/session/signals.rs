//! PURE. Ephemeral signals of one connection: those of this device are throttled to the allowed rate,
//! those of others leave as fast as the client confirms them. Both coalesce by key.

use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Lane, Now, ServerSession, SessionPhase, pacer};
use crate::protocol::{AccountId, CoalescedSignals, ServerFrame, Signal, encode, limits};
use crate::server::rate::Bucket;

/// Upper bound of the number of skipped values that a client can report.
const SKIPPED_MAX: u64 = 1 << 32;

/// Signals of this device that wait for the rate limit: only the latest value of each key.
#[derive(Debug)]
pub(super) struct OutgoingSignals {
    rate: Bucket,
    pending: CoalescedSignals,
    due: Option<Now>,
}

impl OutgoingSignals {
    pub(super) fn new(now: Now) -> Self {
        Self {
            rate: Bucket::new(limits::SIGNALS_PER_SECOND, limits::SIGNALS_PER_SECOND, now),
            pending: CoalescedSignals::default(),
            due: None,
        }
    }

    /// Returns when the next signal may leave.
    pub(super) const fn due(&self) -> Option<Now> {
        self.due
    }

    /// Takes the signals that the rate allows at `now`.
    fn take(&mut self, now: Now) -> Vec<Signal> {
        self.due = None;
        let mut taken = Vec::new();
        while !self.pending.is_empty() {
            if let Some(wait_ms) = self.rate.take(now) {
                self.due = Some(now + Duration::from_millis(wait_ms));
                break;
            }
            taken.extend(self.pending.take(1));
        }
        taken
    }
}

impl ServerSession {
    /// Accepts a signal of this device. Drops it if it is too long, or for a room that the account
    /// is not a member of.
    pub(super) fn on_signal(&mut self, account: AccountId, signal: Signal) {
        if signal.bytes() > limits::SIGNAL_BYTES_MAX || !self.member_of.contains(&signal.room) {
            return;
        }
        // Typing has one signal for each account, without content.
        let is_typing = signal.kind == Signal::TYPING;
        self.signals.pending.put(Arc::new(Signal {
            room: signal.room,
            kind: signal.kind,
            key: signal.key.filter(|_| !is_typing),
            value: signal.value.filter(|_| !is_typing),
            account: Some(account),
            at: None,
            skipped: signal.skipped.min(SKIPPED_MAX),
        }));
    }

    /// Publishes the signals of this device that the rate allows.
    pub(super) fn flush_signals(&mut self, now: Now) {
        let signals = self.signals.take(now);
        self.effects.extend(signals.into_iter().map(Effect::Signal));
    }

    /// Returns when the next signals of others may leave, about [`ServerSession::SIGNALS_BYTES`] of
    /// them. An earlier confirmation of the client makes it earlier. `None` while the client is not
    /// admitted.
    #[must_use]
    pub fn signals_from(&self) -> Option<Now> {
        matches!(self.phase, SessionPhase::Live { .. }).then(|| self.pace.next())
    }

    /// Bytes of signals that leave in one batch.
    pub const SIGNALS_BYTES: usize = pacer::BATCH_BYTES;

    pub(super) fn on_signals(&mut self, signals: Vec<Signal>) {
        let mut bytes = 0;
        let ticks = signals.iter().any(|signal| signal.kind != Signal::TYPING);
        for text in signals
            .into_iter()
            .filter_map(|signal| encode(&ServerFrame::Signal(signal)).ok())
        {
            bytes += text.len();
            self.effects.push(Effect::Fresh(text.into()));
        }
        if bytes > 0 {
            let probe = self.pace.on_signals(bytes, ticks, self.now);
            self.effects
                .extend(probe.map(|probe| Effect::Probe(Lane::Ephemeral, probe)));
        }
    }
}
