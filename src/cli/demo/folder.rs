//! The temporary folder of a demo, and what killed demos have left.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::cli::exit::{self, Failure};

/// Before a random number in the name of a demo's folder.
const FOLDER: &str = "landfall-demo-";
/// A file in that folder, which a running demo has locked.
const LOCK: &str = "lock";
/// A folder without a lock file is removed after this time.
const LEFT_OVER: Duration = Duration::from_secs(3_600);

/// Removes the folders of demos that were killed. A lock shows that a demo runs, and not the number
/// of its process: another container with the same temporary folder has other numbers.
fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let is_demo = name.to_str().is_some_and(|name| name.starts_with(FOLDER));
        if is_demo {
            remove_if_left(&entry.path());
        }
    }
}

/// Removes a folder that no demo uses any more. The lock is released after the removal, so that a demo
/// that has just made the folder sees it. A folder of another user stays.
fn remove_if_left(folder: &Path) {
    let is_old = || {
        let changed = folder
            .symlink_metadata()
            .and_then(|folder| folder.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_OVER))
    };
    let lock = open(&folder.join(LOCK));
    let is_left = match &lock {
        Ok(lock) => lock.metadata().is_ok_and(|lock| lock.is_file()) && lock.try_lock().is_ok(),
        // removed in part, or made at this moment
        Err(error) => error.kind() == std::io::ErrorKind::NotFound && is_old(),
    };
    if is_left {
        let _ = std::fs::remove_dir_all(folder); // another demo may have removed it
    }
}

/// Opens without waiting for the other side of a pipe, which another user may have put there.
fn open(file: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(file)
}

/// The demo's folder; it is removed with the demo.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn make() -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        Self::make_in(&place).map_err(|error| {
            let place = place.display();
            let text =
                format!("cannot make a folder in {place}: {error}; name another place in TMPDIR");
            Failure::new(exit::CANNOT_CREATE, text)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn make_in(place: &Path) -> std::io::Result<Self> {
        sweep(place);
        loop {
            let path = place.join(format!("{FOLDER}{:016x}", fastrand::u64(..)));
            DirBuilder::new().mode(0o700).create(&path)?;
            let lock = File::create(path.join(LOCK))?;
            lock.lock()?;
            // another demo may have removed the folder before it was locked
            if path.join(LOCK).exists() {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path); // the system empties its temporary folder, too
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_running_demo_is_kept() {
        let place = tempfile::tempdir().expect("a folder");
        let running = Folder::make_in(place.path()).expect("is made");
        let killed = place.path().join(format!("{FOLDER}99999"));
        std::fs::create_dir(&killed).expect("is made");
        std::fs::write(killed.join(LOCK), "").expect("is written");
        let other = place.path().join("letters");
        std::fs::create_dir(&other).expect("is made");
        std::fs::write(other.join(LOCK), "").expect("is written");
        // what another user may have put there does not stop the demo
        let pipe = place.path().join(format!("{FOLDER}pipe"));
        std::fs::create_dir(&pipe).expect("is made");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, pipe.join(LOCK), fifo, 0o600.into(), 0)
            .expect("a pipe");
        let path = running.path.clone();
        drop(Folder::make_in(place.path()).expect("is made"));
        assert!(path.is_dir() && other.is_dir() && !killed.exists());
        drop(running);
        assert!(!path.exists());
    }
}
