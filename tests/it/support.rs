//! Homes, processes and pseudo-terminals for the end-to-end tests.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The program as it is shipped, without the branches of planted bugs. Cargo builds the binary that
/// belongs to a test with the features of the test's dependencies, so this one is built once by
/// itself, into a folder of its own.
static SHIPPED: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plain");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--bin", "landfall"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the program is built");
    target.join("debug/landfall")
});

/// The program to run with these variables: the one with planted bugs only where one is switched
/// on.
pub(crate) fn program(environment: &[(&str, &str)]) -> &'static Path {
    let is_planted = environment
        .iter()
        .any(|(name, _)| *name == "LANDFALL_PLANTED_BUG");
    if is_planted {
        Path::new(env!("CARGO_BIN_EXE_landfall"))
    } else {
        &SHIPPED
    }
}

/// Longest wait for anything that is not slow on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that holds everything of one person, or of several on one machine.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command of the real binary.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(arguments, &[])
    }

    pub(crate) fn command_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program(environment));
        command
            .args(arguments)
            .env_clear()
            .env("LANDFALL_HOME", self.path())
            .env("TZ", "UTC")
            .env("USER", "ana");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().copied());
        command
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, b"")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> (i32, String, String) {
        self.run_in(arguments, stdin, &[])
    }

    pub(crate) fn run_in(
        &self,
        arguments: &[&str],
        stdin: &[u8],
        environment: &[(&str, &str)],
    ) -> (i32, String, String) {
        let mut command = self.command_in(arguments, environment);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        let stdin = stdin.to_vec();
        let feed = std::thread::spawn(move || {
            let _ = pipe.write_all(&stdin); // it may not read all of it
        });
        let output = child.wait_with_output().expect("ends");
        feed.join().expect("feeds");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8 comes out");
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Joins a server; panics when it is not let in.
    pub(crate) fn join(&self, url: &str, code: &str, name: &str) {
        let (status, out, err) = self.run(&["join", &format!("{url}#{code}"), "--name", name]);
        assert_eq!(status, 0, "{out}{err}");
    }

    /// Bodies of the messages that the log of the lobby holds here, in order.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let (status, out, err) = self.run(&["tail", "lobby", "--json"]);
        assert_eq!(status, 0, "{err}");
        messages(&out)
            .into_iter()
            .map(|line| line["body"].as_str().expect("a body").to_owned())
            .collect()
    }
}

pub(crate) fn messages(lines: &str) -> Vec<serde_json::Value> {
    let parsed = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    parsed.filter(|line| line["kind"] == "message").collect()
}

/// A running `landfall serve`.
pub(crate) struct Server {
    child: Child,
    pub(crate) data: PathBuf,
    pub(crate) port: u16,
    pub(crate) invite: String,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_on(data, 0)
    }

    pub(crate) fn start_on(data: &Path, port: u16) -> Self {
        Self::start_with(data, port, &[])
    }

    pub(crate) fn start_with(data: &Path, port: u16, environment: &[(&str, &str)]) -> Self {
        Self::start_logging(data, port, environment, Stdio::inherit())
    }

    /// The same, with its log going elsewhere.
    pub(crate) fn start_logging(
        data: &Path,
        port: u16,
        environment: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let mut command = Command::new(program(environment));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data);
        command.envs(environment.iter().copied());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listening = lines.next().expect("a line").expect("reads");
        let port = listening
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        Self {
            child,
            data: data.to_owned(),
            port,
            invite: invite_of(data),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill9(&mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("ends");
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.end_by(rustix::process::Signal::TERM)
    }

    pub(crate) fn end_by(&mut self, by: rustix::process::Signal) -> ExitStatus {
        signal(self.child.id(), by);
        self.child.wait().expect("ends")
    }

    /// Kills it and starts it again on the same port and data.
    pub(crate) fn crash_and_restart(&mut self) {
        self.kill9();
        let again = Self::start_on(&self.data, self.port);
        *self = again;
    }
}

/// A server, and a user who has joined it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) ana: Home,
    pub(crate) data: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(data.path());
        let ana = Home::new();
        ana.join(&server.url(), &server.invite, "ana");
        Self { server, ana, data }
    }
}

/// The code of the invite of a server's data.
pub(crate) fn invite_of(data: &Path) -> String {
    let (code, out, err) = Home::new().run(&["invite", "--data", data.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{err}");
    out.trim().split('#').nth(1).expect("a code").to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("is signalled");
}

struct Screen {
    parser: vt100::Parser,
    /// Every screen that was ever shown.
    history: Vec<String>,
    /// The screens with styles and times, for films.
    film: Option<Vec<(Instant, vt100::Screen)>>,
    ended: bool,
}

/// The screens of a terminal from some moment on.
#[allow(dead_code, reason = "for the film alone")]
pub(crate) struct Film(Arc<(Mutex<Screen>, Condvar)>);

#[allow(dead_code, reason = "for the film alone")]
impl Film {
    /// Screens with a rest between them, from the first one's time on, and how long it all lasted.
    pub(crate) fn screens(&self, rest: Duration) -> (Vec<(Duration, vt100::Screen)>, Duration) {
        let screen = self.0.0.lock().expect("not poisoned");
        let seen = screen.film.as_ref().expect("is filmed");
        let began = seen.first().expect("something was seen").0;
        let lasted = seen.last().expect("something was seen").0 - began;
        let ticks = (0..=lasted.div_duration_f32(rest).ceil() as u32).map(|n| rest * n);
        let at = |tick| {
            seen.iter()
                .rev()
                .find(|(at, _)| *at - began <= tick)
                .map(|(_, seen)| (tick, seen.clone()))
        };
        (ticks.filter_map(at).collect(), lasted)
    }
}

/// The chat in a pseudo-terminal whose screen is read back.
pub(crate) struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<File>,
    /// Written to when the reader is to let go of its end.
    let_go: std::io::PipeWriter,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

impl Terminal {
    pub(crate) fn open(home: &Home, arguments: &[&str]) -> Self {
        Self::open_sized(home, arguments, 100, 30)
    }

    pub(crate) fn open_with(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::open_in(home, arguments, (100, 30), environment)
    }

    pub(crate) fn open_sized(home: &Home, arguments: &[&str], cols: u16, rows: u16) -> Self {
        Self::open_in(home, arguments, (cols, rows), &[])
    }

    pub(crate) fn open_in(
        home: &Home,
        arguments: &[&str],
        size: (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = CommandBuilder::new(program(environment));
        command.args(arguments);
        Self::run(home, command, size, environment)
    }

    /// A shell with job control, as users have around the chat.
    pub(crate) fn shell(home: &Home) -> Self {
        let mut command = CommandBuilder::new("/bin/sh");
        command.arg("-i");
        Self::run(
            home,
            command,
            (100, 30),
            &[("PS1", "shell> "), ("ENV", ""), ("PATH", "/usr/bin:/bin")],
        )
    }

    fn run(
        home: &Home,
        mut command: CommandBuilder,
        (cols, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).expect("a pty");
        command.env_clear();
        let always = [("TERM", "xterm-256color"), ("TZ", "UTC"), ("USER", "ana")];
        for (key, value) in always.iter().chain(environment) {
            command.env(key, value);
        }
        command.env("LANDFALL_HOME", home.path());
        let child = pair.slave.spawn_command(command).expect("starts");
        // Not the crate's own ends: they type an end of file when they are dropped, and a window
        // that is closed types nothing.
        let [mut reader, keys] = [(), ()].map(|()| end_of(&*pair.master));
        let (mut let_go_reader, let_go) = std::io::pipe().expect("a pipe");
        let empty = Screen {
            parser: vt100::Parser::new(rows, cols, 0),
            history: Vec::new(),
            film: None,
            ended: false,
        };
        let screen = Arc::new((Mutex::new(empty), Condvar::new()));
        let shared = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            loop {
                let read = if is_let_go(&reader, &mut let_go_reader) {
                    0
                } else {
                    reader.read(&mut bytes).unwrap_or(0)
                };
                let (screen, changed) = &*shared;
                let mut screen = screen.lock().expect("not poisoned");
                screen.parser.process(&bytes[..read]);
                let contents = screen.parser.screen().contents();
                screen.history.push(contents);
                let seen = (Instant::now(), screen.parser.screen().clone());
                screen
                    .film
                    .iter_mut()
                    .for_each(|film| film.push(seen.clone()));
                screen.ended = read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self {
            child,
            master: Some(pair.master),
            keys: Some(keys),
            let_go,
            screen,
        }
    }

    pub(crate) fn keys(&mut self, bytes: &str) {
        let keys = self.keys.as_mut().expect("is open");
        keys.write_all(bytes.as_bytes()).expect("types");
        keys.flush().expect("types");
    }

    /// Types a line and waits until the composer has let it go.
    pub(crate) fn say(&mut self, line: &str) {
        self.keys(line);
        self.wait_for(line);
        self.keys("\r");
        self.wait("the composer clears", |screen| {
            screen.lines().any(|line| line.trim_end() == ">")
        });
    }

    pub(crate) fn screen(&self) -> String {
        self.screen
            .0
            .lock()
            .expect("not poisoned")
            .parser
            .screen()
            .contents()
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.screen.0.lock().expect("not poisoned").history.clone()
    }

    /// Starts keeping the screens.
    #[allow(dead_code, reason = "for the film alone")]
    pub(crate) fn film(&self) -> Film {
        let mut screen = self.screen.0.lock().expect("not poisoned");
        screen.film = Some(vec![(Instant::now(), screen.parser.screen().clone())]);
        Film(self.screen.clone())
    }

    /// The screen with its styles.
    #[allow(dead_code, reason = "for pictures alone")]
    pub(crate) fn styled_screen(&self) -> vt100::Screen {
        let screen = self.screen.0.lock().expect("not poisoned");
        screen.parser.screen().clone()
    }

    /// Waits until it is connected and shows a room.
    pub(crate) fn ready(&self) {
        self.wait("it is ready", |screen| {
            screen.contains("● connected") && screen.contains(" #lobby")
        });
    }

    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    pub(crate) fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        self.wait_within(PATIENCE, what, is_there);
    }

    /// Types, and waits until something was drawn after that.
    pub(crate) fn keys_drawn(&mut self, bytes: &str) {
        let before = self.screen.0.lock().expect("not poisoned").history.len();
        self.keys(bytes);
        let (screen, changed) = &*self.screen;
        let screen = screen.lock().expect("not poisoned");
        let is_same = |screen: &mut Screen| screen.history.len() == before && !screen.ended;
        let waited = changed
            .wait_timeout_while(screen, PATIENCE, is_same)
            .expect("not poisoned");
        assert!(!waited.1.timed_out(), "nothing was drawn after {bytes:?}");
    }

    /// Waits until the screen shows something; woken by each thing that is written to it.
    pub(crate) fn wait_within(
        &self,
        patience: Duration,
        what: &str,
        is_there: impl Fn(&str) -> bool,
    ) {
        let end = Instant::now() + patience;
        let (screen, changed) = &*self.screen;
        let mut screen = screen.lock().expect("not poisoned");
        loop {
            let contents = screen.parser.screen().contents();
            if is_there(&contents) {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !screen.ended,
                "waited in vain for {what:?}:\n{contents}"
            );
            screen = changed.wait_timeout(screen, left).expect("not poisoned").0;
        }
    }

    /// Waits until the program has ended and everything it wrote was read; returns its exit code.
    pub(crate) fn wait_end(&mut self) -> u32 {
        let pid = self.pid();
        let (tx, rx) = channel::<()>();
        let guard = std::thread::spawn(move || {
            if rx
                .recv_timeout(PATIENCE)
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                signal(pid, rustix::process::Signal::KILL); // and the exit code says so
            }
        });
        let code = self.child.wait().expect("ends").exit_code();
        drop(tx);
        guard.join().expect("ends");
        let (screen, changed) = &*self.screen;
        let screen = screen.lock().expect("not poisoned");
        let ended = changed
            .wait_timeout_while(screen, PATIENCE, |screen| !screen.ended)
            .expect("not poisoned");
        assert!(ended.0.ended, "the terminal was not let go");
        code
    }

    /// Something else writes over the screen.
    pub(crate) fn scribble(&self) {
        self.screen
            .0
            .lock()
            .expect("not poisoned")
            .parser
            .process(b"\x1b[2J\x1b[HBroadcast message");
    }

    pub(crate) fn is_alternate(&self) -> bool {
        self.screen
            .0
            .lock()
            .expect("not poisoned")
            .parser
            .screen()
            .alternate_screen()
    }

    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.screen
            .0
            .lock()
            .expect("not poisoned")
            .parser
            .screen_mut()
            .set_size(rows, cols);
        self.master
            .as_ref()
            .expect("is open")
            .resize(size)
            .expect("resizes");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().expect("runs")
    }

    /// Stops it as Ctrl-Z does, and returns once all of its threads stand still.
    pub(crate) fn stop(&self) {
        use rustix::process::{Pid, Signal, WaitOptions, waitpid};
        signal(self.pid(), Signal::STOP);
        let (_, status) = waitpid(Pid::from_raw(self.pid() as i32), WaitOptions::UNTRACED)
            .expect("waits")
            .expect("stops");
        assert!(status.stopped(), "{status:?}");
    }

    pub(crate) fn kill9(&mut self) {
        signal(self.pid(), rustix::process::Signal::KILL);
        self.child.wait().expect("ends");
    }

    /// The terminal's window is closed.
    pub(crate) fn vanish(&mut self) {
        self.keys = None;
        self.master = None;
        self.let_go.write_all(b"x").expect("its reader waits");
    }

    /// Quits the chat as a user does.
    pub(crate) fn quit(mut self) {
        self.keys("\x11");
        self.wait_end();
    }
}

/// One more end of a pseudo-terminal, that is only closed when it is dropped.
#[expect(
    unsafe_code,
    reason = "the crate gives a number, and it is open as long as its owner"
)]
fn end_of(master: &dyn MasterPty) -> File {
    let fd = master
        .as_raw_fd()
        .expect("a pseudo-terminal of this system");
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
        .expect("one more end")
        .into()
}

/// Waits for something to read; whether the window was closed instead.
fn is_let_go(reader: &File, let_go: &mut std::io::PipeReader) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [
        PollFd::new(reader, PollFlags::IN),
        PollFd::new(let_go, PollFlags::IN),
    ];
    poll(&mut fds, None).expect("polls");
    fds[1].revents().contains(PollFlags::IN)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `tail --json --follow` whose lines are read as they are printed.
pub(crate) struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    pub(crate) fn start(home: &Home) -> Self {
        let mut child = home
            .command(&["tail", "lobby", "--json", "--follow"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The body of the next message.
    pub(crate) fn next(&self) -> String {
        self.next_within(PATIENCE)
    }

    pub(crate) fn next_within(&self, patience: Duration) -> String {
        loop {
            let line = self.lines.recv_timeout(patience).expect("a line in time");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if line["kind"] == "message" {
                return line["body"].as_str().expect("a body").to_owned();
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
