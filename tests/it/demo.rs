//! The tour without a screen, and free play in a terminal: each key does what it names.

use crate::played::play;
use crate::support::{Home, Terminal};

#[test]
fn tour_plays_nine_stations() {
    let played = play(&["--tour"], &[]);
    played.assert_whole();
    let parts = played.lines.iter().filter(|line| line["event"] == "act");
    assert_eq!(parts.count(), 9);
    let counts = ["lost", "twice", "unseen"].map(|what| played.score("naive", what));
    assert_eq!(counts, [11, 1, 1_450]);
}

/// Presses keys, and waits for the moments at which their faults show.
struct Visitor {
    demo: Terminal,
}

impl Visitor {
    fn enter(columns: u16, rows: u16) -> (Home, Self) {
        let home = Home::new();
        let demo = Terminal::open_sized(&home, &["demo", "--free"], columns, rows);
        let visitor = Self { demo };
        visitor.demo.wait("people chat", |screen| {
            screen.contains("Now you break it.") && screen.contains("kilometre 1,")
        });
        (home, visitor)
    }

    /// Presses a key, and waits for its headline and for what else shows.
    fn press(&mut self, key: &str, headline: &str, shows: impl Fn(&str) -> bool) {
        self.demo.keys(key);
        self.demo.wait(headline, |screen| {
            screen.contains(headline) && shows(screen)
        });
    }

    /// Types a line as Ana into both chats.
    fn say(&mut self, text: &str) {
        self.demo.keys("\t");
        self.demo.wait_for("type as Ana >");
        self.demo.keys(text);
        self.demo.keys("\r\t");
        self.demo.wait_for("? help");
    }

    fn repair(&mut self) {
        self.press("p", "Everything is repaired.", |screen| {
            screen.contains("● connected") && screen.contains(" · 0 pending")
        });
    }

    fn leave(mut self) {
        self.demo.keys("q");
        self.demo.wait("the proof", |screen| {
            screen.contains("Landfall lost nothing.") && screen.contains("free play")
        });
        self.demo.keys("q");
        self.demo
            .wait_for("0 lost, 0 doubled, same order everywhere");
        assert_eq!(self.demo.wait_end(), 0);
    }
}

fn is_reconnecting(screen: &str) -> bool {
    screen.contains("reconnecting in")
}

/// Number of values that gave way to newer ones.
fn skipped(screen: &str) -> u64 {
    let before = screen.split(" skipped").next().unwrap_or_default();
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

#[test]
fn free_play_keys_do_what_they_name() {
    let (_home, mut visitor) = Visitor::enter(160, 45);
    visitor.press("c", "The cable is cut.", is_reconnecting);
    visitor.say("typed while it is cut");
    visitor
        .demo
        .wait("saved", |screen| screen.contains("◌ saved"));
    visitor.repair();
    for (key, headline) in [
        ("h", "The connection is silent."),
        ("u", "The server hears nothing."),
        ("z", "The servers hang."),
    ] {
        visitor.press(key, headline, |_| true);
        visitor.say(&format!("typed after {key}"));
        visitor.demo.wait("it is noticed", is_reconnecting);
        visitor.repair();
    }
    visitor.press("s", "Slow connection: 3 kB/s.", |screen| {
        skipped(screen) > 0
    });
    visitor.repair();
    visitor.press("f", "The network comes and goes.", is_reconnecting);
    visitor.repair();
    visitor.press("k", "The servers are killed.", is_reconnecting);
    visitor.press("n", "The servers start.", |screen| {
        screen.contains("● connected")
    });
    visitor.press("o", "Ana sends 200 messages.", |screen| {
        screen.contains("number 200") && screen.contains(" · 0 pending")
    });
    // the connection may be back too soon to be seen; what the naive chat has lost stays
    visitor.press("b", "An old backup is put back.", |screen| {
        screen.contains(" LOST (shown as sent)")
    });
    visitor.demo.wait("given back", |screen| {
        screen.contains("● connected") && screen.contains(" · 0 pending")
    });
    visitor.leave();
}

#[test]
fn free_play_at_80x24_shows_all_keys_and_the_score() {
    let (_home, mut visitor) = Visitor::enter(80, 24);
    let screen = visitor.demo.screen();
    for name in [
        "cut",
        "lose 3 answers",
        "200 messages at once",
        "repair all",
    ] {
        assert!(screen.contains(name), "{name}:\n{screen}");
    }
    assert!(screen.contains(" · 0 LOST · 0 twice"), "{screen}");
    visitor.press("w", "Ana hears nothing.", |_| true);
    visitor.say("is anybody there?");
    visitor.demo.wait("it is noticed", is_reconnecting);
    visitor.press("l", "A long way: 800 ms more.", |_| true);
    visitor.press("y", "Three answers will be lost.", |_| true);
    visitor.repair();
    visitor.leave();
}
