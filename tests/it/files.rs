//! What each command makes of everything that may happen to the files of a store and of a server,
//! at the start and while they are open: a table, printed cell by cell. Nothing is acknowledged,
//! and no composer cleared, whose text is not on the disk that the next start opens.

use std::path::{Path, PathBuf};

use crate::damage::Damage::{self, *};
use crate::damage::{ALL, Files};
use crate::support::{Home, Server, Terminal};

/// A server, a user with messages, and the files to damage. All processes were killed, so the
/// write-ahead logs have content.
struct Stage {
    server: Server,
    ana: Home,
    files: Files,
    data: tempfile::TempDir,
}

impl Stage {
    /// With the files of the server to suffer, or those of ana.
    fn new(is_servers: bool) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut server = Server::start(data.path());
        let (ana, other) = (Home::new(), Home::new());
        ana.join(&server.url(), &server.invite, "ana");
        other.join(&server.url(), &server.invite, "bob");
        assert_eq!(ana.run(&["send", "lobby", "first"]).0, 0);
        let other_data = tempfile::tempdir().expect("a folder");
        assert!(Server::start(other_data.path()).terminate().success());
        let files = if is_servers {
            server.kill9();
            Files::new(data.path().to_owned(), "server", other_data.path())
        } else {
            Files::new(profile(ana.path()), "store", &profile(other.path()))
        };
        if is_servers {
            server = Server::start_on(data.path(), server.port);
        }
        // More than one checkpoint later: the copy is of another state than the log. A new account
        // makes one on a server, and a chat that quits makes one in a profile.
        let long = "x".repeat(15_000);
        for n in 0..3 {
            assert_eq!(ana.run(&["send", "lobby", &format!("{n} {long}")]).0, 0);
        }
        Home::new().join(&server.url(), &server.invite, "cy");
        let chat = Terminal::open(&ana, &[]);
        chat.ready();
        chat.quit();
        assert_eq!(ana.run(&["send", "lobby", "behind the checkpoint"]).0, 0);
        Self {
            server,
            ana,
            files,
            data,
        }
    }
}

fn profile(home: &Path) -> PathBuf {
    home.join("data/profiles/default")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("is made");
    for file in std::fs::read_dir(from).expect("reads").flatten() {
        let target = to.join(file.file_name());
        if file.file_type().expect("a type").is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).expect("copies");
        }
    }
}

/// An additional message of the first program that opens an older store.
const OLDER_COPY: &str = "the latest changes of this profile may be missing";

/// One cell of the table, printed; it fails unless the command ended with one of these codes, and
/// said these words in one line.
fn cell(
    damage: Damage,
    when: &str,
    command: &str,
    (code, err): (i32, &str),
    expected: i32,
    words: &str,
) {
    let line = err.trim();
    println!(
        "{:<14} {when:<8} {command:<12} {code:>2} {line}",
        format!("{damage:?}")
    );
    assert_eq!(code, expected, "{damage:?}, {when}, {command}: {err}");
    let count = line
        .lines()
        .filter(|line| words == OLDER_COPY || !line.contains(OLDER_COPY))
        .count();
    assert!(
        line.contains(words) && count <= 1,
        "{damage:?}, {when}, {command}: {err}"
    );
}

/// The expected exit code and error of a command that starts with the damaged files.
fn of_profile_at_start(damage: Damage) -> (i32, &'static str) {
    match damage {
        Deleted | Renamed => (64, "no profile"),
        Emptied => (78, "is empty (0 bytes)"),
        NewerVersion => (78, "use a newer landfall"),
        Truncated => (74, "is damaged"),
        ForeignLog => (78, "was written for another file"),
        Replaced | LogDeleted | IndexDeleted | IndexCutShort | CopiedOver | CopyBeside => (0, ""),
    }
}

#[test]
fn damaged_profile_files_are_reported_or_read() {
    let mut stage = Stage::new(false);
    let mut chat = Terminal::open(&stage.ana, &[]);
    chat.ready();
    chat.say("last words"); // in the log, and not yet in the file
    chat.wait("sent", |screen| {
        screen
            .lines()
            .any(|line| line.contains("last words") && line.contains('✓'))
    });
    chat.kill9();
    let port = stage.server.port;
    for damage in ALL.iter().copied() {
        let damaged = || {
            let home = Home::new();
            copy(stage.ana.path(), home.path());
            let files = stage.files.within(profile(home.path()));
            files.suffer(damage);
            if damage == NewerVersion {
                // else it is still in the log that the file is of an older one
                files.suffer(LogDeleted);
            }
            home
        };
        let (code, words) = of_profile_at_start(damage);
        let commands = [
            &["send", "lobby", "second"][..],
            &["tail", "lobby"],
            &["status"],
            &["backup", "backup.db"],
            &["check"],
        ];
        for command in commands {
            let home = damaged();
            let backup = home.path().join("backup.db");
            let arguments: Vec<&str> = command
                .iter()
                .map(|word| {
                    if *word == "backup.db" {
                        backup.to_str().expect("UTF-8")
                    } else {
                        *word
                    }
                })
                .collect();
            let (found, _, err) = home.run(&arguments);
            let is_said = damage == LogDeleted && matches!(command[0], "send" | "tail" | "status");
            let words = if is_said { OLDER_COPY } else { words };
            cell(damage, "at start", command[0], (found, &err), code, words);
            if command[0] == "backup" && found == 0 {
                assert_eq!(
                    home.run(&["check", arguments[1]]).0,
                    0,
                    "{damage:?}: the backup is whole"
                );
            }
        }
        let home = damaged();
        let mut chat = Terminal::open(&home, &[]);
        let found = if matches!(damage, Deleted | Renamed) {
            chat.wait_for("F1"); // a first start: this machine's own server
            0
        } else if code == 0 {
            chat.ready();
            0
        } else {
            chat.wait_end() as i32
        };
        let screen = chat
            .screen()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let is_first = matches!(damage, Deleted | Renamed);
        let expected = if is_first { (0, "") } else { (code, words) };
        let line = if found == 0 { "" } else { screen.as_str() };
        cell(
            damage,
            "at start",
            "chat",
            (found, line),
            expected.0,
            expected.1,
        );
    }
    assert_eq!(stage.server.port, port);
    stage.server.kill9();
}

#[test]
fn damaged_server_files_are_reported_or_read() {
    let mut stage = Stage::new(true);
    stage.server.kill9();
    for damage in ALL.iter().copied() {
        let (code, words) = match damage {
            Deleted | Renamed => (0, ""), // a new server
            other => of_profile_at_start(other),
        };
        for command in ["serve", "backup", "check"] {
            let home = Home::new();
            let data = home.path().join("data");
            copy(stage.data.path(), &data);
            let files = stage.files.within(data.clone());
            files.suffer(damage);
            if damage == NewerVersion {
                // else it is still in the log that the file is of an older one
                files.suffer(LogDeleted);
            }
            let data = data.to_str().expect("UTF-8");
            let (found, _, err) = match command {
                "serve" => home.run(&[
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--data",
                    data,
                    "--until-eof",
                ]),
                "backup" => home.run(&[
                    "backup",
                    "--data",
                    data,
                    home.path().join("b.db").to_str().expect("UTF-8"),
                ]),
                _ => home.run(&["check", "--data", data]),
            };
            let is_said =
                err.contains("the latest changes may be missing: the file was replaced by an older copy, or its -wal was removed");
            assert_eq!(
                is_said,
                command == "serve" && damage == LogDeleted,
                "{damage:?}, {command}: {err}"
            );
            let err = err.lines().last().unwrap_or_default(); // a server logs besides
            let (code, words) = match damage {
                Deleted | Renamed if command != "serve" => (66, "no server's data"),
                _ => (code, words),
            };
            let err = if found == 0 { "" } else { err };
            cell(
                damage,
                "at start",
                &format!("{command} --data"),
                (found, err),
                code,
                words,
            );
        }
    }
}

/// Whether the next start of the profile has a line.
fn is_there(home: &Home, line: &str) -> bool {
    let (_, list, _) = home.run(&["outbox", "--json"]);
    let (_, log, _) = home.run(&["tail", "lobby"]);
    list.contains(line) || log.contains(line)
}

#[test]
fn profile_damaged_under_a_chat_loses_nothing() {
    for damage in ALL.iter().copied() {
        let stage = Stage::new(false);
        let mut chat = Terminal::open(&stage.ana, &[]);
        chat.ready();
        chat.say("before it");
        chat.say("/offline");
        chat.wait_for("offline by your request");
        // a file that is truncated while it is read ends the program in any case
        stage.files.rest();
        stage.files.suffer(damage);
        chat.keys("after it");
        chat.wait_for("> after it");
        chat.keys("\r");
        let is_over = |screen: &str| {
            let is_clear = screen.lines().any(|line| line.trim_end() == ">");
            is_clear
                || screen.contains("text stays in the composer")
                || screen.contains("try again")
        };
        chat.wait("it is sent, or stays", is_over);
        let is_clear = chat.screen().lines().any(|line| line.trim_end() == ">");
        println!(
            "{:<14} open     chat         {}",
            format!("{damage:?}"),
            if is_clear {
                "cleared"
            } else {
                "stays, with words"
            }
        );
        commands_beside_the_chat(damage, &stage.ana);
        chat.kill9();
        if is_clear {
            assert!(
                is_there(&stage.ana, "after it"),
                "{damage:?}: the composer cleared, and it is nowhere"
            );
            assert!(
                is_there(&stage.ana, "before it"),
                "{damage:?}: what was sent before is gone"
            );
        }
        let keeps = matches!(
            damage,
            Deleted | Renamed | LogDeleted | IndexDeleted | IndexCutShort | CopyBeside
        );
        assert!(
            is_clear || !keeps || damage == IndexDeleted,
            "{damage:?}: it could have been kept"
        );
    }
}

#[test]
fn chat_quit_on_unusable_store_is_reported() {
    for (damage, code, words) in [
        (Replaced, 74, "another file replaced the open database"),
        (Emptied, 78, "is empty (0 bytes)"),
    ] {
        let stage = Stage::new(false);
        let mut chat = Terminal::open(&stage.ana, &[]);
        chat.ready();
        stage.files.rest();
        stage.files.suffer(damage);
        chat.keys("\x11");
        let ended = chat.wait_end() as i32;
        let said = chat
            .screen()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        cell(damage, "open", "chat quits", (ended, &said), code, words);
    }
}

/// Each of them ends with 0 and is right, or says in one line why not.
fn commands_beside_the_chat(damage: Damage, home: &Home) {
    let (expected, words) = match damage {
        // the open data is saved beside it
        Replaced | ForeignLog => (78, "are both databases of this folder"),
        Emptied | Truncated => of_profile_at_start(damage),
        _ => (0, ""), // a newer version is still in the log that the file is of an older one
    };
    for command in [
        &["status"][..],
        &["check"],
        &["backup"],
        &["tail", "lobby"],
        &["send", "lobby", "beside it", "--wait", "1"],
    ] {
        let backup = home.path().join("backup.db");
        let to = [backup.to_str().expect("UTF-8")];
        let arguments = [command, if command[0] == "backup" { &to } else { &[] }].concat();
        let (code, _, err) = home.run(&arguments);
        let is_queued = command[0] == "send" && expected == 0;
        cell(
            damage,
            "open",
            command[0],
            (code, &err),
            if is_queued { 75 } else { expected },
            words,
        );
        if command[0] == "send" && matches!(code, 0 | 75) {
            assert!(
                is_there(home, "beside it"),
                "{damage:?}: send ended with {code}, and it is nowhere"
            );
        }
    }
}

#[test]
fn server_damaged_while_open_acks_only_stored() {
    for damage in ALL.iter().copied() {
        let mut stage = Stage::new(true);
        assert_eq!(stage.ana.run(&["send", "lobby", "before it"]).0, 0);
        stage.files.suffer(damage);
        let (code, _, err) = stage.ana.run(&["send", "lobby", "after it", "--wait", "3"]);
        let keeps = matches!(
            damage,
            Deleted | Renamed | LogDeleted | IndexDeleted | IndexCutShort | CopyBeside
        );
        cell(
            damage,
            "open",
            "serve",
            (code, &err),
            if keeps { 0 } else { 75 },
            "",
        );
        let data = stage.data.path().to_str().expect("UTF-8");
        for command in ["check", "backup"] {
            let to = stage.ana.path().join("server-backup.db");
            let to = if command == "backup" {
                &[to.to_str().expect("UTF-8")][..]
            } else {
                &[]
            };
            let (expected, words) = match damage {
                // the open data is saved beside it
                Replaced | ForeignLog => (78, "are both databases of this folder"),
                Emptied | Truncated | NewerVersion => of_profile_at_start(damage),
                _ => (0, ""),
            };
            let (code, _, err) = stage.ana.run(&[&[command, "--data", data], to].concat());
            cell(
                damage,
                "open",
                &format!("{command} --data"),
                (code, &err),
                expected,
                words,
            );
        }
        if code != 0 {
            continue; // the server has ended, or answers nothing
        }
        stage.server.crash_and_restart();
        let fresh = Home::new();
        fresh.join(&stage.server.url(), &stage.server.invite, "di");
        assert_eq!(fresh.run(&["send", "lobby", "here"]).0, 0);
        let log = fresh.bodies();
        for line in ["before it", "after it"] {
            assert!(
                log.iter().any(|body| body == line),
                "{damage:?}: {line:?} was acknowledged: {log:?}"
            );
        }
    }
}
