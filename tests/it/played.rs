//! One run of the demo without a screen: its exit code and its lines.

use crate::support::Home;

/// The exit code and the lines of one run.
pub(crate) struct Played {
    pub(crate) status: i32,
    pub(crate) lines: Vec<serde_json::Value>,
}

/// Plays a part of the demo to its end.
pub(crate) fn play(arguments: &[&str], environment: &[(&str, &str)]) -> Played {
    let home = Home::new();
    let arguments = [&["demo", "--headless", "--json"], arguments].concat();
    let done = home
        .command_in(&arguments, environment)
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{arguments:?}");
    let out = String::from_utf8(done.stdout).expect("UTF-8");
    let json = |line| serde_json::from_str(line).expect("JSON");
    Played {
        status: done.status.code().expect("a code"),
        lines: out.lines().map(json).collect(),
    }
}

impl Played {
    pub(crate) fn proof(&self) -> &serde_json::Value {
        let proof = self.lines.last().expect("a proof");
        assert_eq!(proof["event"], "proof", "{proof}");
        proof
    }

    pub(crate) fn score(&self, chat: &str, what: &str) -> u64 {
        let score = &self.proof()["score"][chat][what];
        score
            .as_u64()
            .unwrap_or_else(|| panic!("{chat} {what}: {score}"))
    }

    pub(crate) fn headlines(&self) -> Vec<&str> {
        let captions = self.lines.iter().filter(|line| line["event"] == "caption");
        captions
            .filter_map(|line| line["headline"].as_str())
            .collect()
    }

    /// Why a part did not come to its end; empty, when it did.
    pub(crate) fn failed(&self) -> &str {
        self.proof()["failed"].as_str().unwrap_or_default()
    }

    /// The texts in a list of the proof.
    pub(crate) fn texts(&self, list: &serde_json::Value) -> Vec<String> {
        let texts = list.as_array().into_iter().flatten();
        texts
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// Landfall has everything once, and every part came to its end.
    pub(crate) fn assert_whole(&self) {
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
