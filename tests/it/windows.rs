//! Windows that are closed at any moment, while lines are typed and arrive. `LANDFALL_WINDOWS` says
//! how many.

#![expect(clippy::disallowed_methods, reason = "windows have the real clock")]

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use landfall::client::store::{DraftFile, Reader};
use landfall::protocol::Seq;

use crate::support::{Home, Server, Terminal};

#[allow(dead_code, reason = "not all of it is needed here")]
mod support;

/// Windows, unless told otherwise.
const WINDOWS: usize = 20;

/// Somebody who talks without end, a hundred lines a second.
fn talk(mut lines: ChildStdin, is_over: &AtomicBool) {
    let mut n = 0;
    while !is_over.load(Ordering::Relaxed) {
        n += 1;
        let _ = writeln!(lines, "talk {n}"); // its outbox may be full at last
        std::thread::sleep(Duration::from_millis(10)); // a pace, and nothing that is waited for
    }
}

/// What stands in the composer of a screen: the line behind its prompt.
fn composed(screen: &str) -> String {
    let line = screen.lines().rev().find_map(|line| line.strip_prefix('>'));
    line.unwrap_or_default().trim().to_owned()
}

/// The recently typed texts of the lobby on disk: the draft, and the messages.
fn kept(home: &Home) -> (String, Vec<String>) {
    let profile = home.path().join("data/profiles/default");
    let reader = Reader::open(&profile).expect("opens");
    let rooms = reader.rooms().expect("reads");
    let lobby = rooms
        .iter()
        .find(|room| room.name == "lobby")
        .expect("a lobby");
    let file = DraftFile::open(&profile).expect("opens");
    let draft = file
        .drafts()
        .first()
        .map_or_else(|| lobby.draft.clone(), |draft| draft.text.clone());
    let mut bodies: Vec<_> = reader
        .outbox(None, usize::MAX)
        .expect("reads")
        .into_iter()
        .map(|row| row.body)
        .collect();
    let newest = reader
        .before(lobby.room, Seq(i64::MAX as u64), 1_000)
        .expect("reads");
    bodies.extend(
        newest
            .into_iter()
            .filter(|line| line.mark.is_some())
            .map(|line| line.body),
    );
    (draft, bodies)
}

#[test]
fn closed_window_loses_nothing() {
    let windows = std::env::var("LANDFALL_WINDOWS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(WINDOWS);
    let seed = u64::from_le_bytes(landfall::system::random());
    println!("seed {seed}, {windows} windows");
    let mut rng = fastrand::Rng::with_seed(seed);
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let (ana, bob) = (Home::new(), Home::new());
    ana.join(&server.url(), &server.invite, "ana");
    bob.join(&server.url(), &server.invite, "bob");
    // Before the first window: a process that is started while a terminal is made may have it open,
    // too.
    let send = &mut bob.command(&["send", "lobby", "--lines", "--wait", "0"]);
    let mut send = send
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let lines = send.stdin.take().expect("a pipe");
    let tail = &mut bob.command(&["tail", "lobby", "--follow"]); // it has the connection
    let tail = tail
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _talking = Talking {
            is_over: &is_over,
            processes: [send, tail],
        };
        scope.spawn(|| talk(lines, &is_over));
        for n in 0..windows {
            close_one(&ana, n, &mut rng);
        }
    });
}

/// All of it ends with this, however that ends.
struct Talking<'a> {
    is_over: &'a AtomicBool,
    processes: [Child; 2],
}

impl Drop for Talking<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for process in &mut self.processes {
            let _ = process.kill(); // it may have ended
            let _ = process.wait();
        }
    }
}

fn close_one(ana: &Home, n: usize, rng: &mut fastrand::Rng) {
    let mut window = Terminal::open(ana, &[]);
    window.wait("a whole screen", |screen| {
        screen.contains(" #lobby") && screen.contains('✓')
    });
    if !composed(&window.screen()).is_empty() {
        window.keys("\u{3}"); // the draft of the one before
    }
    window.wait("an empty composer", |screen| composed(screen).is_empty());
    let mut typed = Vec::new();
    for line in 0..rng.usize(1..4) {
        let text: String = (0..rng.usize(1..40)).map(|_| rng.lowercase()).collect();
        let text = format!("w{n}l{line}{text}");
        for part in text.as_bytes().chunks(rng.usize(1..9)) {
            window.keys(std::str::from_utf8(part).expect("letters"));
            if rng.u8(..4) == 0 {
                std::thread::sleep(Duration::from_micros(rng.u64(..4_000))); // any moment will do
            }
        }
        typed.push(text);
        if rng.bool() {
            window.keys("\r");
        }
    }
    std::thread::sleep(Duration::from_micros(rng.u64(..30_000))); // any moment will do
    window.vanish();
    assert_eq!(
        window.wait_end(),
        0,
        "a window that is closed is a normal end (window {n}): {:#?}",
        typed
    );
    let shown = composed(&window.screen());
    let (draft, bodies) = kept(ana);
    let is_kept = draft.starts_with(&shown) || bodies.iter().any(|body| body.starts_with(&shown));
    assert!(
        is_kept,
        "{shown:?} was shown, and is neither in the draft {draft:?} nor sent (window {n}: {typed:?})"
    );
}
