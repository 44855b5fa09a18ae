//! How a database file is made and opened: complete before it has its name, of a version that is
//! known, and with a write-ahead log that is its own.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::generation::{self, path};
use super::identity::{Drift, MainFile, OpenFiles, Origin, Stamp, wal, with_ending};
use super::names::{BEFORE, fresh_name, is_fresh_name};
use super::note::{LogState, Note};
use super::{DbError, Schema};
use crate::planted_bug::planted_bug;
use crate::sqlite::scalar;
use crate::system;

/// How long a lock of another process is waited for.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(5);
/// How long a new file may have the name under which it was made besides its own.
const PUBLISH_MAX: Duration = Duration::from_secs(1);
/// A file that is still being made after this time is not.
const UNFINISHED_MAX: Duration = Duration::from_secs(3_600);
const PUBLISH_PAUSE: Duration = Duration::from_millis(5);
/// Pages in memory for each connection, KiB.
const CACHE_KIB: i64 = 1024;

/// Makes a new file, complete before it gets its name: of two processes that do it at once, one
/// wins.
pub(super) fn create(folder: &Path, schema: &Schema) -> Result<(), DbError> {
    let name = path(folder, schema, 1);
    let fresh = fresh_name(&name);
    let made = fill(&fresh, schema)
        .and_then(|()| generation::publish(&fresh, &name))
        .map_err(|error| error.at(&name));
    let _ = std::fs::remove_file(&fresh); // it has its name now, or was of no use
    made.map(|_| ())
}

fn fill(path: &Path, schema: &Schema) -> Result<(), DbError> {
    let mut connection = Connection::open(path)?;
    set_up(&connection)?;
    connection.pragma_update(None, "application_id", checkpoint_id())?;
    migrate(&mut connection, schema, 1)
}

/// An id for the first checkpoint of a new file: never 0, which is what other programs leave there.
pub(super) fn checkpoint_id() -> i32 {
    u32::from_le_bytes(system::random()).cast_signed() | 1
}

/// Brings a file to the newest version; from then on it contains its generation.
pub(super) fn migrate(
    connection: &mut Connection,
    schema: &Schema,
    generation: u32,
) -> Result<(), DbError> {
    if version(connection)? < schema.version {
        schema
            .migrations
            .to_latest(connection)
            .map_err(|error| match error {
                rusqlite_migration::Error::RusqliteError { err, .. } => DbError::from(err),
                other => DbError::Other(other.to_string()),
            })?;
    }
    let founding = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "INSERT INTO file (lineage, generation) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM file)";
    founding.execute(sql, rusqlite::params![system::random::<16>(), generation])?;
    founding.commit()?;
    Ok(())
}

/// A database file as it was opened.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) files: OpenFiles,
    pub(super) origin: Option<Origin>,
    /// The file is an older copy, restored without a write-ahead log.
    pub(super) was_put_back: bool,
}

/// The relation of a file to its note and its write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trust {
    Own,
    /// Unknown: all of the file has to be checked.
    Unknown,
    /// An older state than the one that was here: another file, or one whose log was removed.
    PutBack,
}

/// Opens a file, while no other process can open, checkpoint or restore it.
pub(super) fn connect(path: &Path, schema: &Schema, writes: bool) -> Result<Connected, DbError> {
    let io_error = |error: std::io::Error| DbError::Other(error.to_string());
    if path.symlink_metadata().is_ok_and(|file| file.is_symlink()) {
        return Err(DbError::Link {
            path: path.to_owned(),
        });
    }
    loop {
        let note = Note::lock(path).map_err(|_| DbError::Busy)?;
        let main = MainFile::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => DbError::Moved {
                path: path.to_owned(),
            }, // since it was found by its name
            _ => DbError::NotWritable {
                path: path.to_owned(),
            },
        })?;
        refuse_second_name(path)?;
        let mut trust = trust(path, &main, &note)?;
        let mut connection = reader(path)?;
        refuse_newer(&connection, path, schema.version)?;
        if writes {
            connection.pragma_update(None, "query_only", false)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            migrate_once(&mut connection, path, schema)?;
        }
        // with this the log and its index are open, too
        let origin = generation::read_origin(&connection)?;
        refuse_wrong_name(path, schema, origin.as_ref())?;
        main.origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&origin);
        if writes && trust == Trust::Own && has_lost_log(&connection, path, &main, &note) {
            trust = Trust::PutBack;
        }
        if trust == Trust::Unknown {
            check_integrity(&connection, path)?;
        }
        if writes {
            note_first(path, &main, trust, &note);
        }
        let Some(files) = OpenFiles::of(path, main).map_err(io_error)? else {
            continue;
        };
        return match files.drift().map_err(io_error)? {
            // Another connection of this process still has an index that is gone.
            Drift::Index => Err(DbError::Moved {
                path: path.to_owned(),
            }),
            Drift::None | Drift::Touched | Drift::Lost => Ok(Connected {
                connection,
                files,
                origin,
                was_put_back: trust == Trust::PutBack,
            }),
        };
    }
}

/// A copy that was put over a later generation identifies as another one: the next start would
/// not find it.
fn refuse_wrong_name(path: &Path, schema: &Schema, origin: Option<&Origin>) -> Result<(), DbError> {
    let number = path
        .file_name()
        .and_then(|name| generation::number_of(name.to_str()?, schema))
        .unwrap_or(1);
    match origin {
        Some(origin) if number > 1 && origin.generation != number => Err(DbError::Misnamed {
            path: path.to_owned(),
            base: path.with_file_name(format!("{}.db", schema.name)),
        }),
        _ => Ok(()),
    }
}

/// Two names of one file would have two write-ahead logs. Another process that makes the file right
/// now, or ended while it did, has a second name for it, too, and so has a restore that ended
/// before it had replaced it: those are removed.
fn refuse_second_name(path: &Path) -> Result<(), DbError> {
    let other = |stamp: Stamp| {
        let siblings = std::fs::read_dir(path.parent()?)
            .ok()?
            .flatten()
            .map(|file| file.path());
        let is_other = |name: &PathBuf| {
            name != path
                && Stamp::of(name)
                    .is_ok_and(|found| found.is_some_and(|found| found.id == stamp.id))
        };
        siblings.into_iter().find(is_other)
    };
    let ours = [".new", BEFORE].map(|ending| with_ending(path, ending));
    let is_unfinished = |name: &PathBuf| {
        let name = name.as_os_str().as_encoded_bytes();
        ours.iter()
            .any(|own| name.starts_with(own.as_os_str().as_encoded_bytes()))
    };
    let has_two = || {
        Stamp::of(path)
            .ok()
            .flatten()
            .filter(|stamp| stamp.names > 1)
    };
    for _ in 0..PUBLISH_MAX.as_millis() / PUBLISH_PAUSE.as_millis() {
        let Some(stamp) = has_two() else {
            return Ok(());
        };
        match other(stamp) {
            Some(name) if is_unfinished(&name) => {
                std::thread::sleep(PUBLISH_PAUSE); // as SQLite waits for its own locks
                for ending in ["-wal", "-shm", super::note::ENDING, ""] {
                    let second = with_ending(&name, ending);
                    if is_second_name(&second, &with_ending(path, ending)) {
                        let _ = std::fs::remove_file(second); // its other name is what counts
                    }
                }
            }
            None if has_two().is_none() => return Ok(()), // it was removed just now
            other => {
                return Err(DbError::TwoNames {
                    path: path.to_owned(),
                    other,
                });
            }
        }
    }
    Ok(())
}

/// Removes files that a process was making when it ended, long enough ago.
pub(super) fn sweep(folder: &Path, schema: &Schema) {
    let is_old = |path: &Path| {
        let modified = path.metadata().and_then(|file| file.modified());
        modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNFINISHED_MAX))
    };
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_unfinished =
            is_fresh_name(&name, |name| generation::number_of(name, schema).is_some());
        if is_unfinished && is_old(&file.path()) {
            let _ = std::fs::remove_file(file.path()); // another process may be quicker
        }
    }
}

/// Whether two names lead to one file.
fn is_second_name(one: &Path, other: &Path) -> bool {
    let id = |path| Stamp::of(path).ok().flatten().map(|stamp| stamp.id);
    id(one).is_some() && id(one) == id(other)
}

/// Notes the checkpoint of a file that has no note yet, or the note of another file. Where none can
/// be written, all of the file is looked at once more.
fn note_first(path: &Path, main: &MainFile, trust: Trust, note: &Note) {
    let is_of_another = trust == Trust::PutBack;
    if let (true, Ok(checkpoint)) = (note.ids().is_none() || is_of_another, main.checkpoint())
        && main.sync().is_ok()
    {
        let log = if is_log_empty(path) {
            LogState::Empty
        } else {
            LogState::HasCommits
        };
        let _ = note.write([checkpoint, checkpoint], log);
    }
}

/// Whether there is nothing in the write-ahead log of a file.
pub(super) fn is_log_empty(path: &Path) -> bool {
    wal(path).metadata().map_or(0, |log| log.len()) == 0
}

/// Whether the log has content according to the note, and there is none. Checked where no process
/// else can be writing.
fn has_lost_log(connection: &Connection, path: &Path, main: &MainFile, note: &Note) -> bool {
    if !is_log_empty(path) {
        return false;
    }
    // writers wait for the note that is locked here
    let _ = connection.busy_timeout(Duration::ZERO);
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let _ = connection.busy_timeout(BUSY_MAX);
    if begun.is_err() {
        return false; // another process writes: so there is a log
    }
    let is_empty = is_log_empty(path);
    let noted = note.read();
    let _ = connection.execute_batch("ROLLBACK"); // nothing was written
    is_empty
        && noted
            .zip(main.checkpoint().ok())
            .is_some_and(|(noted, checkpoint)| {
                // A checkpoint that ended before it could be noted has emptied the log, and
                // numbered the file.
                let is_done = noted.ids[0] != noted.ids[1] && noted.ids[1] == checkpoint;
                noted.log == LogState::HasCommits && !is_done
            })
}

/// Two processes of a new version meet an old file one after the other: the second one finds
/// nothing left to do.
fn migrate_once(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), DbError> {
    if version(connection)? == schema.version && generation::read_origin(connection)?.is_some() {
        return Ok(());
    }
    let number = path
        .file_stem()
        .and_then(|name| Path::new(name).extension()?.to_str()?.parse().ok());
    migrate(connection, schema, number.unwrap_or(1))
}

fn trust(path: &Path, main: &MainFile, note: &Note) -> Result<Trust, DbError> {
    if planted_bug!(AnyLogFits) {
        return Ok(Trust::Own);
    }
    match (note.ids(), main.checkpoint()) {
        (Some(ids), Ok(checkpoint)) if ids.contains(&checkpoint) => Ok(Trust::Own),
        (Some(_), Ok(_)) if !is_log_empty(path) => Err(DbError::ForeignLog {
            path: path.to_owned(),
        }),
        (Some(_), Ok(_)) => Ok(Trust::PutBack),
        (None, _) | (_, Err(_)) => Ok(if is_log_empty(path) {
            Trust::Own
        } else {
            Trust::Unknown
        }),
    }
}

pub(super) fn check_integrity(connection: &Connection, path: &Path) -> Result<(), DbError> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], scalar)?;
    if found == "ok" {
        Ok(())
    } else {
        Err(DbError::Corrupt {
            path: path.to_owned(),
            what: super::in_words(&found),
        })
    }
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, DbError> {
    // Not with SQLITE_OPEN_READ_ONLY: a WAL that a crash left behind may have to be read, which
    // needs its index file.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn refuse_newer(connection: &Connection, path: &Path, known: i64) -> Result<(), DbError> {
    let found = version(connection)?;
    if found > known {
        Err(DbError::Newer {
            path: path.to_owned(),
            found,
            known,
        })
    } else {
        Ok(())
    }
}

pub(super) fn version(connection: &Connection) -> Result<i64, DbError> {
    Ok(connection
        .prepare_cached("PRAGMA user_version")?
        .query_row([], scalar)?)
}

/// What every connection needs, since none of it is kept in the file.
pub(super) fn set_up(connection: &Connection) -> Result<(), DbError> {
    connection.busy_timeout(BUSY_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(
        None,
        "synchronous",
        if planted_bug!(NoSync) { "OFF" } else { "FULL" },
    )?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
