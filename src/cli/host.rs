//! Hosting on this machine: the landfall process that has the host lock runs the server, and the
//! others wait for the lock.
//!
//! The lock is a kernel lock: when its owner dies in any way, the next waiting process gets it at
//! once. The address is written beside it and read at each dial, so nothing is configured or
//! polled.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::data_folder;
use crate::client::Cause;
use crate::protocol::Address;
use crate::server::session::Settings;
use crate::server::storage::maintenance;
use crate::server::{Server, ServerOptions};

/// Queues for hosting a folder, until paused.
pub(super) struct Host {
    shared: Arc<HostShared>,
}

struct HostShared {
    folder: PathBuf,
    state: Mutex<HostState>,
    changed: Condvar,
    stop: watch::Sender<bool>,
    on_hosting: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct HostState {
    /// Whether a thread waits for the lock, or hosts.
    is_queued: bool,
    hosting: bool,
    why_not: Option<String>,
}

impl Host {
    /// Waits for the lock on a thread. Then hosts, and calls `on_hosting`.
    pub(super) fn start(
        folder: PathBuf,
        on_hosting: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        super::private::folder(&folder)?;
        let shared = Arc::new(HostShared {
            folder,
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: watch::Sender::new(false),
            on_hosting: Box::new(on_hosting),
        });
        let host = Self { shared };
        host.resume();
        Ok(host)
    }

    /// Ends the hosting: drains the server, and releases the lock.
    pub(super) fn pause(&self) {
        self.shared.stop.send_replace(true);
        let mut state = self.shared.lock();
        while state.hosting {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues for the lock again.
    pub(super) fn resume(&self) {
        self.shared.stop.send_replace(false);
        if !std::mem::replace(&mut self.shared.lock().is_queued, true) {
            let shared = self.shared.clone();
            // ends with the process if the lock stays taken
            std::thread::spawn(move || shared.wait_and_host());
        }
    }

    /// Returns the address of this machine's server. A failed start of the server is reported once,
    /// and retried.
    pub(super) fn locate(&self) -> Result<Address, Cause> {
        let failed = self.shared.lock().why_not.take();
        match failed.filter(|_| !*self.shared.stop.borrow()) {
            Some(what) => {
                self.resume();
                Err(Cause::Hosting { what })
            }
            None => data_folder::address(&self.shared.folder),
        }
    }
}

impl HostShared {
    fn lock(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_and_host(&self) {
        let path = self.folder.join(data_folder::LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let lock = file.and_then(|file| file.lock().map(|()| file));
        let hosted = match lock {
            Ok(lock) => self.host(lock),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        let mut state = self.lock();
        if let Err(why) = &hosted {
            tracing::error!(why, "cannot host");
        }
        state.is_queued = false;
        state.hosting = false;
        state.why_not = hosted.err();
        self.changed.notify_all();
    }

    /// Hosts until it is stopped. The lock lasts as long as the file is open.
    fn host(&self, mut lock: File) -> Result<(), String> {
        {
            let mut state = self.lock();
            if *self.stop.borrow() {
                return Ok(());
            }
            state.hosting = true;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let options = ServerOptions { listen, folder: self.folder.clone(), settings: Settings::default() };
            let server = Server::start(options).await.map_err(|error| error.to_string())?;
            let address = server.address();
            data_folder::write_address(&self.folder, &address).map_err(|error| error.to_string())?;
            tracing::info!(%address, "hosting");
            (self.on_hosting)();
            let mut stop = self.stop.subscribe();
            let over = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => Ok(()), // the sender is part of `self`
                error = server.over() => Err(error.to_string()),
                failure = data_folder::keep_names(&self.folder, &address, &mut lock) => Err(failure.to_string()),
            };
            server.drain().await;
            over
        })
    }
}

/// The invite of the folder's host; `None` before the first one was made.
pub(super) fn invite(folder: &Path) -> Option<String> {
    maintenance::exists(folder)
        .then(|| maintenance::invite(folder).ok().flatten())
        .flatten()
}
