//! PURE. Goes to a room by a part of its name.

use ratatui::text::Line;

use super::{PopupContent, PopupContext, PopupSize, PopupStep};
use crate::client::store::RoomRow;
use crate::protocol::sanitize_line;
use crate::tui::action::Action;

#[derive(Clone, Default, Debug)]
pub(crate) struct RoomPicker {
    filter: String,
    selected: usize,
}

impl RoomPicker {
    pub(super) fn on_action(&mut self, action: Action, rooms: &[RoomRow]) -> PopupStep {
        match action {
            Action::Insert(c) => {
                self.filter.push(c);
                self.selected = 0;
            }
            Action::Backspace => {
                self.filter.pop();
                self.selected = 0;
            }
            Action::Down => self.selected += 1,
            Action::Up => self.selected = self.selected(rooms).saturating_sub(1),
            Action::Submit => {
                let room = self.picked(rooms).nth(self.selected(rooms));
                return room.map_or(PopupStep::Close, |room| PopupStep::GoTo(room.room));
            }
            // Other keys keep the typed text.
            _ => {}
        }
        PopupStep::Stay
    }

    pub(super) fn insert(&mut self, text: &str) {
        self.filter.push_str(text);
        self.selected = 0;
    }

    /// The rooms whose names contain the filter.
    fn picked<'a>(&self, rooms: &'a [RoomRow]) -> impl Iterator<Item = &'a RoomRow> + use<'a> {
        let filter = self.filter.to_lowercase();
        rooms
            .iter()
            .filter(move |room| room.name.to_lowercase().contains(&filter))
    }

    /// Returns the index of the selected room in [`Self::picked`]; the last one if the filter leaves
    /// fewer rooms.
    fn selected(&self, rooms: &[RoomRow]) -> usize {
        let last = self.picked(rooms).count().saturating_sub(1);
        self.selected.min(last)
    }

    pub(super) fn content(&self, context: &PopupContext<'_>) -> PopupContent {
        let lines = self.picked(context.rooms).map(|room| {
            let unread = if room.unread > 0 {
                format!("  {}", room.unread)
            } else {
                String::new()
            };
            Line::from(format!("{}{unread}", sanitize_line(&room.name)))
        });
        PopupContent {
            title: format!(
                " go to room: {}_ · Enter: open · Esc: close ",
                sanitize_line(&self.filter)
            ),
            lines: lines.collect(),
            selected: Some(self.selected(context.rooms)),
            scroll: 0,
            size: PopupSize::Fitted,
        }
    }
}
