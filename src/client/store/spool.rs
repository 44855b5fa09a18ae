//! Entries that were kept while another process held the store and could not be asked to let go: one file each.
//!
//! A process that was stopped inside a write keeps its lock for as long as it stands still, and nobody may break that. So
//! an entry is written into a folder of the profile, synced, and the next process that opens the store takes it over.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::persist::{NewEntry, Outcome};
use crate::protocol::EntryId;
use crate::sqlite::DbError;
use crate::system;

const FOLDER: &str = "spool";

/// Keeps entries, in their order; on disk when this returns. All of them are in one file, so all or none are kept.
///
/// # Errors
/// When they cannot be written: then none is kept.
pub fn keep(profile: &Path, entries: &[NewEntry]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let folder = profile.join(FOLDER);
    fs::create_dir_all(&folder)?;
    File::open(profile)?.sync_all()?; // the folder's name
    let fresh = folder.join(format!("{}.new", EntryId::from_parts(system::unix_ms(), system::random())));
    let file = File::create(&fresh)?;
    serde_json::to_writer(&file, entries)?;
    file.sync_all()?;
    let named = give_name(&folder, &fresh);
    let _ = fs::remove_file(&fresh); // its other name is what counts
    named?;
    File::open(&folder)?.sync_all()
}

/// Numbered, and not by a clock, which may be set back: files are taken over in the order in which they were written.
fn give_name(folder: &Path, fresh: &Path) -> io::Result<()> {
    let number = |file: fs::DirEntry| file.path().file_stem()?.to_str()?.parse::<u64>().ok();
    let highest = fs::read_dir(folder)?.flatten().filter_map(number).max().unwrap_or(0);
    for number in highest + 1.. {
        let name = folder.join(format!("{number:020}.json"));
        match fs::hard_link(fresh, &name) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another process was quicker
            Err(_) => return fs::rename(fresh, name),                        // a disk without hard links
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What was kept: each file with its entries, in the order in which they were typed. A file that cannot be read stays.
pub(super) fn kept(profile: &Path) -> Vec<(PathBuf, Vec<NewEntry>)> {
    let files = fs::read_dir(profile.join(FOLDER)).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        files.map(|file| file.path()).filter(|path| path.extension() == Some("json".as_ref())).collect();
    names.sort();
    let read = |path: PathBuf| match File::open(&path).map_err(serde_json::Error::io).and_then(serde_json::from_reader)
    {
        Ok(entries) => Some((path, entries)),
        Err(error) => {
            tracing::error!(%error, file = %path.display(), "a kept entry cannot be read");
            None
        }
    };
    names.into_iter().filter_map(read).collect()
}

/// Moves spooled entries into the outbox, oldest file first. Stops at the first file that cannot be stored, so that later
/// entries do not overtake it.
pub(super) fn take_over(profile: &Path, mut enqueue: impl FnMut(Vec<NewEntry>) -> Result<Outcome, DbError>) {
    for (file, entries) in kept(profile) {
        match enqueue(entries) {
            Ok(Outcome::Queued) => forget(&file),
            result => {
                tracing::warn!(?result, file = %file.display(), "spooled entries stay until the next attempt");
                return;
            }
        }
    }
}

/// Its entries are in the store.
fn forget(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, file = %path.display(), "what was taken over stays"); // taken again, it is known by its id
    }
}
