//! One connection: carries frames between a socket, the session core, the hub and the storage's
//! threads.

mod admission;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::SplitSink;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error as TransportError;

use self::admission::Applicant;
use super::answers::{self, Answered};
use super::committer::{Caller, CommitJob, Committer, PendingRequest};
use super::guesses::Guesses;
use super::health::Health;
use super::hub::{Fence, Hub, HubHandle, bye};
use super::prober::Prober;
use super::reader::StorageReader;
use super::session;
use super::session::{Confirmed, Lane, ServerSession, Settings};
use super::writer::PendingAppend;
use crate::protocol::{
    AccountId, Bye, ClientFrame, CloseCode, FrameError, Op, ServerFrame, Signal, decode, encode,
};
use crate::system;

/// Maximum time for an orderly close.
const GOODBYE: Duration = Duration::from_secs(2);

/// The state shared by all connections of a server.
#[derive(Clone)]
pub(super) struct ConnectionShared {
    pub(super) hub: Arc<Hub>,
    pub(super) committer: Committer,
    pub(super) reader: StorageReader,
    pub(super) settings: Settings,
    pub(super) health: Health,
    pub(super) guesses: Guesses,
    pub(super) prober: Prober,
}

/// Counts the received bytes, below the frames.
#[derive(Debug, Default)]
pub(super) struct ReceivedBytes(pub(super) AtomicU64);

/// The queues of the writer. Answers go before the log.
struct Lanes {
    answers: mpsc::UnboundedSender<Outgoing>,
    fresh: mpsc::UnboundedSender<Outgoing>,
    log: mpsc::UnboundedSender<Outgoing>,
}

enum Outgoing {
    Text(Arc<str>),
    Probe(Lane, u64),
    Close(Bye),
}

struct Connection {
    shared: ConnectionShared,
    session: ServerSession,
    member: HubHandle,
    lanes: Lanes,
    done: mpsc::UnboundedSender<session::Input>,
    start: Instant,
    closed: bool,
    /// Whether the account's rooms are being read again.
    refreshing: bool,
    /// The peer's address.
    from: IpAddr,
    /// Dropped with the connection, which makes pending jobs of it obsolete.
    alive: Arc<()>,
}

/// Serves one upgraded socket until it ends.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock that the core is given"
)]
pub(super) async fn serve(
    socket: WebSocket,
    from: IpAddr,
    meter: Arc<ReceivedBytes>,
    shared: ConnectionShared,
) {
    let member = shared.hub.connect();
    let id = member.id;
    let (sink, mut stream) = socket.split();
    // bounded by the session, which stops reading
    let (answers, answers_rx) = mpsc::unbounded_channel();
    let lanes_closed = answers.clone(); // closed once the writer has ended
    // bounded by the session, which waits for confirmations
    let (fresh, fresh_rx) = mpsc::unbounded_channel();
    // bounded by the session, which counts the frames in the lane
    let (log, log_rx) = mpsc::unbounded_channel();
    let (done, mut done_rx) = mpsc::unbounded_channel(); // bounded by the outstanding answers
    let mut writer = tokio::spawn(write(sink, answers_rx, fresh_rx, log_rx, done.clone()));
    let session = ServerSession::new(shared.settings.clone(), Duration::ZERO);
    let mut connection = Connection {
        shared: shared.clone(),
        session,
        member,
        lanes: Lanes {
            answers,
            fresh,
            log,
        },
        done,
        start: Instant::now(),
        closed: false,
        refreshing: false,
        from,
        alive: Arc::default(),
    };
    let mut metered = 0;
    let mut is_clean = false;
    while !connection.closed {
        let deadline = connection
            .session
            .deadline()
            .map(|at| connection.start + at);
        let fresh_at = connection
            .session
            .signals_from()
            .map(|at| connection.start + at);
        let signals = connection.member.signals.clone();
        // In this order: a flooding client starves only itself. Each step reads the clock.
        let input = tokio::select! {
            biased;
            Ok(()) = connection.member.bye.changed() => match connection.member.bye.borrow_and_update().clone() {
                Some(bye) => session::Input::Bye(bye),
                None => continue,
            },
            () = lanes_closed.closed() => break,
            Some(input) = done_rx.recv() => input,
            message = stream.next(), if connection.session.may_read() => match message {
                Some(Ok(message)) => match of_message(message) {
                    Some(input) => input,
                    None => continue,
                },
                Some(Err(error)) => of_error(error),
                None => break,
            },
            Some(event) = connection.member.events.recv() => event,
            () = system::sleep_until(fresh_at).then(|()| signals.some()) => session::Input::Signals(signals.take(ServerSession::SIGNALS_BYTES)),
            () = system::sleep_until(deadline) => {
                let bytes = meter.0.load(Ordering::Relaxed);
                if std::mem::replace(&mut metered, bytes) == bytes { session::Input::Tick } else { session::Input::Bytes }
            }
        };
        is_clean = matches!(&input, session::Input::Closed);
        connection.step(input);
        if connection.member.lagged.swap(false, Ordering::AcqRel) {
            for input in shared.hub.catch_up(id) {
                connection.step(input);
            }
            connection.refresh();
        }
    }
    drop((connection, lanes_closed)); // the writer ends once its queues are closed and empty
    if !writer.is_finished() && tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        writer.abort();
    }
    if let Some(session) = shared.hub.disconnect(id, is_clean) {
        tokio::spawn(async move { shared.hub.expire(session).await });
    }
}

fn of_message(message: Message) -> Option<session::Input> {
    match message {
        Message::Text(text) => Some(match decode::<ClientFrame>(&text) {
            Ok(frame) => session::Input::Frame(Box::new(frame)),
            Err(error @ FrameError::TooBig { .. }) => {
                session::Input::BadFrame(CloseCode::TooBig, error.to_string())
            }
            Err(error) => session::Input::BadFrame(CloseCode::BadFrame, error.to_string()),
        }),
        Message::Binary(_) => Some(session::Input::BadFrame(
            CloseCode::BadFrame,
            "frames are text".to_owned(),
        )),
        Message::Close(_) => Some(session::Input::Closed),
        Message::Pong(probe) => Confirmed::from_bytes(&probe).map(session::Input::Confirmed),
        Message::Ping(_) => None,
    }
}

fn of_error(error: axum::Error) -> session::Input {
    let what = error.to_string();
    let is_too_big = error
        .into_inner()
        .downcast()
        .is_ok_and(|error| matches!(*error, TransportError::Capacity(_)));
    session::Input::BadFrame(
        if is_too_big {
            CloseCode::TooBig
        } else {
            CloseCode::BadFrame
        },
        what,
    )
}

/// The only writer of a connection. It is never cancelled inside a frame, and sends answers first.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut answers: mpsc::UnboundedReceiver<Outgoing>,
    mut fresh: mpsc::UnboundedReceiver<Outgoing>,
    mut log: mpsc::UnboundedReceiver<Outgoing>,
    done: mpsc::UnboundedSender<session::Input>,
) {
    let mut reached = Confirmed::default();
    loop {
        let (outgoing, sent) = tokio::select! {
            biased;
            Some(outgoing) = answers.recv() => (outgoing, Some(session::Input::Answered)),
            Some(outgoing) = fresh.recv() => (outgoing, None),
            Some(outgoing) = log.recv() => (outgoing, Some(session::Input::Drained(1))),
            else => return,
        };
        let is_probe = matches!(outgoing, Outgoing::Probe(..));
        let result = match outgoing {
            Outgoing::Text(text) => sink.send(Message::text(&*text)).await,
            Outgoing::Probe(lane, n) => {
                reached.on_probe(lane, n);
                sink.send(Message::Ping(reached.to_bytes().to_vec().into()))
                    .await
            }
            Outgoing::Close(bye) => {
                let text = encode(&ServerFrame::Bye(bye.clone())).unwrap_or_default();
                let _ = sink.send(Message::text(text)).await; // the close frame repeats it
                let frame = CloseFrame {
                    code: bye.code.number(),
                    reason: short(&bye.reason).into(),
                };
                let _ = sink.send(Message::Close(Some(frame))).await; // the connection may be closed
                return;
            }
        };
        if result.is_err() {
            return;
        }
        if let Some(sent) = sent.filter(|_| !is_probe) {
            let _ = done.send(sent); // the connection may be ending
        }
    }
}

/// Shortens the reason of a close frame to 123 bytes (RFC 6455, section 5.5).
fn short(reason: &str) -> String {
    let mut end = reason.len().min(120);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

impl Connection {
    fn step(&mut self, input: session::Input) {
        self.refreshing &= !matches!(input, session::Input::Rooms(_));
        let effects = self.session.step(self.start.elapsed(), input);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: session::Effect) {
        match effect {
            session::Effect::Answer(frame) => match encode(&frame) {
                Ok(text) => self.lanes.answer(Outgoing::Text(text.into())),
                Err(error) => {
                    tracing::error!(%error, "an answer does not fit a frame");
                    self.step(session::Input::Answered);
                }
            },
            session::Effect::Log(text) => {
                // the writer may have ended
                let _ = self.lanes.log.send(Outgoing::Text(text));
            }
            session::Effect::Fresh(text) => {
                // the writer may have ended
                let _ = self.lanes.fresh.send(Outgoing::Text(text));
            }
            session::Effect::Probe(lane, n) => {
                let queue = if lane == Lane::Log {
                    &self.lanes.log
                } else {
                    &self.lanes.fresh
                };
                let _ = queue.send(Outgoing::Probe(lane, n)); // the writer may have ended
            }
            session::Effect::Admit(hello) => {
                let applicant = Applicant {
                    id: self.member.id,
                    address: self.from,
                    caller: Arc::downgrade(&self.alive),
                };
                let shared = self.shared.clone();
                self.spawn(async move {
                    let admission = admission::admit(*hello, applicant, &shared).await;
                    session::Input::Admitted(Box::new(admission))
                });
            }
            session::Effect::Append(append) => {
                let (done, judged) = (self.done.clone(), append.clone());
                let answer = move |verdict: Result<_, crate::sqlite::DbError>| {
                    let _ = done.send(session::Input::Judged(
                        judged,
                        verdict.map_err(|error| answers::in_public(&error).to_owned()),
                    ));
                };
                self.shared.committer.post(CommitJob::Append(PendingAppend {
                    append,
                    fence: self.member.fence.clone(),
                    answer: Box::new(answer),
                }));
            }
            session::Effect::Locate(open) => {
                if !open.compare {
                    // subscribed first, then read
                    self.shared.hub.listen(self.member.id, open.room);
                }
                let asked = open.clone();
                self.read(
                    move |storage| answers::locate(storage, &asked),
                    move |found| session::Input::Located(open, found),
                );
            }
            session::Effect::Unsubscribe(room) => self.shared.hub.unlisten(self.member.id, room),
            session::Effect::ReadPage(room, after, size) => {
                self.read(
                    move |storage| answers::page(storage, room, after, size),
                    move |page| session::Input::Page(room, after, page),
                );
            }
            session::Effect::Fetch(fetch, size) => {
                let asked = fetch.clone();
                self.read(
                    move |storage| answers::fetch(storage, &asked, size),
                    move |page| session::Input::Fetched(fetch, page),
                );
            }
            session::Effect::Mark(update) => self.shared.committer.mark(update),
            session::Effect::Request(request, account, op) => {
                let (fence, caller) = (self.member.fence.clone(), Arc::downgrade(&self.alive));
                self.spawn(reply(
                    request,
                    account,
                    op,
                    (fence, caller),
                    self.shared.clone(),
                ));
            }
            session::Effect::Signal(signal) => {
                self.shared.hub.publish_signal(&Arc::new(Signal {
                    at: Some(system::unix_ms()),
                    ..signal
                }));
            }
            session::Effect::Close(bye) => {
                tracing::info!(code = ?bye.code, reason = %bye.reason, "closing a link");
                self.closed = true;
                self.lanes.answer(Outgoing::Close(bye));
            }
        }
    }

    /// Runs a read on the reader's thread. A failing storage closes the connection, and the client
    /// reconnects with backoff.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn super::storage::Storage) -> Result<T, crate::sqlite::DbError>
        + Send
        + 'static,
        input: impl FnOnce(T) -> session::Input + Send + 'static,
    ) {
        let done = self.done.clone();
        self.shared.reader.post(read, move |result| {
            let _ = done.send(match result {
                Ok(found) => input(found),
                Err(error) => {
                    tracing::error!(%error, "the log could not be read");
                    session::Input::Bye(bye(
                        CloseCode::Overloaded,
                        "the server cannot read its log",
                    ))
                }
            });
        });
    }

    /// Reads the account's rooms again, after the hub dropped events.
    fn refresh(&mut self) {
        let Some((account, member_of)) = self.session.member().filter(|_| !self.refreshing) else {
            return;
        };
        let member_of = member_of.clone();
        self.refreshing = true;
        self.read(
            move |storage| answers::rooms(storage, account, &member_of),
            session::Input::Rooms,
        );
    }

    fn spawn(&self, work: impl Future<Output = session::Input> + Send + 'static) {
        let done = self.done.clone();
        tokio::spawn(async move {
            let _ = done.send(work.await); // the connection may have ended
        });
    }
}

impl Lanes {
    fn answer(&self, outgoing: Outgoing) {
        let _ = self.answers.send(outgoing); // the writer may have ended
    }
}

async fn reply(
    request: u64,
    account: AccountId,
    op: Op,
    from: (Fence, Caller),
    shared: ConnectionShared,
) -> session::Input {
    session::Input::Replied(answers::reply(
        request,
        answer(account, op, from, &shared).await,
    ))
}

async fn answer(
    account: AccountId,
    op: Op,
    (fence, caller): (Fence, Caller),
    shared: &ConnectionShared,
) -> Result<Answered, crate::sqlite::DbError> {
    if !op.changes() {
        let members_of = match &op {
            Op::Members { room, .. } => Some(*room),
            _ => None,
        };
        let answered = shared
            .reader
            .read(move |storage| answers::look_up(storage, &op))
            .await?;
        return Ok(match members_of {
            Some(room) => answers::with_presence(room, answered, &shared.hub),
            None => answered,
        });
    }
    let (tx, rx) = tokio::sync::oneshot::channel();
    let answer = Box::new(move |answered| {
        let _ = tx.send(answered); // the connection may have ended
    });
    shared.committer.post(CommitJob::Request(PendingRequest {
        account,
        op,
        fence,
        caller,
        answer,
    }));
    rx.await.unwrap_or(Err(crate::sqlite::DbError::Stopped))
}
