//! The async loop of a client: connects the session core to the socket, the timer and the store.
//!
//! It decides nothing: inputs go into [`Session::step`], and the returned effects are carried out
//! here. One process of a profile at a time owns the connection, by an advisory lock that the others
//! wait for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{ActorRequest, ClientOptions, Locate};
use crate::client::cause::Cause;
use crate::client::link::{LinkSettings, LinkState, Now};
use crate::client::lock::LinkLock;
use crate::client::persist::{Loaded, Outcome, Ticket};
use crate::client::session::{self, Command, Session, Status};
use crate::client::socket::{Connect, Socket};
use crate::client::store::{Change, Store};
use crate::client::trace::Trace;
use crate::peers::{News, Peers};
use crate::planted_bug::planted_bug;
use crate::protocol::{InstanceId, Reply, Signal};
use crate::sqlite::DbError;
use crate::system::{self, Network};

/// Maximum inputs of the socket that wait for the loop.
const SOCKET_INPUTS_MAX: usize = 256;
/// Maximum unfinished writes; with more, the socket is not read, so a slow disk cannot fill the
/// memory.
const WRITES_MAX: usize = 256;
/// Pause before the next attempt to load the store.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);
/// If the boot clock has advanced by this much more than the monotonic clock, the machine has slept.
const SLEEP_MIN: Duration = Duration::from_secs(2);

struct Actor {
    folder: PathBuf,
    store: Store,
    locate: Locate,
    connect: Connect,
    session: Session,
    start: Instant,
    socket: Option<Socket>,
    /// Closes the last connection.
    closing: Option<tokio::task::JoinHandle<()>>,
    socket_tx: mpsc::Sender<session::Input>,
    stored_tx: mpsc::UnboundedSender<session::Input>,
    trace: Arc<Trace>,
    signals: broadcast::Sender<Signal>,
    /// Number of writes and queries that are not answered yet.
    writes: usize,
    status: watch::Sender<Status>,
    /// Where the replies of requests go, by key.
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    /// The key of the latest request.
    last_key: u64,
    /// The lock of the connection; locked while the file is open.
    lock: Option<File>,
    /// A thread waits for the lock.
    is_queued: bool,
    /// This process is being suspended (Ctrl-Z): do not take the lock.
    has_yielded: bool,
    /// Why the client stays offline when it gets the lock again.
    stays_offline: Option<Cause>,
    /// The reloaded content of the store, while it is being loaded.
    reloaded: Option<oneshot::Receiver<Loaded>>,
    /// Total time that this machine slept.
    slept: Duration,
}

/// The actor's ends of the channels of its [`Client`](super::Client)s.
pub(super) struct ActorHandles {
    pub(super) requests: mpsc::Receiver<ActorRequest>,
    pub(super) status: watch::Sender<Status>,
    pub(super) trace: Arc<Trace>,
    pub(super) signals: broadcast::Sender<Signal>,
}

/// Spawns the actor of a session. `lock` is the lock of the connection, if this process has it.
pub(super) fn spawn(
    options: ClientOptions,
    session: Session,
    start: Instant,
    lock: Option<File>,
    handles: ActorHandles,
) {
    let (socket_tx, socket) = mpsc::channel(SOCKET_INPUTS_MAX);
    let (stored_tx, stored) = mpsc::unbounded_channel(); // bounded by WRITES_MAX
    let changes = options.store.changes();
    let actor = Actor {
        folder: options.folder,
        store: options.store,
        locate: options.locate,
        connect: options.connect,
        session,
        start,
        socket: None,
        closing: None,
        socket_tx,
        stored_tx,
        trace: handles.trace,
        signals: handles.signals,
        writes: 0,
        status: handles.status,
        replies: BTreeMap::new(),
        last_key: 0,
        lock,
        is_queued: false,
        has_yielded: false,
        stays_offline: None,
        reloaded: None,
        slept: system::slept(),
    };
    tokio::spawn(actor.run(handles.requests, socket, stored, changes));
}

impl Actor {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<ActorRequest>,
        mut socket: mpsc::Receiver<session::Input>,
        mut stored: mpsc::UnboundedReceiver<session::Input>,
        mut changes: broadcast::Receiver<Change>,
    ) {
        let peers = self.listen_to_peers().await;
        let (lock_tx, mut lock_rx) = mpsc::channel(1);
        if self.lock.is_some() {
            self.step(session::Input::Command(Command::GoOnline)).await;
        } else {
            self.seek_ownership(&lock_tx).await;
        }
        let mut network = Network::watch();
        loop {
            let deadline = self
                .session
                .deadline()
                .filter(|_| !planted_bug!(TimerForgotten))
                .map(|at| self.start + at);
            let mut is_inbound = false;
            // Finished writes come before inbound frames, which cause more of them. The timer is
            // last, since each step checks the deadlines.
            let input = tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(request) => match self.on_request(request, &lock_tx).await {
                        Some(input) => input,
                        None => continue,
                    },
                    None => break,
                },
                Some(input) = stored.recv() => {
                    self.writes -= 1;
                    input
                }
                Some(input) = socket.recv(), if self.writes < WRITES_MAX => {
                    is_inbound = true;
                    input
                }
                change = changes.recv() => match of_change(change) {
                    Some(input) => input,
                    None => continue,
                },
                Some(file) = lock_rx.recv() => {
                    self.is_queued = false;
                    if self.has_yielded {
                        continue;
                    }
                    self.lock = Some(file);
                    self.on_owned().await
                }
                () = network.changed() => session::Input::Command(Command::NetworkChanged),
                Some(loaded) = loaded(&mut self.reloaded) => self.on_reloaded(loaded),
                () = system::sleep_until(deadline) => session::Input::Tick,
            };
            self.step(input).await;
            if is_inbound {
                self.trace.notify();
            }
            if self.has_slept() {
                self.step(session::Input::Command(Command::Woke)).await;
            }
        }
        if let Some(peers) = peers {
            peers.abort();
        }
    }

    async fn on_request(
        &mut self,
        request: ActorRequest,
        lock_tx: &mpsc::Sender<File>,
    ) -> Option<session::Input> {
        match request {
            ActorRequest::Do(command @ (Command::RetryNow | Command::GoOnline)) => {
                self.stays_offline = None;
                // Without the lock, another process has the connection, and there is nothing to dial.
                self.lock
                    .is_some()
                    .then_some(session::Input::Command(command))
            }
            ActorRequest::Do(Command::GoOffline(why)) => {
                self.stays_offline = Some(why.clone());
                Some(session::Input::Command(Command::GoOffline(why)))
            }
            ActorRequest::Do(command) => Some(session::Input::Command(command)),
            ActorRequest::Request(op, answer) => {
                self.last_key += 1;
                self.replies.insert(self.last_key, answer);
                Some(session::Input::Command(Command::Request {
                    key: self.last_key,
                    op,
                }))
            }
            ActorRequest::Inspect(answer) => {
                // the inspector may be closed
                let _ = answer.send(Box::new(self.session.details(self.start.elapsed())));
                None
            }
            ActorRequest::Yield(done) => {
                if let LinkState::Offline { why } = self.session.link_state()
                    && !matches!(why, Cause::NotOwner { .. })
                {
                    self.stays_offline = Some(why);
                }
                self.step(session::Input::Command(Command::GoOffline(
                    Cause::NotOwner { pid: None },
                )))
                .await;
                self.lock = None;
                self.has_yielded = true;
                let _ = done.send(());
                None
            }
            ActorRequest::Resume => {
                self.has_yielded = false;
                self.seek_ownership(lock_tx).await;
                None
            }
            ActorRequest::Quit(done) => {
                if self.lock.is_some() {
                    self.step(session::Input::Command(Command::GoOffline(Cause::Finished)))
                        .await;
                }
                if let Some(closing) = self.closing.take() {
                    let _ = closing.await; // a close has a time limit
                }
                self.lock = None;
                let _ = done.send(());
                None
            }
        }
    }

    async fn step(&mut self, input: session::Input) {
        let now = self.start.elapsed();
        let effects = self.session.step(now, input);
        for effect in effects {
            self.carry_out(effect).await;
        }
        let status = self.session.status();
        self.status.send_if_modified(|shown| {
            let is_new = *shown != status;
            *shown = status;
            is_new
        });
    }

    async fn carry_out(&mut self, effect: session::Effect) {
        match effect {
            session::Effect::Dial(dial) => {
                tracing::info!(?dial, "dialling");
                let (inputs, trace) = (self.socket_tx.clone(), self.trace.clone());
                self.socket = Some(Socket::dial(
                    dial,
                    (self.locate)(),
                    self.connect.clone(),
                    inputs,
                    trace,
                ));
            }
            session::Effect::Transmit(dial, text) => {
                if let Some(socket) = self.socket.as_ref().filter(|socket| socket.dial == dial) {
                    socket.send(text);
                }
            }
            session::Effect::Hangup(dial) => {
                if let Some(socket) = self.socket.take_if(|socket| socket.dial == dial) {
                    self.closing = Some(tokio::spawn(socket.close()));
                }
            }
            session::Effect::Persist(ticket, write) => {
                self.writes += 1;
                let stored = self.stored_tx.clone();
                self.store.write_dependent(write, move |result| {
                    let _ = stored.send(persisted(ticket, result)); // the actor may have ended
                });
            }
            session::Effect::Ask(ticket, query) => {
                self.writes += 1;
                let stored = self.stored_tx.clone();
                self.store.find(query, move |result| {
                    let _ = stored.send(match result {
                        Ok(found) => session::Input::Found(ticket, found),
                        Err(error) => session::Input::PersistFailed(ticket, error.into()),
                    });
                });
            }
            session::Effect::Reply(key, reply) => {
                if let Some(answer) = self.replies.remove(&key) {
                    let _ = answer.send(reply); // the caller may be gone
                }
            }
            session::Effect::Signal(signal) => drop(self.signals.send(signal)), // there may be no receiver
            session::Effect::Reload => self.reload(),
        }
    }

    /// Loads the store again after a failed write: the core's state may differ from the disk.
    fn reload(&mut self) {
        if self.reloaded.is_some() {
            return;
        }
        // A new instance id: the server then ignores late frames of the former core.
        let instance = InstanceId::from_random(system::random());
        let store = self.store.clone();
        let (mut tx, rx) = oneshot::channel();
        self.reloaded = Some(rx);
        tokio::spawn(async move {
            loop {
                match store.load(instance).await {
                    Ok(loaded) => {
                        let _ = tx.send(loaded); // the actor may have ended
                        return;
                    }
                    Err(error) => tracing::error!(%error, "the store cannot be loaded"),
                }
                tokio::select! {
                    () = tx.closed() => return,
                    () = tokio::time::sleep(RELOAD_PAUSE) => {}
                }
            }
        });
    }

    /// Replaces the core by one over the reloaded store.
    fn on_reloaded(&mut self, loaded: Loaded) -> session::Input {
        let empty = Session::new(LinkSettings::default(), 0, Now::ZERO, loaded.clone());
        self.session = std::mem::replace(&mut self.session, empty).reloaded(loaded);
        session::Input::Tick
    }

    /// This process got the lock of the connection. The core reads what the former owner wrote.
    async fn on_owned(&mut self) -> session::Input {
        let dials = self.stays_offline.is_none();
        if let Some(why) = self.stays_offline.clone() {
            self.step(session::Input::Command(Command::GoOffline(why)))
                .await;
        }
        session::Input::Command(Command::LockTaken { dials })
    }

    async fn listen_to_peers(&self) -> Option<tokio::task::JoinHandle<()>> {
        let store = self.store.clone();
        match Peers::listen(&self.folder).await {
            Ok(peers) => Some(tokio::spawn(async move {
                store.announce(Change::Everything); // changes from before there was a listener
                loop {
                    store.announce(match peers.next().await {
                        News::Outbox => Change::Outbox,
                        News::Everything => Change::Everything,
                    });
                }
            })),
            Err(error) => {
                tracing::warn!(%error, "changes of other processes of this profile are not received");
                None
            }
        }
    }

    /// Takes the lock of the connection. If another process has it, goes offline with its pid as the
    /// cause, and waits for the lock on a thread.
    async fn seek_ownership(&mut self, lock_tx: &mpsc::Sender<File>) {
        let lock = LinkLock::of(&self.folder);
        match lock.take() {
            Ok(Some(file)) => {
                self.lock = Some(file);
                let input = self.on_owned().await;
                self.step(input).await;
            }
            Ok(None) => {
                let pid = lock.holder();
                self.step(session::Input::Command(Command::GoOffline(
                    Cause::NotOwner { pid },
                )))
                .await;
                if std::mem::replace(&mut self.is_queued, true) {
                    return;
                }
                let lock_tx = lock_tx.clone();
                let wait = move || {
                    if let Ok(file) = lock.wait() {
                        let _ = lock_tx.blocking_send(file); // the actor may have ended
                    }
                };
                std::thread::spawn(wait); // ends with the process
            }
            Err(error) => {
                let what = format!("{}: {error}", lock.path.display());
                self.step(session::Input::Command(Command::GoOffline(Cause::Store {
                    what,
                })))
                .await;
            }
        }
    }

    fn has_slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.slept, system::slept());
        self.slept.saturating_sub(before) >= SLEEP_MIN
    }
}

fn persisted(ticket: Ticket, result: Result<Outcome, DbError>) -> session::Input {
    match result {
        Ok(outcome) => session::Input::Persisted(ticket, outcome),
        Err(error) => {
            tracing::error!(%error, "a write failed");
            session::Input::PersistFailed(ticket, error.into())
        }
    }
}

fn of_change(change: Result<Change, broadcast::error::RecvError>) -> Option<session::Input> {
    match change {
        Ok(Change::OutboxGrew) => Some(session::Input::OutboxGrew),
        Ok(Change::Outbox) | Err(broadcast::error::RecvError::Lagged(_)) => {
            Some(session::Input::OutboxChanged)
        }
        Ok(Change::Everything) => Some(session::Input::ChangedElsewhere),
        Ok(Change::Log(_) | Change::OutboxStages | Change::Rooms | Change::Journal)
        | Err(broadcast::error::RecvError::Closed) => None,
    }
}

/// Waits for the reloaded store; for ever if it is not being loaded.
async fn loaded(reloaded: &mut Option<oneshot::Receiver<Loaded>>) -> Option<Loaded> {
    let Some(receiver) = reloaded else {
        return std::future::pending().await;
    };
    let loaded = receiver.await.ok();
    *reloaded = None;
    loaded
}
