//! PURE. The journal as a ladder between this computer and the server: time downwards, one row for each
//! change of the connection. The journal keeps no frames, so messages are counts.

use std::time::Duration;

use crate::client::link::LinkPhase;
use crate::client::store::JournalRow;
use crate::client::{Cause, brief, counted};
use crate::protocol::sanitize_line;
use crate::tui::{Signs, fit, width};

/// Columns between the lanes.
const COLUMNS: usize = 48;
/// Duration of one sign of a wait, and maximum signs.
const WAIT_SIGN: Duration = Duration::from_millis(250);
const WAIT_SIGNS_MAX: u64 = 16;
/// A longer time without a change is a row of its own.
const QUIET_MS: u64 = 60_000;

/// Draws the lines of a journal. `clock` writes a time, ms since 1970, always as long.
pub(super) fn rows(
    lines: &[JournalRow],
    is_ascii: bool,
    clock: impl Fn(u64) -> String,
) -> Vec<String> {
    let signs = Signs { ascii: is_ascii };
    let blank = " ".repeat(lines.first().map_or(0, |line| width(&clock(line.at))));
    let mut rows = vec![format!(
        "{blank}  this computer{}server",
        " ".repeat(COLUMNS - 11)
    )];
    let mut before: Option<&JournalRow> = None;
    for line in lines {
        let quiet = before.map_or(0, |before| line.at.saturating_sub(before.at));
        if quiet > QUIET_MS {
            let is_up = before.is_some_and(|before| is_up(before.to));
            rows.push(row(
                &blank,
                signs,
                is_up,
                &format!("· {}", brief(quiet)),
                "",
            ));
        }
        for JournalEvent { is_up, text, note } in events(line, signs) {
            rows.push(row(&clock(line.at), signs, is_up, &text, &note));
        }
        before = Some(line);
    }
    rows
}

fn row(at: &str, signs: Signs, is_up: bool, text: &str, note: &str) -> String {
    let lane = if is_up {
        signs.sign("│", "|")
    } else {
        signs.sign("┊", ":")
    };
    let text = fit(text, COLUMNS);
    let space = " ".repeat(COLUMNS.saturating_sub(width(&text)));
    let row = format!("{at}  {lane} {text}{space} {lane}  {note}");
    row.trim_end().to_owned()
}

const fn is_up(phase: LinkPhase) -> bool {
    matches!(phase, LinkPhase::Connected | LinkPhase::Resyncing)
}

/// One row: whether there is a connection, what happened, and why.
struct JournalEvent {
    is_up: bool,
    text: String,
    note: String,
}

fn events(line: &JournalRow, signs: Signs) -> Vec<JournalEvent> {
    let numbers = &line.numbers;
    let why = line.cause.as_ref().filter(|cause| **cause != Cause::Start);
    let why = why.map_or_else(String::new, |cause| {
        sanitize_line(&cause.to_string()).into_owned()
    });
    let ended = numbers.ended.as_ref().map(ToString::to_string);
    if line.cause == Some(Cause::Finished) {
        return vec![JournalEvent {
            is_up: false,
            text: "Landfall ends".to_owned(),
            note: ended.unwrap_or_default(),
        }];
    }
    let was_up = line.from.is_some_and(is_up);
    let mut events = Vec::new();
    if was_up && !is_up(line.to) {
        let lost = signs.sign("✂", "x");
        events.push(JournalEvent {
            is_up: false,
            text: format!("{lost}   connection ended   {lost}"),
            note: why.clone(),
        });
        events.extend(ended.map(|ended| JournalEvent {
            is_up: false,
            text: format!("· {ended}"),
            note: String::new(),
        }));
    }
    let note = if was_up { String::new() } else { why };
    match line.to {
        LinkPhase::Backoff => events.push(JournalEvent {
            is_up: false,
            text: waits(line, signs),
            note: match numbers.attempt {
                Some(attempt @ 2..) if !note.is_empty() => {
                    format!("attempt {}: {note}", attempt - 1)
                }
                _ => note,
            },
        }),
        LinkPhase::Resyncing => events.push(JournalEvent {
            is_up: true,
            text: catches_up(line),
            note: match &numbers.welcome {
                Some(welcome) if welcome.resumed => "session resumed".to_owned(),
                Some(_) => "new session".to_owned(),
                None => note,
            },
        }),
        LinkPhase::Connected => events.push(JournalEvent {
            is_up: true,
            text: "connected, nothing is missing".to_owned(),
            note: numbers
                .rtt_ms
                .map_or_else(String::new, |rtt| format!("round trip {}", brief(rtt))),
        }),
        LinkPhase::Offline => events.push(JournalEvent {
            is_up: false,
            text: "offline".to_owned(),
            note,
        }),
        LinkPhase::Connecting if line.from.is_none() => events.push(JournalEvent {
            is_up: false,
            text: "Landfall starts".to_owned(),
            note,
        }),
        LinkPhase::Connecting => {} // its end is a row
    }
    events
}

/// A wait as long as it was.
fn waits(line: &JournalRow, signs: Signs) -> String {
    let Some(wait) = line.numbers.wait_ms else {
        return "waits".to_owned();
    };
    let count = (wait.div_ceil(WAIT_SIGN.as_millis() as u64)).clamp(1, WAIT_SIGNS_MAX);
    let bar = signs.sign("░", ".").repeat(count as usize);
    let longest = line.numbers.wait_max_ms.filter(|longest| *longest != wait);
    let longest = longest.map_or_else(String::new, |longest| {
        format!(" (of up to {})", brief(longest))
    });
    format!("{bar} waits {}{longest}", brief(wait))
}

fn catches_up(line: &JournalRow) -> String {
    match line.numbers.entries_left.filter(|missing| *missing > 0) {
        Some(missing) => format!(
            "catches up: {} missing",
            counted(missing, "message", "messages")
        ),
        None => "welcome; compares what both have".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::JournalDetails;

    fn line(at: u64, from: Option<LinkPhase>, to: LinkPhase, cause: Cause) -> JournalRow {
        JournalRow {
            n: 1,
            at,
            from,
            to,
            cause: Some(cause),
            numbers: JournalDetails::default(),
        }
    }

    fn seconds(at: u64) -> String {
        format!("{:>4} s", at / 1_000)
    }

    #[test]
    fn outage_is_a_ladder_with_waits_as_long_as_they_were() {
        use LinkPhase::{Backoff, Connected, Connecting, Offline};
        let mut lost = line(
            200_000,
            Some(Connected),
            Backoff,
            Cause::Dropped {
                what: "reset".to_owned(),
            },
        );
        lost.numbers.attempt = Some(1);
        (lost.numbers.wait_ms, lost.numbers.wait_max_ms) = (Some(400), Some(500));
        let mut failed = line(201_000, Some(Connecting), Backoff, Cause::Refused);
        failed.numbers.attempt = Some(2);
        (failed.numbers.wait_ms, failed.numbers.wait_max_ms) = (Some(1_000), Some(1_000));
        let lines = [
            line(0, None, Connecting, Cause::Start),
            line(1_000, Some(Connecting), Connected, Cause::Start),
            lost,
            line(200_400, Some(Backoff), Connecting, Cause::Start),
            failed,
            line(300_000, Some(Backoff), Offline, Cause::Person),
        ];
        let drawn = rows(&lines, false, seconds);
        let drawn: Vec<_> = drawn
            .iter()
            .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "this computer server",
            "0 s ┊ Landfall starts ┊",
            "1 s │ connected, nothing is missing │",
            "│ · 3 min │",
            "200 s ┊ ✂ connection ended ✂ ┊ connection lost: reset",
            "200 s ┊ ░░ waits 400 ms (of up to 500 ms) ┊",
            "201 s ┊ ░░░░ waits 1.0 s ┊ attempt 1: connection refused (is the server running?)",
            "┊ · 99 s ┊",
            "300 s ┊ offline ┊",
        ];
        for (row, expected) in drawn.iter().zip(expected) {
            assert!(row.starts_with(expected), "{row:?}, not {expected:?}");
        }
        assert_eq!(drawn.len(), expected.len(), "{drawn:#?}");
        assert!(
            rows(&lines, true, seconds)
                .iter()
                .all(|row| row.is_ascii() || row.contains('·'))
        );
    }
}
