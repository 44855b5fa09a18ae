//! The show in a terminal: draws the state, reads keys, and starts the acts that they choose.

mod free;
mod keys;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::clock::Pace;
use super::director::Director;
use super::event::{Caption, ShowEvent};
use super::gauges::GaugeTasks;
use super::palette::Palette;
use super::part::PartKind;
use super::player::Player;
use super::program::Program;
use super::recorder::{Recorder, Watchers};
use super::replay::ReplayFile;
use super::report::print;
use super::view::{self, Layout, Signs, ViewState};
use super::{BROKEN, ME, planned, proof_of, set_stage};
use crate::cli::demo::author::MessageAuthor;
use crate::cli::demo::fault::FaultEntry;
use crate::cli::demo::proof::Proof;
use crate::cli::demo::stage::Stage;
use crate::cli::exit::{self, Failure};
use crate::cli::time::stamp;
use crate::config::Config;
use crate::tui::{TerminalEvents, TerminalScreen, restore_terminal_on_panic};

/// Least time between two pictures.
const FRAME: Duration = Duration::from_millis(40);
/// The same during a pause, in which only the real connections live on.
const PAUSED_FRAME: Duration = Duration::from_millis(500);
/// How often the screen changes without a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Motion {
    Full,
    /// Once a second, for people whom motion disturbs.
    Little,
}

impl Motion {
    /// Least time between two pictures.
    const fn frame(self) -> Duration {
        match self {
            Self::Full => FRAME,
            Self::Little => Duration::from_secs(1),
        }
    }
}

/// Plays a program, or one part of it, in the terminal. Each choice of the visitor begins with new
/// servers and new people, so that no fault and no line of an earlier act is left.
pub(super) fn run(
    config: &Config,
    program: &Program,
    only: Option<usize>,
    report: Option<ReplayFile>,
    motion: Motion,
) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let last = only.unwrap_or(program.len());
    let mut first = only.unwrap_or(1);
    let mut show = {
        let _context = runtime.enter();
        ShowScreen::enter(config, program, report, motion)?
    };
    let mut is_whole = true;
    loop {
        show.view.is_from_start = first == 1 && last > 1;
        let mut stage = set_stage(&show.recorder, program)?;
        let choice = runtime.block_on(show.run(&mut stage, first, last.max(first)))?;
        is_whole &= !matches!(show.shown, Shown::Failed(_));
        match choice {
            Choice::Part(part) => {
                is_whole &= runtime
                    .block_on(proof_of(&mut stage, &show.recorder))?
                    .holds();
                first = part;
                show.begin_again();
            }
            Choice::Proof | Choice::Quit => {
                let (report, failed) = (show.report.take(), show.failed());
                let recorder = Arc::clone(&show.recorder);
                drop(show);
                let proof = runtime.block_on(proof_of(&mut stage, &recorder))?;
                print(&proof.to_string());
                if let Some(report) = report {
                    report.write(program, &recorder, &proof, failed.as_deref())?;
                    print(&report.words());
                }
                let is_whole = is_whole && proof.holds();
                return Ok(if is_whole { exit::OK } else { BROKEN });
            }
        }
    }
}

/// What the visitor chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choice {
    /// Play this part, from 1, and those after it.
    Part(usize),
    /// End all faults, and show the proof.
    Proof,
    Quit,
}

/// What is on the screen now.
#[derive(Clone, Debug)]
enum Shown {
    Acts,
    Proof(Box<Proof>),
    /// An act failed: why.
    Failed(String),
}

struct ShowScreen<'a> {
    program: &'a Program,
    terminal: TerminalScreen,
    events: TerminalEvents,
    terminate: Signal,
    hang_up: Signal,
    palette: Palette,
    recorder: Arc<Recorder>,
    pace: Pace,
    player: Player,
    view: ViewState,
    shown: Shown,
    /// The part that plays, from 1.
    part: usize,
    /// What keys have asked for, in their order.
    asked: VecDeque<ScreenStep>,
    /// What keys break in free play, in their order.
    broken: VecDeque<&'static FaultEntry>,
    /// The page that is still to be written.
    report: Option<ReplayFile>,
    motion: Motion,
    /// What the visitor has typed and not sent, while keys are commands.
    draft: String,
}

impl<'a> ShowScreen<'a> {
    /// Takes the terminal, inside a runtime.
    fn enter(
        config: &Config,
        program: &'a Program,
        report: Option<ReplayFile>,
        motion: Motion,
    ) -> Result<Self, Failure> {
        restore_terminal_on_panic(&config.log_file());
        let (columns, rows) = crossterm::terminal::size()?;
        let view = ViewState {
            columns: columns.into(),
            rows: rows.into(),
            signs: Signs {
                ascii: config.ascii,
            },
            layout: Layout::default(),
            is_paused: false,
            present: String::new(),
            is_help: false,
            elapsed: Duration::ZERO,
            behind: Duration::ZERO,
            moment: Duration::ZERO,
            typing: None,
            scrolled: 0,
            broken: None,
            notice: String::new(),
            parts: program.len(),
            is_from_start: true,
            kind: program.kind,
        };
        let mut show = Self {
            program,
            terminal: TerminalScreen::enter()?,
            events: TerminalEvents::read()?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            palette: Palette::of_terminal(config.color, |name| std::env::var(name).ok()),
            recorder: Recorder::new(ME),
            pace: Pace::reader(),
            player: program.player(),
            view,
            shown: Shown::Acts,
            part: 1,
            asked: VecDeque::new(),
            broken: VecDeque::new(),
            report,
            motion,
            draft: String::new(),
        };
        show.draw()?;
        Ok(show)
    }

    /// Forgets what was played.
    fn begin_again(&mut self) {
        self.recorder = Recorder::new(ME);
        self.pace = Pace::reader();
        self.player = self.program.player();
        self.shown = Shown::Acts;
        self.broken.clear();
        self.view.scrolled = 0;
        self.view.notice.clear();
    }

    /// Why the run did not come to its end.
    fn failed(&self) -> Option<String> {
        match &self.shown {
            Shown::Acts => Some("it was left before".to_owned()),
            Shown::Proof(_) => None,
            Shown::Failed(why) => Some(why.clone()),
        }
    }

    /// Writes the page of this run, and shows where it is.
    fn save_report(&mut self) {
        let Shown::Proof(proof) = &self.shown else {
            return;
        };
        let new = || ReplayFile::new(Path::new(&format!("landfall-demo-{}.html", stamp())));
        let report = self.report.take().map_or_else(new, Ok);
        let saved = report.and_then(|report| {
            report.write(self.program, &self.recorder, proof, None)?;
            Ok(report.words())
        });
        self.view.notice = saved.unwrap_or_else(|failure| failure.to_string());
    }

    /// Plays acts, and shows the proof. Returns what the visitor chose.
    async fn run(
        &mut self,
        stage: &mut Stage,
        first: usize,
        last: usize,
    ) -> Result<Choice, Failure> {
        let _watchers = Watchers::start(&self.recorder, &stage.me, &stage.others[0])?;
        let _gauges = GaugeTasks::start(&self.recorder, &self.pace, &stage.others[1], &stage.me);
        let left = match self.program.kind {
            PartKind::Free => self.play_freely(stage).await?,
            _ => self.play_parts(stage, first..=last).await?,
        };
        match left {
            Some(Choice::Proof) => {
                if let Some(choice) = self.settle(stage).await? {
                    return Ok(choice);
                }
            }
            Some(choice) => return Ok(choice),
            None => {}
        }
        if let Shown::Acts = self.shown {
            self.shown = Shown::Proof(Box::new(stage.proof()?));
        }
        let author = stage.me.author.clone();
        loop {
            if let Some(choice) = self.step(&author).await? {
                return Ok(choice);
            }
        }
    }

    /// Plays parts of the program. Returns what the visitor chose before their end.
    async fn play_parts(
        &mut self,
        stage: &mut Stage,
        parts: RangeInclusive<usize>,
    ) -> Result<Option<Choice>, Failure> {
        for part in parts {
            self.part = part;
            match self.play(stage).await? {
                Played::Whole => {}
                Played::Left(choice) => return Ok(Some(choice)),
                Played::Failed(why) => {
                    self.shown = Shown::Failed(why);
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Records what the visitor did.
    fn caption(&self, headline: &str, sentence: &str) {
        let detail = planned::detail(&self.recorder.recording().model);
        self.recorder.record(ShowEvent::Caption(Caption {
            since: self.recorder.now(),
            headline: headline.to_owned(),
            sentence: sentence.to_owned(),
            detail,
        }));
    }

    /// Ends all faults, lets everything arrive, and counts. Returns what was chosen meanwhile.
    async fn settle(&mut self, stage: &mut Stage) -> Result<Option<Choice>, Failure> {
        if self.pace.is_paused() {
            self.toggle_pause();
        }
        self.caption(
            "All faults end. Then it is counted.",
            "What Landfall has on disk is sent now. The naive chat sends what it has in memory.",
        );
        let author = stage.me.author.clone();
        let (recorder, pace) = (self.recorder.clone(), Pace::instant());
        let mut director = Director::new(stage, recorder, pace, true);
        let mut ending = std::pin::pin!(director.end(true));
        loop {
            tokio::select! {
                ended = &mut ending => {
                    ended.map_err(|error| Failure::new(exit::SOFTWARE, error))?;
                    self.player.skip_to_end();
                    self.advance();
                    return Ok(None);
                }
                choice = self.step(&author) => match choice? {
                    None => {}
                    Some(Choice::Proof) => return Ok(Some(Choice::Quit)), // it was asked for twice
                    choice => return Ok(choice),
                },
            }
        }
    }

    /// Plays the current part, and shows it to its end.
    async fn play(&mut self, stage: &mut Stage) -> Result<Played, Failure> {
        let author = stage.me.author.clone();
        let (recorder, pace) = (self.recorder.clone(), self.pace.clone());
        let mut director = Director::new(stage, recorder, pace, true);
        let mut playing = std::pin::pin!(self.program.play(&mut director, self.part));
        loop {
            tokio::select! {
                played = &mut playing => match played {
                    Ok(()) => break,
                    Err(failed) => return Ok(Played::Failed(failed.to_string())),
                },
                choice = self.step(&author) => if let Some(choice) = choice? {
                    return Ok(Played::Left(choice));
                },
            }
        }
        // the picture may be behind
        while !self.is_played() {
            if let Some(choice) = self.step(&author).await? {
                return Ok(Played::Left(choice));
            }
        }
        Ok(Played::Whole)
    }

    fn is_played(&mut self) -> bool {
        self.advance();
        let recording = self.recorder.recording();
        self.player.is_over(&recording.events, self.recorder.now())
    }

    /// Draws, waits for the next key or event, and carries out what keys ask for. Returns what the
    /// visitor chose. Cancelling it loses nothing.
    async fn step(&mut self, author: &MessageAuthor) -> Result<Option<Choice>, Failure> {
        let wake = self.advance();
        self.draw()?;
        if self.asked.is_empty() && self.broken.is_empty() {
            self.wait(wake).await?;
        }
        match self.asked.front() {
            Some(ScreenStep::Choice(choice)) => {
                let choice = *choice;
                self.asked.clear();
                return Ok(Some(choice));
            }
            Some(ScreenStep::Typed(text)) => {
                author.send(text).await?;
                self.asked.pop_front();
            }
            Some(ScreenStep::SaveReport) => {
                self.asked.pop_front();
                self.save_report();
            }
            None => {}
        }
        Ok(None)
    }

    /// Waits for keys, an event or the time of the next picture.
    async fn wait(&mut self, wake: Option<Duration>) -> Result<(), Failure> {
        let mut news = self.recorder.news();
        news.borrow_and_update();
        let is_paused = self.pace.is_paused();
        let until_next = wake.map(|wake| {
            wake.saturating_sub(self.recorder.now())
                .max(self.motion.frame())
        });
        // the clock in the title, and the ages of the gauges
        let tick = until_next
            .unwrap_or(Duration::MAX)
            .min(self.motion.frame().max(Duration::from_millis(500)));
        let next_picture = async {
            if news.changed().await.is_ok() {
                sleep(if is_paused {
                    PAUSED_FRAME
                } else {
                    self.motion.frame()
                })
                .await;
            }
        };
        tokio::select! {
            batch = self.events.next() => match batch {
                Some(batch) => batch?.into_iter().for_each(|event| self.on_event(event)),
                None => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            },
            _ = self.terminate.recv() => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            _ = self.hang_up.recv() => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            () = next_picture => {}
            () = sleep(tick), if !is_paused => {}
        }
        Ok(())
    }

    /// Shows what may be shown. Returns when there is more.
    fn advance(&mut self) -> Option<Duration> {
        let now = self.recorder.now();
        self.view.is_paused = self.pace.is_paused();
        self.view.elapsed = now.saturating_sub(self.pace.paused());
        let mut recording = self.recorder.recording();
        if self.view.is_paused {
            self.view.present = planned::link_words(&recording.model);
            return None;
        }
        let wake = self.player.advance(&recording.events, now);
        self.view.moment = self.player.moment(&recording.events, now);
        self.view.behind = now.saturating_sub(self.view.moment);
        if self.program.kind == PartKind::Free {
            self.player.forget_played(&mut recording.events);
        }
        wake.or_else(|| Some(self.player.until()).filter(|until| *until > now))
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let view = &self.view;
        let rows = match &self.shown {
            _ if view.is_help => view::help_screen(view),
            Shown::Acts => view::screen(&self.player.model, view),
            Shown::Proof(proof) => view::proof_screen(&self.player.model, view, proof.holds()),
            Shown::Failed(why) => view::failed_screen(&self.player.model, view, why),
        };
        let palette = self.palette;
        let line = |row: view::TextRow| {
            let spans = row
                .pieces
                .into_iter()
                .map(|(text, role)| Span::styled(text, palette.style(role)));
            Line::from_iter(spans)
        };
        let text = Text::from_iter(rows.into_iter().map(line));
        let area = Rect::new(0, 0, view.columns as u16, view.rows as u16);
        self.terminal.terminal.draw(|frame| {
            let area = area.intersection(frame.area());
            frame.render_widget(Paragraph::new(text), area);
        })?;
        Ok(())
    }
}

/// How an act ended.
enum Played {
    Whole,
    /// The visitor chose something else.
    Left(Choice),
    /// Why.
    Failed(String),
}

/// What a key asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum ScreenStep {
    Choice(Choice),
    /// A line for both chats.
    Typed(String),
    SaveReport,
}
