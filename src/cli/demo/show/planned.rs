//! Plays plans: the same keys, faults and events as an act, read from a file.

use super::director::{ActError, Director};
use super::event::ShowEvent;
use super::model::Model;
use super::plan::{Plan, PlanEvent, PlanStep};
use crate::chaos::{Direction, What};
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::stage::MyAction;
use crate::client::brief;
use crate::client::link::{LinkPhase, LinkState};
use crate::tui::FrameWhat;

impl Director<'_> {
    /// Plays all steps of a plan.
    pub(super) async fn play_plan(&mut self, plan: &Plan) -> Result<(), ActError> {
        self.stable().await;
        for step in &plan.steps {
            self.play_step(step).await?;
        }
        self.read().await;
        Ok(())
    }

    async fn play_step(&mut self, step: &PlanStep) -> Result<(), ActError> {
        match step {
            PlanStep::Types { author, lines } => self.types_all(author, lines).await,
            PlanStep::Network(commands) => {
                self.read().await;
                self.network(commands).await;
                Ok(())
            }
            PlanStep::Server(action) => {
                self.read().await;
                self.servers(*action)
            }
            PlanStep::Mine(action) => {
                self.read().await;
                self.mine(*action).await;
                Ok(())
            }
            PlanStep::Until(event) => self.until_planned(*event).await,
            PlanStep::Wait(time) => {
                self.pace.unpaused_time(*time).await;
                Ok(())
            }
            PlanStep::Caption(caption) => {
                let detail = self.present(detail);
                self.caption(&caption.headline, &caption.sentence, detail);
                Ok(())
            }
        }
    }

    async fn until_planned(&self, event: PlanEvent) -> Result<(), ActError> {
        let what = event.description();
        match event {
            PlanEvent::Connected => self.until_model(what, is_connected).await,
            PlanEvent::Arrived => self.until_model(what, Model::has_everything).await,
            PlanEvent::Stored => self.until_model(what, is_stored).await,
            PlanEvent::Shown => self.until_model(what, Model::shows_everything).await,
            PlanEvent::Offline => self.until_model(what, is_offline).await,
            PlanEvent::Skipped => {
                let before = self.present(|model| model.gauges.skipped);
                let is_it = move |model: &Model| model.gauges.skipped > before;
                self.until_model(what, is_it).await
            }
            PlanEvent::Held => {
                let up = Direction::Up;
                let is_it = |event: &What| matches!(event, What::Held { way, .. } if *way == up);
                self.until_both(what, is_it).await
            }
            PlanEvent::Lost(lost) => {
                let is_it = |event: &What| matches!(event, What::Dead { way, .. } if *way == lost);
                self.until_both(what, is_it).await
            }
            PlanEvent::Reset => self.until_reset().await,
            PlanEvent::Resent => {
                let mut sent = self.sent_before_mark();
                let is_it =
                    |event: &ShowEvent| event.sent_entry().is_some_and(|id| !sent.insert(id));
                self.until(what, is_it).await
            }
            PlanEvent::Attempt(n) => self.until(what, |event| is_attempt(event, n)).await,
            PlanEvent::Gap => self.until(what, has_gap).await,
            PlanEvent::Ping | PlanEvent::Refused | PlanEvent::Diverged | PlanEvent::Session => {
                self.until(what, |seen| is_frame_of(event, seen)).await
            }
        }
    }

    /// Does something to both servers, as a fault.
    pub(super) fn servers(&mut self, action: ServerAction) -> Result<(), ActError> {
        self.mark();
        if self.with_faults {
            self.recorder.record(ShowEvent::Servers(action));
            self.stage.servers(action)?;
        }
        Ok(())
    }

    /// Does something to Ana's computer, or in her chat, as a fault.
    pub(super) async fn mine(&mut self, action: MyAction) {
        self.mark();
        if self.with_faults {
            self.recorder.record(ShowEvent::Mine(action));
            self.stage.mine(action).await;
        }
    }
}

/// Whether Landfall waits for this attempt or a later one. A state that lasts too short is not seen,
/// but the greeting of its next connection is.
pub(super) fn is_attempt(event: &ShowEvent, n: u32) -> bool {
    match event {
        ShowEvent::Link(LinkState::Backoff { attempt, .. }, _) => *attempt >= n,
        ShowEvent::Frame(frame) => n == 1 && matches!(frame.what, FrameWhat::Hello { .. }),
        _ => false,
    }
}

/// Whether this frame is the one that a plan waits for.
fn is_frame_of(event: PlanEvent, seen: &ShowEvent) -> bool {
    let ShowEvent::Frame(frame) = seen else {
        return false;
    };
    matches!(
        (event, &frame.what),
        (PlanEvent::Ping, FrameWhat::Ping)
            | (PlanEvent::Refused, FrameWhat::Reject { .. })
            | (PlanEvent::Diverged, FrameWhat::Diverged)
            | (PlanEvent::Session, FrameWhat::Welcome { resumed: true })
    )
}

fn has_gap(event: &ShowEvent) -> bool {
    matches!(event, ShowEvent::Screen(screen) if screen.missing > 0)
}

fn is_stored(model: &Model) -> bool {
    model.tally.is_all_logged() && model.score().naive.under_way() == 0
}

fn is_offline(model: &Model) -> bool {
    model.link.phase() == LinkPhase::Offline
}

fn is_connected(model: &Model) -> bool {
    model.link.phase() == LinkPhase::Connected && model.screen.missing == 0
}

/// The line for engineers: what Landfall's connection and its outbox are doing.
pub(super) fn detail(model: &Model) -> String {
    let screen = &model.screen;
    let mut line = format!(
        "{} · {} pending, {} confirmed",
        link_words(model),
        screen.pending.len(),
        screen.confirmed
    );
    if screen.missing > 0 {
        line.push_str(&format!(" · {} missing", screen.missing));
    }
    line
}

/// What Landfall's connection is doing.
pub(super) fn link_words(model: &Model) -> String {
    let ms = |time: std::time::Duration| brief(time.as_millis() as u64);
    match (&model.link, model.wait) {
        (LinkState::Connected { .. }, _) => "connected".to_owned(),
        (LinkState::Resyncing { .. }, _) => "catching up".to_owned(),
        (LinkState::Connecting { attempt }, _) => format!("attempt {attempt}"),
        (LinkState::Backoff { attempt, .. }, Some(wait)) => {
            let (drawn, longest) = (ms(wait.drawn), ms(wait.longest));
            format!("attempt {attempt} in {drawn} (0–{longest})")
        }
        (LinkState::Backoff { attempt, .. }, None) => format!("attempt {attempt} follows"),
        (LinkState::Offline { .. }, _) => "offline".to_owned(),
    }
}
