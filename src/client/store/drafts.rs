//! Drafts that the store could not save: a file that is made in advance, and overwritten in place.
//!
//! It has two slots of [`SLOT_BYTES`], each with a count and a checksum. The older slot is
//! overwritten, so a crash leaves the other one intact. The newest draft is first; drafts that do
//! not fit are dropped from the end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::protocol::RoomId;

/// Space for a message of maximum length in any encoding, and some shorter ones.
const SLOT_BYTES: usize = 64 * 1024;
/// A checksum (8 bytes), then a count (8 bytes), then the length of the text (8 bytes).
const HEADER_BYTES: usize = 24;
const NAME: &str = "drafts";
/// A write takes a few ms: a process that has the lock for much longer is stopped.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The composer text of one room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Draft {
    /// The room of the text.
    pub room: RoomId,
    pub text: String,
}

/// An open draft file.
#[derive(Debug)]
pub struct DraftFile {
    file: File,
    path: PathBuf,
    /// The count of the newest slot.
    count: u64,
    drafts: Vec<Draft>,
}

impl DraftFile {
    /// Makes the draft file of a profile folder, in its full length, if it is missing.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn make(folder: &Path) -> io::Result<File> {
        let path = folder.join(NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        if file.metadata()?.len() < 2 * SLOT_BYTES as u64 {
            // Written, since a sparse file reserves no space on the disk.
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
            file.sync_all()?;
        }
        Ok(file)
    }

    /// Opens or makes the draft file of a profile folder.
    ///
    /// # Errors
    /// When the file cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (file, path) = (Self::make(folder)?, folder.join(NAME));
        let (count, drafts) = newest(&file).unwrap_or_default();
        Ok(Self {
            file,
            path,
            count,
            drafts,
        })
    }

    /// Returns the saved drafts, newest first.
    #[must_use]
    pub fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    /// Saves a draft before all others, and syncs. An empty text removes the room's draft.
    ///
    /// # Errors
    /// When the file cannot be written; the former drafts are still there.
    pub fn put(&mut self, draft: Draft) -> io::Result<()> {
        self.lock()?;
        let put = self.put_alone(draft);
        let _ = self.file.unlock(); // the lock ends with the file at the latest
        put
    }

    /// Another process of the profile may write its drafts. A stopped one is not waited for.
    fn lock(&self) -> io::Result<()> {
        for _ in 0..LOCK_TRIES {
            match self.file.try_lock() {
                // or this disk has no locks
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
                // as SQLite waits for its own locks
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn put_alone(&mut self, draft: Draft) -> io::Result<()> {
        if let Some(newest) = newest(&self.file).filter(|(count, _)| *count > self.count) {
            (self.count, self.drafts) = newest;
        }
        let mut drafts = self.drafts.clone();
        drafts.retain(|other| other.room != draft.room);
        if draft.text.is_empty() && drafts.len() == self.drafts.len() {
            return Ok(());
        }
        if !draft.text.is_empty() {
            drafts.insert(0, draft);
        }
        let text = loop {
            let text = serde_json::to_vec(&drafts)?;
            if text.len() <= SLOT_BYTES - HEADER_BYTES {
                break text;
            }
            if drafts.len() == 1 {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            drafts.pop();
        };
        let count = self.count + 1;
        let mut slot = vec![0; HEADER_BYTES];
        slot[8..16].copy_from_slice(&count.to_le_bytes());
        slot[16..24].copy_from_slice(&(text.len() as u64).to_le_bytes());
        slot.extend_from_slice(&text);
        let sum = checksum(&slot[8..]);
        slot[..8].copy_from_slice(&sum);
        if !self.is_named()? {
            return Err(io::ErrorKind::NotFound.into()); // the next start would not find it
        }
        self.file
            .write_all_at(&slot, (count % 2) * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.count = count;
        self.drafts = drafts;
        Ok(())
    }
}

impl DraftFile {
    /// Whether the name still refers to the open file.
    fn is_named(&self) -> io::Result<bool> {
        let (named, open) = (self.path.metadata()?, self.file.metadata()?);
        Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
    }
}

/// Returns the newer valid slot.
fn newest(file: &File) -> Option<(u64, Vec<Draft>)> {
    [0, 1]
        .into_iter()
        .filter_map(|slot| read(file, slot))
        .max_by_key(|(count, _)| *count)
}

fn read(file: &File, slot: u64) -> Option<(u64, Vec<Draft>)> {
    let mut bytes = vec![0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64)
        .ok()?;
    let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let (count, length) = (number(8)?, usize::try_from(number(16)?).ok()?);
    let text = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    if bytes[..8] != checksum(&bytes[8..HEADER_BYTES + length]) {
        return None;
    }
    Some((count, serde_json::from_slice(text).ok()?))
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let digest = Sha256::digest(bytes);
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(n: u8, text: &str) -> Draft {
        Draft {
            room: RoomId::from_random([n; 16]),
            text: text.to_owned(),
        }
    }

    #[test]
    fn newest_draft_survives_a_torn_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = DraftFile::open(folder.path()).expect("opens");
        assert_eq!(file.drafts(), []);
        file.put(draft(1, "one")).expect("writes");
        file.put(draft(2, "two")).expect("writes");
        file.put(draft(1, "one, rather")).expect("writes");
        let newest = [draft(1, "one, rather"), draft(2, "two")];
        assert_eq!(
            DraftFile::open(folder.path()).expect("opens").drafts(),
            newest
        );
        let torn = OpenOptions::new()
            .write(true)
            .open(folder.path().join(NAME))
            .expect("opens");
        torn.write_all_at(b"torn", SLOT_BYTES as u64 + 30)
            .expect("writes");
        let before = [draft(2, "two"), draft(1, "one")];
        assert_eq!(
            DraftFile::open(folder.path()).expect("opens").drafts(),
            before,
            "the slot before it"
        );
    }

    #[test]
    fn drafts_of_two_processes_are_both_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let [mut one, mut other] = [(); 2].map(|()| DraftFile::open(folder.path()).expect("opens"));
        one.put(draft(1, "in one window")).expect("writes");
        other.put(draft(2, "in the other")).expect("writes");
        one.put(draft(3, "and again")).expect("writes");
        let all = [
            draft(3, "and again"),
            draft(2, "in the other"),
            draft(1, "in one window"),
        ];
        assert_eq!(DraftFile::open(folder.path()).expect("opens").drafts(), all);
    }

    #[test]
    fn taken_draft_is_gone_and_file_stays_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = DraftFile::open(folder.path()).expect("opens");
        let long = "\u{1}".repeat(8 * 1024); // encoded, it takes most of a slot
        for n in 1..9 {
            file.put(draft(n, &long)).expect("writes");
        }
        assert_eq!(
            file.drafts(),
            [draft(8, &long)],
            "the newest one always fits"
        );
        let too_long = file.put(draft(9, &"x".repeat(SLOT_BYTES)));
        assert!(too_long.is_err_and(|error| error.kind() == io::ErrorKind::FileTooLarge));
        file.put(draft(8, "")).expect("writes");
        assert_eq!(DraftFile::open(folder.path()).expect("opens").drafts(), []);
        let bytes = std::fs::metadata(folder.path().join(NAME))
            .expect("is there")
            .len();
        assert_eq!(bytes, 2 * SLOT_BYTES as u64);
    }
}
