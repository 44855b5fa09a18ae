//! PURE. The inspector's keys. Those that it has no use for do what they always do.

use super::{Inspector, InspectorPage};
use crate::client::Write;
use crate::client::store::OwnMark;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::msg;

/// Opens the inspector, or closes it.
pub(crate) fn toggle(app: &mut App) -> Vec<msg::Effect> {
    app.inspector = match app.inspector.take() {
        Some(_) => None,
        None => Some(Inspector {
            focused: true,
            ..Inspector::default()
        }),
    };
    vec![msg::Effect::Look]
}

/// A key while the inspector is open; `None` for one that is not the inspector's.
pub(crate) fn in_inspector(app: &mut App, action: Action) -> Option<Vec<msg::Effect>> {
    let is_text_empty = app
        .composer()
        .is_none_or(crate::tui::composer::Composer::is_empty);
    let inspector = app.inspector.as_mut()?;
    if !inspector.focused {
        let is_back = action == Action::Complete && is_text_empty;
        inspector.focused = is_back;
        return is_back.then(Vec::new);
    }
    if inspector.is_filtering {
        return Some(in_filter(inspector, action));
    }
    match action {
        Action::Insert(c) => return Some(on_letter(app, c)),
        Action::Left => turn(inspector, -1),
        Action::Right => turn(inspector, 1),
        Action::Up => select(
            inspector,
            if inspector.page == InspectorPage::Frames {
                1
            } else {
                -1
            },
        ),
        Action::Down => select(
            inspector,
            if inspector.page == InspectorPage::Frames {
                -1
            } else {
                1
            },
        ),
        Action::Submit if inspector.page == InspectorPage::Frames => {
            inspector.is_whole = !inspector.is_whole
        }
        Action::Submit | Action::Complete => inspector.focused = false,
        Action::Escape if inspector.is_whole => inspector.is_whole = false,
        Action::Escape => return Some(toggle(app)),
        _ => return None,
    }
    Some(Vec::new())
}

fn in_filter(inspector: &mut Inspector, action: Action) -> Vec<msg::Effect> {
    match action {
        Action::Insert(c) => inspector.filter.push(c),
        Action::Backspace => {
            inspector.filter.pop();
        }
        Action::ClearLine | Action::Escape => {
            inspector.filter.clear();
            inspector.is_filtering = false;
        }
        _ => inspector.is_filtering = false,
    }
    inspector.selected = 0;
    Vec::new()
}

fn on_letter(app: &mut App, letter: char) -> Vec<msg::Effect> {
    let Some(inspector) = app.inspector.as_mut() else {
        return Vec::new();
    };
    let doubted = inspector.confirming_discard.take();
    match (letter, inspector.page) {
        ('1'..='9', _) => {
            if let Some(page) = InspectorPage::ALL.get(letter as usize - '1' as usize) {
                go_to(inspector, *page);
            }
        }
        (' ', InspectorPage::Frames) => {
            inspector.paused = match inspector.paused.take() {
                Some(_) => None,
                None => Some(inspector.look.frames.clone()),
            };
        }
        ('/', InspectorPage::Frames) => inspector.is_filtering = true,
        ('r', InspectorPage::Outbox) => return retry(app),
        ('d', InspectorPage::Outbox) => return discard(app, doubted),
        _ if app
            .board
            .as_ref()
            .is_some_and(|board| board.keys.iter().any(|(key, _)| *key == letter)) =>
        {
            return vec![msg::Effect::Press(letter)];
        }
        _ => app.say("keys go to the inspector: Tab gets back to the text, Esc closes it"),
    }
    Vec::new()
}

fn go_to(inspector: &mut Inspector, page: InspectorPage) {
    (inspector.page, inspector.selected, inspector.is_whole) = (page, 0, false);
}

fn turn(inspector: &mut Inspector, by: isize) {
    let at = InspectorPage::ALL
        .iter()
        .position(|page| *page == inspector.page)
        .unwrap_or(0);
    let next = (at as isize + by).rem_euclid(InspectorPage::ALL.len() as isize) as usize;
    go_to(inspector, InspectorPage::ALL[next]);
}

fn select(inspector: &mut Inspector, by: isize) {
    inspector.confirming_discard = None;
    let last = inspector.count().saturating_sub(1);
    inspector.selected = inspector.selected.saturating_add_signed(by).min(last);
}

fn retry(app: &mut App) -> Vec<msg::Effect> {
    let selected = app
        .inspector
        .as_ref()
        .and_then(|inspector| inspector.look.outbox.get(inspector.selected));
    match selected.map(|pending| (pending.id, pending.mark)) {
        Some((id, OwnMark::Refused)) => vec![msg::Effect::Write(Write::Retry { id: Some(id) })],
        Some(_) => {
            app.say("that goes by itself: only what was refused is tried again by hand");
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// The first time it asks; what was typed is not lost by one key.
fn discard(app: &mut App, doubted: Option<crate::protocol::EntryId>) -> Vec<msg::Effect> {
    let Some(inspector) = app.inspector.as_mut() else {
        return Vec::new();
    };
    let Some(id) = inspector
        .look
        .outbox
        .get(inspector.selected)
        .map(|pending| pending.id)
    else {
        return Vec::new();
    };
    if doubted == Some(id) {
        return vec![msg::Effect::Discard(id)];
    }
    inspector.confirming_discard = Some(id);
    app.say("d once more takes it back");
    Vec::new()
}
