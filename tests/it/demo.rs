//! The guided tour without a screen, with a proof at its end: one that holds, and one that does
//! not.

use crate::support::{Home, Terminal};

fn tour(environment: &[(&str, &str)]) -> (i32, Vec<serde_json::Value>, String) {
    let home = Home::new();
    let mut command = home.command_in(&["demo", "--tour", "--headless", "--json"], environment);
    let done = command.output().expect("runs");
    let out = String::from_utf8(done.stdout).expect("UTF-8");
    let lines = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    (
        done.status.code().expect("a code"),
        lines,
        String::from_utf8_lossy(&done.stderr).into_owned(),
    )
}

#[test]
fn tour_ends_with_a_valid_proof() {
    let (status, lines, err) = tour(&[]);
    assert_eq!(err, "");
    let stations = lines
        .iter()
        .filter(|line| line["event"] == "station")
        .count();
    assert_eq!(stations, 8);
    let proof = lines.last().expect("a proof");
    assert_eq!(
        (proof["event"].as_str(), proof["holds"].as_bool()),
        (Some("proof"), Some(true)),
        "{proof}"
    );
    assert_eq!(proof["proof"]["typed"], proof["proof"]["in_log"], "{proof}");
    assert!(
        lines.iter().all(|line| line["event"] != "failed"),
        "{lines:#?}"
    );
    assert_eq!(proof["finished"].as_bool(), Some(true), "{proof}");
    let naive = proof["proof"]["naive"].as_array().expect("naive chats");
    let count = |chat: usize, what: &str| match &naive[chat][what] {
        serde_json::Value::Array(lines) => lines.len() as u64,
        number => number.as_u64().expect("a number"),
    };
    assert_eq!(naive.len(), 2);
    for chat in 0..2 {
        assert!(count(chat, "lost") > 0, "{proof}");
        let accounted = count(chat, "arrived") + count(chat, "lost");
        assert_eq!(accounted, count(chat, "typed"), "nothing waits: {proof}");
    }
    assert!(count(0, "lost") > count(1, "lost"), "repaired: {proof}");
    let shared = lines
        .iter()
        .filter_map(|line| line["text"].as_str())
        .find(|text| text.contains(" skipped"));
    assert!(
        shared.is_some_and(|text| !text.contains(", 0 of ")),
        "old values gave way on a slow link: {shared:?}"
    );
    assert_eq!(status, 0);
}

#[test]
fn tour_reports_a_broken_promise() {
    let (status, lines, _) = tour(&[("LANDFALL_PLANTED_BUG", "CutForgets")]);
    let proof = lines.last().expect("a proof");
    assert_eq!(proof["holds"].as_bool(), Some(false), "{proof}");
    assert!(
        proof["proof"]["lost"]
            .as_array()
            .is_some_and(|lost| !lost.is_empty()),
        "{proof}"
    );
    assert_eq!(status, 1);
}

/// Presses each key and waits for the moment at which its fault shows; with `LANDFALL_CAPTURES` set
/// to a folder, the screens of those moments are kept there.
struct Visitor {
    demo: Terminal,
    size: (u16, u16),
}

impl Visitor {
    fn moment(&self, name: &str, is_there: impl Fn(&str) -> bool) {
        self.demo.wait(name, is_there);
        if let Some(folder) = std::env::var_os("LANDFALL_CAPTURES") {
            let file = format!(
                "{}x{}-{}.txt",
                self.size.0,
                self.size.1,
                name.replace(' ', "-")
            );
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(std::path::Path::new(&folder).join(file), self.demo.screen())
                .expect("is kept");
        }
    }

    /// Says something from the composer, and gets back to the keys.
    fn say(&mut self, text: &str) {
        self.demo.keys("\t");
        self.demo
            .wait_for("Tab on an empty line: keys break things");
        self.demo.say(text);
        self.demo.keys("\t");
        self.demo.wait_for("keys break things; Tab to the text");
    }

    fn mends(&mut self) {
        self.demo.keys("p");
        self.demo.wait("all is well", |screen| {
            screen.contains("mended: every fault ends")
                && screen.contains("● connected")
                && !screen.contains('◌')
        });
    }
}

fn noticed(screen: &str) -> bool {
    screen.contains("noticed: lost after")
}

/// How many values gave way to newer ones.
fn skipped(screen: &str) -> u64 {
    let before = screen.split(" skipped").next().unwrap_or_default();
    before
        .rsplit(", ")
        .next()
        .and_then(|of| of.split(' ').next())
        .and_then(|skipped| skipped.parse().ok())
        .unwrap_or(0)
}

/// The round trip that the status bar tells, ms.
fn round_trip(screen: &str) -> u64 {
    let after = screen.split("● connected · ").nth(1).unwrap_or_default();
    after
        .split(' ')
        .next()
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(0)
}

impl Visitor {
    fn enters(columns: u16, rows: u16) -> (Home, Self) {
        let home = Home::new();
        let demo = Terminal::open_sized(&home, &["demo", "--free"], columns, rows);
        let visitor = Self {
            demo,
            size: (columns, rows),
        };
        visitor.moment("at rest", |screen| {
            screen.contains("● connected")
                && screen.contains(" old, p99 ")
                && screen.contains("keys break things")
        });
        visitor.moment("typing", |screen| screen.contains(" is typing "));
        (home, visitor)
    }

    fn cuts(&mut self) {
        self.demo.keys("c");
        self.moment("cut", |screen| {
            screen.contains("the connection is reset, and new ones") && noticed(screen)
        });
        self.say("typed while it is cut");
        self.moment("cut and typed", |screen| {
            screen.contains("◌ 1") && screen.contains('◌')
        });
        self.mends();
        self.moment("cut no more", |screen| {
            screen.contains("✓ 1") && screen.contains("typed while it is cut")
        });
    }

    fn breaks_bytes(&mut self) {
        for (key, name, means) in [
            ("h", "half-open", "bytes vanish both ways"),
            ("u", "dead up", "what you say vanishes"),
            ("w", "dead down", "what the server says vanishes"),
            ("z", "suspend", "the server stands still"),
        ] {
            self.demo.keys(key);
            self.demo.wait_for(means);
            self.say(&format!("into a link that is {name}"));
            self.moment(name, noticed);
            self.mends();
        }
    }

    fn slows(&mut self) {
        self.demo.keys("l");
        self.demo.wait_for("each way takes 800 ms more");
        self.say("over a long way");
        self.moment("latency", |screen| {
            round_trip(screen) > 100 && screen.contains("✓ 6")
        });
        self.mends();
        self.demo.keys("s");
        self.demo.wait_for("two kilobytes a second");
        let before = skipped(&self.demo.screen());
        self.moment("slow", |screen| skipped(screen) > before);
        self.mends();
    }

    fn loses(&mut self) {
        self.demo.keys("y");
        self.say("whose ack is lost");
        self.moment("lossy", |screen| {
            screen.contains("the next three acks") && screen.contains("noticed: ")
        });
        self.mends();
    }

    /// Whether a dial falls into one of the three seconds is chance; after the end of the fault it
    /// succeeds.
    fn flaps(&mut self) {
        self.demo.keys("f");
        self.moment("flap", |screen| {
            screen.contains("three seconds cut") && noticed(screen)
        });
        self.mends();
    }

    fn kills(&mut self) {
        self.demo.keys("k");
        self.moment("kill server", |screen| {
            screen.contains("killed with SIGKILL") && noticed(screen)
        });
        self.demo.keys("n");
        self.moment("start server", |screen| screen.contains("connected again"));
    }

    fn fills_and_puts_back(&mut self, acked: u32) {
        self.demo.keys("q");
        self.moment("fill outbox", |screen| screen.contains("number 200"));
        self.demo.wait("all acked", |screen| {
            screen.contains(&format!("✓ {}", acked + 200))
        });
        self.demo.keys("b"); // an older copy, which does not have that
        self.moment("put back", |screen| {
            screen.contains("over an older copy") && noticed(screen)
        });
        self.moment("healed", |screen| {
            screen.contains("connected again") && screen.contains("number 200")
        });
    }

    fn leaves(mut self) {
        self.demo.keys("a");
        self.moment("all in turn", |screen| {
            screen.contains("1. reconnecting with backoff")
        });
        self.demo.keys("\x11");
        self.moment("proof", |screen| {
            screen.contains("0 lost, 0 doubled, same order everywhere")
        });
        assert_eq!(self.demo.wait_end(), 0);
    }
}

#[test]
fn demo_keys_do_what_they_name() {
    let (_home, mut visitor) = Visitor::enters(100, 30);
    visitor.cuts();
    visitor.flaps();
    visitor.breaks_bytes();
    visitor.slows();
    visitor.loses();
    visitor.kills();
    visitor.fills_and_puts_back(7);
    visitor.leaves();
}

/// The same keys, of which only some take another way through the screen's code; all of them when
/// their screens are kept.
#[test]
fn keys_do_so_at_80x24_too() {
    let (_home, mut visitor) = Visitor::enters(80, 24);
    visitor.cuts();
    let has_time = std::env::var_os("LANDFALL_CAPTURES").is_some();
    if has_time {
        visitor.flaps();
        visitor.breaks_bytes();
        visitor.slows();
        visitor.loses();
        visitor.kills();
    }
    visitor.fills_and_puts_back(if has_time { 7 } else { 1 });
    visitor.leaves();
}
