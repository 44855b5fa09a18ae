//! Faults of a connection, and the conditions afterwards.

use std::time::{Duration, Instant};

use landfall::chaos::{Direction, FaultCommand, Proxy};

use crate::support::{Follower, Home, Server, Terminal};

/// A server behind a proxy, ana in a terminal through it, bob following the log directly.
struct Stage {
    proxy: Proxy,
    ana: Terminal,
    ana_home: Home,
    bob: Follower,
    bob_home: Home,
    server: Server,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(data.path());
        let proxy = through(server.port);
        let (ana_home, bob_home) = (Home::new(), Home::new());
        ana_home.join(&format!("ws://{}", proxy.address()), &server.invite, "ana");
        bob_home.join(&server.url(), &server.invite, "bob");
        let ana = Terminal::open(&ana_home, &[]);
        ana.ready();
        let bob = Follower::start(&bob_home);
        Self {
            proxy,
            ana,
            ana_home,
            bob,
            bob_home,
            server,
            _data: data,
        }
    }
}

/// A proxy before the server at this port.
fn through(port: u16) -> Proxy {
    Proxy::start(
        ([127, 0, 0, 1], 0).into(),
        &format!("127.0.0.1:{port}"),
        |_| {},
    )
    .expect("a proxy")
}

fn count(screen: &str, text: &str) -> usize {
    screen
        .lines()
        .filter(|line| line.contains(text) && !line.trim_start().starts_with('>'))
        .count()
}

#[test]
fn marks_go_from_queued_to_delivered() {
    let mut stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Latency(
        Duration::from_millis(500),
        Duration::ZERO,
    ));
    // with an open connection the saved stage is too short to be drawn for certain
    stage.ana.say("/offline");
    stage.ana.wait_for("offline by your request");
    stage.ana.say("watch me");
    stage.ana.wait("queued", |screen| {
        screen
            .lines()
            .any(|line| line.contains("watch me") && line.contains('◌'))
    });
    stage.ana.keys("\x12");
    stage.ana.wait("delivered", |screen| {
        screen
            .lines()
            .any(|line| line.contains("watch me") && line.contains("✓✓"))
    });
    let mut marks: Vec<char> = Vec::new();
    for screen in stage.ana.history() {
        let line = screen
            .lines()
            .find(|line| line.contains("watch me") && !line.starts_with('>'))
            .map(str::to_owned);
        let mark = line.and_then(|line| match line.trim_end() {
            line if line.ends_with("✓✓") => Some('2'),
            line => line.chars().last().filter(|mark| "◌○✓".contains(*mark)),
        });
        if let Some(mark) = mark.filter(|mark| marks.last() != Some(mark)) {
            marks.push(mark);
        }
    }
    assert_eq!(marks, ['◌', '○', '✓', '2']);
}

#[test]
fn lines_typed_during_faults_arrive_once_in_order() {
    let mut stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Cut);
    stage.ana.wait_for("reconnecting in");
    let lines = [
        "cut one",
        "cut two",
        "cut three",
        "half one",
        "half two",
        "half three",
    ];
    lines[..3].iter().for_each(|line| stage.ana.say(line));
    stage.proxy.apply(&FaultCommand::Pass);
    for line in &lines[..3] {
        assert_eq!(&stage.bob.next(), line);
    }
    stage.ana.wait("all acked", |screen| {
        screen.contains("connected") && screen.contains("✓ 3")
    });
    stage.proxy.apply(&FaultCommand::Half);
    let typed = Instant::now();
    lines[3..].iter().for_each(|line| stage.ana.say(line));
    stage.ana.wait("it is noticed", |screen| {
        screen.contains("reconnecting in") || screen.contains("connecting")
    });
    assert!(
        typed.elapsed() < Duration::from_secs(8),
        "noticed after {:?}",
        typed.elapsed()
    );
    stage.proxy.apply(&FaultCommand::Pass);
    for line in &lines[3..] {
        assert_eq!(&stage.bob.next(), line);
    }
    stage.ana.wait("all acked", |screen| {
        screen.contains("connected") && screen.contains("✓ 6")
    });
    assert_eq!(stage.bob_home.bodies(), lines);
    for (at, line) in lines.iter().enumerate() {
        let shown: Vec<_> = stage
            .ana
            .history()
            .iter()
            .map(|screen| count(screen, line))
            .collect();
        let first = shown
            .iter()
            .position(|count| *count > 0)
            .unwrap_or_else(|| panic!("line {at} was never shown"));
        assert!(
            shown[first..].iter().all(|count| *count == 1),
            "{line:?} was off the screen, or shown twice: {shown:?}"
        );
    }
}

#[test]
fn dead_uplink_is_detected_while_receiving() {
    let mut stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Dead(Direction::Up));
    let connections = stage.proxy.counts().opened;
    stage.ana.say("into the void");
    let typed = Instant::now();
    let mut n = 0;
    while stage.proxy.counts().opened == connections {
        n += 1;
        let (status, _, err) =
            stage
                .bob_home
                .run(&["send", "lobby", "--wait", "20", &format!("talk {n}")]);
        assert_eq!(status, 0, "{err}");
        assert!(
            typed.elapsed() < Duration::from_secs(30),
            "it is never noticed"
        );
    }
    stage.proxy.apply(&FaultCommand::Pass);
    stage.ana.wait("acked", |screen| {
        screen.contains("connected") && screen.contains("✓ 1")
    });
    let bodies = stage.bob_home.bodies();
    assert_eq!(
        bodies
            .iter()
            .filter(|body| *body == "into the void")
            .count(),
        1
    );
    stage.ana.wait_for(&format!("talk {n}"));
}

#[test]
fn swallowed_ack_costs_seconds_and_no_duplicate() {
    let mut stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Swallow("ack".into(), 1));
    let connections = stage.proxy.counts().opened;
    let typed = Instant::now();
    stage.ana.say("ack me");
    // The entry returns in the log and is shown as acknowledged; then the core no longer waits for
    // its ack.
    stage.ana.wait("acked", |screen| {
        screen
            .lines()
            .any(|line| line.contains("ack me") && line.contains('✓'))
    });
    assert!(typed.elapsed() < Duration::from_secs(15));
    assert_eq!(stage.proxy.counts().frames, 1, "an ack was swallowed");
    assert_eq!(stage.proxy.counts().opened, connections, "on the same link");
    assert_eq!(stage.bob_home.bodies(), ["ack me"]);
}

#[test]
fn sixteen_kib_pass_over_a_kilobyte_a_second() {
    let stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Rate(1_000));
    let body = "0123456789abcde ".repeat(1_024);
    assert_eq!(body.len(), 16 * 1024);
    let (status, _, _) = stage
        .ana_home
        .run_with(&["send", "lobby", "--no-wait"], body.as_bytes());
    assert_eq!(status, 75);
    assert_eq!(
        stage.bob.next_within(Duration::from_secs(200)).trim_end(),
        body.trim_end()
    );
    stage
        .ana
        .wait_within(Duration::from_secs(200), "acked", |screen| {
            screen.contains("✓ 1")
        });
    assert_eq!(stage.bob_home.bodies().len(), 1);
}

#[test]
fn stalled_connection_loses_nothing() {
    let mut stage = Stage::new();
    stage.ana.say("before");
    assert_eq!(stage.bob.next(), "before");
    stage.proxy.apply(&FaultCommand::Stall);
    stage.ana.say("stalled");
    stage.ana.wait("it is noticed", |screen| {
        screen.contains("reconnecting in") || screen.contains("connecting")
    });
    stage.proxy.apply(&FaultCommand::Pass); // the held bytes pass now, on the old connection
    stage.ana.wait("acked", |screen| {
        screen.contains("connected") && screen.contains("✓ 2")
    });
    assert_eq!(stage.bob.next(), "stalled");
    assert_eq!(stage.bob_home.bodies(), ["before", "stalled"]);
}

#[test]
fn killed_client_keeps_message_and_draft() {
    let mut stage = Stage::new();
    stage.proxy.apply(&FaultCommand::Cut);
    stage.ana.wait_for("reconnecting in");
    stage.ana.say("survives");
    stage.ana.kill9();
    let mut ana = Terminal::open(&stage.ana_home, &[]);
    ana.wait("it is there as queued", |screen| {
        screen
            .lines()
            .any(|line| line.contains("survives") && line.contains('◌'))
    });
    ana.keys("half typ");
    ana.wait_for("> half typ");
    let saved = || {
        let db = rusqlite::Connection::open(
            stage.ana_home.path().join("data/profiles/default/store.db"),
        )
        .expect("opens");
        db.query_row("SELECT draft FROM rooms WHERE name = 'lobby'", [], |row| {
            row.get::<_, String>(0)
        })
        .expect("reads")
    };
    let end = Instant::now() + Duration::from_secs(5);
    while saved() != "half typ" {
        assert!(Instant::now() < end, "the draft is saved soon");
    }
    ana.kill9();
    let ana = Terminal::open(&stage.ana_home, &[]);
    ana.wait_for("> half typ");
    stage.proxy.apply(&FaultCommand::Pass);
    assert_eq!(stage.bob.next(), "survives");
    ana.wait_for("✓ 1");
    assert_eq!(stage.bob_home.bodies(), ["survives"]);
}

#[test]
fn server_killed_five_times_keeps_every_message() {
    let mut stage = Stage::new();
    let carl_home = Home::new();
    carl_home.join(&stage.server.url(), &stage.server.invite, "carl");
    let carl = Terminal::open(&carl_home, &[]);
    carl.ready();
    let lines = |who: &str| (0..500).map(|n| format!("{who} {n}\n")).collect::<String>();
    for (home, who) in [(&stage.ana_home, "ana"), (&carl_home, "carl")] {
        let (status, _, err) = home.run_with(
            &["send", "lobby", "--lines", "--no-wait"],
            lines(who).as_bytes(),
        );
        assert_eq!(status, 75, "{err}");
    }
    let mut seen = Vec::new();
    for kill_at in [100, 250, 400, 600, 800, 1_000] {
        while seen.len() < kill_at {
            seen.push(stage.bob.next());
        }
        if kill_at < 1_000 {
            stage.server.crash_and_restart();
        }
    }
    let of = |who: &str| {
        seen.iter()
            .filter(|body| body.starts_with(who))
            .cloned()
            .collect::<Vec<_>>()
    };
    for who in ["ana", "carl"] {
        assert_eq!(
            of(who),
            lines(who).lines().map(str::to_owned).collect::<Vec<_>>(),
            "each once and in order"
        );
    }
    stage.ana.wait("ana is done", |screen| {
        screen.contains("connected") && screen.contains("✓ 500")
    });
    carl.wait("carl is done", |screen| {
        screen.contains("connected") && screen.contains("✓ 500")
    });
    assert_eq!(stage.ana_home.bodies(), seen);
    assert_eq!(carl_home.bodies(), seen);
    assert_eq!(stage.bob_home.bodies(), seen);
}

#[test]
fn stopping_server_closes_and_clients_return() {
    let mut stage = Stage::new();
    stage.ana.say("one");
    assert_eq!(stage.bob.next(), "one");
    assert!(stage.server.terminate().success());
    stage.ana.wait("its words", |screen| {
        screen.contains("shutting down") || screen.contains("connection refused")
    });
    stage.ana.say("two");
    let again = Server::start_on(&stage.server.data, stage.server.port);
    assert_eq!(stage.bob.next(), "two");
    drop(again);
}
