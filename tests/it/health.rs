//! The health report of a server over HTTP, with a faulty disk, clock or connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::disk::{FaultyDisk, preloaded};
use crate::support::{Home, Server};

/// The status and the body of `GET /healthz`.
fn healthz(port: u16) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("asks");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the server ends the connection");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, body.trim().to_owned())
}

/// Asks until it is answered so: the last result is given again for a second.
fn wait_for(port: u16, status: u16, words: &str) {
    let start = std::time::Instant::now();
    loop {
        let answer = healthz(port);
        if answer.0 == status && answer.1.contains(words) {
            return;
        }
        assert!(
            start.elapsed() < crate::support::PATIENCE,
            "{answer:?}, not {status} {words}"
        );
        // nobody tells when the second is over
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn healthz_fails_while_the_disk_takes_nothing() {
    for (fault, words) in [("full", "disk is full"), ("sync", "disk failed to sync")] {
        let Some(disk) = FaultyDisk::new() else {
            return;
        };
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(data.path(), 0, &disk.environment());
        assert_eq!(healthz(server.port), (200, "ok".to_owned()));
        disk.fail(fault);
        wait_for(server.port, 503, words);
        disk.mend(fault);
        wait_for(server.port, 200, "ok");
    }
}

#[test]
fn extreme_clocks_work_or_are_reported() {
    let Some((_folder, library)) = preloaded("other_clock") else {
        return;
    };
    let library = library.to_str().expect("UTF-8");
    // 1938, 1970, 9999-12-31, and 12000.
    for (seconds, is_served) in [
        ("-1000000000", false),
        ("0", true),
        ("253402300700", true),
        ("316516838400", false),
    ] {
        let environment = [("LD_PRELOAD", library), ("CLOCK_SECONDS", seconds)];
        let data = tempfile::tempdir().expect("a folder");
        let mut server = Server::start_with(data.path(), 0, &environment);
        let ana = Home::new();
        let invite = format!("{}#{}", server.url(), server.invite);
        if is_served {
            ana.join(&server.url(), &server.invite, "ana");
            assert_eq!(healthz(server.port), (200, "ok".to_owned()), "{seconds}");
        } else {
            let (status, body) = healthz(server.port);
            assert!(
                status == 503 && body.contains("the clock of the server is wrong"),
                "{seconds}: {body}"
            );
            let (code, _, err) = ana.run(&["join", &invite, "--name", "ana"]);
            assert!(code != 0 && err.lines().count() == 1, "{seconds}: {err}");
        }
        assert!(server.terminate().success(), "{seconds}");
        let server = Server::start_on(data.path(), server.port);
        let bob = Home::new();
        assert_eq!(
            bob.run_in(&["join", &invite, "--name", "bob"], b"", &environment)
                .0,
            0,
            "{seconds}"
        );
        let backup = bob.path().join("b.db");
        let backup = backup.to_str().expect("UTF-8");
        for arguments in [
            &["send", "lobby", "too"][..],
            &["tail", "lobby"],
            &["journal"],
            &["status"],
            &["backup", backup],
        ] {
            let (code, _, err) = bob.run_in(arguments, b"", &environment);
            assert_eq!(code, 0, "{seconds}, {arguments:?}: {err}");
        }
        assert_eq!(bob.bodies(), ["too"], "{seconds}");
        drop(server);
    }
}

#[test]
fn clock_behind_newest_message_is_reported() {
    let Some((_folder, library)) = preloaded("other_clock") else {
        return;
    };
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    assert_eq!(ana.run(&["send", "lobby", "today"]).0, 0);
    assert_eq!(ana.bodies(), ["today"]);
    server.terminate();
    let environment = [
        ("LD_PRELOAD", library.to_str().expect("UTF-8")),
        ("CLOCK_SECONDS", "1600000000"),
    ];
    let server = Server::start_with(data.path(), server.port, &environment);
    let (status, body) = healthz(server.port);
    assert!(
        status == 200 && body.contains("minutes behind the newest message"),
        "{body}"
    );
    let (code, out, err) = ana.run_in(&["status"], b"", &environment);
    assert!(
        code == 0 && out.contains("minutes behind the newest message"),
        "{out}{err}"
    );
    let (_, json, _) = ana.run_in(&["status", "--json"], b"", &environment);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["clock_behind_ms"].as_u64() > Some(600_000), "{json}");
    let (_, out, _) = ana.run(&["status"]);
    assert!(!out.contains("behind"), "{out}");
}

#[test]
fn deleted_data_folder_stays_locked() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path().join("server");
    let server = Server::start(&data);
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    std::fs::remove_dir_all(&data).expect("removes");
    assert_eq!(ana.run(&["send", "lobby", "after"]).0, 0);
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    while !data.join("host.addr").exists() {
        assert!(
            std::time::Instant::now() < end,
            "nothing says who serves it"
        );
        std::thread::yield_now();
    }
    let folder = data.to_str().expect("UTF-8");
    let (code, _, err) = ana.run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        folder,
        "--until-eof",
    ]);
    assert!(
        code == 69 && err.contains("another server uses"),
        "{code}: {err}"
    );
}
