//! How rows of the store become entries, lines of a screen and pending messages. Columns are read by
//! name; each mapping follows the list of its columns.

use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Row, RowIndex};

use super::shown::{Line, OwnMark, Pending};
use crate::client::link::LinkPhase;
use crate::client::persist::NewEntry;
use crate::protocol::{AccountId, Kind, Position, RejectCode, Seq, Target};
use crate::sqlite::{columns, variant};

/// Columns for [`LineColumns`], of `log l` and `rooms r`. `?1` is the account of this device.
pub(super) const LINE: &str = "l.seq AS seq, l.id AS id, l.author AS author, l.name AS author_name, l.device AS device,
    l.kind AS kind, l.body AS body, l.at AS at, l.composed_at AS composed_at, l.author IS ?1 AS is_own,
    r.floor_delivered AS floor_delivered, r.floor_read AS floor_read,
    EXISTS (SELECT 1 FROM log t WHERE t.room = l.room AND t.target_id IN (l.id, iif(l.kind = 'edit', l.target_id, l.id))
            AND t.author = l.author AND t.kind = 'redaction') AS redacted,
    (SELECT t.body FROM log t WHERE t.room = l.room AND t.target_id = l.id AND t.author = l.author AND t.kind = 'edit'
     ORDER BY t.seq DESC LIMIT 1) AS edit";

columns!(
    /// Where a statement has the columns of [`LINE`].
    LineColumns {
        seq, id, author, author_name, device, kind, body, at, composed_at, is_own,
        floor_delivered, floor_read, redacted, edit,
    }
);

impl LineColumns {
    pub(super) fn line(&self, row: &Row<'_>) -> rusqlite::Result<Line> {
        let (seq, kind): (Seq, Kind) = (row.get(self.seq)?, kind(row, self.kind)?);
        let redacted: bool = row.get(self.redacted)?;
        let edit: Option<String> = row.get(self.edit)?;
        let is_own: bool = row.get(self.is_own)?;
        let mark = match seq {
            _ if !is_own || kind != Kind::Message => None,
            _ if seq <= row.get(self.floor_read)? => Some(OwnMark::Read),
            _ if seq <= row.get(self.floor_delivered)? => Some(OwnMark::Delivered),
            _ => Some(OwnMark::Acked),
        };
        Ok(Line {
            seq,
            id: row.get(self.id)?,
            author: row.get(self.author)?,
            name: row.get(self.author_name)?,
            device: row.get(self.device)?,
            kind,
            edited: edit.is_some() && !redacted,
            body: if redacted {
                String::new()
            } else {
                edit.map_or_else(|| row.get(self.body), Ok)?
            },
            redacted,
            at: row.get::<_, i64>(self.at)? as u64,
            composed_at: row.get::<_, i64>(self.composed_at)? as u64,
            mark,
        })
    }
}

/// Selects rows for [`pending`].
pub(super) const PENDING: &str = "SELECT o.id AS id, r.id AS room, r.name AS room_name, o.kind AS kind, o.body AS body,
    o.composed_at AS composed_at, o.discarded AS discarded, o.frozen AS frozen, o.acked_seq AS acked_seq, o.code AS code,
    o.reason AS reason FROM outbox o JOIN rooms r ON r.n = o.room";

pub(super) fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let (frozen, acked): (bool, Option<Seq>) = (row.get("frozen")?, row.get("acked_seq")?);
    let rejection = match row.get::<_, Option<String>>("code")? {
        Some(code) => {
            let code = variant(&code).unwrap_or(RejectCode::Unknown);
            let reason: Option<String> = row.get("reason")?;
            Some((code, reason.unwrap_or_default()))
        }
        None => None,
    };
    let mark = match (&rejection, acked, frozen) {
        (Some(_), _, _) => OwnMark::Rejected,
        (None, Some(_), _) => OwnMark::Acked,
        (None, None, true) => OwnMark::Sent,
        (None, None, false) => OwnMark::Queued,
    };
    Ok(Pending {
        id: row.get("id")?,
        room: row.get("room")?,
        room_name: row.get("room_name")?,
        kind: kind(row, "kind")?,
        body: row.get("body")?,
        composed_at: row.get::<_, i64>("composed_at")? as u64,
        discarded: row.get("discarded")?,
        mark,
        acked,
        rejection,
    })
}

/// Selects rows for [`new_entry`].
pub(super) const NEW_ENTRY: &str =
    "SELECT o.id AS id, r.id AS room, o.kind AS kind, o.body AS body,
    o.target_author AS target_author, o.target_id AS target_id, o.composed_at AS composed_at
    FROM outbox o JOIN rooms r ON r.n = o.room";

pub(super) fn new_entry(row: &Row<'_>) -> rusqlite::Result<NewEntry> {
    Ok(NewEntry {
        id: row.get("id")?,
        room: row.get("room")?,
        kind: kind(row, "kind")?,
        body: row.get("body")?,
        target: row
            .get::<_, Option<AccountId>>("target_author")?
            .zip(row.get("target_id")?)
            .map(|(author, id)| Target { author, id }),
        composed_at: row.get::<_, i64>("composed_at")? as u64,
    })
}

/// Of the columns `seq` and `chain`.
pub(super) fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        seq: row.get("seq")?,
        chain: row.get("chain")?,
    })
}

impl ToSql for LinkPhase {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

/// A kind of a later version is unknown here.
fn kind(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Kind> {
    Ok(variant(row.get_ref(column)?.as_str()?).unwrap_or(Kind::Unknown))
}
