//! Everything that the demo plays with, in a temporary folder: a server as a child process, a
//! faulty proxy before it, people.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::folder::Folder;
use super::freeze::{Frozen, freeze};
use super::naive::{NaiveListener, NaiveSide};
use super::person::Person;
use super::process::{ServerAction, ServerProcess};
use super::proof::{AuthorTally, Proof};
use crate::chaos::{Event, FaultCommand, Proxy};
use crate::cli::exit::{self, Failure};
use crate::cli::host;
use crate::client::Cause;
use crate::client::link::{LinkPhase, LinkState};
use crate::client::session::Command;

/// Number of lines that are sent at once.
const FLOOD: u32 = 200;

/// Arguments of Landfall's server.
fn server_arguments(port: u16, data: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["serve", "--until-eof", "--listen"]
        .map(OsString::from)
        .into();
    arguments.extend([
        format!("127.0.0.1:{port}").into(),
        "--data".into(),
        data.into(),
    ]);
    arguments
}

/// The server, the proxy, and three people: ana and bob talk to the server, you talk through the
/// proxy.
pub(super) struct Stage {
    pub(super) me: Person,
    pub(super) others: Vec<Person>,
    pub(super) proxy: Proxy,
    pub(super) server: ServerProcess,
    /// Your clients, while they are stopped.
    frozen: Vec<Frozen>,
    /// The naive chat with the same keys and faults.
    pub(super) naive: NaiveSide,
    _folder: Folder,
}

/// What is done to the computer, or the chat, of the one behind the faulty network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MyAction {
    /// Both clients stand still, as on a closed laptop.
    Stop,
    Continue,
    /// `/offline` in Landfall; the naive chat has no such thing.
    GoOffline,
    /// `/online` in Landfall.
    GoOnline,
    /// Ctrl-R in Landfall.
    RetryNow,
}

/// Who takes part, and who listens.
pub(super) struct Cast<'a> {
    /// The one behind the faulty proxy.
    pub(super) me: &'static str,
    pub(super) others: &'a [&'static str],
    /// Landfall on the faulty side gives up after so many failed attempts.
    pub(super) attempts: Option<u32>,
    /// Gets the events of the proxy.
    pub(super) on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// Gets what happens on the naive sides.
    pub(super) on_naive: NaiveListener,
}

impl Stage {
    pub(super) fn set(cast: Cast<'_>) -> Result<Self, Failure> {
        let folder = Folder::make()?;
        let data = folder.path().join("server");
        let server = ServerProcess::start(data.clone(), server_arguments, Arc::new(|_| {}))?;
        let invite = host::invite(&data)
            .ok_or_else(|| Failure::new(exit::UNAVAILABLE, "the demo's server does not start"))?;
        let upstream = format!("127.0.0.1:{}", server.port);
        let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), &upstream, cast.on_event)?;
        let behind = std::iter::once((cast.me, proxy.address().port(), cast.attempts));
        let others = cast.others.iter().map(|name| (*name, server.port, None));
        let join =
            |(name, port, attempts)| Person::join(folder.path(), name, port, &invite, attempts);
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
        let naive = NaiveSide::start(folder.path(), cast.me, cast.on_naive)?;
        me.author.types_into(naive.keys());
        let mut stage = Self {
            me,
            others,
            proxy,
            server,
            frozen: Vec::new(),
            naive,
            _folder: folder,
        };
        stage.servers(ServerAction::Copy)?;
        Ok(stage)
    }

    /// Does the same to the servers of all chats.
    pub(super) fn servers(&mut self, action: ServerAction) -> Result<(), Failure> {
        self.naive.server().carry_out(action)?;
        self.server.carry_out(action)
    }

    /// Copies the data of all servers for a later restore.
    pub(super) fn copy_for_later(&mut self) -> Result<(), Failure> {
        self.naive.server().copy_for_later()?;
        self.server.copy_for_later()
    }

    /// Does this to both networks, at one moment each.
    pub(super) fn network(&self, commands: &[FaultCommand]) {
        self.proxy.apply_all(commands);
        self.naive.proxy().apply_all(commands);
    }

    /// Does this to your computer, or in your chat.
    pub(super) async fn mine(&mut self, action: MyAction) {
        let command = match action {
            MyAction::Stop => {
                self.frozen = vec![
                    freeze(&self.me.running.runtime).await,
                    self.naive.freeze().await,
                ];
                return;
            }
            MyAction::Continue => return self.frozen.clear(),
            MyAction::GoOffline => Command::GoOffline(Cause::Person),
            MyAction::GoOnline => Command::GoOnline,
            MyAction::RetryNow => Command::RetryNow,
        };
        self.me.running.client.command(command).await;
    }

    /// Ends every fault of networks, servers and your computer.
    pub(super) async fn repair(&mut self) -> Result<(), Failure> {
        self.frozen.clear();
        for action in [
            ServerAction::Free,
            ServerAction::Continue,
            ServerAction::Start,
        ] {
            self.servers(action)?;
        }
        self.network(&[FaultCommand::Pass]);
        self.proxy.listens().await;
        let status = self.me.running.client.status();
        let is_offline = status.borrow().link.phase() == LinkPhase::Offline;
        let next = if is_offline {
            MyAction::GoOnline
        } else {
            MyAction::RetryNow
        };
        self.mine(next).await;
        Ok(())
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &Person> {
        std::iter::once(&self.me).chain(&self.others)
    }
}

impl Stage {
    /// Injects a fault of free play, or ends all of them.
    pub(super) async fn carry_out(&mut self, fault: Fault) -> Result<(), Failure> {
        self.network(&fault.network_commands());
        if let Some(action) = fault.server_action() {
            self.servers(action)?;
        }
        match fault {
            Fault::Flood => {
                let lines = (1..=FLOOD).map(|n| format!("one of many at once, number {n}"));
                self.me.author.send_all(lines).await
            }
            Fault::Repair => self.repair().await,
            _ => Ok(()),
        }
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
