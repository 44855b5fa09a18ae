//! Many small worlds, each drawn from a seed, in which everything goes wrong; and a checker of the promises.
//!
//! Each world has several devices (the client's core over a real SQLite store), the server's cores over a storage in
//! memory, a network of wires that are cut, swallowed, held, slow and late, and one virtual clock. Then the faults stop,
//! nobody presses a key, and everybody is to show the same. `SIM_SEEDS=n` runs n worlds (with `SIM_BASE=b` from that
//! seed on), `SIM_SEED=s` one alone with its history printed.

mod act;
mod check;
mod device;
mod net;
mod server;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use landfall::client::session::Command;
use landfall::protocol::Kind;
use landfall::server::session::Settings;

use crate::net::Weather;
use crate::world::{Event, World};

/// How long everybody may take to show the same once nothing goes wrong any more: a deadline, a backoff, and the transfer.
const HEAL: Duration = Duration::from_secs(360);

/// A folder in memory where there is one: a sync costs nothing there, and a run survives no power cut anyway.
fn root() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// One run. What was violated, what happened how often, and how long the healing took.
struct Run {
    violations: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
    healed_in: Duration,
    virtual_time: Duration,
    history: Vec<String>,
}

fn run(seed: u64, with_history: bool) -> Run {
    let mut draw = fastrand::Rng::with_seed(seed);
    let people = draw.usize(2..5);
    let settings = if draw.u8(..4) == 0 {
        Settings { rate_burst: 5, rate_per_second: 2, ..Settings::default() }
    } else {
        Settings::default()
    };
    let lasts = Duration::from_secs(draw.u64(30..900));
    let mut world = World::new(seed, people, &root(), settings);
    world.history = with_history.then(Vec::new);
    world.start_server();
    for device in 0..people {
        let wait = Duration::from_millis(draw.u64(..3_000));
        world.after(wait, Event::Start(device));
    }
    world.run_until(Duration::from_secs(4));
    for device in 0..people {
        let ops = world.rooms[1];
        world.enter(device, ops, Kind::Join);
    }
    world.after(Duration::from_secs(1), Event::Act);
    while world.now < lasts && world.violations.is_empty() {
        let next = world.now + Duration::from_secs(20);
        world.run_until(next);
        (0..people).for_each(|device| world.check_screen(device));
    }
    let healed_in = heal(&mut world);
    if world.violations.is_empty() {
        world.check_end();
    }
    let virtual_time = world.now * people as u32;
    let World { violations, counts, history, .. } = world;
    Run { violations, counts, healed_in, virtual_time, history: history.unwrap_or_default() }
}

/// The faults stop, nobody presses a key, and everybody is to show the same.
fn heal(world: &mut World) -> Duration {
    world.is_calm = true;
    let began = world.now;
    world.start_server();
    for device in 0..world.devices.len() {
        world.devices[device].disk_fails = false;
        world.devices[device].asleep_until = world.now;
        world.set_weather(device, Weather::FAIR);
        world.start(device);
        if std::mem::take(&mut world.devices[device].offline) {
            world.command(device, Command::GoOnline);
        }
    }
    while world.violations.is_empty() {
        let next = world.now + Duration::from_secs(1);
        world.run_until(next);
        let Err(why) = world.has_converged() else { break };
        if world.now > began + HEAL {
            world.violate(format!("P10: not the same everywhere {} s after the last fault: {why}", HEAL.as_secs()));
        }
    }
    world.now - began
}

#[test]
fn one_seed_is_one_run_event_by_event() {
    let [first, second] = [(), ()].map(|()| run(4, true).history);
    assert!(first.len() > 1_000, "{} lines", first.len());
    let differs = first.iter().zip(&second).find(|(a, b)| a != b);
    assert!(differs.is_none() && first.len() == second.len(), "{differs:#?}");
}

#[test]
fn the_promises_hold_whatever_goes_wrong() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = variable("SIM_SEED") {
        let run = run(seed, true);
        run.history.iter().for_each(|line| println!("{line}"));
        assert!(run.violations.is_empty(), "seed {seed}: {:#?}", run.violations);
        return;
    }
    let base = variable("SIM_BASE").unwrap_or_else(|| u64::from_le_bytes(landfall::system::random()) >> 16);
    let seeds = variable("SIM_SEEDS").unwrap_or(40);
    println!("base seed {base}");
    let (mut counts, mut failed): (BTreeMap<&str, u64>, Vec<String>) = (BTreeMap::new(), Vec::new());
    let (mut slowest, mut virtual_time) = (Duration::ZERO, Duration::ZERO);
    for seed in base..base + seeds {
        let run = run(seed, false);
        run.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        slowest = slowest.max(run.healed_in);
        virtual_time += run.virtual_time;
        failed.extend(run.violations.first().map(|what| format!("SIM_SEED={seed}: {what}")));
    }
    counts.iter().for_each(|(what, count)| println!("{count:>9} {what}"));
    println!(
        "{:>9.1} client-hours; the slowest healing took {} s",
        virtual_time.as_secs_f64() / 3_600.0,
        slowest.as_secs()
    );
    assert!(failed.is_empty(), "{} of {seeds} seeds: {failed:#?}", failed.len());
}
