//! PURE. Live values and the like on their way to the server: of each key only the newest waits, and nothing is kept for
//! later. What waits while a link is slow or gone is replaced; what was replaced is counted.

use std::collections::BTreeMap;

use super::Session;
use crate::client::link::Now;
use crate::protocol::limits::SIGNAL_KEYS_MAX;
use crate::protocol::{ClientFrame, RoomId, Signal};

/// Signals wait while so many bytes are without an answer, as marks do, and ask for one instead.
const SIGNAL_BYTES_WAITING: u64 = 2 * 1024;

/// What waits to be said; the newest of each key.
#[derive(Debug, Default)]
pub(super) struct Signals(BTreeMap<(RoomId, String, Option<String>), Signal>);

impl Signals {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Session {
    /// A value that is worth something as long as there is no newer one.
    pub(super) fn on_signal(&mut self, signal: Signal) {
        let key = (signal.room, signal.kind.clone(), signal.key.clone());
        let waiting = &mut self.signals.0;
        if let Some(old) = waiting.get_mut(&key) {
            let skipped = old.skipped + 1;
            *old = Signal { skipped, ..signal };
        } else if waiting.len() < SIGNAL_KEYS_MAX {
            waiting.insert(key, signal);
        }
    }

    /// Says what may be said now.
    pub(super) fn pump_signals(&mut self, now: Now) {
        while self.link.up().is_some() && self.greeting.is_none() {
            if self.link.unanswered() > SIGNAL_BYTES_WAITING {
                if !self.signals.0.is_empty() {
                    let due = self.link.probe(now);
                    self.on_due(due, now);
                }
                return;
            }
            let Some((_, signal)) = self.signals.0.pop_first() else { return };
            if self.rooms.get(&signal.room).is_some_and(|state| state.member) {
                self.transmit(&ClientFrame::Signal(signal), now);
            }
        }
    }
}
