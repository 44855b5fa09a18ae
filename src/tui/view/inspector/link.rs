//! The first page: states, timers, counters, the last hour, and the journal.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{bytes, dotted, row};
use crate::client::link::{LinkPhase, Now, Timers};
use crate::client::session::Details;
use crate::client::store::JournalRow;
use crate::client::{Cause, brief, offset_words};
use crate::protocol::sanitize_line;
use crate::tui::app::App;
use crate::tui::inspector::{HOUR_MS, Inspector, PastState, columns as time_columns, stretches};
use crate::tui::theme::{BARS, Theme};
use crate::tui::{items, text};

/// From this height on, sections are separated by blank rows.
const ROWS_ROOMY: usize = 22;

pub(super) fn lines(
    app: &App,
    inspector: &Inspector,
    columns: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let is_roomy = rows >= ROWS_ROOMY;
    let gap = || is_roomy.then(Line::default);
    let mut lines = states(app.theme, app.status.link.phase());
    lines.extend(gap());
    if let Some(details) = &inspector.look.details {
        lines.extend(of_link(app, details, columns));
        lines.extend(figures(app, inspector, details, columns));
    }
    lines.extend(gap());
    let mut hour = hour(app, inspector, columns);
    hour.truncate(if is_roomy { hour.len() } else { 1 });
    lines.extend(hour);
    lines.extend(gap());
    let left = rows.saturating_sub(lines.len());
    lines.extend(
        inspector
            .look
            .journal
            .iter()
            .rev()
            .take(left)
            .map(|row| journal_line(app, row, columns)),
    );
    lines
}

/// The states with the way between them; the current one is highlighted.
fn states(theme: Theme, current: LinkPhase) -> Vec<Line<'static>> {
    let state = |phase: LinkPhase| {
        let style = if phase == current {
            of_phase(theme, phase).patch(theme.selected())
        } else {
            theme.dim()
        };
        Span::styled(phase.as_str(), style)
    };
    let way =
        |way: &'static str, plain: &'static str| Span::styled(theme.sign(way, plain), theme.dim());
    vec![
        Line::from(vec![
            state(LinkPhase::Connecting),
            way(" ──▸ ", " --> "),
            state(LinkPhase::Resyncing),
            way(" ──▸ ", " --> "),
            state(LinkPhase::Connected),
        ]),
        Line::from(vec![
            way("    ▴──────── ", "    ^-------- "),
            state(LinkPhase::Backoff),
            way(" ◂───────────┘  ", " <-----------'  "),
            state(LinkPhase::Offline),
        ]),
    ]
}

fn of_phase(theme: Theme, phase: LinkPhase) -> Style {
    match phase {
        LinkPhase::Connected => theme.good(),
        LinkPhase::Resyncing | LinkPhase::Connecting | LinkPhase::Backoff => theme.warning(),
        LinkPhase::Offline => theme.error(),
    }
}

fn ms(time: Duration) -> String {
    brief(time.as_millis() as u64)
}

fn of_link(app: &App, details: &Details, columns: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let timers = &details.timers;
    let since = |then: Now| app.now.saturating_sub(then);
    let until = |then: Now| ms(then.saturating_sub(app.now));
    let clock = |then: Now| {
        items::clock(
            app.wall.saturating_sub(since(then).as_millis() as u64),
            &app.zone,
        )
    };
    let up = timers
        .up_since
        .map_or_else(String::new, |up| format!("up since {}", clock(up)));
    let welcome = details.received.map(|received| {
        let session = if received.welcome.resumed {
            "resumed"
        } else {
            "new"
        };
        let clocks = offset_words(received.ahead_ms(app.now, app.wall));
        dotted([
            session.to_owned(),
            clocks,
            received.welcome.session.to_string(),
        ])
    });
    let mut lines = vec![plain(
        theme,
        "link",
        dotted([format!("dial {}", details.dial.0), up]),
        columns,
    )];
    lines.extend(welcome.map(|welcome| plain(theme, "session", welcome, columns)));
    if let Some(by) = timers.handshake_by {
        lines.push(plain(
            theme,
            "welcome",
            format!("must come within {}", until(by)),
            columns,
        ));
    }
    if timers.up_since.is_some() {
        lines.push(heartbeat(app, timers, columns));
        lines.push(suspicion(app, details, columns));
    }
    lines.push(round_trips(theme, details, columns));
    let waits = details
        .waits
        .iter()
        .rev()
        .take(6)
        .map(|wait| format!("{}/{}", seconds(wait.drawn), seconds(wait.longest)));
    let waits = waits.collect::<Vec<_>>().join(" ");
    let drew = if waits.is_empty() {
        "no wait yet".to_owned()
    } else {
        format!("drew {waits} s")
    };
    let next = timers
        .dial_at
        .map_or_else(String::new, |at| format!("dials in {}", until(at)));
    lines.push(plain(theme, "backoff", dotted([next, drew]), columns));
    let limits = &details.limits;
    let tries = limits.max_attempts.map_or_else(String::new, |max| {
        format!("{} of {max} tries failed", limits.failures)
    });
    let time = limits
        .gives_up_at
        .map_or_else(String::new, |at| format!("gives up in {}", until(at)));
    let limits = dotted([tries, time]);
    if !limits.is_empty() {
        lines.push(plain(theme, "gives up", limits, columns));
    }
    lines
}

fn heartbeat(app: &App, timers: &Timers, columns: usize) -> Line<'static> {
    let every = format!("every {}", ms(timers.interval));
    let next = match (timers.pong_by, timers.ping_at) {
        (Some((since, by)), _) => {
            format!(
                "a ping is out {} of {}",
                ms(app.now.saturating_sub(since)),
                ms(by.saturating_sub(since))
            )
        }
        // While nothing runs, the time of day, so that no countdown redraws the screen.
        (None, Some(at)) => {
            let wall = app.wall + at.saturating_sub(app.now).as_millis() as u64;
            format!("next ping at {}", items::clock(wall, &app.zone))
        }
        (None, None) => String::new(),
    };
    plain(app.theme, "heartbeat", dotted([every, next]), columns)
}

fn suspicion(app: &App, details: &Details, columns: usize) -> Line<'static> {
    let timers = &details.timers;
    let words = match (timers.waiting_since, timers.suspicious_at) {
        (None, _) => "none: nothing waits for an ack".to_owned(),
        (Some(since), at) => {
            let waits = format!(
                "an ack is out {} of {}",
                ms(app.now.saturating_sub(since)),
                ms(timers.patience)
            );
            let then = match at.map(|at| at.saturating_sub(app.now)) {
                Some(left) if left > Duration::ZERO => format!("asks in {}", ms(left)),
                _ => "asking".to_owned(),
            };
            dotted([waits, then])
        }
    };
    let doubled = match details.doublings {
        0 => String::new(),
        n => format!("deadlines ×{}", 1_u64 << n),
    };
    plain(app.theme, "suspicion", dotted([words, doubled]), columns)
}

fn round_trips(theme: Theme, details: &Details, columns: usize) -> Line<'static> {
    let Some(rtt) = details.rtt else {
        return plain(theme, "round trip", "not measured yet".to_owned(), columns);
    };
    let newest = details
        .rtts
        .len()
        .min(columns.saturating_sub(super::LABEL + 12))
        .min(32);
    let spark = sparkline(theme, &details.rtts[details.rtts.len() - newest..]);
    row(
        theme,
        "round trip",
        vec![
            Span::raw(format!("{:<9} ", ms(rtt))),
            Span::styled(spark, theme.accent()),
        ],
        columns,
    )
}

/// Returns each time as a bar; the longest has the full height.
pub(in crate::tui::view) fn sparkline(theme: Theme, times: &[Duration]) -> String {
    const PLAIN: [&str; 8] = ["_", ".", ",", "-", "=", "+", "*", "#"];
    let longest = times
        .iter()
        .max()
        .copied()
        .unwrap_or_default()
        .as_micros()
        .max(1);
    let bar = |time: &Duration| {
        let step = (time.as_micros() * 7 / longest) as usize;
        theme.sign(BARS[step.min(7)], PLAIN[step.min(7)])
    };
    times.iter().map(bar).collect()
}

fn figures(
    app: &App,
    inspector: &Inspector,
    details: &Details,
    columns: usize,
) -> Vec<Line<'static>> {
    let (theme, all) = (app.theme, details.of_process);
    let time = |label: &str, time: Option<Duration>| {
        time.map_or_else(String::new, |time| format!("{label} {}", ms(time)))
    };
    let acks = [
        all.acked.to_string(),
        format!("{} a minute", details.acks_a_minute),
        time("p50", details.ack_p50),
        time("p99", details.ack_p99),
    ];
    let sent = [
        format!("{} sent", all.sent),
        format!("{} again", all.resent),
        format!("{} known there", all.deduplicated),
        if all.rejected > 0 {
            format!("{} rejected", all.rejected)
        } else {
            String::new()
        },
    ];
    let (up, down) = inspector.look.traffic;
    let arrows = (theme.sign("▴", "up"), theme.sign("▾", "down"));
    let passed = [
        format!("{} {} in {} frames", arrows.0, bytes(up), all.frames_out),
        format!("{} {} in {}", arrows.1, bytes(down), all.frames_in),
    ];
    vec![
        plain(theme, "acks", dotted(acks), columns),
        plain(theme, "messages", dotted(sent), columns),
        plain(theme, "passed", dotted(passed), columns),
    ]
}

/// Returns a bar of the last hour. Each state has its own colour and sign.
fn hour(app: &App, inspector: &Inspector, columns: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let count = columns.saturating_sub(super::LABEL + 1).clamp(1, 60);
    let stretches = stretches(&inspector.look.journal);
    let cells = time_columns(
        &stretches,
        app.wall.saturating_sub(HOUR_MS),
        app.wall,
        count,
    );
    let cells = cells.into_iter().map(|state| {
        let sign = match state {
            PastState::Link(LinkPhase::Connected) => theme.sign("█", "="),
            PastState::Link(LinkPhase::Resyncing) => theme.sign("▓", "~"),
            PastState::Link(LinkPhase::Connecting | LinkPhase::Backoff) => theme.sign("▒", "x"),
            PastState::Link(LinkPhase::Offline) => theme.sign("░", "o"),
            PastState::Unknown | PastState::NotRunning => theme.sign("·", "."),
        };
        let style = match state {
            PastState::Link(phase) => of_phase(theme, phase),
            PastState::Unknown | PastState::NotRunning => theme.dim(),
        };
        Span::styled(sign, style)
    });
    let scale = format!("{:<width$}now", "1 h ago", width = count.saturating_sub(3));
    let key = ["█ up", "▓ resyncing", "▒ dialling", "░ offline"];
    let plain_key = ["= up", "~ resyncing", "x dialling", "o offline"];
    let key = if theme.is_ascii() { plain_key } else { key };
    vec![
        row(theme, "last hour", cells.collect(), columns),
        row(theme, "", vec![Span::styled(scale, theme.dim())], columns),
        row(
            theme,
            "",
            vec![Span::styled(key.join(" "), theme.dim())],
            columns,
        ),
    ]
}

fn journal_line(app: &App, row: &JournalRow, columns: usize) -> Line<'static> {
    let why = row
        .cause
        .as_ref()
        .filter(|cause| **cause != Cause::Start)
        .map(ToString::to_string);
    let words = why
        .into_iter()
        .chain(row.numbers.words(row.at))
        .collect::<Vec<_>>()
        .join("; ");
    let at = format!("{} ", items::clock(row.at, &app.zone));
    let to = format!("{:<11}", row.to);
    let left = columns.saturating_sub(text::width(&at) + text::width(&to));
    Line::from(vec![
        Span::styled(at, app.theme.dim()),
        Span::styled(to, of_phase(app.theme, row.to)),
        Span::raw(text::fit(&sanitize_line(&words), left)),
    ])
}

fn plain(theme: Theme, label: &'static str, words: String, columns: usize) -> Line<'static> {
    row(theme, label, vec![Span::raw(words)], columns)
}

fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    if tenths.is_multiple_of(10) {
        format!("{}", tenths / 10)
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}
