//! The status bar: the link's state with its cause and countdown, and what of one's own waits. The
//! words come from the state machine itself.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::link::LinkState;
use crate::client::{Cause, counted};
use crate::protocol::{CloseCode, sanitize_line};
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::keymap::key_of;
use crate::tui::{items, text};

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let width = usize::from(area.width);
    let (sign, states, style) = link(app, width);
    let (state, waits) = fitting(&states, &counts(app), width.saturating_sub(3));
    let buffer = frame.buffer_mut();
    buffer.set_string(area.x, area.y, sign, style);
    buffer.set_stringn(area.x + 2, area.y, &state, width, style);
    if !waits.is_empty() {
        let x = area.right().saturating_sub(text::width(&waits) as u16 + 1);
        let style = if app.counts.failed > 0 {
            app.theme.error()
        } else {
            app.theme.dim()
        };
        buffer.set_string(x, area.y, waits, style);
    }
}

/// The longest texts that fit beside each other. The link state goes before statistics, and
/// what waits before both.
fn fitting(states: &[String], counts: &[String], columns: usize) -> (String, String) {
    let gap = |waits: &str| if waits.is_empty() { 0 } else { 3 };
    let fits =
        |state: &str, waits: &str| text::width(state) + gap(waits) + text::width(waits) <= columns;
    for state in states {
        if let Some(waits) = counts.iter().find(|waits| fits(state, waits)) {
            return (state.clone(), waits.clone());
        }
    }
    let (state, waits) = (
        states.last().cloned().unwrap_or_default(),
        counts.last().cloned().unwrap_or_default(),
    );
    (
        text::fit(
            &state,
            columns.saturating_sub(text::width(&waits) + gap(&waits)),
        ),
        waits,
    )
}

/// The state's sign, its words from long to short, and its looks. A long cause is cut, so that it
/// does not go first.
fn link(app: &App, columns: usize) -> (&'static str, Vec<String>, Style) {
    let theme = app.theme;
    match &app.status.link {
        LinkState::Connecting { attempt: 1 } => (
            theme.sign("◌", "."),
            vec!["connecting".to_owned()],
            theme.warning(),
        ),
        LinkState::Connecting { attempt } => {
            let tries = format!(", try {}", tries(app, *attempt));
            let cause = app
                .status
                .last_cause
                .as_ref()
                .map(|cause| format!(" · {}", brief_cause(cause, columns)));
            (
                theme.sign("◌", "."),
                shorter(&["connecting", &tries, &cause.unwrap_or_default()]),
                theme.warning(),
            )
        }
        LinkState::Resyncing {
            rooms_left,
            entries_left,
        } => {
            let entries = format!(", {} to come", counted(*entries_left, "entry", "entries"));
            let entries = if *entries_left > 0 { &entries } else { "" };
            let rooms = format!(" {}", counted(*rooms_left, "room", "rooms"));
            (
                theme.sign("◑", "~"),
                shorter(&["resyncing", &rooms, entries]),
                theme.warning(),
            )
        }
        LinkState::Connected { rtt } => {
            let rtt = rtt.map_or_else(String::new, |rtt| format!(" · {}", time(rtt)));
            (
                theme.sign("●", "*"),
                shorter(&["connected", &rtt]),
                theme.good(),
            )
        }
        LinkState::Backoff {
            attempt,
            until,
            cause,
        } => {
            let left = until.saturating_sub(app.now).as_millis().div_ceil(1_000);
            let cause = brief_cause(cause, columns);
            let time = app
                .status
                .limits
                .gives_up_at
                .map(|at| at.saturating_sub(app.now).as_secs());
            let time =
                time.map_or_else(String::new, |left| format!(", gives up in {}", long(left)));
            let tries = tries(app, *attempt);
            let key = key_of(Action::RetryNow);
            let words = vec![
                format!("backoff {left} s (try {tries}{time}, {key} now) · {cause}"),
                format!("backoff {left} s (try {tries}, {key} now) · {cause}"),
                format!("backoff {left} s · {cause}"),
                format!("backoff {left} s ({key} now)"),
                format!("backoff {left} s"),
            ];
            (theme.sign("◐", "%"), words, theme.warning())
        }
        LinkState::Offline {
            why: why @ Cause::NotOwner { .. },
        } => (
            theme.sign("○", "o"),
            shorter(&["offline here", &format!(" · {why}")]),
            theme.warning(),
        ),
        LinkState::Offline { why } => {
            let cause = format!(" · {}", brief_cause(why, columns));
            let advice = format!(" · {}", advice(why, app.me.account.is_some()));
            let looks = app
                .status
                .limits
                .looks_at
                .map(|at| app.wall + at.saturating_sub(app.now).as_millis() as u64);
            let looks = looks.map_or_else(String::new, |at| {
                format!(", looks again at {}", items::clock(at, &app.zone))
            });
            (
                theme.sign("○", "o"),
                shorter(&["offline", &cause, &advice, &looks]),
                theme.error(),
            )
        }
    }
}

/// A cause as long as the bar has room for one.
fn brief_cause(cause: &Cause, columns: usize) -> String {
    text::fit(
        &sanitize_line(&cause.to_string()),
        columns.saturating_sub(40).max(12),
    )
}

/// Which try this is, and of how many if they are counted.
fn tries(app: &App, attempt: u32) -> String {
    match app.status.limits.max_attempts {
        Some(max) => format!("{attempt} of {max}"),
        None => attempt.to_string(),
    }
}

/// What a user without a connection can do.
fn advice(why: &Cause, is_known: bool) -> String {
    match why {
        Cause::Bye {
            code: CloseCode::NameTaken,
            ..
        } if is_known => "quit, and join again with --name OTHER".to_owned(),
        Cause::Bye {
            code: CloseCode::NameTaken | CloseCode::BadName,
            ..
        } => "quit, and start with --as OTHER".to_owned(),
        Cause::Bye {
            code: CloseCode::BadInvite,
            ..
        } => "quit, and join with a new invite".to_owned(),
        _ if why.is_without_access() => "quit, and join with --profile OTHER".to_owned(),
        _ => format!("{} dials", key_of(Action::RetryNow)),
    }
}

/// All pieces in a row, then without the last one, and so on.
fn shorter(pieces: &[&str]) -> Vec<String> {
    (1..=pieces.len())
        .rev()
        .map(|keep| pieces[..keep].concat())
        .collect()
}

/// What of one's own waits, and what was acked, from long to short.
fn counts(app: &App) -> Vec<String> {
    let counts = &app.counts;
    let (waiting, mut waits) = (counts.queued + counts.unacked, Vec::new());
    if counts.queued > 0 {
        waits.push(format!("{} queued", counts.queued));
    }
    if counts.unacked > 0 {
        waits.push(format!("{} unacked", counts.unacked));
    }
    if counts.failed > 0 {
        waits.push(format!("{} refused", counts.failed));
    }
    let age = counts
        .oldest
        .filter(|_| waiting > 0)
        .map(|oldest| app.wall.saturating_sub(oldest) / 1_000);
    let age: Vec<_> = age
        .filter(|age| *age > 0)
        .map(|age| format!("oldest {}", long(age)))
        .into_iter()
        .collect();
    let p50 = app
        .status
        .ack_p50
        .map_or_else(String::new, |p50| format!(", p50 {}", time(p50)));
    let acked = [format!("acked {}{p50}", counts.acked)];
    let mut words = vec![
        [&waits[..], &age, &acked].concat().join(" · "),
        [&waits[..], &age].concat().join(" · "),
    ];
    words.push(waits.join(" · "));
    if waiting + counts.failed > 0 {
        words.push(format!("{} wait", waiting + counts.failed));
    }
    words
}

fn time(time: Duration) -> String {
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
