//! Copies of a server's data, as backups would be made, and the restore of one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A data folder and its copies. Nothing may write to the data meanwhile.
pub(super) struct DataCopies {
    data: PathBuf,
}

impl DataCopies {
    pub(super) const fn of(data: PathBuf) -> Self {
        Self { data }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn copy(&self) -> PathBuf {
        self.data.with_extension("copy")
    }

    fn next(&self) -> PathBuf {
        self.data.with_extension("next")
    }

    /// Makes the copy that is put back.
    pub(super) fn make(&self) -> io::Result<()> {
        copy_files(&self.data, &self.copy())
    }

    /// Makes a copy, and takes the one that was made the last time as the one to put back: so that
    /// one is never too young to show anything.
    pub(super) fn make_for_later(&self) -> io::Result<()> {
        let next = self.next();
        if next.is_dir() {
            let _ = fs::remove_dir_all(self.copy()); // it may be the first time
            fs::rename(&next, self.copy())?;
        }
        copy_files(&self.data, &next)
    }

    /// Replaces the data by the copy.
    pub(super) fn put_back(&self) -> io::Result<()> {
        // of a log that will not come back as it was
        let _ = fs::remove_dir_all(self.next());
        fs::remove_dir_all(&self.data)?;
        copy_files(&self.copy(), &self.data)
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    let _ = fs::remove_dir_all(to); // an older copy
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
