//! Disks that are full or fail to sync, on both sides. A small preloaded library injects the faults
//! into the real binary.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Home, Server, Terminal};

/// A disk that can be made to fail, for one process.
pub(crate) struct FaultyDisk {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl FaultyDisk {
    pub(crate) fn new() -> Option<Self> {
        preloaded("faulty_disk").map(|(folder, library)| Self { folder, library })
    }

    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        let [library, folder] =
            [self.library.as_path(), self.folder.path()].map(|path| path.to_str().expect("UTF-8"));
        [("LD_PRELOAD", library), ("FAULTY_DISK", folder)]
    }

    pub(crate) fn fail(&self, fault: &str) {
        std::fs::write(self.folder.path().join(fault), "").expect("writes");
    }

    pub(crate) fn mend(&self, fault: &str) {
        std::fs::remove_file(self.folder.path().join(fault)).expect("removes");
    }
}

/// Compiles a library of `tests/data` that is to be preloaded, into a folder of its own. `None`,
/// with words, where none can be.
pub(crate) fn preloaded(name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: a disk is put under a program on Linux only");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join(format!("{name}.so"));
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.c"));
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl");
    assert!(
        compiler
            .status()
            .expect("a C compiler, as for SQLite")
            .success()
    );
    Some((folder, library))
}

struct Stage {
    disk: FaultyDisk,
    server: Server,
    ana: Home,
    bob: Home,
    data: tempfile::TempDir,
}

impl Stage {
    /// With the faulty disk under the server, or under nobody yet.
    fn new(is_under_server: bool) -> Option<Self> {
        let disk = FaultyDisk::new()?;
        let data = tempfile::tempdir().expect("a folder");
        let environment: &[_] = if is_under_server {
            &disk.environment()
        } else {
            &[]
        };
        let server = Server::start_with(data.path(), 0, environment);
        let (ana, bob) = (Home::new(), Home::new());
        ana.join(&server.url(), &server.invite, "ana");
        bob.join(&server.url(), &server.invite, "bob");
        Some(Self {
            disk,
            server,
            ana,
            bob,
            data,
        })
    }
}

/// The composer holds this line.
fn composed(terminal: &Terminal, line: &str) {
    let wanted = format!("> {line}");
    terminal.wait(&wanted, |screen| {
        screen.lines().any(|shown| shown.trim_end() == wanted)
    });
}

fn is_in_the_log(terminal: &Terminal, line: &str, mark: &str) {
    terminal.wait(line, |screen| {
        screen
            .lines()
            .any(|shown| shown.contains(line) && shown.trim_end().ends_with(mark))
    });
}

fn a_client_whose_disk_fails(fault: &str, says: &str) -> Option<Stage> {
    let stage = Stage::new(false)?;
    let mut ana = Terminal::open_with(&stage.ana, &[], &stage.disk.environment());
    let mut bob = Terminal::open(&stage.bob, &[]);
    ana.ready();
    bob.ready();
    ana.say("before");
    is_in_the_log(&ana, "before", "✓✓");
    stage.disk.fail(fault);
    ana.keys("kept");
    composed(&ana, "kept");
    ana.keys("\r");
    ana.wait_for(says);
    composed(&ana, "kept");
    bob.say("said meanwhile");
    is_in_the_log(&bob, "said meanwhile", "✓");
    stage.disk.mend(fault);
    ana.keys("\r");
    is_in_the_log(&ana, "kept", "✓✓");
    ana.wait_for("said meanwhile");
    bob.wait_for("kept");
    assert!(
        ana.history()
            .iter()
            .all(|screen| !screen.contains("tracing")),
        "only the screen writes to the screen"
    );
    ana.kill9();
    let ana = Terminal::open(&stage.ana, &[]);
    ana.ready();
    ana.wait_for("said meanwhile");
    let said = ["before", "said meanwhile", "kept"];
    assert_eq!(stage.ana.bodies(), said);
    assert_eq!(stage.bob.bodies(), said);
    Some(stage)
}

#[test]
fn client_on_full_disk_keeps_text_and_recovers() {
    a_client_whose_disk_fails("full", "the disk is full");
}

#[test]
fn client_with_failed_sync_copies_its_store() {
    let Some(stage) = a_client_whose_disk_fails("sync", "the disk failed to sync") else {
        return;
    };
    let profile = stage.ana.path().join("data/profiles/default");
    assert!(profile.join("store.2.db").exists() && !profile.join("store.db").exists());
}

fn a_server_whose_disk_fails(fault: &str) -> Option<Stage> {
    let mut stage = Stage::new(true)?;
    let mut ana = Terminal::open(&stage.ana, &[]);
    ana.ready();
    ana.say("before");
    is_in_the_log(&ana, "before", "✓");
    stage.disk.fail(fault);
    ana.say("while it fails");
    ana.wait("no ack", |screen| {
        screen.contains("○ 1") || screen.contains("◌ 1")
    });
    ana.wait_for("messages wait: ");
    ana.say("and behind it");
    assert_eq!(
        stage
            .bob
            .run(&["send", "lobby", "bob too", "--wait", "1"])
            .0,
        75,
        "nothing is acked from such a disk"
    );
    stage.disk.mend(fault);
    is_in_the_log(&ana, "and behind it", "✓");
    stage.server.crash_and_restart();
    assert_eq!(
        stage.bob.run(&["send", "lobby", "--wait", "30", "after"]).0,
        0
    );
    let said = stage.bob.bodies();
    for line in ["before", "while it fails", "and behind it", "bob too"] {
        assert_eq!(
            said.iter().filter(|said| *said == line).count(),
            1,
            "{line}: {said:?}"
        );
    }
    Some(stage)
}

#[test]
fn server_on_full_disk_acks_nothing_and_recovers() {
    a_server_whose_disk_fails("full");
}

#[test]
fn server_with_failed_sync_copies_its_storage() {
    let Some(stage) = a_server_whose_disk_fails("sync") else {
        return;
    };
    assert!(
        stage.data.path().join("server.2.db").exists()
            && !stage.data.path().join("server.db").exists()
    );
}

#[test]
fn profile_on_full_disk_opens() {
    let Some(stage) = Stage::new(false) else {
        return;
    };
    assert_eq!(stage.ana.run(&["send", "lobby", "before"]).0, 0);
    assert_eq!(stage.ana.bodies(), ["before"]);
    // Another process has the store open; otherwise the first one makes a new index of the log.
    let other = rusqlite::Connection::open(stage.ana.path().join("data/profiles/default/store.db"))
        .expect("opens");
    other
        .query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0))
        .expect("reads");
    stage.disk.fail("full");
    let environment = stage.disk.environment();
    let run = |arguments: &[&str]| stage.ana.run_in(arguments, b"", &environment);
    for arguments in [
        &["tail", "lobby"][..],
        &["status"],
        &["outbox"],
        &["journal"],
        &["check"],
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        assert!(
            arguments[0] != "tail" || out.contains("before"),
            "{out}{err}"
        );
    }
    let (code, _, err) = run(&["send", "lobby", "lost"]);
    assert!(
        code == 74 && err.contains("the disk is full"),
        "{code} {err}"
    );
    let mut chat = Terminal::open_with(&stage.ana, &[], &environment);
    chat.wait_for("before");
    chat.keys("kept");
    composed(&chat, "kept");
    chat.keys("\r");
    chat.wait_for("the disk is full");
    composed(&chat, "kept");
    stage.disk.mend("full");
    chat.keys("\r");
    is_in_the_log(&chat, "kept", "✓");
    drop(other);
}

#[test]
fn store_index_without_space_is_a_full_disk() {
    let Some(stage) = Stage::new(false) else {
        return;
    };
    stage.disk.fail("full");
    for arguments in [&["tail", "lobby"][..], &["status"], &["send", "lobby", "x"]] {
        let (code, _, err) = stage.ana.run_in(arguments, b"", &stage.disk.environment());
        assert!(
            code == 74 && err.contains("the disk is full"),
            "{arguments:?}: {code} {err}"
        );
    }
}

#[test]
fn quit_with_unsaved_text_asks_first() {
    let Some(stage) = Stage::new(false) else {
        return;
    };
    let profile = stage.ana.path().join("data/profiles/default");
    let other = rusqlite::Connection::open(profile.join("store.db")).expect("opens");
    other
        .query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0))
        .expect("reads");
    // so that there is no place for it either
    std::fs::remove_file(profile.join("drafts")).expect("removes");
    stage.disk.fail("full");
    let mut chat = Terminal::open_with(&stage.ana, &[], &stage.disk.environment());
    chat.wait_for("#lobby");
    chat.keys("on no disk");
    chat.wait_for("only in memory");
    chat.keys("\r");
    chat.wait_for("the disk is full");
    chat.keys("\x11");
    chat.wait_for("Quit again to lose it");
    composed(&chat, "on no disk");
    chat.keys("!");
    composed(&chat, "on no disk!");
    chat.wait_for("only in memory");
    chat.keys("\x11");
    chat.wait_for("Quit again to lose it");
    stage.disk.mend("full");
    chat.keys("\x11"); // now there is room: it is saved, and nothing is lost
    assert_eq!(chat.wait_end(), 0);
    let chat = Terminal::open(&stage.ana, &[]);
    composed(&chat, "on no disk!");
    drop(other);
}

#[test]
fn removed_profile_folder_is_restored() {
    let Some(stage) = Stage::new(false) else {
        return;
    };
    let profile = stage.ana.path().join("data/profiles/default");
    let mut chat = Terminal::open(&stage.ana, &[]);
    chat.ready();
    chat.say("before");
    is_in_the_log(&chat, "before", "✓");
    // In one step: files that are removed one by one can return during the removal.
    let gone = tempfile::tempdir_in(stage.ana.path()).expect("a folder");
    std::fs::rename(&profile, gone.path().join("gone")).expect("moves it away");
    gone.close().expect("removes");
    chat.say("after");
    is_in_the_log(&chat, "after", "✓");
    chat.kill9();
    assert_eq!(stage.ana.bodies(), ["before", "after"]);
}

/// A process with a limit on the size of its files gets a signal that ends it, unless it is caught.
#[cfg(target_os = "linux")]
#[test]
fn file_size_limit_is_an_error_that_passes() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let (home, data) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let server = Server::start(data.path());
    home.join(&server.url(), &server.invite, "ana");
    let limit = |current| {
        let maximum = None;
        let limits = Rlimit { current, maximum };
        let pid = Pid::from_raw(server.pid() as i32);
        prlimit(pid, Resource::Fsize, limits).expect("is set");
    };
    limit(Some(0));
    let (code, _, err) = home.run(&["send", "lobby", "over the limit"]);
    assert!(
        code == 75 && err.contains("the server's disk accepts no more data"),
        "{code} {err}"
    );
    limit(None);
    let (code, _, err) = home.run(&["send", "lobby", "under it"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(home.bodies(), ["over the limit", "under it"]);
    let limited = "ulimit -f 0; exec \"$0\" send lobby 'never saved'";
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_landfall");
    shell
        .args(["-c", limited, program])
        .env("LANDFALL_HOME", home.path());
    let done = shell.output().expect("runs");
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.code() == Some(74) && err.contains("nothing was written"),
        "{:?} {err}",
        done.status
    );
}
