//! Statements that several writes share.

use rusqlite::{Connection, OptionalExtension, params};

use super::query;
use crate::client::log::StoredRange;
use crate::client::persist::RangeChange;
use crate::protocol::RoomId;
use crate::sqlite::{DbError, scalar};

/// This many acknowledgements are void: the entries are going to be acknowledged again.
pub(super) fn uncount_acked(db: &Connection, count: usize) -> Result<(), DbError> {
    let sql = "UPDATE meta SET value = max(value - ?1, 0) WHERE key = 'acked'";
    db.prepare_cached(sql)?.execute([count as i64])?;
    Ok(())
}

/// The number of a room; a room that was never described gets a row, so that entries for it can wait.
pub(super) fn room_n(db: &Connection, room: RoomId) -> Result<i64, DbError> {
    let known = db
        .prepare_cached("SELECT n FROM rooms WHERE id = ?1")?
        .query_row([room], scalar)
        .optional()?;
    if let Some(n) = known {
        return Ok(n);
    }
    db.prepare_cached(
        "INSERT INTO rooms (id, name, kind, topic, member) VALUES (?1, '', 'public', '', 0)",
    )?
    .execute([room])?;
    Ok(db.last_insert_rowid())
}

/// # Errors
/// [`DbError::Stale`] when the stored ranges differ from those that the core assumes.
pub(super) fn replace_ranges(db: &Connection, n: i64, ranges: &RangeChange) -> Result<(), DbError> {
    if query::ranges(db, n)? != ranges.before {
        return Err(DbError::Stale);
    }
    let ranges = &ranges.after;
    debug_assert!(
        ranges
            .windows(2)
            .all(|pair| pair[0].end.seq < pair[1].start.seq),
        "stored ranges never touch"
    );
    db.prepare_cached("DELETE FROM spans WHERE room = ?1")?
        .execute([n])?;
    for StoredRange { start, end } in ranges {
        let sql = "INSERT INTO spans (room, start_seq, start_chain, end_seq, end_chain) VALUES (?1, ?2, ?3, ?4, ?5)";
        db.prepare_cached(sql)?
            .execute(params![n, start.seq, start.chain, end.seq, end.chain])?;
    }
    if let Some(top) = ranges.last() {
        db.prepare_cached(
            "UPDATE rooms SET head = max(head, ?2) WHERE id = (SELECT id FROM rooms WHERE n = ?1)",
        )?
        .execute(params![n, top.end.seq])?;
    }
    Ok(())
}

/// Returns the place after all rows that ever existed.
pub(super) fn next_place(db: &Connection) -> Result<i64, DbError> {
    let sql = "INSERT INTO meta (key, value) VALUES ('place', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value";
    Ok(db.prepare_cached(sql)?.query_row([], scalar)?)
}
