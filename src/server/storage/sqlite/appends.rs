//! Appends entries and advances watermarks. The caller owns the transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{contains, rows};
use crate::planted_bug::planted_bug;
use crate::protocol::{AccountId, EntryId, Kind, Position, SendEntry, Seq};
use crate::server::judge::{Author, Facts, Judgement, Known, appended, judge};
use crate::server::storage::{Append, AppendedEntry, ReceiptUpdate, Verdict};
use crate::sqlite::{DbError, scalar, word};

pub(super) fn mark_one(db: &Connection, update: &ReceiptUpdate) -> Result<(), DbError> {
    let checked = |position: Option<Position>| match position {
        Some(position) if contains(db, update.room, position)? => Ok::<_, DbError>(position.seq),
        Some(_) | None => Ok(Seq::ZERO),
    };
    let (delivered, read) = (checked(update.delivered)?, checked(update.read)?);
    let marks = "INSERT INTO marks (room, device, delivered, read) SELECT r.n, d.id, ?3, ?4 FROM rooms r, devices d WHERE r.id = ?1 AND d.id = ?2
                 ON CONFLICT DO UPDATE SET delivered = max(delivered, excluded.delivered), read = max(read, excluded.read)";
    db.prepare_cached(marks)?
        .execute(params![update.room, update.device, delivered, read])?;
    let members = if planted_bug!(MarksGoBack) {
        "UPDATE members SET delivered = ?3, read = ?4"
    } else {
        "UPDATE members SET delivered = max(delivered, ?3), read = max(read, ?4)"
    };
    let whose = "WHERE room = (SELECT n FROM rooms WHERE id = ?1) AND account = (SELECT n FROM accounts WHERE id = ?2)";
    let members = format!("{members} {whose}");
    db.prepare_cached(&members)?
        .execute(params![update.room, update.account, delivered, read])?;
    Ok(())
}

pub(super) fn commit_one(db: &Connection, append: &Append, now: u64) -> Result<Verdict, DbError> {
    Ok(match judge(append, &facts(db, append)?) {
        Judgement::Known(seq, at) => Verdict::Known { seq, at },
        Judgement::Reject(rejection) => Verdict::Rejected(rejection),
        Judgement::Append => {
            let name: String = db
                .prepare_cached("SELECT name FROM accounts WHERE id = ?1")?
                .query_row([append.author], scalar)?;
            let author = Author {
                account: append.author,
                name,
                device: append.device,
            };
            let stored = insert_entry(db, &append.send, author, now)?;
            take_effect(db, &stored)?;
            Verdict::Stored(stored)
        }
    })
}

fn facts(db: &Connection, append: &Append) -> Result<Facts, DbError> {
    let send = &append.send;
    let room: Option<i64> = db
        .prepare_cached("SELECT n FROM rooms WHERE id = ?1")?
        .query_row([send.room], scalar)
        .optional()?;
    let Some(room) = room else {
        return Ok(Facts::default());
    };
    let sql = "SELECT seq, at, kind = ?4 AND (body = ?5 OR ('' IN (body, ?5) AND kind IN ('message', 'edit'))) AND target_author IS ?6 AND target_id IS ?7 AS same FROM entries WHERE room = ?1 AND author = ?2 AND id = ?3";
    let known = |row: &Row<'_>| {
        Ok(Known {
            seq: row.get("seq")?,
            at: row.get::<_, i64>("at")? as u64,
            same: row.get("same")?,
        })
    };
    let known = db
        .prepare_cached(sql)?
        .query_row(
            params![
                room,
                append.author,
                send.id,
                word(send.kind),
                send.body,
                send.target.map(|target| target.author),
                send.target.map(|target| target.id),
            ],
            known,
        )
        .optional()?;
    let members =
        "SELECT EXISTS (SELECT 1 FROM members m JOIN accounts a ON a.n = m.account WHERE m.room = ?1 AND a.id = ?2) AS member,
                   (SELECT count(*) FROM members m JOIN accounts a ON a.n = m.account WHERE a.id = ?2) AS rooms";
    let (member, rooms): (bool, i64) = db
        .prepare_cached(members)?
        .query_row(params![room, append.author], |row| {
            Ok((row.get("member")?, row.get("rooms")?))
        })?;
    let last = db
        .prepare_cached("SELECT id FROM lasts WHERE room = ?1 AND device = ?2")?
        .query_row(params![room, append.device], scalar::<EntryId>)
        .optional()?;
    let name_taken = send.kind == Kind::Rename && name_taken(db, &send.body, append.author)?;
    Ok(Facts {
        known,
        room: true,
        member,
        last,
        name_taken,
        rooms: rooms as usize,
    })
}

pub(super) fn name_taken(
    db: &Connection,
    name: &str,
    by_other_than: AccountId,
) -> Result<bool, DbError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE folded = ?1 AND id <> ?2)";
    Ok(db
        .prepare_cached(sql)?
        .query_row(params![name.to_lowercase(), by_other_than], scalar)?)
}

pub(super) fn insert_entry(
    db: &Connection,
    send: &SendEntry,
    author: Author,
    now: u64,
) -> Result<AppendedEntry, DbError> {
    let sql = "SELECT n, head AS seq, chain, at FROM rooms WHERE id = ?1";
    let room = |row: &Row<'_>| {
        let at = row.get::<_, i64>("at")? as u64;
        Ok((row.get::<_, i64>("n")?, rows::position(row)?, at))
    };
    let (n, prev, last_at) = db.prepare_cached(sql)?.query_row([send.room], room)?;
    let here = prev.next(author.account, send.id);
    let device = author.device;
    let entry = appended(send, author, here.seq, last_at, now);
    rows::insert_entry(db, n, &entry, here.chain)?;
    db.prepare_cached("UPDATE rooms SET head = ?2, chain = ?3, at = ?4 WHERE n = ?1")?
        .execute(params![n, here.seq, here.chain, entry.at as i64])?;
    let last = "INSERT INTO lasts (room, device, id) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET id = excluded.id";
    db.prepare_cached(last)?
        .execute(params![n, device, send.id])?;
    Ok(AppendedEntry {
        room: send.room,
        prev,
        entry,
    })
}

/// Applies the effects of an entry outside of the log, in the same transaction.
pub(super) fn take_effect(
    db: &Connection,
    AppendedEntry { room, entry, .. }: &AppendedEntry,
) -> Result<(), DbError> {
    match entry.kind {
        Kind::Join => {
            // The watermarks of a new member start at its join, so that nobody's marks go back.
            let sql =
                "INSERT INTO members (room, account, delivered, read) SELECT r.n, a.n, ?3, ?3 FROM rooms r, accounts a
                       WHERE r.id = ?1 AND a.id = ?2 ON CONFLICT DO NOTHING";
            db.prepare_cached(sql)?
                .execute(params![room, entry.author, entry.seq])?;
        }
        Kind::Leave => {
            let sql = "DELETE FROM members WHERE room = (SELECT n FROM rooms WHERE id = ?1) AND account = (SELECT n FROM accounts WHERE id = ?2)";
            db.prepare_cached(sql)?
                .execute(params![room, entry.author])?;
        }
        Kind::Topic => {
            db.prepare_cached("UPDATE rooms SET topic = ?2 WHERE id = ?1")?
                .execute(params![room, entry.body])?;
        }
        Kind::Rename => {
            let sql = "UPDATE accounts SET name = ?2, folded = ?3 WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![
                entry.author,
                entry.body,
                entry.body.to_lowercase()
            ])?;
        }
        Kind::Message | Kind::Edit | Kind::Redaction | Kind::Reaction | Kind::Unknown => {}
    }
    Ok(())
}
