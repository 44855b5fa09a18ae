//! PURE. The inspector's keys. Other keys keep their usual meaning.

use super::{Inspector, InspectorPage};
use crate::client::Write;
use crate::client::store::{OwnMark, Pending};
use crate::protocol::EntryId;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::keymap::{Context, key_of};
use crate::tui::msg::{self, Effects};

impl App {
    /// Opens or closes the inspector.
    pub(crate) fn toggle_inspector(&mut self, effects: &mut Effects) {
        self.inspector = match self.inspector.take() {
            Some(_) => None,
            None => Some(Inspector {
                focused: true,
                ..Inspector::default()
            }),
        };
        effects.push(msg::Effect::Inspect);
    }

    /// An action while the inspector is open. Returns whether it was the inspector's.
    pub(crate) fn act_in_inspector(&mut self, action: Action, effects: &mut Effects) -> bool {
        let is_text_empty = self.is_text_empty();
        let Some(inspector) = self.inspector.as_mut() else {
            return false;
        };
        if !inspector.focused {
            inspector.focused = action == Action::Complete && is_text_empty;
            return inspector.focused;
        }
        if inspector.is_filtering {
            in_filter(inspector, action);
            return true;
        }
        let confirming = inspector.confirming_discard.take();
        match action {
            Action::ShowPage(page) => inspector.show(page),
            Action::PreviousPage => inspector.turn(-1),
            Action::NextPage => inspector.turn(1),
            Action::SelectUp => inspector.select(-1),
            Action::SelectDown => inspector.select(1),
            Action::ShowWhole if inspector.page == InspectorPage::Ladder => inspector.show_frame(),
            Action::ShowWhole => inspector.is_whole = !inspector.is_whole,
            Action::PauseFrames => inspector.toggle_pause(),
            Action::FilterFrames => inspector.is_filtering = true,
            Action::RetrySelected => self.retry_selected(effects),
            Action::DiscardSelected => self.discard_selected(confirming, effects),
            Action::LeaveInspector => inspector.focused = false,
            Action::CloseInspector if inspector.is_whole => inspector.is_whole = false,
            Action::CloseInspector => self.toggle_inspector(effects),
            Action::Insert(_) => {
                let back = key_of(Action::LeaveInspector);
                let close = key_of(Action::CloseInspector);
                self.show_notice(format!(
                    "keys go to the inspector: {back} gets back to the text, {close} closes it"
                ));
            }
            _ => return false,
        }
        true
    }

    fn selected_pending(&self) -> Option<&Pending> {
        let inspector = self.inspector.as_ref()?;
        inspector.look.outbox.get(inspector.selected)
    }

    fn retry_selected(&mut self, effects: &mut Effects) {
        match self
            .selected_pending()
            .map(|pending| (pending.id, pending.mark))
        {
            Some((id, OwnMark::Rejected)) => {
                effects.push(msg::Effect::Write(Write::Retry { id: Some(id) }));
            }
            Some(_) => {
                self.show_notice("This is sent automatically; only rejected messages need r");
            }
            None => {}
        }
    }

    /// The first time it asks: a message is not lost by one key.
    fn discard_selected(&mut self, confirming: Option<EntryId>, effects: &mut Effects) {
        let Some(id) = self.selected_pending().map(|pending| pending.id) else {
            return;
        };
        if confirming == Some(id) {
            return effects.push(msg::Effect::Discard(id));
        }
        if let Some(inspector) = &mut self.inspector {
            inspector.confirming_discard = Some(id);
        }
        self.show_notice("Press d again to delete this unsent message");
    }
}

fn in_filter(inspector: &mut Inspector, action: Action) {
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
}

impl Inspector {
    /// Where its keys are looked up: while a filter is typed, they are text.
    pub(crate) const fn context(&self) -> Context {
        if self.focused && !self.is_filtering {
            Context::OnPage(self.page)
        } else {
            Context::Chat
        }
    }

    fn show(&mut self, page: InspectorPage) {
        self.page = page;
        self.selected = 0;
        self.is_whole = false;
        self.draw_ladder();
    }

    /// Shows the frame of the selected row of the ladder: the first one, if the row is of several.
    fn show_frame(&mut self) {
        let Some(n) = self.ladder_row().and_then(|row| row.frame) else {
            return; // a wait, or the end of a connection
        };
        self.filter.clear(); // it may hide this frame
        self.show(InspectorPage::Frames);
        let from_newest = self.frames().iter().rev().position(|frame| frame.n <= n);
        self.selected = from_newest.unwrap_or(0);
        self.is_whole = true;
    }

    fn turn(&mut self, by: isize) {
        let at = InspectorPage::ALL
            .iter()
            .position(|page| *page == self.page)
            .unwrap_or(0);
        let next = (at as isize + by).rem_euclid(InspectorPage::ALL.len() as isize) as usize;
        self.show(InspectorPage::ALL[next]);
    }

    /// Selects a line further down. Frames are counted from the newest one, which is the lowest.
    fn select(&mut self, down: isize) {
        let by = if matches!(self.page, InspectorPage::Frames | InspectorPage::Ladder) {
            -down
        } else {
            down
        };
        let last = self.count().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    fn toggle_pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => Some(self.look.frames.clone()),
        };
        self.draw_ladder();
    }
}
