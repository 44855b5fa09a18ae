//! Peers that do not keep to the protocol: each is closed with its code, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::support::{Home, PATIENCE, Server};

const TOKEN: &str = "5e2a3cf18f1b0d6c8e7a9b4d2c1f0e3d5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d";

struct Stage {
    server: Server,
    ana: Home,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(data.path());
        let ana = Home::new();
        ana.join(&server.url(), &server.invite, "ana");
        Self { server, ana, _data: data }
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let mut request = format!("{}/v1", self.server.url()).into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "landfall.v1".parse().expect("a header"));
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
fn what_is_no_frame_is_closed_with_a_code_and_the_server_lives_on() {
    let stage = Stage::new();
    let hello = || Message::text(stage.hello());
    let deep = "[".repeat(60_000);
    let cases: Vec<(&str, Vec<Message>, u16)> = vec![
        ("not JSON", vec![Message::text("hm")], 4000),
        ("deep JSON", vec![Message::text(deep)], 4000),
        ("binary", vec![Message::binary(vec![1, 2, 3])], 4000),
        ("too big", vec![Message::text("x".repeat(64 * 1024 + 1))], 1009),
        ("before the hello", vec![Message::text(r#"{"type":"ping","n":1}"#)], 4000),
        ("a wrong invite", vec![Message::text(stage.hello().replace(&stage.server.invite, "no"))], 4006),
        ("two hellos", vec![hello(), hello()], 4000),
        ("a wrong token", vec![Message::text(stage.hello().replace(TOKEN, &"0".repeat(64)))], 4001),
        ("an unknown type", vec![hello(), Message::text(r#"{"type":"dance"}"#)], 4000),
    ];
    for (what, frames, code) in cases {
        assert_eq!(stage.closed_after(&frames), code, "{what}");
    }
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

#[test]
fn half_a_head_and_a_missing_hello_are_not_waited_for() {
    let stage = Stage::new();
    let mut half = TcpStream::connect(("127.0.0.1", stage.server.port)).expect("connects");
    half.set_read_timeout(Some(PATIENCE)).expect("is set");
    half.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\nx-slow: ").expect("sends");
    let mut silent = stage.connect();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer).expect("ends, and not by patience");
    let close = silent.read().expect("a close frame");
    assert!(matches!(close, Message::Close(Some(_)) | Message::Text(_)), "{close:?}");
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

#[test]
fn who_takes_no_answers_is_not_read_and_the_others_are_served() {
    let stage = Stage::new();
    let mut socket = stage.connect();
    socket.send(Message::text(stage.hello())).expect("sends");
    let welcome = socket.read().expect("a frame").into_text().expect("text");
    assert!(welcome.contains("welcome"), "{welcome}");
    socket.get_ref().set_write_timeout(Some(Duration::from_secs(1))).expect("is set");
    let ping = Message::text(r#"{"type":"ping","n":1}"#);
    let most = 3_000_000; // their answers would be a hundred megabytes, far more than any socket holds
    let taken = (0..most).take_while(|_| socket.send(ping.clone()).is_ok()).count();
    assert!(taken < most, "all pings were taken from somebody who reads nothing");
    assert_eq!(stage.ana.run(&["send", "lobby", "still here"]).0, 0);
}

/// The most memory that a process ever had, MiB, where the system tells.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

/// A hello of somebody of their own.
fn guest(stage: &Stage, n: usize) -> Message {
    let theirs = |text: String, last: &str| text.replace(&format!("00000000000{last}\""), &format!("{last}{n:011}\""));
    let hello = ["1", "2", "3"].iter().fold(stage.hello(), |hello, last| theirs(hello, last));
    Message::text(hello.replace("\"eve\"", &format!("\"eve-{n}\"")))
}

/// Sends what it is given until nothing more is taken, or somebody has seen enough. Reads nothing.
fn flood(stage: &Stage, n: usize, frame: &Message, is_over: &AtomicBool) -> Option<WebSocket<TcpStream>> {
    let mut socket = stage.connect();
    socket.send(guest(stage, n)).expect("sends");
    socket.get_ref().set_write_timeout(Some(Duration::from_millis(200))).expect("is set");
    while !is_over.load(Ordering::Relaxed) && socket.send(frame.clone()).is_ok() {}
    (!is_over.load(Ordering::Relaxed)).then_some(socket)
}

#[test]
fn a_crowd_of_hostile_peers_costs_bounded_memory_and_the_others_are_served() {
    let stage = Stage::new();
    let port = stage.server.port;
    let lobby = {
        let (_, out, _) = stage.ana.run(&["tail", "lobby", "--json"]);
        let line: serde_json::Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
        line["room"].as_str().expect("a room").to_owned()
    };
    let padded = |frame: &str| Message::text(frame.replacen('{', &format!("{{\"pad\":\"{}\",", "x".repeat(60_000)), 1));
    let frames = [
        padded(r#"{"type":"ping","n":1}"#),
        padded(&format!(r#"{{"type":"request","request":1,"op":"members","room":"{lobby}","after":""}}"#)),
        Message::text(format!(r#"{{"type":"fetch","request":1,"room":"{lobby}","after":0,"limit":200}}"#)),
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
                stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\nx-slow: ").expect("sends");
                stream
            })
            .collect();
        let half: Vec<_> = (0..100)
            .map(|_| {
                let mut socket = stage.connect();
                socket.get_mut().write_all(&[0x81, 0xfe, 0xea, 0x60, 1, 2, 3, 4, b'{']).expect("sends");
                socket
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(stage.closed_after(&[Message::text("[{\"a\":".repeat(10_000))]), 4000);
        }
        // Ten thousand who come and go.
        for _ in 0..20 {
            drop((0..500).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connects")).collect::<Vec<_>>());
        }
        for n in 0..10 {
            let (code, _, err) = stage.ana.run(&["send", "lobby", &format!("still here {n}"), "--wait", "20"]);
            assert_eq!(code, 0, "{err}");
        }
        is_over.store(true, Ordering::Relaxed);
        let stopped = floods.into_iter().filter_map(|flood| flood.join().expect("ends")).count();
        println!("{stopped} floods were stopped, {} slow heads, {} half frames", slow.len(), half.len());
    });
    let Some(peak) = peak_mib(stage.server.pid()) else { return };
    println!("the server's memory at its peak: {peak} MiB");
    assert!(peak < 160, "{peak} MiB");
}
