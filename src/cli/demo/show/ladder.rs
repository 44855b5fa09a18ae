//! PURE. The ladder of a show: the frames of the faulty side, and what the demo itself does to the
//! network, the servers and the computer.

mod network;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::{LogChange, Recorded, ShowEvent};
use super::score::Nets;
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::stage::MyAction;
use crate::client::counted;
use crate::client::link::LinkState;
use crate::protocol::{EntryId, Seq};
use crate::tui::Ladder;

/// The rows of one act, and what the demo knows.
#[derive(Clone, Debug, Default)]
pub(super) struct ShowLadder {
    pub(super) diagram: Ladder,
    me: &'static str,
    /// The newest connection through the proxy.
    connection: u64,
    /// The newest entry that the copy of the server has.
    copied: Seq,
    /// Entries that a restored server lacks.
    forgotten: BTreeSet<EntryId>,
}

impl ShowLadder {
    pub(super) fn new(me: &'static str) -> Self {
        Self {
            me,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded, nets: &Nets) {
        let at = recorded.at;
        match &recorded.event {
            ShowEvent::Act(_) => self.diagram.clear(),
            ShowEvent::Typed(line) if line.author == self.me => {
                self.diagram.on_saved(line.id, &line.text, at);
            }
            ShowEvent::Proxy(what) => self.on_proxy(what, at),
            ShowEvent::Frame(frame) => self.diagram.on_frame(frame, at),
            ShowEvent::Link(LinkState::Backoff { cause, .. }, wait) => {
                let is_silent = nets.landfall.is_open();
                self.diagram
                    .on_backoff(&cause.to_string(), is_silent, *wait, at);
            }
            ShowEvent::Log(change) => self.on_log(change, at),
            ShowEvent::Servers(action) => self.on_servers(*action, at),
            ShowEvent::Mine(action) => self.on_mine(*action, at),
            ShowEvent::Screen(screen) => self.diagram.on_missing(screen.missing, at),
            _ => {}
        }
    }

    fn on_log(&mut self, change: &LogChange, at: Duration) {
        if let Some(after) = change.truncated_after {
            self.diagram.logged.retain(|_, seq| *seq <= after);
        }
        let mut returned = 0;
        for (seq, id, _) in &change.added {
            self.diagram.logged.insert(*id, *seq);
            let is_returned = self.forgotten.remove(id) && !self.diagram.is_own(id);
            returned += u64::from(is_returned);
        }
        if returned > 0 {
            let what = counted(returned, "line", "lines");
            let text = format!("the others' clients have given back {what}");
            self.diagram.note(at, text).is_stored = true;
        }
    }

    /// The server has what its copy had.
    fn on_restored(&mut self) {
        let copied = self.copied;
        let forgotten = self.diagram.logged.extract_if(.., |_, seq| *seq > copied);
        self.forgotten.extend(forgotten.map(|(id, _)| id));
    }

    fn on_servers(&mut self, action: ServerAction, at: Duration) {
        match action {
            ServerAction::Copy => {
                self.copied = self
                    .diagram
                    .logged
                    .values()
                    .copied()
                    .max()
                    .unwrap_or(Seq::ZERO)
            }
            ServerAction::Restore => self.on_restored(),
            _ => {}
        }
        let (what, is_stored) = match action {
            ServerAction::Copy => ("copy of the server's disk", true),
            ServerAction::Restore => ("the server's disk is replaced by the copy", true),
            ServerAction::Kill => ("the server is killed (SIGKILL)", false),
            ServerAction::Start => ("the server is started", false),
            ServerAction::Stop => ("the server hangs (SIGSTOP)", false),
            ServerAction::Continue => ("the server continues (SIGCONT)", false),
            ServerAction::Fill => ("the server's disk is full", false),
            ServerAction::Free => ("the server's disk has space", false),
        };
        self.diagram.note(at, what).is_stored = is_stored;
    }

    fn on_mine(&mut self, action: MyAction, at: Duration) {
        let what = match action {
            MyAction::Stop => "this computer sleeps",
            MyAction::Continue => "this computer wakes",
            MyAction::GoOffline => "/offline",
            MyAction::GoOnline => "/online",
            MyAction::RetryNow => "Ctrl-R: try now",
        };
        self.diagram.note(at, what);
    }
}
