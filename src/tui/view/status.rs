//! The status bar: the link state with its cause and countdown, and the delivery of own messages.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::link::LinkState;
use crate::client::store::OwnMark;
use crate::client::{Cause, counted};
use crate::protocol::{CloseCode, sanitize_line};
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::keymap::key_of;
use crate::tui::{items, text};

/// A cause in fewer columns than this is left out.
const CAUSE_COLUMNS_MIN: usize = 12;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let width = usize::from(area.width);
    let counts = counts(app);
    let shortest = counts.last().map_or(0, |counts| text::width(counts));
    let StateTexts { sign, texts, style } = link(app, width.saturating_sub(shortest + 6));
    let (state, waits) = fitting(&texts, &counts, width.saturating_sub(3));
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

/// The longest texts that fit beside each other. Shorter counts are preferred to a shorter state.
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

/// How a link state is shown.
struct StateTexts {
    sign: &'static str,
    /// From long to short.
    texts: Vec<String>,
    style: Style,
}

/// Returns how the link state is shown. `columns` is the width beside the shortest counts.
fn link(app: &App, columns: usize) -> StateTexts {
    let theme = app.theme;
    let shown = |sign, texts, style| StateTexts { sign, texts, style };
    match &app.status.link {
        LinkState::Connecting { attempt: 1 } => shown(
            theme.sign("◌", "."),
            vec!["connecting".to_owned()],
            theme.warning(),
        ),
        LinkState::Connecting { attempt } => {
            let tries = format!(" (attempt {})", attempts(app, *attempt));
            let cause = app
                .status
                .last_cause
                .as_ref()
                .map(|cause| format!(" · last: {}", sanitize_line(&cause.to_string())));
            shown(
                theme.sign("◌", "."),
                shorter(&["connecting", &tries, &cause.unwrap_or_default()]),
                theme.warning(),
            )
        }
        LinkState::Resyncing {
            rooms_left,
            entries_left,
        } => {
            let rooms = counted(*rooms_left, "room", "rooms");
            let progress = match entries_left {
                0 => format!(" · {rooms}"),
                left => format!(" · {} in {rooms}", counted(*left, "message", "messages")),
            };
            shown(
                theme.sign("◑", "~"),
                shorter(&["catching up", &progress]),
                theme.warning(),
            )
        }
        LinkState::Connected { rtt } => {
            let rtt = rtt.map_or_else(String::new, |rtt| format!(" · {}", time(rtt)));
            shown(
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
            let gives_up = app
                .status
                .limits
                .gives_up_at
                .map_or_else(String::new, |at| {
                    let left = at.saturating_sub(app.now).as_secs();
                    format!(", gives up in {}", long(left))
                });
            let attempts = attempts(app, *attempt);
            let key = key_of(Action::RetryNow);
            let heads = [
                format!("reconnecting in {left} s (attempt {attempts}{gives_up}, {key}: now)"),
                format!("reconnecting in {left} s (attempt {attempts}, {key}: now)"),
                format!("reconnecting in {left} s ({key}: now)"),
                format!("reconnecting in {left} s"),
            ];
            let sign = theme.sign("◐", "%");
            shown(sign, with_cause(&heads, cause, columns), theme.warning())
        }
        LinkState::Offline {
            why: why @ Cause::NotOwner { .. },
        } => shown(
            theme.sign("○", "o"),
            vec![
                format!("offline · {why}"),
                "offline · another chat is running".to_owned(),
                "offline".to_owned(),
            ],
            theme.warning(),
        ),
        LinkState::Offline { why: Cause::Person } => {
            let heads = [
                "offline by your request (/online: reconnect) · messages are saved on this computer",
                "offline by your request (/online: reconnect)",
                "offline by your request",
            ];
            let heads = heads.map(str::to_owned).into();
            shown(theme.sign("○", "o"), heads, theme.error())
        }
        LinkState::Offline { why } => {
            let advice = advice(why, app.me.account.is_some());
            let next_check = app.status.limits.next_check.map_or_else(String::new, |at| {
                let at = app.wall + at.saturating_sub(app.now).as_millis() as u64;
                format!(" · next check {}", items::time(at, &app.zone))
            });
            let heads = [
                format!("offline ({advice}){next_check}"),
                format!("offline ({advice})"),
                "offline".to_owned(),
            ];
            let sign = theme.sign("○", "o");
            shown(sign, with_cause(&heads, why, columns), theme.error())
        }
    }
}

/// The texts of a state with a cause, from long to short: with the cause, with as much of it as fits,
/// and without it. The shortest head never has a cause.
fn with_cause(heads: &[String], cause: &Cause, columns: usize) -> Vec<String> {
    let cause = sanitize_line(&cause.to_string()).into_owned();
    let cut = |head: &String| {
        let left = columns.saturating_sub(text::width(head) + 3);
        (left >= CAUSE_COLUMNS_MIN).then(|| format!("{head} · {}", text::fit(&cause, left)))
    };
    let longer = &heads[..heads.len() - 1]; // a state has a head
    let brief = cause.split(" (").next().unwrap_or_default();
    let whole = longer.iter().flat_map(|head| {
        let causes = [cause.as_str(), brief];
        causes.map(|cause| format!("{head} · {cause}"))
    });
    let cut = longer.iter().filter_map(cut);
    whole.chain(cut).chain(heads.iter().cloned()).collect()
}

/// Number of this attempt, and the maximum if there is one.
fn attempts(app: &App, attempt: u32) -> String {
    match app.status.limits.max_attempts {
        Some(max) => format!("{attempt} of {max}"),
        None => attempt.to_string(),
    }
}

/// Returns what a user without a connection can do.
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
        _ => format!("{}: reconnect now", key_of(Action::RetryNow)),
    }
}

/// Concatenates all pieces, then all but the last one, and so on.
fn shorter(pieces: &[&str]) -> Vec<String> {
    (1..=pieces.len())
        .rev()
        .map(|keep| pieces[..keep].concat())
        .collect()
}

/// The own messages of one stage.
struct StageCount {
    mark: &'static str,
    count: u64,
    name: &'static str,
    age: String,
}

/// Number of own messages in each stage, from long to short. Acknowledged messages are always
/// shown, since the bar is the legend of the marks.
fn counts(app: &App) -> Vec<String> {
    let stages = stages(app);
    let texts = |format: fn(&StageCount) -> String| stages.iter().map(format).collect::<Vec<_>>();
    vec![
        texts(|of| format!("{} {} {}{}", of.mark, of.count, of.name, of.age)).join("  "),
        texts(|of| format!("{} {} {}", of.mark, of.count, of.name)).join("  "),
        texts(|of| format!("{} {}", of.mark, of.count)).join(" "),
    ]
}

fn stages(app: &App) -> Vec<StageCount> {
    let counts = &app.counts;
    let seconds = |ms: u64| Some(ms / 1_000).filter(|age| *age > 0);
    let oldest = (counts.oldest).and_then(|oldest| seconds(app.wall.saturating_sub(oldest)));
    let unanswered = (app.status.unanswered_since)
        .and_then(|since| seconds(app.now.saturating_sub(since).as_millis() as u64));
    let stage = |mark, count, name| StageCount {
        mark: app.theme.mark(mark).0,
        count,
        name,
        age: match (mark, unanswered, oldest) {
            (OwnMark::Sent, Some(age), _) => format!(", no acknowledgement for {}", long(age)),
            (OwnMark::Queued, _, Some(age)) if counts.unacked == 0 => {
                format!(", oldest {}", long(age))
            }
            _ => String::new(),
        },
    };
    let mut stages = vec![
        stage(OwnMark::Rejected, counts.failed, "rejected"),
        stage(OwnMark::Queued, counts.queued, "saved"),
        stage(OwnMark::Sent, counts.unacked, "sent"),
    ];
    stages.retain(|stage| stage.count > 0);
    stages.push(stage(OwnMark::Acked, counts.acked, "on the server"));
    stages
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
