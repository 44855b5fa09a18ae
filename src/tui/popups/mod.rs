//! PURE. The popups over the screen. Each is one file with its state, keys and content.

mod find;
mod help;
mod members;
mod room_picker;

use jiff::tz::TimeZone;
use ratatui::text::Line;

use self::find::FindPopup;
use self::help::HelpPopup;
use self::members::MembersPopup;
use self::room_picker::RoomPicker;
use super::action::Action;
use super::msg::Effects;
use super::theme::Theme;
use crate::client::store::RoomRow;
use crate::protocol::{Member, RoomId, Seq};

/// State of the open popup.
#[derive(Clone, Debug)]
pub(crate) enum Popup {
    Help(HelpPopup),
    Members(MembersPopup),
    Rooms(RoomPicker),
    Find(FindPopup),
}

/// The effect of a key on a popup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PopupStep {
    Stay,
    Close,
    /// Closes it and goes to a room.
    GoTo(RoomId),
    /// Closes it and shows one line of a room.
    GoToLine(RoomId, Seq),
}

/// Columns and rows inside of the border of a popup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PopupSpace {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The data for drawing a popup.
pub(super) struct PopupContext<'a> {
    pub(super) theme: Theme,
    pub(super) zone: &'a TimeZone,
    pub(super) rooms: &'a [RoomRow],
    /// The space inside of a fitted popup, at most.
    pub(super) space: PopupSpace,
    /// Columns inside of a large one.
    pub(super) columns_large: usize,
}

/// The content of a popup.
pub(super) struct PopupContent {
    pub(super) title: String,
    pub(super) lines: Vec<Line<'static>>,
    pub(super) selected: Option<usize>,
    /// Lines above the first one shown, where none is selected.
    pub(super) scroll: usize,
    pub(super) size: PopupSize,
}

/// How large a popup is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PopupSize {
    /// As large as its lines.
    Fitted,
    /// Most of the screen, so that it does not change with each key.
    Large,
}

impl Popup {
    pub(crate) fn help() -> Self {
        Self::Help(HelpPopup::default())
    }

    pub(crate) fn room_picker() -> Self {
        Self::Rooms(RoomPicker::default())
    }

    pub(crate) fn find() -> Self {
        Self::Find(FindPopup::default())
    }

    pub(crate) const fn members(room: String, members: Vec<Member>, more: bool) -> Self {
        Self::Members(MembersPopup {
            room,
            members,
            more,
        })
    }

    /// Handles a key, except those that work everywhere (quit, suspend, redraw, close).
    pub(super) fn on_action(
        &mut self,
        action: Action,
        rooms: &[RoomRow],
        space: PopupSpace,
        effects: &mut Effects,
    ) -> PopupStep {
        match self {
            Self::Help(help) => help.on_action(action, space),
            Self::Members(_) => PopupStep::Close,
            Self::Rooms(picker) => picker.on_action(action, rooms),
            Self::Find(find) => find.on_action(action, effects),
        }
    }

    /// Whether typed and pasted text goes into it.
    pub(super) const fn takes_text(&self) -> bool {
        match self {
            Self::Rooms(_) | Self::Find(_) => true,
            Self::Help(_) | Self::Members(_) => false,
        }
    }

    /// Adds the first line of a pasted text.
    pub(super) fn paste(&mut self, text: &str, effects: &mut Effects) {
        let line = text.lines().next().unwrap_or("");
        match self {
            Self::Rooms(picker) => picker.insert(line),
            Self::Find(find) => find.insert(line, effects),
            Self::Help(_) | Self::Members(_) => {}
        }
    }

    pub(super) fn content(&self, context: &PopupContext<'_>) -> PopupContent {
        match self {
            Self::Help(help) => help.content(context),
            Self::Members(members) => members.content(context),
            Self::Rooms(picker) => picker.content(context),
            Self::Find(find) => find.content(context),
        }
    }
}
