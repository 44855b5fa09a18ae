//! How rows of the database become values of the protocol, and entries rows. Columns are read by name.

use rusqlite::{Connection, Row, params};

use crate::protocol::{
    AccountId, Chain, Entry, Kind, Member, Position, Room, RoomInfo, Seq, Target,
};
use crate::server::storage::Account;
use crate::sqlite::{DbError, columns, variant, word};

/// Selects entries for [`EntryColumns`].
pub(super) const ENTRY: &str = "SELECT seq, id, author, name, device, kind, body, target_author, target_id, at, composed_at FROM entries";
/// Selects rooms for [`info`].
pub(super) const INFO: &str = "SELECT r.id AS id, r.name AS name, r.topic AS topic,
    (SELECT count(*) FROM members WHERE room = r.n) AS members FROM rooms r";
/// Selects rooms for [`room`], as the account `?1` sees them.
pub(super) const ROOM_OF: &str = "SELECT r.id AS id, r.name AS name, r.kind AS kind, r.topic AS topic, m.account IS NOT NULL AS member,
    r.head AS seq, r.chain AS chain,
    coalesce((SELECT min(delivered) FROM members WHERE room = r.n), 0) AS delivered,
    coalesce((SELECT min(read) FROM members WHERE room = r.n), 0) AS read,
    coalesce(m.delivered, 0) AS delivered_here, coalesce(m.read, 0) AS read_here
    FROM rooms r LEFT JOIN members m ON m.room = r.n AND m.account = (SELECT n FROM accounts WHERE id = ?1)";

/// Of the columns `id` and `name`.
pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        account: row.get("id")?,
        name: row.get("name")?,
    })
}

pub(super) fn room(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        room: row.get("id")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        topic: row.get("topic")?,
        member: row.get("member")?,
        first: Seq(1),
        head: position(row)?,
        delivered: row.get("delivered")?,
        read: row.get("read")?,
        delivered_here: row.get("delivered_here")?,
        read_here: row.get("read_here")?,
    })
}

pub(super) fn info(row: &Row<'_>) -> rusqlite::Result<RoomInfo> {
    Ok(RoomInfo {
        room: row.get("id")?,
        name: row.get("name")?,
        topic: row.get("topic")?,
        members: row.get::<_, i64>("members")? as u64,
    })
}

/// Of the columns `id`, `name`, `delivered` and `read`. Presence is not stored.
pub(super) fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        account: row.get("id")?,
        name: row.get("name")?,
        online: false,
        delivered: row.get("delivered")?,
        read: row.get("read")?,
    })
}

/// Of the columns `seq` and `chain`.
pub(super) fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        seq: row.get("seq")?,
        chain: row.get("chain")?,
    })
}

columns!(
    /// Where a statement has the columns of [`ENTRY`].
    EntryColumns {
        seq, id, author, name, device, kind, body, target_author, target_id, at, composed_at,
    }
);

impl EntryColumns {
    pub(super) fn entry(&self, row: &Row<'_>) -> rusqlite::Result<Entry> {
        Ok(Entry {
            seq: row.get(self.seq)?,
            id: row.get(self.id)?,
            author: row.get(self.author)?,
            name: row.get(self.name)?,
            device: row.get(self.device)?,
            kind: variant(row.get_ref(self.kind)?.as_str()?).unwrap_or(Kind::Unknown),
            body: row.get(self.body)?,
            target: row
                .get::<_, Option<AccountId>>(self.target_author)?
                .zip(row.get(self.target_id)?)
                .map(|(author, id)| Target { author, id }),
            at: row.get::<_, i64>(self.at)? as u64,
            composed_at: row.get::<_, i64>(self.composed_at)? as u64,
        })
    }
}

/// Writes an entry into the room with the row number `n`; `chain` is the chain at the entry.
pub(super) fn insert_entry(
    db: &Connection,
    n: i64,
    entry: &Entry,
    chain: Chain,
) -> Result<(), DbError> {
    let insert = "INSERT INTO entries (room, seq, id, author, name, device, kind, target_author, target_id, at, composed_at, chain, body)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    db.prepare_cached(insert)?.execute(params![
        n,
        entry.seq,
        entry.id,
        entry.author,
        entry.name,
        entry.device,
        word(entry.kind),
        entry.target.map(|target| target.author),
        entry.target.map(|target| target.id),
        entry.at as i64,
        entry.composed_at as i64,
        chain,
        entry.body,
    ])?;
    Ok(())
}
