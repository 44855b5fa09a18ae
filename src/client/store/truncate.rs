//! Removes the tail of a log that the server does not have: own entries return to the outbox, the
//! others are orphaned.

use rusqlite::{Connection, params};

use super::query;
use super::shared::{next_place, replace_ranges, room_n, uncount_acked};
use crate::client::limits::ClientLimits;
use crate::client::persist::{Outcome, RangeChange};
use crate::planted_bug::planted_bug;
use crate::protocol::{Position, RoomId, Seq};
use crate::sqlite::{DbError, scalar};
use crate::system;

/// Removes all entries of a room above `at`.
pub(super) fn truncate(
    db: &Connection,
    room: RoomId,
    at: Position,
    ranges: &RangeChange,
    limits: ClientLimits,
) -> Result<Outcome, DbError> {
    let n = room_n(db, room)?;
    if !planted_bug!(CutForgets) {
        return_to_outbox(db, n, at.seq)?;
    }
    let void = db.execute(
        "UPDATE outbox SET acked_seq = NULL WHERE room = ?1 AND acked_seq IS NOT NULL",
        [n],
    )?;
    uncount_acked(db, void)?;
    let aside = "INSERT OR REPLACE INTO aside (room, seq, id, author, name, kind, body, at, composed_at, since)
        SELECT room, seq, id, author, name, kind, body, at, composed_at, ?3 FROM log WHERE room = ?1 AND seq > ?2 AND NOT own";
    db.execute(aside, params![n, at.seq, system::unix_ms() as i64])?;
    db.execute(
        "DELETE FROM log WHERE room = ?1 AND seq > ?2",
        params![n, at.seq],
    )?;
    db.execute(
        "DELETE FROM skips WHERE room = ?1 AND end_seq > ?2",
        params![n, at.seq],
    )?;
    let marks = "UPDATE rooms SET head = ?2, read_seq = min(read_seq, ?2), floor_delivered = min(floor_delivered, ?2),
                 floor_read = min(floor_read, ?2) WHERE n = ?1";
    db.execute(marks, params![n, at.seq])?;
    replace_ranges(db, n, ranges)?;
    Ok(Outcome::Truncated {
        room,
        own_last: query::own_last(db, n)?,
        outbox: query::outbox(db, limits)?,
    })
}

/// Returns own entries above a seq to the outbox, in the typed order of all its rows.
fn return_to_outbox(db: &Connection, n: i64, above: Seq) -> Result<(), DbError> {
    let queue = queue(db, n, above)?;
    let keeps_places = keeps_places(db, &queue)?;
    for typed in &queue {
        // Above all entries that this device has ever stored: entries that stay in the log were
        // typed earlier.
        let place = if keeps_places {
            typed.order
        } else {
            next_place(db)?
        };
        match typed.source {
            Source::Outbox(row) => {
                db.prepare_cached("UPDATE outbox SET place = ?2 WHERE n = ?1")?
                    .execute([row, place])?;
            }
            Source::Log(row) => {
                let back = db.prepare_cached(RETURN_TO_OUTBOX)?.execute([row, place])?;
                uncount_acked(db, back)?;
            }
        }
    }
    Ok(())
}

/// Whether all entries can get their former places: each place is known, and free or its own.
fn keeps_places(db: &Connection, queue: &[Typed]) -> Result<bool, DbError> {
    let is_known = queue.first().is_none_or(|typed| typed.order > i64::MIN);
    if !is_known || queue.windows(2).any(|pair| pair[0].order >= pair[1].order) {
        return Ok(false);
    }
    for typed in queue
        .iter()
        .filter(|typed| matches!(typed.source, Source::Log(_)))
    {
        if db
            .prepare_cached("SELECT 1 FROM outbox WHERE place = ?1")?
            .exists([typed.order])?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Redacted messages return without text, and so do their edits.
const RETURN_TO_OUTBOX: &str =
    "INSERT OR IGNORE INTO outbox (place, id, room, kind, body, bytes, target_author, target_id, composed_at, frozen)
    SELECT ?2, id, room, kind, iif(redacted, '', body),
           iif(redacted, 0, length(CAST(body AS BLOB))), target_author, target_id, composed_at, 1
    FROM (SELECT l.*, EXISTS (SELECT 1 FROM log r WHERE r.room = l.room AND r.target_id = l.id
                              AND r.author = l.author AND r.kind = 'redaction')
                 OR (l.kind = 'edit' AND EXISTS (SELECT 1 FROM log r WHERE r.room = l.room
                     AND r.target_id = l.target_id AND r.author = l.author AND r.kind = 'redaction')) AS redacted
          FROM log l WHERE l.n = ?1)";

/// The row of an entry of this device.
enum Source {
    Outbox(i64),
    Log(i64),
}

struct Typed {
    /// The typed order; if unknown, that of the entry before it.
    order: i64,
    /// Its seq, which orders entries of the same typed order.
    seq: Seq,
    source: Source,
}

/// Returns this device's entries of a room that are above a seq or pending, in typed order.
///
/// An entry from the server that was never a row of this store (the store was restored from a
/// backup) counts as typed after its predecessor in the log. An acknowledged entry in a gap has its
/// seq too.
fn queue(db: &Connection, n: i64, above: Seq) -> Result<Vec<Typed>, DbError> {
    let below = "SELECT max(place) FROM log WHERE room = ?1 AND own AND seq <= ?2";
    let mut highest: Option<i64> = db.query_row(below, params![n, above], scalar)?;
    let sql = "SELECT n, seq, place, 1 AS is_log FROM log WHERE room = ?1 AND own AND seq > ?2
               UNION ALL SELECT n, acked_seq, place, 0 FROM outbox WHERE room = ?1
               ORDER BY seq NULLS LAST, place";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(params![n, above])?;
    let mut queue = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, place): (Option<Seq>, Option<i64>) = (row.get("seq")?, row.get("place")?);
        let number = row.get("n")?;
        let is_log = row.get("is_log")?;
        if seq.is_some() {
            highest = highest.max(place);
        }
        // A row of the outbox keeps its order, and so does an entry that was one.
        let order = if is_log { highest } else { place }.unwrap_or(i64::MIN);
        let seq = if place == Some(order) {
            Seq::ZERO
        } else {
            seq.unwrap_or(Seq::ZERO)
        };
        let source = if is_log {
            Source::Log(number)
        } else {
            Source::Outbox(number)
        };
        queue.push(Typed { order, seq, source });
    }
    let is_pending =
        |typed: &Typed| planted_bug!(ReturnedFirst) && matches!(typed.source, Source::Outbox(_));
    queue.sort_by_key(|typed| (is_pending(typed), typed.order, typed.seq));
    Ok(queue)
}
