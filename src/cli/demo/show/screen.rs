//! The show in a terminal: draws the state, reads keys, and starts the acts that they choose.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::acts::{self, ACTS};
use super::clock::Pace;
use super::director::Director;
use super::gauges::GaugeTasks;
use super::palette::Palette;
use super::player::Player;
use super::recorder::{Recorder, Watchers};
use super::report::print;
use super::view::{self, Layout, Signs, ViewState};
use super::{BROKEN, ME, proof_of, set_stage};
use crate::cli::demo::author::MessageAuthor;
use crate::cli::demo::proof::Proof;
use crate::cli::demo::stage::Stage;
use crate::cli::exit::{self, Failure};
use crate::config::Config;
use crate::tui::{TerminalEvents, TerminalScreen, restore_terminal_on_panic};

/// Least time between two pictures.
const FRAME: Duration = Duration::from_millis(40);
/// Rows that a page key scrolls.
const PAGE: usize = 5;
/// Maximum length of a typed line, characters.
const LINE_MAX: usize = 200;

/// Plays all acts, or the chosen one, in the terminal. Each choice of the visitor begins with new
/// servers and new people, so that no fault and no line of an earlier act is left.
pub(super) fn run(config: &Config, act: Option<u8>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let last = act.unwrap_or(ACTS as u8);
    let mut first = act.unwrap_or(1);
    let mut show = {
        let _context = runtime.enter();
        ShowScreen::enter(config)?
    };
    let mut is_whole = true;
    loop {
        let mut stage = set_stage(&show.recorder)?;
        let choice = runtime.block_on(show.run(&mut stage, first..=last.max(first)))?;
        is_whole &= !matches!(show.shown, Shown::Failed(_));
        match choice {
            Choice::Act(act) => {
                is_whole &= runtime.block_on(proof_of(&mut stage))?.holds();
                first = act;
                show.begin_again();
            }
            Choice::Quit => {
                drop(show);
                let proof = runtime.block_on(proof_of(&mut stage))?;
                print(&proof.to_string());
                let is_whole = is_whole && proof.holds();
                return Ok(if is_whole { exit::OK } else { BROKEN });
            }
        }
    }
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
    terminate: Signal,
    hang_up: Signal,
    palette: Palette,
    recorder: Arc<Recorder>,
    pace: Pace,
    player: Player,
    view: ViewState,
    shown: Shown,
    act: u8,
    /// What keys have asked for, in their order.
    asked: VecDeque<ScreenStep>,
}

impl ShowScreen {
    /// Takes the terminal, inside a runtime.
    fn enter(config: &Config) -> Result<Self, Failure> {
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
            typing: None,
            scrolled: 0,
            acts: ACTS as usize,
        };
        let mut show = Self {
            terminal: TerminalScreen::enter()?,
            events: TerminalEvents::read()?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            palette: Palette::of_terminal(config.color, |name| std::env::var(name).ok()),
            recorder: Recorder::new(ME),
            pace: Pace::reader(),
            player: Player::new(ME),
            view,
            shown: Shown::Acts,
            act: 1,
            asked: VecDeque::new(),
        };
        show.draw()?;
        Ok(show)
    }

    /// Forgets what was played.
    fn begin_again(&mut self) {
        self.recorder = Recorder::new(ME);
        self.pace = Pace::reader();
        self.player = Player::new(ME);
        self.shown = Shown::Acts;
        self.view.scrolled = 0;
    }

    /// Plays acts, and shows the proof. Returns what the visitor chose.
    async fn run(
        &mut self,
        stage: &mut Stage,
        acts: RangeInclusive<u8>,
    ) -> Result<Choice, Failure> {
        let _watchers = Watchers::start(&self.recorder, &stage.me, &stage.others[0])?;
        let _gauges = GaugeTasks::start(&self.recorder, &self.pace, &stage.others[1], &stage.me);
        for act in acts {
            self.act = act;
            match self.play(stage).await? {
                Played::Whole => {}
                Played::Left(choice) => return Ok(choice),
                Played::Failed(why) => {
                    self.shown = Shown::Failed(why);
                    break;
                }
            }
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

    /// Plays the current act, and shows it to its end.
    async fn play(&mut self, stage: &mut Stage) -> Result<Played, Failure> {
        let author = stage.me.author.clone();
        let (recorder, pace) = (self.recorder.clone(), self.pace.clone());
        let mut director = Director::new(stage, recorder, pace, true);
        let mut playing = std::pin::pin!(acts::play(&mut director, self.act));
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

    fn is_played(&self) -> bool {
        let recording = self.recorder.recording();
        self.player.is_over(&recording.events, self.recorder.now())
    }

    /// Draws, waits for the next key or event, and carries out what keys ask for. Returns what the
    /// visitor chose. Cancelling it loses nothing.
    async fn step(&mut self, author: &MessageAuthor) -> Result<Option<Choice>, Failure> {
        let wake = self.advance();
        self.draw()?;
        if self.asked.is_empty() {
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
            None => {}
        }
        Ok(None)
    }

    /// Waits for keys, an event or the time of the next picture.
    async fn wait(&mut self, wake: Option<Duration>) -> Result<(), Failure> {
        let mut news = self.recorder.news();
        news.borrow_and_update();
        let is_paused = self.pace.is_paused();
        let until_next = wake.map(|wake| wake.saturating_sub(self.recorder.now()));
        // the clock in the title, and the ages of the gauges
        let tick = until_next
            .unwrap_or(Duration::MAX)
            .min(Duration::from_millis(500));
        let next_picture = async {
            if news.changed().await.is_ok() {
                sleep(FRAME).await;
            }
        };
        tokio::select! {
            batch = self.events.next() => match batch {
                Some(batch) => batch?.into_iter().for_each(|event| self.on_event(event)),
                None => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            },
            _ = self.terminate.recv() => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            _ = self.hang_up.recv() => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            () = next_picture, if !is_paused => {}
            () = sleep(tick), if !is_paused => {}
        }
        Ok(())
    }

    /// Shows what may be shown. Returns when there is more.
    fn advance(&mut self) -> Option<Duration> {
        let now = self.recorder.now();
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

    fn on_event(&mut self, event: TerminalEvent) {
        match event {
            TerminalEvent::Resize(columns, rows) => {
                self.view.columns = usize::from(columns);
                self.view.rows = usize::from(rows);
            }
            TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => self.on_key(key),
            TerminalEvent::Paste(text) if self.view.typing.is_some() => self.on_paste(&text),
            _ => {}
        }
    }

    fn on_key(&mut self, key: KeyEvent) {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if has_control && matches!(key.code, KeyCode::Char('c' | 'q')) {
            return self.asked.push_back(ScreenStep::Choice(Choice::Quit));
        }
        if self.view.typing.is_some() {
            return self.on_typing(key.code);
        }
        match key.code {
            KeyCode::Char('q') => self.asked.push_back(ScreenStep::Choice(Choice::Quit)),
            KeyCode::Char(' ') if matches!(self.shown, Shown::Acts) => self.toggle_pause(),
            KeyCode::Enter if matches!(self.shown, Shown::Acts) => {
                self.player.skip();
                self.pace.skip();
            }
            KeyCode::Char('v') => self.view.layout = self.view.layout.next(),
            KeyCode::Tab => self.view.typing = Some(String::new()),
            KeyCode::Char('r') => self.choose(1),
            KeyCode::Char(digit @ '1'..='9') => self.choose(digit as i64 - '0' as i64),
            KeyCode::Right => self.choose(i64::from(self.act) + 1),
            KeyCode::Left => self.choose(i64::from(self.act) - 1),
            KeyCode::Up => self.scroll(1),
            KeyCode::PageUp => self.scroll(PAGE as isize),
            KeyCode::Down => self.scroll(-1),
            KeyCode::PageDown => self.scroll(-(PAGE as isize)),
            KeyCode::End => self.view.scrolled = 0,
            _ => {}
        }
    }

    fn choose(&mut self, act: i64) {
        if (1..=ACTS).contains(&act) {
            let act = Choice::Act(act as u8);
            self.asked.push_back(ScreenStep::Choice(act));
        }
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

    fn on_typing(&mut self, key: KeyCode) {
        let Some(text) = &mut self.view.typing else {
            return;
        };
        match key {
            KeyCode::Char(letter) if text.chars().count() < LINE_MAX => text.push(letter),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Tab | KeyCode::Esc => self.view.typing = None,
            KeyCode::Enter if !text.trim().is_empty() => {
                let text = std::mem::take(text);
                self.asked.push_back(ScreenStep::Typed(text));
            }
            _ => {}
        }
    }

    /// Types pasted text; its line ends send nothing.
    fn on_paste(&mut self, pasted: &str) {
        let letters = pasted
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter });
        letters.for_each(|letter| self.on_typing(KeyCode::Char(letter)));
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
}
