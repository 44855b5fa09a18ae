//! The same checks for the drivers: the actor and its sockets, the accept loop, connections, the
//! committer and both SQLite files, as the program runs them. Each host has a runtime of its own,
//! over the network and clock of `turmoil`; threads are tasks. One seed is one run here too.
//!
//! These worlds are slower, and have fewer faults: those of turmoil's network, kills and copies.

mod hosts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use landfall::client::session::Command;
use landfall::client::store::Reader;
use landfall::planted_bug::{self, PlantedBug};
use landfall::protocol::{Entry, Kind, RoomId, Seq};
use landfall::server::storage::{LOBBY, Sqlite, Storage};
use landfall::system;

use self::hosts::{Person, SERVER};
use crate::action::UserAction;
use crate::campaign::{HEAL, LOOK, Run, root};
use crate::check::{Promise, Violation};
use crate::device::copy_folder;
use crate::net::{Flow, Time, Weather};
use crate::plan::{Plan, Step};
use crate::record::{UserRequest, account_of};
use crate::views::{self, Behind, Findings, Logs};
use crate::watch::Broken;
use crate::world::{EPOCH_MS, INVITE, NAMES};

/// How far the clock moves at a time.
const TICK: Duration = Duration::from_millis(5);
/// Silence before a cut of which the server is not informed.
const UNHEARD: Duration = Duration::from_millis(200);

/// Something that is repaired or repeated later.
#[derive(Clone, Debug)]
enum Later {
    Do(UserAction),
    StartClient(usize),
    StartServer,
    Clear(usize),
}

struct World<'a> {
    sim: turmoil::Sim<'a>,
    rng: Rng,
    people: Vec<Arc<Person>>,
    rooms: Vec<RoomId>,
    data: PathBuf,
    copies: BTreeMap<Option<usize>, (PathBuf, Time)>,
    events: BTreeMap<(Time, usize), Later>,
    scheduled: usize,
    clock_off: i64,
    /// Devices whose connections lost bytes. The network here does not retransmit them, as TCP
    /// would.
    lost_bytes: BTreeSet<usize>,
    findings: Findings,
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
    history: Vec<String>,
    root: tempfile::TempDir,
}

/// Maximum time for a message over open connections, with the server's rate limit. Heartbeats are
/// 30 s apart.
const PROMPT: Duration = Duration::from_secs(10);

/// Runs one world of drivers to its end.
pub(crate) fn run(plan: &Plan, made: Option<PlantedBug>) -> Run {
    planted_bug::plant(made);
    system::override_for_test(EPOCH_MS, plan.seed);
    let mut world = World::new(plan);
    world.run_until(Duration::from_secs(4));
    for who in 0..world.people.len() {
        let (person, ops, now) = (world.people[who].clone(), world.rooms[1], world.now());
        let join = person.record().join_or_leave(ops, Kind::Join, now);
        world.ask(&person, join);
    }
    for Step { at, action } in &plan.steps {
        world.at(*at, Later::Do(action.clone()));
    }
    while world.now() < plan.lasts && world.violations.is_empty() {
        world.run_until((world.now() + LOOK).min(plan.lasts));
        world.look();
    }
    let healed_in = world.heal();
    if world.violations.is_empty() {
        world.say_once_more();
    }
    if world.violations.is_empty() {
        world.check_end();
    }
    planted_bug::plant(None);
    let client_time = world.now() * world.people.len() as u32;
    let World {
        findings,
        violations,
        mut counts,
        history,
        ..
    } = world;
    findings
        .fates
        .into_iter()
        .for_each(|(fate, count)| *counts.entry(fate).or_default() += count);
    counts.insert("worlds of drivers", 1);
    Run {
        violations,
        counts,
        checks: findings.checks,
        healed_in,
        client_time,
        history,
    }
}

impl World<'_> {
    fn new(plan: &Plan) -> Self {
        let root = tempfile::Builder::new()
            .prefix("drivers")
            .tempdir_in(root())
            .expect("a folder");
        let data = root.path().join(SERVER);
        std::fs::create_dir_all(&data).expect("a folder");
        std::fs::write(data.join("invite"), INVITE).expect("writes");
        let mut storage = Sqlite::open(&data).expect("opens");
        let lobby = storage
            .find_room(Some(LOBBY), None)
            .expect("reads")
            .expect("a lobby")
            .room;
        let ops = RoomId::from_random(system::random());
        storage.create_room(ops, "ops", "").expect("writes");
        drop(storage);
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Weather::FAIR.latency)
            .max_message_latency(Weather::FAIR.latency + Weather::FAIR.jitter)
            .tcp_capacity(4_096)
            .enable_tokio_io() // other processes on a profile are told by datagrams
            .enable_random_order()
            .build();
        let settings = plan.settings();
        let served = data.clone();
        sim.host(SERVER, move || {
            hosts::serve(served.clone(), settings.clone())
        });
        let people: Vec<_> = NAMES
            .iter()
            .take(plan.people)
            .map(|name| Person::new(name, root.path().join(name)))
            .collect();
        for person in &people {
            let lives = person.clone();
            sim.host(person.host.as_str(), move || lives.clone().live());
        }
        Self {
            sim,
            rng: Rng::with_seed(plan.seed),
            people,
            rooms: vec![lobby, ops],
            data,
            copies: BTreeMap::new(),
            events: BTreeMap::new(),
            scheduled: 0,
            clock_off: 0,
            lost_bytes: BTreeSet::new(),
            findings: Findings::default(),
            violations: Vec::new(),
            counts: BTreeMap::new(),
            history: Vec::new(),
            root,
        }
    }

    fn now(&self) -> Time {
        self.sim.elapsed()
    }

    fn at(&mut self, at: Time, what: Later) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), what);
    }

    fn after(&mut self, wait: Duration, what: Later) {
        self.at(self.now() + wait, what);
    }

    fn run_until(&mut self, end: Time) {
        while self.now() < end && self.violations.is_empty() {
            while let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.sim.elapsed()
            {
                let what = entry.remove();
                self.happen(what);
            }
            let ms = self.now().as_millis() as i64 + self.clock_off;
            system::set_clock(EPOCH_MS.saturating_add_signed(ms));
            if let Err(error) = self.sim.step() {
                self.violate((
                    Promise::Converges,
                    None,
                    format!("a program ended: {error}"),
                ));
            }
            for who in 0..self.people.len() {
                if let Some(state) = self.people[who].new_state() {
                    self.note(&format!("{who} link {state}"));
                }
            }
        }
    }

    fn violate(&mut self, (promise, about, what): Broken) {
        self.note(&format!("VIOLATION of {promise}: {what}"));
        self.violations.push(Violation {
            promise,
            at: self.now(),
            about,
            what,
        });
    }

    fn note(&mut self, what: &str) {
        self.history
            .push(format!("{:>11.4} {what}", self.now().as_secs_f64()));
    }

    fn happen(&mut self, what: Later) {
        match what {
            Later::Do(action) => {
                self.note(&format!("* {action:?}"));
                action
                    .fault()
                    .into_iter()
                    .for_each(|fault| *self.counts.entry(fault).or_default() += 1);
                self.act(&action);
            }
            Later::StartClient(who) => self.start(who),
            Later::StartServer => self.start_server(),
            Later::Clear(who) => self.clear(who),
        }
    }

    fn act(&mut self, action: &UserAction) {
        match *action {
            UserAction::Cut {
                who,
                is_server_told,
            } => self.cut(who, is_server_told),
            UserAction::Flap { who, every, times } => {
                for n in 0..times {
                    self.after(
                        every * n as u32,
                        Later::Do(UserAction::Cut {
                            who,
                            is_server_told: true,
                        }),
                    );
                }
            }
            UserAction::Weather {
                who,
                weather,
                lasts,
                ..
            } => {
                self.set_weather(who, &weather);
                self.after(lasts, Later::Clear(who));
            }
            UserAction::KillClient { who, lasts } => {
                self.kill(who);
                self.after(lasts, Later::StartClient(who));
            }
            UserAction::CopyClient { who } => {
                self.kill(who);
                self.copy(Some(who));
                self.after(Duration::from_secs(1), Later::StartClient(who));
            }
            UserAction::RestoreClient { who } => {
                self.kill(who);
                self.put_client_back(who);
                self.after(Duration::from_secs(1), Later::StartClient(who));
            }
            UserAction::StepClock { ms } => self.clock_off = ms,
            UserAction::KillServer { lasts } => {
                self.sim.crash(SERVER);
                self.after(lasts, Later::StartServer);
            }
            UserAction::CopyServer => self.copy(None),
            UserAction::RestoreServer { lasts } => {
                self.sim.crash(SERVER);
                let data = self.data.clone();
                self.restore(None, &data);
                self.after(lasts, Later::StartServer);
            }
            _ => self.person(action),
        }
    }

    fn person(&mut self, action: &UserAction) {
        let Some(person) = action
            .who_asks()
            .map(|who| self.people[who].clone())
            .filter(|person| person.is_running())
        else {
            return;
        };
        let now = self.now();
        let orders =
            person
                .record()
                .orders(action, &self.rooms, || account_of(&person.folder), now);
        orders
            .into_iter()
            .for_each(|order| self.ask(&person, order));
    }

    fn ask(&mut self, person: &Person, order: UserRequest) {
        person.ask(order);
    }

    // --- faults

    fn cut(&mut self, who: usize, is_server_told: bool) {
        if !is_server_told {
            self.sim.partition(self.people[who].host.as_str(), SERVER);
            self.after(UNHEARD, Later::Clear(who));
        }
        self.people[who].tear();
    }

    fn set_weather(&mut self, who: usize, weather: &Weather) {
        if matches!(weather.up, Flow::Swallow) || matches!(weather.down, Flow::Swallow) {
            self.lost_bytes.insert(who);
        }
        let host = self.people[who].host.as_str();
        match (weather.up, weather.down) {
            (Flow::Swallow, Flow::Swallow) => self.sim.partition(host, SERVER),
            (Flow::Swallow, _) => self.sim.partition_oneway(host, SERVER),
            (_, Flow::Swallow) => self.sim.partition_oneway(SERVER, host),
            (Flow::Hold, _) | (_, Flow::Hold) => self.sim.hold(host, SERVER),
            (Flow::Pass, Flow::Pass) => {}
        }
        self.sim
            .set_link_max_message_latency(host, SERVER, weather.latency + weather.jitter);
    }

    fn clear(&self, who: usize) {
        let host = self.people[who].host.as_str();
        self.sim.repair(host, SERVER);
        self.sim.release(host, SERVER);
        self.sim.set_link_max_message_latency(
            host,
            SERVER,
            Weather::FAIR.latency + Weather::FAIR.jitter,
        );
    }

    fn kill(&mut self, who: usize) {
        self.people[who].on_killed();
        self.sim.crash(self.people[who].host.as_str());
    }

    fn start(&mut self, who: usize) {
        let person = self.people[who].clone();
        if !self.sim.is_host_running(person.host.as_str()) {
            self.note(&format!("{who} starts"));
            person.record().offline = false;
            self.sim.bounce(person.host.as_str());
        }
    }

    fn start_server(&mut self) {
        if !self.sim.is_host_running(SERVER) {
            self.note("the server starts");
            self.sim.bounce(SERVER);
        }
    }

    fn copy(&mut self, whose: Option<usize>) {
        let from = whose.map_or_else(|| self.data.clone(), |who| self.people[who].folder.clone());
        let to = self.root.path().join(format!("copy-{}", self.rng.u64(..)));
        copy_folder(&from, &to);
        self.copies.insert(whose, (to, self.now()));
    }

    fn restore(&self, whose: Option<usize>, to: &Path) -> Option<Time> {
        let (copy, at) = self.copies.get(&whose)?;
        std::fs::remove_dir_all(to).expect("removes");
        copy_folder(copy, to);
        Some(*at)
    }

    fn put_client_back(&mut self, who: usize) {
        self.learn_rejections(who);
        let person = self.people[who].clone();
        if let Some(copied) = self.restore(Some(who), &person.folder) {
            person.record().on_restored(copied, self.now());
        }
    }

    // --- checks

    /// Reads the rejections from the program: they are not visible elsewhere here.
    fn learn_rejections(&self, who: usize) {
        let Ok(outbox) = Reader::open(&self.people[who].folder)
            .and_then(|reader| reader.outbox(None, usize::MAX))
        else {
            return;
        };
        let mut record = self.people[who].record();
        for row in outbox.iter().filter(|row| row.rejection.is_some()) {
            record
                .typed
                .iter_mut()
                .filter(|typed| typed.id == row.id)
                .for_each(|typed| typed.rejected = true);
        }
    }

    fn look(&mut self) {
        for who in 0..self.people.len() {
            self.learn_rejections(who);
            let person = self.people[who].clone();
            let Ok(reader) = Reader::open(&person.folder) else {
                continue;
            }; // it has not been there yet
            let record = person.record();
            self.findings.of_screen(&record, &reader, &self.rooms);
            self.findings.of_counters(&record, &reader);
        }
        self.take();
    }

    fn take(&mut self) {
        let broken = std::mem::take(&mut self.findings.broken);
        broken.into_iter().for_each(|broken| self.violate(broken));
    }

    /// The faults stop, nobody presses a key, and everybody is to show the same, within its time.
    fn heal(&mut self) -> Duration {
        self.events
            .retain(|_, later| !matches!(later, Later::Do(_)));
        self.start_server();
        for who in 0..self.people.len() {
            self.clear(who);
            self.start(who);
            if std::mem::take(&mut self.people[who].record().offline) {
                self.people[who].ask(UserRequest::Command(Command::GoOnline));
            }
        }
        let began = self.now();
        self.converge(
            HEAL,
            &format!(
                "not the same everywhere {} s after the last fault",
                HEAL.as_secs()
            ),
        );
        self.now() - began
    }

    /// All users send one more message over open connections. It must leave at once, not with the
    /// next heartbeat.
    fn say_once_more(&mut self) {
        let lost_bytes = std::mem::take(&mut self.lost_bytes);
        if !lost_bytes.is_empty() {
            // A dead connection at rest takes minutes to time out when deadlines have grown: end it
            // now.
            lost_bytes
                .into_iter()
                .for_each(|who| self.people[who].tear());
            self.converge(HEAL, "a connection that was reset is not made again");
        }
        let (lobby, began) = (self.rooms[0], self.now());
        for person in self.people.clone() {
            let entry = person.record().say(lobby, "once more", began);
            self.ask(&person, UserRequest::enqueue(entry));
        }
        self.converge(
            PROMPT,
            &format!(
                "typed on links that stand, and not everywhere {} s later",
                PROMPT.as_secs()
            ),
        );
    }

    /// Checks that all users have sent everything and show the same within this time.
    fn converge(&mut self, within: Duration, late: &str) {
        let began = self.now();
        while self.violations.is_empty() {
            self.run_until(self.now() + Duration::from_secs(1));
            self.look();
            let Err((about, why)) = self.has_converged() else {
                break;
            };
            if self.now() > began + within {
                self.violate((Promise::Converges, about, format!("{late}: {why}")));
            }
        }
    }

    fn has_converged(&mut self) -> Result<(), Behind> {
        *self.findings.checks.entry(Promise::Converges).or_default() += 1;
        let mut storage = Sqlite::open(&self.data).expect("opens");
        for person in &self.people {
            let reader = Reader::open(&person.folder).map_err(|error| (None, error.to_string()))?;
            views::has_arrived(&person.host, &reader, &mut storage)?;
            if !person.is_connected() {
                return Err((None, format!("{} has no link", person.host)));
            }
        }
        Ok(())
    }

    fn check_end(&mut self) {
        let mut storage = Sqlite::open(&self.data).expect("opens");
        let mut log = |room| -> Vec<Entry> {
            let page = storage
                .page_after(room, Seq::ZERO, usize::MAX >> 1, usize::MAX)
                .expect("reads");
            page.map(|page| page.entries).unwrap_or_default()
        };
        let logs: Logs = self.rooms.iter().map(|room| (*room, log(*room))).collect();
        for (room, log) in &logs {
            self.findings.of_log(log);
            self.history
                .extend(log.iter().map(|entry| format!("{room} {entry:?}")));
        }
        for person in &self.people {
            let reader = Reader::open(&person.folder).expect("opens");
            self.findings.of_view(&person.host, &reader, &logs);
            self.findings.of_typed(&person.record(), &reader, &logs);
            let journal = reader.journal(0, usize::MAX >> 1).expect("reads");
            self.history
                .extend(journal.iter().map(|row| format!("{} {row:?}", person.host)));
        }
        self.take();
    }
}
