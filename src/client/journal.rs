//! PURE. The texts of the journal: one line for each change of the link state, with its cause and
//! numbers.
//!
//! The inspector, `landfall journal` and its JSON output use the same lines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::link::LinkPhase;
use super::meter::{LinkCounters, Welcomed};
use crate::protocol::Dial;

/// One line of the journal; the store adds the time.
#[derive(Clone, PartialEq, Debug)]
pub struct JournalLine {
    /// The state before; none when a process starts.
    pub from: Option<LinkPhase>,
    pub to: LinkPhase,
    pub cause: Cause,
    /// The details of the change.
    pub numbers: Box<JournalDetails>,
}

/// The details of one line; a value is absent where it does not apply.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalDetails {
    /// The dial that the line is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial: Option<Dial>,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The backoff delay that starts, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// The upper bound of the random delay, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_max_ms: Option<u64>,
    /// Smoothed round-trip time, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u64>,
    /// Rooms not yet at their head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms_left: Option<u64>,
    /// Entries not stored yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_left: Option<u64>,
    /// The welcome of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Welcomed>,
    /// The connection that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// When the previous process was last active, ms since 1970; the store adds it to the first
    /// line of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Duration and counters of a connection that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// How long it lasted, ms.
    #[serde(rename = "stood_ms")]
    pub up_ms: u64,
    #[serde(flatten)]
    pub figures: LinkCounters,
}

impl JournalDetails {
    /// Returns each value that is not absent, as a text. `at` is the time of the line, ms since 1970 by this
    /// machine's clock.
    #[must_use]
    pub fn words(&self, at: u64) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(before) = self.before {
            words.push(format!(
                "previous process last active {} earlier",
                brief(at.saturating_sub(before))
            ));
        }
        if let Some(ended) = &self.ended {
            words.push(ended.to_string());
        }
        if let Some((wait, longest)) = self.wait_ms.zip(self.wait_max_ms) {
            let drawn = if wait == longest {
                String::new()
            } else {
                format!(" (random, up to {})", brief(longest))
            };
            words.push(format!(
                "attempt {} in {}{drawn}",
                self.attempt.unwrap_or(1),
                brief(wait)
            ));
        } else if let Some(attempt) = self.attempt.filter(|attempt| *attempt > 1) {
            words.push(format!("attempt {attempt}"));
        }
        if let Some(welcome) = &self.welcome {
            words.push(
                if welcome.resumed {
                    "session resumed"
                } else {
                    "new session"
                }
                .to_owned(),
            );
            words.push(offset_words(
                (welcome.server_now as i64).saturating_sub(at as i64),
            ));
        }
        if let Some(rooms) = self.rooms_left {
            words.push(format!("{} to catch up", counted(rooms, "room", "rooms")));
            let missing = self.entries_left.filter(|missing| *missing > 0);
            words.extend(missing.map(|n| format!("{} missing", counted(n, "message", "messages"))));
        }
        words.extend(self.rtt_ms.map(|rtt| format!("round trip {}", brief(rtt))));
        words
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            up_ms,
            figures:
                LinkCounters {
                    sent,
                    resent,
                    acked,
                    deduplicated,
                    rejected,
                    ..
                },
        } = self;
        write!(f, "up {}: {sent} sent", brief(*up_ms))?;
        if *resent > 0 {
            write!(f, " ({resent} resent)")?;
        }
        write!(f, ", {acked} acknowledged")?;
        if *deduplicated > 0 {
            write!(f, " ({deduplicated} already on the server)")?;
        }
        if *rejected > 0 {
            write!(f, ", {rejected} rejected")?;
        }
        Ok(())
    }
}

/// Formats the difference of the server's clock from this machine's. Less than a second may be the
/// latency of the welcome.
#[must_use]
pub fn offset_words(offset_ms: i64) -> String {
    match offset_ms {
        -999..=999 => "clocks agree".to_owned(),
        1_000.. => format!(
            "the server's clock is {} ahead",
            brief(offset_ms.unsigned_abs())
        ),
        _ => format!(
            "the server's clock is {} behind",
            brief(offset_ms.unsigned_abs())
        ),
    }
}

/// Formats a count: `1 entry`, `3 entries`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Formats a number with commas between thousands: `1,234`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a duration in milliseconds: `<1 ms`, `38 ms`, `1.2 s`, `45 s`, `3 min`, `2 h`, `5 d`.
#[must_use]
pub fn brief(ms: u64) -> String {
    match ms {
        0 => "<1 ms".to_owned(),
        1..=999 => format!("{ms} ms"),
        1_000..=9_999 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..=119_999 => format!("{} s", ms / 1_000),
        120_000..=7_199_999 => format!("{} min", ms / 60_000),
        7_200_000..=172_799_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_words_contain_every_present_number() {
        assert_eq!(JournalDetails::default().words(0), Vec::<String>::new());
        let figures = LinkCounters {
            sent: 34,
            resent: 2,
            acked: 33,
            deduplicated: 1,
            ..LinkCounters::default()
        };
        let numbers = JournalDetails {
            attempt: Some(3),
            wait_ms: Some(400),
            wait_max_ms: Some(2_000),
            ended: Some(Ended {
                up_ms: 720_000,
                figures,
            }),
            ..JournalDetails::default()
        };
        let expected = "up 12 min: 34 sent (2 resent), 33 acknowledged (1 already on the server)";
        assert_eq!(
            numbers.words(0),
            [expected, "attempt 3 in 400 ms (random, up to 2.0 s)"]
        );
        let kept = serde_json::to_string(&numbers).expect("serialises");
        assert_eq!(
            serde_json::from_str::<JournalDetails>(&kept).expect("reads"),
            numbers
        );
    }

    #[test]
    fn journal_line_of_an_earlier_version_is_read() {
        let old = r#"{"state":"backoff","attempt":1,"until":{"secs":3,"nanos":0},"cause":{"cause":"refused"}}"#;
        assert_eq!(
            serde_json::from_str::<JournalDetails>(old)
                .expect("reads")
                .attempt,
            Some(1)
        );
    }

    #[test]
    fn times_are_brief() {
        let texts: Vec<_> = [0, 38, 1_250, 45_000, 180_000, 7_200_000, 5 * 86_400_000]
            .map(brief)
            .into();
        assert_eq!(
            texts,
            ["<1 ms", "38 ms", "1.2 s", "45 s", "3 min", "2 h", "5 d"]
        );
    }
}
