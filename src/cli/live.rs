//! Live values by key: the latest value of each, with its age on arrival, and the number of dropped
//! ones.

use std::collections::BTreeMap;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::client::actor::Client;
use crate::client::session::Status;
use crate::client::{RingBuffer, brief, quantile};
use crate::protocol::{RoomId, Signal, sanitize_line};
use crate::system;
use crate::tui::{BARS, fit, width};

/// Number of values in the bars of a key.
const BARS_SHOWN: usize = 24;
/// Maximum number of keys; with more, the one with the oldest value is dropped.
const KEYS_MAX: usize = 1_000;

/// How far the server's clock is ahead of this one, ms, according to the welcome of the open connection.
async fn ahead_ms(client: &Client) -> i64 {
    let received = client.details().await.and_then(|details| details.received);
    received.map_or(0, |received| {
        received.ahead_ms(client.now(), system::unix_ms())
    })
}

/// The live values that a room's members send to a client.
pub(super) struct LiveSignals<'a> {
    client: &'a Client,
    room: RoomId,
    signals: broadcast::Receiver<Signal>,
    status: watch::Receiver<Status>,
    /// How far the server's clock is ahead, ms; none after a change that may be another connection.
    ahead: Option<i64>,
}

impl<'a> LiveSignals<'a> {
    /// Subscribes.
    pub(super) fn of(client: &'a Client, room: RoomId) -> Self {
        Self {
            client,
            room,
            signals: client.signals(),
            status: client.status(),
            ahead: None,
        }
    }

    /// Waits for the next value. Also returns the time of its arrival by the server's clock, ms since
    /// 1970. `None` after the client has stopped. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Option<(Signal, i64)> {
        loop {
            let ahead = match self.ahead {
                Some(ahead) => ahead,
                None => *self.ahead.insert(ahead_ms(self.client).await),
            };
            tokio::select! {
                signal = self.signals.recv() => match signal {
                    Ok(signal) if signal.room == self.room && signal.kind == Signal::LIVE => {
                        return Some((signal, system::unix_ms() as i64 + ahead));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {} // newer ones follow
                    Err(RecvError::Closed) => return None,
                },
                Ok(()) = self.status.changed() => self.ahead = None,
            }
        }
    }
}

/// A text of a peer, on one line.
pub(super) fn shown(text: Option<&String>) -> String {
    sanitize_line(text.map_or("", String::as_str)).into_owned()
}

/// The values by key, and the ages of the latest values.
#[derive(Debug, Default)]
pub(super) struct LiveTable<const AGES: usize> {
    rows: BTreeMap<String, LiveRow>,
    ages: RingBuffer<u64, AGES>,
    values: u64,
    skipped: u64,
}

#[derive(Debug)]
struct LiveRow {
    value: String,
    /// When it was sent, by this machine's clock.
    sent_at: u64,
    numbers: RingBuffer<f64, BARS_SHOWN>,
}

impl<const AGES: usize> LiveTable<AGES> {
    /// Adds a value that arrived at `server_now`, by the server's clock. Returns its age, ms.
    pub(super) fn put(&mut self, signal: &Signal, server_now: i64) -> u64 {
        let sent_at = signal
            .at
            .map_or(server_now, |at| i64::try_from(at).unwrap_or(i64::MAX));
        let age = server_now.saturating_sub(sent_at).max(0) as u64;
        self.values += 1;
        self.skipped = self.skipped.saturating_add(signal.skipped);
        self.ages.push(age);
        let key = shown(signal.key.as_ref());
        if self.rows.len() >= KEYS_MAX && !self.rows.contains_key(&key) {
            let oldest = self
                .rows
                .iter()
                .min_by_key(|(_, row)| row.sent_at)
                .map(|(key, _)| key.clone());
            oldest.map(|key| self.rows.remove(&key));
        }
        let row = self.rows.entry(key).or_insert_with(|| LiveRow {
            value: String::new(),
            sent_at: 0,
            numbers: RingBuffer::default(),
        });
        row.value = shown(signal.value.as_ref());
        row.sent_at = system::unix_ms().saturating_sub(age);
        number(&row.value)
            .into_iter()
            .for_each(|number| row.numbers.push(number));
        age
    }

    /// Median and 99th percentile of the ages on arrival, ms.
    pub(super) fn ages(&self) -> Option<(u64, u64)> {
        let age = |percent| quantile(self.ages.iter().copied().collect(), percent);
        age(50).zip(age(99))
    }

    /// Number of received values.
    pub(super) const fn values(&self) -> u64 {
        self.values
    }

    pub(super) fn figures(&self) -> String {
        let ages = self.ages().map_or_else(String::new, |(p50, p99)| {
            format!(", age p50 {}, p99 {}", brief(p50), brief(p99))
        });
        format!(
            "{} values of {} keys{ages}, {} older ones skipped",
            self.values,
            self.rows.len(),
            self.skipped
        )
    }

    /// Returns one line for each key, as many as fit: value, bars, age.
    pub(super) fn lines(&self, now: u64, columns: usize, rows: usize) -> Vec<String> {
        let wide = self
            .rows
            .keys()
            .map(|key| width(key))
            .max()
            .unwrap_or(0)
            .clamp(4, (columns / 3).max(4));
        let line = |(key, row): (&String, &LiveRow)| {
            let age = brief(now.saturating_sub(row.sent_at));
            let (key, value) = (padded(key, wide), fit(&row.value, 16));
            let space = " ".repeat(16_usize.saturating_sub(width(&value)));
            fit(
                &format!(
                    "{key}  {space}{value}  {age:>7} old  {}",
                    bars(&row.numbers)
                ),
                columns,
            )
        };
        let (all, shown) = (
            self.rows.len(),
            if self.rows.len() > rows {
                rows.saturating_sub(1)
            } else {
                rows
            },
        );
        let mut lines: Vec<_> = self.rows.iter().take(shown).map(line).collect();
        if all > shown {
            lines.push(fit(&format!("{} more keys", all - shown), columns));
        }
        lines
    }
}

/// Pads a text to `columns` columns.
fn padded(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let space = " ".repeat(columns.saturating_sub(width(&text)));
    text + &space
}

/// The leading number of a value, if it has one.
fn number(value: &str) -> Option<f64> {
    let end = value
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'))
        .unwrap_or(value.len());
    value[..end]
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

fn bars(numbers: &RingBuffer<f64, BARS_SHOWN>) -> String {
    let (low, high) = numbers.iter().fold((f64::MAX, f64::MIN), |(low, high), n| {
        (low.min(*n), high.max(*n))
    });
    let step = |number: &f64| {
        if high > low {
            ((number - low) / (high - low) * 7.0) as usize
        } else {
            3
        }
    };
    numbers
        .iter()
        .map(|number| BARS[step(number).min(7)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RoomId;

    fn signal(key: &str, value: &str, at: u64, skipped: u64) -> Signal {
        let (key, value) = (Some(key.to_owned()), Some(value.to_owned()));
        Signal {
            room: RoomId::NIL,
            kind: Signal::LIVE.to_owned(),
            key,
            value,
            account: None,
            at: Some(at),
            skipped,
        }
    }

    #[test]
    fn live_summary_has_ages_and_skips() {
        let mut table = LiveTable::<100>::default();
        for n in 0..100 {
            assert_eq!(
                table.put(&signal("cpu", &n.to_string(), 1_000, 2), 1_000 + n),
                n as u64
            );
        }
        assert_eq!(
            table.figures(),
            "100 values of 1 keys, age p50 50 ms, p99 99 ms, 200 older ones skipped"
        );
        let line = table.lines(system::unix_ms(), 80, 9).remove(0);
        assert!(
            line.starts_with("cpu                 99  ")
                && line.contains(" old  ▁")
                && line.contains('█'),
            "{line}"
        );
    }

    #[test]
    fn live_table_foreign_text_is_safe_and_bounded() {
        let mut table = LiveTable::<1_000>::default();
        table.put(&signal("a\u{1b}[2J", "1\u{7}", 1, 0), 1);
        assert!(table.lines(1, 80, 9)[0].chars().all(|c| !c.is_control()));
        table.put(&signal("日本 漢字🎉", "値", 1, 0), 1);
        for columns in [0, 1, 12, 30, 80] {
            assert!(
                table
                    .lines(1, columns, 9)
                    .iter()
                    .all(|line| width(line) <= columns)
            );
        }
        assert_eq!(table.lines(1, 80, 1), ["2 more keys"]);
        for n in 0..20_000 {
            table.put(&signal(&n.to_string(), "1e999", 1, 0), 1);
        }
        assert_eq!(
            (table.rows.len(), table.ages.iter().count()),
            (KEYS_MAX, 1_000)
        );
    }

    #[test]
    fn senseless_figures_from_others_are_survived() {
        let mut table = LiveTable::<9>::default();
        for (at, skipped) in [(u64::MAX, u64::MAX), (0, u64::MAX), (1 << 63, 1)] {
            table.put(&signal("cpu", "1", at, skipped), i64::MIN);
            table.put(&signal("cpu", "1", at, skipped), i64::MAX);
        }
        assert_eq!(table.skipped, u64::MAX);
        assert!(table.figures().contains("6 values"));
    }

    #[test]
    fn live_value_bar_uses_its_leading_number() {
        assert_eq!(
            [number("12 %"), number("-3.5"), number("up"), number("")],
            [Some(12.0), Some(-3.5), None, None]
        );
    }
}
