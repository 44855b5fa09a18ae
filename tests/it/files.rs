//! Everything that may happen to the files of a store and of a server, at the start and while they are open, and what each
//! command makes of it: a table, printed cell by cell. Nothing is acknowledged, and no composer cleared, whose text is not on
//! the disk that the next start opens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Home, Server, Terminal};

/// What happens to a database's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Damage {
    Deleted,
    Renamed,
    /// By another database of the same kind.
    Replaced,
    LogDeleted,
    IndexDeleted,
    IndexCutShort,
    /// An older file under the log of the newer one.
    ForeignLog,
    /// An older copy of everything, put over it in place.
    CopiedOver,
    /// Copies with names like those that the program gives.
    CopyBeside,
    Emptied,
    Truncated,
    NewerVersion,
}

use Damage::*;

const ALL: [Damage; 12] = [
    Deleted,
    Renamed,
    Replaced,
    LogDeleted,
    IndexDeleted,
    IndexCutShort,
    ForeignLog,
    CopiedOver,
    CopyBeside,
    Emptied,
    Truncated,
    NewerVersion,
];

/// The files of one database.
struct Files {
    folder: PathBuf,
    name: &'static str,
    /// All of them as they were a while ago, and those of another database.
    older: tempfile::TempDir,
    other: tempfile::TempDir,
}

const ENDINGS: [&str; 4] = ["", "-wal", "-shm", "-checkpoint"];

impl Files {
    fn new(folder: PathBuf, name: &'static str, other: &Path) -> Self {
        let [older, another] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
        let files = Self { folder, name, older, other: another };
        files.each(|path, name| {
            std::fs::copy(path, files.older.path().join(name)).expect("copies");
        });
        for file in std::fs::read_dir(other).expect("reads").flatten() {
            if file.file_name().to_string_lossy().starts_with(name) {
                std::fs::copy(file.path(), files.other.path().join(file.file_name())).expect("copies");
            }
        }
        files
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.db{ending}", self.name))
    }

    fn each(&self, work: impl Fn(&Path, String)) {
        for ending in ENDINGS {
            let path = self.path(ending);
            if path.exists() {
                work(&path, format!("{}.db{ending}", self.name));
            }
        }
    }

    /// Puts the files of a folder over these, in place or by renaming, as `cp` and `rsync` do.
    fn put(&self, from: &Path, endings: &[&str], in_place: bool) {
        for ending in endings {
            let (source, target) = (from.join(format!("{}.db{ending}", self.name)), self.path(ending));
            if source.exists() && in_place {
                std::fs::copy(source, target).expect("copies");
            } else if source.exists() {
                let fresh = self.folder.join("fresh");
                std::fs::copy(source, &fresh).expect("copies");
                std::fs::rename(fresh, target).expect("renames");
            }
        }
    }

    /// Waits until nothing is written any more: nobody tells of that.
    fn rest(&self) {
        let bytes = || self.path("-wal").metadata().map_or(0, |file| file.len());
        let mut before = bytes();
        loop {
            std::thread::sleep(Duration::from_millis(250));
            match bytes() {
                now if now == before => return,
                now => before = now,
            }
        }
    }

    fn suffer(&self, damage: Damage) {
        let remove = |ending: &str| drop(std::fs::remove_file(self.path(ending))); // it may not be there
        match damage {
            Deleted => ENDINGS.iter().for_each(|ending| remove(ending)),
            Renamed => {
                std::fs::rename(self.path(""), self.folder.join("elsewhere")).expect("renames");
                ENDINGS[1..].iter().for_each(|ending| remove(ending));
            }
            Replaced => self.put(self.other.path(), &ENDINGS, false),
            LogDeleted => ["-wal", "-shm"].iter().for_each(|ending| remove(ending)),
            IndexDeleted => remove("-shm"),
            IndexCutShort => std::fs::write(self.path("-shm"), "").expect("truncates"),
            ForeignLog => self.put(self.older.path(), &[""], false),
            CopiedOver => self.put(self.older.path(), &ENDINGS, true),
            CopyBeside => {
                for name in ["2", "002", "20261125"] {
                    let beside = self.folder.join(format!("{}.{name}.db", self.name));
                    std::fs::copy(self.path(""), beside).expect("copies");
                }
            }
            Emptied => std::fs::write(self.path(""), "").expect("truncates"),
            Truncated => {
                let file = std::fs::OpenOptions::new().write(true).open(self.path("")).expect("opens");
                file.set_len(file.metadata().expect("is there").len() / 2).expect("truncates");
            }
            NewerVersion => {
                let fresh = self.folder.join("fresh");
                std::fs::copy(self.path(""), &fresh).expect("copies");
                let newer = rusqlite::Connection::open(&fresh).expect("opens");
                newer.pragma_update(None, "journal_mode", "delete").expect("sets");
                newer.pragma_update(None, "user_version", 999).expect("sets");
                drop(newer);
                std::fs::copy(&fresh, self.path("")).expect("puts it over");
                std::fs::remove_file(fresh).expect("removes");
            }
        }
    }
}

/// A server, ana who has said something, and bob; everything was killed, so that the logs hold something.
struct Stage {
    server: Server,
    ana: Home,
    files: Files,
    _data: tempfile::TempDir,
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
        let profile = |home: &Home| home.path().join("data/profiles/default");
        let files = if is_servers {
            server.kill9();
            Files::new(data.path().to_owned(), "server", other_data.path())
        } else {
            Files::new(profile(&ana), "store", &profile(&other))
        };
        if is_servers {
            server = Server::start_on(data.path(), server.port);
        }
        // More than one checkpoint later: the copy is of another state than the log.
        let long = "x".repeat(15_000);
        for n in 0..3 {
            assert_eq!(ana.run(&["send", "lobby", &format!("{n} {long}")]).0, 0);
        }
        Self { server, ana, files, _data: data }
    }
}

/// What is expected of one command that starts with the files as they are: the exit code, and words of what it says.
fn at_start(damage: Damage, command: &str) -> (i32, &'static str) {
    match (damage, command) {
        (Deleted | Renamed, _) => (64, "no profile"),
        (Emptied, _) => (78, "is empty (0 bytes)"),
        (NewerVersion, _) => (78, "use a newer landfall"),
        (Truncated, _) => (74, "is damaged"),
        _ => (0, ""),
    }
}

#[test]
fn files_that_suffered_before_the_start_are_said_or_read() {
    for damage in ALL {
        for command in [&["send", "lobby", "second"][..], &["tail", "lobby"], &["status"]] {
            let stage = Stage::new(false);
            stage.files.suffer(damage);
            if damage == NewerVersion {
                stage.files.suffer(LogDeleted); // else it is still in the log that the file is of an older one
            }
            let (code, out, err) = stage.ana.run(command);
            println!("{:<14} {:<6} {code:>2} {}", format!("{damage:?}"), command[0], err.trim());
            let (expected, words) = at_start(damage, command[0]);
            assert_eq!(code, expected, "{damage:?}, {}: {out}{err}", command[0]);
            assert!(err.contains(words) && err.lines().count() <= 1, "{damage:?}, {}: {err}", command[0]);
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
fn files_that_suffer_under_a_chat_clear_no_composer_whose_text_is_not_where_the_next_start_finds_it() {
    for damage in ALL {
        let stage = Stage::new(false);
        let mut chat = Terminal::open(&stage.ana, &[]);
        chat.ready();
        chat.say("before it");
        chat.say("/offline");
        chat.wait_for("you went offline");
        stage.files.rest(); // what is cut short while it is being read ends the program, whatever it does
        stage.files.suffer(damage);
        chat.keys("after it");
        chat.wait_for("> after it");
        chat.keys("\r");
        let is_over = |screen: &str| {
            let is_clear = screen.lines().any(|line| line.trim_end() == ">");
            is_clear || screen.contains("it stays in the composer") || screen.contains("try again")
        };
        chat.wait("it is sent, or stays", is_over);
        let is_clear = chat.screen().lines().any(|line| line.trim_end() == ">");
        chat.kill9();
        println!("{:<14} chat   {}", format!("{damage:?}"), if is_clear { "cleared" } else { "stays, with words" });
        if is_clear {
            assert!(is_there(&stage.ana, "after it"), "{damage:?}: the composer cleared, and it is nowhere");
            assert!(is_there(&stage.ana, "before it"), "{damage:?}: what was sent before is gone");
        }
        let keeps = matches!(damage, Deleted | Renamed | LogDeleted | IndexDeleted | IndexCutShort | CopyBeside);
        assert!(is_clear || !keeps || damage == IndexDeleted, "{damage:?}: it could have been kept");
    }
}

#[test]
fn files_that_suffer_under_a_server_are_acknowledged_only_where_the_next_start_finds_it() {
    for damage in ALL {
        let mut stage = Stage::new(true);
        assert_eq!(stage.ana.run(&["send", "lobby", "before it"]).0, 0);
        stage.files.suffer(damage);
        let (code, _, err) = stage.ana.run(&["send", "lobby", "after it", "--wait", "3"]);
        println!("{:<14} serve  {code:>2} {}", format!("{damage:?}"), err.trim());
        if code != 0 {
            assert_eq!(code, 75, "{damage:?}: {err}");
            continue; // the server has ended, or answers nothing
        }
        stage.server.crash_and_restart();
        let fresh = Home::new();
        fresh.join(&stage.server.url(), &stage.server.invite, "cy");
        assert_eq!(fresh.run(&["send", "lobby", "here"]).0, 0);
        let log = fresh.bodies();
        for line in ["before it", "after it"] {
            assert!(log.iter().any(|body| body == line), "{damage:?}: {line:?} was acknowledged: {log:?}");
        }
        let keeps = matches!(damage, Deleted | Renamed | LogDeleted | CopyBeside);
        assert!(code == 0 || !keeps, "{damage:?}: it could have been kept");
    }
}
