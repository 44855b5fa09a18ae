//! The network between devices and the server: wires with two directions, each of which can be
//! slow, held, swallowed or cut.
//!
//! A wire is one connection. Items arrive in order on one wire and in any order between wires, so
//! frames of an abandoned wire can arrive after those of the next one.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use landfall::protocol::Dial;
use landfall::server::session::Confirmed;

/// Virtual time since a run began.
pub(crate) type Time = Duration;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WireId(pub(crate) u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WireDirection {
    Up,
    Down,
}

/// What happens to bytes that enter a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    Pass,
    /// Items stay until the direction passes again.
    Hold,
    /// They are gone, and so is the stream that they were part of.
    Swallow,
}

/// How the network treats one device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weather {
    pub(crate) up: Flow,
    pub(crate) down: Flow,
    /// Nobody can be reached, and says so.
    pub(crate) refuses: bool,
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    pub(crate) bytes_per_second: Option<u64>,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        up: Flow::Pass,
        down: Flow::Pass,
        refuses: false,
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        bytes_per_second: None,
    };

    pub(crate) fn one_way(&self, rng: &mut Rng) -> Duration {
        self.latency + self.jitter.mul_f64(rng.f64())
    }

    const fn flow(&self, way: WireDirection) -> Flow {
        match way {
            WireDirection::Up => self.up,
            WireDirection::Down => self.down,
        }
    }
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Text(String),
    /// A WebSocket ping of the server's: how far the other end has read.
    Probe(Confirmed),
    /// The pong to it.
    Confirm(Confirmed),
    /// The sender closed it properly.
    Close,
    /// It was torn.
    Reset,
}

#[derive(Debug, Default)]
struct Lane {
    free_at: Time,
    last_arrival: Time,
    dead: bool,
    held: Vec<Item>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) device: usize,
    /// Whose it is: which dial of which process.
    pub(crate) dial: Dial,
    pub(crate) epoch: u64,
    /// Items that the server has not read yet, since too many answers are unsent.
    pub(crate) unread: VecDeque<Item>,
    up: Lane,
    down: Lane,
}

/// When something has left its sender, and when it arrives; never, when it is held or gone.
pub(crate) struct Sent {
    pub(crate) left: Time,
    pub(crate) arrives: Option<(Time, Item)>,
}

impl Wire {
    pub(crate) fn new(device: usize, dial: Dial, epoch: u64) -> Self {
        Self {
            device,
            dial,
            epoch,
            unread: VecDeque::new(),
            up: Lane::default(),
            down: Lane::default(),
        }
    }

    pub(crate) fn send(
        &mut self,
        way: WireDirection,
        item: Item,
        weather: &Weather,
        now: Time,
        rng: &mut Rng,
    ) -> Sent {
        let lane = self.lane(way);
        match weather.flow(way) {
            _ if lane.dead => {
                return Sent {
                    left: now,
                    arrives: None,
                };
            }
            Flow::Swallow => {
                lane.dead = true;
                return Sent {
                    left: now,
                    arrives: None,
                };
            }
            Flow::Hold => {
                lane.held.push(item);
                return Sent {
                    left: now,
                    arrives: None,
                };
            }
            Flow::Pass => {}
        }
        let bytes = if let Item::Text(text) = &item {
            text.len() as u64 + 8
        } else {
            8
        };
        let takes = weather.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_micros(bytes * 1_000_000 / rate)
        });
        let left = lane.free_at.max(now) + takes;
        let arrives = (left + weather.one_way(rng)).max(lane.last_arrival);
        (lane.free_at, lane.last_arrival) = (left, arrives);
        Sent {
            left,
            arrives: Some((arrives, item)),
        }
    }

    /// Returns the items of a direction that pass again.
    pub(crate) fn release(&mut self, way: WireDirection) -> Vec<Item> {
        std::mem::take(&mut self.lane(way).held)
    }

    /// Nothing passes any more, and neither side is informed.
    pub(crate) fn kill(&mut self, way: WireDirection) {
        let lane = self.lane(way);
        lane.dead = true;
        lane.held.clear();
    }

    fn lane(&mut self, way: WireDirection) -> &mut Lane {
        match way {
            WireDirection::Up => &mut self.up,
            WireDirection::Down => &mut self.down,
        }
    }
}
