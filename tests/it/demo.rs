//! The guided tour without a screen, with a proof at its end: one that holds, and one that does not.

use crate::support::{Home, Terminal};

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

#[test]
fn keys_break_things_and_a_line_tells_what_and_the_end_is_a_proof() {
    for (columns, rows) in [(100, 30), (80, 24)] {
        let home = Home::new();
        let mut demo = Terminal::open_sized(&home, &["demo"], columns, rows);
        demo.wait_for("keys break things");
        demo.wait_for("● connected");
        demo.keys("c");
        demo.wait_for("the connection is reset, and new ones are refused");
        demo.wait_for("noticed: backoff: nobody listens there");
        demo.keys("\t");
        demo.say("typed while it is cut");
        demo.wait_for("1 queued");
        demo.keys("\tp");
        demo.wait("sent after all", |screen| screen.contains("● connected") && screen.contains("acked 1"));
        demo.keys("b"); // an older copy, which does not have that
        demo.wait("the server is back, and has it again", |screen| {
            screen.contains("an older copy of its data") && screen.contains("● connected")
        });
        demo.keys("\x11");
        demo.wait_for("0 lost, 0 doubled, same order everywhere");
        assert_eq!(demo.wait_end(), 0);
    }
}
