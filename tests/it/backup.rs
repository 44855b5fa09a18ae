//! Backup, restore and check, as an operator and as a user run them.

use std::path::Path;

use crate::support::{Home, Server, Stage, Terminal};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn backup_of_busy_server_has_acked_messages() {
    let Stage {
        data,
        server: _server,
        ana,
    } = Stage::new();
    let lines: String = (0..400).map(|n| format!("line {n}\n")).collect();
    let backups = tempfile::tempdir().expect("a folder");
    let backup = |n: usize| backups.path().join(format!("{n}.db"));
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            ana.run_with(
                &["send", "lobby", "--lines", "--wait", "60"],
                lines.as_bytes(),
            )
        });
        for n in 0..5 {
            let (code, out, err) =
                Home::new().run(&["backup", "--data", text(data.path()), text(&backup(n))]);
            assert_eq!(code, 0, "{err}");
            assert!(out.contains("backup of the server"), "{out}");
            assert_eq!(Home::new().run(&["check", text(&backup(n))]).0, 0);
        }
        assert_eq!(sending.join().expect("sends").0, 0);
    });
    let (code, ..) = ana.run(&["backup", "--data", text(data.path()), text(&backup(5))]);
    assert_eq!(code, 0);
    let (code, _, err) = ana.run(&["backup", "--data", text(data.path()), text(&backup(5))]);
    assert!(code == 73 && err.contains("exists already"), "{err}");
    let (code, _, err) = ana.run(&["restore", "--data", text(data.path()), text(&backup(5))]);
    assert!(code == 69 && err.contains("another server uses"), "{err}");
    let rehearsal = tempfile::tempdir().expect("a folder");
    let (code, out, err) = ana.run(&[
        "restore",
        "--data",
        text(rehearsal.path()),
        text(&backup(5)),
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("401 entries"), "{out}");
    let rehearsed = Server::start(rehearsal.path());
    let bob = Home::new();
    bob.join(&rehearsed.url(), &rehearsed.invite, "bob");
    let expected: Vec<String> = (0..400).map(|n| format!("line {n}")).collect();
    assert_eq!(bob.bodies(), expected);
}

#[test]
fn restored_profile_sends_pending_messages() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    assert_eq!(ana.run(&["send", "lobby", "first"]).0, 0);
    server.kill9();
    assert_eq!(ana.run(&["send", "lobby", "waits", "--no-wait"]).0, 75);
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("ana.db");
    let (code, out, err) = ana.run(&["backup", text(&backup)]);
    assert!(code == 0 && out.contains("1 unsent message"), "{out}{err}");
    let mut chat = Terminal::open(&ana, &[]);
    chat.wait_for("waits");
    let (code, _, err) = ana.run(&["restore", text(&backup)]);
    assert!(code == 69 && err.contains("quit every landfall"), "{err}");
    chat.say("typed after the backup");
    chat.quit();
    let (code, out, err) = ana.run(&["restore", text(&backup)]);
    assert_eq!(code, 0, "{err}");
    let kept = out
        .lines()
        .find_map(|line| line.strip_prefix("the previous data is kept in "))
        .expect("a name");
    let kept = rusqlite::Connection::open(kept).expect("opens");
    let typed = "SELECT count(*) FROM outbox WHERE body = 'typed after the backup'";
    assert_eq!(
        kept.query_row(typed, [], |row| row.get::<_, i64>(0)),
        Ok(1),
        "nothing of it is lost"
    );
    server = Server::start_on(data.path(), server.port);
    assert_eq!(ana.run(&["send", "lobby", "second"]).0, 0);
    assert_eq!(ana.bodies(), ["first", "waits", "second"]);
    drop(server);
}

#[test]
fn backup_of_another_kind_is_rejected() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    let backup = ana.path().join("ana.db");
    assert_eq!(ana.run(&["backup", text(&backup)]).0, 0);
    server.terminate();
    let (code, _, err) = ana.run(&["restore", "--data", text(data.path()), text(&backup)]);
    assert!(
        code == 65 && err.contains("a backup of the other kind"),
        "{err}"
    );
    for (file, expected) in [("text", 74), ("empty", 74), ("missing", 66)] {
        let path = ana.path().join(file);
        if file != "missing" {
            std::fs::write(&path, if file == "text" { "not a database" } else { "" })
                .expect("writes");
        }
        let (code, _, err) = ana.run(&["restore", text(&path)]);
        assert!(
            code == expected && err.lines().count() == 1,
            "{file}: {code} {err}"
        );
    }
    let (code, out, err) = ana.run(&["status"]);
    assert!(
        code == 0 && out.contains("ana on") && err.is_empty(),
        "{out}{err}"
    );
}

#[test]
fn check_names_the_entry_that_was_changed() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    for n in 0..4 {
        assert_eq!(ana.run(&["send", "lobby", &format!("line {n}")]).0, 0);
    }
    assert_eq!(ana.bodies().len(), 4);
    server.kill9();
    let profile = ana.path().join("data/profiles/default/store.db");
    for (file, table, arguments) in [
        (
            data.path().join("server.db"),
            "entries",
            &["check", "--data", text(data.path())][..],
        ),
        (profile, "log", &["check"]),
    ] {
        assert_eq!(ana.run(arguments).0, 0);
        let database = rusqlite::Connection::open(file).expect("opens");
        let changed = format!("UPDATE {table} SET author = zeroblob(16) WHERE seq = 3");
        assert_eq!(database.execute(&changed, []), Ok(1));
        let (code, _, err) = ana.run(arguments);
        assert!(
            code == 74 && err.contains("#lobby") && err.contains("entry 3 does not follow"),
            "{err}"
        );
        assert_eq!(
            database.execute(&format!("DELETE FROM {table} WHERE seq = 3"), []),
            Ok(1)
        );
        let (code, _, err) = ana.run(arguments);
        assert!(code == 74 && err.contains("entry 3 is missing"), "{err}");
    }
}

#[test]
fn store_restored_without_log_is_reported_once() {
    let Stage {
        data: _data,
        server,
        ana,
    } = Stage::new();
    let store = ana.path().join("data/profiles/default/store.db");
    let older = std::fs::read(&store).expect("reads");
    let chat = Terminal::open(&ana, &[]);
    chat.ready();
    chat.quit();
    std::fs::remove_file(store.with_extension("db-wal")).expect("removes");
    std::fs::remove_file(store.with_extension("db-shm")).expect("removes");
    std::fs::write(&store, older).expect("puts it back");
    let (code, _, err) = ana.run(&["status"]);
    assert!(
        code == 0 && err.contains("store.db was replaced by an older copy"),
        "{err}"
    );
    let (code, _, err) = ana.run(&["status"]);
    assert!(code == 0 && err.is_empty(), "{err}");
    drop(server);
}

/// The files of a folder whose names contain this.
fn named(folder: &Path, part: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("reads").flatten();
    let mut names: Vec<String> = files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name.contains(part));
    names.sort();
    names
}

#[test]
fn restores_in_one_second_keep_each_store() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    let backup = ana.path().join("ana.db");
    assert_eq!(ana.run(&["backup", text(&backup)]).0, 0);
    server.kill9();
    assert_eq!(ana.run(&["send", "lobby", "unsent", "--no-wait"]).0, 75);
    let (code, first, err) = ana.run(&["restore", text(&backup)]);
    assert!(
        code == 0 && first.contains("1 unsent message is only in that file"),
        "{first}{err}"
    );
    for _ in 0..4 {
        let (code, out, err) = ana.run(&["restore", text(&backup)]);
        assert!(code == 0 && !out.contains("unsent"), "{out}{err}");
    }
    let profile = ana.path().join("data/profiles/default");
    let kept: Vec<_> = named(&profile, ".db.before-")
        .into_iter()
        .filter(|name| !name.contains("-wal") && !name.contains("-shm"))
        .collect();
    assert_eq!(kept.len(), 5, "{kept:?}");
    let kept = first
        .lines()
        .find_map(|line| line.strip_prefix("the previous data is kept in "))
        .expect("a name");
    let (code, out, err) = ana.run(&["check", kept]);
    assert!(code == 0 && out.contains("1 unsent message"), "{out}{err}");
    assert_eq!(
        ana.run(&["restore", kept]).0,
        0,
        "and it can be put back itself"
    );
    server = Server::start_on(data.path(), server.port);
    assert_eq!(ana.run(&["send", "lobby", "second"]).0, 0);
    assert_eq!(ana.bodies(), ["unsent", "second"]);
    drop(server);
}

#[test]
fn backup_of_another_account_names_it() {
    let stage = Stage::new();
    let bob = Home::new();
    bob.join(&stage.server.url(), &stage.server.invite, "bob");
    let backup = bob.path().join("bob.db");
    assert_eq!(bob.run(&["backup", text(&backup)]).0, 0);
    let (code, own, err) = bob.run(&["restore", text(&backup)]);
    assert!(code == 0 && !own.contains("another device"), "{own}{err}");
    let (code, out, err) = stage.ana.run(&["restore", text(&backup)]);
    assert!(
        code == 0 && out.contains("belonged to ana; the restored one belongs to bob"),
        "{out}{err}"
    );
}

#[test]
fn restore_of_server_lists_regained_access() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    let folder = text(data.path());
    let backup = ana.path().join("server.db");
    assert_eq!(ana.run(&["backup", "--data", folder, text(&backup)]).0, 0);
    let (_, list, _) = ana.run(&["device", "list", "--data", folder]);
    let device = list.split_whitespace().next().expect("an id");
    assert_eq!(
        ana.run(&["device", "revoke", device, "--data", folder]).0,
        0
    );
    assert_eq!(ana.run(&["invite", "new", "--data", folder]).0, 0);
    server.terminate();
    let (code, out, err) = ana.run(&["restore", "--data", folder, text(&backup)]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("1 device, revoked after the backup was made, can connect again")
            && out.contains("the invite is the one of the backup"),
        "{out}"
    );
}

#[test]
fn restore_ignores_copies_with_generation_names() {
    let Stage {
        data,
        mut server,
        ana,
    } = Stage::new();
    let folder = text(data.path());
    let backup = ana.path().join("backup.db");
    assert_eq!(ana.run(&["backup", "--data", folder, text(&backup)]).0, 0);
    assert_eq!(ana.run(&["send", "lobby", "newer"]).0, 0);
    let beside = data.path().join("server.20261125.db");
    let (code, _, err) = ana.run(&["backup", "--data", folder, text(&beside)]);
    assert!(
        code == 64 && err.contains("among the program's own files"),
        "{err}"
    );
    std::fs::copy(&backup, &beside).expect("as somebody does all the same");
    server.terminate();
    let (code, out, err) = ana.run(&["restore", "--data", folder, text(&beside)]);
    assert!(
        code == 0 && out.contains("/server.db.before-"),
        "{out}{err}"
    );
    assert!(beside.exists() && named(data.path(), "20261125.db.before").is_empty());
    let _server = Server::start_on(data.path(), server.port);
    assert_eq!(ana.run(&["send", "lobby", "newest"]).0, 0);
    assert_eq!(
        ana.bodies(),
        ["newer", "newest"],
        "put back by its author, before what was typed later"
    );
}

#[test]
fn killed_restore_leaves_old_or_new_store() {
    let Stage {
        data: _data,
        mut server,
        ana,
    } = Stage::new();
    let backup = ana.path().join("ana.db");
    assert_eq!(ana.run(&["backup", text(&backup)]).0, 0);
    server.kill9();
    assert_eq!(ana.run(&["send", "lobby", "unsent", "--no-wait"]).0, 75);
    let mut rng = fastrand::Rng::new();
    for _ in 0..40 {
        let mut child = ana
            .command(&["restore", text(&backup)])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        // a random moment of it
        std::thread::sleep(std::time::Duration::from_micros(rng.u64(..40_000)));
        child.kill().expect("is killed");
        child.wait().expect("ends");
        let (code, _, err) = ana.run(&["status"]);
        // Between its last two steps: the new file is there, and the log of the old one beside it.
        let is_said = code == 78 && err.contains("was written for another file");
        assert!(code == 0 || is_said, "{code} {err}");
        if is_said {
            assert_eq!(
                ana.run(&["restore", text(&backup)]).0,
                0,
                "a restore mends it"
            );
        }
    }
    let profile = ana.path().join("data/profiles/default");
    let mut stores = named(&profile, ".db.before-");
    stores.retain(|name| !name.contains("-wal") && !name.contains("-shm"));
    let is_there = |name: &String| {
        ana.run(&["check", text(&profile.join(name))])
            .1
            .contains("1 unsent message")
    };
    assert!(
        ana.run(&["outbox"]).1.contains("unsent") || stores.iter().any(is_there),
        "{stores:?}"
    );
}
