//! A running client: the handle that a screen and a command use, and the task behind it.

mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use self::run::ActorHandles;
use super::cause::Cause;
use super::link::{LinkSettings, Now};
use super::lock::LinkLock;
use super::session::{Command, Details, Session, Status};
use super::socket::Connect;
use super::store::Store;
use super::trace::Trace;
use crate::protocol::{Address, Answer, InstanceId, Op, Reply, Signal};
use crate::sqlite::DbError;
use crate::system;

/// Maximum pending requests to the actor.
const REQUESTS_MAX: usize = 256;
/// Maximum pending signals of a receiver.
const SIGNALS_MAX: usize = 1_024;
/// Maximum time that an orderly close may delay the end of the program.
const QUIT_MAX: Duration = Duration::from_secs(3);

/// Returns the server's address; called before each dial.
pub type Locate = Box<dyn Fn() -> Result<Address, Cause> + Send + Sync>;

/// The parameters of a client.
pub struct ClientOptions {
    /// The folder of the profile.
    pub folder: PathBuf,
    pub store: Store,
    /// Finds the server.
    pub locate: Locate,
    /// Opens a connection: [`tcp`](super::tcp), unless a simulation has a network of its own.
    pub connect: Connect,
    /// The user's settings.
    pub settings: LinkSettings,
}

enum ActorRequest {
    Do(Command),
    /// Send an operation to the server.
    Request(Op, oneshot::Sender<Reply>),
    /// Return the session's details, for an inspector.
    Inspect(oneshot::Sender<Box<Details>>),
    /// Close the connection and release its lock: the process is about to be suspended (Ctrl-Z).
    Yield(oneshot::Sender<()>),
    /// Take the lock again.
    Resume,
    Quit(oneshot::Sender<()>),
}

/// A handle to a running client. Clones share it; [`Client::quit`] ends it.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<ActorRequest>,
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
        // Taken before the store is loaded: while this process has it, no other one stores received
        // entries.
        let owner = LinkLock::of(&options.folder).take().ok().flatten();
        let loaded = options.store.load(instance).await?;
        let start = Instant::now();
        let session = Session::new(options.settings.clone(), system::seed(), Now::ZERO, loaded);
        let (requests, requests_rx) = mpsc::channel(REQUESTS_MAX);
        let (status_tx, status) = watch::channel(session.status());
        let trace = Arc::new(Trace::default());
        let (signals, _) = broadcast::channel(SIGNALS_MAX); // receivers subscribe
        let handles = ActorHandles {
            requests: requests_rx,
            status: status_tx,
            trace: trace.clone(),
            signals: signals.clone(),
        };
        run::spawn(options, session, start, owner, handles);
        Ok(Self {
            requests,
            status,
            trace,
            signals,
            start,
        })
    }

    /// Returns the session's status, which a screen shows.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns the time of the session's clock, to which the times in a status refer.
    #[must_use]
    pub fn now(&self) -> Now {
        self.start.elapsed()
    }

    /// Passes a command to the session. Has no effect after the actor has stopped.
    pub async fn command(&self, command: Command) {
        let _ = self.requests.send(ActorRequest::Do(command)).await;
    }

    /// Returns the session's current details; `None` after the actor has stopped.
    pub async fn details(&self) -> Option<Box<Details>> {
        let (tx, rx) = oneshot::channel();
        let _ = self.requests.send(ActorRequest::Inspect(tx)).await;
        rx.await.ok()
    }

    /// Subscribes to ephemeral signals of others. A slow receiver misses some.
    #[must_use]
    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// Returns the frames of this process's connections.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Sends a request to the server and waits for the result.
    ///
    /// # Errors
    /// The server's reason, or that the client is not connected.
    pub async fn request(&self, op: Op) -> Result<Answer, String> {
        let (tx, rx) = oneshot::channel();
        let _ = self.requests.send(ActorRequest::Request(op, tx)).await;
        let reply = rx
            .await
            .map_err(|_| "the connection's task has stopped: start landfall again".to_owned())?;
        reply.ok.ok_or_else(|| {
            reply
                .reason
                .unwrap_or_else(|| "the server gave no reason".to_owned())
        })
    }

    /// Closes the connection and releases its lock, until [`Client::resume_link`].
    pub async fn yield_link(&self) {
        let (tx, rx) = oneshot::channel();
        let _ = self.requests.send(ActorRequest::Yield(tx)).await;
        let _ = rx.await;
    }

    /// Takes the lock of the connection again.
    pub async fn resume_link(&self) {
        let _ = self.requests.send(ActorRequest::Resume).await;
    }

    /// Closes the connection and stops.
    pub async fn quit(&self) {
        let (tx, rx) = oneshot::channel();
        let goodbye = async {
            let _ = self.requests.send(ActorRequest::Quit(tx)).await;
            let _ = rx.await;
        };
        // A store that cannot be loaded must not delay the end.
        let _ = tokio::time::timeout(QUIT_MAX, goodbye).await;
    }
}
