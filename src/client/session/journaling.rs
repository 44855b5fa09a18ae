//! PURE. Writes one line into the journal whenever the link state changes.

use std::time::Duration;

use super::Session;
use crate::client::cause::Cause;
use crate::client::journal::{Ended, JournalDetails, JournalLine};
use crate::client::link::{ConnectionPhase, LinkPhase, LinkState, is_move};
use crate::client::persist::Write;
use crate::protocol::Dial;

/// The last state written to the journal.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct JournalCursor {
    /// The state of its last line.
    phase: Option<LinkPhase>,
    /// The dial whose welcome it contains.
    welcomed: Option<Dial>,
    /// The connection that ended in this step.
    ended: Option<Ended>,
}

impl JournalCursor {
    /// A connection ended that had been welcomed.
    pub(super) const fn on_ended(&mut self, ended: Option<Ended>) {
        self.ended = ended;
    }
}

impl Session {
    /// Writes a line if the link state is another one than the journal's last.
    pub(super) fn write_journal(&mut self) {
        let state = self.link_state();
        let from = self.journal.phase;
        let to = state.phase();
        // Another process has the connection, and the journal is about that one.
        let is_elsewhere = matches!(
            self.out.link.phase(),
            ConnectionPhase::Offline {
                why: Cause::NotOwner { .. },
                ..
            }
        );
        if from == Some(to) || is_elsewhere {
            return;
        }
        debug_assert!(is_move(from, to), "{from:?} to {to} is not among the moves");
        self.journal.phase = Some(to);
        let cause = match self.out.link.phase() {
            ConnectionPhase::Offline { why: cause, .. }
            | ConnectionPhase::Backoff { cause, .. } => cause.clone(),
            ConnectionPhase::Dialing { .. }
            | ConnectionPhase::Handshake { .. }
            | ConnectionPhase::Up(_) => Cause::Start,
        };
        let numbers = Box::new(self.journal_details(&state));
        self.out.persist(Write::Journal(JournalLine {
            from,
            to,
            cause,
            numbers,
        }));
    }

    /// The measured values of the state that was just reached.
    fn journal_details(&mut self, state: &LinkState) -> JournalDetails {
        let link = &self.out.link;
        let mut details = JournalDetails {
            dial: link.current(),
            ended: self.journal.ended.take(),
            ..JournalDetails::default()
        };
        match state {
            LinkState::Connecting { attempt } => details.attempt = Some(*attempt),
            LinkState::Backoff { attempt, .. } => {
                details.attempt = Some(*attempt);
                if let Some(wait) = link.backoff().last_wait() {
                    details.wait_ms = Some(ms(wait.drawn));
                    details.wait_max_ms = Some(ms(wait.longest));
                }
            }
            LinkState::Resyncing {
                rooms_left,
                entries_left,
            } => {
                details.rooms_left = Some(*rooms_left);
                details.entries_left = Some(*entries_left);
            }
            LinkState::Connected { .. } => details.rtt_ms = link.rtt().map(ms),
            LinkState::Offline { .. } => {}
        }
        if self.journal.welcomed != details.dial {
            let received = self.out.metrics.received;
            self.journal.welcomed = details.dial.filter(|_| received.is_some());
            details.welcome = received.map(|received| received.welcome);
        }
        details
    }
}

/// Milliseconds, as the journal stores them.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
