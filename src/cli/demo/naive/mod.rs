//! A naive chat to compare with, as the usual tutorials build one.
//!
//! It follows three kinds of them. Examples of WebSocket libraries: typed lines are forwarded to the
//! socket, and the server sends each line to a map of peers. "Build a chat": the recent lines are
//! sent on connect, and the screen is drawn from them. Reconnect snippets: try again after a fixed
//! time. [`Repair::SendAgain`] is the usual first repair: what did not come back is sent again after
//! a reconnect. There are no ids, no acknowledgements, no deadlines, and nothing on a client's disk.
//!
//! It is fair: it gets the same keys at the same moment, and the same faults by a proxy of its own;
//! it sleeps nowhere but between two attempts. What it shows as waiting never counts as lost.

mod client;
mod repair;
mod server;
mod tally;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use self::client::NaiveChat;
pub(super) use self::client::{NaiveEvent, Repair};
pub(super) use self::server::FileEvent;
use self::server::NaiveServer;
pub(super) use self::tally::NaiveTally;
use super::copies::DataCopies;
use super::fault::Fault;
use crate::chaos::{Event, FaultCommand, Proxy, What};
use crate::cli::exit::Failure;

/// How long a line may be on its way after the last fault: a reconnect, and a moment.
const END: Duration = Duration::from_secs(5);

/// One line of the chat, as in the server's file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct NaiveLine {
    pub(super) author: String,
    pub(super) text: String,
}

/// A frame of its wire, in both directions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum NaiveFrame {
    Line(NaiveLine),
    /// The last lines of the file, on connect.
    Recent {
        lines: Vec<NaiveLine>,
    },
}

impl NaiveFrame {
    fn to_message(&self) -> Message {
        serde_json::to_string(self).unwrap_or_default().into() // texts and lists of them never fail
    }
}

/// Types into one naive chat.
pub(super) type NaiveKeys = tokio::sync::mpsc::UnboundedSender<String>;

/// What the client's screen shows of the connection and of own lines.
#[derive(Clone, Debug, Default)]
struct NaiveScreen {
    is_connected: bool,
    /// The lines that were shown as sent.
    sent: Vec<String>,
}

impl NaiveScreen {
    fn on(&mut self, event: NaiveEvent) {
        match event {
            NaiveEvent::Connected => self.is_connected = true,
            NaiveEvent::Disconnected => self.is_connected = false,
            NaiveEvent::Sent(text) => self.sent.push(text),
            // rows, of which none counts as sent
            NaiveEvent::Replaced(_) | NaiveEvent::Received(_) | NaiveEvent::Sending(_) => {}
        }
    }
}

/// What happens on the naive side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NaiveNews {
    /// The screen of an author's client changed.
    Screen(&'static str, NaiveEvent),
    File(FileEvent),
    Proxy(What),
}

/// Gets everything that happens on the naive side, on its threads.
pub(super) type NaiveListener = Arc<dyn Fn(NaiveNews) + Send + Sync>;

/// A naive chat beside the stage: a server, a proxy before it, your client, and clients of others
/// without a proxy.
pub(super) struct NaiveSide {
    author: &'static str,
    repair: Repair,
    server: NaiveServer,
    copies: DataCopies,
    proxy: Proxy,
    chat: NaiveChat,
    others: Vec<NaiveChat>,
    shown: watch::Receiver<NaiveScreen>,
    listen: NaiveListener,
    runtime: RuntimeThread,
}

impl NaiveSide {
    pub(super) fn start(
        folder: &Path,
        author: &'static str,
        repair: Repair,
        listen: NaiveListener,
    ) -> Result<Self, Failure> {
        let runtime = RuntimeThread::start()?;
        let copies = DataCopies::of(folder.join(format!("naive-{repair:?}")));
        std::fs::create_dir(copies.data())?;
        let file = copies.data().join("lines.jsonl");
        let on_file = listen.clone();
        let report = Arc::new(move |event| on_file(NaiveNews::File(event)));
        let server = NaiveServer::start(runtime.handle.clone(), &file, report)?;
        let upstream = server.address().to_string();
        let on_event = listen.clone();
        let on_event = move |event: Event| on_event(NaiveNews::Proxy(event.what));
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), &upstream, on_event)?;
        let (chat, shown) = start_chat(&runtime, &proxy, author, repair, &listen);
        Ok(Self {
            author,
            repair,
            server,
            copies,
            proxy,
            chat,
            others: Vec::new(),
            shown,
            listen,
            runtime,
        })
    }

    pub(super) fn keys(&self) -> NaiveKeys {
        self.chat.keys()
    }

    /// Ends your client, and starts one with this repair.
    pub(super) fn restart(&mut self, repair: Repair) {
        let (runtime, proxy) = (&self.runtime, &self.proxy);
        (self.chat, self.shown) = start_chat(runtime, proxy, self.author, repair, &self.listen);
        self.repair = repair;
    }

    /// Starts the client of another author, without a proxy. Returns its keys.
    pub(super) fn add_chat(&mut self, author: &'static str) -> NaiveKeys {
        let listen = self.listen.clone();
        let show = move |event| listen(NaiveNews::Screen(author, event));
        let url = format!("ws://{}", self.server.address());
        let chat = NaiveChat::start(&self.runtime.handle, url, author, Repair::None, show);
        let keys = chat.keys();
        self.others.push(chat);
        keys
    }

    pub(super) const fn repair(&self) -> Repair {
        self.repair
    }

    pub(super) const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Kills the server, and starts it with the copy of its data.
    pub(super) async fn put_server_back(&mut self) -> Result<(), Failure> {
        self.server.kill().await;
        self.copies.put_back()?;
        Ok(self.server.run()?)
    }

    /// Waits until the chat shows that it is connected, or for as long as that may take.
    pub(super) async fn connected(&self) {
        let mut shown = self.shown.clone();
        // It may hang in a handshake for ever: it has no deadline.
        let _ = timeout(END, shown.wait_for(|screen| screen.is_connected)).await;
    }

    /// The data of its server.
    pub(super) const fn copies(&self) -> &DataCopies {
        &self.copies
    }

    /// The same fault that the stage gets.
    pub(super) async fn carry_out(&mut self, fault: Fault) -> Result<(), Failure> {
        fault.apply_to(|command| self.proxy.apply(command));
        match fault {
            Fault::KillServer => self.server.kill().await,
            Fault::PutServerBack => self.put_server_back().await?,
            Fault::Pass | Fault::StartServer => self.server.run()?,
            // It has no process to be stopped: its connections stand still.
            Fault::Sleep => self.proxy.apply(&FaultCommand::Stall),
            _ => {} // the proxy got it, or it is none of the connection
        }
        Ok(())
    }

    /// What became of everything that was typed, once what is on its way has arrived.
    pub(super) async fn tally(&self, typed: &[String]) -> Result<NaiveTally, Failure> {
        let is_last_there = |_: &u64| {
            let file = self.server.lines().unwrap_or_default();
            typed.last().is_none_or(|last| file.contains(last))
        };
        let mut changes = self.server.changes();
        let _ = timeout(END, changes.wait_for(is_last_there)).await; // it may be lost
        let (file, sent) = (self.server.lines()?, &self.shown.borrow().sent);
        Ok(NaiveTally::of(self.repair, typed, sent, &file))
    }
}

/// Starts a client behind the proxy. Also returns what its screen shows.
fn start_chat(
    runtime: &RuntimeThread,
    proxy: &Proxy,
    author: &'static str,
    repair: Repair,
    listen: &NaiveListener,
) -> (NaiveChat, watch::Receiver<NaiveScreen>) {
    let (screen, shown) = watch::channel(NaiveScreen::default());
    let listen = listen.clone();
    let show = move |event: NaiveEvent| {
        listen(NaiveNews::Screen(author, event.clone()));
        screen.send_modify(|screen| screen.on(event));
    };
    let url = format!("ws://{}", proxy.address());
    (
        NaiveChat::start(&runtime.handle, url, author, repair, show),
        shown,
    )
}

/// A runtime on a thread of its own; the thread ends when this is dropped.
struct RuntimeThread {
    handle: Handle,
    _over: oneshot::Sender<()>,
}

impl RuntimeThread {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (over, is_over) = oneshot::channel();
        std::thread::Builder::new()
            .name("naive".into())
            .spawn(move || drop(runtime.block_on(is_over)))?; // dropped: it is over
        Ok(Self {
            handle,
            _over: over,
        })
    }
}
