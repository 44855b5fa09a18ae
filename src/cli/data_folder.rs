//! The data folder of a server on this machine: the lock of its owner, and the file with the
//! address that clients on this machine read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::exit::{self, Failure};
use crate::client::Cause;
use crate::protocol::Address;

/// Lock file of a data folder. Its owner is the only server of the folder.
pub(super) const LOCK: &str = "host.lock";
/// Interval between two checks that the lock file still exists.
const NAMES_LOOK: Duration = Duration::from_secs(5);

/// Creates the lock and the address file again when the data folder was deleted under its running
/// server. Without the lock a second server could start in the folder; without the address clients
/// on this machine cannot find the server. Returns an error when another process has taken the
/// lock.
pub(super) async fn keep_names(folder: &Path, address: &Address, lock_file: &mut File) -> Failure {
    let mut looks = tokio::time::interval(NAMES_LOOK); // no event reports a deleted folder
    loop {
        looks.tick().await;
        let named = std::fs::metadata(folder.join(LOCK)).map(|file| (file.dev(), file.ino()));
        let ours = lock_file.metadata().map(|file| (file.dev(), file.ino()));
        if named.as_ref().ok() == ours.as_ref().ok() {
            continue;
        }
        match lock(folder) {
            Ok(again) => *lock_file = again,
            Err(failure) => return failure,
        }
        if let Err(error) = write_address(folder, address) {
            tracing::warn!(%error, "the address could not be written");
        }
    }
}

/// Locks a data folder: it has one server. The lock ends with the process.
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

/// Writes where the server of a folder listens.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_address(folder: &Path, address: &Address) -> io::Result<()> {
    let new = folder.join("host.addr.new");
    std::fs::write(&new, address.to_string())?;
    std::fs::rename(new, folder.join("host.addr"))
}

/// Where the host of a folder listens, according to its file.
pub(super) fn address(folder: &Path) -> Result<Address, Cause> {
    let text = std::fs::read_to_string(folder.join("host.addr")).map_err(|_| Cause::Refused)?;
    text.trim().parse().map_err(|_| Cause::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server still writes while it drains: no other server may start before it has ended.
    #[tokio::test]
    async fn lock_outlives_the_watch_for_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = "ws://127.0.0.1:1".parse().expect("an address");
        let mut lock_file = lock(folder.path()).expect("the lock is free");
        let looks = tokio::time::timeout(
            Duration::ZERO,
            keep_names(folder.path(), &address, &mut lock_file),
        )
        .await;
        assert!(looks.is_err(), "the watch continues while the name exists");
        assert!(lock(folder.path()).is_err(), "the folder is still locked");
        drop(lock_file);
        assert!(lock(folder.path()).is_ok());
    }
}
