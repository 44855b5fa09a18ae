//! Live values in worlds of cores: everybody says some all the time, often many at once, and nobody
//! may hear an older one after a newer one. Once the faults have stopped, everybody hears the last
//! one of each key.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall::client::link::LinkState;
use landfall::client::session::Command;
use landfall::protocol::Signal;
use landfall::sqlite::DbError;

use crate::check::{ANSWER_MAX, Promise};
use crate::device::Device;
use crate::world::{Event, World};

/// Rest between two bursts of one device.
const REST_MS: std::ops::Range<u64> = 2_000..15_000;
/// Number of values in a burst; more than a connection carries at once.
const BURST: std::ops::Range<u64> = 1..80;
/// Keys of each device.
const KEYS: u64 = 7;
/// How long the last values may take to get to everybody.
const LAST: Duration = Duration::from_secs(15);

/// The sent and received values.
#[derive(Debug, Default)]
pub(crate) struct Values {
    said: u64,
    /// By speaker and key: the newest.
    newest: BTreeMap<(usize, u64), u64>,
    /// By listener, speaker and key: the newest.
    heard: BTreeMap<(usize, usize, u64), u64>,
}

impl World {
    /// A device says some values, and will again while things go wrong.
    pub(crate) fn say_values(&mut self, device: usize) {
        if self.is_calm {
            return;
        }
        let rest = Duration::from_millis(self.rng.u64(REST_MS));
        self.after(rest, Event::Values(device));
        for _ in 0..self.rng.u64(BURST) {
            let key = self.rng.u64(..KEYS);
            self.say_value(device, key);
        }
    }

    fn say_value(&mut self, device: usize, key: u64) {
        self.values.said += 1;
        self.values.newest.insert((device, key), self.values.said);
        let (room, value) = (self.rooms[0], Some(self.values.said.to_string()));
        let signal = Signal::new(room, Signal::LIVE, Some(format!("{device} {key}")), value);
        self.command(device, Command::Signal(signal));
    }

    /// A device hears one.
    pub(crate) fn hear(&mut self, listener: usize, signal: &Signal) {
        let key = signal.key.as_deref().and_then(|key| key.split_once(' '));
        let key = key.and_then(|(speaker, key)| Some((speaker.parse().ok()?, key.parse().ok()?)));
        let value = signal
            .value
            .as_deref()
            .and_then(|value| value.parse::<u64>().ok());
        let (Some((speaker, key)), Some(value)) = (key, value) else {
            return;
        };
        let before = self
            .values
            .heard
            .insert((listener, speaker, key), value)
            .unwrap_or_default();
        self.checked(Promise::StatusIsTrue);
        self.count("live values heard");
        if before >= value {
            let what = format!(
                "{listener} hears value {value} of {speaker} after {before}, which is newer"
            );
            self.violate(Promise::StatusIsTrue, None, what);
        }
    }

    /// When nothing goes wrong any more everybody says many values, and everybody hears the last
    /// one of each key.
    ///
    /// A value that was sent over a dead connection is not sent again, so dead connections have to
    /// time out first.
    pub(crate) fn say_last_values(&mut self) {
        if self.has_values() {
            self.wait_for_answers();
        }
        let listeners = match self.listeners() {
            Ok(listeners) if self.has_values() => listeners,
            _ => return,
        };
        for (speaker, n) in listeners
            .iter()
            .flat_map(|speaker| (0..BURST.end).map(move |n| (*speaker, n)))
        {
            self.say_value(speaker, n % KEYS);
        }
        self.run_until(self.now + LAST);
        for (listener, speaker) in listeners
            .iter()
            .flat_map(|one| listeners.iter().map(move |other| (*one, *other)))
        {
            for key in 0..KEYS {
                let (newest, heard) = (
                    self.values.newest.get(&(speaker, key)),
                    self.values.heard.get(&(listener, speaker, key)),
                );
                if newest != heard {
                    let what = format!(
                        "{listener} heard {heard:?} of {speaker} at last, who said {newest:?}"
                    );
                    return self.violate(Promise::Converges, None, what);
                }
            }
        }
    }

    /// Waits until each device has had an answer since its weather is fair: its connection works.
    fn wait_for_answers(&mut self) {
        let end = self.now + ANSWER_MAX;
        let is_unproven = |device: &Device, now| {
            device.process.is_some()
                && now >= device.asleep_until
                && device.answered_at <= device.fair_since
        };
        while self.now < end
            && self.violations.is_empty()
            && self
                .devices
                .iter()
                .any(|device| is_unproven(device, self.now))
        {
            self.run_until(self.now + Duration::from_secs(1));
        }
    }

    /// Devices that are awake, connected and members of the room with values.
    fn listeners(&mut self) -> Result<Vec<usize>, DbError> {
        let room = self.rooms[0];
        let mut listeners = Vec::new();
        let awake = self
            .devices
            .iter()
            .enumerate()
            .filter(|(_, device)| self.now >= device.asleep_until);
        for (at, device) in awake {
            let Some(status) = device
                .process
                .as_ref()
                .map(|process| process.session.status())
            else {
                continue;
            };
            let (LinkState::Connected { .. }, Some(account)) = (&status.link, status.account)
            else {
                continue;
            };
            if self
                .storage
                .rooms_of(account)?
                .iter()
                .any(|known| known.room == room && known.member)
            {
                listeners.push(at);
            }
        }
        Ok(listeners)
    }
}
