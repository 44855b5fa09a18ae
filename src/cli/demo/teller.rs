//! What the demo says: what was broken, what your chat noticed and when, what it did. As lines, or
//! as JSON.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::Fault;
use super::proof::Proof;
use super::story::{Story, words};
use crate::client::brief;
use crate::client::link::LinkState;
use crate::tui::PanelContent;

/// Bytes of what was done by itself after something was broken; more would not be seen.
const DID_MAX: usize = 200;

/// Where it is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Voice {
    Plain,
    /// An object a line.
    Json,
    /// Only on the board.
    Board,
}

/// Tells what happens, as it happens.
pub(super) struct Teller {
    voice: Voice,
    began: Instant,
    /// When something was broken last.
    broken: Mutex<Option<Instant>>,
    story: Mutex<Story>,
    shown: watch::Sender<PanelContent>,
}

impl Teller {
    #[expect(clippy::disallowed_methods, reason = "people want to know when")]
    pub(super) fn new(voice: Voice) -> Self {
        Self {
            voice,
            began: Instant::now(),
            broken: Mutex::default(),
            story: Mutex::default(),
            shown: watch::Sender::default(),
        }
    }

    /// What a board shows of it.
    pub(super) fn shown(&self) -> watch::Receiver<PanelContent> {
        self.shown.subscribe()
    }

    pub(super) fn station(&self, number: u32, title: &str) {
        if let Ok(mut broken) = self.broken.lock() {
            *broken = None;
        }
        self.story().begin();
        self.report("station", &format!("{number}. {title}"), None);
    }

    /// The tour is over.
    pub(super) fn toured(&self, how: &str) {
        self.shown.send_modify(|shown| {
            *shown = PanelContent {
                figures: std::mem::take(&mut shown.figures),
                ..PanelContent::default()
            }
        });
        self.did(how);
    }

    #[expect(clippy::disallowed_methods, reason = "people want to know when")]
    pub(super) fn broke(&self, fault: Fault) {
        if let Ok(mut broken) = self.broken.lock() {
            *broken = Some(Instant::now());
        }
        self.shown.send_modify(|shown| match fault.key() {
            Some(key) if fault.lasts() && !shown.lasting.contains(&key) => shown.lasting.push(key),
            Some(_) | None if matches!(fault, Fault::Pass) => shown.lasting.clear(),
            Some(_) if matches!(fault, Fault::StartServer | Fault::PutServerBack) => {
                shown
                    .lasting
                    .retain(|key| Some(*key) != Fault::KillServer.key());
            }
            Some(_) | None => {}
        });
        self.story().begin();
        self.report(fault.event_name(), fault.means(), None);
        let hint = match (self.shown.borrow().heading.is_some(), self.story().was_up()) {
            (true, _) => "", // the guide of a tour does it
            (false, true) => fault.hint(),
            (false, false) => "the link is down already: Ctrl-R dials now",
        };
        self.shown
            .send_modify(|shown| shown.noticed = hint.to_owned());
    }

    /// What your chat says of its link.
    pub(super) fn link(&self, link: &LinkState) {
        let (after, text) = (self.after(), words(self.story().was_up(), link));
        self.report("noticed", &text, after);
        let story = {
            let mut story = self.story();
            story.on(link, after.map(|after| after.as_millis() as u64));
            format!("noticed: {}", *story)
        };
        self.shown.send_modify(|shown| shown.noticed = story);
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        // no critical section leaves it half changed
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since something was broken.
    fn after(&self) -> Option<Duration> {
        self.broken
            .lock()
            .ok()
            .and_then(|broken| broken.map(|at| at.elapsed()))
    }

    pub(super) fn noticed(&self, what: &str) {
        self.report("noticed", what, self.after());
    }

    pub(super) fn did(&self, what: &str) {
        self.report("did", what, None);
    }

    /// Something that the chat did by itself. On a tour its guide tells that.
    pub(super) fn happened(&self, what: &str) {
        self.shown.send_if_modified(|shown| {
            let is_shown = shown.heading.is_none() && shown.did.len() < DID_MAX;
            if is_shown && shown.did.is_empty() {
                shown.did = format!("did: {what}");
            } else if is_shown {
                shown.did = format!("{} · {what}", shown.did);
            }
            is_shown
        });
    }

    /// Figures that change all the time: for a board alone.
    pub(super) fn figures(&self, figures: String) {
        self.shown.send_if_modified(|shown| {
            let is_new = shown.figures != figures;
            shown.figures = figures;
            is_new
        });
    }

    /// The proof, and why the tour did not come to its end, if it did not.
    pub(super) fn proof(&self, proof: &Proof, failed: Option<&str>) {
        if let Some(failed) = failed {
            self.report("failed", failed, None);
        }
        if self.voice == Voice::Json {
            let (at_ms, holds) = (self.at(), proof.holds());
            let line = serde_json::json!({
                "at_ms": at_ms, "event": "proof", "holds": holds, "finished": failed.is_none(), "proof": proof,
            });
            self.print(&line.to_string());
        } else {
            self.report("proof", &proof.to_string(), None);
        }
    }

    fn at(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn report(&self, event: &str, what: &str, after: Option<Duration>) {
        let after_ms = after.map(|after| after.as_millis() as u64);
        let after = after_ms.map_or_else(String::new, |ms| format!(" ({} after)", brief(ms)));
        self.shown.send_modify(|shown| match event {
            "station" => {
                (shown.broken, shown.noticed, shown.did) = <(String, String, String)>::default();
                shown.heading = Some(what.to_owned());
            }
            "broken" | "mended" | "now" => {
                (shown.broken, shown.noticed, shown.did) =
                    (format!("{event}: {what}"), String::new(), String::new());
            }
            "noticed" => shown.noticed = format!("{event}: {what}{after}"),
            _ => shown.did = format!("{event}: {what}"),
        });
        match self.voice {
            Voice::Board => {}
            Voice::Json => {
                let line = serde_json::json!({ "at_ms": self.at(), "event": event, "text": what, "after_ms": after_ms });
                self.print(&line.to_string());
            }
            Voice::Plain if event == "station" => self.print(&format!("\n{what}")),
            Voice::Plain => self.print(&format!("  {event:<8} {what}{after}")),
        }
    }

    fn print(&self, line: &str) {
        // with nobody reading it goes on all the same
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
