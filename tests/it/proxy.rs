//! A small faulty proxy: delays, slows, cuts, and swallows bytes or single frames.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Pass,
    /// Existing connections are reset, new ones refused.
    Cut,
    /// Bytes are swallowed both ways, connections stay open; one that lost bytes stays dead.
    HalfOpen,
    /// As that, but only on the way to the server.
    UpDead,
    /// Nothing is lost and nothing goes through.
    Stall,
}

struct Shared {
    mode: Mutex<Mode>,
    delay_ms: AtomicU64,
    bytes_per_second: AtomicU64,
    /// So many `ack` frames are still to be swallowed.
    swallow_acks: AtomicUsize,
    connections: Mutex<Vec<Arc<Connection>>>,
    accepted: AtomicUsize,
    upstream: u16,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    broken: AtomicBool,
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    pub(crate) port: u16,
}

impl Proxy {
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            delay_ms: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(0),
            swallow_acks: AtomicUsize::new(0),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            upstream,
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.clone().accept(client);
            }
        });
        Self { shared, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("not poisoned") = mode;
        if mode == Mode::Cut {
            for connection in self.shared.connections.lock().expect("not poisoned").drain(..) {
                connection.end();
            }
        }
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes_per_second(&self, bytes: u64) {
        self.shared.bytes_per_second.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn swallow_acks(&self, count: usize) {
        self.shared.swallow_acks.store(count, Ordering::Relaxed);
    }

    pub(crate) fn acks_left_to_swallow(&self) -> usize {
        self.shared.swallow_acks.load(Ordering::Relaxed)
    }

    /// Connections that were ever accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Connection {
    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().expect("not poisoned")
    }

    fn accept(self: Arc<Self>, client: TcpStream) {
        if self.mode() == Mode::Cut {
            return;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let connection = Arc::new(Connection { client, server, broken: AtomicBool::new(false) });
        self.connections.lock().expect("not poisoned").push(connection.clone());
        for up in [true, false] {
            let (shared, connection) = (self.clone(), connection.clone());
            std::thread::spawn(move || shared.carry(&connection, up));
        }
    }

    /// Reads on one thread and writes on another, so that a delay delays and does not slow.
    fn carry(self: Arc<Self>, connection: &Arc<Connection>, up: bool) {
        let (from, to) =
            if up { (&connection.client, &connection.server) } else { (&connection.server, &connection.client) };
        let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
        let (tx, rx) = channel::<(Instant, Vec<u8>)>();
        let shared = self.clone();
        let ending = connection.clone();
        std::thread::spawn(move || {
            for (due, bytes) in rx {
                wait_until(due);
                if shared.write(&mut to, &bytes).is_err() {
                    break;
                }
            }
            ending.end();
        });
        let mut frames = Frames::default();
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            while self.mode() == Mode::Stall {
                wait_until(Instant::now() + Duration::from_millis(10));
            }
            let swallows = match self.mode() {
                Mode::HalfOpen => true,
                Mode::UpDead => up,
                Mode::Pass | Mode::Cut | Mode::Stall => false,
            };
            if swallows {
                connection.broken.store(true, Ordering::Relaxed);
            }
            if swallows || (connection.broken.load(Ordering::Relaxed) && (up || self.mode() != Mode::UpDead)) {
                continue;
            }
            let bytes = if up { buffer[..read].to_vec() } else { self.without_acks(&mut frames, &buffer[..read]) };
            let due = Instant::now() + Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
            if tx.send((due, bytes)).is_err() {
                break;
            }
        }
    }

    fn write(&self, to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => to.write_all(bytes),
            rate => bytes.chunks(100).try_for_each(|chunk| {
                wait_until(Instant::now() + Duration::from_micros(chunk.len() as u64 * 1_000_000 / rate));
                to.write_all(chunk)
            }),
        }
    }

    /// Bytes of the server without the acks that are to be lost.
    fn without_acks(&self, frames: &mut Frames, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::new();
        for frame in frames.cut(bytes) {
            let is_ack = frame.windows(12).any(|window| window == b"\"type\":\"ack\"");
            let left = self.swallow_acks.load(Ordering::Relaxed);
            if is_ack && left > 0 {
                self.swallow_acks.store(left - 1, Ordering::Relaxed);
                continue;
            }
            kept.extend(frame);
        }
        kept
    }
}

/// A link that is slow on purpose: time is what is tested.
fn wait_until(due: Instant) {
    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
}

/// Cuts a server's bytes into the HTTP head and WebSocket frames (unmasked, RFC 6455, section 5.2).
#[derive(Default)]
struct Frames {
    buffer: Vec<u8>,
    is_upgraded: bool,
}

impl Frames {
    fn cut(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let mut cut = Vec::new();
        while let Some(length) = self.length().filter(|length| *length <= self.buffer.len()) {
            cut.push(self.buffer.drain(..length).collect());
            self.is_upgraded = true;
        }
        cut
    }

    fn length(&self) -> Option<usize> {
        if !self.is_upgraded {
            return self.buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        }
        let short = usize::from(*self.buffer.get(1)? & 0x7f);
        Some(match short {
            126 => 4 + usize::from(u16::from_be_bytes([*self.buffer.get(2)?, *self.buffer.get(3)?])),
            127 => 10 + u64::from_be_bytes(self.buffer.get(2..10)?.try_into().expect("eight bytes")) as usize,
            _ => 2 + short,
        })
    }
}
