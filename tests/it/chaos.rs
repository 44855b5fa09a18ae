//! Each fault of the proxy, on plain connections to an echo; and the subcommand between a server
//! and a client.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use landfall::chaos::{Direction, Event, FaultCommand, Proxy, What};

use crate::support::{Home, PATIENCE, Server, messages};

/// A process that ends with its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy before an echo server, and the events of the proxy.
struct Echo {
    proxy: Proxy,
    events: Receiver<Event>,
}

impl Echo {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let upstream = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || echo(&stream));
            }
        });
        let (tx, events) = channel();
        let tell = move |event| {
            let _ = tx.send(event); // the test may be over
        };
        Self {
            proxy: Proxy::start(([127, 0, 0, 1], 0).into(), &upstream, tell).expect("a proxy"),
            events,
        }
    }

    /// Opens a connection that the proxy has accepted.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy.address()).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.wait(|what| matches!(what, What::Opened { .. } | What::Muted { .. }));
        stream
    }

    fn wait(&self, is_it: impl Fn(&What) -> bool) -> What {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("an event");
            if is_it(&event.what) {
                return event.what;
            }
        }
    }

    fn is_refused(&self) -> bool {
        TcpStream::connect(self.proxy.address())
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn say(mut stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("writes");
    hear(stream, bytes.len())
}

fn hear(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut heard = vec![0; length];
    stream.read_exact(&mut heard).expect("hears");
    heard
}

/// How a connection that should be over is over.
fn end(mut stream: &TcpStream) -> Result<usize, ErrorKind> {
    stream.read(&mut [0; 64]).map_err(|error| error.kind())
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn chaos_cut_resets_and_refuses_until_pass() {
    let echo = Echo::new();
    let standing = echo.connect();
    assert_eq!(say(&standing, b"hi"), b"hi");
    echo.proxy.apply(&FaultCommand::Cut);
    assert_eq!(end(&standing), Err(ErrorKind::ConnectionReset));
    eventually("it refuses", || echo.is_refused());
    echo.proxy.apply(&FaultCommand::Pass);
    eventually("it takes in", || !echo.is_refused());
}

#[test]
fn reset_and_close_are_followed_by_reconnects() {
    let echo = Echo::new();
    let standing = echo.connect();
    echo.proxy.apply(&FaultCommand::Reset);
    assert_eq!(end(&standing), Err(ErrorKind::ConnectionReset));
    let standing = echo.connect();
    echo.proxy.apply(&FaultCommand::Close);
    assert_eq!(end(&standing), Ok(0));
    assert_eq!(say(&echo.connect(), b"back"), b"back");
}

#[test]
fn chaos_refuse_keeps_open_connections() {
    let echo = Echo::new();
    let standing = echo.connect();
    echo.proxy.apply(&FaultCommand::Refuse);
    eventually("it refuses", || echo.is_refused());
    echo.proxy.apply(&FaultCommand::Mute);
    eventually("it takes in", || !echo.is_refused());
    let muted = echo.connect();
    (&muted).write_all(b"anybody?").expect("writes");
    assert_eq!(say(&standing, b"still here"), b"still here");
    let up = echo.proxy.counts().up;
    assert_eq!(up, 10, "nothing of the muted connection went on");
}

#[test]
fn half_open_link_stays_open_and_dead() {
    let echo = Echo::new();
    let old = echo.connect();
    echo.proxy.apply(&FaultCommand::Half);
    (&old).write_all(b"lost").expect("writes");
    echo.wait(|what| {
        matches!(
            what,
            What::Dead {
                connection: 1,
                way: Direction::Up
            }
        )
    });
    echo.proxy.apply(&FaultCommand::Pass);
    assert_eq!(say(&echo.connect(), b"new"), b"new");
    (&old).write_all(b"more").expect("it is open");
    eventually("all of it is lost", || echo.proxy.counts().lost == 8);
    assert_eq!(echo.proxy.counts().ended, 0);
}

#[test]
fn one_way_can_be_dead_by_itself() {
    for (way, up) in [(Direction::Up, 0), (Direction::Down, 4)] {
        let echo = Echo::new();
        let stream = echo.connect();
        echo.proxy.apply(&FaultCommand::Dead(way));
        (&stream).write_all(b"ping").expect("writes");
        echo.wait(|what| *what == What::Dead { connection: 1, way });
        eventually("it is lost", || echo.proxy.counts().lost == 4);
        assert_eq!(echo.proxy.counts().up, up);
        drop(stream);
        if way == Direction::Up {
            assert!(
                echo.events
                    .try_iter()
                    .all(|event| !matches!(event.what, What::Ended { .. }))
            );
        }
    }
}

#[test]
fn chaos_stalled_bytes_are_late_not_lost() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy.apply(&FaultCommand::Stall);
    (&stream).write_all(b"held").expect("writes");
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a timeout");
    assert!(matches!(end(&stream), Err(ErrorKind::WouldBlock)));
    let held = echo.wait(|what| matches!(what, What::Held { .. }));
    assert!(matches!(
        held,
        What::Held {
            way: Direction::Up,
            bytes: 4,
            ..
        }
    ));
    assert_eq!(echo.proxy.counts().up, 0);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    echo.proxy.apply(&FaultCommand::Pass);
    assert_eq!(hear(&stream, 4), b"held");
}

#[test]
fn chaos_held_bytes_of_an_ended_connection_are_lost() {
    let echo = Echo::new();
    let stream = echo.connect();
    assert_eq!(say(&stream, b"passed"), b"passed");
    echo.proxy.apply(&FaultCommand::Stall);
    (&stream).write_all(b"held").expect("writes");
    echo.wait(|what| matches!(what, What::Held { .. }));
    let cut = [FaultCommand::Pass, FaultCommand::Cut];
    echo.proxy.apply_all(&cut);
    let ended = echo.wait(|what| matches!(what, What::Ended { .. }));
    let What::Ended { up, lost, .. } = ended else {
        panic!("{ended:?}")
    };
    assert_eq!((up, lost), (6, 4), "{ended:?}");
    assert_eq!(echo.proxy.counts().lost, 4);
}

#[test]
fn latency_and_rate_take_the_time_they_say() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy.apply(&FaultCommand::Latency(
        Duration::from_millis(100),
        Duration::from_millis(20),
    ));
    let began = Instant::now();
    assert_eq!(say(&stream, b"far"), b"far");
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    echo.proxy.apply(&FaultCommand::Pass);
    echo.proxy.apply(&FaultCommand::Rate(10_000));
    let began = Instant::now();
    assert_eq!(say(&stream, &[b'x'; 3_000]).len(), 3_000);
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn reset_after_bytes_comes_in_the_middle() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy
        .apply(&FaultCommand::ResetAfter(5, Direction::Up));
    (&stream).write_all(b"0123456789").expect("writes");
    let ended = echo.wait(|what| matches!(what, What::Ended { .. }));
    assert!(
        matches!(
            ended,
            What::Ended {
                reset: true,
                up: 5,
                ..
            }
        ),
        "{ended:?}"
    );
    assert_eq!(say(&echo.connect(), b"0123456789"), b"0123456789");
}

#[test]
fn chaos_reset_after_bytes_with_dead_direction() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy.apply(&FaultCommand::Dead(Direction::Down));
    (&stream).write_all(b"ping").expect("writes");
    echo.wait(|what| matches!(what, What::Dead { .. }));
    echo.proxy
        .apply(&FaultCommand::ResetAfter(5, Direction::Up));
    (&stream).write_all(b"0123456789").expect("writes");
    let ended = echo.wait(|what| matches!(what, What::Ended { .. }));
    assert!(
        matches!(
            ended,
            What::Ended {
                reset: true,
                up: 9,
                ..
            }
        ),
        "{ended:?}"
    );
}

#[test]
fn late_fin_is_delayed() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy
        .apply(&FaultCommand::LateFin(Duration::from_millis(150)));
    let began = Instant::now();
    drop(stream);
    echo.wait(|what| matches!(what, What::Ended { reset: false, .. }));
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "both ways, one after the other: {:?}",
        began.elapsed()
    );
}

#[test]
fn one_byte_is_changed_and_no_other() {
    let echo = Echo::new();
    let stream = echo.connect();
    echo.proxy.apply(&FaultCommand::Corrupt(Direction::Down));
    assert_eq!(say(&stream, b"abc"), b"a\xe2c");
    assert_eq!(say(&stream, b"abc"), b"abc");
}

#[test]
fn flapping_link_reconnects_by_itself() {
    let echo = Echo::new();
    echo.proxy
        .apply(&FaultCommand::Flap(Duration::from_millis(50)));
    for _ in 0..2 {
        eventually("it refuses", || echo.is_refused());
        eventually("it takes in", || !echo.is_refused());
    }
    echo.proxy.apply(&FaultCommand::Pass);
    eventually("it takes in", || !echo.is_refused());
}

#[test]
fn chaos_subcommand_runs_lines_and_plans() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let home = Home::new();
    let plan = home.path().join("plan.txt");
    std::fs::write(&plan, "latency 1ms # far\nwait 1ms\nrefuse\n").expect("writes");
    let plan = plan.display().to_string();
    let upstream = server.url();
    let mut chaos = home.command(&["chaos", "--upstream", &upstream, "--plan", &plan]);
    let mut chaos = Running(
        chaos
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts"),
    );
    let mut told = BufReader::new(chaos.0.stdout.take().expect("a pipe")).lines();
    let mut next = |kind: &str| {
        let lines = told
            .by_ref()
            .map(|line| serde_json::from_str::<serde_json::Value>(&line.expect("a line")));
        let mut events = lines.map(|event| event.expect("JSON"));
        events.find(|event| event["event"] == kind).expect("told")
    };
    let address = next("listening")["address"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(next("told")["command"], "latency 1ms 0ms");
    assert_eq!(next("told")["command"], "refuse");
    // The port closes a moment after the command was reported, and opens a moment after the next.
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }

    let mut stdin = chaos.0.stdin.take().expect("a pipe");
    stdin.write_all(b"pass\n").expect("writes");
    assert_eq!(next("told")["command"], "pass");
    while TcpStream::connect(&address).is_err() {
        std::thread::yield_now();
    }
    home.join(&format!("ws://{address}"), &server.invite, "ana");
    stdin.write_all(b"cut\n").expect("writes");
    assert_eq!(next("told")["command"], "cut");
    let (status, _, err) = home.run(&["send", "lobby", "kept", "--wait", "1"]);
    assert_eq!(status, 75, "{err}");
    stdin.write_all(b"pass\n").expect("writes");
    assert_eq!(next("told")["command"], "pass");
    let (status, _, err) = home.run(&["send", "lobby", "on it goes", "--wait", "20"]);
    assert_eq!(status, 0, "{err}");
    let (_, out, _) = home.run(&["tail", "lobby", "--json"]);
    let bodies: Vec<_> = messages(&out)
        .iter()
        .map(|line| line["body"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(bodies, [Some("kept".into()), Some("on it goes".into())]);
    stdin.write_all(b"quit\n").expect("writes");
    assert!(chaos.0.wait().expect("ends").success());
}

#[test]
fn chaos_plan_with_mistake_runs_nothing() {
    let home = Home::new();
    let plan = home.path().join("plan.txt");
    std::fs::write(&plan, "cut\nwait a bit\n").expect("writes");
    let plan = plan.display().to_string();
    let (status, out, err) = home.run(&["chaos", "--upstream", "127.0.0.1:1", "--plan", &plan]);
    assert_eq!((status, out.as_str()), (64, ""));
    assert!(
        err.contains("plan.txt, line 2: `wait a bit` is not a command"),
        "{err}"
    );
    let (status, _, err) = home.run(&["chaos", "--upstream", "nowhere"]);
    assert!(status == 64 && err.contains("HOST:PORT"), "{err}");
}
