//! The commands beside the chat, and their errors for bad input.

mod chats;
mod joining;
mod sending;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use landfall::chaos::{FaultCommand, Proxy};
use rustix::process::Signal;

use crate::support::{Follower, Home, Server, Terminal, program, signal};

struct Stage {
    home: Home,
    server: Server,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(data.path());
        let home = Home::new();
        home.join(&server.url(), &server.invite, "ana");
        let (status, _, err) = home.run(&["send", "lobby", "first"]); // and so the lobby is known
        assert_eq!(status, 0, "{err}");
        // acked is not yet placed: now it is, and the outbox is empty
        assert_eq!(home.bodies(), ["first"]);
        Self {
            home,
            server,
            _data: data,
        }
    }
}

/// One plain line, a code, and nothing else.
fn fails(home: &Home, arguments: &[&str], stdin: &[u8], code: i32, says: &str) {
    let (status, out, err) = home.run_with(arguments, stdin);
    assert_eq!(status, code, "{arguments:?}: {out}{err}");
    assert!(
        err.contains(says),
        "{arguments:?} says {err:?}, not {says:?}"
    );
    assert!(!err.chars().any(|c| c.is_control() && c != '\n'), "{err:?}");
}

/// Runs a command that succeeds, and returns its output as one JSON value per line.
fn json_lines(home: &Home, arguments: &[&str]) -> Vec<serde_json::Value> {
    let (status, out, err) = home.run(arguments);
    assert_eq!(status, 0, "{arguments:?}: {err}");
    out.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn bodies(rows: &[serde_json::Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["body"].as_str().expect("a body"))
        .collect()
}

#[test]
fn bad_input_gets_one_plain_line_and_a_code() {
    let stage = Stage::new();
    let home = &stage.home;
    let url = stage.server.url();
    fails(home, &["dance"], b"", 64, "dance");
    fails(home, &["--as", "a b"], b"", 64, "not a name");
    fails(
        home,
        &["--as", "bob", "--profile", "p", "status"],
        b"",
        64,
        "cannot be used with",
    );
    fails(home, &[], b"", 64, "needs a terminal");
    fails(
        home,
        &["join", "http://x:1#c", "--profile", "p"],
        b"",
        64,
        "ws://HOST:PORT",
    );
    fails(
        home,
        &["join", "wss://x:1#c", "--profile", "p"],
        b"",
        64,
        "TLS",
    );
    fails(
        home,
        &["join", &url, "--profile", "p"],
        b"",
        64,
        "code is missing",
    );
    fails(
        home,
        &[
            "join",
            &format!("{url}#wrong"),
            "--profile",
            "p",
            "--name",
            "eve",
        ],
        b"",
        77,
        "unknown invite",
    );
    // As the server printed it.
    let again = format!("invite {url}#{}", stage.server.invite);
    fails(
        home,
        &["join", &again, "--profile", "p", "--name", "ANA"],
        b"",
        65,
        "another account has this name",
    );
    fails(
        home,
        &["join", &again],
        b"",
        64,
        "has the account ana already",
    );
    assert!(
        !home.path().join("data/profiles/p").exists(),
        "a join that failed leaves nothing behind"
    );
    fails(
        home,
        &["send", "nowhere", "x"],
        b"",
        65,
        "does not know a room",
    );
    fails(home, &["send", "lobby"], b"", 64, "nothing to send");
    fails(
        home,
        &["send", "lobby"],
        &[b'x'; 1024 * 1024],
        65,
        "too long",
    );
    fails(
        home,
        &["send", "lobby"],
        b"abc\xff",
        65,
        "not UTF-8 (byte 3)",
    );
    fails(
        home,
        &["send", "lobby", "x", "--profile", "none"],
        b"",
        64,
        "no profile",
    );
    let taken = format!("127.0.0.1:{}", stage.server.port);
    fails(
        home,
        &["serve", "--listen", &taken],
        b"",
        69,
        "port is in use",
    );
    fails(
        home,
        &["chaos", "--listen", &taken, "--upstream", &taken],
        b"",
        69,
        "port is in use",
    );
    let busy = stage.server.data.to_str().expect("UTF-8");
    fails(
        home,
        &["serve", "--listen", "127.0.0.1:0", "--data", busy],
        b"",
        69,
        "another server uses",
    );
    fails(
        home,
        &["serve", "--listen", "127.0.0.1:0", "--data", "/dev/null/x"],
        b"",
        73,
        "cannot use",
    );
    fails(
        home,
        &["--home", "/dev/null/x", "status"],
        b"",
        64,
        "no profile",
    );
    assert_eq!(home.bodies(), ["first"], "and nothing was lost or sent");
}

#[test]
fn newer_or_damaged_store_is_reported_untouched() {
    let stage = Stage::new();
    let path = stage.home.path().join("data/profiles/default/store.db");
    let db = rusqlite::Connection::open(&path).expect("opens");
    db.pragma_update(None, "user_version", 999).expect("writes");
    db.close().expect("closes");
    let before = std::fs::read(&path).expect("reads");
    fails(&stage.home, &["status"], b"", 78, "use a newer landfall");
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    std::fs::write(
        &path,
        b"garbage garbage garbage garbage garbage garbage garbage garbage garbage garbage garbage",
    )
    .expect("writes");
    fails(&stage.home, &["status"], b"", 74, "is damaged");
}

#[test]
fn network_text_never_reaches_terminal_raw() {
    let stage = Stage::new();
    let nasty = "red \x1b[31m bell \x07 title \x1b]0;owned\x07 bidi \u{202e}x c1 \u{9b}2J";
    let (status, _, err) = stage.home.run_with(&["send", "lobby"], nasty.as_bytes());
    assert_eq!(status, 0, "{err}");
    let (_, out, _) = stage.home.run(&["tail", "lobby"]);
    assert!(
        !out.chars()
            .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
        "{out:?}"
    );
    assert_eq!(stage.home.bodies()[1], nasty, "kept as sent");
    let terminal = Terminal::open(&stage.home, &[]);
    terminal.wait_for("red ␛[31m bell ␇ title");
}

#[test]
fn closed_output_ends_a_command_quietly() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let lines = "a line\n".repeat(2_000); // more than a pipe holds
    assert_eq!(
        stage
            .home
            .run_with(&["send", "lobby", "--lines", "--no-wait"], lines.as_bytes())
            .0,
        75
    );
    let mut list = stage.home.command(&["outbox", "list"]);
    let mut child = list
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn health_is_served_over_http() {
    let stage = Stage::new();
    let mut stream =
        std::net::TcpStream::connect(("127.0.0.1", stage.server.port)).expect("connects");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
}

#[test]
fn tail_of_new_profile_prints_the_whole_log() {
    let stage = Stage::new();
    let lines: String = (0..1_100).map(|n| format!("line {n}\n")).collect();
    let (status, _, err) = stage.home.run_with(
        &["send", "lobby", "--lines", "--wait", "60"],
        lines.as_bytes(),
    );
    assert_eq!(status, 0, "{err}");
    let fresh = Home::new();
    fresh.join(&stage.server.url(), &stage.server.invite, "bob");
    assert_eq!(fresh.run(&["send", "lobby", "here too"]).0, 0);
    let expected =
        std::iter::once("first".to_owned()).chain((0..1_100).map(|n| format!("line {n}")));
    let bodies = fresh.bodies();
    assert_eq!(bodies[..1_101], expected.collect::<Vec<_>>()[..]);
}

#[test]
fn journal_reads_the_store_alone() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let (status, ..) = stage.home.run(&["send", "lobby", "later", "--wait", "1"]);
    assert_eq!(status, 75);
    let lines = json_lines(&stage.home, &["journal", "--json", "--since", "1h"]);
    let to = |word: &str| {
        lines
            .iter()
            .filter(|line| line["to"] == word)
            .collect::<Vec<_>>()
    };
    assert!(
        to("backoff")
            .iter()
            .all(|line| line["why"] == "connection refused (is the server running?)"),
        "{lines:?}"
    );
    assert!(
        to("backoff")
            .iter()
            .any(|line| line["numbers"]["wait_ms"].is_u64()),
        "{lines:?}"
    );
    assert!(
        to("resyncing")
            .iter()
            .any(|line| line["numbers"]["welcome"]["session"].is_string()),
        "{lines:?}"
    );
    // A `send` that ended before its entry arrived leaves it to the next one, which sends it again.
    let ended = |what: &str| {
        lines
            .iter()
            .filter_map(|line| line["numbers"]["ended"][what].as_u64())
            .sum::<u64>()
    };
    assert_eq!(
        ended("acked") - ended("deduplicated"),
        1,
        "the first message: {lines:?}"
    );
    let (_, plain, _) = stage.home.run(&["journal"]);
    assert_eq!(plain.lines().count(), lines.len());
    assert!(
        plain.contains(
            "connecting → backoff     connection refused (is the server running?); attempt 2 in "
        ),
        "{plain}"
    );
    assert!(plain.contains("previous process last active"), "{plain}");
    let (_, ladder, _) = stage.home.run(&["journal", "--ladder"]);
    let row = |text: &str, note: &str| {
        let is_it = |row: &str| row.contains(text) && row.ends_with(note);
        assert!(ladder.lines().any(is_it), "{text}: {ladder}");
    };
    row("connected, nothing is missing", "");
    row(
        " waits ",
        "attempt 1: connection refused (is the server running?)",
    );
    row("Landfall ends", "1 acknowledged");
    let (_, none, _) = stage.home.run(&["journal", "--since", "2099-01-01"]);
    assert_eq!(none, "");
    fails(
        &stage.home,
        &["journal", "--since", "soon"],
        b"",
        64,
        "\"soon\" is not a time: write it as 2h",
    );
}

/// With any umask of the shell.
#[test]
fn files_are_private_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("a folder");
    let home = Home::new();
    let program = program(&[]).display();
    let folder = data.path().join("made");
    let run = format!(
        "umask 0; exec '{program}' serve --listen 127.0.0.1:0 --data '{}'",
        folder.display()
    );
    let mut server = std::process::Command::new("/bin/sh")
        .args(["-c", &run])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        server.stdout.take().expect("a pipe"),
    ));
    let invite = lines.nth(1).expect("a line").expect("reads");
    let invite = invite.trim_start_matches("invite ");
    let join = format!(
        "umask 0; exec '{program}' --home '{}' join '{invite}' --name ana",
        home.path().display()
    );
    assert!(
        std::process::Command::new("/bin/sh")
            .args(["-c", &join])
            .status()
            .expect("runs")
            .success()
    );
    let profile = home.path().join("data/profiles/default");
    for folder in [folder, profile] {
        let mode = |path: &std::path::Path| {
            path.metadata().expect("is there").permissions().mode() & 0o077
        };
        assert_eq!(mode(&folder), 0, "{}", folder.display());
        for file in std::fs::read_dir(&folder).expect("reads").flatten() {
            assert_eq!(mode(&file.path()), 0, "{}", file.path().display());
        }
    }
    signal(server.id(), Signal::TERM);
    server.wait().expect("ends");
}

#[test]
fn signals_that_end_a_server_say_goodbye_first() {
    // Where these tests run under nohup, so does the server: it ignores a hangup then, as it
    // should.
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("a line");
    let is_nohup = u64::from_str_radix(ignored.trim(), 16).expect("a number") & 1 == 1;
    let hangup = Some(Signal::HUP).filter(|_| !is_nohup);
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
    ]
    .into_iter()
    .chain(hangup)
    {
        let data = tempfile::tempdir().expect("a folder");
        let mut server = Server::start(data.path());
        assert!(server.end_by(signal).success(), "{signal:?}");
    }
}
