//! Everything that may happen to the files of a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

macro_rules! damages {
    ($($(#[doc = $what:literal])* $name:ident,)+) => {
        /// What happens to a database's files.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Damage {
            $($(#[doc = $what])* $name,)+
        }

        pub(crate) const ALL: &[Damage] = &[$(Damage::$name,)+];
    };
}

damages! {
    Deleted,
    Renamed,
    /// By another database of the same kind.
    Replaced,
    LogDeleted,
    IndexDeleted,
    IndexCutShort,
    /// An older file under the log of the newer one.
    ForeignLog,
    /// An older copy of everything, put over it in place.
    CopiedOver,
    /// Copies with names like those that the program gives.
    CopyBeside,
    Emptied,
    Truncated,
    NewerVersion,
}

use Damage::*;

/// The files of one database.
#[derive(Clone)]
pub(crate) struct Files {
    folder: PathBuf,
    name: &'static str,
    /// All of them as they were a while ago, and those of another database.
    older: Arc<tempfile::TempDir>,
    other: Arc<tempfile::TempDir>,
}

const ENDINGS: [&str; 4] = ["", "-wal", "-shm", "-checkpoint"];

impl Files {
    pub(crate) fn new(folder: PathBuf, name: &'static str, other: &Path) -> Self {
        let [older, another] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
        let files = Self {
            folder,
            name,
            older: Arc::new(older),
            other: Arc::new(another),
        };
        files.each(|path, name| {
            std::fs::copy(path, files.older.path().join(name)).expect("copies");
        });
        for file in std::fs::read_dir(other).expect("reads").flatten() {
            if file.file_name().to_string_lossy().starts_with(name) {
                std::fs::copy(file.path(), files.other.path().join(file.file_name()))
                    .expect("copies");
            }
        }
        files
    }

    /// The same in another folder, to which everything was copied.
    pub(crate) fn within(&self, folder: PathBuf) -> Self {
        Self {
            folder,
            ..self.clone()
        }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.db{ending}", self.name))
    }

    fn each(&self, work: impl Fn(&Path, String)) {
        for ending in ENDINGS {
            let path = self.path(ending);
            if path.exists() {
                work(&path, format!("{}.db{ending}", self.name));
            }
        }
    }

    /// Puts the files of a folder over these, in place or by renaming, as `cp` and `rsync` do.
    fn put(&self, from: &Path, endings: &[&str], in_place: bool) {
        for ending in endings {
            let (source, target) = (
                from.join(format!("{}.db{ending}", self.name)),
                self.path(ending),
            );
            if source.exists() && in_place {
                std::fs::copy(source, target).expect("copies");
            } else if source.exists() {
                let fresh = self.folder.join("fresh");
                std::fs::copy(source, &fresh).expect("copies");
                std::fs::rename(fresh, target).expect("renames");
            }
        }
    }

    /// Waits until nothing is written any more: nobody tells of that.
    pub(crate) fn rest(&self) {
        let bytes = || self.path("-wal").metadata().map_or(0, |file| file.len());
        let mut before = bytes();
        loop {
            std::thread::sleep(Duration::from_millis(250));
            match bytes() {
                now if now == before => return,
                now => before = now,
            }
        }
    }

    pub(crate) fn suffer(&self, damage: Damage) {
        // it may not be there
        let remove = |ending: &str| drop(std::fs::remove_file(self.path(ending)));
        match damage {
            Deleted => ENDINGS.iter().for_each(|ending| remove(ending)),
            Renamed => {
                std::fs::rename(self.path(""), self.folder.join("elsewhere")).expect("renames");
                ENDINGS[1..].iter().for_each(|ending| remove(ending));
            }
            Replaced => self.put(self.other.path(), &ENDINGS, false),
            LogDeleted => ["-wal", "-shm"].iter().for_each(|ending| remove(ending)),
            IndexDeleted => remove("-shm"),
            IndexCutShort => std::fs::write(self.path("-shm"), "").expect("truncates"),
            ForeignLog => self.put(self.older.path(), &[""], false),
            CopiedOver => self.put(self.older.path(), &ENDINGS, true),
            CopyBeside => {
                for name in ["2", "002", "20261125"] {
                    let beside = self.folder.join(format!("{}.{name}.db", self.name));
                    std::fs::copy(self.path(""), beside).expect("copies");
                }
            }
            Emptied => std::fs::write(self.path(""), "").expect("truncates"),
            Truncated => {
                let file = std::fs::OpenOptions::new()
                    .write(true)
                    .open(self.path(""))
                    .expect("opens");
                file.set_len(file.metadata().expect("is there").len() / 2)
                    .expect("truncates");
            }
            NewerVersion => {
                let fresh = self.folder.join("fresh");
                std::fs::copy(self.path(""), &fresh).expect("copies");
                let newer = rusqlite::Connection::open(&fresh).expect("opens");
                newer
                    .pragma_update(None, "journal_mode", "delete")
                    .expect("sets");
                newer
                    .pragma_update(None, "user_version", 999)
                    .expect("sets");
                drop(newer);
                std::fs::copy(&fresh, self.path("")).expect("puts it over");
                std::fs::remove_file(fresh).expect("removes");
            }
        }
    }
}
