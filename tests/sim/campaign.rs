//! Runs worlds on all processors, collects their results, and reduces a failed world.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use landfall::planted_bug::{self, PlantedBug};
use landfall::protocol::Kind;

use crate::action::FAULTS;
use crate::check::{Promise, Violation};
use crate::drivers;
use crate::plan::Plan;
use crate::scenario::{MADE_FOR, SCENARIOS};
use crate::views::FATES;
use crate::world::{Event, NAMES, World};

/// How long everybody may take to show the same once nothing goes wrong any more: a deadline, a
/// backoff, and the transfer.
pub(crate) const HEAL: Duration = Duration::from_secs(360);
/// How often everything is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(20);
/// Runs that cutting a failed world down may take.
const SHRINK_RUNS: u32 = 150;
/// Lines of a timeline that are told.
const TIMELINE: usize = 60;

/// A folder in memory if there is one: syncs are free there, and no run survives a power cut.
pub(crate) fn root() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

/// The result of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) checks: BTreeMap<Promise, u64>,
    pub(crate) healed_in: Duration,
    /// Virtual time, for all clients together.
    pub(crate) client_time: Duration,
    pub(crate) history: Vec<String>,
}

/// Runs one world to its end.
pub(crate) fn run(plan: &Plan, made: Option<PlantedBug>, with_history: bool) -> Run {
    if plan.with_drivers {
        return drivers::run(plan, made);
    }
    planted_bug::plant(made);
    let (people, lasts) = (plan.people, plan.lasts);
    let mut world = World::new(plan.clone(), &root());
    world.history = with_history.then(Vec::new);
    world.start_server();
    let people: Vec<_> = (0..people)
        .filter(|device| !plan.comes_later(*device))
        .collect();
    for device in people.iter().copied() {
        let wait = Duration::from_millis(world.rng.u64(..3_000));
        world.after(wait, Event::Start(device));
    }
    world.run_until(Duration::from_secs(4));
    for device in people.iter().copied() {
        let (ops, now) = (world.rooms[1], world.now);
        let join = world.devices[device]
            .record
            .join_or_leave(ops, Kind::Join, now);
        world.ask(device, join);
    }
    while world.now < lasts && world.violations.is_empty() {
        let next = (world.now + LOOK).min(lasts);
        world.run_until(next);
        world.check_now();
    }
    let healed_in = heal(&mut world);
    if world.violations.is_empty() {
        world.say_last_values();
    }
    if world.violations.is_empty() {
        world.check_end();
    }
    planted_bug::plant(None);
    let resent = world.watch.resent;
    let World {
        violations,
        mut counts,
        checks,
        history,
        now,
        ..
    } = world;
    counts.insert("sent again", resent);
    Run {
        violations,
        counts,
        checks,
        healed_in,
        client_time: now * people.len() as u32,
        history: history.unwrap_or_default(),
    }
}

/// The faults stop, nobody presses a key, and everybody is to show the same, within its time.
fn heal(world: &mut World) -> Duration {
    world.mend();
    // Who sleeps is not woken: that would be one more thing that happens.
    let began = world
        .devices
        .iter()
        .map(|device| device.asleep_until)
        .fold(world.now, Duration::max);
    while world.violations.is_empty() {
        let next = world.now + Duration::from_secs(1);
        world.run_until(next);
        world.check_now();
        world.checked(Promise::Converges);
        let Err((about, why)) = world.has_converged() else {
            break;
        };
        if world.now > began + HEAL {
            let what = format!(
                "not the same everywhere {} s after the last fault: {why}",
                HEAL.as_secs()
            );
            world.violate(Promise::Converges, about, what);
        }
    }
    world.now.saturating_sub(began)
}

/// The results of many runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) checks: BTreeMap<Promise, u64>,
    pub(crate) slowest_healing: Duration,
    pub(crate) client_time: Duration,
    pub(crate) failed: BTreeMap<u64, Violation>,
}

impl Tally {
    fn add(&mut self, seed: u64, run: Run) {
        self.runs += 1;
        run.counts
            .iter()
            .for_each(|(what, count)| *self.counts.entry(what).or_default() += count);
        run.checks
            .iter()
            .for_each(|(promise, count)| *self.checks.entry(*promise).or_default() += count);
        self.slowest_healing = self.slowest_healing.max(run.healed_in);
        self.client_time += run.client_time;
        self.failed.extend(
            run.violations
                .into_iter()
                .next()
                .map(|violation| (seed, violation)),
        );
    }

    pub(crate) fn client_hours(&self) -> f64 {
        self.client_time.as_secs_f64() / 3_600.0
    }

    /// The table of faults, messages and promises.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let count = |what: &str| self.counts.get(what).copied().unwrap_or_default();
        let mut rows = |title: &str, rows: Vec<(String, u64)>| {
            let _ = writeln!(text, "\n  {title}"); // a string takes everything
            for (what, count) in rows {
                let _ = writeln!(text, "  {count:>12}  {what}");
            }
        };
        rows(
            "faults",
            FAULTS
                .iter()
                .map(|fault| ((*fault).to_owned(), count(fault)))
                .collect(),
        );
        let typed = |what: &&str| ((*what).to_owned(), count(what));
        rows(
            "messages, and what became of each",
            std::iter::once(&"typed").chain(&FATES).map(typed).collect(),
        );
        let wires = [
            "acked",
            "sent again",
            "deduplicated",
            "dials",
            "second devices",
            "live values heard",
            "worlds of drivers",
        ];
        rows("on the wires", wires.iter().map(typed).collect());
        let broken = |promise| {
            self.failed
                .values()
                .filter(|violation| violation.promise == promise)
                .count()
        };
        let checks = Promise::ALL.iter().map(|(promise, name)| {
            let checks = self.checks.get(promise).copied().unwrap_or_default();
            (format!("{name:<31} broken {}", broken(*promise)), checks)
        });
        rows("checks of the promises", checks.collect());
        let _ = write!(
            text,
            "\n  {} worlds, {:.0} client-hours, slowest healing {} s, {} violations",
            self.runs,
            self.client_hours(),
            self.slowest_healing.as_secs(),
            self.failed.len()
        );
        text
    }
}

/// Runs worlds from a seed on, until `count` have run, `is_over` returns true, or `failures_max`
/// have failed.
pub(crate) fn run_many(
    base: u64,
    seeds: u64,
    made: Option<PlantedBug>,
    failures_max: usize,
    is_over: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = base + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= base + seeds {
                        return;
                    }
                    let run = run(&Plan::draw(seed), made, false);
                    let mut tally = tally.lock().expect("not poisoned");
                    tally.add(seed, run);
                    if is_over(&tally) || tally.failed.len() >= failures_max {
                        next.store(seeds, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    tally.into_inner().expect("not poisoned")
}

/// Made where only drivers run.
const OF_DRIVERS: [PlantedBug; 2] = [PlantedBug::ChangeNotReported, PlantedBug::TimerForgotten];

/// Planted bugs that no world shows: worlds lose no power, and some bugs need a test of their own.
/// Each with that test and its file.
pub(crate) const ELSEWHERE: [(PlantedBug, &str, &str); 9] = [
    (
        PlantedBug::NoSync,
        "tests/it/power.rs",
        "missing_sync_is_caught_by_a_power_cut",
    ),
    (
        PlantedBug::NameNotSynced,
        "tests/it/power.rs",
        "backup_survives_power_cut_at_any_moment",
    ),
    (
        PlantedBug::CarefulForEver,
        "src/client/outbox/tests/answers.rs",
        "one_entry_at_a_time_ends_with_the_next_ack",
    ),
    (
        PlantedBug::LateRowsTaken,
        "src/client/outbox/tests/rows.rs",
        "outbox_ignores_rows_asked_for_before_a_load",
    ),
    (
        PlantedBug::SkipTooFar,
        "src/client/log/tests.rs",
        "log_skip_covers_exactly_its_range",
    ),
    (
        PlantedBug::AckAtHeadIsVoid,
        "src/client/session/tests/sending.rs",
        "ack_at_the_head_is_not_void",
    ),
    (
        PlantedBug::ReportedBeforeStored,
        "src/client/store/tests/groups.rs",
        "unstored_change_is_not_reported",
    ),
    (
        PlantedBug::LostFileTaken,
        "src/sqlite/file/tests.rs",
        "unchecked_database_is_caught",
    ),
    (
        PlantedBug::AnyLogFits,
        "src/sqlite/file/tests.rs",
        "unchecked_database_is_caught",
    ),
];

/// Name of the test that catches a planted bug which no world shows.
pub(crate) fn elsewhere(bug: PlantedBug) -> Option<&'static str> {
    ELSEWHERE
        .iter()
        .find(|(known, ..)| *known == bug)
        .map(|(_, _, test)| *test)
}

/// How a planted bug is caught, by a scenario or by worlds from a seed on; `None` when it is not.
pub(crate) fn caught(bug: PlantedBug, base: u64, seeds: u64) -> Option<String> {
    if OF_DRIVERS.contains(&bug) {
        let broken = |seed| {
            run(&Plan::draw(seed).for_drivers(), Some(bug), false)
                .violations
                .into_iter()
                .next()
        };
        let (seed, violation) =
            (base..base + seeds).find_map(|seed| Some((seed, broken(seed)?)))?;
        let (count, what) = (seed + 1 - base, violation.what);
        return Some(format!(
            "{:<31} {count:>3} seeds, drivers, at seed {seed}: {what}",
            violation.promise
        ));
    }
    let broken = |plan: &Plan| run(plan, Some(bug), false).violations.into_iter().next();
    if let Some((_, plan)) = MADE_FOR.iter().find(|(made_for, _)| *made_for == bug) {
        let violation = broken(&plan())?;
        return Some(format!("{:<31} its own scenario", violation.promise));
    }
    let by_scenario = SCENARIOS
        .iter()
        .find_map(|(fact, plan)| Some((fact, broken(&plan())?)));
    if let Some((fact, violation)) = by_scenario {
        return Some(format!("{:<31} scenario: {fact}", violation.promise));
    }
    let tally = run_many(base, seeds, Some(bug), 1, |_| false);
    let (seed, violation) = tally.failed.first_key_value()?;
    Some(format!(
        "{:<31} {:>3} seeds, at seed {seed}: {}",
        violation.promise, tally.runs, violation.what
    ))
}

/// Reduces a plan to the fewest steps that still break the same promise (Zeller's delta debugging).
pub(crate) fn shrink(plan: &Plan, made: Option<PlantedBug>, promise: Promise) -> Plan {
    let breaks = |plan: &Plan| {
        run(plan, made, false)
            .violations
            .first()
            .is_some_and(|found| found.promise == promise)
    };
    let (mut small, mut runs) = (plan.clone(), 0);
    let mut piece = small.steps.len().div_ceil(2);
    while piece > 0 && runs < SHRINK_RUNS {
        let mut at = 0;
        let before = small.steps.len();
        while at < small.steps.len() && runs < SHRINK_RUNS {
            let mut fewer = small.clone();
            fewer.steps.drain(at..(at + piece).min(fewer.steps.len()));
            runs += 1;
            if breaks(&fewer) {
                small = fewer
            } else {
                at += piece
            }
        }
        piece = if piece == 1 && small.steps.len() < before {
            1
        } else {
            piece / 2
        };
    }
    if let Some(last) = small.steps.last() {
        let sooner = Plan {
            lasts: last.at + Duration::from_secs(95),
            ..small.clone()
        };
        if sooner.lasts < small.lasts && breaks(&sooner) {
            return sooner;
        }
    }
    small
}

/// Returns the events around a violation: the entry's own lines, the faults, and the link states.
pub(crate) fn timeline(plan: &Plan, made: Option<PlantedBug>) -> String {
    let Run {
        violations,
        history,
        ..
    } = run(plan, made, true);
    let Some(violation) = violations.first() else {
        return "it does not fail".to_owned();
    };
    let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    let named = violation
        .what
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .filter(is_id)
        .map(str::to_owned);
    let about: Vec<_> = violation
        .about
        .map(|id| id.to_string())
        .into_iter()
        .chain(named)
        .collect();
    let is_of_it = |line: &&String| {
        let is_noise = ["NewRows(", "Outbox(", "Freeze(", "Frozen(", "Take"]
            .iter()
            .any(|word| line.contains(word));
        let is_about = !is_noise && about.iter().any(|id| line.contains(id));
        let is_event = [
            " * ",
            " starts",
            " is killed",
            "VIOLATION",
            "-> Hangup(",
            "-> Dial(",
            "server closes",
            " link ",
        ];
        is_about || is_event.iter().any(|word| line.contains(word))
    };
    let lines: Vec<_> = history.iter().filter(is_of_it).collect();
    let skipped = lines.len().saturating_sub(TIMELINE);
    let mut text = format!("{violation}\n");
    for line in &lines[skipped..] {
        let short: String = line.chars().take(180).collect();
        let _ = writeln!(text, "  {short}"); // a string takes everything
    }
    text
}

/// Returns everything that a user needs to see about a failed seed.
pub(crate) fn explain(seed: u64, made: Option<PlantedBug>) -> String {
    let plan = Plan::draw(seed);
    let Some(violation) = run(&plan, made, false).violations.into_iter().next() else {
        return format!("seed {seed} breaks nothing");
    };
    let small = shrink(&plan, made, violation.promise);
    let mut text = format!(
        "seed {seed} breaks {}\n{} of {} steps are enough (people are counted from 0: {}):\n",
        violation.promise,
        small.steps.len(),
        plan.steps.len(),
        NAMES[..plan.people.min(NAMES.len())].join(", ")
    );
    for step in &small.steps {
        // a string takes everything
        let _ = writeln!(
            text,
            "  {:>9.3} s  {:?}",
            step.at.as_secs_f64(),
            step.action
        );
    }
    let option = made.map_or_else(String::new, |made| format!(" --planted-bug {made:?}"));
    text + &timeline(&small, made) + &format!("\nagain: cargo prove --seed {seed}{option}\n")
}
