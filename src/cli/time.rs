//! Times for the output of commands.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Formats ms since 1970 as date, hour and minute in the local time zone; empty outside of the
/// calendar.
pub(super) fn minute(ms: u64) -> String {
    let time = i64::try_from(ms)
        .map_err(|_| ())
        .and_then(|ms| Timestamp::from_millisecond(ms).map_err(|_| ()));
    time.map_or_else(
        |()| String::new(),
        |time| {
            time.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        },
    )
}

/// Returns the current time as part of a file name.
pub(super) fn stamp() -> String {
    now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// Returns the current day, for people.
pub(super) fn day() -> String {
    now().strftime("%-d %b %Y").to_string()
}

fn now() -> Zoned {
    let now = i64::try_from(crate::system::unix_ms()).unwrap_or(i64::MAX);
    // outside of the calendar: as if it were 1970
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    now.to_zoned(TimeZone::system())
}
