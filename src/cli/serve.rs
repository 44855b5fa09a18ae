//! `landfall serve`: a server in the foreground.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit::{self, Failure};
use super::stopping::Ends;
use crate::config::Config;
use crate::print;
use crate::protocol::Address;
use crate::server::session::Settings;
use crate::server::{self, Server};

/// Lock file of a data folder. Its owner is the only server of the folder.
pub(super) const LOCK: &str = "host.lock";
/// Interval between two checks that the lock file still exists.
const NAMES_LOOK: Duration = Duration::from_secs(5);

pub(super) struct ServeOptions {
    pub(super) listen: SocketAddr,
    pub(super) data: Option<PathBuf>,
    /// It ends with its standard input: with the process that holds the other end, however that
    /// ends.
    pub(super) until_eof: bool,
}

pub(super) fn run(config: &Config, options: ServeOptions) -> Result<u8, Failure> {
    let ServeOptions {
        listen,
        data,
        until_eof,
    } = options;
    let _log = super::logging::to_stderr();
    crate::system::raise_file_limit();
    let folder = data.unwrap_or_else(|| config.server());
    let mut held = lock(&folder)?; // until the drain has written everything
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ends = Ends::listen()?;
        let options = server::ServerOptions {
            listen,
            folder: folder.clone(),
            settings: Settings::default(),
        };
        let server = Server::start(options).await?;
        if let Err(error) = announce(&server, &folder) {
            tracing::warn!(%error, "the address could not be printed"); // it serves all the same
        }
        let address = server.address();
        let over = tokio::select! {
            () = ends.next() => None,
            () = end_of_input(), if until_eof => None,
            error = server.over() => Some(error.into()),
            failure = keep_names(&folder, &address, &mut held) => Some(failure),
        };
        server.drain().await;
        over.map_or(Ok(exit::OK), Err)
    })
}

/// Prints where it listens. The invite is a secret: it is printed when it was just made and to a
/// person, and not into a service's journal at each start.
fn announce(server: &Server, folder: &Path) -> std::io::Result<()> {
    print::line(format!("listening on {}", server.address()))?;
    if server.is_new() || std::io::stdout().is_terminal() {
        print::line(format!("invite {}#{}", server.address(), server.invite()))?;
    }
    super::host::write_address(folder, &server.address())
}

async fn end_of_input() {
    let (tx, rx) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // an error is an end, too
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(tx);
    });
    let _ = rx.await; // nothing is ever sent
}

/// Creates the lock and the address file again when the data folder was deleted under its running
/// server. Without the lock a second server could start in the folder; without the address clients
/// on this machine cannot find the server. Returns an error when another process has taken the
/// lock.
pub(super) async fn keep_names(folder: &Path, address: &Address, held: &mut File) -> Failure {
    let mut looks = tokio::time::interval(NAMES_LOOK); // no event reports a deleted folder
    loop {
        looks.tick().await;
        let named = std::fs::metadata(folder.join(LOCK)).map(|file| (file.dev(), file.ino()));
        let ours = held.metadata().map(|file| (file.dev(), file.ino()));
        if named.as_ref().ok() == ours.as_ref().ok() {
            continue;
        }
        match lock(folder) {
            Ok(again) => *held = again,
            Err(failure) => return failure,
        }
        if let Err(error) = super::host::write_address(folder, address) {
            tracing::warn!(%error, "the address could not be written");
        }
    }
}

/// One server for each data folder; the lock goes with the process.
pub(super) fn lock(folder: &Path) -> Result<File, Failure> {
    let at = |error: std::io::Error| {
        Failure::new(
            exit::CANNOT_CREATE,
            format!(
                "cannot use {}: {error}; name another folder with --data",
                folder.display()
            ),
        )
    };
    super::private::folder(folder).map_err(at)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK))
        .map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let text = format!(
                "another server uses {}: stop it, or name another folder with --data",
                folder.display()
            );
            Err(Failure::new(exit::UNAVAILABLE, text))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(at(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server still writes while it drains: no other server may start before it has ended.
    #[tokio::test]
    async fn lock_outlives_the_watch_for_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = "ws://127.0.0.1:1".parse().expect("an address");
        let mut held = lock(folder.path()).expect("the lock is free");
        let looks = tokio::time::timeout(
            Duration::ZERO,
            keep_names(folder.path(), &address, &mut held),
        )
        .await;
        assert!(looks.is_err(), "the watch goes on while the name exists");
        assert!(lock(folder.path()).is_err(), "the lock is still held");
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }
}
