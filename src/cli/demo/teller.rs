//! What the demo says: what was broken, what your chat noticed and when, what it did. As lines, or as JSON.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::Fault;
use super::proof::Proof;
use crate::client::Cause;
use crate::client::brief;
use crate::client::link::LinkState;
use crate::protocol::harmless_line;
use crate::tui::Shown;

/// Lines that a board is given.
const LINES_MAX: usize = 8;

/// Where it is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Voice {
    /// Lines for people.
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
    shown: watch::Sender<Shown>,
}

impl Teller {
    #[expect(clippy::disallowed_methods, reason = "people want to know when")]
    pub(super) fn new(voice: Voice) -> Self {
        Self { voice, began: Instant::now(), broken: Mutex::default(), shown: watch::Sender::default() }
    }

    /// What a board shows of it.
    pub(super) fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    pub(super) fn station(&self, number: u32, title: &str) {
        self.say("station", &format!("{number}. {title}"), None);
    }

    /// The tour is over.
    pub(super) fn toured(&self) {
        self.shown.send_modify(|shown| shown.heading = None);
        self.did("that was all of it; keys break things again");
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
                shown.lasting.retain(|key| Some(*key) != Fault::KillServer.key());
            }
            Some(_) | None => {}
        });
        self.say(fault.is_told_as(), fault.means(), None);
    }

    /// What your chat says of its link.
    pub(super) fn link(&self, link: &LinkState, last_cause: Option<&Cause>) {
        let why = match link {
            LinkState::Backoff { cause, .. } | LinkState::Offline { why: cause } => Some(cause),
            LinkState::Connecting { .. } => last_cause,
            LinkState::Resyncing { .. } | LinkState::Connected { .. } => None,
        };
        let why = why.map_or_else(String::new, |cause| format!(": {}", harmless_line(&cause.to_string())));
        self.noticed(&format!("{}{why}", link.word()));
    }

    pub(super) fn noticed(&self, what: &str) {
        let since = self.broken.lock().ok().and_then(|broken| broken.map(|at| at.elapsed()));
        self.say("noticed", what, since);
    }

    pub(super) fn did(&self, what: &str) {
        self.say("did", what, None);
    }

    /// Figures that change all the time: for a board alone.
    pub(super) fn figures(&self, figures: String) {
        self.shown.send_if_modified(|shown| {
            let is_new = shown.figures != figures;
            shown.figures = figures;
            is_new
        });
    }

    pub(super) fn proof(&self, proof: &Proof) {
        if self.voice == Voice::Json {
            self.print(
                &serde_json::json!({ "at_ms": self.at(), "event": "proof", "holds": proof.holds(), "proof": proof })
                    .to_string(),
            );
        } else {
            self.say("proof", &proof.to_string(), None);
        }
    }

    fn at(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn say(&self, event: &str, what: &str, after: Option<Duration>) {
        let after_ms = after.map(|after| after.as_millis() as u64);
        let after = after_ms.map_or_else(String::new, |ms| format!(" ({} after)", brief(ms)));
        self.shown.send_modify(|shown| match event {
            "station" => shown.heading = Some(what.to_owned()),
            "broken" | "mended" | "now" => (shown.broken, shown.lines) = (format!("{event}: {what}"), Vec::new()),
            _ => {
                shown.lines.push(format!("{event}: {what}{after}"));
                let old = shown.lines.len().saturating_sub(LINES_MAX);
                shown.lines.drain(..old);
            }
        });
        match self.voice {
            Voice::Board => {}
            Voice::Json => {
                let said =
                    serde_json::json!({ "at_ms": self.at(), "event": event, "text": what, "after_ms": after_ms });
                self.print(&said.to_string());
            }
            Voice::Plain if event == "station" => self.print(&format!("\n{what}")),
            Voice::Plain => self.print(&format!("  {event:<8} {what}{after}")),
        }
    }

    fn print(&self, line: &str) {
        let _ = writeln!(std::io::stdout(), "{line}"); // with nobody reading it goes on all the same
    }
}
