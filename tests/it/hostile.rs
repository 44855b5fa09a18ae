//! Peers that do not keep to the protocol: each is closed with its code, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::support::{Home, PATIENCE, Server, Stage};

const TOKEN: &str = "5e2a3cf18f1b0d6c8e7a9b4d2c1f0e3d5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d";

impl Stage {
    fn connect(&self) -> WebSocket<TcpStream> {
        let mut request = format!("{}/v1", self.server.url())
            .into_client_request()
            .expect("a request");
        request.headers_mut().insert(
            "sec-websocket-protocol",
            "landfall.v1".parse().expect("a header"),
        );
        let stream = TcpStream::connect(("127.0.0.1", self.server.port)).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("is set");
        client::client(request, stream).expect("is upgraded").0
    }

    fn hello(&self) -> String {
        let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
        let code = &self.server.invite;
        let [device, instance, account] = [id(1), id(2), id(3)];
        format!(
            r#"{{"type":"hello","token":"{TOKEN}","device":"{device}","instance":"{instance}","dial":1,"invite":"{code}","name":"eve","account":"{account}"}}"#
        )
    }

    /// The code of the close that these frames get.
    fn closed_after(&self, frames: &[Message]) -> u16 {
        let mut socket = self.connect();
        for frame in frames {
            let _ = socket.send(frame.clone()); // it may be closed already
        }
        loop {
            if let Message::Close(close) = socket.read().expect("a close frame") {
                return close.expect("a code").code.into();
            }
        }
    }
}

#[test]
fn invalid_frame_closes_only_its_connection() {
    let stage = Stage::new();
    let hello = || Message::text(stage.hello());
    let deep = "[".repeat(60_000);
    let cases: Vec<(&str, Vec<Message>, u16)> = vec![
        ("not JSON", vec![Message::text("hm")], 4000),
        ("deep JSON", vec![Message::text(deep)], 4000),
        ("binary", vec![Message::binary(vec![1, 2, 3])], 4000),
        (
            "too big",
            vec![Message::text("x".repeat(64 * 1024 + 1))],
            1009,
        ),
        (
            "before the hello",
            vec![Message::text(r#"{"type":"ping","n":1}"#)],
            4000,
        ),
        (
            "a wrong invite",
            vec![Message::text(
                stage.hello().replace(&stage.server.invite, "no"),
            )],
            4006,
        ),
        ("two hellos", vec![hello(), hello()], 4000),
        (
            "a wrong token",
            vec![Message::text(stage.hello().replace(TOKEN, &"0".repeat(64)))],
            4001,
        ),
        (
            "an unknown type",
            vec![hello(), Message::text(r#"{"type":"dance"}"#)],
            4000,
        ),
    ];
    for (what, frames, code) in cases {
        assert_eq!(stage.closed_after(&frames), code, "{what}");
    }
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

#[test]
fn incomplete_handshake_times_out() {
    let stage = Stage::new();
    let mut half = TcpStream::connect(("127.0.0.1", stage.server.port)).expect("connects");
    half.set_read_timeout(Some(PATIENCE)).expect("is set");
    half.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .expect("sends");
    let mut silent = stage.connect();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer)
        .expect("ends, and not by patience");
    let close = silent.read().expect("a close frame");
    assert!(
        matches!(close, Message::Close(Some(_)) | Message::Text(_)),
        "{close:?}"
    );
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

#[test]
fn client_ignoring_replies_is_not_read() {
    let stage = Stage::new();
    let mut socket = stage.connect();
    socket.send(Message::text(stage.hello())).expect("sends");
    let welcome = socket.read().expect("a frame").into_text().expect("text");
    assert!(welcome.contains("welcome"), "{welcome}");
    socket
        .get_ref()
        .set_write_timeout(Some(Duration::from_secs(1)))
        .expect("is set");
    let ping = Message::text(r#"{"type":"ping","n":1}"#);
    // their answers would be a hundred megabytes, far more than any socket holds
    let most = 3_000_000;
    let taken = (0..most)
        .take_while(|_| socket.send(ping.clone()).is_ok())
        .count();
    assert!(
        taken < most,
        "all pings were taken from somebody who reads nothing"
    );
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

/// The most memory that a process ever had, MiB, where the system tells.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

/// A hello of somebody of their own.
fn guest(stage: &Stage, n: usize) -> Message {
    let theirs = |text: String, last: &str| {
        text.replace(&format!("00000000000{last}\""), &format!("{last}{n:011}\""))
    };
    let hello = ["1", "2", "3"]
        .iter()
        .fold(stage.hello(), |hello, last| theirs(hello, last));
    Message::text(hello.replace("\"eve\"", &format!("\"eve-{n}\"")))
}

/// Sends data until the peer accepts no more, or the test has seen enough. Reads nothing.
fn flood(
    stage: &Stage,
    n: usize,
    frame: &Message,
    is_over: &AtomicBool,
) -> Option<WebSocket<TcpStream>> {
    let mut socket = stage.connect();
    socket.send(guest(stage, n)).expect("sends");
    socket
        .get_ref()
        .set_write_timeout(Some(Duration::from_millis(200)))
        .expect("is set");
    while !is_over.load(Ordering::Relaxed) && socket.send(frame.clone()).is_ok() {}
    (!is_over.load(Ordering::Relaxed)).then_some(socket)
}

#[test]
fn hostile_crowd_uses_bounded_memory() {
    let stage = Stage::new();
    let port = stage.server.port;
    let lobby = {
        let (_, out, _) = stage.ana.run(&["tail", "lobby", "--json"]);
        let line: serde_json::Value =
            serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
        line["room"].as_str().expect("a room").to_owned()
    };
    let padded = |frame: &str| {
        Message::text(frame.replacen('{', &format!("{{\"pad\":\"{}\",", "x".repeat(60_000)), 1))
    };
    let frames = [
        padded(r#"{"type":"ping","n":1}"#),
        padded(&format!(
            r#"{{"type":"request","request":1,"op":"members","room":"{lobby}","after":""}}"#
        )),
        Message::text(format!(
            r#"{{"type":"fetch","request":1,"room":"{lobby}","after":0,"limit":200}}"#
        )),
        Message::text(format!(
            r#"{{"type":"send","id":"01900000-0000-7000-8000-000000000001","room":"{lobby}","kind":"message","body":"{}","composed_at":1}}"#,
            "y".repeat(16_000)
        )),
    ];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..frames.len() * 3)
            .map(|n| {
                let (stage, frame, is_over) = (&stage, &frames[n % frames.len()], &is_over);
                scope.spawn(move || flood(stage, n, frame, is_over))
            })
            .collect();
        // Heads that never end, frames that never end, JSON that is all brackets.
        let slow: Vec<_> = (0..300)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
                stream
                    .write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\nx-slow: ")
                    .expect("sends");
                stream
            })
            .collect();
        let half: Vec<_> = (0..100)
            .map(|_| {
                let mut socket = stage.connect();
                socket
                    .get_mut()
                    .write_all(&[0x81, 0xfe, 0xea, 0x60, 1, 2, 3, 4, b'{'])
                    .expect("sends");
                socket
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(
                stage.closed_after(&[Message::text("[{\"a\":".repeat(10_000))]),
                4000
            );
        }
        // Ten thousand short connections.
        for _ in 0..20 {
            drop(
                (0..500)
                    .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connects"))
                    .collect::<Vec<_>>(),
            );
        }
        for n in 0..10 {
            let (code, _, err) =
                stage
                    .ana
                    .run(&["send", "lobby", &format!("still here {n}"), "--wait", "20"]);
            assert_eq!(code, 0, "{err}");
        }
        is_over.store(true, Ordering::Relaxed);
        let stopped = floods
            .into_iter()
            .filter_map(|flood| flood.join().expect("ends"))
            .count();
        println!(
            "{stopped} floods were stopped, {} slow heads, {} half frames",
            slow.len(),
            half.len()
        );
    });
    let Some(peak) = peak_mib(stage.server.pid()) else {
        return;
    };
    println!("the server's memory at its peak: {peak} MiB");
    assert!(peak < 160, "{peak} MiB");
}

/// Whether a text contains more than plain characters for a terminal.
fn is_raw(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

const NASTY: &str =
    "red \x1b[31m title \x1b]0;owned\x07 bidi \u{202e} c1 \u{9b}2J\r\nlandfall: you are root";

/// Every command of a profile, each with something to read and little time.
const COMMANDS: [&[&str]; 9] = [
    &["send", "lobby", "hello", "--wait", "1"],
    &["tail", "lobby"],
    &["tail", "lobby", "--json"],
    &["status"],
    &["outbox"],
    &["journal"],
    &["check"],
    &["watch", "lobby", "--for", "1"],
    &["feed", "lobby"],
];

/// Runs commands. None prints raw control characters, or a forged line.
fn print_nothing_raw(home: &Home, commands: &[&[&str]]) {
    let check = |command: &[&str]| {
        let (code, out, err) = home.run_with(command, b"cpu 5\n");
        assert!(
            !is_raw(&out) && !is_raw(&err),
            "{command:?}: {out:?} {err:?}"
        );
        assert!(
            !out.lines()
                .chain(err.lines())
                .any(|line| line.starts_with("landfall: you are root")),
            "{out}{err}"
        );
        assert!(code >= 0, "{command:?} ended by itself");
    };
    // All at once: several of them wait for a server that lets them in.
    std::thread::scope(|scope| {
        commands
            .iter()
            .for_each(|command| drop(scope.spawn(|| check(command))))
    });
}

/// Answers every hello with a goodbye of this code, and a reason that is an attack.
fn hostile_server(listener: std::net::TcpListener, server: String, code: &'static str) {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = server.clone();
            std::thread::spawn(move || {
                #[expect(clippy::result_large_err, reason = "the library's signature")]
                let with_headers = |_: &Request, mut response: Response| {
                    let headers = response.headers_mut();
                    headers.insert(
                        "sec-websocket-protocol",
                        "landfall.v1".parse().expect("a header"),
                    );
                    headers.insert("x-landfall-server", server.parse().expect("a header"));
                    Ok(response)
                };
                let Ok(mut socket) =
                    tokio_tungstenite::tungstenite::accept_hdr(stream, with_headers)
                else {
                    return;
                };
                let _ = socket.read(); // the hello
                let bye = serde_json::json!({ "type": "bye", "code": code, "reason": NASTY });
                let _ = socket.send(Message::text(bye.to_string())); // it may be gone
                while socket.read().is_ok() {}
            });
        }
    });
}

#[test]
fn hostile_reasons_reach_no_terminal_raw() {
    for code in [
        "overloaded",
        "unauthorized",
        "bad_invite",
        "name_taken",
        "a code of tomorrow",
    ] {
        let mut stage = Stage::new();
        assert_eq!(stage.ana.run(&["send", "lobby", "first"]).0, 0);
        let http = http(stage.server.port);
        let server = http
            .lines()
            .find_map(|line| line.strip_prefix("x-landfall-server: "))
            .map(str::to_owned);
        stage.server.kill9();
        let listener = std::net::TcpListener::bind(("127.0.0.1", stage.server.port))
            .expect("the port is free again");
        hostile_server(listener, server.unwrap_or_default(), code);
        // the last one waits for a connection without end
        print_nothing_raw(&stage.ana, &COMMANDS[..COMMANDS.len() - 1]);
        let (_, out, err) = Home::new().run(&[
            "join",
            &format!("{}#{}", stage.server.url(), stage.server.invite),
            "--name",
            "eve",
        ]);
        assert!(
            !is_raw(&out) && !is_raw(&err) && err.lines().count() == 1,
            "{code}: {out}{err}"
        );
        let mut chat = crate::support::Terminal::open(&stage.ana, &[]);
        chat.wait_for("first");
        chat.say("typed to a hostile server");
        assert!(
            !is_raw(&chat.screen().replace('\u{202e}', "\u{7}")),
            "what is drawn is text"
        );
        chat.quit();
    }
}

/// The answer to an upgrade.
fn http(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let request = "GET /v1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: landfall.v1\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("asks");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        head.extend(byte);
    }
    String::from_utf8(head).expect("text").replace("\r\n", "\n")
}

#[test]
fn hostile_names_reach_no_terminal_raw() {
    let mut stage = Stage::new();
    assert_eq!(stage.ana.run(&["send", "lobby", NASTY]).0, 0);
    stage.server.kill9();
    // From here on, the server sends hostile names.
    let database = rusqlite::Connection::open(stage.server.data.join("server.db")).expect("opens");
    for (table, column) in [
        ("rooms", "topic"),
        ("accounts", "name"),
        ("entries", "name"),
        ("entries", "body"),
    ] {
        database
            .execute(&format!("UPDATE {table} SET {column} = ?1"), [NASTY])
            .expect("changes");
    }
    drop(database);
    stage.server = Server::start_on(&stage.server.data, stage.server.port);
    print_nothing_raw(&stage.ana, &COMMANDS);
    let fresh = Home::new();
    fresh.join(&stage.server.url(), &stage.server.invite, "bob");
    print_nothing_raw(&fresh, &COMMANDS);
    let list = fresh.run(&[
        "device",
        "--data",
        stage.server.data.to_str().expect("UTF-8"),
        "list",
    ]);
    assert!(list.0 == 0 && !is_raw(&list.1), "{list:?}");
    let chat = crate::support::Terminal::open(&fresh, &[]);
    chat.ready();
    assert!(!is_raw(&chat.screen()), "{}", chat.screen());
}

#[test]
fn server_log_sanitizes_peer_text() {
    let data = tempfile::tempdir().expect("a folder");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let stderr = log.reopen().expect("opens").into();
    let server = Server::start_logging(data.path(), 0, &[("RUST_LOG", "landfall=trace")], stderr);
    let mut stage = Stage {
        server,
        ana: Home::new(),
        data,
    };
    let attack = format!(
        "{{\"type\":\"{}\\u001b[31m\\n2026-01-01 ERROR landfall: a fake line\"}}",
        "x".repeat(50_000)
    );
    for text in [NASTY, attack.as_str()] {
        for _ in 0..20 {
            stage.closed_after(&[Message::text(text)]);
        }
    }
    assert!(stage.server.terminate().success());
    let log = std::fs::read_to_string(log.path()).expect("UTF-8");
    assert!(!is_raw(&log) && log.contains("closing a link"), "{log}");
    assert!(
        !log.lines()
            .any(|line| line.starts_with("2026-01-01") || line.starts_with("landfall: you")),
        "{log}"
    );
    assert!(
        log.lines().all(|line| line.len() < 1_100) && log.len() < 100_000,
        "{} bytes",
        log.len()
    );
}

#[test]
fn server_with_unread_log_keeps_serving() {
    let data = tempfile::tempdir().expect("a folder");
    // A pipe that nobody reads.
    let mut server = Server::start_logging(
        data.path(),
        0,
        &[("RUST_LOG", "trace")],
        std::process::Stdio::piped(),
    );
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    let lines = "a line that is logged several times over\n".repeat(1_500);
    let (code, _, err) = ana.run_with(
        &["send", "lobby", "--lines", "--wait", "60"],
        lines.as_bytes(),
    );
    assert_eq!(code, 0, "{err}");
    assert!(server.terminate().success());
}
