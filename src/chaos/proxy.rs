//! The proxy itself: a thread that takes connections in, and the one place that holds what was
//! told.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::event::{Event, FaultCounts, What};
use super::link::{ProxiedConnection, now};
use super::plan::{AcceptMode, Armed, FaultCommand, FaultState};

/// A running proxy. It stops, and its connections end, when it is dropped.
pub struct Proxy {
    shared: Arc<ProxyShared>,
    address: SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Rest after a connection that could not be taken: when no file is left for it, the next try fails
/// as well.
const BREATH: Duration = Duration::from_millis(50);

/// What its connections share.
pub(super) struct ProxyShared {
    pub(super) upstream: String,
    state: watch::Sender<FaultState>,
    counts: Mutex<FaultCounts>,
    is_over: watch::Sender<bool>,
    listens: watch::Sender<bool>,
    began: Instant,
    listen_to: Box<dyn Fn(Event) + Send + Sync>,
}

impl Proxy {
    /// Listens at an address (port 0 lets the system choose) and carries what comes to `upstream`,
    /// a host and port. `listen_to` is called with each event, on the proxy's thread.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver: events say when they happened"
    )]
    pub fn start(
        listen: SocketAddr,
        upstream: &str,
        listen_to: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (reserved, listener) = runtime.block_on(async {
            if listen.port() != 0 {
                // two sockets of ours share the port, and nobody else's
                drop(TcpListener::bind(listen).await?);
            }
            let reserved = reserve(listen)?;
            let listener = open(reserved.local_addr()?)?;
            io::Result::Ok((reserved, listener))
        })?;
        let address = reserved.local_addr()?;
        let shared = Arc::new(ProxyShared {
            upstream: upstream.to_owned(),
            state: watch::Sender::default(),
            counts: Mutex::default(),
            is_over: watch::Sender::new(false),
            listens: watch::Sender::new(true),
            began: Instant::now(),
            listen_to: Box::new(listen_to),
        });
        shared.say(What::Listening {
            address,
            upstream: upstream.to_owned(),
        });
        let accepting = shared.clone();
        let thread = std::thread::Builder::new()
            .name("chaos".into())
            .spawn(move || runtime.block_on(accepting.accept(&reserved, listener)))?;
        Ok(Self {
            shared,
            address,
            thread: Some(thread),
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this, from now on.
    pub fn tell(&self, command: &FaultCommand) {
        self.shared.say(What::Told {
            command: command.to_string(),
        });
        self.shared.state.send_modify(|state| state.tell(command));
    }

    /// Waits until clients can connect: a port that was closed opens a moment after it was told to.
    pub async fn listens(&self) {
        let _ = self
            .shared
            .listens
            .subscribe()
            .wait_for(|listens| *listens)
            .await; // its sender is here
    }

    /// What went through since the start.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        *self.shared.counts()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has said what went wrong
        }
    }
}

impl ProxyShared {
    pub(super) fn watch(&self) -> watch::Receiver<FaultState> {
        self.state.subscribe()
    }

    pub(super) fn say(&self, what: What) {
        self.count(|counts| match &what {
            What::Opened { .. } | What::Muted { .. } => counts.opened += 1,
            What::Ended { .. } => counts.ended += 1,
            What::Swallowed { .. } => counts.frames += 1,
            _ => {} // nothing to count
        });
        let at_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.listen_to)(Event { at_ms, what });
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut FaultCounts)) {
        change(&mut self.counts());
    }

    fn counts(&self) -> MutexGuard<'_, FaultCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets what was armed have its chance; nobody is woken by it.
    pub(super) fn strike<T>(&self, chance: impl FnOnce(&mut Armed) -> T) -> T {
        let mut chance = Some(chance);
        let mut struck = None;
        self.state.send_if_modified(|state| {
            struck = chance.take().map(|chance| chance(&mut state.armed));
            false
        });
        struck.expect("the closure is called once")
    }

    /// How old the bytes that come now shall grow.
    pub(super) fn latency(&self) -> Duration {
        let state = self.state.borrow();
        state.latency + state.jitter.mul_f64(fastrand::f64())
    }

    /// Bytes a second, if that is limited.
    pub(super) fn rate(&self) -> Option<u64> {
        self.state.borrow().rate
    }

    async fn accept(self: Arc<Self>, reserved: &TcpSocket, listener: TcpListener) {
        let mut listener = Some(listener);
        let (mut state, mut over) = (self.watch(), self.is_over.subscribe());
        let mut number = 0;
        let mut turn: Option<(Duration, tokio::time::Instant)> = None;
        loop {
            let (refuses, flap) = {
                let state = state.borrow_and_update();
                (state.door == AcceptMode::Refusing, state.flap)
            };
            turn = flap.map(|every| match turn.filter(|(same, _)| *same == every) {
                Some(turn) => turn,
                None => (every, now() + every),
            });
            let flaps = turn.map_or_else(now, |(_, at)| at);
            listener = match listener {
                _ if refuses => None,
                Some(listener) => Some(listener),
                None => reserved.local_addr().and_then(open).ok(),
            };
            self.listens.send_replace(listener.is_some());
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => return,
                _ = state.changed() => {}
                () = sleep_until(flaps), if turn.is_some() => {
                    turn = None;
                    self.state.send_modify(FaultState::flap);
                }
                client = take(listener.as_ref()), if listener.is_some() => if let Some(client) = client {
                    number += 1;
                    let (shared, began) = (self.clone(), self.state.borrow().clone());
                    tokio::spawn(async move { ProxiedConnection::new(number, &shared).run(client, began).await });
                }
            }
        }
    }
}

async fn take(listener: Option<&TcpListener>) -> Option<tokio::net::TcpStream> {
    match listener?.accept().await {
        Ok((client, _)) => Some(client),
        Err(_) => {
            sleep(BREATH).await;
            None
        }
    }
}

/// Holds the port without listening, so that it stays ours, and refuses, while no connection is
/// wanted.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    reserve(address)?.listen(1_024)
}
