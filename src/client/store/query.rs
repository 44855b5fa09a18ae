//! The queries of the session. They decide and change nothing.

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::position;
use crate::client::limits::ClientLimits;
use crate::client::log::{OwnLast, StoredRange, never_touch};
use crate::client::persist::OutboxRow;
use crate::client::persist::{AddedRows, Found, Loaded, LoadedRoom, NewRows, Query};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, Enrol, EntryId, InstanceId, Position, RoomId, Seq, Token,
    limits::LOCATOR_POSITIONS_MAX,
};
use crate::sqlite::{DbError, scalar};

/// The owner of the store.
pub(super) struct Me {
    pub(super) device: DeviceId,
    pub(super) account: Option<AccountId>,
}

pub(super) fn meta<T: FromSql>(db: &Connection, key: &str) -> Result<Option<T>, DbError> {
    Ok(db
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], scalar)
        .optional()?)
}

pub(super) fn me(db: &Connection) -> Result<Me, DbError> {
    Ok(Me {
        device: meta(db, "device")?.unwrap_or(DeviceId::NIL),
        account: meta(db, "account")?,
    })
}

pub(super) fn own_last(db: &Connection, n: i64) -> Result<Option<OwnLast>, DbError> {
    let sql =
        "SELECT seq, id, (SELECT max(place) FROM log WHERE room = ?1 AND own) AS place FROM log
               WHERE room = ?1 AND own ORDER BY seq DESC LIMIT 1";
    let last = |row: &rusqlite::Row<'_>| {
        let order = row.get::<_, Option<i64>>("place")?.unwrap_or(i64::MIN);
        Ok(OwnLast {
            seq: row.get("seq")?,
            id: row.get("id")?,
            order,
        })
    };
    Ok(db.prepare_cached(sql)?.query_row([n], last).optional()?)
}

/// Returns the first rows of the outbox, up to the limit of the core.
pub(super) fn outbox(db: &Connection, limits: ClientLimits) -> Result<Vec<OutboxRow>, DbError> {
    outbox_above(db, i64::MIN, limits.outbox_entries)
}

/// New rows of the outbox.
pub(super) fn new_rows(db: &Connection, asked: NewRows) -> Result<AddedRows, DbError> {
    let sql = "SELECT id FROM outbox WHERE place = ?1";
    let last: Option<EntryId> = (db.prepare_cached(sql)?)
        .query_row([asked.above], scalar)
        .optional()?;
    if last.is_some() && last != asked.last {
        return Err(DbError::Stale);
    }
    let rows = outbox_above(db, asked.above, asked.limit)?;
    Ok(AddedRows {
        above: asked.above,
        is_whole: rows.len() < asked.limit,
        rows,
    })
}

fn outbox_above(db: &Connection, order: i64, limit: usize) -> Result<Vec<OutboxRow>, DbError> {
    let sql = "SELECT o.place AS place, o.id AS id, r.id AS room, o.bytes AS bytes, o.acked_seq AS acked_seq, o.frozen AS frozen FROM outbox o JOIN rooms r ON r.n = o.room
               WHERE o.place > ?1 AND o.code IS NULL ORDER BY ";
    let sql = sql.to_owned()
        + if planted_bug!(TypedByClock) {
            "o.composed_at"
        } else {
            "o.place"
        }
        + " LIMIT ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let row = |row: &rusqlite::Row<'_>| {
        Ok(OutboxRow {
            order: row.get("place")?,
            id: row.get("id")?,
            room: row.get("room")?,
            bytes: usize::try_from(row.get::<_, i64>("bytes")?).unwrap_or_default(),
            acked: row.get("acked_seq")?,
            frozen: row.get("frozen")?,
        })
    };
    Ok(db
        .prepare_cached(&sql)?
        .query_map([order, limit], row)?
        .collect::<Result<_, _>>()?)
}

/// Why ranges are damaged.
pub(super) const TOUCHING: &str = "stored ranges are empty or touch each other";

/// Returns the stored ranges of a room. Where those on disk touch, they are one, and empty ones are
/// left out: the next write of ranges mends the disk too.
pub(super) fn ranges(db: &Connection, n: i64) -> Result<Vec<StoredRange>, DbError> {
    let mut separate: Vec<StoredRange> = Vec::new();
    let on_disk = ranges_on_disk(db, n)?;
    for range in on_disk.into_iter().filter(|range| range.start < range.end) {
        match separate.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => separate.push(range),
        }
    }
    debug_assert!(never_touch(&separate), "{separate:?}");
    Ok(separate)
}

/// Returns the stored ranges of a room, as they are on disk.
pub(super) fn ranges_on_disk(db: &Connection, n: i64) -> Result<Vec<StoredRange>, DbError> {
    let sql = "SELECT start_seq, start_chain, end_seq, end_chain FROM spans WHERE room = ?1 ORDER BY start_seq";
    let range = |row: &rusqlite::Row<'_>| {
        Ok(StoredRange {
            start: Position {
                seq: row.get("start_seq")?,
                chain: row.get("start_chain")?,
            },
            end: Position {
                seq: row.get("end_seq")?,
                chain: row.get("end_chain")?,
            },
        })
    };
    Ok(db
        .prepare_cached(sql)?
        .query_map([n], range)?
        .collect::<Result<_, _>>()?)
}

pub(super) fn find(db: &Connection, query: &Query, limits: ClientLimits) -> Result<Found, DbError> {
    Ok(match query {
        Query::NewRows(rows) => Found::NewRows(new_rows(db, *rows)?),
        Query::Outbox => Found::Outbox(outbox(db, limits)?),
        Query::Reads => Found::Reads(reads(db)?),
        Query::Locator { room, top } => Found::Locator {
            room: *room,
            positions: locator(db, *room, *top)?,
        },
        Query::Knows { room, id } => Found::EntryKnown {
            room: *room,
            id: *id,
            known: knows(db, *room, *id)?,
        },
        Query::Instance(instance) => {
            let sql = "SELECT count(*) FROM instances WHERE id = ?1";
            let own = db
                .prepare_cached(sql)?
                .query_row([instance], scalar::<i64>)?
                > 0;
            Found::Instance {
                instance: *instance,
                own,
            }
        }
    })
}

/// How far this device has read each room, where that entry is stored.
fn reads(db: &Connection) -> Result<Vec<(RoomId, Position)>, DbError> {
    let sql = "SELECT r.id AS id, l.seq AS seq, l.chain AS chain FROM rooms r JOIN log l ON l.room = r.n AND l.seq = r.read_seq";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get("id")?, position(row)?));
    Ok(db
        .prepare_cached(sql)?
        .query_map([], read)?
        .collect::<Result<_, _>>()?)
}

/// Whether an own entry is stored in a room, or in the outbox.
pub(super) const KNOWS: &str = "SELECT EXISTS (SELECT 1 FROM log l JOIN rooms r ON r.n = l.room WHERE r.id = ?1 AND l.id = ?2 AND l.own)
    OR EXISTS (SELECT 1 FROM outbox WHERE id = ?2)";

fn knows(db: &Connection, room: RoomId, id: EntryId) -> Result<bool, DbError> {
    Ok(db
        .prepare_cached(KNOWS)?
        .query_row(params![room, id], scalar)?)
}

/// Whether the server has described a room before.
pub(super) fn is_room_known(db: &Connection, room: RoomId) -> Result<bool, DbError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM rooms WHERE id = ?1 AND name <> ''")?
        .exists([room])?)
}

/// Stored positions, from `top` downwards in doubling steps, and at last seq 0 (as Bitcoin's
/// block locator).
fn locator(db: &Connection, room: RoomId, top: Seq) -> Result<Vec<Position>, DbError> {
    let sql = "SELECT l.seq AS seq, l.chain AS chain FROM log l JOIN rooms r ON r.n = l.room WHERE r.id = ?1 AND l.seq <= ?2 ORDER BY l.seq DESC LIMIT 1";
    let mut positions = Vec::new();
    let (mut below, mut step) = (top.0, 1);
    while below > 0 && positions.len() < LOCATOR_POSITIONS_MAX - 1 {
        let found = db
            .prepare_cached(sql)?
            .query_row(params![room, Seq(below)], position)
            .optional()?;
        let Some(position) = found else { break };
        positions.push(position);
        below = position.seq.0.saturating_sub(step);
        step *= 2;
    }
    positions.push(Position::start(room));
    Ok(positions)
}

pub(super) fn load(
    db: &Connection,
    instance: InstanceId,
    limits: ClientLimits,
) -> Result<Loaded, DbError> {
    let token: String = meta(db, "token")?.unwrap_or_default();
    let enrol = match (
        meta::<String>(db, "invite")?,
        meta::<String>(db, "wanted_name")?,
        meta(db, "wanted_account")?,
    ) {
        (Some(invite), Some(name), Some(account)) => Some(Enrol {
            invite,
            name,
            account,
        }),
        _ => None,
    };
    let Me { device, account } = me(db)?;
    Ok(Loaded {
        device,
        instance,
        token: Token::from_stored(token),
        enrol,
        server: meta(db, "server")?,
        account,
        session: meta(db, "session")?,
        rooms: load_rooms(db)?,
        outbox: outbox(db, limits)?,
    })
}

fn load_rooms(db: &Connection) -> Result<Vec<LoadedRoom>, DbError> {
    let sql = "WITH rejected AS (SELECT DISTINCT room FROM outbox WHERE code IS NOT NULL)
               SELECT r.n AS n, r.id AS id, r.name AS name, r.topic AS topic, r.member AS member, r.head AS head,
                      l.seq AS read_seq, l.chain AS read_chain,
                      j.room IS NOT NULL AS has_rejected FROM rooms r LEFT JOIN rejected j ON j.room = r.n
               LEFT JOIN log l ON l.room = r.n AND l.seq = r.read_seq WHERE r.name <> ''";
    let room = |row: &rusqlite::Row<'_>| {
        let read = row
            .get::<_, Option<Seq>>("read_seq")?
            .zip(row.get("read_chain")?)
            .map(|(seq, chain)| Position { seq, chain });
        Ok((
            row.get::<_, i64>("n")?,
            LoadedRoom {
                room: row.get("id")?,
                name: row.get("name")?,
                topic: row.get("topic")?,
                member: row.get("member")?,
                head: row.get("head")?,
                ranges: Vec::new(),
                own_last: None,
                read,
                has_rejected: row.get("has_rejected")?,
            },
        ))
    };
    let rooms: Vec<_> = db
        .prepare_cached(sql)?
        .query_map([], room)?
        .collect::<Result<_, _>>()?;
    rooms
        .into_iter()
        .map(|(n, room)| {
            Ok(LoadedRoom {
                ranges: ranges(db, n)?,
                own_last: own_last(db, n)?,
                ..room
            })
        })
        .collect()
}
