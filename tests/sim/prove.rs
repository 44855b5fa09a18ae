//! `cargo prove`: as many random worlds as one likes, and a table of what went wrong in them and what was kept.

mod act;
mod campaign;
mod check;
mod device;
mod drivers;
mod net;
mod plan;
mod record;
mod scenario;
mod server;
mod storage;
mod views;
mod watch;
mod world;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use landfall::mistake::Mistake;

use crate::campaign::{Tally, caught, explain, run_many};
use crate::plan::Plan;

/// Random worlds in which everything goes wrong, checked against the promises.
///
/// Each seed is a world: people, a server, a network, disks, and what happens to them. Then the faults stop, nobody
/// presses a key, and everybody has to show the same.
#[derive(Debug, Parser)]
#[command(name = "cargo prove")]
struct Arguments {
    /// So many worlds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// No longer than this
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// From this seed on; random when not told
    #[arg(long)]
    base: Option<u64>,
    /// One world alone: cut down to what breaks a promise, with its timeline
    #[arg(long, conflicts_with_all = ["seeds", "base"])]
    seed: Option<u64>,
    /// Make this mistake on purpose
    #[arg(long, value_name = "NAME", value_parser = mistake)]
    mistake: Option<Mistake>,
    /// Make every mistake that is known, one at a time, and tell how it was caught
    #[arg(long, conflicts_with_all = ["seed", "mistake"])]
    mistakes: bool,
}

fn mistake(name: &str) -> Result<Mistake, String> {
    let found = Mistake::ALL.iter().copied().find(|mistake| format!("{mistake:?}") == name);
    found.ok_or_else(|| format!("one of {:?}", Mistake::ALL))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_kept = match arguments.seed {
        _ if arguments.mistakes => make_mistakes(arguments.seeds),
        Some(seed) => tell(seed, arguments.mistake),
        None => prove(&arguments),
    };
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, mistake: Option<Mistake>) -> bool {
    println!("{}", explain(seed, mistake));
    campaign::run(&Plan::draw(seed), mistake, false).violations.is_empty()
}

fn make_mistakes(seeds: u64) -> bool {
    let mut missed = 0;
    for mistake in Mistake::ALL.iter().copied().filter(|mistake| *mistake != Mistake::NoSync) {
        let how = caught(mistake, 1, seeds);
        missed += usize::from(how.is_none());
        println!("{}\n    {}", mistake.what(), how.as_deref().unwrap_or("NOT CAUGHT"));
    }
    println!("\n{} mistakes made, {missed} not caught", Mistake::ALL.len() - 1);
    missed == 0
}

#[expect(clippy::disallowed_methods, reason = "a person waits for it")]
fn prove(arguments: &Arguments) -> bool {
    let base = arguments.base.unwrap_or_else(|| u64::from_le_bytes(landfall::system::random()) >> 16);
    println!("worlds from seed {base} on (--base {base} runs them again)");
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(arguments.minutes * 60.0));
    let tally = run_many(base, arguments.seeds, arguments.mistake, 1, |tally| {
        show(tally, arguments.seeds, began.elapsed(), limit);
        began.elapsed() > limit
    });
    if std::io::stdout().is_terminal() {
        println!();
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{}\n  {:.0} client-hours a minute", tally.table(), tally.client_hours() / minutes);
    let failed = tally.failed.keys().next();
    if let Some(seed) = failed {
        println!("\n  seed {seed}: {}\n  it is being cut down", tally.failed[seed]);
        println!("\n{}", explain(*seed, arguments.mistake));
    }
    failed.is_none()
}

/// A bar, where somebody looks.
fn show(tally: &Tally, seeds: u64, elapsed: Duration, limit: Duration) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let by_seeds = tally.runs as f64 / seeds.max(1) as f64;
    let done = by_seeds.max(elapsed.as_secs_f64() / limit.as_secs_f64().max(0.001)).min(1.0);
    let full = (done * 40.0) as usize;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(40 - full));
    print!("\r{bar} {} worlds, {:.0} client-hours, {} broken ", tally.runs, tally.client_hours(), tally.failed.len());
    let _ = std::io::stdout().flush(); // a bar that nobody sees is no loss
}
