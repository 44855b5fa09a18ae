//! Backup, restore and check of a server's database.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{Device, Sqlite, Storage, schema};
use crate::protocol::{AccountId, Chain, DeviceId, EntryId, Position, RoomId, Seq, ServerId};
use crate::sqlite::{self, CheckReport, Database, DbError, scalar};

/// Writes a backup of the database of a server's folder into a new file, while the server runs or
/// not.
pub fn back_up(folder: &Path, to: &Path) -> Result<(), DbError> {
    Database::open_reader(folder, &schema::SCHEMA)?.back_up(to)
}

/// Replaces the database of a server's folder by a backup, unless a server has it open. Returns the
/// name that the old database has now, if there was one.
pub fn restore(from: &Path, folder: &Path, stamp: &str) -> Result<Option<PathBuf>, DbError> {
    sqlite::restore(from, folder, &schema::SCHEMA, stamp, |_| Ok(()))
}

/// The code of the current invite of the server in a folder, which may run.
pub fn invite(folder: &Path) -> Result<Option<String>, DbError> {
    Sqlite::open_reader(folder)?.invite()
}

/// The devices that have access to the server in a folder.
pub fn devices(folder: &Path) -> Result<Vec<Device>, DbError> {
    Sqlite::open_reader(folder)?.devices()
}

/// Ends the access of a device to the server in a folder, which may run. Returns whether it had
/// any.
pub fn revoke(folder: &Path, device: DeviceId) -> Result<bool, DbError> {
    Sqlite::open(folder)?.revoke(device)
}

/// Whether a folder has a server's database.
#[must_use]
pub fn exists(folder: &Path) -> bool {
    Database::exists(folder, &schema::SCHEMA)
}

/// Checks the database of a server's folder: every page, and every room's log against its chain.
///
/// # Errors
/// [`DbError`] when it cannot be read, or SQLite finds it damaged.
pub fn check(folder: &Path) -> Result<CheckReport, DbError> {
    Database::check_folder(folder, &schema::SCHEMA, whole)
}

/// Checks a backup of a server.
///
/// # Errors
/// As [`check`]; [`DbError::OtherKind`] when the file is something else.
pub fn check_copy(file: &Path) -> Result<CheckReport, DbError> {
    Database::check_copy(file, &schema::SCHEMA, whole)
}

/// The devices and the invite of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// The devices with access.
    pub devices: BTreeSet<DeviceId>,
    /// The code of the current invite.
    pub invite: Option<String>,
}

/// Who may use the server of which this is a copy.
pub fn access(file: &Path) -> Result<Access, DbError> {
    Database::check_copy(file, &schema::SCHEMA, |db| {
        let devices = db
            .prepare("SELECT id FROM devices")?
            .query_map([], |row| row.get("id"))?
            .collect::<Result<_, _>>()?;
        let invite = db
            .query_row("SELECT value FROM meta WHERE key = 'invite'", [], scalar)
            .optional()?;
        Ok(Access { devices, invite })
    })
}

/// Checks the tables of a server, and every log against its chain.
fn whole(db: &Connection) -> Result<CheckReport, DbError> {
    let mut checked = logs(db)?;
    let server = db.query_row(
        "SELECT value FROM meta WHERE key = 'server'",
        [],
        scalar::<ServerId>,
    );
    if server.optional().ok().flatten().is_none() {
        checked
            .problems
            .push("the server's id is missing".to_owned());
    }
    let above = "SELECT count(*) FROM members m JOIN rooms r ON r.n = m.room WHERE max(m.delivered, m.read) > r.head";
    let above: i64 = db.query_row(above, [], scalar)?;
    if above > 0 {
        checked.problems.push(format!(
            "{above} members have read further than their room's log goes"
        ));
    }
    Ok(checked)
}

fn logs(db: &Connection) -> Result<CheckReport, DbError> {
    let snapshot = db.unchecked_transaction()?;
    let mut checked = CheckReport::default();
    let entries = "SELECT count(*) FROM entries";
    checked.entries = snapshot.query_row(entries, [], scalar::<i64>)? as u64;
    let mut statement = snapshot.prepare("SELECT n, id, name, head, chain FROM rooms")?;
    let mut rooms = statement.query([])?;
    while let Some(row) = rooms.next()? {
        let n: i64 = row.get("n")?;
        let id: RoomId = row.get("id")?;
        let name: String = row.get("name")?;
        let head = Position {
            seq: row.get("head")?,
            chain: row.get("chain")?,
        };
        checked.rooms += 1;
        if let Some(problem) = follow(&snapshot, n, id, head)? {
            checked.problems.push(format!("#{name} ({id}): {problem}"));
        }
    }
    Ok(checked)
}

/// Follows the chain from the start to the head. Returns the first problem.
fn follow(
    db: &Connection,
    n: i64,
    room: RoomId,
    head: Position,
) -> Result<Option<String>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT seq, author, id, chain FROM entries WHERE room = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([n])?;
    let mut at = Position::start(room);
    while let Some(row) = rows.next()? {
        let seq: Seq = row.get("seq")?;
        let author: AccountId = row.get("author")?;
        let id: EntryId = row.get("id")?;
        let next = at.next(author, id);
        if next.seq != seq {
            return Ok(Some(format!("entry {} is missing", next.seq.0)));
        }
        if next.chain != row.get::<_, Chain>("chain")? {
            return Ok(Some(format!(
                "entry {} does not follow the one before it",
                seq.0
            )));
        }
        at = next;
    }
    let problem = || format!("the log ends at {}, its room at {}", at.seq.0, head.seq.0);
    Ok((at != head).then(problem))
}
