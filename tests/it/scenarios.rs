//! Scenarios from life, without a screen: what the naive chat loses in each, that none ends well
//! without its faults, that a planted bug shows in each, and plans of one's own.

use crate::played::{Played, play};
use crate::support::Home;

/// A scenario, what the naive chat loses, doubles or does not show in it, and a bug that it catches.
struct Scenario {
    name: &'static str,
    naive: [u64; 3],
    bug: &'static str,
}

const fn scenario(name: &'static str, naive: [u64; 3], bug: &'static str) -> Scenario {
    Scenario { name, naive, bug }
}

const SCENARIOS: [Scenario; 7] = [
    scenario("tunnel", [1, 0, 0], "TextLost"),
    scenario("hotel", [1, 0, 0], "TextLost"),
    scenario("asleep", [0, 0, 1_201], "GapSkipped"),
    scenario("redeploy", [0, 1, 0], "TextLost"),
    scenario("wifi", [1, 0, 0], "InFlightForgotten"),
    scenario("restored", [3, 0, 0], "CutForgets"),
    scenario("disk", [3, 0, 0], "PassingIsFinal"),
];

/// Plays all scenarios at once.
fn play_all(
    arguments: &'static [&'static str],
    is_with_bug: bool,
) -> Vec<(&'static Scenario, Played)> {
    std::thread::scope(|scope| {
        let playing = SCENARIOS.each_ref().map(|scenario| {
            let run = move || {
                let arguments = [&["--scenario", scenario.name], arguments].concat();
                let bug = if is_with_bug { scenario.bug } else { "" };
                play(&arguments, &[("LANDFALL_PLANTED_BUG", bug)])
            };
            (scenario, scope.spawn(run))
        });
        let played = playing.into_iter();
        played
            .map(|(scenario, played)| (scenario, played.join().expect("runs")))
            .collect()
    })
}

#[test]
fn scenarios_cost_only_the_naive_chat_messages() {
    for (Scenario { name, naive, .. }, played) in play_all(&[], false) {
        played.assert_whole();
        let counts = ["lost", "twice", "unseen"].map(|what| played.score("naive", what));
        assert_eq!(counts, *naive, "{name}");
        let took = played.proof()["at_ms"].as_u64().expect("a time");
        assert!(took < 30_000, "{name} took {took} ms");
    }
}

#[test]
fn scenario_without_its_faults_does_not_end() {
    for (Scenario { name, .. }, played) in play_all(&["--without-fault"], false) {
        assert!(played.failed().starts_with("nothing happened"), "{name}");
        assert_eq!(played.status, 1, "{name}");
        assert_eq!(played.score("landfall", "lost"), 0, "{name}");
    }
}

#[test]
fn scenario_names_what_a_planted_bug_loses() {
    for (Scenario { name, bug, .. }, played) in play_all(&[], true) {
        assert_eq!(played.status, 1, "{name} with {bug}");
        let proof = played.proof();
        let late = played.texts(&proof["late"]);
        let lost = played.texts(&proof["proof"]["lost"]);
        assert!(
            !late.is_empty() || !lost.is_empty(),
            "{name} with {bug} names a line: {proof}"
        );
    }
}

#[test]
fn own_plan_is_played_or_its_line_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = |text: &str| {
        let file = folder.path().join("my.plan");
        std::fs::write(&file, text).expect("writes");
        file.to_str().expect("UTF-8").to_owned()
    };
    let mine = plan(
        "# mine\ntitle two cuts\nnaive repaired\nlee: one\nuntil shown\nnetwork cut\nana: two\n\
         until attempt 2\nnetwork pass\nuntil arrived\ncaption It held. | Both lines are there.\n",
    );
    let played = play(&["--scenario", &mine], &[]);
    played.assert_whole();
    assert_eq!(played.headlines(), ["It held."]);
    let home = Home::new();
    let run = |file: &str| home.run(&["demo", "--headless", "--scenario", file]);
    let (code, _, err) = run(&plan("title mine\nnetwork cutt\n"));
    assert!(
        code == 64 && err.contains("my.plan: line 2: `cutt` is not a command"),
        "{code} {err}"
    );
    let (code, _, err) = run("no such scenario");
    assert!(code == 66 && err.contains("tunnel, hotel"), "{code} {err}");
}
