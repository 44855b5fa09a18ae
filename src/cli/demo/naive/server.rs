//! The server: each line goes into a file, and to everybody who is connected.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{NaiveFrame, NaiveLine};

/// Number of lines that a client gets on connect.
const RECENT: usize = 50;

/// A running server.
pub(super) struct NaiveServer {
    runtime: Handle,
    address: SocketAddr,
    file: PathBuf,
    task: Option<JoinHandle<()>>,
    added: watch::Sender<u64>,
    report: Report,
}

/// Gets each change of the server's file.
type Report = Arc<dyn Fn(FileEvent) + Send + Sync>;

/// A change of the server's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli::demo) enum FileEvent {
    /// The server has started with these lines.
    Opened(Vec<NaiveLine>),
    Added(NaiveLine),
}

impl NaiveServer {
    /// Starts it at a free port of this machine, with the lines of a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn start(runtime: Handle, file: &Path, report: Report) -> io::Result<Self> {
        let mut server = Self {
            runtime,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            file: file.to_owned(),
            task: None,
            added: watch::Sender::default(),
            report,
        };
        server.run()?;
        Ok(server)
    }

    /// Starts it at its address, unless it runs.
    pub(super) fn run(&mut self) -> io::Result<()> {
        if self.task.is_some() {
            return Ok(());
        }
        let listener = std::net::TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let _context = self.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let log = NaiveLog::open(&self.file, self.added.clone(), self.report.clone())?;
        (self.report)(FileEvent::Opened(read(&self.file)?));
        let chat = Arc::new(Mutex::new(log));
        self.task = Some(self.runtime.spawn(serve(listener, chat)));
        Ok(())
    }

    /// Ends it with all its connections, at once.
    pub(super) async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await; // it was aborted
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The texts of its file.
    pub(super) fn lines(&self) -> io::Result<Vec<String>> {
        let lines = read(&self.file)?.into_iter();
        Ok(lines.map(|line| line.text).collect())
    }

    /// Notified of each line that is added to the file.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }
}

impl Drop for NaiveServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<NaiveLine>> {
    let lines = BufReader::new(File::open(file)?).lines();
    lines
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect()
}

/// The file and the connected peers.
struct NaiveLog {
    path: PathBuf,
    file: File,
    peers: BTreeMap<u64, mpsc::UnboundedSender<Message>>,
    last: u64,
    added: watch::Sender<u64>,
    report: Report,
}

impl NaiveLog {
    fn open(path: &Path, added: watch::Sender<u64>, report: Report) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            peers: BTreeMap::new(),
            last: 0,
            added,
            report,
        })
    }

    /// Adds a peer; the recent lines are in its queue.
    fn join(&mut self) -> io::Result<(u64, mpsc::UnboundedReceiver<Message>)> {
        let mut lines = read(&self.path)?;
        lines.drain(..lines.len().saturating_sub(RECENT));
        let (peer, queue) = mpsc::unbounded_channel();
        let _ = peer.send(NaiveFrame::Recent { lines }.to_message()); // received below
        self.last += 1;
        self.peers.insert(self.last, peer);
        Ok((self.last, queue))
    }

    fn add(&mut self, line: NaiveLine) -> io::Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(&line)?)?;
        self.added.send_modify(|added| *added += 1);
        (self.report)(FileEvent::Added(line.clone()));
        let message = NaiveFrame::Line(line).to_message();
        self.peers
            .retain(|_, peer| peer.send(message.clone()).is_ok());
        Ok(())
    }
}

async fn serve(listener: TcpListener, chat: Arc<Mutex<NaiveLog>>) {
    let mut connections = JoinSet::new(); // they end with this task
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection(stream, chat.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, chat: Arc<Mutex<NaiveLog>>) {
    let peer = chat.lock().unwrap_or_else(PoisonError::into_inner).join();
    if let Ok((number, queue)) = peer {
        let _ = talk(stream, queue, &chat).await; // it has ended, whatever it was
        let mut chat = chat.lock().unwrap_or_else(PoisonError::into_inner);
        chat.peers.remove(&number);
    }
}

async fn talk(
    stream: TcpStream,
    mut queue: mpsc::UnboundedReceiver<Message>,
    chat: &Mutex<NaiveLog>,
) -> Result<(), Error> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    loop {
        tokio::select! {
            Some(message) = queue.recv() => socket.send(message).await?,
            received = socket.next() => {
                let Some(message) = received else {
                    return Ok(());
                };
                if let Ok(NaiveFrame::Line(line)) = serde_json::from_str(message?.to_text()?) {
                    chat.lock().unwrap_or_else(PoisonError::into_inner).add(line)?;
                }
            }
        }
    }
}
