//! The one async loop of a client: joins the session core with the socket, the timer and the store.
//!
//! It decides nothing. Inputs go into [`Session::step`], effects come out and are carried out here.
//! One process of a profile at a time owns the link, by an advisory lock that the others wait for.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::cause::Cause;
use super::link::{LinkSettings, LinkState, Now};
use super::lock::LinkLock;
use super::persist::{Loaded, Ticket};
use super::session;
use super::session::{Command, Details, Session, Status};
use super::socket::{Connect, Socket};
use super::store::{Change, Store};
use super::trace::Trace;
use crate::peers::{News, Peers};
use crate::planted_bug::planted_bug;
use crate::protocol::{Address, InstanceId, Op, Reply, Signal};
use crate::sqlite::DbError;
use crate::system::{self, Network};

/// Inputs of the socket that wait for the loop.
const SOCKET_INPUTS_MAX: usize = 256;
/// Commands that wait for the loop.
const COMMANDS_MAX: usize = 256;
/// Signals that wait for a receiver.
const SIGNALS_MAX: usize = 1_024;
/// Writes on their way to the disk before the socket is left unread: a slow disk must not fill the
/// memory.
const WRITES_MAX: usize = 256;
/// Pause before the store is asked again when it could not be loaded.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);
/// The longest that closing may delay the end of the program.
const QUIT: Duration = Duration::from_secs(3);
/// The boot clock runs on while a machine sleeps: a jump of so much against the monotonic one was a
/// sleep.
const SLEEP_MIN: Duration = Duration::from_secs(2);

/// Where to dial, asked anew for each dial.
pub type Locate = Box<dyn Fn() -> Result<Address, Cause> + Send + Sync>;

/// What an actor needs.
pub struct ClientOptions {
    /// The folder of the profile.
    pub folder: PathBuf,
    /// Its store.
    pub store: Store,
    /// Where the server is.
    pub locate: Locate,
    /// How to get there: [`tcp`](super::tcp), unless a simulation has a network of its own.
    pub connect: Connect,
    /// What the person set.
    pub settings: LinkSettings,
}

enum ActorRequest {
    Do(Command),
    Request(Op, oneshot::Sender<Reply>),
    /// An inspector asks for the session's details.
    Look(oneshot::Sender<Box<Details>>),
    /// Give the link up (the terminal was stopped), or take it again.
    Yield(oneshot::Sender<()>),
    Resume,
    Quit(oneshot::Sender<()>),
}

/// A handle to the actor.
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::Sender<ActorRequest>,
    status: watch::Receiver<Status>,
    trace: Arc<Trace>,
    signals: broadcast::Sender<Signal>,
    start: Instant,
}

impl std::fmt::Debug for ActorRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActorRequest")
    }
}

impl Client {
    /// Starts an actor on the current runtime.
    ///
    /// # Errors
    /// [`DbError`] when the store cannot be loaded.
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver reads the clock that the core is given"
    )]
    pub async fn start(options: ClientOptions) -> Result<Self, DbError> {
        let instance = InstanceId::from_random(system::random());
        // before anything is loaded: no other process writes then
        let owner = LinkLock::of(&options.folder).take().ok().flatten();
        let loaded = options.store.load(instance).await?;
        let start = Instant::now();
        let session = Session::new(options.settings, system::seed(), Now::ZERO, loaded);
        let (orders, orders_rx) = mpsc::channel(COMMANDS_MAX);
        let (status_tx, status) = watch::channel(session.status());
        let (socket_tx, socket_rx) = mpsc::channel(SOCKET_INPUTS_MAX);
        let (stored_tx, stored_rx) = mpsc::unbounded_channel(); // bounded by WRITES_MAX
        let changes = options.store.changes();
        let trace = Arc::new(Trace::default());
        let (signals, _) = broadcast::channel(SIGNALS_MAX); // receivers subscribe
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
            trace: trace.clone(),
            signals: signals.clone(),
            writes: 0,
            status: status_tx,
            requests: std::collections::BTreeMap::new(),
            keys: 0,
            owner,
            in_line: false,
            yielded: false,
            stays_offline: None,
            reloaded: None,
            slept: system::slept(),
        };
        tokio::spawn(actor.run(orders_rx, socket_rx, stored_rx, changes));
        Ok(Self {
            orders,
            status,
            trace,
            signals,
            start,
        })
    }

    /// The session as the screen shows it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The session's clock: its states contain times of it.
    #[must_use]
    pub fn now(&self) -> Now {
        self.start.elapsed()
    }

    /// Asks the session for something. Dropped when the actor has stopped.
    pub async fn command(&self, command: Command) {
        let _ = self.orders.send(ActorRequest::Do(command)).await;
    }

    /// The session from inside, as it is now. Nothing when the actor has stopped.
    pub async fn details(&self) -> Option<Box<Details>> {
        let (tx, rx) = oneshot::channel();
        let _ = self.orders.send(ActorRequest::Look(tx)).await;
        rx.await.ok()
    }

    /// Ephemeral signals of others. A receiver that does not keep up misses some.
    #[must_use]
    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// What passed on the links of this process.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Asks the server for something.
    ///
    /// # Errors
    /// The server's reason, or that there is no link.
    pub async fn request(&self, op: Op) -> Result<crate::protocol::Answer, String> {
        let (tx, rx) = oneshot::channel();
        let _ = self.orders.send(ActorRequest::Request(op, tx)).await;
        let reply = rx
            .await
            .map_err(|_| "the link's task has stopped: start landfall again".to_owned())?;
        reply.ok.ok_or_else(|| {
            reply
                .reason
                .unwrap_or_else(|| "the server gave no reason".to_owned())
        })
    }

    /// Ends the link and gives its lock up, until [`Client::resume_link`].
    pub async fn yield_link(&self) {
        let (tx, rx) = oneshot::channel();
        let _ = self.orders.send(ActorRequest::Yield(tx)).await;
        let _ = rx.await;
    }

    /// Takes the link again.
    pub async fn resume_link(&self) {
        let _ = self.orders.send(ActorRequest::Resume).await;
    }

    /// Closes the connection and stops.
    pub async fn quit(&self) {
        let (tx, rx) = oneshot::channel();
        let goodbye = async {
            let _ = self.orders.send(ActorRequest::Quit(tx)).await;
            let _ = rx.await;
        };
        // a store that cannot be loaded must not delay the end
        let _ = tokio::time::timeout(QUIT, goodbye).await;
    }
}

type StoreAnswer = session::Input;

struct Actor {
    folder: PathBuf,
    store: Store,
    locate: Locate,
    connect: Connect,
    session: Session,
    start: Instant,
    socket: Option<Socket>,
    /// The goodbye of the last connection.
    closing: Option<tokio::task::JoinHandle<()>>,
    socket_tx: mpsc::Sender<session::Input>,
    stored_tx: mpsc::UnboundedSender<StoreAnswer>,
    trace: Arc<Trace>,
    signals: broadcast::Sender<Signal>,
    writes: usize,
    status: watch::Sender<Status>,
    requests: std::collections::BTreeMap<u64, oneshot::Sender<Reply>>,
    keys: u64,
    /// Has the lock as long as it is open.
    owner: Option<File>,
    /// A thread waits for that lock.
    in_line: bool,
    /// The link was given up: a lock that comes now is not taken.
    yielded: bool,
    /// Why there is no link although this process may have one: it stays so when the lock comes
    /// back.
    stays_offline: Option<Cause>,
    /// The content of the store, once it can be loaded again.
    reloaded: Option<oneshot::Receiver<Loaded>>,
    slept: Duration,
}

impl Actor {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<ActorRequest>,
        mut socket: mpsc::Receiver<session::Input>,
        mut stored: mpsc::UnboundedReceiver<StoreAnswer>,
        mut changes: broadcast::Receiver<Change>,
    ) {
        let peers = self.listen_to_peers().await;
        let (owner_tx, mut owner_rx) = mpsc::channel(1);
        if self.owner.is_some() {
            self.step(session::Input::Command(Command::GoOnline)).await;
        } else {
            self.seek_ownership(&owner_tx).await;
        }
        let mut network = Network::watch();
        loop {
            let deadline = self
                .session
                .deadline()
                .filter(|_| !planted_bug!(TimerForgotten))
                .map(|at| self.start + at);
            let mut came_in = false;
            // In this order: what was written makes room for what comes, and each step looks at the
            // clock by itself.
            let input = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => match self.on_order(order, &owner_tx).await {
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
                    came_in = true;
                    input
                }
                change = changes.recv() => match of_change(change) {
                    Some(input) => input,
                    None => continue,
                },
                Some(file) = owner_rx.recv() => {
                    self.in_line = false;
                    if self.yielded {
                        continue;
                    }
                    self.owner = Some(file);
                    self.on_owned().await
                }
                () = network.changed() => session::Input::Command(Command::NetworkChanged),
                Some(loaded) = loaded(&mut self.reloaded) => self.on_reloaded(loaded),
                () = sleep_until(deadline) => session::Input::Tick,
            };
            self.step(input).await;
            if came_in {
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

    async fn on_order(
        &mut self,
        order: ActorRequest,
        owner: &mpsc::Sender<File>,
    ) -> Option<session::Input> {
        match order {
            ActorRequest::Do(command @ (Command::RetryNow | Command::GoOnline)) => {
                self.stays_offline = None;
                // A link that another process owns is not ours to dial.
                self.owner
                    .is_some()
                    .then_some(session::Input::Command(command))
            }
            ActorRequest::Do(Command::GoOffline(why)) => {
                self.stays_offline = Some(why.clone());
                Some(session::Input::Command(Command::GoOffline(why)))
            }
            ActorRequest::Do(command) => Some(session::Input::Command(command)),
            ActorRequest::Request(op, answer) => {
                self.keys += 1;
                self.requests.insert(self.keys, answer);
                Some(session::Input::Command(Command::Request {
                    key: self.keys,
                    op,
                }))
            }
            ActorRequest::Look(answer) => {
                // it may have looked away
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
                (self.owner, self.yielded) = (None, true);
                let _ = done.send(());
                None
            }
            ActorRequest::Resume => {
                self.yielded = false;
                self.seek_ownership(owner).await;
                None
            }
            ActorRequest::Quit(done) => {
                if self.owner.is_some() {
                    self.step(session::Input::Command(Command::GoOffline(Cause::Person)))
                        .await;
                }
                if let Some(closing) = self.closing.take() {
                    let _ = closing.await; // bounded by the goodbye's own limit
                }
                self.owner = None;
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
                    let _ = stored.send(persisted(ticket, result)); // the actor may be gone
                });
            }
            session::Effect::Ask(ticket, query) => {
                self.writes += 1;
                let stored = self.stored_tx.clone();
                self.store.find(query, move |result| {
                    let _ = stored.send(match result {
                        Ok(found) => session::Input::Found(ticket, found),
                        Err(error) => session::Input::PersistFailed(ticket, error.to_string()),
                    });
                });
            }
            session::Effect::Reply(key, reply) => {
                if let Some(answer) = self.requests.remove(&key) {
                    let _ = answer.send(reply); // the asker may be gone
                }
            }
            session::Effect::Signal(signal) => drop(self.signals.send(signal)), // there may be no receiver
            session::Effect::Reload => self.reload(),
        }
    }

    /// A write failed: what the core assumes is no longer what is on the disk, so it is loaded
    /// again.
    fn reload(&mut self) {
        if self.reloaded.is_some() {
            return;
        }
        // A new instance each time: what is still on its way from the one before it then learns
        // apart.
        let (store, instance) = (
            self.store.clone(),
            InstanceId::from_random(system::random()),
        );
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

    /// The core again, over what is on the disk.
    fn on_reloaded(&mut self, loaded: Loaded) -> session::Input {
        let empty = Session::new(LinkSettings::default(), 0, Now::ZERO, loaded.clone());
        self.session = std::mem::replace(&mut self.session, empty).reloaded(loaded);
        session::Input::Tick
    }

    /// The lock of the link is this process's. Another one may have had it, and what that wrote is
    /// not known here.
    async fn on_owned(&mut self) -> session::Input {
        let dials = self.stays_offline.is_none();
        if let Some(why) = self.stays_offline.clone() {
            self.step(session::Input::Command(Command::GoOffline(why)))
                .await;
        }
        session::Input::Command(Command::Own { dials })
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
                tracing::warn!(%error, "other processes on this profile cannot be heard");
                None
            }
        }
    }

    /// Takes the lock of the connection, or waits for it on a thread, and reports meanwhile who has it.
    async fn seek_ownership(&mut self, owner: &mpsc::Sender<File>) {
        let lock = LinkLock::of(&self.folder);
        match lock.take() {
            Ok(Some(file)) => {
                self.owner = Some(file);
                let input = self.on_owned().await;
                self.step(input).await;
            }
            Ok(None) => {
                let pid = lock.holder();
                self.step(session::Input::Command(Command::GoOffline(
                    Cause::NotOwner { pid },
                )))
                .await;
                if std::mem::replace(&mut self.in_line, true) {
                    return;
                }
                let owner = owner.clone();
                let wait = move || {
                    if let Ok(file) = lock.wait() {
                        let _ = owner.blocking_send(file); // the actor may be gone
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

fn persisted(ticket: Ticket, result: Result<super::persist::Outcome, DbError>) -> session::Input {
    match result {
        Ok(outcome) => session::Input::Persisted(ticket, outcome),
        Err(error) => {
            tracing::error!(%error, "a write failed");
            session::Input::PersistFailed(ticket, error.to_string())
        }
    }
}

fn of_change(change: Result<Change, broadcast::error::RecvError>) -> Option<session::Input> {
    match change {
        Ok(Change::OutboxGrew) => Some(session::Input::OutboxGrew),
        Ok(Change::Outbox) | Err(broadcast::error::RecvError::Lagged(_)) => {
            Some(session::Input::OutboxChanged)
        }
        Ok(Change::Everything) => Some(session::Input::ReadElsewhere),
        Ok(Change::Log(_) | Change::OutboxStages | Change::Rooms | Change::Journal)
        | Err(broadcast::error::RecvError::Closed) => None,
    }
}

/// What was loaded, once; never, when nothing is being loaded.
async fn loaded(reloaded: &mut Option<oneshot::Receiver<Loaded>>) -> Option<Loaded> {
    let Some(receiver) = reloaded else {
        return std::future::pending().await;
    };
    let loaded = receiver.await.ok();
    *reloaded = None;
    loaded
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
