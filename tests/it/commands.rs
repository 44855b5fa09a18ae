//! The commands beside the chat, and their errors for bad input.

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
fn send_offline_exits_75_and_arrives_once() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let (status, _, err) = stage.home.run(&["send", "lobby", "later", "--wait", "1"]);
    assert_eq!(status, 75, "{err}");
    assert!(
        err.contains("connection refused (is the server running?); it is sent the next time landfall runs with this profile"),
        "{err}"
    );
    let (_, status, _) = stage.home.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(
        status["queued"]
            .as_u64()
            .zip(status["unacked"].as_u64())
            .map(|(a, b)| a + b),
        Some(1)
    );
    let _server = Server::start_on(&stage.server.data, stage.server.port);
    let follower = Follower::start(&stage.home);
    assert_eq!(follower.next(), "first");
    assert_eq!(follower.next(), "later");
    drop(follower);
    assert_eq!(stage.home.bodies(), ["first", "later"]);
}

#[test]
fn send_works_beside_a_running_chat() {
    let stage = Stage::new();
    let terminal = Terminal::open(&stage.home, &[]);
    terminal.ready();
    let (status, _, err) = stage.home.run(&["send", "lobby", "from the side"]);
    assert_eq!(status, 0, "{err}");
    terminal.wait_for("from the side");
    let (_, out, _) = stage.home.run(&["status"]);
    assert!(out.contains("connected (process"), "{out}");
}

#[test]
fn two_chats_on_one_profile_share_one_link() {
    let stage = Stage::new();
    let mut first = Terminal::open(&stage.home, &[]);
    first.ready();
    let mut second = Terminal::open(&stage.home, &[]);
    second.wait_for("another landfall of this profile is running");
    second.say("typed in the second");
    first.wait_for("typed in the second");
    first.say("typed in the first");
    second.wait_for("typed in the first");
    first.kill9();
    second.wait_for("● connected");
}

#[test]
fn chat_taking_over_knows_earlier_writes() {
    let stage = Stage::new();
    let bob = Home::new();
    bob.join(&stage.server.url(), &stage.server.invite, "bob");
    assert_eq!(bob.run(&["send", "lobby", "hello"]).0, 0);
    let mut first = Terminal::open(&stage.home, &[]);
    first.ready();
    let second = Terminal::open(&stage.home, &[]);
    second.wait_for("another landfall of this profile is running");
    for n in 1..=3 {
        assert_eq!(bob.run(&["send", "lobby", &format!("from bob {n}")]).0, 0);
        first.say(&format!("from ana {n}"));
    }
    second.wait_for("from ana 3");
    second.wait_for("from bob 3");
    first.kill9();
    second.wait_for("● connected");
    assert_eq!(bob.run(&["send", "lobby", "after that"]).0, 0);
    second.wait_for("after that");
    let (_, journal, _) = stage.home.run(&["journal"]);
    assert!(
        !journal.contains("cannot save"),
        "it went on from an old memory: {journal}"
    );
}

#[test]
fn discarded_message_is_not_counted_as_sent() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let sending = stage
        .home
        .command(&["send", "lobby", "never mind", "--wait", "20"])
        .stderr(Stdio::piped())
        .spawn();
    let sending = sending.expect("starts");
    let id = loop {
        let (_, out, _) = stage.home.run(&["outbox"]);
        if let Some(id) = out.split(' ').next().filter(|id| !id.is_empty()) {
            break id.to_owned();
        }
    };
    assert_eq!(stage.home.run(&["outbox", "drop", &id]).0, 0);
    let done = sending.wait_with_output().expect("ends");
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    assert!(
        String::from_utf8_lossy(&done.stderr)
            .contains("was deleted from the outbox before it was acknowledged"),
        "{done:?}"
    );
}

#[test]
fn stopped_chat_is_named_and_replaced() {
    let stage = Stage::new();
    let mut first = Terminal::open(&stage.home, &[]);
    first.ready();
    let (pid, mut said) = (first.pid(), vec!["first".to_owned()]);
    loop {
        assert!(said.len() < 10, "it is always in the middle of a write");
        first.stop();
        let line = format!("kept {}", said.len());
        let (status, _, err) = stage.home.run(&["send", "lobby", "--no-wait", &line]);
        assert_eq!(status, 75, "{err}");
        said.push(line);
        if err.contains("saved, not acknowledged yet") {
            break;
        }
        // Stopped inside a write, the process has the store locked: the line is saved beside the
        // store, and moved into it by the next open.
        assert!(err.contains("saved in the folder spool"), "{err}");
        signal(pid, Signal::CONT);
        // it writes too, after the other write
        let (status, _, err) = stage.home.run(&["outbox", "retry"]);
        assert_eq!(status, 0, "{err}");
    }
    let mut second = Terminal::open(&stage.home, &[]);
    second.wait_for(&format!(
        "another landfall of this profile is running (pid {pid})"
    ));
    second.say("kept too");
    second.wait_for("◌");
    first.kill9();
    second.wait("acknowledged", |screen| {
        screen
            .lines()
            .any(|line| line.contains("kept too") && line.contains('✓'))
    });
    said.push("kept too".to_owned());
    assert_eq!(stage.home.bodies(), said);
}

#[test]
fn stdin_lines_are_messages_in_the_outbox() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let (status, _, _) = stage.home.run_with(
        &["send", "lobby", "--lines", "--no-wait"],
        "one\n\ntwo ✓\n".as_bytes(),
    );
    assert_eq!(status, 75);
    let rows = json_lines(&stage.home, &["outbox", "list", "--json"]);
    assert_eq!(bodies(&rows), ["one", "two ✓"]);
    let id = rows[0]["id"].as_str().expect("an id");
    assert_eq!(
        stage.home.run(&["outbox", "drop", id]),
        (0, "dropped\n".to_owned(), String::new())
    );
    fails(
        &stage.home,
        &["outbox", "drop", id],
        b"",
        65,
        "no such message",
    );
    fails(
        &stage.home,
        &["outbox", "drop", "xyz"],
        b"",
        64,
        "not an id",
    );
    assert_eq!(stage.home.run(&["outbox"]).1.lines().count(), 1);
    assert_eq!(
        stage.home.run(&["outbox", "retry"]),
        (0, "nothing to retry\n".to_owned(), String::new())
    );
    fails(
        &stage.home,
        &["outbox", "retry", id],
        b"",
        65,
        "no such message",
    );
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

/// Something that is no landfall server, answering with fixed bytes.
fn stranger(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        }
    });
    format!("ws://127.0.0.1:{port}#code")
}

#[test]
fn server_of_another_kind_is_named() {
    let home = Home::new();
    let strangers: [(&[u8], &str); 4] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            "HTTP 200",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP 404",
        ),
        (
            b"SSH-2.0-OpenSSH_9.6\r\n",
            "does not speak HTTP: check the address and port",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x32", "not a landfall server"),
    ];
    for (answer, says) in strangers {
        fails(
            &home,
            &["join", &stranger(answer), "--name", "ana"],
            b"",
            76,
            says,
        );
    }
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
fn body_growing_when_encoded_is_whole_or_rejected() {
    let stage = Stage::new();
    let body = "\u{1}".repeat(8_000); // 48,000 bytes as JSON
    let (status, _, err) = stage.home.run_with(&["send", "lobby"], body.as_bytes());
    assert_eq!(status, 0, "{err}");
    assert_eq!(stage.home.bodies()[1], body);
    fails(
        &stage.home,
        &["send", "lobby"],
        "\u{1}".repeat(8_200).as_bytes(),
        65,
        "too long",
    );
    assert_eq!(stage.home.run(&["outbox"]).1, "");
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
fn offline_chat_stays_offline_after_suspend() {
    let stage = Stage::new();
    let mut terminal = Terminal::open(&stage.home, &[]);
    terminal.ready();
    terminal.say("/offline");
    terminal.wait_for("offline by your request");
    terminal.keys("\x1a");
    terminal.say("typed afterwards"); // the leader of a session is not stopped: it continues at once
    terminal.wait("kept", |screen| {
        screen.contains("offline by your request") && screen.contains("◌ 1")
    });
    assert!(
        terminal
            .history()
            .iter()
            .rev()
            .take(3)
            .all(|screen| !screen.contains("● connected"))
    );
    terminal.keys("\x12");
    terminal.wait("sent", |screen| {
        screen.contains("● connected") && !screen.contains('◌')
    });
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

/// A join through a proxy that was told something, and the same once more when the faults are over.
fn join_twice(data: &std::path::Path, fault: &str) -> ((i32, String), (i32, String)) {
    let server = Server::start(data);
    let proxy = Proxy::start(
        ([127, 0, 0, 1], 0).into(),
        &format!("127.0.0.1:{}", server.port),
        |_| {},
    )
    .expect("a proxy");
    let home = Home::new();
    let invite = format!("ws://{}#{}", proxy.address(), server.invite);
    proxy.apply(&fault.parse().expect("a command"));
    let (first, _, err) = home.run(&["join", &invite, "--name", "ana"]);
    proxy.apply(&FaultCommand::Pass);
    let (second, out, again) = home.run(&["join", &invite, "--name", "ana"]);
    ((first, err), (second, out + &again))
}

#[test]
fn join_with_lost_reply_is_retried() {
    let data = tempfile::tempdir().expect("a folder");
    let ((first, err), (second, out)) = join_twice(data.path(), "swallow welcome 99");
    assert_eq!(first, 69, "{err}");
    assert!(
        err.contains("you may have joined anyway: join again with the same name"),
        "{err}"
    );
    assert_eq!(second, 0, "{out}");
    assert!(out.contains("you are ana"), "{out}");
}

#[test]
fn giving_up_is_shown_and_one_key_continues() {
    let mut stage = Stage::new();
    std::fs::create_dir_all(stage.home.path().join("config")).expect("a folder");
    std::fs::write(
        stage.home.path().join("config/config"),
        "max_attempts = 2\nprobe_every_s = 600\n",
    )
    .expect("writes");
    let mut ana = Terminal::open_sized(&stage.home, &[], 120, 30);
    ana.ready();
    stage.server.kill9();
    ana.wait_for("○ offline");
    ana.wait_for("gave up after 2 attempts: connection refused");
    ana.wait_for("next check ");
    ana.say("kept");
    ana.wait_for("◌ 1");
    let _server = Server::start_on(&stage.server.data, stage.server.port);
    ana.keys("\x12");
    ana.wait("acked", |screen| {
        screen
            .lines()
            .any(|line| line.contains("kept") && line.contains('✓'))
    });
}

/// In a network of its own the loopback can be taken down and up. One try that failed is all that
/// is made here: so only news of the network can make another one.
#[test]
fn returning_network_is_detected() {
    let alone = |script: &str| {
        std::process::Command::new("unshare")
            .args(["-Urn", "sh", "-c", script])
            .output()
    };
    if !alone("ip link set lo up").is_ok_and(|done| done.status.success()) {
        println!("skipped: this machine lets nobody have a network of their own");
        return;
    }
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("config")).expect("a folder");
    std::fs::write(home.path().join("config/config"), "max_attempts = 1\n").expect("writes");
    let script = r#"
        cd "$HOME_OF_TEST"; L="$LANDFALL --home $HOME_OF_TEST"; ip link set lo up
        $L serve --listen 127.0.0.1:7000 > told & SERVER=$!
        until grep -q '#' told; do sleep 0.05; done
        $L join "$(sed -n 's/^invite //p' told)" --name ana || exit 1
        $L send lobby 'and so the lobby is known' || exit 1
        ip link set lo down
        (until $L journal --json | grep -q gave_up; do sleep 0.05; done; ip link set lo up) &
        $L send lobby 'over the hills' --wait 25; SENT=$?
        kill $SERVER; exit $SENT"#;
    let variables = format!(
        "LANDFALL={}; HOME_OF_TEST={};",
        program(&[]).display(),
        home.path().display()
    );
    let done = alone(&(variables + script)).expect("runs");
    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{err}");
    let (_, journal, _) = home.run(&["journal"]);
    assert!(journal.contains("gave up after 1 attempt: "), "{journal}");
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
fn invite_file_of_older_version_is_read_once() {
    for text in ["", "\n", "x", "0123456789abcdef0123456789abcdef\n"] {
        let data = tempfile::tempdir().expect("a folder");
        let file = data.path().join("invite");
        std::fs::write(&file, text).expect("writes");
        let server = Server::start(data.path());
        let is_good = text.len() > 30;
        assert_eq!(server.invite == text.trim(), is_good, "{text:?}");
        assert!(server.invite.len() == 32 && !file.exists());
        std::fs::write(&file, "ffffffffffffffffffffffffffffffff").expect("writes");
        let again = {
            drop(server);
            Server::start(data.path())
        };
        let (code, _, err) = Home::new().run(&[
            "join",
            &format!("{}#{}", again.url(), "f".repeat(32)),
            "--name",
            "eve",
        ]);
        assert!(code == 77 && err.contains("invite"), "{err}");
        Home::new().join(&again.url(), &again.invite, "ana");
    }
}

#[test]
fn new_invite_invalidates_the_old_one() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    Home::new().join(&server.url(), &server.invite, "ana");
    let folder = data.path().to_str().expect("UTF-8");
    let (code, out, err) = Home::new().run(&["invite", "--data", folder, "new"]);
    assert_eq!(code, 0, "{err}");
    let new = out
        .trim()
        .strip_prefix(&format!("invite {}#", server.url()))
        .expect("where it listens")
        .to_owned();
    assert!(new != server.invite && crate::support::invite_of(data.path()) == new);
    let old = format!("{}#{}", server.url(), server.invite);
    let (code, _, err) = Home::new().run(&["join", &old, "--name", "bob"]);
    assert_eq!(code, 77, "{err}");
    Home::new().join(&server.url(), &new, "bob");
    drop(server);
    let again = Server::start(data.path());
    assert_eq!(again.invite, new);
}

#[test]
fn first_listening_start_prints_the_invite() {
    let (home, other) = (Home::new(), Home::new());
    let data = home.path().join("server");
    let folder = data.to_str().expect("UTF-8");
    let busy = Server::start(&other.path().join("server"));
    let taken = format!("127.0.0.1:{}", busy.port);
    fails(
        &home,
        &["serve", "--listen", &taken, "--data", folder],
        b"",
        69,
        "port is in use",
    );
    let again = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        folder,
        "--until-eof",
    ];
    let (code, out, err) = home.run(&again);
    assert!(
        code == 0 && out.contains("invite ws://127.0.0.1:"),
        "{out}{err}"
    );
    let (code, out, err) = home.run(&again);
    assert!(code == 0 && !out.contains("invite"), "{out}{err}");
}

#[test]
fn revoked_device_is_disconnected_for_good() {
    let stage = Stage::new();
    let mut chat = Terminal::open(&stage.home, &[]);
    chat.ready();
    let folder = stage.server.data.to_str().expect("UTF-8").to_owned();
    let devices = json_lines(
        &Home::new(),
        &["device", "--data", &folder, "list", "--json"],
    );
    let ana = devices
        .iter()
        .find(|device| device["name"] == "ana")
        .expect("ana's device");
    let id = ana["device"].as_str().expect("an id");
    let start = std::time::Instant::now();
    let (code, out, err) = Home::new().run(&["device", "--data", &folder, "revoke", id]);
    assert!(code == 0 && out.contains("has no access any more"), "{err}");
    chat.wait_for("the server does not know this device");
    assert!(
        start.elapsed() < std::time::Duration::from_secs(5),
        "not only when the storage is looked after"
    );
    chat.say("written without access"); // kept, as everything is
    chat.keys("\x12");
    chat.wait("it is refused", |screen| {
        screen.contains("◌ 1") && screen.contains("does not know this device")
    });
    chat.quit();
    let (code, _, err) = stage.home.run(&["send", "lobby", "neither is this"]);
    assert!(
        code == 75 && err.contains("the server does not know this device: `landfall join"),
        "{code}: {err}"
    );
    let (code, _, err) = stage.home.run(&["tail", "lobby"]);
    assert!(
        code == 0 && err.contains("not connected") && err.contains("does not know this device"),
        "{code}: {err}"
    );
    let (code, _, err) = Home::new().run(&["device", "--data", &folder, "revoke", id]);
    assert!(
        code == 65 && err.contains("no device with this id"),
        "{err}"
    );
    let (code, _, err) = Home::new().run(&["device", "--data", &folder, "revoke", "x"]);
    assert!(code == 64 && err.contains("device list"), "{err}");
}

#[test]
fn revocation_works_when_the_wake_up_is_lost() {
    let stage = Stage::new();
    let folder = stage.server.data.to_str().expect("UTF-8").to_owned();
    let bob = Home::new();
    bob.join(&stage.server.url(), &stage.server.invite, "bob");
    let chat = Terminal::open(&stage.home, &[]);
    chat.ready();
    // nobody can be woken
    std::fs::remove_dir_all(stage.server.data.join("peers")).expect("removes");
    let (_, list, _) = Home::new().run(&["device", "list", "--data", &folder]);
    let ana = list
        .lines()
        .find(|line| line.ends_with("ana"))
        .and_then(|line| line.split(' ').next())
        .expect("ana's");
    assert_eq!(
        Home::new()
            .run(&["device", "revoke", ana, "--data", &folder])
            .0,
        0
    );
    let lines: String = (0..600).map(|n| format!("line {n}\n")).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(
                bob.run_with(
                    &["send", "lobby", "--lines", "--wait", "60"],
                    lines.as_bytes()
                )
                .0,
                0
            )
        });
        chat.wait_within(std::time::Duration::from_secs(8), "it is out", |screen| {
            screen.contains("the server does not know this device")
        });
    });
}

#[test]
fn invalid_lines_are_skipped_and_others_sent() {
    let stage = Stage::new();
    let long = "x".repeat(40_000);
    let lines = [
        b"one\n".as_slice(),
        b"\xff\xfe\n",
        long.as_bytes(),
        b"\ntwo\n\n",
        b"three",
    ]
    .concat();
    let (code, _, err) = stage.home.run_with(&["send", "lobby", "--lines"], &lines);
    assert_eq!(code, 65, "{err}");
    let errors: Vec<&str> = err.lines().collect();
    assert!(
        errors[0].contains("line 2 is not UTF-8")
            && errors[1].contains("line 3")
            && errors[1].contains("too long"),
        "{err}"
    );
    assert!(
        errors[2].contains(
            "skipped 2 lines that cannot be messages; the other 3 lines were acknowledged"
        ),
        "{err}"
    );
    assert_eq!(stage.home.bodies(), ["first", "one", "two", "three"]);
}

#[test]
fn stopped_tail_gives_its_connection_to_others() {
    let stage = Stage::new();
    let mut tail = stage.home.command(&["tail", "lobby", "--follow"]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = std::io::BufReader::new(tail.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("first") {
        line.clear();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("reads");
    }
    signal(tail.id(), Signal::TSTP);
    let (code, _, err) = stage
        .home
        .run(&["send", "lobby", "meanwhile", "--wait", "20"]);
    assert_eq!(code, 0, "{err}");
    signal(tail.id(), Signal::CONT);
    while !line.contains("meanwhile") {
        line.clear();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("reads");
    }
    signal(tail.id(), Signal::TERM);
    assert!(tail.wait().expect("ends").success());
}

#[test]
fn invite_is_printed_once() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().to_str().expect("UTF-8");
    let serve = || {
        Home::new().run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            folder,
            "--until-eof",
        ])
    };
    let (code, out, err) = serve();
    assert!(
        code == 0 && out.lines().count() == 2 && out.contains("\ninvite ws://127.0.0.1:"),
        "{out}{err}"
    );
    let (code, out, err) = serve();
    assert!(
        code == 0 && out.lines().count() == 1 && out.starts_with("listening on ws://127.0.0.1:"),
        "{out}{err}"
    );
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

#[test]
fn failed_join_removes_only_its_own_files() {
    let home = Home::new();
    let profile = home.path().join("data/profiles/default");
    std::fs::create_dir_all(&profile).expect("makes");
    std::fs::write(profile.join("store.db.moved-away"), "a backup").expect("writes");
    let (code, _, err) = home.run(&["join", "ws://127.0.0.1:1#0123456789abcdef", "--name", "ana"]);
    assert_eq!(code, 69, "{err}");
    let left: Vec<_> = std::fs::read_dir(&profile)
        .expect("is there")
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert_eq!(left, ["store.db.moved-away"]);
    let other = home.path().join("data/profiles/other");
    assert_eq!(
        home.run(&[
            "--profile",
            "other",
            "join",
            "ws://127.0.0.1:1#0123456789abcdef",
            "--name",
            "ana"
        ])
        .0,
        69
    );
    assert!(!other.exists(), "a folder that it made is gone, too");
}

/// The first line meets a locked store, the second one does not: their order stays.
#[test]
fn lines_behind_a_spooled_one_stay_behind_it() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let profile = stage.home.path().join("data/profiles/default");
    let holder = rusqlite::Connection::open(profile.join("store.db")).expect("opens");
    holder
        .execute_batch("BEGIN IMMEDIATE")
        .expect("holds the store");
    let mut command = stage
        .home
        .command(&["send", "lobby", "--lines", "--no-wait"]);
    let mut sending = command
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = sending.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut lines, b"one\n").expect("writes");
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    let is_spooled =
        || std::fs::read_dir(profile.join("spool")).is_ok_and(|files| files.count() > 0);
    while !is_spooled() {
        assert!(
            std::time::Instant::now() < end,
            "the first line is not kept"
        );
        std::thread::yield_now();
    }
    holder.execute_batch("ROLLBACK").expect("lets go");
    std::io::Write::write_all(&mut lines, b"two\n").expect("writes");
    drop(lines);
    assert_eq!(sending.wait().expect("ends").code(), Some(75));
    let rows = json_lines(&stage.home, &["outbox", "--json"]);
    assert_eq!(bodies(&rows), ["one", "two"]);
}

/// Ended at any moment of a write that waits for the store: 75 is kept and 74 is not.
#[test]
fn interrupted_send_exit_code_matches_outbox() {
    let mut stage = Stage::new();
    stage.server.kill9();
    let store = stage.home.path().join("data/profiles/default/store.db");
    for n in 0..8 {
        let holder = rusqlite::Connection::open(&store).expect("opens");
        holder
            .execute_batch("BEGIN IMMEDIATE")
            .expect("holds the store");
        let body = format!("line {n}");
        let mut sending = stage
            .home
            .command(&["send", "lobby", &body])
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(std::time::Duration::from_millis(20 + 60 * n)); // the moment
        signal(sending.id(), Signal::TERM);
        std::thread::sleep(std::time::Duration::from_millis(150)); // it is on its way to its end
        holder.execute_batch("ROLLBACK").expect("lets go");
        let code = sending.wait().expect("ends").code();
        let is_kept = stage.home.run(&["outbox"]).1.contains(&body);
        let fits = match code {
            Some(75) => is_kept,
            Some(74) | None => !is_kept, // killed before it listened to signals
            _ => false,
        };
        assert!(fits, "{n}: ended with {code:?}, kept: {is_kept}");
    }
}
