//! Chats of one profile beside each other, stopped, offline, and reconnecting.

use super::*;

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
