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

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use self::client::NaiveChat;
pub(super) use self::client::{NaiveEvent, Repair};
pub(super) use self::server::{FileEvent, run as run_server};
use super::freeze::{Frozen, freeze};
use super::process::{OnLine, ServerProcess};
use crate::chaos::{Event, Proxy, What};
use crate::cli::exit::Failure;

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
    server: ServerProcess,
    proxy: Proxy,
    chat: NaiveChat,
    others: Vec<NaiveChat>,
    listen: NaiveListener,
    /// Of your client.
    runtime: RuntimeThread,
    /// Of the other clients.
    others_runtime: RuntimeThread,
}

impl NaiveSide {
    pub(super) fn start(
        folder: &Path,
        author: &'static str,
        listen: NaiveListener,
    ) -> Result<Self, Failure> {
        let (runtime, others_runtime) = (RuntimeThread::start()?, RuntimeThread::start()?);
        let data = folder.join("naive");
        std::fs::create_dir(&data)?;
        let on_file = listen.clone();
        let on_line: OnLine = Arc::new(move |line| {
            if let Ok(event) = serde_json::from_str(line) {
                on_file(NaiveNews::File(event));
            }
        });
        let server = ServerProcess::start(data, server::arguments, on_line)?;
        let upstream = format!("127.0.0.1:{}", server.port);
        let on_event = listen.clone();
        let on_event = move |event: Event| on_event(NaiveNews::Proxy(event.what));
        let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), &upstream, on_event)?;
        let chat = start_chat(&runtime, &proxy, author, Repair::None, &listen);
        Ok(Self {
            author,
            repair: Repair::None,
            server,
            proxy,
            chat,
            others: Vec::new(),
            listen,
            runtime,
            others_runtime,
        })
    }

    pub(super) fn keys(&self) -> NaiveKeys {
        self.chat.keys()
    }

    /// Ends your client, and starts one with this repair.
    pub(super) fn restart(&mut self, repair: Repair) {
        let (runtime, proxy) = (&self.runtime, &self.proxy);
        self.chat = start_chat(runtime, proxy, self.author, repair, &self.listen);
        self.repair = repair;
    }

    /// Starts the client of another author, without a proxy. Returns its keys.
    pub(super) fn add_chat(&mut self, author: &'static str) -> NaiveKeys {
        let listen = self.listen.clone();
        let show = move |event| listen(NaiveNews::Screen(author, event));
        let url = format!("ws://127.0.0.1:{}", self.server.port);
        let chat = NaiveChat::start(&self.others_runtime.handle, url, author, Repair::None, show);
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

    pub(super) const fn server(&mut self) -> &mut ServerProcess {
        &mut self.server
    }

    /// Stops your client until the result is dropped.
    pub(super) async fn freeze(&self) -> Frozen {
        freeze(&self.runtime.handle).await
    }
}

/// Starts a client behind the proxy.
fn start_chat(
    runtime: &RuntimeThread,
    proxy: &Proxy,
    author: &'static str,
    repair: Repair,
    listen: &NaiveListener,
) -> NaiveChat {
    let listen = listen.clone();
    let show = move |event: NaiveEvent| listen(NaiveNews::Screen(author, event));
    let url = format!("ws://{}", proxy.address());
    NaiveChat::start(&runtime.handle, url, author, repair, show)
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
