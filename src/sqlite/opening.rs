//! Creates and opens database files. A new file is complete before it gets its name. An existing
//! one is opened only if its version is known and its write-ahead log was written for it.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::generation::{self, path};
use super::identity::{Drift, MainFile, OpenFiles, Origin, Stamp, wal, with_ending};
use super::names::{BEFORE, fresh_name, is_fresh_name};
use super::note::{LogState, Note};
use super::{DbError, Schema};
use crate::planted_bug::planted_bug;
use crate::sqlite::scalar;
use crate::system;

/// Maximum time to wait for another process's lock.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(5);
/// Maximum time for which a new file has both its temporary and its final name.
const PUBLISH_MAX: Duration = Duration::from_secs(1);
/// A file that is unfinished after this time was abandoned.
const UNFINISHED_MAX: Duration = Duration::from_secs(3_600);
const PUBLISH_PAUSE: Duration = Duration::from_millis(5);
/// SQLite's page cache of one connection, KiB.
const CACHE_KIB: i64 = 1024;

/// Creates a file that is complete before it gets its name: if two processes do so at once, one
/// wins.
pub(super) fn create(folder: &Path, schema: &Schema) -> Result<(), DbError> {
    let name = path(folder, schema, 1);
    let fresh = fresh_name(&name);
    let made = fill(&fresh, schema)
        .and_then(|()| generation::publish(&fresh, &name))
        .map_err(|error| error.at(&name));
    let _ = std::fs::remove_file(&fresh); // it has its final name now, or is useless
    made.map(|_| ())
}

fn fill(path: &Path, schema: &Schema) -> Result<(), DbError> {
    let mut connection = Connection::open(path)?;
    set_up(&connection)?;
    connection.pragma_update(None, "application_id", checkpoint_id())?;
    migrate(&mut connection, schema, 1)
}

/// Returns an id for the first checkpoint of a new file: never 0, the value in files of other
/// programs.
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

/// An opened database file.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) files: OpenFiles,
    pub(super) origin: Option<Origin>,
    /// The file is an older copy, restored without a write-ahead log.
    pub(super) is_older_copy: bool,
}

/// The relation of a file to its note and its write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trust {
    Own,
    /// Unknown: all of the file has to be checked.
    Unknown,
    /// The file is in an older state than before: it was replaced, or its log was removed.
    OlderCopy,
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
            }, // it was removed after it was found
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
        // This also opens the log and its index.
        let origin = generation::read_origin(&connection)?;
        refuse_wrong_name(path, schema, origin.as_ref())?;
        main.origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&origin);
        if writes && trust == Trust::Own && has_lost_log(&connection, path, &main, &note) {
            trust = Trust::OlderCopy;
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
            // Another connection of this process has the index open, which was deleted.
            Drift::Index => Err(DbError::Moved {
                path: path.to_owned(),
            }),
            Drift::None | Drift::Touched | Drift::Lost => Ok(Connected {
                connection,
                files,
                origin,
                is_older_copy: trust == Trust::OlderCopy,
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

/// Fails if the file has a second name: the two names would have two write-ahead logs.
///
/// A second name is harmless and is removed if a process is creating the file, or ended while it
/// did, or if a restore ended before it had replaced the file.
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
                        let _ = std::fs::remove_file(second); // the file keeps its other name
                    }
                }
            }
            None if has_two().is_none() => return Ok(()), // it was removed meanwhile
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

/// Removes unfinished files that a process abandoned long enough ago.
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
            let _ = std::fs::remove_file(file.path()); // another process may have removed it
        }
    }
}

/// Whether two names refer to one file.
fn is_second_name(one: &Path, other: &Path) -> bool {
    let id = |path| Stamp::of(path).ok().flatten().map(|stamp| stamp.id);
    id(one).is_some() && id(one) == id(other)
}

/// Writes the first note of a file: its checkpoint. If no note can be written, the whole file is
/// checked again at the next start.
fn note_first(path: &Path, main: &MainFile, trust: Trust, note: &Note) {
    let is_of_another = trust == Trust::OlderCopy;
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

/// Whether a file's write-ahead log contains nothing.
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
                // A checkpoint that ended before its note was updated has emptied the log and put
                // its id into the file.
                let is_done = noted.ids[0] != noted.ids[1] && noted.ids[1] == checkpoint;
                noted.log == LogState::HasCommits && !is_done
            })
}

/// Migrates an old file. If two processes of a new version do so, the second one finds nothing left
/// to do.
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
        (Some(_), Ok(_)) => Ok(Trust::OlderCopy),
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

/// Opens a connection for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, DbError> {
    // Not with SQLITE_OPEN_READ_ONLY: reading a WAL that a crash left requires its index file.
    let connection = Connection::open_with_flags(path, super::READ_WRITE)?;
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

/// Sets the pragmas that a connection needs: the file stores none of them.
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
