//! `cargo prove`: any number of random worlds, and a table of faults and checks.

mod act;
mod action;
mod campaign;
mod check;
mod counters;
mod device;
mod drivers;
mod net;
mod plan;
mod record;
mod scenario;
mod server;
mod storage;
mod values;
mod views;
mod watch;
mod world;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use landfall::planted_bug::PlantedBug;

use crate::campaign::{ELSEWHERE, Tally, caught, elsewhere, explain, run_many};
use crate::plan::Plan;

/// Random worlds with faults, checked against the promises.
///
/// Each seed is a world: users, a server, a network, disks, and events. Then the faults stop, no
/// key is pressed, and all users must show the same.
#[derive(Debug, Parser)]
#[command(name = "cargo prove", bin_name = "cargo prove")]
struct Arguments {
    /// Number of worlds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    seeds: u64,
    /// No longer than this
    #[arg(long, value_name = "MINUTES", default_value = "10", value_parser = minutes)]
    minutes: Duration,
    /// From this seed on; random when not told
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    base: Option<u64>,
    /// Run one world, reduced to what breaks a promise, and print its timeline
    #[arg(long, conflicts_with_all = ["seeds", "base"])]
    seed: Option<u64>,
    /// Switch on this planted bug
    #[arg(long, alias = "mistake", value_name = "NAME", value_parser = planted_bug)]
    planted_bug: Option<PlantedBug>,
    /// Switch on every planted bug, one at a time, and report how it was caught
    #[arg(long, alias = "mistakes", conflicts_with_all = ["seed", "planted_bug"])]
    planted_bugs: bool,
}

/// Seeds are counted up from the first one.
const SEED_MAX: u64 = u64::MAX >> 1;
/// Somebody has pressed Ctrl-C: the worlds that run are brought to their end, since their stores
/// lie in folders.
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn planted_bug(name: &str) -> Result<PlantedBug, String> {
    let found = PlantedBug::ALL
        .iter()
        .copied()
        .find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name));
    let all = || {
        PlantedBug::ALL
            .iter()
            .map(|bug| format!("{bug:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match found.map(|found| (found, elsewhere(found))) {
        Some((_, Some(test))) => Err(format!("no world shows that: `cargo test {test}` does")),
        found => found
            .map(|(found, _)| found)
            .ok_or_else(|| format!("it is one of {}", all())),
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text
        .parse()
        .ok()
        .filter(|minutes| (0.0..=100_000.0).contains(minutes));
    minutes
        .map(|minutes: f64| Duration::from_secs_f64(minutes * 60.0))
        .ok_or_else(|| "write it as 10, or 0.5".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    listen_for_the_end();
    let is_kept = match arguments.seed {
        _ if arguments.planted_bugs => try_planted_bugs(arguments.seeds),
        Some(seed) => tell(seed, arguments.planted_bug),
        None => prove(&arguments),
    };
    if is_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tell(seed: u64, bug: Option<PlantedBug>) -> bool {
    println!("{}", explain(seed, bug));
    campaign::run(&Plan::draw(seed), bug, false)
        .violations
        .is_empty()
}

fn try_planted_bugs(seeds: u64) -> bool {
    let mut missed = 0;
    for bug in PlantedBug::ALL.iter().copied() {
        let how =
            elsewhere(bug).map(|test| format!("no world shows that: `cargo test {test}` does"));
        let how = how.or_else(|| caught(bug, 1, seeds));
        missed += usize::from(how.is_none());
        println!(
            "{}\n    {}",
            bug.what(),
            how.as_deref().unwrap_or("NOT CAUGHT")
        );
    }
    let (all, here) = (
        PlantedBug::ALL.len(),
        PlantedBug::ALL.len() - ELSEWHERE.len(),
    );
    println!("\n{all} planted bugs, {here} run here, {missed} of them not caught");
    missed == 0
}

/// The first Ctrl-C asks for the end, the second does not ask.
fn listen_for_the_end() {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map(|runtime| {
            runtime.block_on(async {
                let _ = tokio::signal::ctrl_c().await; // without it the system's own way is left
                IS_OVER.store(true, Ordering::Relaxed);
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            });
        })
    };
    std::thread::spawn(wait); // ends with the process
}

#[expect(clippy::disallowed_methods, reason = "a person waits for it")]
fn prove(arguments: &Arguments) -> bool {
    let base = arguments
        .base
        .unwrap_or_else(|| u64::from_le_bytes(landfall::system::random()) >> 16);
    println!("worlds from seed {base} on (--base {base} runs them again)");
    let (began, limit) = (Instant::now(), arguments.minutes);
    let tally = run_many(base, arguments.seeds, arguments.planted_bug, 1, |tally| {
        show(tally, arguments.seeds, began.elapsed(), limit);
        began.elapsed() > limit || IS_OVER.load(Ordering::Relaxed)
    });
    if std::io::stdout().is_terminal() {
        println!();
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!(
        "{}\n  {:.0} client-hours a minute",
        tally.table(),
        tally.client_hours() / minutes
    );
    let failed = tally.failed.keys().next();
    if let Some(seed) = failed {
        println!(
            "\n  seed {seed}: {}\n  it is being cut down to what matters; Ctrl-C twice stops that",
            tally.failed[seed]
        );
        println!("\n{}", explain(*seed, arguments.planted_bug));
    }
    failed.is_none()
}

/// A bar, where somebody looks.
fn show(tally: &Tally, seeds: u64, elapsed: Duration, limit: Duration) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let by_seeds = tally.runs as f64 / seeds.max(1) as f64;
    let done = by_seeds
        .max(elapsed.as_secs_f64() / limit.as_secs_f64().max(0.001))
        .min(1.0);
    let told = format!(
        " {} worlds, {:.0} client-hours, {} broken",
        tally.runs,
        tally.client_hours(),
        tally.failed.len()
    );
    let columns = crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns));
    let long = columns.saturating_sub(told.len() + 1).min(40);
    let full = (done * long as f64) as usize;
    print!("\r{}{}{told}", "█".repeat(full), "░".repeat(long - full));
    let _ = std::io::stdout().flush(); // a bar that nobody sees is no loss
}
