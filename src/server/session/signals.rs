//! Ephemeral signals on their way through a connection: those of this device go on at the allowed
//! rate, and those of others leave as fast as the client confirms them. In both
//! places only the newest of each key waits.

use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Lane, Now, ServerSession, SessionPhase, pacer};
use crate::protocol::{AccountId, ServerFrame, Signal, encode, limits};

/// More than a client can have skipped.
const SKIPPED_MAX: u64 = 1 << 32;

impl ServerSession {
    /// A signal of this device. Too many at once, or into a room of others, are dropped.
    pub(super) fn on_signal(&mut self, account: AccountId, signal: Signal) {
        if signal.bytes() <= limits::SIGNAL_BYTES_MAX && self.member_of.contains(&signal.room) {
            // One for each account: other contents are dropped.
            let (key, value) = if signal.kind == Signal::TYPING {
                (None, None)
            } else {
                (signal.key, signal.value)
            };
            let (kind, skipped) = (signal.kind, signal.skipped.min(SKIPPED_MAX));
            self.outgoing_signals.put(Arc::new(Signal {
                room: signal.room,
                kind,
                key,
                value,
                account: Some(account),
                at: None,
                skipped,
            }));
        }
    }

    /// Signals of this device go to the others at the pace that is allowed.
    pub(super) fn flush_signals(&mut self, now: Now) {
        self.said_at = None;
        while !self.outgoing_signals.is_empty() {
            if let Some(wait_ms) = self.signals.take(now) {
                self.said_at = Some(now + Duration::from_millis(wait_ms));
                return;
            }
            self.effects.extend(
                self.outgoing_signals
                    .take(1)
                    .into_iter()
                    .map(Effect::Signal),
            );
        }
    }

    /// When values that must stay fresh may leave next, about [`ServerSession::SIGNALS_BYTES`] of them,
    /// unless the client confirms some of those that are on their way before that. `None` while
    /// the client is not admitted.
    #[must_use]
    pub fn signals_from(&self) -> Option<Now> {
        matches!(self.phase, SessionPhase::Live { .. }).then(|| self.pace.next())
    }

    /// Bytes of signals that leave at a time.
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
