//! `send`: what is kept, sent and rejected, and the exit codes.

use super::*;

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
