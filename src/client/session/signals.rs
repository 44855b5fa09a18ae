//! PURE. Sends ephemeral signals: live values, typing and the like. None is stored; while the
//! connection is slow or down, a newer value replaces the one that waits.

use super::Session;
use crate::protocol::ClientFrame;

impl Session {
    /// Sends the signals that may be sent now.
    pub(super) fn send_signals(&mut self) {
        let is_ready = self.out.link.is_up() && self.rooms.is_welcome_complete();
        while is_ready && !self.signals.is_empty() {
            if !self.out.may_send_unanswered() {
                return;
            }
            for signal in self.signals.take(1) {
                if self.rooms.is_member(signal.room) {
                    self.out.send(&ClientFrame::Signal(signal));
                }
            }
        }
    }
}
