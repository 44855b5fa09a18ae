//! Live values beside the messages: a colleague's machine publishes them, and the faulty side shows
//! the newest of each. Messages queue, values skip.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::clock::Pace;
use super::event::{Gauges, LiveGauge, ShowEvent};
use super::recorder::Recorder;
use crate::cli::demo::person::Person;
use crate::cli::live::{LiveSignals, shown};
use crate::client::actor::Client;
use crate::client::session::Command;
use crate::protocol::{RoomId, Signal};

/// The values that are shown.
const KEYS: [&str; 3] = ["cpu", "memory", "queue"];
/// Least time between two recorded states.
const RECORD_EVERY: Duration = Duration::from_millis(450);

/// The tasks that publish and receive, until this is dropped.
pub(super) struct GaugeTasks([JoinHandle<()>; 2]);

impl Drop for GaugeTasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl GaugeTasks {
    /// Publishes from one, and records what arrives at the other.
    pub(super) fn start(recorder: &Arc<Recorder>, pace: &Pace, from: &Person, to: &Person) -> Self {
        let publisher = publish(
            from.running.client.clone(),
            from.author.room(),
            pace.clone(),
        );
        let receiver = receive(
            to.running.client.clone(),
            to.author.room(),
            recorder.clone(),
        );
        Self([tokio::spawn(publisher), tokio::spawn(receiver)])
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver: values have real ages")]
async fn receive(client: Client, room: RoomId, recorder: Arc<Recorder>) {
    let mut signals = LiveSignals::of(&client, room);
    let mut newest: BTreeMap<&str, LiveGauge> = BTreeMap::new();
    let mut skipped = 0;
    let mut recorded_at: Option<Instant> = None;
    while let Some((signal, server_now)) = signals.next().await {
        skipped += signal.skipped;
        let key = shown(signal.key.as_ref());
        let Some(name) = KEYS.into_iter().find(|name| *name == key) else {
            continue;
        };
        let sent_at = signal.at.map_or(server_now, |at| at as i64);
        let age = Duration::from_millis(server_now.saturating_sub(sent_at).max(0) as u64);
        let sent = recorder.now().saturating_sub(age);
        let value = shown(signal.value.as_ref());
        newest.insert(name, LiveGauge { key, value, sent });
        if recorded_at.is_none_or(|at| at.elapsed() >= RECORD_EVERY) {
            recorded_at = Some(Instant::now());
            let values = newest.values().cloned().collect();
            recorder.record(ShowEvent::Gauges(Gauges { values, skipped }));
        }
    }
}

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

/// Publishes a value of each sensor in turn, except during a pause.
async fn publish(client: Client, room: RoomId, pace: Pace) {
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
