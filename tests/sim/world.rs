//! The world of one run: devices, a server, the network between them, one virtual clock and one seed.
//!
//! Everything that happens is an event at a time, and every choice is drawn from the seed, so that a run can be repeated.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use landfall::client::session::{Command, Effect, Input};
use landfall::client::store::Disk;
use landfall::client::{Cause, Write};
use landfall::protocol::{
    AccountId, Answer, ClientFrame, CloseCode, Dial, RoomId, Seq, ServerFrame, ServerId, SessionId, decode, encode,
    limits,
};
use landfall::server::session::{Input as ServerInput, Settings};
use landfall::server::storage::{LOBBY, Storage};
use landfall::sqlite::DbError;
use landfall::system;

use crate::check::{Promise, Violation};
use crate::device::{Device, Job, Process};
use crate::net::{Flow, Item, Time, Way, Weather, Wire, WireId};
use crate::plan::{Expectation, Plan};
use crate::server::{Server, Wish};
use crate::storage::{Backing, Mood};
use crate::values::Values;
use crate::watch::Watch;

pub(crate) const INVITE: &str = "let-me-in-to-this-world";
pub(crate) const NAMES: [&str; 4] = ["ana", "bob", "cy", "dora"];
/// Mon 23 Nov 2026, ms since 1970.
pub(crate) const EPOCH_MS: u64 = 1_795_420_800_000;
/// Events in one run, far more than any honest one needs.
const EVENTS_MAX: u64 = 600_000;
/// How long a server waits before it looks after what became of a commit that failed.
const UNSURE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum Event {
    Start(usize),
    Tick(usize, u64),
    Disk(usize, u64),
    Accept(WireId),
    Opened(usize, u64, Dial),
    Refused(usize, u64, Dial),
    Arrive(WireId, Way, Item),
    /// The server looks again whether it may read a wire.
    Read(WireId),
    Left(WireId, bool),
    ServerTick(WireId),
    ServerInput(WireId, Box<ServerInput>),
    Commit(u64),
    LookAfter(u64),
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
    /// Where the server's data is, a look into it for the checker, and what is made to go wrong with it.
    pub(crate) backing: Backing,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) mood: Arc<Mutex<Mood>>,
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
    pub(crate) watch: Watch,
    pub(crate) values: Values,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) checks: BTreeMap<Promise, u64>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) history: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, root: &Path) -> Self {
        system::pretend(EPOCH_MS, plan.seed);
        let backing = Backing::new(root, plan.is_sqlite);
        let mut storage = backing.open();
        storage.renew_invite(INVITE, 1_000).expect("writes");
        let lobby = storage.find_room(Some(LOBBY), None).expect("reads").expect("a lobby").room;
        let ops = RoomId::from_random(system::random());
        storage.create_room(ops, "ops", "").expect("writes");
        let name = |at: usize| NAMES.get(at).map_or_else(|| format!("guest-{at}"), ToString::to_string);
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
            mood: Arc::default(),
            settings: plan.settings(),
            plan,
            rooms: vec![lobby, ops],
            clock_off: 0,
            is_calm: false,
            restores: Vec::new(),
            heads: BTreeMap::new(),
            watch: Watch::default(),
            values: Values::default(),
            counts: BTreeMap::new(),
            checks: BTreeMap::new(),
            violations: Vec::new(),
            history: None,
        };
        if world.has_values() {
            (0..world.devices.len()).for_each(|device| world.after(Duration::ZERO, Event::Values(device)));
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
        self.events.insert((time.max(self.now), self.scheduled), event);
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
                return self.violate(Promise::Bounded, None, "it never comes to rest: too many events".to_owned());
            }
            system::set_clock(EPOCH_MS.saturating_add_signed(self.now.as_millis() as i64 + self.clock_off));
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
                    self.step(device, Input::Tick);
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
                if self.process(device, epoch).is_some_and(|process| process.wire.is_some_and(|(d, _)| d == dial)) {
                    self.step(device, Input::Opened { dial, server });
                }
            }
            Event::Refused(device, epoch, dial) => {
                if self.process(device, epoch).is_some() {
                    self.step(device, Input::Ended(dial, Cause::Refused));
                }
            }
            Event::Arrive(wire, Way::Up, item) => self.arrive_up(wire, item),
            Event::Arrive(wire, Way::Down, item) => self.arrive_down(wire, item),
            Event::Read(wire) => self.read_wire(wire),
            Event::Left(wire, is_log) => {
                let input = if is_log { ServerInput::Drained(1) } else { ServerInput::Answered };
                self.step_server(wire, input);
            }
            Event::ServerTick(wire) => self.step_server(wire, ServerInput::Tick),
            Event::ServerInput(wire, input) => self.step_server(wire, *input),
            Event::Commit(epoch) => {
                self.commit_is_due = false;
                if epoch == self.server_epoch
                    && let Some(server) = &mut self.server
                {
                    let wishes = server.commit(self.now);
                    self.fulfil(wishes);
                }
            }
            Event::LookAfter(epoch) => {
                self.look_after_is_due = false;
                if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
                    let wishes = server.look_after_unsure(self.now);
                    self.fulfil(wishes);
                }
            }
            Event::ServerUp => self.start_server(),
            Event::Step(at) if !self.is_calm => {
                let deed = self.plan.steps[at].deed.clone();
                deed.fault().into_iter().for_each(|fault| self.count(fault));
                self.act(&deed);
            }
            Event::Expect(at) => {
                let Expectation { promise, what, is_met, .. } = self.plan.expectations[at];
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
                let mut mood = self.mood.lock().expect("not poisoned");
                (mood.fails, mood.is_unsure) = (false, false);
                self.commit_takes = Duration::ZERO;
            }
            Event::Expire(epoch, session) => {
                if let Some(server) = self.server.as_mut().filter(|_| epoch == self.server_epoch) {
                    let wishes = server.expire(session);
                    self.fulfil(wishes);
                }
            }
            Event::Listen(wire, room) => {
                if let Some(server) = &mut self.server {
                    server.listen(wire, room);
                }
            }
            Event::Values(device) => self.say_values(device),
            Event::Clear(device) => self.set_weather(device, Weather::FAIR),
            Event::DiskWorks(device) => self.devices[device].disk_fails = false,
            Event::Wake(device) => self.wake(device),
            Event::Woke(device, epoch) => {
                if self.process(device, epoch).is_some() {
                    self.command(device, Command::Woke);
                }
            }
        }
    }

    // --- devices

    pub(crate) fn account(&self, device: usize) -> Option<AccountId> {
        let process = self.devices[device].process.as_ref()?;
        process.session.status().account
    }

    fn pardon(&mut self, device: usize) {
        let (account, id) = (self.account(device), self.devices[device].id);
        let mut mood = self.mood.lock().expect("not poisoned");
        if let Some(account) = account {
            mood.banned.remove(&account);
            mood.muted.remove(&account);
        }
        if let Some(id) = id {
            mood.revoked.remove(&id);
        }
    }

    fn process(&mut self, device: usize, epoch: u64) -> Option<&mut Process> {
        let device = &mut self.devices[device];
        if device.epoch == epoch { device.process.as_mut() } else { None }
    }

    pub(crate) fn start(&mut self, device: usize) {
        if self.devices[device].process.is_some() {
            return;
        }
        self.note(|| format!("{device} starts"));
        self.devices[device].start(self.now);
        if !self.devices[device].record.offline {
            self.step(device, Input::Command(Command::GoOnline));
        } else {
            self.step(device, Input::Command(Command::GoOffline(Cause::Person)));
        }
    }

    /// Kills the process that has the link. Who waits for that has it then.
    pub(crate) fn kill(&mut self, device: usize) {
        self.note(|| format!("{device} is killed"));
        let wire = self.devices[device].kill();
        self.reset(wire);
        if self.devices[device].take_over() {
            self.count("second process takes over");
            self.note(|| format!("{device} starts, as the second process"));
            let dials = !self.devices[device].record.offline;
            self.watch.on_asked_to_dial(device);
            self.command(device, Command::Own { dials });
        }
    }

    /// Every process on a profile.
    pub(crate) fn kill_all(&mut self, device: usize) {
        self.note(|| format!("{device} is killed, with whatever ran beside it"));
        let wire = self.devices[device].kill_all();
        self.reset(wire);
    }

    fn reset(&mut self, wire: Option<WireId>) {
        if let Some(wire) = wire {
            self.transmit(wire, Way::Up, Item::Reset);
        }
    }

    pub(crate) fn command(&mut self, device: usize, command: Command) {
        self.step(device, Input::Command(command));
    }

    pub(crate) fn step(&mut self, device: usize, input: Input) {
        let now = self.now;
        let Some(process) = &mut self.devices[device].process else { return };
        let effects = process.session.step(now.saturating_sub(process.start), input.clone());
        self.note(|| format!("{device} <- {input:?}"));
        for effect in effects {
            self.carry_out(device, effect);
        }
        self.schedule_tick(device);
    }

    fn schedule_tick(&mut self, device: usize) {
        let (now, epoch) = (self.now, self.devices[device].epoch);
        let Some(process) = &mut self.devices[device].process else { return };
        let deadline = process.session.deadline().map(|at| (process.start + at).max(now));
        if deadline == process.tick_at {
            return;
        }
        process.tick_at = deadline;
        if let Some(at) = deadline {
            self.at(at, Event::Tick(device, epoch));
        }
    }

    fn carry_out(&mut self, device: usize, effect: Effect) {
        self.note(|| format!("{device} -> {effect:?}"));
        match effect {
            Effect::Dial(dial) => self.dial(device, dial),
            Effect::Transmit(dial, text) => {
                let Some(process) = &self.devices[device].process else { return };
                if let Some((_, wire)) = process.wire.filter(|(own, _)| *own == dial) {
                    self.transmit(wire, Way::Up, Item::Text(text));
                }
            }
            Effect::Hangup(dial) => {
                let Some(process) = &mut self.devices[device].process else { return };
                if let Some((_, wire)) = process.wire.take_if(|(own, _)| *own == dial) {
                    self.transmit(wire, Way::Up, Item::Close);
                }
            }
            Effect::Persist(ticket, write) => self.queue(device, Job::Write(Some(ticket), write)),
            Effect::Ask(ticket, query) => self.queue(device, Job::Find(ticket, query)),
            Effect::Signal(signal) => self.hear(device, &signal),
            Effect::Reply(key, reply) => {
                if let Some(Answer::Linking { .. }) = reply.ok {
                    self.on_linking(key as usize);
                }
            }
            Effect::Reload => {
                let is_loading = |process: &Process| process.queue.iter().any(|job| matches!(job, Job::Load));
                if self.devices[device].process.as_ref().is_some_and(|process| !is_loading(process)) {
                    self.queue(device, Job::Load);
                }
            }
        }
    }

    fn dial(&mut self, device: usize, dial: Dial) {
        self.count("dials");
        let broken = self.watch.on_dial(device, self.now);
        self.judge(broken);
        let (weather, epoch) = (self.devices[device].weather, self.devices[device].epoch);
        let trip = weather.one_way(&mut self.rng);
        if weather.refuses || self.server.is_none() {
            return self.after(trip * 2, Event::Refused(device, epoch, dial));
        }
        self.next_wire += 1;
        let wire = WireId(self.next_wire);
        self.wires.insert(wire, Wire::new(device, dial, epoch));
        if let Some(process) = &mut self.devices[device].process {
            process.wire = Some((dial, wire));
        }
        if (weather.up, weather.down) == (Flow::Pass, Flow::Pass) {
            self.after(trip, Event::Accept(wire));
            self.after(trip * 2, Event::Opened(device, epoch, dial));
        }
    }

    pub(crate) fn queue(&mut self, device: usize, job: Job) {
        let epoch = self.devices[device].epoch;
        let Some(process) = &mut self.devices[device].process else { return };
        process.queue.push_back(job);
        if process.queue.len() == 1 {
            let takes = self.disk_takes();
            self.after(takes, Event::Disk(device, epoch));
        }
    }

    /// A sync takes a moment, now and then much longer, and once in a while so long that links end meanwhile.
    fn disk_takes(&mut self) -> Duration {
        let slow = match self.rng.u16(..2_048) {
            0 => 10_000,
            1..9 => 300,
            _ => 1,
        };
        Duration::from_micros(self.rng.u64(50..2_000) * slow)
    }

    fn on_disk(&mut self, device: usize) {
        let fails = self.devices[device].disk_fails;
        let is_overwritten = self.devices[device].is_overwritten;
        let Device { disk: Some(disk), process: Some(process), .. } = &mut self.devices[device] else { return };
        let Some(job) = process.queue.front() else { return };
        let input = match job {
            Job::Load => return self.reload(device),
            Job::Write(Some(ticket), write) => match disk.follow_up(write, fails) {
                Ok(outcome) => {
                    let (ticket, write) = (*ticket, write.clone());
                    self.devices[device].record.on_refused(&write);
                    self.devices[device].record.on_persisted(&write, &outcome);
                    if matches!(write, Write::Cut { .. }) {
                        self.on_cut(device);
                    }
                    Some(Input::Persisted(ticket, outcome))
                }
                Err(error) if error.is_another_file() || matches!(error, DbError::Full | DbError::Undone) => {
                    Some(Input::PersistFailed(*ticket, error.to_string()))
                }
                // What was put over the open store is noticed by what it holds: nothing was written, and it is loaded again.
                Err(error @ DbError::Stale) if is_overwritten => Some(Input::PersistFailed(*ticket, error.to_string())),
                Err(error) => return self.violate_store(device, &error),
            },
            Job::Write(None, _) if fails => None,
            Job::Write(None, write) => match disk.write(write) {
                Ok(outcome) => {
                    let write = write.clone();
                    self.devices[device].record.on_answered(&write, &outcome, self.now);
                    Some(if matches!(write, Write::Enqueue { .. }) { Input::OutboxGrew } else { Input::OutboxChanged })
                }
                Err(error) if error.is_another_file() => None, // it stays in the composer, with words
                Err(error) => return self.violate_store(device, &error),
            },
            Job::Find(ticket, query) => match disk.find(query) {
                Ok(found) => Some(Input::Found(*ticket, found)),
                Err(error) if error.is_another_file() => Some(Input::PersistFailed(*ticket, error.to_string())),
                Err(error) => return self.violate_store(device, &error),
            },
        };
        self.job_done(device);
        input.into_iter().for_each(|input| self.step(device, input));
    }

    fn job_done(&mut self, device: usize) {
        let (epoch, takes) = (self.devices[device].epoch, self.disk_takes());
        let Some(process) = &mut self.devices[device].process else { return };
        process.queue.pop_front();
        if !process.queue.is_empty() {
            self.after(takes, Event::Disk(device, epoch));
        }
    }

    /// The core again over what the disk holds; once a second it is tried again as long as that fails.
    fn reload(&mut self, device: usize) {
        let epoch = self.devices[device].epoch;
        if self.devices[device].disk_fails {
            return self.after(Duration::from_secs(1), Event::Disk(device, epoch));
        }
        let Device { disk: Some(disk), process: Some(process), .. } = &mut self.devices[device] else { return };
        let instance = landfall::protocol::InstanceId::from_random(system::random());
        let loaded = match Disk::load(disk, instance) {
            Ok(loaded) => loaded,
            Err(error) if error.is_another_file() => {
                return self.after(Duration::from_secs(1), Event::Disk(device, epoch));
            }
            Err(error) => return self.violate_store(device, &error),
        };
        let empty = landfall::client::session::Session::new(Default::default(), 0, Time::ZERO, loaded.clone());
        process.session = std::mem::replace(&mut process.session, empty).reloaded(loaded);
        self.job_done(device);
        self.step(device, Input::Tick);
    }

    /// Nothing of a device runs for a while. When its machine sleeps its monotonic clock stands too; when only the
    /// program is stopped, it does not.
    pub(crate) fn put_to_sleep(&mut self, device: usize, lasts: Duration, clock_stands: bool) {
        let until = (self.now + lasts).max(self.devices[device].asleep_until);
        self.devices[device].asleep_until = until;
        self.at(until, Event::Wake(device));
        let epoch = self.devices[device].epoch;
        let Some(process) = &mut self.devices[device].process else { return };
        if clock_stands {
            process.start += lasts;
            process.tick_at = None;
            self.at(until, Event::Woke(device, epoch));
        }
    }

    /// The device that an event concerns and that is asleep: it comes to know of it when it wakes, in order.
    fn asleep(&self, event: &Event) -> Option<usize> {
        let device = match event {
            Event::Tick(device, _)
            | Event::Disk(device, _)
            | Event::Opened(device, ..)
            | Event::Refused(device, ..)
            | Event::Woke(device, _) => *device,
            Event::Arrive(wire, Way::Down, _) => self.wires.get(wire)?.device,
            _ => return None,
        };
        (self.now < self.devices[device].asleep_until).then_some(device)
    }

    fn wake(&mut self, device: usize) {
        if self.now >= self.devices[device].asleep_until {
            for event in std::mem::take(&mut self.devices[device].missed) {
                self.handle(event);
            }
        }
    }

    // --- the network

    fn transmit(&mut self, wire: WireId, way: Way, item: Item) -> Option<Time> {
        let device = self.wires.get(&wire)?.device;
        let weather = self.devices[device].weather;
        let sent = self.wires.get_mut(&wire)?.send(way, item, &weather, self.now, &mut self.rng);
        match sent.arrives {
            Some((at, item)) => self.at(at, Event::Arrive(wire, way, item)),
            None => self.count("frames swallowed or held"),
        }
        Some(sent.left)
    }

    pub(crate) fn set_weather(&mut self, device: usize, weather: Weather) {
        self.note(|| format!("{device} weather {weather:?}"));
        self.devices[device].weather = weather;
        self.devices[device].fair_since = self.now;
        let wires: Vec<_> = self.wires.iter().filter(|(_, wire)| wire.device == device).map(|(id, _)| *id).collect();
        for id in wires {
            for (way, flow) in [(Way::Up, weather.up), (Way::Down, weather.down)] {
                if flow != Flow::Hold {
                    let held = self.wires.get_mut(&id).map(|wire| wire.release(way)).unwrap_or_default();
                    for item in held {
                        self.transmit(id, way, item);
                    }
                }
            }
        }
    }

    /// Both ends are told, each in its own time; or one end never is.
    pub(crate) fn cut(&mut self, device: usize, up_is_told: bool) {
        let wires: Vec<_> = self.wires.iter().filter(|(_, wire)| wire.device == device).map(|(id, _)| *id).collect();
        for wire in wires {
            self.at(self.now, Event::Arrive(wire, Way::Down, Item::Reset));
            if up_is_told {
                let late = Duration::from_millis(self.rng.u64(0..20_000));
                self.after(late, Event::Arrive(wire, Way::Up, Item::Reset));
            }
            if let Some(wire) = self.wires.get_mut(&wire) {
                wire.kill(Way::Down);
                if !up_is_told {
                    wire.kill(Way::Up);
                }
            }
        }
    }

    fn arrive_up(&mut self, wire: WireId, item: Item) {
        let Some(server) = &mut self.server else { return };
        if !server.has(wire) {
            let is_text = matches!(item, Item::Text(_));
            if is_text {
                self.transmit(wire, Way::Down, Item::Reset);
            }
            return;
        }
        if matches!(item, Item::Reset) {
            return server.end(wire, false);
        }
        let Some(known) = self.wires.get_mut(&wire) else { return };
        known.unread.push_back(item);
        if known.unread.len() == 1 {
            self.read_wire(wire);
        }
    }

    /// Reads what has arrived, in order, as long as the server may.
    fn read_wire(&mut self, wire: WireId) {
        while self.server.as_ref().is_some_and(|server| server.has(wire)) {
            let may_read = self.server.as_ref().is_some_and(|server| server.may_read(wire));
            let Some(known) = self.wires.get_mut(&wire).filter(|known| !known.unread.is_empty()) else { return };
            if !may_read {
                return self.after(Duration::from_millis(5), Event::Read(wire));
            }
            let item = known.unread.pop_front().expect("is not empty");
            self.read_item(wire, item);
        }
    }

    fn read_item(&mut self, wire: WireId, item: Item) {
        match item {
            Item::Text(text) => {
                self.note(|| format!("server <- {wire:?} {text}"));
                let input = match decode::<ClientFrame>(&text) {
                    Ok(frame) => {
                        let broken = self.watch.on_up(wire, &frame, self.now);
                        self.judge(broken);
                        self.check_kept(&frame);
                        ServerInput::Frame(Box::new(frame))
                    }
                    Err(error) => ServerInput::BadFrame(CloseCode::BadFrame, error.to_string()),
                };
                self.step_server(wire, input);
            }
            Item::Close => {
                self.step_server(wire, ServerInput::BadFrame(CloseCode::Normal, "goodbye".to_owned()));
                if let Some(server) = &mut self.server {
                    server.end(wire, true);
                }
            }
            Item::Confirm(n) => self.step_server(wire, ServerInput::Confirmed(n)),
            Item::Probe(_) | Item::Reset => {} // nobody asks a server, and a reset is not read
        }
    }

    fn arrive_down(&mut self, wire: WireId, item: Item) {
        let Some(Wire { device, dial, epoch, .. }) = self.wires.get(&wire) else { return };
        let (device, dial, epoch) = (*device, *dial, *epoch);
        // What comes in by a wire that was hung up is told all the same: it may have waited for the process's loop.
        let Some(process) = self.process(device, epoch) else { return };
        match item {
            Item::Text(text) => match decode::<ServerFrame>(&text) {
                Ok(frame) => self.receive(device, dial, wire, frame),
                Err(error) => {
                    let what = format!("{device} was sent what is no frame: {error}: {text}");
                    self.violate(Promise::NothingDropped, None, what);
                }
            },
            Item::Probe(n) => drop(self.transmit(wire, Way::Up, Item::Confirm(n))),
            Item::Confirm(_) => {} // a device asks for none
            Item::Close | Item::Reset => {
                process.wire.take_if(|(_, own)| *own == wire);
                self.watch.on_end(wire);
                self.step(device, Input::Ended(dial, Cause::Dropped { what: "torn".to_owned() }));
            }
        }
    }

    fn receive(&mut self, device: usize, dial: Dial, wire: WireId, frame: ServerFrame) {
        let is_current = self.devices[device].process.as_ref().and_then(|process| process.wire) == Some((dial, wire));
        if is_current {
            let broken = self.watch.on_down(wire, &frame, self.now);
            self.judge(broken);
        }
        let is_answer = matches!(
            frame,
            ServerFrame::Welcome(_)
                | ServerFrame::Ack { .. }
                | ServerFrame::Reject(_)
                | ServerFrame::Reply(_)
                | ServerFrame::Pong { .. }
        );
        if is_current && is_answer {
            self.devices[device].answered_at = self.now;
        }
        let is_too_late = matches!(&frame, ServerFrame::Bye(bye) if bye.code == CloseCode::BadInvite);
        self.step(device, Input::Received(dial, Box::new(frame)));
        if is_current && is_too_late && self.devices[device].linked_by.is_some() {
            self.devices[device].linked = false; // the code has expired before it got there: its person asks once more
            self.link_device(device);
        }
    }

    /// P1: nothing is sent that the store has not kept.
    fn check_kept(&mut self, frame: &ClientFrame) {
        let ClientFrame::Send(send) = frame else { return };
        let early = self.devices.iter().flat_map(|device| device.record.typed.iter().rev().take(100));
        if early.clone().any(|typed| typed.id == send.id && !typed.promised) {
            self.violate(Promise::DurableOnEnter, Some(send.id), format!("{} was sent before it was kept", send.id));
        }
    }

    // --- the server

    pub(crate) fn start_server(&mut self) {
        if self.server.is_none() {
            self.note(|| "the server starts".to_owned());
            self.server_epoch += 1;
            (self.commit_is_due, self.look_after_is_due) = (false, false);
            self.server = Some(Server::start(&self.backing, &self.mood, self.settings.clone()));
        }
    }

    /// What was copied is put back. The server does not run.
    pub(crate) fn put_server_back(&mut self) {
        if self.backing.put_back() {
            self.storage = self.backing.open();
            self.restores.push(self.now);
            for device in 0..self.devices.len() {
                self.devices[device].linked = false; // the copy may be older than it
                self.link_device(device);
            }
        }
    }

    /// Who hosts the server quits, and somebody else on the machine hosts it: everybody is told goodbye, what was taken is
    /// committed, and the data is opened again at once.
    pub(crate) fn hand_hosting_over(&mut self) {
        let now = self.now;
        if let Some(server) = &mut self.server {
            let wishes = server.drain(now);
            self.fulfil(wishes);
            self.note(|| "hosting is handed over".to_owned());
            self.server = None;
        }
        self.start_server();
    }

    pub(crate) fn kill_server(&mut self) {
        self.note(|| "the server is killed".to_owned());
        let Some(server) = self.server.take() else { return };
        for wire in server.wires() {
            self.transmit(wire, Way::Down, Item::Reset);
        }
    }

    fn step_server(&mut self, wire: WireId, input: ServerInput) {
        let Some(server) = &mut self.server else { return };
        let wishes = server.step(wire, input, self.now);
        self.fulfil(wishes);
        self.schedule_server_tick(wire);
    }

    fn schedule_server_tick(&mut self, wire: WireId) {
        let Some(deadline) = self.server.as_mut().and_then(|server| server.next_tick(wire)) else { return };
        self.at(deadline, Event::ServerTick(wire));
    }

    fn fulfil(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Answer(wire, text) => self.send_down(wire, text, false),
                Wish::Log(wire, text) => self.send_down(wire, text, true),
                Wish::Later(wire, input) => {
                    // One thread reads and one writes: each answers in order, and neither waits for the other.
                    let is_written = matches!(input, ServerInput::Judged(..));
                    let wait = Duration::from_micros(self.rng.u64(20..3_000));
                    let last = self.answered_at.entry((wire, is_written)).or_default();
                    *last = (self.now + wait).max(*last);
                    let at = *last;
                    self.at(at, Event::ServerInput(wire, Box::new(input)));
                }
                Wish::Close(wire, bye) => {
                    self.note(|| format!("server closes {wire:?}: {bye:?}"));
                    self.count("goodbyes");
                    let text = encode(&ServerFrame::Bye(bye)).expect("encodes");
                    self.transmit(wire, Way::Down, Item::Text(text));
                    self.transmit(wire, Way::Down, Item::Close);
                    if let Some(server) = &mut self.server {
                        server.end(wire, false);
                    }
                }
                Wish::Commit => {
                    if !std::mem::replace(&mut self.commit_is_due, true) {
                        let (wait, epoch) = (self.disk_takes().max(self.commit_takes), self.server_epoch);
                        self.after(wait, Event::Commit(epoch));
                    }
                }
                Wish::LookAfter => {
                    if !std::mem::replace(&mut self.look_after_is_due, true) {
                        self.after(UNSURE_PAUSE, Event::LookAfter(self.server_epoch));
                    }
                }
                Wish::Fresh(wire, text) => drop(self.transmit(wire, Way::Down, Item::Text(text))),
                Wish::Probe(wire, n) => drop(self.transmit(wire, Way::Down, Item::Probe(n))),
                Wish::Tick(wire) => self.schedule_server_tick(wire),
                Wish::Listen(wire, room) => self.after(Duration::from_millis(5), Event::Listen(wire, room)),
                Wish::Acked(ServerFrame::Ack { id, room, seq, .. }) => {
                    self.count("acked");
                    self.check_ack(room, id, seq);
                }
                Wish::Acked(_) => {}
                Wish::Expire(session) => {
                    let (wait, epoch) = (Duration::from_millis(limits::SESSION_MS_MAX), self.server_epoch);
                    self.after(wait, Event::Expire(epoch, session));
                }
                Wish::Deduplicated => self.count("deduplicated"),
                Wish::Violate(broken) => self.judge(Some(broken)),
            }
        }
    }

    fn send_down(&mut self, wire: WireId, text: String, is_log: bool) {
        self.note(|| format!("server -> {wire:?} {text}"));
        let left = self.transmit(wire, Way::Down, Item::Text(text)).unwrap_or(self.now);
        self.at(left, Event::Left(wire, is_log));
    }
}
