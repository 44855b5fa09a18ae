//! What keys do in the show.

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Choice, ScreenStep, ShowScreen, Shown};
use crate::cli::demo::fault::Fault;
use crate::cli::demo::show::part::PartKind;

/// Rows that a page key scrolls.
const PAGE: usize = 5;
/// Maximum length of a typed line, characters.
const LINE_MAX: usize = 200;

impl ShowScreen<'_> {
    pub(super) fn on_event(&mut self, event: TerminalEvent) {
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
        if std::mem::take(&mut self.view.is_help) {
            return;
        }
        match key.code {
            KeyCode::Char('?') => self.view.is_help = true,
            KeyCode::Char('q') => self.asked.push_back(ScreenStep::Choice(match self.shown {
                Shown::Acts => Choice::Proof,
                Shown::Proof(_) | Shown::Failed(_) => Choice::Quit,
            })),
            KeyCode::Char(' ') if matches!(self.shown, Shown::Acts) => self.toggle_pause(),
            KeyCode::Enter if matches!(self.shown, Shown::Acts) => {
                self.player.skip();
                self.pace.skip();
            }
            KeyCode::Char(key) if self.is_free() && Fault::of_key(key).is_some() => {
                self.broken.extend(Fault::of_key(key));
            }
            KeyCode::Char('v') => self.view.layout = self.view.layout.next(),
            KeyCode::Tab => self.view.typing = Some(std::mem::take(&mut self.draft)),
            KeyCode::Char('r') if !matches!(self.shown, Shown::Acts) => self.choose(1),
            KeyCode::Char('s') if self.can_save() => self.asked.push_back(ScreenStep::SaveReport),
            KeyCode::Char(digit @ '1'..='9') => self.choose(digit as i64 - '0' as i64),
            KeyCode::Right => self.choose(self.part as i64 + 1),
            KeyCode::Left => self.choose(self.part as i64 - 1),
            KeyCode::Up => self.scroll(1),
            KeyCode::PageUp => self.scroll(PAGE as isize),
            KeyCode::Down => self.scroll(-1),
            KeyCode::PageDown => self.scroll(-(PAGE as isize)),
            KeyCode::End => self.view.scrolled = 0,
            _ => {}
        }
    }

    /// Whether keys break things now.
    const fn is_free(&self) -> bool {
        matches!(
            (self.program.kind, &self.shown),
            (PartKind::Free, Shown::Acts)
        )
    }

    /// Whether the run is over, and there is something to replay.
    fn can_save(&self) -> bool {
        matches!(self.shown, Shown::Proof(_)) && self.program.kind != PartKind::Free
    }

    /// Another part; `r` alone plays a program of one part again.
    fn choose(&mut self, part: i64) {
        if self.program.len() == 1 && matches!(self.shown, Shown::Acts) {
            return;
        }
        let part = usize::try_from(part).unwrap_or(0);
        if (1..=self.program.len()).contains(&part) {
            let part = Choice::Part(part);
            self.asked.push_back(ScreenStep::Choice(part));
        }
    }

    fn scroll(&mut self, rows: isize) {
        let most = self
            .player
            .model
            .ladder
            .diagram
            .rows
            .len()
            .saturating_sub(1);
        self.view.scrolled = self.view.scrolled.saturating_add_signed(rows).min(most);
    }

    pub(super) fn toggle_pause(&mut self) {
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
            KeyCode::Tab | KeyCode::Esc => self.draft = self.view.typing.take().unwrap_or_default(),
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
