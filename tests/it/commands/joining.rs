//! Who is let in: invites, joins, and revoked devices.

use super::*;

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
