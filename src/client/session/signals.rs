//! PURE. Live values and the like on their way to the server: nothing is kept for later. What waits
//! while a link is slow or gone is replaced by what is newer, and what was replaced is counted.

use super::Session;
use crate::client::link::Now;
use crate::protocol::ClientFrame;

impl Session {
    /// Says what may be said now.
    pub(super) fn pump_signals(&mut self, now: Now) {
        while self.link.up().is_some() && self.greeting.is_none() && !self.signals.is_empty() {
            if !self.may_say_more(now) {
                return;
            }
            for signal in self.signals.take(1) {
                if self
                    .rooms
                    .get(&signal.room)
                    .is_some_and(|state| state.member)
                {
                    self.transmit(&ClientFrame::Signal(signal), now);
                }
            }
        }
    }
}
