//! Backup, restore and check of a profile's store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{Disk, query, schema};
use crate::client::log::{StoredRange, never_touch};
use crate::protocol::{AccountId, Chain, DeviceId, EntryId, Position, RoomId, Seq};
use crate::sqlite::{self, CheckReport, Database, DbError, scalar};

/// Writes a backup of the store of a profile folder into a new file. Other processes may have the store open.
pub fn back_up(folder: &Path, to: &Path) -> Result<(), DbError> {
    match Disk::open(folder) {
        // Moves spooled messages into the store, if it can be written.
        Ok(_) | Err(DbError::Busy | DbError::NotWritable { .. }) => {}
        Err(error) if error.is_full() => {}
        Err(error) => return Err(error),
    }
    Database::open_reader(folder, &schema::SCHEMA)?.back_up(to)
}

/// Replaces the store of a profile folder by a backup, unless a process has it open. Returns the
/// name that the old store has now, if there was one. The restored store is another instance: it
/// forgets which processes were its own.
pub fn restore(from: &Path, folder: &Path, stamp: &str) -> Result<Option<PathBuf>, DbError> {
    sqlite::restore(from, folder, &schema::SCHEMA, stamp, |db| {
        db.execute("DELETE FROM instances", [])?;
        Ok(())
    })
}

/// The content of a copy that is relevant for a restore.
#[derive(Debug)]
pub struct Contents {
    /// The device that the store belongs to.
    pub device: Option<DeviceId>,
    /// The user's name; empty before the first welcome.
    pub name: String,
    /// Pending messages: not acknowledged and not rejected.
    pub pending: BTreeSet<EntryId>,
}

/// Reads the content of a copy that a restore reports.
pub fn contents(file: &Path) -> Result<Contents, DbError> {
    let sql = "SELECT id FROM outbox WHERE acked_seq IS NULL AND code IS NULL";
    Database::check_copy(file, &schema::SCHEMA, |db| {
        let pending = db
            .prepare(sql)?
            .query_map([], |row| row.get("id"))?
            .collect::<Result<_, _>>()?;
        let name = query::meta(db, "name")?.unwrap_or_default();
        Ok(Contents {
            device: query::meta(db, "device")?,
            name,
            pending,
        })
    })
}

/// Checks the store of a profile folder: every page, and every room's log against its chain.
///
/// # Errors
/// [`DbError`] when it cannot be read, or SQLite finds it damaged.
pub fn check(folder: &Path) -> Result<CheckReport, DbError> {
    Database::check_folder(folder, &schema::SCHEMA, whole)
}

/// Checks a backup of a store.
///
/// # Errors
/// As [`check`]; [`DbError::OtherKind`] when the file is something else.
pub fn check_copy(file: &Path) -> Result<CheckReport, DbError> {
    Database::check_copy(file, &schema::SCHEMA, whole)
}

/// Checks the tables of a store, and every log against its chain.
fn whole(db: &Connection) -> Result<CheckReport, DbError> {
    let mut checked = logs(db)?;
    for key in ["device", "token"] {
        if query::meta::<rusqlite::types::Value>(db, key)?.is_none() {
            checked
                .problems
                .push(format!("the profile's {key} is missing"));
        }
    }
    Ok(checked)
}

fn logs(db: &Connection) -> Result<CheckReport, DbError> {
    let snapshot = db.unchecked_transaction()?;
    let sql =
        "SELECT n, id, name, (SELECT count(*) FROM log WHERE room = rooms.n) AS entries FROM rooms";
    let mut statement = snapshot.prepare(sql)?;
    let mut rooms = statement.query([])?;
    let mut checked = CheckReport::default();
    while let Some(row) = rooms.next()? {
        let (n, id): (i64, RoomId) = (row.get("n")?, row.get("id")?);
        let name: String = row.get("name")?;
        let entries = row.get::<_, i64>("entries")? as u64;
        checked.rooms += u64::from(!name.is_empty());
        checked.entries += entries;
        let mut in_spans = 0;
        let ranges = query::ranges_on_disk(&snapshot, n)?;
        if !never_touch(&ranges) {
            let problem = format!("#{name} ({id}): {}", query::TOUCHING);
            checked.problems.push(problem);
        }
        for range in ranges {
            match check_range(&snapshot, n, range)? {
                CheckedRange::Whole(count) => in_spans += count,
                CheckedRange::Broken(problem) => {
                    checked.problems.push(format!("#{name} ({id}): {problem}"))
                }
            }
        }
        if checked.problems.is_empty() && in_spans != entries {
            checked.problems.push(format!(
                "#{name} ({id}): {} entries lie outside of its ranges",
                entries - in_spans
            ));
        }
    }
    let pending = "SELECT count(*) FROM outbox WHERE acked_seq IS NULL";
    checked.pending = snapshot.query_row(pending, [], scalar::<i64>)? as u64;
    Ok(checked)
}

/// The result of checking one range of a log.
enum CheckedRange {
    /// The number of entries, each of which follows the one before.
    Whole(u64),
    /// Description of the first entry that does not.
    Broken(String),
}

/// Recomputes the chain over one range.
fn check_range(db: &Connection, n: i64, range: StoredRange) -> Result<CheckedRange, DbError> {
    let skips = "SELECT start_seq, end_seq FROM skips WHERE room = ?1";
    let skips: BTreeMap<Seq, Seq> = db
        .prepare_cached(skips)?
        .query_map([n], |row| Ok((row.get("start_seq")?, row.get("end_seq")?)))?
        .collect::<Result<_, _>>()?;
    let sql = "SELECT seq, author, id, chain FROM log WHERE room = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![n, range.start.seq, range.end.seq])?;
    let mut at = range.start.seq;
    let mut chain = Some(range.start.chain);
    let mut count = 0;
    let skip = |at: &mut Seq, chain: &mut Option<Chain>, to: Seq| {
        while let Some(end) = skips.get(at).filter(|end| **end <= to && **end > *at) {
            *at = *end;
            *chain = None; // the skipped entries are unknown
        }
    };
    while let Some(row) = rows.next()? {
        let seq: Seq = row.get("seq")?;
        let author: AccountId = row.get("author")?;
        let id: EntryId = row.get("id")?;
        let stored: Chain = row.get("chain")?;
        if at.next() != seq {
            skip(&mut at, &mut chain, Seq(seq.0 - 1));
        }
        if at.next() != seq {
            let what = format!("entry {} is missing", at.next().0);
            return Ok(CheckedRange::Broken(what));
        }
        if chain.is_some_and(|chain| Position { seq: at, chain }.next(author, id).chain != stored) {
            let what = format!("entry {} does not follow the one before it", seq.0);
            return Ok(CheckedRange::Broken(what));
        }
        at = seq;
        chain = Some(stored);
        count += 1;
    }
    skip(&mut at, &mut chain, range.end.seq);
    Ok(if at != range.end.seq {
        CheckedRange::Broken(format!("entry {} is missing", at.next().0))
    } else if chain.is_some_and(|chain| chain != range.end.chain) {
        CheckedRange::Broken(format!("entry {} is another one than in its range", at.0))
    } else {
        CheckedRange::Whole(count)
    })
}
