//! The status bar: the link's state with its cause and countdown, and what of one's own waits. The words come from the
//! state machine itself.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::Cause;
use crate::client::link::LinkState;
use crate::protocol::harmless_line;
use crate::tui::app::App;
use crate::tui::text;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (sign, state, style) = link(app);
    let counts = counts(app);
    let width = usize::from(area.width);
    let reserved = if text::width(&counts) + 24 <= width { text::width(&counts) + 3 } else { 0 };
    let left = text::fit(&state, width.saturating_sub(reserved + 3));
    let buffer = frame.buffer_mut();
    buffer.set_string(area.x, area.y, sign, style);
    buffer.set_stringn(area.x + 2, area.y, &left, width, style);
    if reserved > 0 {
        let x = area.right().saturating_sub(text::width(&counts) as u16 + 1);
        let style = if app.counts.failed > 0 { app.theme.error() } else { app.theme.dim() };
        buffer.set_string(x, area.y, counts, style);
    } else if app.counts.queued + app.counts.unacked + app.counts.failed > 0 {
        // Too narrow for words: the number of what waits.
        let waits = format!(" {}", app.counts.queued + app.counts.unacked + app.counts.failed);
        let x = area.right().saturating_sub(waits.len() as u16);
        buffer.set_string(x, area.y, waits, app.theme.warning());
    }
}

fn link(app: &App) -> (&'static str, String, Style) {
    let theme = app.theme;
    match &app.status.link {
        LinkState::Connecting { attempt: 1 } => (theme.sign("◌", "."), "connecting".to_owned(), theme.warning()),
        LinkState::Connecting { attempt } => {
            (theme.sign("◌", "."), format!("connecting, try {attempt}"), theme.warning())
        }
        LinkState::Resyncing { rooms_left, entries_left } => {
            let entries = if *entries_left > 0 { format!(", {entries_left} entries to come") } else { String::new() };
            let rooms = if *rooms_left == 1 { "1 room".to_owned() } else { format!("{rooms_left} rooms") };
            (theme.sign("◑", "~"), format!("resyncing {rooms}{entries}"), theme.warning())
        }
        LinkState::Connected { rtt } => {
            let rtt = rtt.map_or_else(String::new, |rtt| format!(" · {}", short(rtt)));
            (theme.sign("●", "*"), format!("connected{rtt}"), theme.good())
        }
        LinkState::Backoff { attempt, until, cause } => {
            let left = until.saturating_sub(app.now).as_millis().div_ceil(1_000);
            let cause = cause.to_string();
            let words = format!("backoff {left} s (try {attempt}, Ctrl-R now) · {}", harmless_line(&cause));
            (theme.sign("◐", "%"), words, theme.warning())
        }
        LinkState::Offline { why: why @ Cause::NotOwner { .. } } => {
            (theme.sign("○", "o"), format!("offline here · {why}"), theme.warning())
        }
        LinkState::Offline { why } => {
            let why = why.to_string();
            (theme.sign("○", "o"), format!("offline · {} · Ctrl-R dials", harmless_line(&why)), theme.error())
        }
    }
}

fn counts(app: &App) -> String {
    let counts = &app.counts;
    let mut parts = Vec::new();
    let waiting = counts.queued + counts.unacked;
    if counts.queued > 0 {
        parts.push(format!("{} queued", counts.queued));
    }
    if counts.unacked > 0 {
        parts.push(format!("{} unacked", counts.unacked));
    }
    if let (true, Some(oldest)) = (waiting > 0, counts.oldest) {
        let age = app.wall.saturating_sub(oldest) / 1_000;
        if age > 0 {
            parts.push(format!("oldest {}", long(age)));
        }
    }
    if counts.failed > 0 {
        parts.push(format!("{} refused", counts.failed));
    }
    let p50 = app.status.ack_p50.map_or_else(String::new, |p50| format!(", p50 {}", short(p50)));
    parts.push(format!("acked {}{p50}", counts.acked));
    parts.join(" · ")
}

fn short(time: Duration) -> String {
    match time.as_millis() {
        0 => "<1 ms".to_owned(),
        ms if ms < 10_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1_000),
    }
}

fn long(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
