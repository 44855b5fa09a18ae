//! The acts of the demo, without a screen: what each chat loses, that no act ends well without its
//! fault, and that a planted bug shows.

use crate::support::Home;

/// The exit code and the lines of one run.
struct Played {
    status: i32,
    lines: Vec<serde_json::Value>,
}

fn play(arguments: &[&str], environment: &[(&str, &str)]) -> Played {
    let home = Home::new();
    let arguments = [&["demo", "--headless", "--json"], arguments].concat();
    let done = home
        .command_in(&arguments, environment)
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    let out = String::from_utf8(done.stdout).expect("UTF-8");
    let json = |line| serde_json::from_str(line).expect("JSON");
    Played {
        status: done.status.code().expect("a code"),
        lines: out.lines().map(json).collect(),
    }
}

impl Played {
    fn proof(&self) -> &serde_json::Value {
        let proof = self.lines.last().expect("a proof");
        assert_eq!(proof["event"], "proof", "{proof}");
        proof
    }

    fn score(&self, chat: &str, what: &str) -> u64 {
        let score = &self.proof()["score"][chat][what];
        score
            .as_u64()
            .unwrap_or_else(|| panic!("{chat} {what}: {score}"))
    }

    fn headlines(&self) -> Vec<&str> {
        let captions = self.lines.iter().filter(|line| line["event"] == "caption");
        captions
            .filter_map(|line| line["headline"].as_str())
            .collect()
    }

    /// Landfall has everything once, and the act came to its end.
    fn assert_whole(&self) {
        let proof = self.proof();
        assert_eq!(proof["holds"], true, "{proof}");
        assert_eq!(proof["failed"], serde_json::Value::Null, "{proof}");
        for what in ["lost", "twice", "unseen"] {
            assert_eq!(self.score("landfall", what), 0, "{what}: {proof}");
        }
        assert_eq!(
            self.score("landfall", "typed"),
            self.score("landfall", "arrived")
        );
        assert_eq!(self.status, 0);
    }
}

#[test]
fn act_1_the_naive_chat_loses_the_line_under_way() {
    let played = play(&["--act", "1"], &[]);
    played.assert_whole();
    assert_eq!(played.score("naive", "lost"), 1);
    assert_eq!(played.proof()["naive_lost"][0], "the key is under the pot");
    assert_eq!(played.headlines().len(), 7, "{:?}", played.headlines());
}

#[test]
fn act_2_the_naive_chat_loses_two_lines() {
    let played = play(&["--act", "2"], &[]);
    played.assert_whole();
    assert_eq!(played.score("naive", "lost"), 2);
    let [naive, landfall] = ["naive", "landfall"].map(|chat| played.score(chat, "false_ms"));
    assert!(naive >= landfall && landfall > 4_000, "{naive} {landfall}");
}

#[test]
fn act_3_the_repaired_naive_chat_doubles_a_line() {
    let played = play(&["--act", "3"], &[]);
    played.assert_whole();
    assert_eq!(
        (
            played.score("naive", "lost"),
            played.score("naive", "twice")
        ),
        (0, 1)
    );
}

#[test]
fn act_4_the_naive_chat_never_shows_what_it_missed() {
    let played = play(&["--act", "4"], &[]);
    played.assert_whole();
    assert_eq!(played.score("naive", "unseen"), 4_950);
}

#[test]
fn act_5_the_naive_chat_loses_what_the_backup_lacks() {
    let played = play(&["--act", "5"], &[]);
    played.assert_whole();
    assert_eq!(played.score("naive", "lost"), 4);
}

/// A caption is caused by its event: without the fault, the event never comes.
#[test]
fn act_without_its_fault_does_not_end() {
    std::thread::scope(|scope| {
        let acts = ["1", "2", "3", "4", "5"];
        let played = acts.map(|act| {
            let run = move || play(&["--act", act, "--without-fault"], &[]);
            (act, scope.spawn(run))
        });
        for (act, played) in played {
            let played = played.join().expect("runs");
            let failed = played.proof()["failed"].as_str().unwrap_or_default();
            assert!(
                failed.starts_with("nothing happened"),
                "act {act}: {failed}"
            );
            assert_eq!(played.status, 1, "act {act}");
            assert_eq!(played.score("landfall", "lost"), 0, "act {act}");
        }
    });
}

#[test]
fn act_shows_what_a_planted_bug_loses() {
    let played = play(&["--act", "5"], &[("LANDFALL_PLANTED_BUG", "CutForgets")]);
    assert_eq!(played.status, 1);
    let proof = played.proof();
    assert_eq!(proof["holds"], false, "{proof}");
}
