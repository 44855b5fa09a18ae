//! What people do and what goes wrong, each drawn from the seed.

use std::time::Duration;

use landfall::client::session::Command;
use landfall::client::{Cause, NewEntry, Write};
use landfall::protocol::{Kind, RoomId, Seq};
use landfall::system;

use crate::device::{Job, Typed};
use crate::net::{Flow, Weather};
use crate::world::{Event, World};

const S: fn(u64) -> Duration = Duration::from_secs;

impl World {
    /// The next thing, and when the one after it comes.
    pub(crate) fn act(&mut self) {
        if self.is_calm {
            return;
        }
        let device = self.rng.usize(..self.devices.len());
        if self.rng.u8(..100) < 85 {
            self.person(device)
        } else {
            self.trouble(device)
        }
        // In bursts: people answer each other, and then nothing happens for a while.
        let wait = match self.rng.u8(..20) {
            0 => Duration::from_millis(self.rng.u64(5_000..60_000)),
            1..=6 => Duration::from_millis(self.rng.u64(500..5_000)),
            _ => Duration::from_millis(self.rng.u64(1..500)),
        };
        self.after(wait, Event::Act);
    }

    fn person(&mut self, device: usize) {
        let room = self.rooms[self.rng.usize(..self.rooms.len())];
        if self.devices[device].process.is_none() || self.now < self.devices[device].asleep_until {
            return;
        }
        match self.rng.u8(..100) {
            0..60 => self.say(device, room),
            60..64 => self.discard(device),
            64..67 => {
                self.count("retries by hand");
                self.queue(device, Job::Write(None, Write::Retry { id: None }));
            }
            67..70 => self.enter(device, room, Kind::Leave),
            70..76 => self.enter(device, room, Kind::Join),
            76..86 => {
                let seq = Seq(self.rng.u64(1..200));
                self.command(device, Command::Read { room, seq });
            }
            86..90 => self.command(device, Command::FetchBefore(room)),
            90..93 => {
                self.devices[device].offline = false;
                self.command(device, Command::RetryNow);
            }
            93..96 => self.command(device, Command::Focus(room)),
            _ => self.toggle_offline(device),
        }
    }

    fn toggle_offline(&mut self, device: usize) {
        let offline = !self.devices[device].offline;
        self.devices[device].offline = offline;
        self.count("offline by choice");
        let command = if offline { Command::GoOffline(Cause::Person) } else { Command::GoOnline };
        self.command(device, command);
    }

    fn say(&mut self, device: usize, room: RoomId) {
        let count = if self.rng.u8(..30) == 0 { self.rng.usize(20..90) } else { self.rng.usize(1..4) };
        for _ in 0..count {
            self.count("typed");
            let n = self.devices[device].typed.len();
            let long = if self.rng.u8(..60) == 0 { "x".repeat(self.rng.usize(..15_000)) } else { String::new() };
            let body = format!("{} {n} {long}", self.devices[device].name);
            self.enqueue(device, room, Kind::Message, body);
        }
    }

    pub(crate) fn enter(&mut self, device: usize, room: RoomId, kind: Kind) {
        self.count("joins and leaves");
        self.enqueue(device, room, kind, String::new());
    }

    fn enqueue(&mut self, device: usize, room: RoomId, kind: Kind, body: String) {
        let id = system::entry_id();
        let at = self.now;
        if kind == Kind::Message {
            let body = body.clone();
            let typed = Typed { id, room, body, at, promised: false, discarded: None, retried: false, refused: false };
            self.devices[device].typed.push(typed);
        }
        let entry = NewEntry { id, room, kind, body, target: None, composed_at: system::unix_ms() };
        self.queue(device, Job::Write(None, Write::Enqueue { entries: vec![entry], clears_draft: true }));
    }

    fn discard(&mut self, device: usize) {
        let recent = self.devices[device].typed.len().saturating_sub(8);
        let recent = &self.devices[device].typed[recent..];
        let Some(typed) = recent.get(self.rng.usize(..recent.len().max(1))) else { return };
        let write = Write::Discard { id: typed.id, redaction: system::entry_id(), composed_at: system::unix_ms() };
        self.count("discards");
        self.queue(device, Job::Write(None, write));
    }

    fn trouble(&mut self, device: usize) {
        if self.now < self.devices[device].asleep_until {
            return;
        }
        let lasts = Duration::from_millis(self.rng.u64(500..90_000));
        let fair = Weather::FAIR;
        match self.rng.u8(..100) {
            0..12 => {
                let up_is_told = self.rng.bool();
                self.count(if up_is_told { "cuts" } else { "cuts that the server is not told of" });
                self.cut(device, up_is_told);
            }
            12..20 => {
                self.weather(device, "half-open", lasts, Weather { up: Flow::Swallow, down: Flow::Swallow, ..fair })
            }
            20..27 => self.weather(device, "way up dead", lasts, Weather { up: Flow::Swallow, ..fair }),
            27..33 => self.weather(device, "way down dead", lasts, Weather { down: Flow::Swallow, ..fair }),
            33..38 => self.weather(device, "stalled", lasts, Weather { up: Flow::Hold, down: Flow::Hold, ..fair }),
            38..42 => self.weather(device, "way up held", lasts, Weather { up: Flow::Hold, ..fair }),
            42..46 => self.weather(device, "way down held", lasts, Weather { down: Flow::Hold, ..fair }),
            46..50 => {
                self.weather(device, "refused", lasts, Weather { refuses: true, ..fair });
                self.cut(device, true);
            }
            50..56 => {
                let rate = self.rng.u64(1_000..6_000);
                self.weather(device, "slow", lasts, Weather { bytes_per_second: Some(rate), ..fair });
            }
            56..63 => {
                let latency = Duration::from_millis(self.rng.u64(100..2_500));
                self.weather(device, "far", lasts, Weather { latency, jitter: latency, ..fair });
            }
            63..71 => {
                self.count("client kills");
                self.kill(device);
                let wait = Duration::from_millis(self.rng.u64(10..20_000));
                self.after(wait, Event::Start(device));
            }
            71..77 => self.crash_server(),
            77..81 => {
                self.count("server backups");
                self.backup = Some(self.memory.copy());
            }
            81..84 => self.restore_server(),
            84..88 => self.rewind(device),
            88..93 => {
                self.count("full disks");
                self.devices[device].disk_fails = true;
                self.after(lasts / 3, Event::DiskWorks(device));
            }
            93..97 => {
                self.count("clock steps");
                self.clock_off = self.rng.i64(-3_600_000..3_600_000);
            }
            _ => self.suspend(device, lasts),
        }
    }

    fn weather(&mut self, device: usize, what: &'static str, lasts: Duration, weather: Weather) {
        self.count(what);
        self.set_weather(device, weather);
        self.after(lasts, Event::Clear(device));
    }

    fn crash_server(&mut self) {
        self.count("server kills");
        self.kill_server();
        let wait = Duration::from_millis(self.rng.u64(10..20_000));
        self.after(wait, Event::ServerUp);
    }

    /// The server is put back from its backup, and somebody may be back before the others.
    fn restore_server(&mut self) {
        let Some(backup) = &self.backup else { return };
        self.memory = backup.copy();
        self.count("server restores");
        self.restores.push(self.now);
        self.crash_server();
    }

    /// The store of a device is copied now, or put back from its copy.
    fn rewind(&mut self, device: usize) {
        self.kill(device);
        if self.devices[device].copy.is_some() && self.rng.bool() {
            self.count("client restores");
            self.devices[device].put_back(self.now);
        } else if self.devices[device].epoch > 0 {
            self.count("client backups");
            self.devices[device].copy_store(self.now);
        }
        self.after(S(1), Event::Start(device));
    }

    /// The machine sleeps, or somebody stopped the program.
    fn suspend(&mut self, device: usize, lasts: Duration) {
        let is_machine = self.rng.bool();
        self.count(if is_machine { "suspends" } else { "stopped programs" });
        self.put_to_sleep(device, lasts, is_machine);
    }
}
