//! The default storage: one SQLite file, WAL, `synchronous=FULL`.

mod accounts;
mod appends;
mod rows;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use self::accounts::{enrol_in, hash};
use self::appends::{commit_one, mark_one};
use self::rows::{ENTRY, EntryColumns, INFO, ROOM_OF};
use super::{
    Account, Append, Device, Enrolled, LOBBY, LogPage, ReceiptUpdate, Storage, TokenHash, Verdict,
    Watermarks, cut_by_bytes, schema,
};
use crate::protocol::{
    AccountId, DeviceId, Enrol, Entry, Member, Position, Room, RoomId, RoomInfo, Seq, ServerId,
};
use crate::sqlite::{Database, DbError, scalar};
use crate::system;

/// A storage in one file.
#[derive(Debug)]
pub struct Sqlite {
    db: Database,
    folder: PathBuf,
    server: ServerId,
    /// Generation and SQLite's `data_version` at the last check.
    seen_version: Option<(u32, i64)>,
}

impl Sqlite {
    /// Opens the storage of a folder; the first time it makes the server's id and the lobby.
    pub fn open(folder: &Path) -> Result<Self, DbError> {
        let mut db = Database::open(folder, &schema::SCHEMA)?;
        let transaction = db.write()?;
        let known = transaction
            .query_row("SELECT value FROM meta WHERE key = 'server'", [], scalar)
            .optional()?;
        let server = match known {
            Some(server) => server,
            None => {
                let server = ServerId::from_random(system::random());
                transaction.execute(
                    "INSERT INTO meta (key, value) VALUES ('server', ?1)",
                    [server],
                )?;
                insert_room(
                    &transaction,
                    RoomId::from_random(system::random()),
                    LOBBY,
                    "where everybody is",
                )?;
                server
            }
        };
        transaction.commit()?;
        if known.is_none() {
            db.checkpoint(); // a copy of the file alone has it
        }
        let mut storage = Self {
            db,
            folder: folder.to_owned(),
            server,
            seen_version: None,
        };
        storage.check_storage()?;
        Ok(storage)
    }

    /// Opens the storage of a folder for reading only. It must exist.
    pub(super) fn open_reader(folder: &Path) -> Result<Self, DbError> {
        let db = Database::open_reader(folder, &schema::SCHEMA)?;
        let server = db.query_row("SELECT value FROM meta WHERE key = 'server'", [], scalar)?;
        Ok(Self {
            db,
            folder: folder.to_owned(),
            server,
            seen_version: None,
        })
    }

    /// Returns the current generation for reading.
    fn read(&mut self) -> Result<&Connection, DbError> {
        self.db.refresh()?;
        Ok(&self.db)
    }
}

impl Storage for Sqlite {
    fn another(&self) -> Result<Box<dyn Storage>, DbError> {
        let db = Database::open_reader(&self.folder, &schema::SCHEMA)?;
        Ok(Box::new(Self {
            db,
            folder: self.folder.clone(),
            server: self.server,
            seen_version: None,
        }))
    }

    fn server(&self) -> ServerId {
        self.server
    }

    fn check_storage(&mut self) -> Result<bool, DbError> {
        self.db.refresh()?;
        // The number changes with commits of other connections, and with the file.
        let version = (
            self.db.generation(),
            self.db
                .query_row("PRAGMA data_version", [], scalar::<i64>)?,
        );
        let before = self.seen_version.replace(version);
        Ok(before.is_some_and(|before| before != version))
    }

    fn commit(&mut self, group: &[Append], now: u64) -> Result<Vec<Verdict>, DbError> {
        let transaction = self.db.write()?;
        let mut verdicts = Vec::with_capacity(group.len());
        for append in group {
            // A bad entry is a verdict; an error here is one of the disk, and concerns the whole
            // group.
            verdicts.push(commit_one(&transaction, append, now)?);
        }
        transaction.commit()?;
        Ok(verdicts)
    }

    fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        now: u64,
    ) -> Result<Enrolled, DbError> {
        let transaction = self.db.write()?;
        let enrolled = enrol_in(&transaction, enrol, device, token, now)?;
        if !matches!(enrolled, Enrolled::Rejected(_)) {
            transaction.commit()?;
            self.db.checkpoint(); // rare and important
        }
        Ok(enrolled)
    }

    fn probe(&mut self, now: u64) -> Result<(), DbError> {
        let transaction = self.db.write()?;
        let sql = "INSERT INTO meta (key, value) VALUES ('probe', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
        transaction.prepare_cached(sql)?.execute([now as i64])?;
        transaction.commit()
    }

    fn newest_at(&mut self) -> Result<Option<u64>, DbError> {
        let newest: Option<i64> =
            self.read()?
                .query_row("SELECT max(at) FROM rooms WHERE head > 0", [], scalar)?;
        Ok(newest.map(|at| at as u64))
    }

    fn invite(&mut self) -> Result<Option<String>, DbError> {
        let sql = "SELECT value FROM meta WHERE key = 'invite'";
        Ok(self.read()?.query_row(sql, [], scalar).optional()?)
    }

    fn renew_invite(&mut self, code: &str, uses: u64) -> Result<(), DbError> {
        let transaction = self.db.write()?;
        transaction.execute("DELETE FROM invites", [])?;
        let sql = "INSERT INTO invites (code, uses) VALUES (?1, ?2)";
        transaction.execute(
            sql,
            params![hash(code), i64::try_from(uses).unwrap_or(i64::MAX)],
        )?;
        let sql = "INSERT INTO meta (key, value) VALUES ('invite', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
        transaction.execute(sql, [code])?;
        transaction.commit()?;
        self.db.checkpoint(); // rare and important
        Ok(())
    }

    fn devices(&mut self) -> Result<Vec<Device>, DbError> {
        let sql = "SELECT d.id, a.name, d.since FROM devices d JOIN accounts a ON a.n = d.account ORDER BY a.folded, d.since";
        let device = |row: &Row<'_>| {
            let since = row.get::<_, i64>("since")? as u64;
            Ok(Device {
                device: row.get("id")?,
                name: row.get("name")?,
                since,
            })
        };
        Ok(self
            .read()?
            .prepare_cached(sql)?
            .query_map([], device)?
            .collect::<Result<_, _>>()?)
    }

    fn revoke(&mut self, device: DeviceId) -> Result<bool, DbError> {
        let transaction = self.db.write()?;
        // A pending device code would let it in again.
        transaction.execute(
            "DELETE FROM links WHERE account = (SELECT account FROM devices WHERE id = ?1)",
            [device],
        )?;
        transaction.execute("DELETE FROM marks WHERE device = ?1", [device])?;
        let had_access = transaction.execute("DELETE FROM devices WHERE id = ?1", [device])? > 0;
        transaction.commit()?;
        self.db.checkpoint(); // rare and important
        Ok(had_access)
    }

    fn without_access(&mut self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, DbError> {
        let db = self.read()?;
        let mut known = db.prepare_cached("SELECT 1 FROM devices WHERE id = ?1")?;
        let mut without = Vec::new();
        for device in devices {
            if !known.exists([device])? {
                without.push(*device);
            }
        }
        Ok(without)
    }

    fn link_device(&mut self, account: AccountId, code: &str, until: u64) -> Result<(), DbError> {
        let sql = "INSERT OR REPLACE INTO links (account, code, until) SELECT n, ?2, ?3 FROM accounts WHERE id = ?1";
        let transaction = self.db.write()?;
        transaction.execute(
            sql,
            params![
                account,
                hash(code),
                i64::try_from(until).unwrap_or(i64::MAX)
            ],
        )?;
        transaction.commit()
    }

    fn create_room(
        &mut self,
        room: RoomId,
        name: &str,
        topic: &str,
    ) -> Result<Option<RoomInfo>, DbError> {
        let transaction = self.db.write()?;
        if let Some(info) = find_room(&transaction, None, Some(room))? {
            return Ok(Some(info));
        }
        if find_room(&transaction, Some(name), None)?.is_some() {
            return Ok(None);
        }
        insert_room(&transaction, room, name, topic)?;
        transaction.commit()?;
        self.db.checkpoint(); // rare and important
        Ok(Some(RoomInfo {
            room,
            name: name.to_owned(),
            topic: topic.to_owned(),
            members: 0,
        }))
    }

    fn mark(&mut self, updates: &[ReceiptUpdate]) -> Result<Vec<Watermarks>, DbError> {
        let transaction = self.db.write()?;
        let mut moved = Vec::new();
        for update in updates {
            let before = lowest(&transaction, update.room)?;
            mark_one(&transaction, update)?;
            let after = lowest(&transaction, update.room)?;
            if before != after {
                moved.retain(|lowest: &Watermarks| lowest.room != update.room);
                moved.extend(after);
            }
        }
        transaction.commit()?;
        Ok(moved)
    }

    fn authenticate(
        &mut self,
        device: DeviceId,
        token: TokenHash,
    ) -> Result<Option<Account>, DbError> {
        let sql = "SELECT a.id AS id, a.name AS name FROM devices d JOIN accounts a ON a.n = d.account WHERE d.id = ?1 AND d.token = ?2";
        Ok(self
            .read()?
            .prepare_cached(sql)?
            .query_row(params![device, token], rows::account)
            .optional()?)
    }

    fn rooms_of(&mut self, account: AccountId) -> Result<Vec<Room>, DbError> {
        let sql = format!("{ROOM_OF} WHERE m.account IS NOT NULL ORDER BY r.name");
        Ok(self
            .read()?
            .prepare_cached(&sql)?
            .query_map([account], rows::room)?
            .collect::<Result<_, _>>()?)
    }

    fn room_of(&mut self, account: AccountId, room: RoomId) -> Result<Option<Room>, DbError> {
        let sql = format!("{ROOM_OF} WHERE r.id = ?2");
        Ok(self
            .read()?
            .prepare_cached(&sql)?
            .query_row(params![account, room], rows::room)
            .optional()?)
    }

    fn head(&mut self, room: RoomId) -> Result<Option<Position>, DbError> {
        head(self.read()?, room)
    }

    fn locate(
        &mut self,
        room: RoomId,
        positions: &[Position],
    ) -> Result<Option<Position>, DbError> {
        let db = self.read()?;
        if head(db, room)?.is_none() {
            return Ok(None);
        }
        let mut positions = positions.to_vec();
        positions.sort_by_key(|position| std::cmp::Reverse(position.seq));
        for position in positions {
            if contains(db, room, position)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn page_after(
        &mut self,
        room: RoomId,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        let db = self.read()?;
        let Some(prev) = position_at(db, room, after)? else {
            return Ok(None);
        };
        let entries = entries(db, "seq > ?2 ORDER BY seq", room, after, limit, bytes)?;
        Ok(Some(LogPage { prev, entries }))
    }

    fn page_before(
        &mut self,
        room: RoomId,
        before: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        let db = self.read()?;
        let which = "seq < ?2 ORDER BY seq DESC";
        let mut entries = entries(db, which, room, before, limit, bytes)?;
        entries.reverse();
        let first = entries.first().map_or(before, |entry| entry.seq);
        let prev = position_at(db, room, Seq(first.0.saturating_sub(1)))?;
        Ok(prev.map(|prev| LogPage { prev, entries }))
    }

    fn find_room(
        &mut self,
        name: Option<&str>,
        room: Option<RoomId>,
    ) -> Result<Option<RoomInfo>, DbError> {
        find_room(self.read()?, name, room)
    }

    fn list_rooms(&mut self, after: &str, limit: usize) -> Result<Vec<RoomInfo>, DbError> {
        let sql =
            format!("{INFO} WHERE r.name > ?1 AND r.kind = 'public' ORDER BY r.name LIMIT ?2");
        Ok(self
            .read()?
            .prepare_cached(&sql)?
            .query_map(params![after, limit as i64], rows::info)?
            .collect::<Result<_, _>>()?)
    }

    fn list_members(
        &mut self,
        room: RoomId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Member>, DbError> {
        let sql = "SELECT a.id AS id, a.name AS name, m.delivered AS delivered, m.read AS read FROM members m JOIN accounts a ON a.n = m.account
                   JOIN rooms r ON r.n = m.room WHERE r.id = ?1 AND a.name > ?2 ORDER BY a.name LIMIT ?3";
        Ok(self
            .read()?
            .prepare_cached(sql)?
            .query_map(params![room, after, limit as i64], rows::member)?
            .collect::<Result<_, _>>()?)
    }
}

fn insert_room(db: &Connection, room: RoomId, name: &str, topic: &str) -> Result<(), DbError> {
    let start = Position::start(room);
    let sql = "INSERT INTO rooms (id, name, folded, kind, topic, head, chain, at) VALUES (?1, ?2, ?3, 'public', ?4, 0, ?5, 0)";
    db.prepare_cached(sql)?.execute(params![
        room,
        name,
        name.to_lowercase(),
        topic,
        start.chain
    ])?;
    Ok(())
}

fn find_room(
    db: &Connection,
    name: Option<&str>,
    room: Option<RoomId>,
) -> Result<Option<RoomInfo>, DbError> {
    let sql = format!("{INFO} WHERE r.folded = ?1 OR r.id = ?2");
    let folded = name.map(str::to_lowercase);
    Ok(db
        .prepare_cached(&sql)?
        .query_row(params![folded, room], rows::info)
        .optional()?)
}

fn head(db: &Connection, room: RoomId) -> Result<Option<Position>, DbError> {
    let sql = "SELECT head AS seq, chain FROM rooms WHERE id = ?1";
    Ok(db
        .prepare_cached(sql)?
        .query_row([room], rows::position)
        .optional()?)
}

fn position_at(db: &Connection, room: RoomId, seq: Seq) -> Result<Option<Position>, DbError> {
    if seq == Seq::ZERO {
        return Ok(head(db, room)?.map(|_| Position::start(room)));
    }
    let sql =
        "SELECT chain FROM entries WHERE room = (SELECT n FROM rooms WHERE id = ?1) AND seq = ?2";
    let chain = db
        .prepare_cached(sql)?
        .query_row(params![room, seq], scalar)
        .optional()?;
    Ok(chain.map(|chain| Position { seq, chain }))
}

/// At most `limit` entries of about so many bytes, in the order of `which`, where `?2` is the seq.
fn entries(
    db: &Connection,
    which: &str,
    room: RoomId,
    seq: Seq,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Entry>, DbError> {
    let sql =
        format!("{ENTRY} WHERE room = (SELECT n FROM rooms WHERE id = ?1) AND {which} LIMIT ?3");
    let mut statement = db.prepare_cached(&sql)?;
    let columns = EntryColumns::of(&statement)?;
    let entry = |row: &Row<'_>| columns.entry(row);
    let rows = statement.query_map(params![room, seq, limit as i64], entry)?;
    let mut failed = None;
    let entries = cut_by_bytes(
        rows.map_while(|row| row.map_err(|error| failed = Some(error)).ok()),
        bytes,
    );
    failed.map_or(Ok(entries), |error| Err(error.into()))
}

fn contains(db: &Connection, room: RoomId, position: Position) -> Result<bool, DbError> {
    Ok(position_at(db, room, position.seq)? == Some(position))
}

fn lowest(db: &Connection, room: RoomId) -> Result<Option<Watermarks>, DbError> {
    let sql = "SELECT (SELECT min(delivered) FROM members WHERE room = r.n) AS delivered,
               (SELECT min(read) FROM members WHERE room = r.n) AS read FROM rooms r WHERE id = ?1";
    let lowest = |row: &Row<'_>| {
        Ok(row
            .get::<_, Option<Seq>>("delivered")?
            .zip(row.get("read")?))
    };
    let lowest = db
        .prepare_cached(sql)?
        .query_row([room], lowest)
        .optional()?
        .flatten();
    Ok(lowest.map(|(delivered, read)| Watermarks {
        room,
        delivered,
        read,
    }))
}
