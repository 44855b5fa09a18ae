//! What runs on the hosts: the program's own server and client, as their drivers run them, and
//! streams that can be torn.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use axum::serve::Listener;
use landfall::client::actor::{Client, ClientOptions};
use landfall::client::link::{LinkSettings, LinkState};
use landfall::client::session::Status;
use landfall::client::store::{EnrolmentRequest, Store};
use landfall::client::{Connect, Stream};
use landfall::protocol::Address;
use landfall::server::session::Settings;
use landfall::server::{Server, ServerOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};
use turmoil::net::{TcpListener, TcpStream};

use crate::record::{Record, UserRequest};
use crate::world::INVITE;

pub(super) const SERVER: &str = "server";
const PORT: u16 = 4_000;

/// A program that runs.
struct Running {
    orders: mpsc::UnboundedSender<UserRequest>,
    status: watch::Receiver<Status>,
    /// The last reported link state.
    told: String,
}

/// One person's machine.
pub(super) struct Person {
    pub(super) host: String,
    pub(super) folder: PathBuf,
    record: Mutex<Record>,
    running: Mutex<Option<Running>>,
    links: Mutex<Vec<Weak<Tear>>>,
}

impl Person {
    pub(super) fn new(name: &str, folder: PathBuf) -> Arc<Self> {
        std::fs::create_dir_all(&folder).expect("a folder");
        let record = Mutex::new(Record::new(name));
        Arc::new(Self {
            host: name.to_owned(),
            folder,
            record,
            running: Mutex::default(),
            links: Mutex::default(),
        })
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("not poisoned")
    }

    /// Asks the program for something; nothing happens when it does not run.
    pub(super) fn ask(&self, order: UserRequest) {
        if let Some(running) = &*self.running.lock().expect("not poisoned") {
            let _ = running.orders.send(order);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        let running = self.running.lock().expect("not poisoned");
        running.as_ref().is_some_and(|running| {
            matches!(running.status.borrow().link, LinkState::Connected { .. })
        })
    }

    /// Returns the link state if it has changed.
    pub(super) fn new_state(&self) -> Option<String> {
        let mut running = self.running.lock().expect("not poisoned");
        let Running { status, told, .. } = running.as_mut()?;
        if !status.has_changed().ok()? {
            return None;
        }
        let state = match status.borrow_and_update().link.clone() {
            LinkState::Connected { .. } => "connected".to_owned(), // with any round-trip time
            other => format!("{other:?}"),
        };
        (*told != state).then(|| told.clone_from(&state))?;
        Some(state)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.lock().expect("not poisoned").is_some()
    }

    pub(super) fn on_killed(&self) {
        *self.running.lock().expect("not poisoned") = None;
    }

    /// Tears what stands between this machine and the server.
    pub(super) fn tear(&self) {
        let links = std::mem::take(&mut *self.links.lock().expect("not poisoned"));
        links
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|tear| tear.tear());
    }

    /// The program, from its start to its end.
    pub(super) async fn live(self: Arc<Self>) -> turmoil::Result {
        let is_new = !Store::exists(&self.folder);
        let store = Store::open(&self.folder)?;
        if is_new {
            store
                .set_enrolment(EnrolmentRequest {
                    url: None,
                    invite: INVITE.to_owned(),
                    name: self.host.clone(),
                })
                .await?;
        }
        let address = Address {
            host: SERVER.to_owned(),
            port: PORT,
        };
        let client = Client::start(ClientOptions {
            folder: self.folder.clone(),
            store: store.clone(),
            locate: Box::new(move || Ok(address.clone())),
            connect: self.clone().connects(),
            settings: LinkSettings::default(),
        })
        .await?;
        let (tx, mut orders) = mpsc::unbounded_channel();
        *self.running.lock().expect("not poisoned") = Some(Running {
            orders: tx,
            status: client.status(),
            told: String::new(),
        });
        while let Some(order) = orders.recv().await {
            match order {
                UserRequest::Command(command) => client.command(command).await,
                UserRequest::Write(write) => {
                    let (written, person) = (store.write(write.clone()), self.clone());
                    tokio::spawn(async move {
                        if let Ok(outcome) = written.await {
                            let now = turmoil::sim_elapsed().expect("in a simulation");
                            person.record().on_answered(&write, &outcome, now);
                        }
                    });
                }
            }
        }
        Ok(())
    }

    fn connects(self: Arc<Self>) -> Connect {
        Arc::new(move |address| {
            let person = self.clone();
            Box::pin(async move {
                let inner = TcpStream::connect((address.host.as_str(), address.port)).await?;
                let tear = Arc::new(Tear::default());
                person
                    .links
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Arc::downgrade(&tear));
                Ok(Box::new(Torn { inner, tear }) as Box<dyn Stream>)
            })
        })
    }
}

/// The server, from its start to its end.
pub(super) async fn serve(folder: PathBuf, settings: Settings) -> turmoil::Result {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let listener = TcpListener::bind(listen).await?;
    let _server = Server::start_on(
        Listening(listener),
        ServerOptions {
            listen,
            folder,
            settings,
        },
    )
    .await?;
    std::future::pending().await
}

struct Listening(TcpListener);

impl Listener for Listening {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Says to one end of a stream that the connection is gone.
#[derive(Debug, Default)]
struct Tear {
    is_torn: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Tear {
    fn tear(&self) {
        self.is_torn.store(true, Ordering::Relaxed);
        self.reader
            .lock()
            .expect("not poisoned")
            .take()
            .into_iter()
            .for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct Torn {
    inner: TcpStream,
    tear: Arc<Tear>,
}

impl Torn {
    fn is_whole(&self) -> io::Result<()> {
        if self.tear.is_torn.load(Ordering::Relaxed) {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_whole()?;
        *self.tear.reader.lock().expect("not poisoned") = Some(cx.waker().clone());
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Torn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_whole()?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
