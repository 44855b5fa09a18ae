//! `landfall journal`: prints the connection history from the store.

mod ladder;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::Cause;
use crate::client::link::LinkPhase;
use crate::client::store::JournalRow;
use crate::config::Config;
use crate::print;
use crate::protocol::sanitize_line;
use crate::system;

pub(super) struct JournalOptions {
    pub(super) json: bool,
    /// As a ladder.
    pub(super) ladder: bool,
    pub(super) since: Option<String>,
}

pub(super) fn run(config: &Config, who: &Who, options: &JournalOptions) -> Result<u8, Failure> {
    let now = Timestamp::from_millisecond(system::unix_ms() as i64)
        .unwrap_or_default()
        .to_zoned(TimeZone::system());
    let since = options
        .since
        .as_deref()
        .map(|text| since(text, &now))
        .transpose()
        .map_err(Failure::usage)?;
    let profile = Profile::open_existing(config, who)?;
    let lines = profile
        .reader()?
        .journal(since.unwrap_or_default(), usize::MAX)?;
    if lines.is_empty() {
        print::note("the connection did not change in that time");
    }
    if options.ladder {
        let clock = |at| clock(at, now.time_zone(), "%m-%d %H:%M:%S");
        for row in ladder::rows(&lines, config.ascii, clock) {
            print::line(row)?;
        }
        return Ok(exit::OK);
    }
    for line in &lines {
        if options.json {
            print::json(&json(line))?;
        } else {
            print::line(plain(line, now.time_zone()))?;
        }
    }
    Ok(exit::OK)
}

/// Parses a duration (`2h`, `30 minutes`), a time of today (`14:00`), or a date with or without a
/// time. Returns ms since 1970.
fn since(text: &str, now: &Zoned) -> Result<u64, String> {
    let ago = || now.checked_sub(text.parse::<Span>().ok()?.abs()).ok();
    let today = || {
        now.date()
            .to_datetime(text.parse::<Time>().ok()?)
            .to_zoned(now.time_zone().clone())
            .ok()
    };
    let then = || {
        text.parse::<DateTime>()
            .ok()?
            .to_zoned(now.time_zone().clone())
            .ok()
    };
    let found = ago().or_else(then).or_else(today);
    let found = found.ok_or_else(|| {
        format!("{text:?} is not a time: write it as 2h, 30m, 14:00 or 2026-11-24 14:00")
    })?;
    Ok(u64::try_from(found.timestamp().as_millisecond()).unwrap_or_default())
}

fn json(line: &JournalRow) -> serde_json::Value {
    let cause = cause(line);
    let why = cause.map(ToString::to_string);
    serde_json::json!({
        "n": line.n, "at": line.at, "from": before(line), "to": line.to.as_str(), "cause": cause, "why": why,
        "numbers": line.numbers,
    })
}

/// The state before, in a word.
fn before(line: &JournalRow) -> &'static str {
    line.from.map_or("none", LinkPhase::as_str)
}

/// Returns the cause of a change, if it has one.
fn cause(line: &JournalRow) -> Option<&Cause> {
    line.cause.as_ref().filter(|cause| **cause != Cause::Start)
}

/// A time of the journal, ms since 1970, by the clock of this machine.
fn clock(at: u64, zone: &TimeZone, format: &str) -> String {
    let at = Timestamp::from_millisecond(at as i64).map(|at| at.to_zoned(zone.clone()));
    at.map_or_else(|_| String::new(), |at| at.strftime(format).to_string())
}

fn plain(line: &JournalRow, zone: &TimeZone) -> String {
    let at = clock(line.at, zone, "%Y-%m-%d %H:%M:%S%.3f");
    let words: Vec<_> = cause(line)
        .map(ToString::to_string)
        .into_iter()
        .chain(line.numbers.words(line.at))
        .collect();
    let words = sanitize_line(&words.join("; ")).into_owned();
    format!("{at}  {:<10} → {:<10}  {words}", before(line), line.to)
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_accepts_duration_time_and_date() {
        let now: Zoned = "2026-11-25T12:00:00+00:00[UTC]".parse().expect("a time");
        let at = |text: &str| since(text, &now);
        let hours = |hours: i64| Ok((now.timestamp().as_millisecond() - hours * 3_600_000) as u64);
        assert_eq!(at("2h"), hours(2));
        assert_eq!(at("90 minutes"), at("1h30m"));
        assert_eq!(at("1d"), hours(24));
        assert_eq!(at("09:00"), hours(3));
        assert_eq!(at("2026-11-24 10:00"), hours(26));
        assert_eq!(at("2026-11-24"), hours(36));
        assert!(at("yesterdayish").is_err_and(|error| error.contains("is not a time")));
    }
}
