//! `landfall serve`: a server in the foreground.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{self, Failure};
use crate::config::Config;
use crate::server::session::Settings;
use crate::server::{self, Server};

pub(super) struct Options {
    pub(super) listen: SocketAddr,
    pub(super) data: Option<PathBuf>,
    /// It ends with its standard input: with the process that holds the other end, however that ends.
    pub(super) until_eof: bool,
}

pub(super) fn run(config: &Config, options: Options) -> Result<u8, Failure> {
    let Options { listen, data, until_eof } = options;
    super::logging::to_stderr();
    crate::system::raise_file_limit();
    let folder = data.unwrap_or_else(|| config.data.join("server"));
    let _lock = lock(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(server::Options { listen, folder, settings: Settings::default() }).await?;
        let said = writeln!(std::io::stdout(), "listening on {0}\ninvite {0}#{1}", server.address(), server.invite());
        if let Err(error) = said {
            tracing::warn!(%error, "nobody reads where it listens"); // it serves all the same
        }
        let over = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            () = end_of_input(), if until_eof => None,
            error = server.over() => Some(error),
        };
        server.drain().await;
        over.map_or(Ok(exit::OK), |error| Err(error.into()))
    })
}

async fn end_of_input() {
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()); // an error is an end, too
        drop(tx);
    });
    let _ = rx.await; // nothing is ever sent
}

/// One server for each data folder; the lock goes with the process.
pub(super) fn lock(folder: &Path) -> Result<File, Failure> {
    let at = |error: std::io::Error| {
        Failure::new(
            exit::CANNOT_CREATE,
            format!("cannot use {}: {error}; name another folder with --data", folder.display()),
        )
    };
    super::private::folder(folder).map_err(at)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("host.lock")).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let text = format!("another server uses {}: stop it, or name another folder with --data", folder.display());
            Err(Failure::new(exit::UNAVAILABLE, text))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(at(error)),
    }
}
