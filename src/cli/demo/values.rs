//! Live values beside the messages: a colleague's machine publishes them. The two kinds of traffic
//! share one connection: of values the newest counts, of messages each one.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::show::Pace;
use crate::client::actor::Client;
use crate::client::session::Command;
use crate::protocol::{RoomId, Signal};

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
