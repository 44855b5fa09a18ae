//! kill -9, again and again, of the server, of commands and of chats, at any moment.
//! `LANDFALL_KILLS` says how often.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use landfall::client::store::Reader;

use crate::support::{Home, PATIENCE, Server, Terminal, messages};

/// Kills, unless told otherwise.
const KILLS: usize = 300;

/// Everything that was promised, and everything that was tried.
#[derive(Default)]
struct Ledger {
    /// Acked, or cleared from the composer.
    promised: Vec<String>,
    /// Lines that were given to one command, which was killed: the first ones of them, or all, or
    /// none.
    together: Vec<Vec<String>>,
}

struct Stage {
    server: Server,
    ana: Home,
    bob: Home,
    rng: fastrand::Rng,
    ledger: Ledger,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(data.path());
        let (ana, bob) = (Home::new(), Home::new());
        ana.join(&server.url(), &server.invite, "ana");
        bob.join(&server.url(), &server.invite, "bob");
        for home in [&ana, &bob] {
            assert_eq!(home.run(&["send", "lobby", "hello"]).0, 0);
        }
        Self {
            server,
            ana,
            bob,
            rng: fastrand::Rng::with_seed(seed),
            ledger: Ledger::default(),
            _data: data,
        }
    }

    /// A random pause: kills at any moment are the subject of this test.
    fn a_moment(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.rng.u64(..most_ms * 1_000)));
    }

    fn lines(&mut self, n: usize) -> Vec<String> {
        let count = self.rng.usize(1..7);
        (0..count)
            .map(|line| format!("kill {n} line {line}"))
            .collect()
    }

    /// Sends lines from a command, and kills the command or the server while it runs.
    fn kill_while_sending(&mut self, n: usize, kills_server: bool) {
        let lines = self.lines(n);
        let mut command = self
            .ana
            .command(&["send", "lobby", "--lines", "--wait", "60"]);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin
            .write_all(lines.join("\n").as_bytes())
            .expect("writes");
        drop(stdin);
        self.a_moment(60);
        if kills_server {
            self.server.crash_and_restart();
        } else {
            let _ = child.kill(); // it may have ended
        }
        let output = child.wait_with_output().expect("ends");
        match output.status.code() {
            Some(0) => self.ledger.promised.extend(lines),
            None => self.ledger.together.push(lines),
            Some(code) => panic!(
                "send ended with {code}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// Says something in a chat, and kills it or the server at once.
    fn kill_while_chatting(&mut self, n: usize, kills_server: bool) {
        let mut bob = Terminal::open(&self.bob, &[]);
        bob.wait_for(" #lobby");
        let line = format!("kill {n} chat");
        bob.say(&line);
        self.ledger.promised.push(line);
        self.a_moment(30);
        if kills_server {
            self.server.crash_and_restart()
        } else {
            bob.kill9()
        }
    }

    /// Half a line is on the disk when the chat is killed, and in the composer when it is started
    /// again.
    fn kill_with_a_draft(&mut self, n: usize) {
        let draft = format!("kill {n} half a li");
        let mut bob = Terminal::open(&self.bob, &[]);
        bob.wait_for(" #lobby");
        bob.keys(&draft);
        bob.wait_for(&draft);
        let reader = Reader::open(&self.bob.path().join("data/profiles/default")).expect("opens");
        let is_kept = || {
            reader
                .rooms()
                .expect("reads")
                .iter()
                .any(|room| room.draft == draft)
        };
        let end = Instant::now() + PATIENCE;
        while !is_kept() {
            assert!(Instant::now() < end, "the draft is not kept");
            std::thread::yield_now();
        }
        bob.kill9();
        let mut bob = Terminal::open(&self.bob, &[]);
        bob.wait_for(&draft);
        bob.keys("\u{3}");
        bob.wait("the composer clears", |screen| {
            screen.lines().any(|line| line.trim_end() == ">")
        });
        bob.quit();
    }

    fn settle(&self) {
        for home in [&self.ana, &self.bob] {
            assert_eq!(
                home.run(&["send", "lobby", "the end", "--wait", "120"]).0,
                0
            );
        }
    }
}

#[test]
fn kills_at_random_lose_and_duplicate_nothing() {
    let kills = std::env::var("LANDFALL_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(KILLS);
    let seed = u64::from_le_bytes(landfall::system::random());
    println!("seed {seed}, {kills} kills");
    let mut stage = Stage::new(seed);
    for n in 0..kills {
        match stage.rng.u8(..8) {
            0..3 => stage.kill_while_sending(n, true),
            3..5 => stage.kill_while_sending(n, false),
            5 => stage.kill_while_chatting(n, true),
            6 => stage.kill_while_chatting(n, false),
            _ => stage.kill_with_a_draft(n),
        }
    }
    stage.settle();
    let (_, log, _) = stage.ana.run(&["tail", "lobby", "--json"]);
    let mut stands: BTreeMap<String, usize> = BTreeMap::new();
    for line in messages(&log) {
        *stands
            .entry(line["body"].as_str().expect("a body").to_owned())
            .or_default() += 1;
    }
    let said = |body: &String| stands.get(body).copied().unwrap_or_default();
    for body in &stage.ledger.promised {
        assert_eq!(said(body), 1, "{body:?} was promised");
    }
    for lines in &stage.ledger.together {
        let counts: Vec<_> = lines.iter().map(said).collect();
        assert!(
            counts.is_sorted_by(|a, b| a >= b) && counts[0] <= 1,
            "{lines:?}: {counts:?}"
        );
    }
    let (_, other, _) = stage.bob.run(&["tail", "lobby", "--json"]);
    let of = |log: &str| {
        messages(log)
            .iter()
            .map(|line| line["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&other), of(&log), "both show the same");
    println!(
        "{} promised, {} batches of killed commands, {} in the log",
        stage.ledger.promised.len(),
        stage.ledger.together.len(),
        stands.len()
    );
}
