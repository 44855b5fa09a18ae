//! The proxy itself: a thread that takes connections in, and applies commands
//! to the faults in force.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::event::{Event, FaultCounts, What};
use super::link::ProxiedConnection;
use super::plan::{AcceptMode, FaultCommand, FaultState};
use super::shared::{ProxyShared, now};

/// A running proxy. Dropping it stops the proxy and closes its connections.
pub struct Proxy {
    shared: Arc<ProxyShared>,
    address: SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Pause after a failed accept: without free file handles, the next one fails too.
const BREATH: Duration = Duration::from_millis(50);

impl Proxy {
    /// Listens on an address (port 0 lets the system choose) and forwards connections to
    /// `upstream`, a host and port. `listen_to` is called with each event, on the proxy's thread.
    ///
    /// # Errors
    /// When the address is not available.
    #[expect(
        clippy::disallowed_methods,
        reason = "a driver: events contain their time"
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
                // two sockets of this process share the port, and no others
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
        shared.emit(What::Listening {
            address,
            upstream: upstream.to_owned(),
        });
        let accepting = shared.clone();
        let thread = std::thread::Builder::new()
            .name("chaos".into())
            .spawn(move || runtime.block_on(accept(accepting, &reserved, listener)))?;
        Ok(Self {
            shared,
            address,
            thread: Some(thread),
        })
    }

    /// Address that clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies a command from now on.
    pub fn apply(&self, command: &FaultCommand) {
        self.apply_all(std::slice::from_ref(command));
    }

    /// Applies commands at one moment: no byte passes between two of them.
    pub fn apply_all(&self, commands: &[FaultCommand]) {
        for command in commands {
            self.shared.emit(What::CommandReceived {
                command: command.to_string(),
            });
        }
        let apply = |state: &mut FaultState| commands.iter().for_each(|one| state.apply(one));
        self.shared.state.send_modify(apply);
    }

    /// Waits until clients can connect: a port that was closed opens a moment after the command.
    pub async fn listens(&self) {
        let _ = self
            .shared
            .listens
            .subscribe()
            .wait_for(|listens| *listens)
            .await; // the sender is part of `self`
    }

    /// Returns the counters since the start.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        *self.shared.counts()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has reported its error
        }
    }
}

/// Takes connections until the proxy is dropped.
async fn accept(shared: Arc<ProxyShared>, reserved: &TcpSocket, listener: TcpListener) {
    let mut listener = Some(listener);
    let (mut state, mut over) = (shared.watch(), shared.is_over.subscribe());
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
        shared.listens.send_replace(listener.is_some());
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => return,
            _ = state.changed() => {}
            () = sleep_until(flaps), if turn.is_some() => {
                turn = None;
                shared.state.send_modify(FaultState::flap);
            }
            client = take(listener.as_ref()), if listener.is_some() => if let Some(client) = client {
                number += 1;
                let began = shared.state.borrow().clone();
                    let shared = shared.clone();
                tokio::spawn(async move { ProxiedConnection::new(number, &shared, began).run(client).await });
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

/// Binds the port without listening: connections are refused, and no other process gets the port.
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
