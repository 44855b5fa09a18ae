//! All writes of the store. The caller owns the transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::query;
use super::rows::{NEW_ENTRY, new_entry};
use super::shared::{next_place, replace_ranges, room_n, uncount_acked};
use super::truncate::truncate;
use crate::client::journal::JournalLine;
use crate::client::limits::ClientLimits;
use crate::client::link::LinkPhase;
use crate::client::log::Chained;
use crate::client::persist::{NewEntry, NewRows, Outcome, RangeChange, SendBudget, Write};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, EntryId, Kind, Position, Room, RoomId, Seq, ServerId, SessionId, Skip,
    Target,
};
use crate::sqlite::{DbError, scalar, word};
use crate::system;

/// Maximum lines of the journal.
const JOURNAL_LINES_MAX: i64 = 10_000;

/// Applies one write and returns its result. `limits` bound the outbox.
pub(super) fn apply(
    db: &Connection,
    write: &Write,
    limits: ClientLimits,
) -> Result<Outcome, DbError> {
    match write {
        Write::Freeze(ids) => Ok(Outcome::Frozen(freeze(db, ids)?)),
        Write::Take(rows, budget) => take(db, *rows, *budget),
        Write::Acked { id, seq } => acked(db, *id, *seq),
        Write::Unacked(ids) => unacked(db, ids),
        Write::Rejected { id, code, reason } => {
            unacked(db, std::slice::from_ref(id))?;
            // A discarded message is not shown any more, and now it is certain that it is in no log.
            db.prepare_cached("DELETE FROM outbox WHERE id = ?1 AND discarded")?
                .execute([id])?;
            let sql = "UPDATE outbox SET code = ?2, reason = ?3 WHERE id = ?1";
            db.prepare_cached(sql)?
                .execute(params![id, word(code), reason])?;
            Ok(Outcome::Done)
        }
        Write::Append {
            room,
            entries,
            skip,
            ranges,
        } => append(db, *room, entries, skip.as_ref(), ranges),
        Write::Truncate { room, at, ranges } => truncate(db, *room, *at, ranges, limits),
        Write::Room(room) => upsert_room(db, room),
        Write::RoomLeft(room) => {
            db.prepare_cached("UPDATE rooms SET member = 0 WHERE id = ?1")?
                .execute([room])?;
            Ok(Outcome::Done)
        }
        Write::Welcome {
            server,
            account,
            name,
            session,
        } => welcome(db, *server, *account, name, *session),
        Write::Watermarks {
            room,
            delivered,
            read,
        } => watermarks(db, *room, *delivered, *read),
        Write::MarkRead { room, seq } => mark_read(db, *room, *seq),
        Write::Journal(line) => journal(db, line),
        Write::Barrier => Ok(Outcome::Done),
        Write::LastSeen => {
            set_meta(db, "seen_at", system::unix_ms() as i64)?;
            Ok(Outcome::Done)
        }
        Write::Enqueue {
            entries,
            clears_draft,
        } => enqueue(db, entries, *clears_draft, limits),
        Write::Replace { rejected, entry } => replace(db, *rejected, entry, limits),
        Write::Draft { room, text } => {
            db.prepare_cached("UPDATE rooms SET draft = ?2 WHERE id = ?1")?
                .execute(params![room, text])?;
            Ok(Outcome::Done)
        }
        Write::Discard {
            id,
            redaction,
            composed_at,
        } => discard(db, *id, *redaction, *composed_at),
        Write::Retry { id } => retry(db, *id),
    }
}

pub(super) fn set_meta(
    db: &Connection,
    key: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), DbError> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    db.prepare_cached(sql)?.execute(params![key, value])?;
    Ok(())
}

fn freeze(db: &Connection, ids: &[EntryId]) -> Result<Vec<NewEntry>, DbError> {
    let mut frozen = Vec::with_capacity(ids.len());
    for id in ids {
        if !planted_bug!(NeverFrozen) {
            db.prepare_cached("UPDATE outbox SET frozen = 1 WHERE id = ?1 AND NOT frozen")?
                .execute([id])?;
        }
        let sql = format!("{NEW_ENTRY} WHERE o.id = ?1 AND o.code IS NULL");
        let row = db
            .prepare_cached(&sql)?
            .query_row([id], new_entry)
            .optional()?;
        frozen.extend(row);
    }
    Ok(frozen)
}

/// Returns new rows, and freezes the first ones that fit the budget.
fn take(db: &Connection, asked: NewRows, budget: SendBudget) -> Result<Outcome, DbError> {
    let rows = query::new_rows(db, asked)?;
    let mut bytes = 0;
    let first = rows.rows.iter().take(budget.entries).take_while(|row| {
        bytes += row.bytes;
        bytes <= budget.bytes
    });
    let ids: Vec<_> = first.map(|row| row.id).collect();
    let frozen = freeze(db, &ids)?;
    Ok(Outcome::Taken { rows, frozen })
}

fn acked(db: &Connection, id: EntryId, seq: Seq) -> Result<Outcome, DbError> {
    let sql = "UPDATE outbox SET acked_seq = ?2 WHERE id = ?1 AND acked_seq IS NULL";
    if db.prepare_cached(sql)?.execute(params![id, seq])? > 0 {
        count_acked(db)?;
    }
    if planted_bug!(AckedIsStored) {
        db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(Outcome::Done)
}

fn count_acked(db: &Connection) -> Result<(), DbError> {
    let sql = "INSERT INTO meta (key, value) VALUES ('acked', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn unacked(db: &Connection, ids: &[EntryId]) -> Result<Outcome, DbError> {
    for id in ids {
        let sql = "UPDATE outbox SET acked_seq = NULL WHERE id = ?1 AND acked_seq IS NOT NULL";
        let taken_back = db.prepare_cached(sql)?.execute([id])?;
        uncount_acked(db, taken_back)?;
    }
    Ok(Outcome::Done)
}

fn append(
    db: &Connection,
    room: RoomId,
    entries: &[Chained],
    skip: Option<&(Position, Skip)>,
    ranges: &RangeChange,
) -> Result<Outcome, DbError> {
    let n = room_n(db, room)?;
    let me = query::me(db)?;
    let is_newest = ranges.has_at_top(entries);
    for Chained { entry, chain } in entries {
        let own = entry.device == me.device;
        let sql = "INSERT INTO log (room, seq, id, author, name, device, own, kind, body, target_author, target_id, at, composed_at, chain, place)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                           (SELECT place FROM outbox WHERE room = ?1 AND id = ?3 AND ?7))
                   ON CONFLICT (room, author, id) DO NOTHING";
        let added = db.prepare_cached(sql)?.execute(params![
            n,
            entry.seq,
            entry.id,
            entry.author,
            entry.name,
            entry.device,
            own,
            word(entry.kind),
            entry.body,
            entry.target.map(|target| target.author),
            entry.target.map(|target| target.id),
            entry.at as i64,
            entry.composed_at as i64,
            chain,
        ])?;
        if added == 0 {
            return Err(DbError::Contradiction(
                "the server's log has one message twice",
            ));
        }
        if Some(entry.author) == me.account {
            take_from_outbox(db, n, entry.id)?;
            if entry.kind == Kind::Rename && is_newest {
                set_meta(db, "name", &entry.body)?;
            }
        }
        if entry.kind == Kind::Topic && is_newest {
            db.prepare_cached("UPDATE rooms SET topic = ?2 WHERE n = ?1")?
                .execute(params![n, entry.body])?;
        }
        db.prepare_cached("DELETE FROM aside WHERE room = ?1 AND author = ?2 AND id = ?3")?
            .execute(params![n, entry.author, entry.id])?;
    }
    if let Some((start, skip)) = skip {
        let sql =
            "INSERT OR REPLACE INTO skips (room, start_seq, end_seq, why) VALUES (?1, ?2, ?3, ?4)";
        db.prepare_cached(sql)?
            .execute(params![n, start.seq, skip.to.seq, skip.why])?;
    }
    replace_ranges(db, n, ranges)?;
    Ok(Outcome::Done)
}

/// Removes the outbox row of an own entry that is now in the log, in the same transaction.
fn take_from_outbox(db: &Connection, n: i64, id: EntryId) -> Result<(), DbError> {
    let sql = "DELETE FROM outbox WHERE room = ?1 AND id = ?2 RETURNING acked_seq";
    let gone = db
        .prepare_cached(sql)?
        .query_row(params![n, id], scalar::<Option<i64>>)
        .optional()?;
    match gone {
        Some(None) => count_acked(db),
        Some(Some(_)) if planted_bug!(AckCountedTwice) => count_acked(db),
        Some(Some(_)) | None => Ok(()),
    }
}

fn upsert_room(db: &Connection, room: &Room) -> Result<Outcome, DbError> {
    let n = room_n(db, room.room)?;
    // Watermarks only advance within one history. If the server's log ends below them, it has another
    // history: here they are lowered to the last stored entry; the truncation
    // that follows lowers them further, to the common position.
    let other = "UPDATE rooms SET floor_delivered = min(floor_delivered, top), floor_read = min(floor_read, top)
                 FROM (SELECT coalesce(max(end_seq), 0) AS top FROM spans WHERE room = ?1)
                 WHERE n = ?1 AND floor_delivered > ?2";
    db.prepare_cached(other)?
        .execute(params![n, room.head.seq])?;
    let sql = "UPDATE rooms SET name = ?2, kind = ?3, topic = ?4, member = ?5, head = ?6,
                 floor_delivered = max(floor_delivered, ?7), floor_read = max(floor_read, ?8),
                 read_seq = max(read_seq, ?9) WHERE n = ?1";
    db.prepare_cached(sql)?.execute(params![
        n,
        room.name,
        room.kind,
        room.topic,
        room.member,
        room.head.seq,
        room.delivered,
        room.read,
        room.read_here,
    ])?;
    Ok(Outcome::Done)
}

fn welcome(
    db: &Connection,
    server: ServerId,
    account: AccountId,
    name: &str,
    session: SessionId,
) -> Result<Outcome, DbError> {
    set_meta(db, "server", server)?;
    set_meta(db, "account", account)?;
    set_meta(db, "name", name)?;
    set_meta(db, "session", session)?;
    set_meta(db, "seen_at", system::unix_ms() as i64)?;
    Ok(Outcome::Done)
}

fn watermarks(
    db: &Connection,
    room: RoomId,
    delivered: Seq,
    read: Seq,
) -> Result<Outcome, DbError> {
    let sql = if planted_bug!(MarksGoBack) {
        "UPDATE rooms SET floor_delivered = ?2, floor_read = ?3 WHERE id = ?1"
    } else {
        "UPDATE rooms SET floor_delivered = max(floor_delivered, ?2), floor_read = max(floor_read, ?3) WHERE id = ?1"
    };
    db.prepare_cached(sql)?
        .execute(params![room, delivered, read])?;
    Ok(Outcome::Done)
}

fn mark_read(db: &Connection, room: RoomId, seq: Seq) -> Result<Outcome, DbError> {
    let n = room_n(db, room)?;
    let chain = db
        .prepare_cached("SELECT chain FROM log WHERE room = ?1 AND seq = ?2")?
        .query_row(params![n, seq], scalar)
        .optional()?;
    let Some(chain) = chain else {
        return Ok(Outcome::Read(None));
    };
    let moved = db
        .prepare_cached("UPDATE rooms SET read_seq = ?2 WHERE n = ?1 AND read_seq < ?2")?
        .execute(params![n, seq])?;
    Ok(Outcome::Read(
        (moved > 0).then_some((room, Position { seq, chain })),
    ))
}

/// Stored as the previous phase in the first line of a process.
const NO_PHASE: &str = "none";

fn journal(db: &Connection, line: &JournalLine) -> Result<Outcome, DbError> {
    let now = system::unix_ms() as i64;
    let mut numbers = line.numbers.clone();
    if line.from.is_none() {
        numbers.before = query::meta::<i64>(db, "seen_at")?.map(|at| at as u64);
    }
    let json_error = |error: serde_json::Error| DbError::Other(error.to_string());
    let from = line.from.map_or(NO_PHASE, LinkPhase::as_str);
    let cause = serde_json::to_string(&line.cause).map_err(json_error)?;
    let detail = serde_json::to_string(&numbers).map_err(json_error)?;
    let sql =
        "INSERT INTO journal (at, from_state, to_state, cause, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?
        .execute(params![now, from, line.to, cause, detail])?;
    db.prepare_cached("DELETE FROM journal WHERE n <= ?1")?
        .execute([db.last_insert_rowid() - JOURNAL_LINES_MAX])?;
    set_meta(db, "link", line.to)?;
    set_meta(db, "seen_at", now)?;
    Ok(Outcome::Done)
}

fn enqueue(
    db: &Connection,
    entries: &[NewEntry],
    clears_draft: bool,
    limits: ClientLimits,
) -> Result<Outcome, DbError> {
    let (count, bytes): (i64, i64) = db
        .prepare_cached(
            "SELECT count(*) AS count, coalesce(sum(max(bytes, 0)), 0) AS bytes FROM outbox",
        )?
        .query_row([], |row| Ok((row.get("count")?, row.get("bytes")?)))?;
    let more: usize = entries.iter().map(|entry| entry.body.len()).sum();
    if count as usize + entries.len() > limits.outbox_entries
        || bytes as usize + more > limits.outbox_bytes
    {
        return Ok(Outcome::OutboxFull);
    }
    add(db, entries, clears_draft)
}

/// Replaces a rejected message by its edited text, in one transaction. A message that another process
/// has retried or deleted is not replaced: its text would be sent twice.
fn replace(
    db: &Connection,
    rejected: EntryId,
    entry: &NewEntry,
    limits: ClientLimits,
) -> Result<Outcome, DbError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = ?1 AND code IS NOT NULL)";
    if !db.prepare_cached(sql)?.query_row([rejected], scalar)? {
        return Ok(Outcome::NotFound);
    }
    let outcome = enqueue(db, std::slice::from_ref(entry), true, limits)?;
    if outcome == Outcome::Queued {
        db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([rejected])?;
    }
    Ok(outcome)
}

/// Adds an entry. Its id was made once, so a repeated write adds nothing.
pub(super) const ADD: &str = "INSERT OR IGNORE INTO outbox (place, id, room, kind, body, bytes, target_author, target_id, composed_at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM log WHERE room = ?3 AND id = ?2 AND own)";

fn add(db: &Connection, entries: &[NewEntry], clears_draft: bool) -> Result<Outcome, DbError> {
    for entry in entries {
        let n = room_n(db, entry.room)?;
        let place = next_place(db)?;
        db.prepare_cached(ADD)?.execute(params![
            place,
            entry.id,
            n,
            word(entry.kind),
            entry.body,
            entry.body.len() as i64,
            entry.target.map(|target| target.author),
            entry.target.map(|target| target.id),
            entry.composed_at as i64,
        ])?;
        if clears_draft {
            let all = planted_bug!(AllDraftsCleared);
            db.prepare_cached("UPDATE rooms SET draft = '' WHERE n = ?1 OR ?2")?
                .execute(params![n, all])?;
        }
    }
    Ok(Outcome::Queued)
}

fn discard(
    db: &Connection,
    id: EntryId,
    redaction: EntryId,
    composed_at: u64,
) -> Result<Outcome, DbError> {
    struct Discarded {
        is_frozen: bool,
        is_rejected: bool,
        room: RoomId,
    }
    let row = |row: &Row<'_>| {
        Ok(Discarded {
            is_frozen: row.get("frozen")?,
            is_rejected: row.get("rejected")?,
            room: row.get("room")?,
        })
    };
    let row = db
        .prepare_cached("SELECT frozen, code IS NOT NULL AS rejected, r.id AS room FROM outbox o JOIN rooms r ON r.n = o.room WHERE o.id = ?1 AND NOT discarded")?
        .query_row([id], row)
        .optional()?;
    let Some(row) = row else {
        return Ok(Outcome::NotFound);
    };
    if !row.is_frozen || row.is_rejected || planted_bug!(DiscardForgets) {
        db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([id])?;
        return Ok(Outcome::Done);
    }
    // The message may be in the log already, so a redaction follows it.
    let Some(author) = query::me(db)?.account else {
        return Ok(Outcome::NotFound);
    };
    db.prepare_cached("UPDATE outbox SET discarded = 1 WHERE id = ?1")?
        .execute([id])?;
    let target = Some(Target { author, id });
    let entry = NewEntry {
        id: redaction,
        room: row.room,
        kind: Kind::Redaction,
        body: String::new(),
        target,
        composed_at,
    };
    add(db, &[entry], false)?; // also beyond the limit: every message can be discarded
    Ok(Outcome::Done)
}

fn retry(db: &Connection, id: Option<EntryId>) -> Result<Outcome, DbError> {
    let rejected: Vec<EntryId> = db
        .prepare_cached("SELECT id FROM outbox WHERE code IS NOT NULL AND (?1 IS NULL OR id = ?1) ORDER BY place")?
        .query_map([id], scalar)?
        .collect::<Result<_, _>>()?;
    for id in &rejected {
        let place = next_place(db)?;
        // It stays frozen: after a restore, the server's log may contain it in spite of the rejection.
        let sql = "UPDATE outbox SET code = NULL, reason = NULL, place = ?2 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![id, place])?;
    }
    Ok(if rejected.is_empty() {
        Outcome::NotFound
    } else {
        Outcome::Requeued(rejected.len())
    })
}

/// Stores the ids and the token of a new store, before the first connection.
pub(super) fn initialise_identity(
    db: &Connection,
    device: DeviceId,
    token: &str,
) -> Result<(), DbError> {
    if query::meta::<DeviceId>(db, "device")?.is_none() {
        set_meta(db, "device", device)?;
        set_meta(db, "token", token)?;
    }
    Ok(())
}
