//! One connection through the proxy: two ways, each with a reader, a queue in which bytes grow old,
//! and a writer that does to them the faults demand.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::event::What;
use super::frames::Frames;
use super::plan::{AcceptMode, Direction, FaultState, Flow};
use super::shared::{ProxyShared, now};

/// Maximum pieces of [`PIECE`] bytes in a queue; with more, the sender is not read.
const QUEUE: usize = 64;
const PIECE: usize = 16 << 10;
/// Number of writes per second to a slow connection.
const PACES: u64 = 50;
/// The answer of a captive portal (RFC 8908, section 1), without its page.
const LOGIN_PAGE: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/login\r\n\
Content-Length: 0\r\nConnection: close\r\n\r\n";
/// Longest request that a portal reads, bytes.
const REQUEST_MAX: usize = 16 << 10;

/// One connection, from its accept to its end.
pub(super) struct ProxiedConnection<'a> {
    number: u64,
    shared: &'a ProxyShared,
    /// The faults in force when it was accepted.
    began: FaultState,
    up: ByteCounters,
    down: ByteCounters,
}

/// Counters of the bytes of one direction.
#[derive(Default)]
struct ByteCounters {
    read: AtomicU64,
    passed: AtomicU64,
    /// Bytes dropped by a fault that lasts: they are counted at once.
    dropped: AtomicU64,
    is_dead: AtomicBool,
}

impl ByteCounters {
    /// Bytes that were read and never passed, at the end of the connection.
    fn lost(&self) -> u64 {
        let [read, passed] = [&self.read, &self.passed].map(|n| n.load(Ordering::Relaxed));
        read.saturating_sub(passed)
    }
}

enum Chunk {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// Why a connection is reset.
enum Broken {
    /// By a fault, or because its sender was reset.
    Requested,
    /// Its receiver has closed.
    Gone,
}

impl<'a> ProxiedConnection<'a> {
    pub(super) fn new(number: u64, shared: &'a ProxyShared, began: FaultState) -> Self {
        Self {
            number,
            shared,
            began,
            up: ByteCounters::default(),
            down: ByteCounters::default(),
        }
    }

    /// Forwards the client's connection until it ends.
    pub(super) async fn run(self, mut client: TcpStream) {
        match self.began.door {
            AcceptMode::Refusing => self.ended(true, &[client]),
            AcceptMode::Mute => {
                self.shared.emit(What::Muted {
                    connection: self.number,
                });
                let mut end = self.shared.watch();
                let is_reset = tokio::select! {
                    is_reset = end_requested(&mut end, &self.began) => is_reset,
                    () = deaf(&mut client) => false,
                };
                self.ended(is_reset, &[client]);
            }
            AcceptMode::Portal => {
                self.shared.emit(What::Redirected {
                    connection: self.number,
                });
                login_page(&mut client).await;
                self.ended(false, &[client]);
            }
            AcceptMode::Open => self.pass(client).await,
        }
    }

    async fn pass(self, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect(&self.shared.upstream).await else {
            self.shared.emit(What::Unreachable {
                connection: self.number,
            });
            return self.ended(true, &[client]);
        };
        // a small delay without it, at worst
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        self.shared.emit(What::Opened {
            connection: self.number,
        });
        let mut end = self.shared.watch();
        let is_reset = {
            let ((client_in, client_out), (server_in, server_out)) =
                (client.split(), server.split());
            tokio::select! {
                biased;
                is_reset = end_requested(&mut end, &self.began) => is_reset,
                done = async { tokio::try_join!(
                    self.carry(Direction::Up, client_in, server_out),
                    self.carry(Direction::Down, server_in, client_out),
                ) } => done.is_err(),
            }
        };
        if !is_reset {
            // a closed end needs no shutdown
            let _ = tokio::join!(client.shutdown(), server.shutdown());
        }
        self.ended(is_reset, &[client, server]);
    }

    fn ended(&self, reset: bool, streams: &[TcpStream]) {
        if reset {
            for stream in streams {
                let _ = stream.set_zero_linger(); // otherwise the stream would end in order
            }
        }
        let lanes = [&self.up, &self.down];
        let [up, down] = lanes.map(|lane| lane.passed.load(Ordering::Relaxed));
        let lost = lanes.map(ByteCounters::lost).iter().sum();
        let dropped: u64 = lanes
            .map(|lane| lane.dropped.load(Ordering::Relaxed))
            .iter()
            .sum();
        self.shared.count(|counts| counts.lost += lost - dropped);
        self.shared.emit(What::Ended {
            connection: self.number,
            reset,
            up,
            down,
            lost,
        });
    }

    fn lane(&self, way: Direction) -> &ByteCounters {
        match way {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    async fn carry(
        &self,
        way: Direction,
        from: ReadHalf<'_>,
        to: WriteHalf<'_>,
    ) -> Result<(), Broken> {
        let (tx, rx) = mpsc::channel(QUEUE);
        tokio::try_join!(self.write(way, to, rx), self.read(way, from, tx)).map(drop)
    }

    /// Delays each chunk by the configured latency, preserving order.
    async fn read(
        &self,
        way: Direction,
        mut from: ReadHalf<'_>,
        queue: mpsc::Sender<(Instant, Chunk)>,
    ) -> Result<(), Broken> {
        let mut buffer = vec![0; PIECE];
        let mut newest = now();
        loop {
            let item = match from.read(&mut buffer).await {
                Ok(0) => Chunk::Fin,
                Ok(read) => {
                    let lane = self.lane(way);
                    lane.read.fetch_add(read as u64, Ordering::Relaxed);
                    Chunk::Bytes(buffer[..read].to_vec())
                }
                Err(_) => Chunk::Reset,
            };
            newest = newest.max(now() + self.shared.latency());
            let is_last = !matches!(item, Chunk::Bytes(_));
            if queue.send((newest, item)).await.is_err() || is_last {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        way: Direction,
        mut to: WriteHalf<'_>,
        mut queue: mpsc::Receiver<(Instant, Chunk)>,
    ) -> Result<(), Broken> {
        let mut state = self.shared.watch();
        let mut frames = Frames::default();
        while let Some((due, item)) = queue.recv().await {
            sleep_until(due).await;
            if state.borrow().flow == Flow::Stall
                && let Chunk::Bytes(bytes) = &item
            {
                self.shared.emit(What::Held {
                    connection: self.number,
                    way,
                    bytes: bytes.len() as u64,
                });
            }
            let passes = state.wait_for(|state| state.flow != Flow::Stall).await;
            let (flow, late_fin, is_ending) = passes
                .map(|state| (state.flow, state.late_fin, state.ends_since(&self.began)))
                .map_err(|_| Broken::Requested)?;
            if is_ending {
                // The stall ended together with the connection: what it kept back is lost.
                std::future::pending::<()>().await;
            }
            if self.loses(way, flow, &item) {
                continue;
            }
            let written = match item {
                Chunk::Reset => Err(Broken::Requested),
                Chunk::Bytes(bytes) if way == Direction::Down => {
                    self.frames(&mut to, frames.cut(&bytes)).await
                }
                Chunk::Bytes(bytes) => self.bytes(way, &mut to, bytes).await,
                Chunk::Fin => {
                    self.bytes(way, &mut to, frames.rest()).await?;
                    sleep(late_fin).await;
                    to.shutdown().await.map_err(|_| Broken::Gone)
                }
            };
            match written {
                // That the receiver is gone would be seen on the other way, which may be dead.
                Err(Broken::Gone) if self.lane(way.back()).is_dead.load(Ordering::Relaxed) => {}
                Err(broken) => return Err(broken),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Whether to drop the item. After the first drop, a direction stays dead.
    fn loses(&self, way: Direction, flow: Flow, item: &Chunk) -> bool {
        let lane = self.lane(way);
        let is_first = flow.loses(way) && !lane.is_dead.swap(true, Ordering::Relaxed);
        if is_first {
            self.shared.emit(What::Dead {
                connection: self.number,
                way,
            });
        }
        let loses = lane.is_dead.load(Ordering::Relaxed);
        if let Chunk::Bytes(bytes) = item
            && loses
        {
            lane.dropped
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.shared
                .count(|counts| counts.lost += bytes.len() as u64);
        }
        loses
    }

    async fn frames(&self, to: &mut WriteHalf<'_>, cut: Vec<Vec<u8>>) -> Result<(), Broken> {
        for frame in cut {
            match self.shared.strike(|armed| armed.swallow(&frame)) {
                Some(kind) => self.shared.emit(What::Swallowed {
                    connection: self.number,
                    kind,
                }),
                None => self.bytes(Direction::Down, to, frame).await?,
            }
        }
        Ok(())
    }

    async fn bytes(
        &self,
        way: Direction,
        to: &mut WriteHalf<'_>,
        mut bytes: Vec<u8>,
    ) -> Result<(), Broken> {
        if self.shared.strike(|armed| armed.corrupt(way, &mut bytes)) {
            self.shared.emit(What::Corrupted {
                connection: self.number,
                way,
            });
        }
        let last = self
            .shared
            .strike(|armed| armed.reset_after(way, bytes.len() as u64));
        if let Some(last) = last {
            bytes.truncate(usize::try_from(last).unwrap_or(bytes.len()));
        }
        self.paced(way, to, &bytes)
            .await
            .map_err(|_| Broken::Gone)?;
        if last.is_some() {
            Err(Broken::Requested)
        } else {
            Ok(())
        }
    }

    async fn paced(
        &self,
        way: Direction,
        to: &mut WriteHalf<'_>,
        mut bytes: &[u8],
    ) -> io::Result<()> {
        let mut next = now();
        while !bytes.is_empty() {
            let rate = self.shared.rate();
            let length = rate.map_or(bytes.len() as u64, |rate| {
                (rate / PACES).clamp(1, bytes.len() as u64)
            });
            if let Some(rate) = rate {
                next += Duration::from_secs_f64(length as f64 / rate as f64);
                sleep_until(next).await;
            }
            let (piece, rest) = bytes.split_at(usize::try_from(length).unwrap_or(bytes.len()));
            to.write_all(piece).await?;
            self.lane(way).passed.fetch_add(length, Ordering::Relaxed);
            self.shared.count(|counts| match way {
                Direction::Up => counts.up += length,
                Direction::Down => counts.down += length,
            });
            bytes = rest;
        }
        Ok(())
    }
}

/// Waits until connections that began in `began` have to end. Returns whether by a reset.
async fn end_requested(state: &mut watch::Receiver<FaultState>, began: &FaultState) -> bool {
    let state = state.wait_for(|state| state.ends_since(began)).await;
    state.map_or(true, |state| state.resets != began.resets)
}

/// Answers a request, whatever it was, with a redirect to a login page.
async fn login_page(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = vec![0; PIECE];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => request.extend_from_slice(&buffer[..length]),
            Ok(_) | Err(_) => return,
        }
    }
    // a closed end needs no answer
    let _ = stream.write_all(LOGIN_PAGE).await;
    let _ = stream.shutdown().await;
}

/// Reads everything and answers nothing, until the other end closes.
async fn deaf(stream: &mut TcpStream) {
    let mut buffer = vec![0; PIECE];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}
