//! PURE. Finds messages by their words, in all rooms.

use ratatui::text::Line;

use super::{PopupContent, PopupContext, PopupSize, PopupStep};
use crate::client::store::Hit;
use crate::protocol::sanitize_line;
use crate::tui::action::Action;
use crate::tui::msg::{self, Effects};
use crate::tui::{items, text};

#[derive(Clone, Default, Debug)]
pub(crate) struct FindPopup {
    words: String,
    found: Vec<Hit>,
    selected: usize,
}

impl FindPopup {
    pub(super) fn on_action(&mut self, action: Action, effects: &mut Effects) -> PopupStep {
        match action {
            Action::Insert(c) => self.insert(c.encode_utf8(&mut [0; 4]), effects),
            Action::Backspace => {
                self.words.pop();
                self.search(effects);
            }
            Action::Down => {
                let last = self.found.len().saturating_sub(1);
                self.selected = (self.selected + 1).min(last);
            }
            Action::Up => self.selected = self.selected.saturating_sub(1),
            Action::Submit => {
                let hit = self.found.get(self.selected);
                return hit.map_or(PopupStep::Close, |hit| {
                    PopupStep::GoToLine(hit.room, hit.line.seq)
                });
            }
            // Other keys keep the typed text.
            _ => {}
        }
        PopupStep::Stay
    }

    pub(super) fn insert(&mut self, text: &str, effects: &mut Effects) {
        self.words.push_str(text);
        self.search(effects);
    }

    fn search(&self, effects: &mut Effects) {
        effects.push(msg::Effect::Find(self.words.clone()));
    }

    pub(in crate::tui) fn on_found(&mut self, hits: Vec<Hit>) {
        self.found = hits;
        self.selected = 0;
    }

    pub(super) fn content(&self, context: &PopupContext<'_>) -> PopupContent {
        let mut lines: Vec<_> = self
            .found
            .iter()
            .map(|hit| hit_line(context, hit))
            .collect();
        if lines.is_empty() {
            let nothing = if self.words.trim().is_empty() {
                "searches the messages stored here"
            } else {
                "no stored message contains that"
            };
            lines.push(Line::styled(nothing, context.theme.dim()));
        }
        PopupContent {
            title: format!(
                " search: {}_ · Enter: open · Esc: close ",
                sanitize_line(&self.words)
            ),
            lines,
            selected: Some(self.selected).filter(|_| !self.found.is_empty()),
            scroll: 0,
            size: PopupSize::Large,
        }
    }
}

fn hit_line(context: &PopupContext<'_>, hit: &Hit) -> Line<'static> {
    let date = items::date(hit.line.at, context.zone);
    let time = items::time(hit.line.at, context.zone);
    let room = sanitize_line(&hit.room_name);
    let name = sanitize_line(&hit.line.name);
    let body = sanitize_line(&hit.line.body);
    let line = format!("{date} {time} #{room} {name}: {body}");
    Line::from(text::fit(&line, context.columns_large))
}
