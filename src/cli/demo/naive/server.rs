//! The server, a process of its own: each line goes into a file, and to everybody who is connected.
//! Prints its address, then each change of the file as an object of JSON.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{NaiveFrame, NaiveLine};
use crate::cli::demo::options::NaiveServerOptions;
use crate::cli::exit::{self, Failure};
use crate::cli::serve::end_of_input;
use crate::print;

/// Number of lines that a client gets on connect.
const RECENT: usize = 50;
/// The file of lines, in the data folder.
const FILE: &str = "lines.jsonl";

/// A change of the server's file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(in crate::cli::demo) enum FileEvent {
    /// The server has started with these lines.
    Opened(Vec<NaiveLine>),
    Added(NaiveLine),
}

/// Arguments that make this program the server.
pub(super) fn arguments(port: u16, data: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["demo", "--naive-server", "--port"]
        .map(OsString::from)
        .into();
    arguments.extend([port.to_string().into(), "--folder".into(), data.into()]);
    arguments
}

/// Serves until the end of standard input.
pub(in crate::cli::demo) fn run(options: &NaiveServerOptions) -> Result<u8, Failure> {
    let path = options.folder.clone().unwrap_or_default().join(FILE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let log = NaiveLog::open(path)?;
        print::line(format!("listening on {}", listener.local_addr()?))?;
        report(&FileEvent::Opened(read(&log.path)?));
        tokio::select! {
            () = serve(listener, Arc::new(Mutex::new(log))) => {}
            () = end_of_input() => {}
        }
        Ok(exit::OK)
    })
}

/// Prints an event; the demo that reads it may have ended.
fn report(event: &FileEvent) {
    let _ = print::json(&serde_json::to_value(event).unwrap_or_default());
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
}

impl NaiveLog {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self {
            path,
            file,
            peers: BTreeMap::new(),
            last: 0,
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

    /// As usual, the chat continues when a line cannot be written.
    fn add(&mut self, line: NaiveLine) -> io::Result<()> {
        let text = format!("{}\n", serde_json::to_string(&line)?);
        if self.file.write_all(text.as_bytes()).is_ok() {
            report(&FileEvent::Added(line.clone()));
        }
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
