//! Accepts connections, answers `/healthz`, and upgrades `/v1`.
//!
//! An accept loop of our own, since `axum::serve` sets no time limit: from the accept to the end of the upgrade a
//! connection has [`limits::UPGRADE_MS_MAX`], and then the same again for its hello.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::committer::{Committer, Job};
use super::connection::{Meter, Shared, serve};
use super::health::Health;
use super::hub::Hub;
use super::reader::Reader;
use super::session::Settings;
use super::storage::{Sqlite, Storage};
use crate::protocol::{Address, PATH, SERVER_HEADER, SUBPROTOCOL, hex, limits};
use crate::sqlite::DbError;
use crate::system;

/// Connections at the same time.
const CONNECTIONS_MAX: usize = 16_384;
/// Uses of the invite that a server makes at its first start.
const INVITE_USES: u64 = 1_000_000;
/// Characters of an invite at least.
const INVITE_CHARS_MIN: usize = 16;
/// How long a drain waits for the last goodbye.
const DRAIN: Duration = Duration::from_secs(5);
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// What a server needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where its data is.
    pub folder: PathBuf,
    /// What an operator may set.
    pub settings: Settings,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The data folder cannot be used.
    #[error("cannot use {}: {error}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The storage cannot be opened.
    #[error(transparent)]
    Storage(#[from] DbError),
}

/// A running server. Dropping it does not stop it: [`Server::drain`] does.
pub struct Server {
    address: SocketAddr,
    invite: String,
    shared: Shared,
    accepting: tokio::task::JoinHandle<()>,
    committer: system::Work,
}

impl Server {
    /// Opens the storage and listens.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let listen = options.listen;
        let at_listen = |error| ServerError::Listen { address: listen, error };
        // The data first: an address that is listened at is an address that answers.
        Self::open(options, async || {
            let listener = TcpListener::bind(listen).await.map_err(at_listen)?;
            let address = listener.local_addr().map_err(at_listen)?;
            let without_delay = |stream: &mut tokio::net::TcpStream| drop(stream.set_nodelay(true)); // a matter of speed
            Ok((listener.tap_io(without_delay), address))
        })
        .await
    }

    /// Opens the storage and takes in what comes to a listener of another network, one that a simulation made up.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start_on(listener: impl Listener, options: Options) -> Result<Self, ServerError> {
        let address = options.listen;
        Self::open(options, async || Ok((listener, address))).await
    }

    async fn open<L: Listener>(
        options: Options,
        listen: impl AsyncFnOnce() -> Result<(L, SocketAddr), ServerError>,
    ) -> Result<Self, ServerError> {
        let Options { folder, settings, .. } = options;
        let at_folder = |error| ServerError::Folder { folder: folder.clone(), error };
        std::fs::create_dir_all(&folder).map_err(at_folder)?;
        let mut storage = Sqlite::open(&folder)?;
        let invite = invite_of(&folder).map_err(at_folder)?;
        storage.ensure_invite(&invite, INVITE_USES)?;
        let (listener, address) = listen().await?;
        let hub = Arc::new(Hub::new(storage.server()));
        let (health, another) = (Health::default(), storage.another()?);
        let (committer, thread) =
            Committer::start(Box::new(storage), hub.clone(), health.clone()).map_err(at_folder)?;
        let writer = committer.clone();
        let reader = Reader::start(another, health.clone(), move || writer.post(Job::Marks)).map_err(at_folder)?;
        let shared = Shared { hub, committer, reader, settings, health };
        let accepting = tokio::spawn(accept(listener, router(shared.clone())));
        Ok(Self { address, invite, shared, accepting, committer: thread })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        Address { host: self.address.ip().to_string(), port: self.address.port() }
    }

    /// The code of its standing invite.
    #[must_use]
    pub fn invite(&self) -> &str {
        &self.invite
    }

    /// Waits until the server cannot keep its promises any more, and says why: then it is to be drained.
    pub async fn over(&self) -> DbError {
        self.shared.health.over().await
    }

    /// Stops accepting, says goodbye to everybody with a hint, and returns once everything is on disk.
    pub async fn drain(self) {
        self.accepting.abort();
        let gone = tokio::time::timeout(DRAIN, self.shared.hub.drain()).await;
        if gone.is_err() {
            tracing::warn!(links = self.shared.hub.link_count(), "some links did not end in time");
        }
        self.shared.committer.post(Job::Stop);
        self.committer.done().await;
    }
}

/// The standing invite is kept beside the data, readable by its owner only. It appears whole or not at all.
fn invite_of(folder: &std::path::Path) -> io::Result<String> {
    let path = folder.join("invite");
    let kept = || std::fs::read_to_string(&path).map(|code| code.trim().to_owned());
    match kept() {
        Ok(code) if is_code(&code) => return Ok(code),
        Ok(_) => {
            let what = "the file invite holds no invite: delete it, and a new one is made at the next start";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let code = hex(&system::random::<16>());
    let fresh = folder.join(format!("invite.{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    io::Write::write_all(&mut file, code.as_bytes())?;
    file.sync_all()?;
    match std::fs::hard_link(&fresh, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => std::fs::rename(&fresh, &path)?, // no such links here
        Ok(()) | Err(_) => std::fs::remove_file(&fresh)?, // another process may have been quicker
    }
    kept()
}

/// Whether an invite can be one: anybody who guesses it is let in.
fn is_code(code: &str) -> bool {
    (INVITE_CHARS_MIN..=256).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn router(shared: Shared) -> Router {
    Router::new().route(PATH, get(upgrade)).route("/healthz", get(healthz)).with_state(shared)
}

/// `ok` when the storage can be read.
async fn healthz(State(shared): State<Shared>) -> Response {
    let read = match shared.health.refuses() {
        Some(error) => Err(error),
        None => shared.reader.read(|storage| storage.list_rooms("", 1)).await,
    };
    match read {
        Ok(_) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn upgrade(
    upgrade: WebSocketUpgrade,
    Extension(meter): Extension<Arc<Meter>>,
    State(shared): State<Shared>,
) -> Response {
    let server = shared.hub.server.to_string();
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, format!("this server speaks the subprotocol {SUBPROTOCOL}\n"))
            .into_response();
    }
    let mut response = upgrade
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(4 * limits::FRAME_BYTES_MAX)
        .write_buffer_size(0)
        .on_upgrade(move |socket| serve(socket, meter, shared));
    if let Ok(server) = HeaderValue::from_str(&server) {
        response.headers_mut().insert(HeaderName::from_static(SERVER_HEADER), server);
    }
    response
}

async fn accept(mut listener: impl Listener, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, _) = listener.accept().await; // when there are no more file handles it waits for some by itself
        let meter = Arc::new(Meter::default());
        let io = TokioIo::new(Metered { inner: stream, meter: meter.clone(), _permit: permit });
        let service = TowerToHyperService::new(router.clone().layer(Extension(meter)));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits::UPGRADE_MS_MAX))
            .serve_connection(io, service)
            .with_upgrades();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_millis(limits::UPGRADE_MS_MAX), connection).await;
        });
    }
}

/// Counts inbound bytes, and holds one of the server's places for as long as the stream lives.
struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.meter.0.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
