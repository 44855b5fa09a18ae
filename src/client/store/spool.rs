//! Entries that were kept while another process had locked the store and did not release it:
//! one file each.
//!
//! A process that was stopped inside a write keeps its lock for as long as it is stopped, and
//! no other process may break that. So an entry is written into a folder of the profile, synced, and the next
//! process that opens the store takes it over.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::persist::{NewEntry, Outcome};
use crate::protocol::EntryId;
use crate::sqlite::DbError;
use crate::system;

const FOLDER: &str = "spool";
/// Maximum spooled files: as many as the outbox has entries.
const FILES_MAX: usize = 10_000;

/// Saves entries, in order, and syncs. They are in one file, so all or none are saved.
///
/// # Errors
/// When the file cannot be written: nothing is saved.
pub fn keep(profile: &Path, entries: &[NewEntry]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let folder = profile.join(FOLDER);
    fs::create_dir_all(&folder)?;
    File::open(profile)?.sync_all()?; // the folder's name
    let id = EntryId::from_parts(system::unix_ms(), system::random());
    let fresh = folder.join(format!("{id}.new"));
    let file = File::create(&fresh)?;
    serde_json::to_writer(&file, entries)?;
    file.sync_all()?;
    let named = next_number(&folder)
        .and_then(|number| fs::rename(&fresh, folder.join(format!("{number:020}-{id}.json"))));
    if named.is_err() {
        let _ = fs::remove_file(&fresh); // nothing is saved
    }
    named?;
    File::open(&folder)?.sync_all()
}

/// Returns the first part of the next file's name: its position in the order, independent of
/// clocks. A number is used again once the folder is empty; the id behind it is unique, so a late
/// process removes only the file that it has read.
fn next_number(folder: &Path) -> io::Result<u64> {
    let number = |file: fs::DirEntry| {
        file.file_name()
            .to_str()?
            .split(['-', '.'])
            .next()?
            .parse::<u64>()
            .ok()
    };
    let numbers: Vec<_> = fs::read_dir(folder)?.flatten().filter_map(number).collect();
    if numbers.len() >= FILES_MAX {
        return Err(io::Error::other(format!(
            "{FILES_MAX} files wait for the store already"
        )));
    }
    Ok(numbers
        .into_iter()
        .max()
        .map_or(1, |highest| highest.saturating_add(1)))
}

/// Returns the names of the spooled files, in the order of writing.
pub(super) fn kept(profile: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(profile.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<_> = files
        .map(|file| file.path())
        .filter(|path| path.extension() == Some("json".as_ref()))
        .collect();
    names.sort();
    names
}

/// Moves spooled entries into the outbox, oldest file first. Stops at the first file that cannot be
/// read or stored, so that later entries do not overtake it. Only a damaged file is skipped: it
/// stays, and the log names it.
pub(super) fn take_over(
    profile: &Path,
    mut enqueue: impl FnMut(Vec<NewEntry>) -> Result<Outcome, DbError>,
) {
    for file in kept(profile) {
        let entries = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Vec<NewEntry>>(&bytes),
            // another process has moved it
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "spooled entries stay until the next attempt");
                return;
            }
        };
        match entries.map(&mut enqueue) {
            Ok(Ok(Outcome::Queued)) => forget(&file),
            Ok(result) => {
                tracing::warn!(?result, file = %file.display(), "spooled entries stay until the next attempt");
                return;
            }
            Err(error) => {
                tracing::error!(%error, file = %file.display(), "a spooled file is damaged")
            }
        }
    }
}

/// Removes a file whose entries are in the store.
fn forget(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        // taken over again, its entries are known by their ids
        tracing::warn!(%error, file = %path.display(), "what was taken over stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Kind, RoomId};

    fn entry(id: u8) -> NewEntry {
        let id = EntryId::from_parts(1, [id; 10]);
        NewEntry::plain(
            id,
            1,
            RoomId::from_random([1; 16]),
            Kind::Message,
            "typed".to_owned(),
        )
    }

    fn keep(folder: &Path, id: u8) {
        super::keep(folder, &[entry(id)]).expect("keeps");
    }

    fn taken(folder: &Path) -> Vec<EntryId> {
        let mut taken = Vec::new();
        take_over(folder, |entries| {
            taken.extend(entries.iter().map(|entry| entry.id));
            Ok(Outcome::Queued)
        });
        taken
    }

    #[test]
    fn spool_late_process_removes_only_read_files() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(folder.path(), 1);
        take_over(folder.path(), |_| {
            // another process is quicker, and a third one keeps the next entry
            taken(folder.path());
            keep(folder.path(), 2);
            Ok(Outcome::Queued)
        });
        assert_eq!(taken(folder.path()), [entry(2).id]);
    }

    #[test]
    fn spool_unreadable_file_is_not_overtaken() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(folder.path(), 1);
        let first = kept(folder.path()).remove(0);
        let aside = folder.path().join("aside");
        fs::rename(&first, &aside).expect("renames");
        fs::create_dir(&first).expect("a folder, which no process can read as a file");
        keep(folder.path(), 2);
        assert!(taken(folder.path()).is_empty());
        fs::remove_dir(&first).expect("removes");
        fs::rename(&aside, &first).expect("renames");
        assert_eq!(taken(folder.path()), [entry(1).id, entry(2).id]);
    }

    #[test]
    fn spool_damaged_file_stays_and_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(folder.path(), 1);
        fs::write(&kept(folder.path())[0], b"[{").expect("writes");
        keep(folder.path(), 2);
        assert_eq!(taken(folder.path()), [entry(2).id]);
        assert_eq!(kept(folder.path()).len(), 1);
    }
}
