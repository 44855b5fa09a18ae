//! Backups: a consistent copy of an open database in one file; restoring it; checking a database.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, params};
use rustix::fs::FlockOperation;

use super::generation::{self, immutable};
use super::identity::{MainFile, Stamp, with_ending};
use super::names::{BEFORE, fresh_name};
use super::note::{LogState, Note, Noted};
use super::opening::{self, check_integrity, set_up};
use super::{DbError, Schema};
use crate::sqlite::scalar;
use crate::system;

/// The endings of the files of a database; the file itself is first. The note is not among them: it
/// is the lock, and then describes the new file.
const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    pub rooms: u64,
    /// Number of log entries.
    pub entries: u64,
    /// Number of messages in the outbox; 0 for a server.
    pub pending: u64,
    /// The problems of the logs, one line each.
    pub problems: Vec<String>,
}

/// Copies the content that a connection reads into a new file, as of one instant, while other
/// connections may write.
///
/// # Errors
/// [`DbError`]; the new file is incomplete.
pub(super) fn copy(source: &Connection, fresh: &Path) -> Result<Connection, DbError> {
    let mut copy = Connection::open(fresh)?;
    set_up(&copy)?;
    let step = Backup::new(source, &mut copy)?.step(-1)?;
    if step != StepResult::Done {
        return Err(DbError::Busy);
    }
    copy.pragma_update(None, "journal_mode", "delete")?; // one file, without a write-ahead log
    check_integrity(&copy, fresh)?;
    Ok(copy)
}

/// Writes a backup into a new file, which gets its name once it is complete, checked and synced.
///
/// # Errors
/// [`DbError::Exists`] when a file has the name: a backup never replaces one. Damage is that of the
/// source.
pub(super) fn back_up(source: &Connection, to: &Path) -> Result<(), DbError> {
    if to.symlink_metadata().is_ok() {
        return Err(DbError::Exists {
            path: to.to_owned(),
        });
    }
    if let Some(folder) = to
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(DbError::NoFolder {
            path: folder.to_owned(),
        });
    }
    let fresh = fresh_name(to);
    let made = copy(source, &fresh).and_then(|copy| {
        drop(copy);
        generation::publish(&fresh, to)
    });
    let _ = fs::remove_file(&fresh); // it has its name now, or is of no use
    if made? {
        Ok(())
    } else {
        Err(DbError::Exists {
            path: to.to_owned(),
        })
    }
}

/// Replaces the database of a folder by a backup. `prepare` changes the copy before it gets its
/// name. The replaced files keep all data under another name, `NAME.before-STAMP`, which is
/// returned.
///
/// After a crash at any instant there is the old database, the new one, or both; the next start
/// reports the last case.
///
/// # Errors
/// [`DbError::InUse`] while any process has the database open; [`DbError::OtherKind`] when
/// the file is not such a backup.
pub fn restore(
    from: &Path,
    folder: &Path,
    schema: &Schema,
    stamp: &str,
    prepare: impl FnOnce(&Connection) -> Result<(), DbError>,
) -> Result<Option<PathBuf>, DbError> {
    let numbers = generation::candidates(folder, schema);
    let name = generation::path(folder, schema, numbers.last().copied().unwrap_or(1));
    let id = |path: &Path| Stamp::of(path).ok().flatten().map(|stamp| stamp.id);
    if numbers
        .iter()
        .any(|number| id(&generation::path(folder, schema, *number)) == id(from))
    {
        return Err(DbError::InUse {
            path: from.to_owned(),
        });
    }
    let files: Vec<PathBuf> = numbers
        .iter()
        .map(|number| generation::path(folder, schema, *number))
        .collect();
    let alone = Alone::lock(folder, schema, &numbers)?;
    let fresh = fresh_name(&name);
    let restored = fill(
        from,
        &fresh,
        schema,
        numbers.last().copied().unwrap_or(1),
        prepare,
    )
    .and_then(|id| take_place(&fresh, &name, &files, stamp).map(|aside| (id, aside)));
    let _ = fs::remove_file(&fresh); // it has its name now, or is of no use
    let (id, aside) = restored?;
    // where it cannot be written, the next start reports that the file is another
    let _ = alone.note.write([id, id], LogState::Empty);
    Ok(aside)
}

fn fill(
    from: &Path,
    fresh: &Path,
    schema: &Schema,
    number: u32,
    prepare: impl FnOnce(&Connection) -> Result<(), DbError>,
) -> Result<u32, DbError> {
    let source = open_copy(from, schema)?;
    let mut copy = copy(&source, fresh).map_err(|error| error.at(from))?;
    opening::migrate(&mut copy, schema, number)?;
    // A new lineage: a running process must not take it for the next generation of its own file.
    let origin = params![system::random::<16>(), number];
    copy.execute(
        "UPDATE file SET lineage = ?1, generation = ?2, parent = NULL, source = NULL",
        origin,
    )?;
    let id = opening::checkpoint_id();
    copy.pragma_update(None, "application_id", id)?;
    prepare(&copy)?;
    Ok(id.cast_unsigned())
}

/// Opens a backup, or another copy of a database, for reading.
///
/// # Errors
/// [`DbError::OtherKind`], [`DbError::Newer`], or the problem of the file.
pub(super) fn open_copy(path: &Path, schema: &Schema) -> Result<Connection, DbError> {
    let at = |error: DbError| error.at(path);
    match path.metadata() {
        Ok(file) if file.is_file() && file.len() == 0 => {
            return Err(DbError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(file) if file.is_file() => {
            let unreadable = |error: io::Error| DbError::Unreadable {
                path: path.to_owned(),
                what: error.to_string(),
            };
            // SQLite has one error for everything that can be wrong here.
            drop(File::open(path).map_err(unreadable)?);
        }
        Ok(_) => {
            return Err(DbError::OtherKind {
                path: path.to_owned(),
            });
        }
        Err(error) => {
            return Err(DbError::Unreadable {
                path: path.to_owned(),
                what: error.to_string(),
            });
        }
    }
    let has_log = !opening::is_log_empty(path);
    // closed before it is opened
    let checkpoint = || MainFile::open(path).and_then(|main| main.checkpoint()).ok();
    let is_foreign = |noted: Noted| checkpoint().is_some_and(|id| !noted.ids.contains(&id));
    if has_log && Note::peek(path).is_some_and(is_foreign) {
        return Err(DbError::ForeignLog {
            path: path.to_owned(),
        });
    }
    let connection = if has_log {
        Connection::open_with_flags(path, super::READ_WRITE)?
    } else {
        Connection::open_with_flags(immutable(path), super::READ_ONLY_URI)?
    };
    set_up(&connection).map_err(at)?;
    let has_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let found = connection
        .prepare(has_table)
        .and_then(|mut table| table.exists([schema.signature]));
    if !found.map_err(DbError::from).map_err(at)? {
        return Err(DbError::OtherKind {
            path: path.to_owned(),
        });
    }
    let found = opening::version(&connection)?;
    if found > schema.version {
        return Err(DbError::Newer {
            path: path.to_owned(),
            found,
            known: schema.version,
        });
    }
    Ok(connection)
}

/// Gives the new file its name, after renaming the old files, which keep their data.
fn take_place(
    fresh: &Path,
    name: &Path,
    files: &[PathBuf],
    stamp: &str,
) -> Result<Option<PathBuf>, DbError> {
    let failed = |error: io::Error| {
        DbError::of_space(&error)
            .unwrap_or_else(|| DbError::Other(format!("{}: {error}", name.display())))
    };
    let aside = free_name(name, files, stamp)?;
    let is_old = |path: &PathBuf| path.exists();
    for file in files {
        for ending in ENDINGS {
            let old = with_ending(file, ending);
            if is_old(&old) {
                keep_as(&old, &with_ending(&aside(file), ending)).map_err(failed)?;
            }
        }
    }
    if files.is_empty() {
        // There may be a log without its file.
        for ending in &ENDINGS[1..] {
            let old = with_ending(name, ending);
            if is_old(&old) {
                fs::rename(&old, with_ending(&aside(name), ending)).map_err(failed)?;
            }
        }
    }
    let folder = name.parent().unwrap_or(Path::new("."));
    generation::sync(fresh)?;
    generation::sync(folder)?;
    fs::rename(fresh, name).map_err(failed)?;
    generation::sync(folder)?;
    // From here on a start finds the new file, and reports that the log beside it belongs to another
    // one.
    for file in files {
        for ending in ENDINGS.into_iter().chain([".suspect"]) {
            let old = with_ending(file, ending);
            if old != name && is_old(&old) {
                fs::remove_file(&old).map_err(failed)?;
            }
        }
        if file != name {
            // left by a file that is missing now
            let _ = fs::remove_file(with_ending(file, super::note::ENDING));
        }
    }
    generation::sync(folder)?;
    Ok(files.last().map(|file| aside(file)))
}

/// Returns the names that the old files get: with the stamp, and with a number if that name exists.
fn free_name(
    name: &Path,
    files: &[PathBuf],
    stamp: &str,
) -> Result<impl Fn(&Path) -> PathBuf + use<>, DbError> {
    let ending = |n: u32| {
        if n == 1 {
            format!("{BEFORE}{stamp}")
        } else {
            format!("{BEFORE}{stamp}-{n}")
        }
    };
    let is_free = |n: &u32| {
        let names = files.iter().map(PathBuf::as_path).chain([name]);
        let mut all = names.flat_map(|file| {
            ENDINGS.map(|part| with_ending(&with_ending(file, &ending(*n)), part))
        });
        all.all(|path| path.symlink_metadata().is_err())
    };
    let free = (1..1_000)
        .find(is_free)
        .map(ending)
        .ok_or_else(|| DbError::Exists {
            path: name.to_owned(),
        })?;
    Ok(move |file: &Path| with_ending(file, &free))
}

/// Gives a file a second name, or copies it where the file system has no hard links. It never
/// replaces a file.
fn keep_as(old: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(old, name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let mut copy = OpenOptions::new().write(true).create_new(true).open(name)?;
            io::copy(&mut File::open(old)?, &mut copy)?;
            copy.sync_all()
        }
        linked => linked,
    }
}

/// Locks a database's files against every process that has it open or opens it. It uses the locks
/// of SQLite, which has a shared one for as long as a connection is open in WAL mode.
struct Alone {
    _files: Vec<File>,
    note: Note,
}

impl Alone {
    fn lock(folder: &Path, schema: &Schema, numbers: &[u32]) -> Result<Self, DbError> {
        let newest = generation::path(folder, schema, numbers.last().copied().unwrap_or(1));
        let in_use = || DbError::InUse {
            path: newest.clone(),
        };
        let note = Note::try_lock(&newest).ok().flatten().ok_or_else(in_use)?;
        let mut files = Vec::new();
        for number in numbers {
            let file = generation::path(folder, schema, *number);
            for path in [with_ending(&file, "-shm"), file] {
                let Ok(open) = OpenOptions::new().read(true).write(true).open(&path) else {
                    continue;
                };
                match rustix::fs::fcntl_lock(&open, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => files.push(open),
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                        return Err(in_use());
                    }
                    Err(_) => {} // the file system has no locks
                }
            }
        }
        Ok(Self {
            _files: files,
            note,
        })
    }
}

/// Compares the tables of a database with those of its version.
fn check_tables(connection: &Connection, path: &Path, schema: &Schema) -> Result<(), DbError> {
    let objects = |connection: &Connection| {
        let sql = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'";
        let mut statement = connection.prepare(sql)?;
        statement
            .query_map([], scalar::<String>)?
            .collect::<Result<BTreeSet<_>, _>>()
    };
    let mut expected = Connection::open_in_memory()?;
    let version = usize::try_from(opening::version(connection)?).unwrap_or_default();
    schema
        .migrations
        .to_version(&mut expected, version)
        .map_err(|error| DbError::Other(error.to_string()))?;
    match objects(&expected)?.difference(&objects(connection)?).next() {
        None => Ok(()),
        Some(missing) => Err(DbError::Corrupt {
            path: path.to_owned(),
            what: format!("{missing} is missing"),
        }),
    }
}

/// Checks every page, table and reference of a database.
///
/// # Errors
/// [`DbError::Corrupt`] with the first problem.
pub(super) fn check(connection: &Connection, path: &Path, schema: &Schema) -> Result<(), DbError> {
    check_integrity(connection, path)?;
    check_tables(connection, path, schema)?;
    let dangling = connection.prepare("PRAGMA foreign_key_check")?.exists([])?;
    if dangling {
        let what = "a row refers to another one that is missing".to_owned();
        return Err(DbError::Corrupt {
            path: path.to_owned(),
            what,
        });
    }
    Ok(())
}
