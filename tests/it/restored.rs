//! Servers restored from an old backup, and copied profiles.

use std::path::Path;

use crate::support::{Follower, Home, Server, Terminal};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("reads").flatten() {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).expect("copies");
        }
    }
}

fn send(home: &Home, range: std::ops::Range<u32>, who: &str) {
    let lines: String = range.map(|n| format!("{who} {n}\n")).collect();
    let (status, _, err) = home.run_with(
        &["send", "lobby", "--lines", "--wait", "30"],
        lines.as_bytes(),
    );
    assert_eq!(status, 0, "{err}");
}

#[test]
fn restored_server_is_reconciled_by_clients() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let homes = [Home::new(), Home::new(), Home::new()];
    for (home, name) in homes.iter().zip(["ana", "bob", "carl"]) {
        home.join(&server.url(), &server.invite, name);
    }
    let [ana, bob, carl] = &homes;
    send(ana, 0..10, "ana");
    send(bob, 0..10, "bob");
    send(carl, 0..3, "carl");
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    send(ana, 10..20, "ana");
    send(bob, 10..20, "bob");
    let bob_follows = Follower::start(bob); // bob holds the last twenty, and ana's among them
    let mut last = String::new();
    while last != "bob 19" {
        last = bob_follows.next();
    }
    drop(bob_follows);
    assert!(server.terminate().success());
    let mut server = Server::start_on(backup.path(), server.port);
    send(carl, 3..33, "carl"); // thirty from another user, before the others reconnect
    let terminals: Vec<_> = homes.iter().map(|home| Terminal::open(home, &[])).collect();
    for terminal in &terminals {
        terminal.wait("healed", |screen| {
            screen.contains("connected")
                && !screen.contains('◌')
                && !screen.contains('○')
                && !screen.contains("no longer on the server")
        });
    }
    let follower = Follower::start(carl);
    let mut log: Vec<String> = (0..73).map(|_| follower.next()).collect();
    for home in &homes {
        assert_eq!(home.bodies(), log, "every client shows the same");
    }
    for (who, count) in [("ana", 20), ("bob", 20), ("carl", 33)] {
        let own: Vec<_> = log
            .iter()
            .filter(|body| body.starts_with(who))
            .cloned()
            .collect();
        assert_eq!(
            own,
            (0..count).map(|n| format!("{who} {n}")).collect::<Vec<_>>(),
            "each once, in order"
        );
    }
    log.sort();
    log.dedup();
    assert_eq!(log.len(), 73);
    assert!(server.terminate().success());
}

#[test]
fn restored_server_regains_a_left_room() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let (ana_home, bob_home) = (Home::new(), Home::new());
    ana_home.join(&server.url(), &server.invite, "ana");
    bob_home.join(&server.url(), &server.invite, "bob");
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    let mut ana = Terminal::open(&ana_home, &[]);
    ana.wait_for("● connected");
    ana.say("/create ops");
    ana.wait_for("▌ops");
    (1..4).for_each(|n| ana.say(&format!("promised {n}")));
    ana.wait("acked", |screen| {
        screen
            .lines()
            .any(|line| line.contains("promised 3") && line.contains('✓'))
    });
    ana.say("/leave");
    ana.wait("left", |screen| {
        screen.contains("✓ 5") && screen.contains("▌lobby")
    });
    ana.quit();
    assert!(server.terminate().success());
    let mut server = Server::start_on(backup.path(), server.port);
    let _ana = Terminal::open(&ana_home, &[]);
    let mut bob = Terminal::open(&bob_home, &[]);
    bob.wait_for("● connected");
    // Until ana makes it again the room does not exist, and the command returns to the composer.
    bob.keys("/join ops");
    bob.wait_for("> /join ops");
    let is_in = |screen: &str| screen.contains("▌ops");
    while !is_in(&bob.screen()) {
        bob.keys_drawn("\r"); // the line may be back before anybody sees that it was taken
        bob.wait("an answer", |screen| {
            is_in(screen) || screen.contains("> /join ops")
        });
    }
    bob.wait_for("promised 3");
    bob.wait("each once", |screen| {
        (1..4).all(|n| screen.matches(&format!("promised {n}")).count() == 1)
    });
    bob.wait_for("ana left");
    assert!(server.terminate().success());
}

#[test]
fn tail_follow_reports_a_reconciled_log() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let server = Server::start(data.path());
    let [ana, bob, rea] = [Home::new(), Home::new(), Home::new()];
    for (home, name) in [(&ana, "ana"), (&bob, "bob"), (&rea, "rea")] {
        home.join(&server.url(), &server.invite, name);
    }
    send(&ana, 0..5, "ana");
    let mut server = server;
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    let follower = Follower::start(&rea);
    let mut told: Vec<_> = (0..5).map(|_| follower.next()).collect();
    send(&ana, 5..15, "ana");
    told.extend((0..10).map(|_| follower.next()));
    server.kill9();
    let _server = Server::start_on(backup.path(), server.port);
    send(&bob, 0..8, "bob");
    send(&ana, 15..16, "ana");
    told.extend((0..9).map(|_| follower.next()));
    let mut expected: Vec<_> = (0..16)
        .map(|n| format!("ana {n}"))
        .chain((0..8).map(|n| format!("bob {n}")))
        .collect();
    told.sort();
    expected.sort();
    assert_eq!(
        told, expected,
        "each of them once, whatever place it has now"
    );
}

#[test]
fn lost_name_on_restored_server_joins_anew() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    let [bob, other] = [Home::new(), Home::new()];
    bob.join(&server.url(), &server.invite, "bob");
    send(&bob, 0..3, "bob");
    assert_eq!(bob.bodies().len(), 3);
    server.kill9();
    let server = Server::start_on(backup.path(), server.port);
    other.join(&server.url(), &server.invite, "bob");
    let (code, _, err) = bob.run(&["send", "lobby", "later", "--wait", "2"]);
    assert!(
        code == 75 && err.contains("another account has this name"),
        "{code}: {err}"
    );
    let again = format!("{}#{}", server.url(), server.invite);
    assert_eq!(
        bob.run(&["join", &again, "--name", "bob"]).0,
        64,
        "the same name helps nobody"
    );
    bob.join(&server.url(), &server.invite, "robert");
    assert_eq!(bob.run(&["send", "lobby", "back", "--wait", "20"]).0, 0);
    assert_eq!(bob.bodies(), ["bob 0", "bob 1", "bob 2", "later", "back"]);
    assert_eq!(other.bodies(), bob.bodies());
}

#[test]
fn copied_profile_does_not_fight_for_connection() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let (first_home, copied_home) = (Home::new(), Home::new());
    first_home.join(&server.url(), &server.invite, "ana");
    let mut first = Terminal::open(&first_home, &[]);
    first.ready();
    // it knows the process that runs now for one of its own
    copy(first_home.path(), copied_home.path());
    let copied = Terminal::open(&copied_home, &[]);
    copied.ready();
    first.wait_for("this profile connected from another place");
    first.keys("\x12");
    first.wait_for("● connected");
    copied.wait_for("this profile connected from another place");
    first.say("mine again");
    first.wait("acked", |screen| {
        screen
            .lines()
            .any(|line| line.contains("mine again") && line.contains('✓'))
    });
}

#[test]
fn wiped_server_is_another_server() {
    let (data, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let (home, witness) = (Home::new(), Home::new());
    home.join(&server.url(), &server.invite, "ana");
    send(&home, 0..3, "ana");
    server.kill9();
    let mut wiped = Server::start_on(other.path(), server.port);
    witness.join(&wiped.url(), &wiped.invite, "bob");
    let mut terminal = Terminal::open(&home, &[]);
    terminal.wait_for("this is not the server you joined; nothing was sent");
    terminal.wait_for("ana 2");
    terminal.say("for the first one only");
    terminal.wait_for("◌ 1");
    send(&witness, 0..1, "bob");
    assert_eq!(witness.bodies(), ["bob 0"]);
    wiped.kill9();
    let _server = Server::start_on(data.path(), server.port);
    terminal.keys("\x12");
    terminal.wait("acknowledged", |screen| {
        screen
            .lines()
            .any(|line| line.contains("for the first one only") && line.contains('✓'))
    });
    assert_eq!(
        home.bodies(),
        ["ana 0", "ana 1", "ana 2", "for the first one only"]
    );
}

#[test]
fn restored_client_continues_at_the_log() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let (ana, bob) = (Home::new(), Home::new());
    ana.join(&server.url(), &server.invite, "ana");
    bob.join(&server.url(), &server.invite, "bob");
    send(&ana, 0..5, "ana");
    server.kill9();
    let (status, _, _) = ana.run_with(
        &["send", "lobby", "--lines", "--no-wait"],
        b"waits 0\nwaits 1\n",
    );
    assert_eq!(status, 75);
    copy(ana.path(), backup.path()); // with two pending messages, which are sent before the restore
    let server = Server::start_on(&server.data, server.port);
    send(&ana, 5..10, "ana");
    send(&bob, 0..2, "bob");
    std::fs::remove_dir_all(ana.path().join("data")).expect("removes");
    copy(backup.path(), ana.path());
    send(&ana, 10..13, "ana");
    let own = |from: u32, to: u32| (from..to).map(|n| format!("ana {n}"));
    let waited = ["waits 0", "waits 1"].map(str::to_owned);
    let said = ["bob 0", "bob 1"].map(str::to_owned);
    let log: Vec<_> = own(0, 5)
        .chain(waited)
        .chain(own(5, 10))
        .chain(said)
        .chain(own(10, 13))
        .collect();
    assert_eq!(ana.bodies(), log);
    assert_eq!(bob.bodies(), log);
    drop(server);
}

#[test]
fn restored_server_regains_rooms_after_backup() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let (ana, bob) = (Home::new(), Home::new());
    ana.join(&server.url(), &server.invite, "ana");
    bob.join(&server.url(), &server.invite, "bob");
    let mut creator = Terminal::open(&bob, &[]);
    creator.ready();
    creator.say("/create ops");
    creator.wait_for("▌ops");
    creator.say("bob made it");
    creator.wait("acked", |screen| {
        screen
            .lines()
            .any(|l| l.contains("bob made it") && l.trim_end().ends_with('✓'))
    });
    creator.quit();
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    let mut joiner = Terminal::open(&ana, &[]);
    joiner.ready();
    joiner.say("/join ops");
    joiner.wait_for("▌ops");
    for line in ["one", "two", "three"] {
        joiner.say(line);
    }
    joiner.wait("acked", |screen| {
        screen
            .lines()
            .any(|l| l.contains("three") && l.trim_end().ends_with('✓'))
    });
    assert!(server.terminate().success());
    let _server = Server::start_on(backup.path(), server.port);
    let mut creator = Terminal::open(&bob, &[]);
    creator.ready();
    creator.keys("\x1b[1;3B"); // the next room
    creator.wait_for(" #ops");
    creator.wait_for("three");
    joiner.wait("healed", |screen| {
        screen.contains("connected") && !screen.contains("✓ 0") && screen.contains("2 online")
    });
    for home in [&ana, &bob] {
        let (status, out, err) = home.run(&["tail", "ops", "--json"]);
        assert_eq!(status, 0, "{err}");
        let said = crate::support::messages(&out)
            .into_iter()
            .map(|line| line["body"].as_str().expect("a body").to_owned());
        assert_eq!(
            said.collect::<Vec<_>>(),
            ["bob made it", "one", "two", "three"]
        );
    }
}

#[test]
fn messages_lost_by_restored_server_are_readable() {
    let (data, backup) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let mut server = Server::start(data.path());
    let [ana, bob, rea] = [Home::new(), Home::new(), Home::new()];
    for (home, name) in [(&ana, "ana"), (&bob, "bob"), (&rea, "rea")] {
        home.join(&server.url(), &server.invite, name);
    }
    send(&ana, 0..2, "ana");
    assert!(server.terminate().success());
    copy(data.path(), backup.path());
    let mut server = Server::start_on(data.path(), server.port);
    send(&bob, 0..3, "bob");
    assert_eq!([ana.bodies().len(), rea.bodies().len()], [5, 5]);
    assert_eq!(
        ana.run(&["tail", "lobby", "--orphaned"]),
        (0, String::new(), String::new())
    );
    assert!(server.terminate().success());
    let _server = Server::start_on(backup.path(), server.port); // bob does not reconnect
    let reported = |(code, _, err): (i32, String, String)| {
        assert_eq!(code, 0, "{err}");
        err.contains("3 messages are no longer in its log")
    };
    assert!(reported(rea.run(&["tail", "lobby"])));
    assert!(!reported(rea.run(&["tail", "lobby"])), "once");
    send(&ana, 2..3, "ana");
    assert_eq!(ana.bodies(), ["ana 0", "ana 1", "ana 2"]);
    let (code, out, err) = ana.run(&["tail", "lobby", "--orphaned"]);
    assert_eq!(code, 0, "{err}");
    let lost: Vec<&str> = out
        .lines()
        .map(|line| line.split_once("bob ").expect("by bob").1)
        .collect();
    assert_eq!(lost, ["bob 0", "bob 1", "bob 2"]);
    let (_, json, _) = ana.run(&["tail", "lobby", "--orphaned", "--json"]);
    let bodies: Vec<_> = crate::support::messages(&json)
        .into_iter()
        .map(|line| line["body"].clone())
        .collect();
    assert_eq!(bodies, ["bob 0", "bob 1", "bob 2"]);
}
