//! The lock of a profile's connection: one process at a time connects, the others wait for the lock
//! and can report its owner.
//!
//! It is an advisory lock of the kernel on a file, so it ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The lock file of a profile folder. The lock lasts as long as the returned [`File`] is open.
#[derive(Clone, Debug)]
pub struct LinkLock {
    pub(super) path: PathBuf,
}

impl LinkLock {
    /// Returns the lock of a profile's folder, without locking it.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self {
            path: folder.join("link.lock"),
        }
    }

    /// Which process has it, if one does.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        let mut file = self.open().ok()?;
        if file.try_lock().is_ok() {
            return None;
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }

    /// Takes the lock; `None` while another process has it.
    pub(super) fn take(&self) -> io::Result<Option<File>> {
        let file = self.open()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(sign(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes it once no other process has it. Blocks its thread.
    pub(super) fn wait(&self) -> io::Result<File> {
        let file = self.open()?;
        file.lock()?;
        Ok(sign(file))
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
    }
}

/// Writes the holder's process id into the file, for those who wait. The length is always the same,
/// so that it fits a full disk; where it does not, the lock works nevertheless.
fn sign(mut file: File) -> File {
    let signed = file
        .rewind()
        .and_then(|()| write!(file, "{:<10}", std::process::id()))
        .and_then(|()| file.set_len(10));
    if let Err(error) = signed {
        tracing::warn!(%error, "the process id could not be written into the lock file");
    }
    file
}
