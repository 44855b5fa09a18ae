//! Live values beside the messages: ana's machine says how it is, and what of that comes to your
//! chat is counted. The two kinds of traffic share one link: of values the newest counts, of
//! messages each one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::show::Pace;
use crate::cli::live::{LiveSignals, LiveTable};
use crate::client::actor::Client;
use crate::client::brief;
use crate::client::session::Command;
use crate::protocol::{RoomId, Signal};
use crate::system;

/// What is measured: a name, a unit, its middle, and the distance of its extremes from there.
const SENSORS: [(&str, &str, f64, f64); 5] = [
    ("cpu", " %", 40.0, 30.0),
    ("memory", " %", 63.0, 2.0),
    ("queue", "", 120.0, 110.0),
    ("requests", "/s", 900.0, 300.0),
    ("lag", " ms", 9.0, 8.0),
];
/// Rest between two values.
const REST: Duration = Duration::from_millis(50);
/// Values whose ages the figures are of: those of the last ten seconds, as long as all arrive.
const AGES: usize = 200;

/// Publishes a value of each sensor in turn, except during a pause.
pub(super) async fn publish(client: Client, room: RoomId, pace: Pace) {
    let mut rest = interval(REST);
    rest.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for n in 0_u32.. {
        pace.running().await;
        rest.tick().await;
        let (key, unit, middle, swing) = SENSORS[n as usize % SENSORS.len()];
        let wave = (f64::from(n) / 40.0).sin() * 0.8 + (fastrand::f64() - 0.5) * 0.4;
        let value = format!("{:.0}{unit}", middle + swing * wave);
        let signal = Signal::new(room, Signal::LIVE, Some(key.to_owned()), Some(value));
        client.command(Command::Signal(signal)).await;
    }
}

/// What came of the values.
#[derive(Debug, Default)]
pub(super) struct Values {
    table: Mutex<LiveTable<AGES>>,
    skipped: watch::Sender<u64>,
}

impl Values {
    fn table(&self) -> MutexGuard<'_, LiveTable<AGES>> {
        // no critical section leaves it half changed
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what comes to a chat.
    pub(super) async fn count(&self, client: &Client, room: RoomId) {
        let mut signals = LiveSignals::of(client, room);
        while let Some((signal, server_now)) = signals.next().await {
            self.table().put(&signal, server_now);
            self.skipped.send_replace(self.table().skipped());
        }
        std::future::pending().await // the end of the values is not the end of the demo
    }

    /// Resets the counters.
    pub(super) fn forget(&self) {
        *self.table() = LiveTable::default();
        self.skipped.send_replace(0);
    }

    /// Waits until some values gave way to newer ones.
    pub(super) async fn skip(&self) {
        let _ = self
            .skipped
            .subscribe()
            .wait_for(|skipped| *skipped > 0)
            .await; // its sender is here
    }

    /// Ages of those that came, and how many newer ones took the place of.
    pub(super) fn figures(&self) -> ValueCounters {
        let table = self.table();
        let newest = table.newest_ms(system::unix_ms());
        ValueCounters {
            ages: table.ages(),
            newest,
            skipped: table.skipped(),
            values: table.values(),
        }
    }
}

/// Number of received values, and quantiles of their ages in ms.
pub(super) struct ValueCounters {
    /// The median, and what 99 of 100 keep.
    ages: Option<(u64, u64)>,
    /// How old the newest value is that is there.
    newest: Option<u64>,
    skipped: u64,
    values: u64,
}

/// A value that is older than this is told to be: the ages of those that came say nothing of it.
const OLD_MS: u64 = 3_000;

impl ValueCounters {
    /// Of all that came, whether or not something still does.
    pub(super) fn of_all(&self) -> String {
        let Some((p50, p99)) = self.ages else {
            return "no values yet".to_owned();
        };
        let Self {
            skipped, values, ..
        } = self;
        format!(
            "values {} old, p99 {}, {skipped} of {} skipped",
            brief(p50),
            brief(p99),
            skipped + values
        )
    }

    /// What the board shows.
    pub(super) fn now(&self) -> String {
        match self.newest.filter(|newest| *newest > OLD_MS) {
            Some(newest) => format!("values: the newest is {} old", brief(newest)),
            None => self.of_all(),
        }
    }
}
