//! The generations of a database: `store.db`, then `store.2.db`, and so on.
//!
//! A suspect file (a sync failed, or its names refer to other files) is copied to the next generation
//! and no longer used. The copy gets a new name, since SQLite finds a write-ahead log by the name of
//! its database. A file counts as a generation only if its content says so, since a user may call a
//! backup `store.2.db`.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::identity::{Origin, Stamp, probe, with_ending};
use super::{DbError, Schema};
use crate::planted_bug::planted_bug;

/// Creates the table that identifies a database file; part of every schema.
pub const FILE_TABLE: &str = "
CREATE TABLE file (
    lineage BLOB NOT NULL,
    generation INTEGER NOT NULL,
    parent INTEGER,
    source TEXT
) STRICT;
";

/// Ending of the file that marks another one as suspect.
const MARK: &str = ".suspect";

pub(super) fn suspect_marker(path: &Path) -> PathBuf {
    with_ending(path, MARK)
}

pub(super) fn path(folder: &Path, schema: &Schema, generation: u32) -> PathBuf {
    match generation {
        1 => folder.join(format!("{}.db", schema.name)),
        _ => folder.join(format!("{}.{generation}.db", schema.name)),
    }
}

/// The generation to open; `None` when there is no database yet.
///
/// # Errors
/// When only a user can decide which file is the right one, or the file is not a database.
pub(super) fn current(folder: &Path, schema: &Schema) -> Result<Option<u32>, DbError> {
    let mut found = candidates(folder, schema);
    let Some(newest) = found.pop() else {
        return missing(folder, schema);
    };
    let newest_path = path(folder, schema, newest);
    let lineage = |path: &Path| origin(path).ok().flatten().map(|origin| origin.lineage);
    for older in found {
        let older = path(folder, schema, older);
        let is_its_copy =
            lineage(&newest_path).is_some_and(|newest| lineage(&older) == Some(newest));
        if !suspect_marker(&older).exists() || !is_its_copy {
            return Err(DbError::Several {
                one: older,
                other: newest_path,
            });
        }
        // It was copied by a process that ended before it was removed.
        remove(folder, &older, &["", "-wal", "-shm", super::note::ENDING]);
    }
    if newest_path.metadata().is_ok_and(|file| file.len() == 0) {
        return Err(DbError::Empty { path: newest_path });
    }
    Ok(Some(newest))
}

/// Returns the numbers of the files whose content confirms the number in their name.
pub(super) fn candidates(folder: &Path, schema: &Schema) -> Vec<u32> {
    let mut found = named(folder, schema);
    let alone = found.len() == 1;
    found.retain(|number| {
        // Written by a version that did not store it yet: then there must be no other.
        let origin = origin(&path(folder, schema, *number))
            .ok()
            .flatten()
            .map(|origin| origin.generation);
        *number == 1 || origin.map_or(alone, |origin| origin == *number)
    });
    found
}

/// Removes files of a suspect generation, and its marker last: files left by a power cut are still
/// marked.
pub(super) fn remove(folder: &Path, file: &Path, endings: &[&str]) {
    for ending in endings {
        let _ = std::fs::remove_file(with_ending(file, ending)); // another process may have removed it
    }
    if sync(folder).is_ok() {
        let _ = std::fs::remove_file(suspect_marker(file)); // as above
    }
}

/// Handles a missing file. A new database must not be created beside a write-ahead log, which
/// contains the last commits, or beside a copy that the user put over a later generation.
///
/// Another process may make the file at any moment: then it is the database.
pub(super) fn missing(folder: &Path, schema: &Schema) -> Result<Option<u32>, DbError> {
    if let Some(number) = named(folder, schema).pop() {
        if candidates(folder, schema).contains(&number) {
            return current(folder, schema);
        }
        return Err(DbError::Misnamed {
            path: path(folder, schema, number),
            base: path(folder, schema, 1),
        });
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        let has_bytes = file.metadata().is_ok_and(|file| file.len() > 0);
        name.strip_suffix("-wal")
            .filter(|name| has_bytes && number_of(name, schema).is_some())
            .map(str::to_owned)
    });
    match names.next().map(|name| folder.join(name)) {
        None => Ok(None),
        Some(path) if path.exists() => current(folder, schema),
        Some(path) => Err(DbError::Missing { path }),
    }
}

/// Returns the latest generation above one, made from a source that `is_source` accepts. A process may
/// have missed several.
pub(super) fn successor(
    folder: &Path,
    schema: &Schema,
    of: (u32, &Origin),
    is_source: impl Fn(&Origin) -> bool,
) -> Option<u32> {
    let (generation, own) = of;
    named(folder, schema)
        .into_iter()
        .rev()
        .take_while(|number| *number > generation)
        .find(|number| {
            let origin = origin(&path(folder, schema, *number)).ok().flatten();
            origin.is_some_and(|origin| {
                let is_of_later = origin.parent.is_some_and(|parent| parent > generation);
                (origin.lineage, origin.generation) == (own.lineage, *number)
                    && (is_of_later || is_source(&origin))
            })
        })
}

/// Returns the first number above one whose name is free: a user may have given a backup such a name.
pub(super) fn next_free(folder: &Path, schema: &Schema, generation: u32) -> u32 {
    let taken = named(folder, schema);
    (generation + 1..)
        .find(|number| !taken.contains(number))
        .unwrap_or(u32::MAX)
}

/// Returns the generation number in a file name, if it is written as this program writes it.
pub(super) fn number_of(name: &str, schema: &Schema) -> Option<u32> {
    let number = match name.strip_prefix(schema.name)?.strip_suffix(".db")? {
        "" => 1,
        number => number.strip_prefix('.')?.parse().ok()?,
    };
    (path(Path::new(""), schema, number).to_str() == Some(name)).then_some(number)
}

/// Returns the generation numbers of the names in a folder, in ascending order.
pub(super) fn named(folder: &Path, schema: &Schema) -> Vec<u32> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = files
        .filter_map(|file| number_of(&file.file_name().into_string().ok()?, schema))
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Returns the identity stored in a file, without its write-ahead log; `None` without one.
pub(super) fn origin(path: &Path) -> Result<Option<Origin>, DbError> {
    let known = |file: &super::identity::MainFile| {
        Ok(file
            .origin
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone())
    };
    let read = || {
        let connection = Connection::open_with_flags(immutable(path), super::READ_ONLY_URI)?;
        read_origin(&connection)
    };
    probe(path, known, read).map_err(|error| DbError::Other(error.to_string()))?
}

/// Reads the origin through a connection.
pub(super) fn read_origin(connection: &Connection) -> Result<Option<Origin>, DbError> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'file'";
    if !connection.prepare(exists)?.exists([])? {
        return Ok(None);
    }
    let origin = |row: &rusqlite::Row<'_>| {
        Ok(Origin {
            lineage: row.get("lineage")?,
            generation: row.get("generation")?,
            parent: row.get("parent")?,
            source: row.get("source")?,
        })
    };
    Ok(connection
        .query_row(
            "SELECT lineage, generation, parent, source FROM file",
            [],
            origin,
        )
        .optional()?)
}

/// Returns a URI that opens only the file itself, without its log and without locks.
pub(super) fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// Gives a complete new file its name. Returns `false` if another file has that name; it is never
/// overwritten.
pub(super) fn publish(fresh: &Path, name: &Path) -> Result<bool, DbError> {
    let error = |error: std::io::Error| DbError::Other(error.to_string());
    sync(fresh)?;
    let is_new = match std::fs::hard_link(fresh, name) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        // The file system has no hard links.
        Err(_) if Stamp::of(name).map_err(error)?.is_none() => {
            std::fs::rename(fresh, name).map(|()| true).map_err(error)?
        }
        Err(_) => false,
    };
    let _ = std::fs::remove_file(fresh); // the file keeps its other name
    if !planted_bug!(NameNotSynced) {
        sync(folder_of(name))?;
    }
    Ok(is_new)
}

fn folder_of(name: &Path) -> &Path {
    name.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

pub(super) fn sync(path: &Path) -> Result<(), DbError> {
    let file =
        File::open(path).map_err(|error| DbError::Other(format!("{}: {error}", path.display())))?;
    file.sync_all().map_err(|_| DbError::SyncFailed)
}
