//! The guided tour without a screen, with a proof at its end: one that holds, and one that does not.

use crate::support::Home;

fn tour(environment: &[(&str, &str)]) -> (i32, Vec<serde_json::Value>, String) {
    let home = Home::new();
    let mut command = home.command(&["demo", "--tour", "--headless", "--json"]);
    let done = command.envs(environment.iter().copied()).output().expect("runs");
    let out = String::from_utf8(done.stdout).expect("UTF-8");
    let lines = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (done.status.code().expect("a code"), lines, String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn the_tour_ends_with_a_proof_that_holds() {
    let (status, lines, err) = tour(&[]);
    assert_eq!(err, "");
    let stations = lines.iter().filter(|line| line["event"] == "station").count();
    assert_eq!(stations, 7);
    let proof = lines.last().expect("a proof");
    assert_eq!((proof["event"].as_str(), proof["holds"].as_bool()), (Some("proof"), Some(true)), "{proof}");
    assert_eq!(proof["proof"]["typed"], proof["proof"]["in_log"], "{proof}");
    let known = |line: &&serde_json::Value| {
        line["text"].as_str().is_some_and(|text| text.contains(" known)") && !text.contains(" 0 known)"))
    };
    assert!(lines.iter().any(|line| known(&line)), "what was sent again was known: {lines:#?}");
    assert_eq!(status, 0);
}

#[test]
fn a_program_that_breaks_its_word_is_told_so_at_the_end_of_the_tour() {
    let (status, lines, _) = tour(&[("LANDFALL_MISTAKE", "CutForgets")]);
    let proof = lines.last().expect("a proof");
    assert_eq!(proof["holds"].as_bool(), Some(false), "{proof}");
    assert!(proof["proof"]["lost"].as_array().is_some_and(|lost| !lost.is_empty()), "{proof}");
    assert_eq!(status, 1);
}
