//! Many small random worlds with all kinds of faults, and a checker of the promises.
//!
//! Each world has several devices (the client's core over a real SQLite store), the server's cores
//! over a storage in memory or in SQLite, a network of faulty connections, and one virtual clock.
//! Then the faults stop, no key is pressed, and all users must show the same. `cargo prove` runs
//! any number.

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

use std::path::Path;
use std::time::Duration;

use landfall::planted_bug::PlantedBug;

use crate::action::UserAction;
use crate::campaign::{ELSEWHERE, caught, elsewhere, explain, run, run_many, shrink, timeline};
use crate::check::Promise;
use crate::plan::Plan;
use crate::scenario::SCENARIOS;

#[test]
fn one_seed_is_one_run_event_by_event() {
    let [first, second] = [(), ()].map(|()| run(&Plan::draw(4), None, true).history);
    assert!(first.len() > 1_000, "{} lines", first.len());
    let differs = first.iter().zip(&second).find(|(a, b)| a != b);
    assert!(
        differs.is_none() && first.len() == second.len(),
        "{differs:#?}"
    );
}

/// Seeds that found a bug. New kinds of faults change the plans of seeds; the unit test of each fix
/// remains.
const FOUND: [(u64, &str); 10] = [
    (
        1_337_222_699_962,
        "an edit of a redacted message was sent again without text to a server that had lost it, and others still showed the text",
    ),
    (
        185_245_225_130_086,
        "marks went back as soon as a server that had lost entries reported its head, before any truncation",
    ),
    (
        1_074,
        "a room that was joined and left offline, and so described as left only, was never opened for its pending entries",
    ),
    (
        20_125,
        "a redacted message was sent again without text, and rejected as another one when a restored store sent it with its text",
    ),
    (
        253_612_080_126_332,
        "an answer of the store for an ended connection closed a room on the next one",
    ),
    (
        23_299_021_626_933,
        "rejections did not count as answers: a dead connection was not detected for minutes",
    ),
    (
        210_833_505_478_875,
        "a device code expired before the second device had used it: no new one was requested",
    ),
    (
        45_312_454_850_792,
        "a store that was overwritten and then deleted while it was open was saved, and the core continued with its former state",
    ),
    (
        159_822_571_081_507,
        "rows requested before a truncation were added after those that it returned to the outbox: a gap in the typed order",
    ),
    (
        33_430_741_938_336,
        "an overdue ack that was noticed late left a deadline in the past: busy loop",
    ),
];

#[test]
fn earlier_failures_stay_fixed() {
    for (seed, what) in FOUND {
        let broken = run(&Plan::draw(seed), None, false)
            .violations
            .into_iter()
            .next();
        assert!(broken.is_none(), "{what}: seed {seed}: {broken:?}");
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn fresh() -> u64 {
    u64::from_le_bytes(landfall::system::random()) >> 16
}

#[test]
fn promises_hold_under_random_faults() {
    let base = variable("SIM_BASE").unwrap_or_else(fresh);
    let tally = run_many(base, variable("SIM_SEEDS").unwrap_or(20), None, 1, |_| {
        false
    });
    println!("base seed {base}{}", tally.table());
    let failed = tally.failed.keys().next().map(|seed| explain(*seed, None));
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}

#[test]
fn every_scenario_holds() {
    for (fact, plan) in SCENARIOS {
        let broken = run(&plan(), None, false).violations.into_iter().next();
        assert!(broken.is_none(), "{fact}:\n{}", timeline(&plan(), None));
    }
}

/// A planted bug that nothing catches is a hole in the checker.
#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in PlantedBug::ALL
        .iter()
        .copied()
        .filter(|bug| elsewhere(*bug).is_none())
    {
        match caught(bug, 1, 60) {
            Some(how) => println!("{:<18} {how}", format!("{bug:?}")),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn planted_bugs_outside_worlds_are_caught() {
    for (bug, file, test) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = std::fs::read_to_string(path).expect("reads");
        let body = source
            .split(&format!("fn {test}()"))
            .nth(1)
            .unwrap_or_else(|| panic!("{file} has no {test}"));
        let body = body.split("\n}\n").next().unwrap_or(body);
        assert!(
            body.contains(&format!("{bug:?}")),
            "{test} in {file} does not make {bug:?}"
        );
    }
}

#[test]
fn failed_world_is_reduced() {
    let say = |who| UserAction::Say {
        who,
        room: 0,
        lines: 1,
        bytes: 0,
    };
    let noise = (0..40).fold(Plan::quiet(3, 2, Duration::from_secs(60)), |plan, n| {
        plan.with(
            5_000 + n * 1_000,
            if n % 3 == 0 {
                say(1)
            } else {
                UserAction::Focus { who: 0, room: 1 }
            },
        )
    });
    let plan = noise.with(30_500, UserAction::StepClock { ms: -3_600_000 });
    let broken = |plan: &Plan| {
        run(plan, Some(PlantedBug::TimeFalls), false)
            .violations
            .first()
            .map(|found| found.promise)
    };
    assert_eq!(broken(&plan), Some(Promise::OneOrder));
    let small = shrink(&plan, Some(PlantedBug::TimeFalls), Promise::OneOrder);
    assert_eq!(broken(&small), Some(Promise::OneOrder), "it replays");
    assert!(small.steps.len() <= 3, "{:#?}", small.steps);
    assert!(
        small
            .steps
            .iter()
            .any(|step| matches!(step.action, UserAction::StepClock { .. }))
    );
    assert!(timeline(&small, Some(PlantedBug::TimeFalls)).contains("VIOLATION"));
}

/// The events of one are the same down to the times at which links changed, the entries, and the
/// journals.
#[test]
fn one_seed_is_one_run_of_drivers_too() {
    let [first, second] = [(), ()].map(|()| run(&Plan::draw(4).for_drivers(), None, true).history);
    assert!(first.len() > 100, "{} lines", first.len());
    let differs = first.iter().zip(&second).find(|(a, b)| a != b);
    assert!(
        differs.is_none() && first.len() == second.len(),
        "{differs:#?}"
    );
}
