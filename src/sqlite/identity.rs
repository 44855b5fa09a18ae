//! Which files a database has open, and whether their names still refer to them.
//!
//! SQLite continues to write into a file that was deleted or replaced, without an error ("How To
//! Corrupt An SQLite Database File", sections 1 and 4). So before each transaction and before its
//! result, the device and inode of the file, of its write-ahead log (`-wal`) and of the log's index
//! (`-shm`) are compared with the opened ones. A file that was overwritten in place keeps its
//! inode: it is detected by a time or size that none of our checkpoints caused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The identity of a file, independent of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// The identity of a file, read at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) id: FileId,
    pub(super) bytes: u64,
    modified: (i64, i64),
    /// Number of the file's names (hard links).
    pub(super) names: u64,
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(file: &std::fs::Metadata) -> Self {
        let id = FileId {
            device: file.dev(),
            inode: file.ino(),
        };
        Self {
            id,
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            names: file.nlink(),
        }
    }
}

impl Stamp {
    /// Returns the file that a name refers to; `None` if there is none.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match path.metadata() {
            Ok(file) => Ok(Some(Self::from(&file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The origin of a database file, as stored in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// Shared by all generations of one database.
    pub(super) lineage: [u8; 16],
    /// Number of copies made after a file became suspect.
    pub(super) generation: u32,
    /// The generation from which this one was copied.
    pub(super) parent: Option<u32>,
    /// The write-ahead log of that file.
    pub(super) source: Option<String>,
}

impl FileId {
    /// Formats the id as a copy stores it.
    pub(super) fn as_source(self) -> String {
        format!("{}:{}", self.device, self.inode)
    }
}

/// One descriptor of a database file, for the whole process.
///
/// Closing any descriptor of a file releases all POSIX locks that the process has on it, including
/// those of SQLite. So this one is shared, and is closed after the last connection.
#[derive(Debug)]
pub(super) struct MainFile {
    file: File,
    pub(super) id: FileId,
    pub(super) origin: Mutex<Option<Origin>>,
    /// The index that all connections of this process share while one of them is open, whatever its
    /// name refers to.
    index: OnceLock<Stamp>,
}

/// Offset in the header of a database file of `user_version`, which is followed by
/// `application_id`.
const VERSION_OFFSET: u64 = 60;
const CHECKPOINT_OFFSET: u64 = 68;

static OPEN: Mutex<BTreeMap<FileId, Weak<MainFile>>> = Mutex::new(BTreeMap::new());

impl MainFile {
    pub(super) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, file| file.strong_count() > 0);
        if let Some(known) = Stamp::of(path)?.and_then(|stamp| open.get(&stamp.id)?.upgrade()) {
            return Ok(known);
        }
        let file = File::open(path)?;
        let id = Stamp::from(&file.metadata()?).id;
        if let Some(known) = open.get(&id).and_then(Weak::upgrade) {
            std::mem::forget(file); // it was renamed between two checks; closing it would release locks
            return Ok(known);
        }
        let main = Arc::new(Self {
            file,
            id,
            origin: Mutex::default(),
            index: OnceLock::new(),
        });
        open.insert(id, Arc::downgrade(&main));
        Ok(main)
    }

    /// The id of the last checkpoint in the file itself, without its write-ahead log.
    pub(super) fn checkpoint(&self) -> io::Result<u32> {
        self.number_at(CHECKPOINT_OFFSET)
    }

    /// Syncs the file.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn number_at(&self, offset: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(u32::from_be_bytes(bytes))
    }
}

/// Reads from a file that no connection of this process has open; otherwise returns the known
/// value.
pub(super) fn probe<T>(
    path: &Path,
    known: impl FnOnce(&MainFile) -> T,
    read: impl FnOnce() -> T,
) -> io::Result<T> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let file = Stamp::of(path)?.and_then(|stamp| open.get(&stamp.id)?.upgrade());
    Ok(match file {
        Some(file) => known(&file),
        None => read(),
    })
}

/// Whether the names of open files still refer to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drift {
    /// They refer to the open files.
    None,
    /// The index of the write-ahead log was deleted or replaced. All connections of this process
    /// must be closed, then it is made again from the log.
    Index,
    /// Another program wrote to the file or its log, or the log became shorter.
    Touched,
    /// The file or its log was deleted or replaced.
    Lost,
}

/// The files that a connection has open.
#[derive(Debug)]
pub(super) struct OpenFiles {
    path: PathBuf,
    pub(super) main: Arc<MainFile>,
    seen: Stamp,
    wal: Option<Stamp>,
    /// The last checkpoint seen in the file.
    checkpoint: u32,
    /// The last schema version seen in the file.
    version: u32,
}

impl OpenFiles {
    /// Returns the open files of a connection that has just read. `None` if a name refers to
    /// another file by now.
    pub(super) fn of(path: &Path, main: Arc<MainFile>) -> io::Result<Option<Self>> {
        let Some(seen) = Stamp::of(path)?.filter(|stamp| stamp.id == main.id) else {
            return Ok(None);
        };
        let [wal, shm] = [wal(path), shm(path)].map(|path| Stamp::of(&path));
        if let Some(index) = shm? {
            main.index.get_or_init(|| index);
        }
        let (checkpoint, version) = (main.checkpoint()?, main.number_at(VERSION_OFFSET)?);
        Ok(Some(Self {
            path: path.to_owned(),
            main,
            seen,
            wal: wal?,
            checkpoint,
            version,
        }))
    }

    pub(super) fn drift(&self) -> io::Result<Drift> {
        let [main, wal, shm] =
            [self.path.clone(), wal(&self.path), shm(&self.path)].map(|path| Stamp::of(&path));
        let (main, wal, shm) = (main?, wal?, shm?);
        let is_lost = |was: Option<Stamp>, is: Option<Stamp>| {
            was.is_some_and(|was| is.map(|is| is.id) != Some(was.id))
        };
        let is_short = |was: Option<Stamp>, is: Option<Stamp>| {
            was.zip(is).is_some_and(|(was, is)| is.bytes < was.bytes)
        };
        if is_lost(Some(self.seen), main) || is_lost(self.wal, wal) {
            return Ok(Drift::Lost);
        }
        let index = self.main.index.get().copied();
        if is_lost(index, shm) {
            return Ok(Drift::Index);
        }
        if is_short(index, shm) {
            self.lengthen_index(index)?;
        }
        Ok(if main != Some(self.seen) || is_short(self.wal, wal) {
            Drift::Touched
        } else {
            Drift::None
        })
    }

    /// Whether our own checkpoints explain a changed file. If so, its new state becomes the
    /// expected one.
    ///
    /// A restored file is of an older checkpoint, or of one that was never noted; or its log is
    /// shorter without a checkpoint. `noted` has the ids of the note, if there is one; the caller
    /// has it locked.
    pub(super) fn accept(&mut self, noted: Option<&[u32]>) -> io::Result<bool> {
        let now = match Self::of(&self.path, self.main.clone()) {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(false),
            // The file is too short to be a database of ours.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_noted = noted.is_none_or(|ids| ids.contains(&now.checkpoint));
        let steps = now.checkpoint.wrapping_sub(self.checkpoint);
        let is_ahead = steps > 0 && steps < u32::MAX / 2; // serial numbers, RFC 1982
        let is_whole = self
            .wal
            .zip(now.wal)
            .is_none_or(|(was, is)| is.bytes >= was.bytes);
        let is_cut = now.seen.bytes < self.seen.bytes; // landfall never makes a file shorter
        // A later version of the program may have migrated the tables: the file is opened again.
        let is_newer = now.version > self.version;
        let is_explained =
            is_noted && !is_cut && !is_newer && (is_ahead || (steps == 0 && is_whole));
        if is_explained {
            *self = now;
        }
        Ok(is_explained)
    }

    /// Whether something else than a checkpoint of ours wrote the file itself.
    pub(super) fn is_overwritten(&self, noted: Option<&[u32]>) -> bool {
        let is_touched = Stamp::of(&self.path).is_ok_and(|now| now != Some(self.seen));
        let is_known = self.main.checkpoint().is_ok_and(|now| {
            noted.is_none_or(|ids| ids.contains(&now))
                && now.wrapping_sub(self.checkpoint) < u32::MAX / 2
        });
        is_touched && !is_known
    }

    /// The changes that this connection just wrote become the expected state.
    pub(super) fn on_written(&mut self) {
        if let Ok(Some(now)) = Stamp::of(&wal(&self.path))
            && self.wal.is_none_or(|was| now.id == was.id)
        {
            self.wal = Some(now);
        }
    }

    /// This connection made a checkpoint.
    pub(super) fn on_checkpoint(&mut self) {
        if let Ok(Some(now)) = Self::of(&self.path, self.main.clone()) {
            *self = now;
        }
    }

    /// Returns the id of the open write-ahead log.
    pub(super) fn wal_id(&self) -> Option<FileId> {
        self.wal.map(|wal| wal.id)
    }

    /// Removes the names that still refer to the open files.
    pub(super) fn remove_names(&self) {
        let index = self.main.index.get().copied();
        let open = [
            (self.path.clone(), Some(self.seen)),
            (wal(&self.path), self.wal),
            (shm(&self.path), index),
        ];
        for (path, stamp) in open {
            let is_ours = Stamp::of(&path)
                .is_ok_and(|now| now.is_some() && now.map(|now| now.id) == stamp.map(|s| s.id));
            if is_ours {
                let _ = std::fs::remove_file(path); // its readers may continue
            }
        }
    }

    /// Restores the length of a truncated index, since a truncated one kills processes that read its
    /// mapped pages. SQLite rebuilds an index of zeros.
    fn lengthen_index(&self, index: Option<Stamp>) -> io::Result<()> {
        let file = File::options().write(true).open(shm(&self.path))?;
        file.set_len(index.map_or(0, |index| index.bytes))?;
        std::mem::forget(file); // closing it would release the locks on it
        Ok(())
    }

    /// Makes SQLite read the write-ahead log again: the index belongs to another log.
    pub(super) fn forget_index(&self) -> io::Result<()> {
        let file = File::options().write(true).open(shm(&self.path))?;
        file.write_all_at(&[0; 136], 0)?;
        std::mem::forget(file); // closing it would release the locks on it
        Ok(())
    }
}

pub(super) fn wal(path: &Path) -> PathBuf {
    with_ending(path, "-wal")
}

fn shm(path: &Path) -> PathBuf {
    with_ending(path, "-shm")
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(ending);
    whole.into()
}
