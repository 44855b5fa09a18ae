//! How commands end and stop: what ends one is awaited in one place, and Ctrl-Z waits until nothing is being written.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::store::Store;

/// The signals that ask a program to end.
pub(super) struct Ends([Signal; 4]);

impl Ends {
    /// Listens from now on; the signals do nothing by themselves any more.
    ///
    /// # Errors
    /// When the system does not let it listen.
    pub(super) fn listen() -> io::Result<Self> {
        let of = |kind| signal(kind);
        Ok(Self([
            of(SignalKind::interrupt())?,
            of(SignalKind::terminate())?,
            of(SignalKind::hangup())?,
            of(SignalKind::quit())?,
        ]))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// From now on Ctrl-Z stops this process between two transactions: one that is stopped inside a write holds the store's lock
/// for as long as it stands still, and nobody may break it.
///
/// # Errors
/// When the system does not let it listen.
pub(super) fn between_writes(store: &Store) -> io::Result<()> {
    let mut stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
    let store = store.clone();
    tokio::spawn(async move {
        while stop.recv().await.is_some() {
            store.suspend(false).await;
        }
    });
    Ok(())
}
