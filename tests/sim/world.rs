//! The world of one run: devices, a server, the network between them, one virtual clock and one
//! seed.
//!
//! Everything that happens is an event at a time, and every choice is drawn from the seed, so that
//! a run can be repeated.

mod disk;
mod hosting;
mod network;
mod programs;

use landfall::client::session;
use landfall::server::session as server_session;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use landfall::client::Cause;
use landfall::client::session::Command;
use landfall::protocol::{Dial, RoomId, Seq, ServerId, SessionId};
use landfall::server::session::Settings;
use landfall::server::storage::{LOBBY, Storage};
use landfall::system;

use crate::check::{Promise, Violation};
use crate::device::Device;
use crate::net::{Item, Time, Weather, Wire, WireDirection, WireId};
use crate::plan::{Expectation, Plan};
use crate::server::Server;
use crate::storage::{Backing, StorageFaults};
use crate::values::Values;
use crate::watch::Watch;

pub(crate) const INVITE: &str = "let-me-in-to-this-world";
pub(crate) const NAMES: [&str; 4] = ["ana", "bob", "cy", "dora"];
/// Mon 23 Nov 2026, ms since 1970.
pub(crate) const EPOCH_MS: u64 = 1_795_420_800_000;
/// Events in one run, far more than any honest one needs.
const EVENTS_MAX: u64 = 600_000;

#[derive(Debug)]
pub(crate) enum Event {
    Start(usize),
    Tick(usize, u64),
    Disk(usize, u64),
    Accept(WireId),
    Opened(usize, u64, Dial),
    Refused(usize, u64, Dial),
    Arrive(WireId, WireDirection, Item),
    /// The server looks again whether it may read a wire.
    Read(WireId),
    Left(WireId, bool),
    ServerTick(WireId),
    ServerInput(WireId, Box<server_session::Input>),
    Commit(u64),
    CheckStorage(u64),
    ServerUp,
    /// A step of the plan.
    Step(usize),
    Expect(usize),
    /// A device is still not let in.
    Link(usize),
    Cut(usize),
    Pardon(usize),
    ServerDiskWorks,
    Listen(WireId, RoomId),
    Expire(u64, SessionId),
    /// A device's weather is fair again.
    Clear(usize),
    DiskWorks(usize),
    /// A device says live values.
    Values(usize),
    /// It has slept enough.
    Wake(usize),
    /// Its program is told that the machine was asleep.
    Woke(usize, u64),
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    events: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    handled: u64,
    pub(crate) devices: Vec<Device>,
    wires: BTreeMap<WireId, Wire>,
    next_wire: u64,
    pub(crate) server: Option<Server>,
    pub(crate) server_epoch: u64,
    commit_is_due: bool,
    look_after_is_due: bool,
    /// How long each commit takes at least.
    pub(crate) commit_takes: Duration,
    answered_at: BTreeMap<(WireId, bool), Time>,
    /// The server's data, a reader of it for the checker, and its faults.
    pub(crate) backing: Backing,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) faults: Arc<Mutex<StorageFaults>>,
    settings: Settings,
    plan: Plan,
    server_id: ServerId,
    pub(crate) rooms: Vec<RoomId>,
    /// Ms that the wall clock is off.
    pub(crate) clock_off: i64,
    /// Nothing goes wrong any more, and nobody does anything.
    pub(crate) is_calm: bool,
    pub(crate) restores: Vec<Time>,
    /// The head of each room, and since when it stands there.
    pub(crate) heads: BTreeMap<RoomId, (Seq, Time)>,
    /// The highest head of each room before the server was restored from a copy: what devices that
    /// have not reached the restored server know of it.
    pub(crate) heads_before_restore: BTreeMap<RoomId, Seq>,
    pub(crate) watch: Watch,
    pub(crate) values: Values,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) checks: BTreeMap<Promise, u64>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) history: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, root: &Path) -> Self {
        system::override_for_test(EPOCH_MS, plan.seed);
        let backing = Backing::new(root, plan.is_sqlite);
        let mut storage = backing.open();
        storage.renew_invite(INVITE, 1_000).expect("writes");
        let lobby = storage
            .find_room(Some(LOBBY), None)
            .expect("reads")
            .expect("a lobby")
            .room;
        let ops = RoomId::from_random(system::random());
        storage.create_room(ops, "ops", "").expect("writes");
        let name = |at: usize| {
            NAMES
                .get(at)
                .map_or_else(|| format!("guest-{at}"), ToString::to_string)
        };
        let device = |at| {
            let invite = Some(INVITE.to_owned()).filter(|_| !plan.comes_later(at));
            Device::new(&name(at), root, invite, plan.client_limits())
        };
        let devices = (0..plan.people).map(device).collect();
        let mut world = Self {
            now: Time::ZERO,
            rng: Rng::with_seed(plan.seed),
            events: BTreeMap::new(),
            scheduled: 0,
            handled: 0,
            devices,
            wires: BTreeMap::new(),
            next_wire: 0,
            server: None,
            server_epoch: 0,
            commit_is_due: false,
            look_after_is_due: false,
            commit_takes: Duration::ZERO,
            answered_at: BTreeMap::new(),
            server_id: storage.server(),
            backing,
            storage,
            faults: Arc::default(),
            settings: plan.settings(),
            plan,
            rooms: vec![lobby, ops],
            clock_off: 0,
            is_calm: false,
            restores: Vec::new(),
            heads: BTreeMap::new(),
            heads_before_restore: BTreeMap::new(),
            watch: Watch::default(),
            values: Values::default(),
            counts: BTreeMap::new(),
            checks: BTreeMap::new(),
            violations: Vec::new(),
            history: None,
        };
        if world.has_values() {
            (0..world.devices.len())
                .for_each(|device| world.after(Duration::ZERO, Event::Values(device)));
        }
        for (at, step) in world.plan.steps.clone().iter().enumerate() {
            world.at(step.at, Event::Step(at));
        }
        for (at, expectation) in world.plan.expectations.clone().iter().enumerate() {
            world.at(expectation.at, Event::Expect(at));
        }
        world
    }

    /// Whether live values are said.
    pub(crate) const fn has_values(&self) -> bool {
        self.plan.has_values
    }

    pub(crate) fn checked(&mut self, promise: Promise) {
        *self.checks.entry(promise).or_default() += 1;
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            history.push(format!("{:>11.4} {}", self.now.as_secs_f64(), what()));
        }
    }

    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    fn at(&mut self, time: Time, event: Event) {
        self.scheduled += 1;
        self.events
            .insert((time.max(self.now), self.scheduled), event);
    }

    /// Lets things happen until a time.
    pub(crate) fn run_until(&mut self, end: Time) {
        while self.violations.is_empty()
            && let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((time, _), event) = entry.remove_entry();
            self.now = time;
            self.handled += 1;
            if self.handled > EVENTS_MAX {
                return self.violate(
                    Promise::Bounded,
                    None,
                    "it never comes to rest: too many events".to_owned(),
                );
            }
            system::set_clock(
                EPOCH_MS.saturating_add_signed(self.now.as_millis() as i64 + self.clock_off),
            );
            match self.asleep(&event) {
                Some(device) => self.devices[device].missed.push_back(event),
                None => self.handle(event),
            }
        }
        self.now = self.now.max(end);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start(device) => self.start(device),
            Event::Tick(device, epoch) => {
                let now = self.now;
                if let Some(process) = self.process(device, epoch)
                    && process.tick_at.is_some_and(|at| at <= now)
                {
                    process.tick_at = None;
                    self.step(device, session::Input::Tick);
                }
            }
            Event::Disk(device, epoch) => {
                if self.process(device, epoch).is_some() {
                    self.on_disk(device);
                }
            }
            Event::Accept(wire) => {
                if let Some(server) = &mut self.server {
                    server.accept(wire, self.now);
                    self.schedule_server_tick(wire);
                }
            }
            Event::Opened(device, epoch, dial) => {
                let server = self.server_id;
                if self
                    .process(device, epoch)
                    .is_some_and(|process| process.wire.is_some_and(|(d, _)| d == dial))
                {
                    self.step(device, session::Input::Opened { dial, server });
                }
            }
            Event::Refused(device, epoch, dial) => {
                if self.process(device, epoch).is_some() {
                    self.step(device, session::Input::Ended(dial, Cause::Refused));
                }
            }
            Event::Arrive(wire, WireDirection::Up, item) => self.arrive_up(wire, item),
            Event::Arrive(wire, WireDirection::Down, item) => self.arrive_down(wire, item),
            Event::Read(wire) => self.read_wire(wire),
            Event::Left(wire, is_log) => {
                let input = if is_log {
                    server_session::Input::Drained(1)
                } else {
                    server_session::Input::Answered
                };
                self.step_server(wire, input);
            }
            Event::ServerTick(wire) => self.step_server(wire, server_session::Input::Tick),
            Event::ServerInput(wire, input) => self.step_server(wire, *input),
            Event::Commit(epoch) => {
                self.commit_is_due = false;
                if epoch == self.server_epoch
                    && let Some(server) = &mut self.server
                {
                    let effects = server.commit(self.now);
                    self.fulfil(effects);
                }
            }
            Event::CheckStorage(epoch) => {
                self.look_after_is_due = false;
                if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
                    let effects = server.look_after_unsure(self.now);
                    self.fulfil(effects);
                }
            }
            Event::ServerUp => self.start_server(),
            Event::Step(at) if !self.is_calm => {
                let action = self.plan.steps[at].action.clone();
                action
                    .fault()
                    .into_iter()
                    .for_each(|fault| self.count(fault));
                self.act(&action);
            }
            Event::Expect(at) => {
                let Expectation {
                    promise,
                    what,
                    is_met,
                    ..
                } = self.plan.expectations[at];
                if !is_met(self) {
                    self.violate(promise, None, what.to_owned());
                }
            }
            Event::Link(device) => {
                if !self.devices[device].linked {
                    self.link_device(device);
                }
            }
            Event::Cut(device) if !self.is_calm => self.cut(device, true),
            Event::Step(_) | Event::Cut(_) => {}
            Event::Pardon(device) => self.pardon(device),
            Event::ServerDiskWorks => {
                let mut faults = self.faults.lock().expect("not poisoned");
                (faults.fails, faults.is_unsure) = (false, false);
                self.commit_takes = Duration::ZERO;
            }
            Event::Expire(epoch, session) => {
                if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
                    let effects = server.expire(session);
                    self.fulfil(effects);
                }
            }
            Event::Listen(wire, room) => {
                if let Some(server) = &mut self.server {
                    server.listen(wire, room);
                }
            }
            Event::Values(device) => self.say_values(device),
            Event::Clear(device) => self.set_weather(device, Weather::FAIR),
            Event::DiskWorks(device) => {
                self.devices[device].disk_fails = false;
                self.devices[device].disk_takes = Duration::ZERO;
            }
            Event::Wake(device) => self.wake(device),
            Event::Woke(device, epoch) => {
                if self.process(device, epoch).is_some() {
                    self.command(device, Command::Woke);
                }
            }
        }
    }
}
