//! PURE. Keys while a popup is open.

use super::action::Action;
use super::app::{self, App, Popup};
use super::moving::{go_to, go_to_line, mark_read};
use super::msg;

pub(super) fn in_popup(app: &mut App, action: Action) -> Vec<msg::Effect> {
    match (&mut app.popup, action) {
        (_, Action::Quit | Action::DeleteOrQuit) => return vec![msg::Effect::Quit],
        (_, Action::Suspend) => return vec![msg::Effect::Suspend],
        (_, Action::Redraw) => return vec![msg::Effect::Redraw],
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
            let found = app::picked(&app.rooms, filter);
            let room = found
                .get((*selected).min(found.len().saturating_sub(1)))
                .map(|room| room.room);
            app.popup = None;
            return room.map_or_else(Vec::new, |room| go_to(app, room));
        }
        (Some(Popup::Find { words, .. }), Action::Insert(c)) => {
            words.push(c);
            return vec![msg::Effect::Find(words.clone())];
        }
        (Some(Popup::Find { words, .. }), Action::Backspace) => {
            words.pop();
            return vec![msg::Effect::Find(words.clone())];
        }
        (
            Some(Popup::Find {
                found, selected, ..
            }),
            Action::Down,
        ) => *selected = (*selected + 1).min(found.len().saturating_sub(1)),
        (Some(Popup::Find { selected, .. }), Action::Up) => *selected = selected.saturating_sub(1),
        (
            Some(Popup::Find {
                found, selected, ..
            }),
            Action::Submit,
        ) => {
            let hit = found.get(*selected).map(|hit| (hit.room, hit.line.seq));
            app.popup = None;
            return hit.map_or_else(Vec::new, |(room, seq)| go_to_line(app, room, seq));
        }
        (_, Action::Escape | Action::ClearLine) => app.popup = None,
        // a slip of the finger must not lose what was typed
        (Some(Popup::Rooms { .. } | Popup::Find { .. }), _) => {}
        _ => app.popup = None,
    }
    if app.popup.is_none() {
        mark_read(app)
    } else {
        Vec::new()
    }
}
