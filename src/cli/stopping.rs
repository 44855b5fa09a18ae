//! The end and the suspension of commands: all ends are awaited in one place, and Ctrl-Z waits
//! until no write is running.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::actor::Client;
use crate::client::store::Store;

/// The signals that end a program.
pub(super) struct Ends(Vec<Signal>);

impl Ends {
    /// Starts listening; the signals no longer end the process by default. A hangup that is ignored
    /// (`nohup`) stays ignored.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(super) fn listen() -> io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
        ];
        let more = [SignalKind::user_defined2()].into_iter().chain(hangup());
        kinds
            .into_iter()
            .chain(more)
            .map(signal)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        let waiting = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(waiting).await;
    }
}

/// SIGHUP, unless the program was started with the signal ignored, or that is unknown.
fn hangup() -> Option<SignalKind> {
    let kind = SignalKind::hangup();
    let status = std::fs::read_to_string("/proc/self/status").ok()?; // proc(5)
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let ignored = u64::from_str_radix(ignored.trim(), 16).ok()?;
    (ignored & (1 << (kind.as_raw_value() - 1)) == 0).then_some(kind)
}

/// Makes Ctrl-Z stop this process between two transactions. A process that is stopped inside a
/// write keeps the store's lock, which blocks every other process. A client closes its connection
/// before the stop, so another process of the profile can take over.
///
/// # Errors
/// When the system does not allow it.
pub(super) fn between_writes(store: &Store, client: Option<&Client>) -> io::Result<()> {
    let mut stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
    let (store, client) = (store.clone(), client.cloned());
    tokio::spawn(async move {
        while stop.recv().await.is_some() {
            if let Some(client) = &client {
                client.yield_link().await;
            }
            store.suspend(false).await;
            if let Some(client) = &client {
                client.resume_link().await;
            }
        }
    });
    Ok(())
}
