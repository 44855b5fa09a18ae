//! A server of the demo as a child process: it is killed, stopped and filled by the system, and
//! started again at the same address.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::copies::DataCopies;
use crate::cli::exit::{self, Failure};

/// What is done to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerAction {
    /// SIGKILL: it has no time to write or report anything.
    Kill,
    /// Starts it at its address, unless it runs.
    Start,
    /// SIGSTOP, as a machine that hangs or sleeps.
    Stop,
    /// SIGCONT.
    Continue,
    /// Copies its data, as a backup.
    Copy,
    /// Kills it, and starts it with the copy of its data.
    Restore,
    /// Its disk accepts no more data.
    Fill,
    /// Its disk has space again.
    Free,
}

/// Makes the arguments of a server from its port and its data folder.
pub(super) type ServerArguments = fn(port: u16, data: &std::path::Path) -> Vec<OsString>;
/// Gets each line that a server prints, except the first.
pub(super) type OnLine = Arc<dyn Fn(&str) + Send + Sync>;

/// The process. Its first line ends with the address that it listens on, and it ends at the end of
/// its input.
pub(super) struct ServerProcess {
    copies: DataCopies,
    arguments: ServerArguments,
    on_line: OnLine,
    running: Option<Running>,
    pub(super) port: u16,
}

struct Running {
    child: Child,
    /// Reads what it prints.
    output: JoinHandle<()>,
}

impl ServerProcess {
    /// Starts it at a free port of this machine.
    pub(super) fn start(
        data: PathBuf,
        arguments: ServerArguments,
        on_line: OnLine,
    ) -> Result<Self, Failure> {
        let mut server = Self {
            copies: DataCopies::of(data),
            arguments,
            on_line,
            running: None,
            port: 0,
        };
        server.run()?;
        Ok(server)
    }

    pub(super) fn carry_out(&mut self, action: ServerAction) -> Result<(), Failure> {
        match action {
            ServerAction::Kill => self.kill(),
            ServerAction::Start => self.run()?,
            ServerAction::Stop => self.signal(Signal::STOP),
            ServerAction::Continue => self.signal(Signal::CONT),
            ServerAction::Copy => self.while_stopped(DataCopies::make)?,
            ServerAction::Restore => {
                self.kill();
                self.copies.put_back()?;
                self.run()?;
            }
            ServerAction::Fill => self.limit(Some(0))?,
            ServerAction::Free => self.limit(None)?,
        }
        Ok(())
    }

    /// Copies its data for a later restore.
    pub(super) fn copy_for_later(&self) -> Result<(), Failure> {
        self.while_stopped(DataCopies::make_for_later)
    }

    fn run(&mut self) -> Result<(), Failure> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut child = Process::new(program()?)
            .args((self.arguments)(self.port, self.copies.data()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take();
        let mut lines = out.map(|out| BufReader::new(out).lines().map_while(Result::ok));
        let listening = lines.as_mut().and_then(Iterator::next).unwrap_or_default();
        let port = listening
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let Some(port) = port else {
            let _ = (child.kill(), child.wait()); // it is of no use
            return Err(Failure::new(
                exit::UNAVAILABLE,
                "a server of the demo does not start",
            ));
        };
        let on_line = self.on_line.clone();
        let output = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || lines.into_iter().flatten().for_each(|line| on_line(&line)))?;
        self.port = port;
        self.running = Some(Running { child, output });
        Ok(())
    }

    /// After this, no line of the killed process is reported.
    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = (running.child.kill(), running.child.wait()); // it may have ended
            let _ = running.output.join(); // a panic was reported
        }
    }

    fn pid(&self) -> Option<Pid> {
        let running = self.running.as_ref()?;
        Pid::from_raw(running.child.id() as i32)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal); // it may have ended
        }
    }

    fn while_stopped(
        &self,
        copy: impl FnOnce(&DataCopies) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        self.signal(Signal::STOP);
        let copied = copy(&self.copies);
        self.signal(Signal::CONT);
        Ok(copied?)
    }

    /// Limits the size of its files: with 0, no file accepts another byte.
    #[cfg(target_os = "linux")]
    fn limit(&self, bytes: Option<u64>) -> Result<(), Failure> {
        use rustix::process::{Resource, Rlimit, prlimit};
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        if let Some(pid) = self.pid() {
            prlimit(Some(pid), Resource::Fsize, limit).map_err(std::io::Error::from)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn limit(&self, bytes: Option<u64>) -> Result<(), Failure> {
        match bytes {
            None => Ok(()),
            Some(_) => Err(Failure::usage(
                "the demo can fill a server's disk on Linux only",
            )),
        }
    }
}

/// The program file of this process, also after another one took its name.
fn program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok("/proc/self/exe".into())
    } else {
        std::env::current_exe()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
