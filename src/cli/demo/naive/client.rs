//! The client: one task, a socket, and what its screen shows as events.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::repair::Unechoed;
use super::{NaiveFrame, NaiveKeys, NaiveLine};

/// The fixed time between two attempts.
const RETRY: Duration = Duration::from_secs(2);

/// What the client does about lines that did not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli::demo) enum Repair {
    None,
    /// Sends them again after a reconnect.
    SendAgain,
}

impl Repair {
    /// Lines of code of such a client, without comments and blank lines.
    pub(in crate::cli::demo) fn lines_of_code(self) -> usize {
        let count = |code: &str| {
            let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
            code.lines().map(str::trim).filter(is_code).count()
        };
        count(include_str!("client.rs"))
            + match self {
                Self::None => 0,
                Self::SendAgain => count(include_str!("repair.rs")),
            }
    }
}

/// A change of what the client shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli::demo) enum NaiveEvent {
    /// The status line shows "connected".
    Connected,
    /// The status line shows "reconnecting".
    Disconnected,
    /// All lines are replaced by the recent ones of the server.
    Replaced(Vec<NaiveLine>),
    /// A line of another author is shown.
    Received(NaiveLine),
    /// An own line is shown as "sending".
    Sending(String),
    /// An own line is shown as "sent".
    Sent(String),
}

/// A running client.
pub(super) struct NaiveChat {
    typed: NaiveKeys,
    task: JoinHandle<()>,
}

impl NaiveChat {
    /// Starts a client; `show` gets each change of its screen.
    pub(super) fn start(
        runtime: &Handle,
        url: String,
        author: &str,
        repair: Repair,
        show: impl Fn(NaiveEvent) + Send + Sync + 'static,
    ) -> Self {
        let (typed, lines) = mpsc::unbounded_channel();
        let client = NaiveClient {
            author: author.to_owned(),
            repair,
            show: Box::new(show),
            unechoed: Unechoed::default(),
        };
        let task = runtime.spawn(client.run(url, lines));
        Self { typed, task }
    }

    pub(super) fn keys(&self) -> NaiveKeys {
        self.typed.clone()
    }
}

impl Drop for NaiveChat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type NaiveSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct NaiveClient {
    author: String,
    repair: Repair,
    show: Box<dyn Fn(NaiveEvent) + Send + Sync>,
    unechoed: Unechoed,
}

impl NaiveClient {
    async fn run(mut self, url: String, mut typed: mpsc::UnboundedReceiver<String>) {
        loop {
            if let Ok((mut socket, _)) = connect_async(&url).await {
                (self.show)(NaiveEvent::Connected);
                let _ = self.chat(&mut socket, &mut typed).await; // whatever it was: try again
            }
            (self.show)(NaiveEvent::Disconnected);
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn chat(
        &mut self,
        socket: &mut NaiveSocket,
        typed: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(), Error> {
        for text in self.unechoed.all() {
            socket.send(self.frame(text)).await?;
        }
        loop {
            tokio::select! {
                Some(text) = typed.recv() => self.send(socket, text).await?,
                received = socket.next() => match received {
                    Some(message) => self.on_message(&message?),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn send(&mut self, socket: &mut NaiveSocket, text: String) -> Result<(), Error> {
        let message = self.frame(text.clone());
        match self.repair {
            Repair::None => {
                socket.send(message).await?;
                (self.show)(NaiveEvent::Sent(text));
            }
            Repair::SendAgain => {
                self.unechoed.add(text.clone());
                (self.show)(NaiveEvent::Sending(text));
                socket.send(message).await?;
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: &Message) {
        let Ok(Ok(frame)) = message.to_text().map(serde_json::from_str) else {
            return;
        };
        match frame {
            NaiveFrame::Recent { lines } => {
                (self.show)(NaiveEvent::Replaced(lines));
                let unechoed = self.unechoed.all().into_iter();
                unechoed.for_each(|text| (self.show)(NaiveEvent::Sending(text)));
            }
            NaiveFrame::Line(line) if line.author != self.author => {
                (self.show)(NaiveEvent::Received(line));
            }
            NaiveFrame::Line(line) if self.unechoed.came_back(&line.text) => {
                (self.show)(NaiveEvent::Sent(line.text));
            }
            NaiveFrame::Line(_) => {} // its own: shown when it was sent
        }
    }

    fn frame(&self, text: String) -> Message {
        let author = self.author.clone();
        NaiveFrame::Line(NaiveLine { author, text }).to_message()
    }
}
