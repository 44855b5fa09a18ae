//! PURE. The members of a room, with their presence. Any key closes it.

use ratatui::text::Line;

use super::{PopupContent, PopupContext, PopupSize};
use crate::protocol::{Member, sanitize_line};

#[derive(Clone, Debug)]
pub(crate) struct MembersPopup {
    pub(super) room: String,
    pub(super) members: Vec<Member>,
    /// There are further members.
    pub(super) more: bool,
}

impl MembersPopup {
    pub(super) fn content(&self, context: &PopupContext<'_>) -> PopupContent {
        let line = |member: &Member| {
            let sign = if member.online {
                context.theme.sign("●", "*")
            } else {
                context.theme.sign("○", "o")
            };
            Line::from(format!("{sign} {}", sanitize_line(&member.name)))
        };
        let mut lines: Vec<_> = self.members.iter().map(line).collect();
        if self.more {
            lines.push(Line::from("… and more"));
        }
        PopupContent {
            title: format!(" members of #{} · Esc: close ", sanitize_line(&self.room)),
            lines,
            selected: None,
            scroll: 0,
            size: PopupSize::Fitted,
        }
    }
}
