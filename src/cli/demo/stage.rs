//! Everything that the demo plays with, in a temporary folder: a server as a child process, a
//! faulty proxy before it, people.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rustix::process::{Pid, Signal as SystemSignal, kill_process};

use super::author::MessageAuthor;
use super::copies::DataCopies;
use super::fault::Fault;
use super::naive::{NaiveListener, NaiveSide, Repair};
use super::person::Person;
use super::proof::{AuthorTally, Proof};
use crate::chaos::{Event, Proxy};
use crate::cli::exit::{self, Failure};
use crate::cli::host;
use crate::client::link::LinkState;
use crate::client::session::Command;
use crate::client::store::Reader;

/// Before the process's number in the name of its folder.
const FOLDER: &str = "landfall-demo-";

/// Takes away the folders of demos that were killed.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER)?.parse().ok());
        let is_gone = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        if pid.and_then(Pid::from_raw).is_some_and(is_gone) {
            let _ = std::fs::remove_dir_all(entry.path()); // another person's stays
        }
    }
}

/// The demo's folder; it goes with the demo.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn make() -> Result<Self, Failure> {
        sweep();
        let path = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| {
            Failure::new(
                exit::CANNOT_CREATE,
                format!(
                    "cannot make {}: {error}; name another place in TMPDIR",
                    path.display()
                ),
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // the system empties its temporary folder, too
    }
}

/// The server: `landfall serve`, to be killed and started again at the same address.
pub(super) struct DemoServer {
    copies: DataCopies,
    child: Option<Child>,
    pub(super) port: u16,
    pub(super) invite: String,
}

impl DemoServer {
    pub(super) fn start(folder: &Path) -> Result<Self, Failure> {
        let mut server = Self {
            copies: DataCopies::of(folder.join("server")),
            child: None,
            port: 0,
            invite: String::new(),
        };
        server.run()?;
        Ok(server)
    }

    /// Starts it, unless it runs.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        if self.child.is_some() {
            return Ok(());
        }
        let mut command = Process::new(std::env::current_exe()?);
        command
            .args([
                "serve",
                "--until-eof",
                "--listen",
                &format!("127.0.0.1:{}", self.port),
                "--data",
            ])
            .arg(self.copies.data());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = child
            .stdout
            .take()
            .map(|out| BufReader::new(out).lines().map_while(Result::ok));
        let listening = lines.as_mut().and_then(Iterator::next).unwrap_or_default();
        let port = listening
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let Some((port, code)) = port.zip(host::invite(self.copies.data())) else {
            let _ = (child.kill(), child.wait()); // it is of no use
            return Err(Failure::new(
                exit::UNAVAILABLE,
                "the demo's server does not start",
            ));
        };
        self.port = port;
        self.invite = code;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL: it has no time to say or to write anything.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = (child.kill(), child.wait()); // it may have ended
        }
    }

    /// SIGSTOP, or SIGCONT: a machine that sleeps, and wakes.
    pub(super) fn sleep(&self, sleeps: bool) {
        let signal = if sleeps {
            SystemSignal::STOP
        } else {
            SystemSignal::CONT
        };
        if let Some(pid) = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(child.id() as i32))
        {
            let _ = kill_process(pid, signal); // it may have ended
        }
    }

    /// Copies its data, as a backup would: it stands still meanwhile.
    pub(super) fn copy(&self) -> Result<(), Failure> {
        self.while_asleep(DataCopies::make)
    }

    /// Copies its data for a later restore.
    pub(super) fn copy_for_later(&self) -> Result<(), Failure> {
        self.while_asleep(DataCopies::make_for_later)
    }

    fn while_asleep(
        &self,
        copy: impl FnOnce(&DataCopies) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        self.sleep(true);
        let copied = copy(&self.copies);
        self.sleep(false);
        Ok(copied?)
    }

    /// Kills it and puts the copy back in place of its data.
    pub(super) fn put_back(&mut self) -> Result<(), Failure> {
        self.kill();
        Ok(self.copies.put_back()?)
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        self.sleep(false);
        self.kill();
    }
}

/// The server, the proxy, and three people: ana and bob talk to the server, you talk through the
/// proxy.
pub(super) struct Stage {
    pub(super) me: Person,
    pub(super) others: Vec<Person>,
    pub(super) proxy: Proxy,
    pub(super) server: DemoServer,
    /// Naive chats with the same keys and faults.
    pub(super) naive: Vec<NaiveSide>,
    _folder: Folder,
}

/// Who takes part, and who listens.
pub(super) struct Cast {
    /// The one behind the faulty proxy.
    pub(super) me: &'static str,
    pub(super) others: &'static [&'static str],
    /// The naive chats that get the same keys.
    pub(super) naive: &'static [Repair],
    /// Gets the events of the proxy.
    pub(super) on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// Gets what happens on the naive sides.
    pub(super) on_naive: NaiveListener,
}

impl Cast {
    /// You behind the proxy, ana and bob on the server.
    pub(super) fn of_tour() -> Self {
        Self {
            me: "you",
            others: &["ana", "bob"],
            naive: &Repair::ALL,
            on_event: Box::new(|_| {}),
            on_naive: Arc::new(|_| {}),
        }
    }
}

impl Stage {
    pub(super) fn set(cast: Cast) -> Result<Self, Failure> {
        let folder = Folder::make()?;
        let server = DemoServer::start(&folder.0)?;
        let upstream = format!("127.0.0.1:{}", server.port);
        let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), &upstream, cast.on_event)?;
        let behind = std::iter::once((cast.me, proxy.address().port()));
        let others = cast.others.iter().map(|name| (*name, server.port));
        let join = |(name, port)| Person::join(&folder.0, name, port, &server.invite);
        let mut people = std::thread::scope(|scope| {
            let joining: Vec<_> = behind
                .chain(others)
                .map(|person| scope.spawn(move || join(person)))
                .collect();
            let joined = joining.into_iter().map(|person| match person.join() {
                Ok(person) => person,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        let others = people.split_off(1);
        let mut me = people.swap_remove(0);
        let start =
            |repair: &Repair| NaiveSide::start(&folder.0, cast.me, *repair, cast.on_naive.clone());
        let naive = cast
            .naive
            .iter()
            .map(start)
            .collect::<Result<Vec<_>, _>>()?;
        naive
            .iter()
            .for_each(|side| me.author.types_into(side.keys()));
        let stage = Self {
            me,
            others,
            proxy,
            server,
            naive,
            _folder: folder,
        };
        stage.copy()?;
        Ok(stage)
    }

    /// Copies the data of all servers, as a backup would.
    pub(super) fn copy(&self) -> Result<(), Failure> {
        for side in &self.naive {
            side.copies().make()?;
        }
        self.server.copy()
    }

    /// Copies the data of all servers for a later restore.
    pub(super) fn copy_for_later(&self) -> Result<(), Failure> {
        for side in &self.naive {
            side.copies().make_for_later()?;
        }
        self.server.copy_for_later()
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &Person> {
        std::iter::once(&self.me).chain(&self.others)
    }
}

impl Stage {
    /// Breaks something, or mends it.
    pub(super) async fn carry_out(&mut self, fault: Fault) -> Result<(), Failure> {
        fault.apply_to(|command| self.proxy.apply(command));
        for side in &mut self.naive {
            side.carry_out(fault).await?;
        }
        match fault {
            Fault::KillServer => self.server.kill(),
            Fault::PutServerBack => self.server.put_back().and_then(|()| self.server.run())?,
            Fault::Sleep => self.server.sleep(true),
            Fault::Fill => {
                self.me
                    .author
                    .send_all((1..=200).map(|n| format!("one of two hundred, number {n}")))
                    .await?
            }
            Fault::Pass | Fault::StartServer => {
                if fault == Fault::Pass {
                    self.server.sleep(false);
                }
                self.server.run()?;
                self.proxy.listens().await;
                self.me.running.client.command(Command::RetryNow).await;
            }
            Fault::Cut
            | Fault::HalfOpen
            | Fault::DeadUp
            | Fault::DeadDown
            | Fault::Latency
            | Fault::Slow
            | Fault::Lossy
            | Fault::Flap
            | Fault::Tour => {} // the proxy was told, or it is for the director
        }
        Ok(())
    }

    /// Waits until everybody is connected, nothing of anybody waits, and all hold the same.
    pub(super) async fn same_everywhere(&self) -> Result<(), Failure> {
        let mut changes = self.me.store().changes();
        while !self.is_same_everywhere()? {
            // Mine changes last, as a rule; the others' are looked at now and then.
            let _ = tokio::time::timeout(Duration::from_millis(200), changes.recv()).await;
        }
        Ok(())
    }

    fn is_same_everywhere(&self) -> Result<bool, Failure> {
        for person in self.people() {
            let status = person.running.client.status();
            let is_connected = matches!(status.borrow().link, LinkState::Connected { .. });
            if !is_connected || !person.reader.outbox(None, 1)?.is_empty() {
                return Ok(false);
            }
        }
        let ends = self
            .people()
            .map(Person::log_end)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(ends[0].is_some() && ends.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// The proof at the end, with what naive chats made of the same keys and faults.
    pub(super) async fn last_proof(&self) -> Result<Proof, Failure> {
        let mut proof = self.proof()?;
        let typed = self.me.author.typed().clone();
        let typed: Vec<_> = typed.into_iter().map(|(_, body)| body).collect();
        let tallies = self.naive.iter().map(|side| side.tally(&typed));
        proof.naive = try_join_all(tallies).await?;
        Ok(proof)
    }

    /// What was typed, and what became of it.
    pub(super) fn proof(&self) -> Result<Proof, Failure> {
        let account = |person: &Person| {
            let typed = person.author.typed().clone();
            Ok(AuthorTally {
                name: person.name.to_owned(),
                typed,
                log: person.log()?,
            })
        };
        Ok(Proof::of(
            &self
                .people()
                .map(account)
                .collect::<Result<Vec<_>, Failure>>()?,
        ))
    }
}

/// Counts beside the stage what was typed, and what of it waits.
pub(super) struct Gauge(Vec<(MessageAuthor, Reader)>);

impl Gauge {
    pub(super) fn of(stage: &Stage) -> Result<Self, Failure> {
        let gauge = |person: &Person| Ok((person.author.clone(), person.profile.reader()?));
        Ok(Self(
            stage.people().map(gauge).collect::<Result<_, Failure>>()?,
        ))
    }

    pub(super) fn figures(&self) -> Result<String, Failure> {
        let (mut typed, mut waiting) = (0, 0);
        for (author, reader) in &self.0 {
            let counts = reader.counts()?;
            typed += author.typed().len() as u64;
            waiting += counts.queued + counts.unacked + counts.failed;
        }
        let waits = if waiting > 0 {
            format!(", {waiting} on the way")
        } else {
            String::new()
        };
        Ok(format!(
            "{typed} typed, {} in the log{waits}",
            typed.saturating_sub(waiting)
        ))
    }
}

/// Waits until nothing of these people waits any more: all stands in the log that they hold.
pub(super) async fn settled(people: &[Person]) -> Result<(), Failure> {
    for person in people {
        let mut changes = person.store().changes();
        while !person.reader.outbox(None, 1)?.is_empty() {
            let _ = changes.recv().await; // whatever it was
        }
    }
    Ok(())
}
