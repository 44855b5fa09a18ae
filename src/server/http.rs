//! Accepts connections, answers `/healthz`, and upgrades `/v1`.
//!
//! An accept loop of our own, since `axum::serve` sets no time limit: from the accept to the end of
//! the upgrade a connection has [`limits::UPGRADE_MS_MAX`], and then the same again for its hello.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::committer::{CommitJob, Committer};
use super::connection::{ConnectionShared, ReceivedBytes, serve};
use super::guesses::Guesses;
use super::health::Health;
use super::hub::Hub;
use super::prober::Prober;
use super::reader::StorageReader;
use super::session::Settings;
use super::storage::{Sqlite, Storage};
use crate::peers::Peers;
use crate::protocol::{Address, PATH, SERVER_HEADER, SUBPROTOCOL, hex, limits};
use crate::sqlite::DbError;
use crate::system;

/// Maximum open connections.
const CONNECTIONS_MAX: usize = 16_384;
/// Uses of the invite that a server makes at its first start.
const INVITE_USES: u64 = 1_000_000;
/// Minimum length of an invite, characters.
const INVITE_CHARS_MIN: usize = 16;
/// Maximum time that a drain waits for the last close.
const DRAIN: Duration = Duration::from_secs(5);
/// The response to every request while the clock is outside of the calendar.
const WRONG_CLOCK: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 55\r\n\r\n\
    the clock of the server is wrong: its operator sets it\n";
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// The parameters of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The data folder.
    pub folder: PathBuf,
    /// The operator's settings.
    pub settings: Settings,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        /// The error of the system.
        error: io::Error,
    },
    /// The data folder cannot be used.
    #[error("cannot use {}: {error}", folder.display())]
    Folder {
        folder: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The storage cannot be opened.
    #[error(transparent)]
    Storage(#[from] DbError),
}

/// A running server. [`Server::drain`] stops it; dropping it does not.
pub struct Server {
    address: SocketAddr,
    invite: String,
    is_new: bool,
    shared: ConnectionShared,
    accepting: tokio::task::JoinHandle<()>,
    /// The task that waits for operator commands, on a real network.
    operator: Option<tokio::task::JoinHandle<()>>,
    committer: system::Work,
}

impl Server {
    /// Opens the storage and listens.
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let (listen, folder) = (options.listen, options.folder.clone());
        let at_listen = |error| ServerError::Listen {
            address: listen,
            error,
        };
        // Opens the data first: a listening address is then able to answer.
        let server = Self::open(options, async || {
            let listener = TcpListener::bind(listen).await.map_err(at_listen)?;
            let address = listener.local_addr().map_err(at_listen)?;
            // an optimization, so errors do not matter
            let without_delay = |stream: &mut tokio::net::TcpStream| drop(stream.set_nodelay(true));
            Ok((listener.tap_io(without_delay), address))
        });
        let mut server = server.await?;
        server.operator = Some(tokio::spawn(listen_to_operator(
            folder,
            server.shared.committer.clone(),
        )));
        Ok(server)
    }

    /// Opens the storage and accepts connections of a given listener, for example of a simulated
    /// network.
    pub async fn start_on(
        listener: impl Listener<Addr = SocketAddr>,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let address = options.listen;
        Self::open(options, async || Ok((listener, address))).await
    }

    async fn open<L: Listener<Addr = SocketAddr>>(
        options: ServerOptions,
        listen: impl AsyncFnOnce() -> Result<(L, SocketAddr), ServerError>,
    ) -> Result<Self, ServerError> {
        let ServerOptions {
            folder, settings, ..
        } = options;
        let at_folder = |error| ServerError::Folder {
            folder: folder.clone(),
            error,
        };
        std::fs::create_dir_all(&folder).map_err(at_folder)?;
        let mut storage = Sqlite::open(&folder)?;
        let prober = Prober::new(storage.newest_at()?, system::unix_ms());
        if let Some(what) = prober.clock_behind() {
            tracing::warn!("{what}");
        }
        let (listener, address) = listen().await?;
        // After the listener: a start that cannot listen prints no invite, and must not make one.
        let known = storage.invite()?;
        let is_new = known.is_none();
        let invite = match known {
            Some(code) => code,
            None => first_invite(&mut storage, &folder).map_err(|error| error.at(&folder))?,
        };
        let hub = Arc::new(Hub::new(storage.server()));
        let (health, another) = (Health::default(), storage.another()?);
        let (committer, thread) =
            Committer::start(Box::new(storage), hub.clone(), health.clone()).map_err(at_folder)?;
        let writer = committer.clone();
        let reader = StorageReader::start(another, health.clone(), move || writer.check_storage())
            .map_err(at_folder)?;
        let shared = ConnectionShared {
            hub,
            committer,
            reader,
            settings,
            health,
            guesses: Guesses::default(),
            prober,
        };
        let accepting = tokio::spawn(accept(listener, router(shared.clone())));
        Ok(Self {
            address,
            invite,
            is_new,
            shared,
            accepting,
            committer: thread,
            operator: None,
        })
    }

    /// Address that the server listens on.
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            host: self.address.ip().to_string(),
            port: self.address.port(),
        }
    }

    /// Whether the server has just made its invite.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// The invite at the start.
    #[must_use]
    pub fn invite(&self) -> &str {
        &self.invite
    }

    /// Waits until the server cannot keep its promises any more, and returns the cause: then it is to be
    /// drained.
    pub async fn over(&self) -> DbError {
        self.shared.health.over().await
    }

    /// Stops accepting, sends a `bye` with a delay to every client, and returns once everything is on
    /// disk.
    pub async fn drain(self) {
        self.accepting.abort();
        self.operator
            .iter()
            .for_each(tokio::task::JoinHandle::abort);
        let gone = tokio::time::timeout(DRAIN, self.shared.hub.drain()).await;
        if gone.is_err() {
            tracing::warn!(
                links = self.shared.hub.connection_count(),
                "some links did not end in time"
            );
        }
        self.shared.committer.post(CommitJob::Stop);
        self.committer.done().await;
    }
}

/// Makes the first invite of a server. An invite that an older version stored in a file stays
/// valid.
fn first_invite(storage: &mut Sqlite, folder: &Path) -> Result<String, DbError> {
    let file = folder.join("invite");
    let code = match std::fs::read_to_string(&file) {
        Ok(code) if is_code(code.trim()) => code.trim().to_owned(),
        Ok(_) | Err(_) => new_code(),
    };
    storage.renew_invite(&code, INVITE_USES)?;
    let _ = std::fs::remove_file(file); // fails if there is none, which is fine
    Ok(code)
}

/// Makes a new invite the only one, for the server's data in a folder, which may be in use.
pub fn renew_invite(folder: &Path) -> Result<String, DbError> {
    let code = new_code();
    Sqlite::open(folder)?.renew_invite(&code, INVITE_USES)?;
    Ok(code)
}

fn new_code() -> String {
    hex(&system::random::<16>())
}

/// Checks the storage whenever a command reports that it has changed it.
async fn listen_to_operator(folder: PathBuf, committer: Committer) {
    match Peers::listen(&folder).await {
        Ok(peers) => loop {
            peers.next().await;
            committer.check_storage();
        },
        Err(error) => {
            tracing::warn!(%error, "commands that change the data are noticed a few seconds later")
        }
    }
}

/// Whether a text is a valid invite, which must not be guessable.
fn is_code(code: &str) -> bool {
    (INVITE_CHARS_MIN..=256).contains(&code.len())
        && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn router(shared: ConnectionShared) -> Router {
    let routes = Router::new()
        .route(PATH, get(upgrade))
        .route("/healthz", get(healthz));
    routes
        .layer(axum::middleware::map_response(one_request))
        .with_state(shared)
}

/// A connection that does not become a WebSocket serves one request. Kept alive, it would be closed
/// at some age, possibly inside another request.
async fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns `ok` when the storage can be read and written.
async fn healthz(State(shared): State<ConnectionShared>) -> Response {
    match shared.prober.check(&shared.reader, &shared.committer).await {
        Ok(()) => match shared.prober.clock_behind() {
            None => "ok\n".into_response(),
            Some(what) => format!("ok, but {what}\n").into_response(),
        },
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn upgrade(
    upgrade: WebSocketUpgrade,
    Extension(meter): Extension<Arc<ReceivedBytes>>,
    Extension(from): Extension<IpAddr>,
    State(shared): State<ConnectionShared>,
) -> Response {
    let server = shared.hub.server.to_string();
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return (
            StatusCode::BAD_REQUEST,
            format!("this server speaks the subprotocol {SUBPROTOCOL}\n"),
        )
            .into_response();
    }
    let mut response = upgrade
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(4 * limits::FRAME_BYTES_MAX)
        .write_buffer_size(0)
        .on_upgrade(move |socket| serve(socket, from, meter, shared));
    if let Ok(server) = HeaderValue::from_str(&server) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(SERVER_HEADER), server);
    }
    response
}

async fn accept(mut listener: impl Listener<Addr = SocketAddr>, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        // without free file handles, the listener waits for one
        let (mut stream, from) = listener.accept().await;
        if !system::is_clock_on_calendar() {
            tracing::error!(
                "this machine's clock is before 1970 or after 9999: no client is admitted until it is set"
            );
            let refuse = async move {
                // an unread request is a reset for its sender
                let _ = stream.read(&mut [0; 1_024]).await;
                let _ = stream.write_all(WRONG_CLOCK).await; // the client may have closed
                drop(permit);
            };
            tokio::spawn(tokio::time::timeout(
                Duration::from_millis(limits::UPGRADE_MS_MAX),
                refuse,
            ));
            continue;
        }
        let meter = Arc::new(ReceivedBytes::default());
        let io = TokioIo::new(Metered {
            inner: stream,
            meter: meter.clone(),
            _permit: permit,
        });
        let service = TowerToHyperService::new(
            router
                .clone()
                .layer(Extension(meter))
                .layer(Extension(from.ip())),
        );
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits::UPGRADE_MS_MAX))
            .serve_connection(io, service)
            .with_upgrades();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_millis(limits::UPGRADE_MS_MAX), connection)
                .await;
        });
    }
}

/// Counts inbound bytes, and occupies one of the server's places for as long as the stream lives.
struct Metered<S> {
    inner: S,
    meter: Arc<ReceivedBytes>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.meter
            .0
            .fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
