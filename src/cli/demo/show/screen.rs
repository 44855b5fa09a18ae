//! The show in a terminal: draws the state, reads keys, and starts the acts that they choose.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::acts::{self, ACTS};
use super::clock::Pace;
use super::director::{ActError, Director};
use super::gauges::GaugeTasks;
use super::palette::Palette;
use super::player::Player;
use super::recorder::{Recorder, Watchers};
use super::view::{self, Layout, Signs, ViewState};
use super::{BROKEN, ME, set_stage};
use crate::cli::demo::proof::Proof;
use crate::cli::demo::stage::Stage;
use crate::cli::exit::{self, Failure};
use crate::config::Config;
use crate::print;
use crate::tui::{TerminalEvents, TerminalScreen, restore_terminal_on_panic};

/// Least time between two pictures.
const FRAME: Duration = Duration::from_millis(40);
/// Rows that a page key scrolls.
const PAGE: usize = 5;
/// Maximum length of a typed line, characters.
const LINE_MAX: usize = 200;

/// Plays all acts, or the chosen one, in the terminal.
pub(super) fn run(config: &Config, act: Option<u8>) -> Result<u8, Failure> {
    let recorder = Recorder::new(ME);
    let mut stage = set_stage(&recorder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (proof, finished) = runtime.block_on(async {
        let mut show = ShowScreen::enter(config, recorder, &stage)?;
        let finished = show.run(&mut stage, act).await?;
        drop(show);
        let proof = stage.proof()?;
        for person in stage.people() {
            person.running.client.quit().await;
        }
        Ok::<_, Failure>((proof, finished))
    })?;
    let _ = print::line(&proof); // it may have no reader
    Ok(if proof.holds() && finished {
        exit::OK
    } else {
        BROKEN
    })
}

/// What the visitor chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choice {
    /// Play this act, from 1, and those after it.
    Act(u8),
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

struct ShowScreen {
    terminal: TerminalScreen,
    events: TerminalEvents,
    palette: Palette,
    recorder: Arc<Recorder>,
    pace: Pace,
    player: Player,
    view: ViewState,
    shown: Shown,
    act: u8,
    /// An act was left in the middle: its faults may last.
    is_interrupted: bool,
    _gauges: GaugeTasks,
    _watchers: Watchers,
}

impl ShowScreen {
    fn enter(config: &Config, recorder: Arc<Recorder>, stage: &Stage) -> Result<Self, Failure> {
        let watchers = Watchers::start(&recorder, &stage.me, &stage.others[0])?;
        let pace = Pace::reader();
        let gauges = GaugeTasks::start(&recorder, &pace, &stage.others[1], &stage.me);
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
            elapsed: Duration::ZERO,
            behind: Duration::ZERO,
            naive_lines: 0,
            typing: None,
            scrolled: 0,
            acts: ACTS as usize,
        };
        Ok(Self {
            terminal: TerminalScreen::enter()?,
            events: TerminalEvents::read()?,
            palette: Palette::of_terminal(config.color, |name| std::env::var(name).ok()),
            recorder,
            pace,
            player: Player::new(ME),
            view,
            shown: Shown::Acts,
            act: 1,
            is_interrupted: false,
            _gauges: gauges,
            _watchers: watchers,
        })
    }

    /// Plays until the visitor quits. Returns whether no act failed.
    async fn run(&mut self, stage: &mut Stage, act: Option<u8>) -> Result<bool, Failure> {
        let last = act.unwrap_or(ACTS as u8);
        self.act = act.unwrap_or(1);
        let mut has_failed = false;
        loop {
            self.shown = Shown::Acts;
            let played = self.play(stage, last).await?;
            let choice = match played {
                Ok(choice) => choice,
                Err(failed) => {
                    has_failed = true;
                    self.shown = Shown::Failed(failed.to_string());
                    None
                }
            };
            let choice = match choice {
                Some(choice) => choice,
                None => {
                    if let Shown::Acts = self.shown {
                        self.shown = Shown::Proof(Box::new(stage.proof()?));
                    }
                    self.wait_for_choice(stage).await?
                }
            };
            match choice {
                Choice::Act(act) => self.act = act,
                Choice::Quit => return Ok(!has_failed),
            }
        }
    }

    /// Plays from the current act to the last one. Returns what the visitor chose instead.
    async fn play(
        &mut self,
        stage: &mut Stage,
        last: u8,
    ) -> Result<Result<Option<Choice>, ActError>, Failure> {
        let from = self.act;
        loop {
            self.view.naive_lines = stage.naive.first().map_or(0, |side| side.lines_of_code());
            let recorder = self.recorder.clone();
            let author = stage.me.author.clone();
            let mut director = Director::new(stage, recorder, self.pace.clone(), true);
            let act = self.act;
            let is_interrupted = std::mem::replace(&mut self.is_interrupted, true);
            let mut playing = Box::pin(async {
                if is_interrupted {
                    director.recover().await?;
                }
                acts::play(&mut director, act).await
            });
            let played = loop {
                tokio::select! {
                    played = &mut playing => break played,
                    step = self.step() => match step? {
                        Some(ScreenStep::Choice(choice)) => {
                            return Ok(Ok(Some(choice)));
                        }
                        Some(ScreenStep::Typed(text)) => author.send(&text).await?,
                        None => {}
                    },
                }
            };
            drop(playing);
            if let Err(failed) = played {
                return Ok(Err(failed));
            }
            self.is_interrupted = false;
            // the picture may be behind
            while !self.is_played() {
                match self.step().await? {
                    Some(ScreenStep::Choice(choice)) => return Ok(Ok(Some(choice))),
                    Some(ScreenStep::Typed(text)) => author.send(&text).await?,
                    None => {}
                }
            }
            if self.act >= last.max(from) {
                return Ok(Ok(None));
            }
            self.act += 1;
        }
    }

    async fn wait_for_choice(&mut self, stage: &Stage) -> Result<Choice, Failure> {
        let author = stage.me.author.clone();
        self.draw()?;
        loop {
            match self.step().await? {
                Some(ScreenStep::Choice(choice)) => return Ok(choice),
                Some(ScreenStep::Typed(text)) => author.send(&text).await?,
                None => {}
            }
        }
    }

    fn is_played(&self) -> bool {
        let recording = self.recorder.recording();
        self.player.is_over(&recording.events, self.now())
    }

    /// The time of the picture: pauses do not count.
    fn now(&self) -> Duration {
        self.recorder.now()
    }

    /// Waits for the next key or event, and draws. Cancelling it loses nothing.
    async fn step(&mut self) -> Result<Option<ScreenStep>, Failure> {
        let wake = self.advance();
        self.draw()?;
        let mut news = self.recorder.news();
        news.borrow_and_update();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let is_paused = self.pace.is_paused();
        let until_next = wake.map(|wake| wake.saturating_sub(self.now()));
        // the clock in the title, and the ages of the gauges
        let tick = until_next
            .unwrap_or(Duration::MAX)
            .min(Duration::from_millis(500));
        tokio::select! {
            batch = self.events.next() => {
                let Some(batch) = batch else { return Ok(Some(ScreenStep::Choice(Choice::Quit))) };
                let mut step = None;
                for event in batch? {
                    step = self.on_event(&event).or(step);
                }
                Ok(step)
            }
            _ = terminate.recv() => Ok(Some(ScreenStep::Choice(Choice::Quit))),
            _ = hang_up.recv() => Ok(Some(ScreenStep::Choice(Choice::Quit))),
            _ = async { news.changed().await.is_ok() && { sleep(FRAME).await; true } }, if !is_paused => Ok(None),
            () = sleep(tick), if !is_paused => Ok(None),
        }
    }

    /// Shows what may be shown. Returns when there is more.
    fn advance(&mut self) -> Option<Duration> {
        let now = self.now();
        self.view.is_paused = self.pace.is_paused();
        self.view.elapsed = now.saturating_sub(self.pace.paused());
        if self.view.is_paused {
            return None;
        }
        let recording = self.recorder.recording();
        let wake = self.player.advance(&recording.events, now);
        self.view.behind = self.player.behind(&recording.events, now);
        wake.or_else(|| Some(self.player.until()).filter(|until| *until > now))
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let view = &self.view;
        let rows = match &self.shown {
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

    fn on_event(&mut self, event: &TerminalEvent) -> Option<ScreenStep> {
        match event {
            TerminalEvent::Resize(columns, rows) => {
                self.view.columns = usize::from(*columns);
                self.view.rows = usize::from(*rows);
                None
            }
            TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => self.on_key(*key),
            _ => None,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> Option<ScreenStep> {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if has_control && matches!(key.code, KeyCode::Char('c' | 'q')) {
            return Some(ScreenStep::Choice(Choice::Quit));
        }
        if self.view.typing.is_some() {
            return self.on_typing(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Some(ScreenStep::Choice(Choice::Quit)),
            KeyCode::Char(' ') if matches!(self.shown, Shown::Acts) => self.toggle_pause(),
            KeyCode::Enter if matches!(self.shown, Shown::Acts) => {
                self.player.skip();
                self.pace.skip();
            }
            KeyCode::Char('v') => self.view.layout = self.view.layout.next(),
            KeyCode::Tab => self.view.typing = Some(String::new()),
            KeyCode::Char('r') => return self.choose(1),
            KeyCode::Char(digit @ '1'..='9') => return self.choose(digit as i64 - '0' as i64),
            KeyCode::Right => return self.choose(i64::from(self.act) + 1),
            KeyCode::Left => return self.choose(i64::from(self.act) - 1),
            KeyCode::Up => self.scroll(1),
            KeyCode::PageUp => self.scroll(PAGE as isize),
            KeyCode::Down => self.scroll(-1),
            KeyCode::PageDown => self.scroll(-(PAGE as isize)),
            KeyCode::End => self.view.scrolled = 0,
            _ => {}
        }
        None
    }

    fn choose(&mut self, act: i64) -> Option<ScreenStep> {
        if !(1..=ACTS).contains(&act) {
            return None;
        }
        if self.pace.is_paused() {
            self.toggle_pause();
        }
        self.player.skip();
        Some(ScreenStep::Choice(Choice::Act(act as u8)))
    }

    fn scroll(&mut self, rows: isize) {
        let most = self.player.model.ladder.rows.len().saturating_sub(1);
        self.view.scrolled = self.view.scrolled.saturating_add_signed(rows).min(most);
    }

    fn toggle_pause(&mut self) {
        if let Some(lasted) = self.pace.toggle() {
            self.player.on_pause(lasted);
        }
    }

    fn on_typing(&mut self, key: KeyCode) -> Option<ScreenStep> {
        let text = self.view.typing.as_mut()?;
        match key {
            KeyCode::Char(letter) if text.chars().count() < LINE_MAX => text.push(letter),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Tab | KeyCode::Esc => self.view.typing = None,
            KeyCode::Enter => {
                let text = std::mem::take(text);
                return (!text.trim().is_empty()).then_some(ScreenStep::Typed(text));
            }
            _ => {}
        }
        None
    }
}

/// What a key asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum ScreenStep {
    Choice(Choice),
    /// A line for both chats.
    Typed(String),
}
