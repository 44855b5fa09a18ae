//! Peers that do not keep to the protocol: each is closed with its code, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
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
