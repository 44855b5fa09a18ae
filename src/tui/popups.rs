//! PURE. Keys while a popup is open.

use super::action::Action;
use super::app::{App, Popup};
use super::update::{Do, go_to, mark_read};
use crate::client::store::RoomRow;

pub(super) fn in_popup(app: &mut App, action: Action) -> Vec<Do> {
    match (&mut app.popup, action) {
        (_, Action::Quit | Action::DeleteOrQuit) => return vec![Do::Quit],
        (_, Action::Suspend) => return vec![Do::Suspend],
        (_, Action::Redraw) => return vec![Do::Redraw],
        (Some(Popup::Help { scroll }), Action::Down | Action::PageDown | Action::ScrollDown) => {
            *scroll = scroll.saturating_add(1)
        }
        (Some(Popup::Help { scroll }), Action::Up | Action::PageUp | Action::ScrollUp) => {
            *scroll = scroll.saturating_sub(1)
        }
        (Some(Popup::Rooms { filter, selected }), Action::Insert(c)) => {
            filter.push(c);
            *selected = 0;
        }
        (Some(Popup::Rooms { filter, selected }), Action::Backspace) => {
            filter.pop();
            *selected = 0;
        }
        (Some(Popup::Rooms { selected, .. }), Action::Down) => *selected += 1,
        (Some(Popup::Rooms { selected, .. }), Action::Up) => *selected = selected.saturating_sub(1),
        (Some(Popup::Rooms { filter, selected }), Action::Submit) => {
            let found = picked(&app.rooms, filter);
            let room = found.get((*selected).min(found.len().saturating_sub(1))).map(|room| room.room);
            app.popup = None;
            return room.map_or_else(Vec::new, |room| go_to(app, room));
        }
        _ => app.popup = None,
    }
    if app.popup.is_none() { mark_read(app) } else { Vec::new() }
}

/// The rooms that the picker shows for a filter.
pub(super) fn picked<'a>(rooms: &'a [RoomRow], filter: &str) -> Vec<&'a RoomRow> {
    let filter = filter.to_lowercase();
    rooms.iter().filter(|room| room.name.to_lowercase().contains(&filter)).collect()
}
