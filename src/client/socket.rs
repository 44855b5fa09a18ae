//! One connection: dials, shakes hands, then carries frames until it ends. It decides nothing.
//!
//! Reading and writing are separate tasks, so the client never stops reading in order to write, and
//! a cancelled write never truncates a frame.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::cause::Cause;
use super::session;
use super::trace::{FrameDirection, Trace};
use crate::protocol::{
    Address, CloseCode, Dial, PATH, SERVER_HEADER, SUBPROTOCOL, ServerFrame, ServerId, decode,
    limits,
};

/// Maximum frames that wait for the writer; the session's window is far smaller.
const WRITER_FRAMES_MAX: usize = 2_048;
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Maximum time for an orderly close.
const GOODBYE: Duration = Duration::from_millis(200);

/// The byte stream of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Stream for T {}

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens connections.
pub type Connect = Arc<dyn Fn(Address) -> Connecting + Send + Sync>;

/// Returns a connector over this machine's network.
#[must_use]
pub fn tcp() -> Connect {
    Arc::new(|address| {
        Box::pin(async move {
            let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
            let _ = tcp.set_nodelay(true); // an optimization, so errors do not matter
            Ok(Box::new(tcp) as Box<dyn Stream>)
        })
    })
}

/// One connection, opening or open. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) dial: Dial,
    frames: Option<mpsc::Sender<String>>,
    task: JoinHandle<()>,
}

impl Socket {
    /// Starts to dial. Every event becomes an input of `dial`.
    pub(super) fn dial(
        dial: Dial,
        address: Result<Address, Cause>,
        connect: Connect,
        inputs: mpsc::Sender<session::Input>,
        trace: Arc<Trace>,
    ) -> Self {
        let (frames, outbox) = mpsc::channel(WRITER_FRAMES_MAX);
        let task = tokio::spawn(async move {
            let cause = match address {
                Ok(address) => run(dial, &address, &connect, &inputs, &trace, outbox).await,
                Err(cause) => cause,
            };
            let _ = inputs.send(session::Input::Ended(dial, cause)).await; // the actor may have ended
        });
        Self {
            dial,
            frames: Some(frames),
            task,
        }
    }

    /// Passes a frame to the writer. A writer with a full queue has lost its connection.
    pub(super) fn send(&self, text: String) {
        if self
            .frames
            .as_ref()
            .is_none_or(|frames| frames.try_send(text).is_err())
        {
            self.task.abort();
        }
    }

    /// Closes the connection with a close frame, if it still can be written.
    pub(super) async fn close(mut self) {
        self.frames = None;
        let _ = tokio::time::timeout(GOODBYE, &mut self.task).await; // it is dropped in any case
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    dial: Dial,
    address: &Address,
    connect: &Connect,
    inputs: &mpsc::Sender<session::Input>,
    trace: &Arc<Trace>,
    frames: mpsc::Receiver<String>,
) -> Cause {
    let (stream, server) = match shake_hands(dial, address, connect, inputs, trace).await {
        Ok(connected) => connected,
        Err(cause) => return cause,
    };
    if inputs
        .send(session::Input::Opened { dial, server })
        .await
        .is_err()
    {
        return Cause::Finished;
    }
    let (sink, stream) = stream.split();
    let mut writer = tokio::spawn(write(dial, sink, frames, trace.clone()));
    let cause = tokio::select! {
        biased; // a frame that was received is more precise than a failed write
        cause = read(dial, stream, inputs, trace) => cause,
        result = &mut writer => match result {
            Ok(Some(cause)) => cause,
            Ok(None) => return Cause::Finished,
            Err(_) => Cause::Dropped { what: "the writer stopped".to_owned() },
        },
    };
    writer.abort();
    cause
}

async fn shake_hands(
    dial: Dial,
    address: &Address,
    connect: &Connect,
    inputs: &mpsc::Sender<session::Input>,
    trace: &Arc<Trace>,
) -> Result<(WebSocketStream<Counted>, ServerId), Cause> {
    let stream = connect(address.clone())
        .await
        .map_err(|error| cause_of_io(&error))?;
    let mut request = format!("{address}{PATH}")
        .into_client_request()
        .map_err(cause_of)?;
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(limits::FRAME_BYTES_MAX))
        .max_frame_size(Some(limits::FRAME_BYTES_MAX))
        // a server that reads nothing gets an answer to its latest ping only
        .max_write_buffer_size(4 * limits::FRAME_BYTES_MAX);
    let counted = Counted {
        inner: stream,
        dial,
        inputs: inputs.clone(),
        trace: trace.clone(),
    };
    let (stream, response) =
        tokio_tungstenite::client_async_with_config(request, counted, Some(config))
            .await
            .map_err(cause_of)?;
    let server = server_of(&response).ok_or_else(|| not_landfall("it names no server id"))?;
    Ok((stream, server))
}

fn server_of(response: &Response) -> Option<ServerId> {
    let header = response
        .headers()
        .get(HeaderName::from_static(SERVER_HEADER))?;
    header.to_str().ok()?.parse().ok()
}

/// Writes until the queue is closed (then sends a close frame) or the connection breaks.
async fn write(
    dial: Dial,
    mut sink: SplitSink<WebSocketStream<Counted>, Message>,
    mut frames: mpsc::Receiver<String>,
    trace: Arc<Trace>,
) -> Option<Cause> {
    while let Some(text) = frames.recv().await {
        trace.frame(dial, FrameDirection::Up, &text);
        if let Err(error) = sink.send(Message::text(text)).await {
            return Some(cause_of(error));
        }
        trace.notify();
    }
    let _ = sink.send(Message::Close(None)).await; // the connection may be dead
    None
}

async fn read(
    dial: Dial,
    mut stream: SplitStream<WebSocketStream<Counted>>,
    inputs: &mpsc::Sender<session::Input>,
    trace: &Trace,
) -> Cause {
    loop {
        let text = match stream.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(close)))) => {
                let code = CloseCode::from_number(close.code.into());
                return Cause::Bye {
                    code,
                    reason: close.reason.to_string(),
                    retry_after: None,
                };
            }
            Some(Ok(Message::Close(None))) | None => {
                return Cause::Dropped {
                    what: "closed by the other side".to_owned(),
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => return damaged("a binary frame"),
            Some(Err(error)) => return as_dropped(cause_of(error)),
        };
        trace.frame(dial, FrameDirection::Down, &text);
        let frame: ServerFrame = match decode(&text) {
            Ok(frame) => frame,
            Err(error) => return damaged(&error.to_string()),
        };
        if inputs
            .send(session::Input::Received(dial, Box::new(frame)))
            .await
            .is_err()
        {
            return Cause::Finished;
        }
    }
}

fn not_landfall(what: &str) -> Cause {
    Cause::NotLandfall {
        what: what.to_owned(),
    }
}

fn damaged(what: &str) -> Cause {
    Cause::Damaged {
        what: what.to_owned(),
    }
}

/// After the upgrade of a Landfall server, every later protocol error is damage.
fn as_dropped(cause: Cause) -> Cause {
    match cause {
        Cause::NotLandfall { what } => Cause::Damaged { what },
        cause => cause,
    }
}

fn cause_of(error: Error) -> Cause {
    match error {
        Error::Io(error) => cause_of_io(&error),
        Error::Http(response) => not_landfall(&format!(
            "it answers with HTTP {}",
            response.status().as_u16()
        )),
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => Cause::Dropped {
            what: "cut off".to_owned(),
        },
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
            not_landfall("it speaks another subprotocol")
        }
        Error::Protocol(ProtocolError::HttparseError(_)) => not_landfall("it does not speak HTTP"),
        Error::ConnectionClosed | Error::AlreadyClosed => Cause::Dropped {
            what: "closed".to_owned(),
        },
        other => not_landfall(&other.to_string()),
    }
}

fn cause_of_io(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Cause::Unreachable,
        io::ErrorKind::TimedOut => Cause::DialTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Cause::Dropped {
            what: "reset".to_owned(),
        },
        _ if error.to_string().contains("failed to lookup address") => Cause::NoSuchHost,
        _ => Cause::Dropped {
            what: error.to_string(),
        },
    }
}

/// Reports every inbound byte, below the frames: a frame that takes a minute is a sign of life all
/// the while.
#[derive(Debug)]
struct Counted {
    inner: Box<dyn Stream>,
    dial: Dial,
    inputs: mpsc::Sender<session::Input>,
    trace: Arc<Trace>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.trace
                .bytes(FrameDirection::Down, buffer.filled().len() - before);
            // fails with a full queue, which wakes the actor too
            let _ = self.inputs.try_send(session::Input::Bytes(self.dial));
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            self.trace.bytes(FrameDirection::Up, *count);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
