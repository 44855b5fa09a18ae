//! The terminal: sizes, pastes, signals, and its restoration.

use rustix::process::Signal;

use crate::support::{Home, Terminal, program, signal};

fn alone() -> (Home, Terminal) {
    let home = Home::new();
    let terminal = Terminal::open(&home, &[]);
    terminal.ready();
    (home, terminal)
}

#[test]
fn every_size_is_drawn_or_reported() {
    let (_home, mut terminal) = alone();
    terminal.say("still here");
    for (cols, rows) in [(200, 50), (60, 20), (33, 9), (20, 5)] {
        terminal.resize(cols, rows);
        terminal.wait("the message at this size", |screen| {
            screen.contains("still") && screen.contains('>')
        });
    }
    terminal.resize(12, 3);
    terminal.wait_for("Terminal too");
    terminal.resize(100, 30);
    terminal.wait_for("still here");
}

#[test]
fn pasted_text_is_one_message() {
    let (home, mut terminal) = alone();
    terminal.keys("\x1b[200~line one\rline two\rline three\x1b[201~");
    terminal.wait_for("line three");
    terminal.keys("\r");
    terminal.wait("one message", |screen| {
        screen.lines().any(|line| line.trim_end() == ">")
    });
    let novel = "all work and no play ".repeat(1_000);
    terminal.keys(&format!("\x1b[200~{novel}\x1b[201~"));
    terminal.wait_for("Too long: 21000 of 16384 bytes");
    terminal.keys("\r");
    terminal.wait_for("Too long: 20999 of 16384 bytes"); // Enter counts without the last space
    terminal.keys("\x03");
    terminal.wait_for("Cleared. Ctrl-C again restores it");
    terminal.say("short");
    terminal.wait("acked", |screen| screen.contains("✓ 2"));
    assert_eq!(home.bodies(), ["line one\nline two\nline three", "short"]);
}

#[test]
fn newline_keys_and_completion_work() {
    let (home, mut terminal) = alone();
    terminal.keys("a\x1b\rb\nc\r");
    terminal.wait("acked", |screen| screen.contains("✓ 1"));
    assert_eq!(home.bodies(), ["a\nb\nc"]);
    terminal.keys("/of\t");
    terminal.wait_for("> /offline");
    terminal.keys("\r");
    terminal.wait_for("offline by your request");
    terminal.say("kept");
    terminal.wait("queued", |screen| {
        screen.contains("◌ 1") && screen.contains('◌')
    });
    terminal.keys("/discard\r");
    terminal.wait("gone", |screen| !screen.contains("kept"));
    terminal.keys("/online\r");
    terminal.wait_for("● connected");
}

#[test]
fn quitting_and_signals_give_the_terminal_back() {
    type End = fn(&mut Terminal);
    let ends: [(&str, End); 4] = [
        ("Ctrl-Q", |terminal| terminal.keys("\x11")),
        ("/quit", |terminal| terminal.keys("/quit\r")),
        ("SIGTERM", |terminal| signal(terminal.pid(), Signal::TERM)),
        ("SIGHUP", |terminal| signal(terminal.pid(), Signal::HUP)),
    ];
    for (how, end) in ends {
        let (_home, mut terminal) = alone();
        assert!(terminal.is_alternate());
        end(&mut terminal);
        assert_eq!(terminal.wait_end(), 0, "{how}");
        assert!(!terminal.is_alternate(), "{how}");
    }
}

#[test]
fn foreign_output_on_screen_is_redrawn() {
    let (_home, mut terminal) = alone();
    terminal.say("still here");
    terminal.scribble();
    assert!(!terminal.screen().contains("still here"));
    terminal.keys("\x0c");
    terminal.wait("the whole screen", |screen| {
        ["#lobby · where", "still here", "● connected"]
            .iter()
            .all(|part| screen.contains(part))
            && !screen.contains("Broadcast")
    });
}

#[test]
fn shell_can_stop_and_continue_the_chat() {
    let home = Home::new();
    let mut terminal = Terminal::shell(&home);
    let prompts = |screen: &str| screen.trim_end().ends_with("shell>");
    terminal.wait("the shell", prompts);
    terminal.keys(&format!("{}\r", program(&[]).display()));
    terminal.ready();
    terminal.say("before");
    terminal.keys("half typed");
    terminal.wait_for("> half typed");
    terminal.keys("\x1a");
    terminal.wait("the shell", prompts);
    assert!(!terminal.is_alternate());
    terminal.keys("echo $((6 * 7)) here\r");
    terminal.wait_for("42 here");
    let mut other = Terminal::open(&home, &["--as", "bob"]); // who hosts now
    other.ready();
    other.say("meanwhile");
    terminal.keys("fg\r");
    terminal.wait("the whole screen", |screen| {
        [
            "#lobby · where",
            "before",
            "meanwhile",
            "> half typed",
            "● connected",
        ]
        .iter()
        .all(|part| screen.contains(part))
    });
    assert!(terminal.is_alternate());
    terminal.keys("\x11");
    terminal.wait("the shell", prompts);
    terminal.keys("stty -a\r");
    terminal.wait("a sane terminal", |screen| {
        screen.contains(" icanon") && screen.contains(" echo ")
    });
}

#[test]
fn closed_terminal_ends_the_program() {
    let (_home, mut terminal) = alone();
    terminal.vanish();
    terminal.wait_end();
}

#[test]
fn history_is_scrolled_through_to_its_beginning() {
    let (home, mut terminal) = alone();
    let lines: String = (0..900).map(|n| format!("line number {n}\n")).collect();
    let (status, _, err) = home.run_with(
        &["send", "lobby", "--lines", "--wait", "60"],
        lines.as_bytes(),
    );
    assert_eq!(status, 0, "{err}");
    terminal.wait_for("line number 899");
    let mut presses = 0;
    while !terminal.screen().contains("line number 0 ") {
        let before = terminal.screen();
        terminal.keys("\x1b[5~");
        terminal.wait("it scrolls", |screen| screen != before);
        presses += 1;
        assert!(presses < 200);
    }
    terminal.keys("\x1b[1;5F");
    terminal.wait_for("line number 899");
}
