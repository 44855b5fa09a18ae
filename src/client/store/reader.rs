//! The queries of screens and commands: one connection that never writes, in short transactions.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::query;
use super::room_list::{self, UnreadCounts};
use super::rows::{LINE, LineColumns, PENDING, pending};
use super::schema::SCHEMA;
use super::shown::{
    Aside, JournalRow, Line, LinkRow, Mine, OutboxCounts, OwnMark, Pending, RoomRow,
};
use crate::client::link::LinkPhase;
use crate::protocol::{AccountId, Chain, EntryId, RoomId, Seq};
use crate::sqlite::{Database, DbError, scalar};

/// A read-only view of one store.
#[derive(Debug)]
pub struct Reader {
    db: RefCell<Database>,
    /// The unread counts of the latest read.
    unread: RefCell<UnreadCounts>,
}

/// Whether an own entry is in the log of any room.
pub(super) const IS_IN_LOG: &str = "SELECT EXISTS (SELECT 1 FROM log WHERE id = ?1 AND own)";

impl Reader {
    /// Opens a reader of the existing store of a profile folder.
    pub fn open(folder: &Path) -> Result<Self, DbError> {
        Ok(Self {
            db: RefCell::new(Database::open_reader(folder, &SCHEMA)?),
            unread: RefCell::default(),
        })
    }

    /// Returns a connection to the current generation; within [`Reader::at_once`], the one of its
    /// snapshot.
    pub(super) fn db(&self) -> Result<Ref<'_, Connection>, DbError> {
        if let Ok(mut db) = self.db.try_borrow_mut()
            && db.is_autocommit()
        {
            db.refresh()?;
        }
        Ok(Ref::map(self.db.borrow(), |db| &**db))
    }

    /// Reads several things as they were at one instant, so that nothing is missed or seen twice
    /// between them.
    pub fn at_once<T>(&self, read: impl FnOnce(&Self) -> Result<T, DbError>) -> Result<T, DbError> {
        let db = self.db()?;
        let transaction = db.unchecked_transaction()?;
        let result = read(self)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Returns the owner of the store.
    pub fn mine(&self) -> Result<Mine, DbError> {
        let name = match query::meta(&*self.db()?, "name")? {
            Some(name) => Some(name),
            None => query::meta(&*self.db()?, "wanted_name")?,
        };
        Ok(Mine {
            account: query::meta(&*self.db()?, "account")?,
            name: name.unwrap_or_default(),
            url: query::meta(&*self.db()?, "url")?,
        })
    }

    /// The rooms, by name: those of which this account is a member, or that have stored or pending
    /// entries.
    pub fn rooms(&self) -> Result<Vec<RoomRow>, DbError> {
        if self.db()?.is_autocommit() {
            // One snapshot, so that the counts match the list.
            return self.at_once(Self::rooms);
        }
        let mine = self.mine()?;
        room_list::rooms(&*self.db()?, mine, &mut self.unread.borrow_mut())
    }

    /// Returns the room of a name, in any case, and whether this account is a member.
    pub fn room_named(&self, name: &str) -> Result<Option<(RoomId, bool)>, DbError> {
        let sql = "SELECT id, member FROM rooms WHERE name = ?1 COLLATE NOCASE ORDER BY member DESC LIMIT 1";
        Ok(self
            .db()?
            .prepare_cached(sql)?
            .query_row([name], |row| Ok((row.get("id")?, row.get("member")?)))
            .optional()?)
    }

    /// At most `limit` lines before a seq, from low to high.
    pub fn before(&self, room: RoomId, before: Seq, limit: usize) -> Result<Vec<Line>, DbError> {
        let mut lines = self.lines(
            "l.seq < ?3 ORDER BY l.seq DESC LIMIT ?4",
            room,
            before,
            limit,
        )?;
        lines.reverse();
        Ok(lines)
    }

    /// At most `limit` lines after a seq, from low to high.
    pub fn after(&self, room: RoomId, after: Seq, limit: usize) -> Result<Vec<Line>, DbError> {
        self.lines("l.seq > ?3 ORDER BY l.seq LIMIT ?4", room, after, limit)
    }

    fn lines(
        &self,
        which: &str,
        room: RoomId,
        seq: Seq,
        limit: usize,
    ) -> Result<Vec<Line>, DbError> {
        let sql = format!(
            "SELECT {LINE} FROM log l JOIN rooms r ON r.n = l.room
             WHERE l.room = (SELECT n FROM rooms WHERE id = ?2) AND {which}"
        );
        let account: Option<AccountId> = query::meta(&*self.db()?, "account")?;
        let db = self.db()?;
        let mut statement = db.prepare_cached(&sql)?;
        let columns = LineColumns::of(&statement)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let line = |row: &Row<'_>| columns.line(row);
        Ok(statement
            .query_map(params![account, room, seq, limit], line)?
            .collect::<Result<_, _>>()?)
    }

    /// The number of messages that the server no longer has.
    pub fn count_aside(&self, room: RoomId) -> Result<usize, DbError> {
        let sql = "SELECT count(*) FROM aside a JOIN rooms r ON r.n = a.room WHERE r.id = ?1 AND a.kind = 'message'";
        Ok(self
            .db()?
            .prepare_cached(sql)?
            .query_row([room], scalar::<i64>)? as usize)
    }

    /// Returns the orphaned entries of a room.
    pub fn aside(&self, room: RoomId) -> Result<Vec<Aside>, DbError> {
        let sql = "SELECT a.seq, a.id, a.author, a.name, a.body, a.at FROM aside a JOIN rooms r ON r.n = a.room
                   WHERE r.id = ?1 AND a.kind = 'message' ORDER BY a.seq, a.n";
        let aside = |row: &Row<'_>| {
            Ok(Aside {
                seq: row.get("seq")?,
                id: row.get("id")?,
                author: row.get("author")?,
                name: row.get("name")?,
                body: row.get("body")?,
                at: row.get::<_, i64>("at")? as u64,
            })
        };
        Ok(self
            .db()?
            .prepare_cached(sql)?
            .query_map([room], aside)?
            .collect::<Result<_, _>>()?)
    }

    /// The chains of the entries that are stored in a range of seqs, both ends included.
    pub fn chains(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
    ) -> Result<BTreeMap<Seq, Chain>, DbError> {
        let sql = "SELECT l.seq, l.chain FROM log l JOIN rooms r ON r.n = l.room WHERE r.id = ?1 AND l.seq BETWEEN ?2 AND ?3";
        let chain = |row: &Row<'_>| Ok((row.get("seq")?, row.get("chain")?));
        Ok(self
            .db()?
            .prepare_cached(sql)?
            .query_map(params![room, from, to], chain)?
            .collect::<Result<_, _>>()?)
    }

    /// Seqs after which something is missing, with how much, from low to high.
    pub fn gaps(&self, room: RoomId) -> Result<Vec<(Seq, u64)>, DbError> {
        let n: Option<i64> = self
            .db()?
            .prepare_cached("SELECT n FROM rooms WHERE id = ?1")?
            .query_row([room], scalar)
            .optional()?;
        let Some(n) = n else { return Ok(Vec::new()) };
        let ranges = query::ranges(&*self.db()?, n)?;
        Ok(ranges
            .windows(2)
            .map(|pair| (pair[0].end.seq, pair[1].start.seq.since(pair[0].end.seq)))
            .collect())
    }

    /// Returns the server's head of a room, as far as it is known.
    pub fn head(&self, room: RoomId) -> Result<Seq, DbError> {
        let sql = "SELECT head FROM rooms WHERE id = ?1";
        let db = self.db()?;
        let head = db.prepare_cached(sql)?.query_row([room], scalar);
        Ok(head.optional()?.unwrap_or_default())
    }

    /// Whether everything from `from` up to before `to` is stored, with or without entries.
    pub fn has_all(&self, room: RoomId, from: Seq, to: Seq) -> Result<bool, DbError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM spans s JOIN rooms r ON r.n = s.room WHERE r.id = ?1 AND s.start_seq < ?2 AND s.end_seq >= ?3 - 1)";
        Ok(self
            .db()?
            .prepare_cached(sql)?
            .query_row(params![room, from, to], scalar)?)
    }

    /// The outbox of one room, or of all, in the order in which things were typed.
    pub fn outbox(&self, room: Option<RoomId>, limit: usize) -> Result<Vec<Pending>, DbError> {
        let sql = format!("{PENDING} WHERE ?1 IS NULL OR r.id = ?1 ORDER BY o.place LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self
            .db()?
            .prepare_cached(&sql)?
            .query_map(params![room, limit], pending)?
            .collect::<Result<_, _>>()?)
    }

    /// Returns whether an entry is on the server, pending, or rejected; `None` when it was
    /// discarded.
    pub fn fate(&self, id: EntryId) -> Result<Option<(OwnMark, Option<String>)>, DbError> {
        // one snapshot, since the entry may move from the log to the outbox between two reads
        self.at_once(|reader| reader.fate_now(id))
    }

    fn fate_now(&self, id: EntryId) -> Result<Option<(OwnMark, Option<String>)>, DbError> {
        let sql = "SELECT acked_seq IS NOT NULL AS acked, frozen, reason FROM outbox WHERE id = ?1";
        let row = |row: &Row<'_>| {
            Ok((
                row.get::<_, bool>("acked")?,
                row.get::<_, bool>("frozen")?,
                row.get::<_, Option<String>>("reason")?,
            ))
        };
        let Some(row) = self
            .db()?
            .prepare_cached(sql)?
            .query_row([id], row)
            .optional()?
        else {
            let is_in_log: bool = self
                .db()?
                .prepare_cached(IS_IN_LOG)?
                .query_row([id], scalar)?;
            return Ok(is_in_log.then_some((OwnMark::Acked, None)));
        };
        Ok(Some(match row {
            (true, _, None) => (OwnMark::Acked, None),
            (_, _, Some(reason)) => (OwnMark::Rejected, Some(reason)),
            (false, true, None) => (OwnMark::Sent, None),
            (false, false, None) => (OwnMark::Queued, None),
        }))
    }

    /// Number of entries of a room that are not stored, up to its head as far as that is known.
    pub fn missing(&self, room: RoomId) -> Result<u64, DbError> {
        let sql =
            "SELECT r.head - coalesce(sum(s.end_seq - s.start_seq), 0) FROM rooms r LEFT JOIN spans s ON s.room = r.n
                   WHERE r.id = ?1 GROUP BY r.n";
        let missing = self
            .db()?
            .prepare_cached(sql)?
            .query_row([room], scalar::<i64>)
            .optional()?;
        Ok(missing.map_or(0, |missing| missing.max(0) as u64))
    }

    /// Number of outbox rows, including rejected ones.
    pub fn waiting(&self) -> Result<u64, DbError> {
        Ok(self
            .db()?
            .prepare_cached("SELECT count(*) FROM outbox")?
            .query_row([], scalar::<i64>)? as u64)
    }

    /// Number of outbox rows in each stage.
    pub fn counts(&self) -> Result<OutboxCounts, DbError> {
        let sql = "SELECT coalesce(sum(code IS NULL AND NOT frozen), 0) AS queued,
                   coalesce(sum(code IS NULL AND frozen AND acked_seq IS NULL), 0) AS unacked,
                   coalesce(sum(code IS NOT NULL), 0) AS failed,
                   min(iif(code IS NULL AND acked_seq IS NULL, composed_at, NULL)) AS oldest FROM outbox";
        let acked: Option<i64> = query::meta(&*self.db()?, "acked")?;
        let counts = |row: &Row<'_>| {
            Ok(OutboxCounts {
                queued: row.get::<_, i64>("queued")? as u64,
                unacked: row.get::<_, i64>("unacked")? as u64,
                failed: row.get::<_, i64>("failed")? as u64,
                acked: acked.unwrap_or_default() as u64,
                oldest: row.get::<_, Option<i64>>("oldest")?.map(|at| at as u64),
            })
        };
        Ok(self.db()?.prepare_cached(sql)?.query_row([], counts)?)
    }

    /// When the newest entry that is stored here was appended, ms since 1970 by the server's clock.
    pub fn newest_at(&self) -> Result<Option<u64>, DbError> {
        let sql = "SELECT max((SELECT at FROM log WHERE room = r.n ORDER BY seq DESC LIMIT 1)) FROM rooms r";
        let newest: Option<i64> = self.db()?.prepare_cached(sql)?.query_row([], scalar)?;
        Ok(newest.map(|at| at as u64))
    }

    /// Returns the link state that was last stored; `None` also for one of a later version.
    pub fn link(&self) -> Result<Option<LinkRow>, DbError> {
        let word: Option<String> = query::meta(&*self.db()?, "link")?;
        let phase = word.and_then(|word| LinkPhase::from_word(&word));
        let seen_at: Option<i64> = query::meta(&*self.db()?, "seen_at")?;
        Ok(phase.zip(seen_at).map(|(phase, seen_at)| LinkRow {
            phase,
            seen_at: seen_at as u64,
        }))
    }

    /// The newest lines of the journal since a time (ms since 1970), from old to new. Lines with a state
    /// of a later version are left out.
    pub fn journal(&self, since: u64, limit: usize) -> Result<Vec<JournalRow>, DbError> {
        let sql = "SELECT n, at, from_state, to_state, cause, detail FROM journal WHERE at >= ?1 ORDER BY n DESC LIMIT ?2";
        let line = |row: &Row<'_>| {
            let json = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
            let Some(to) = LinkPhase::from_word(row.get_ref("to_state")?.as_str()?) else {
                return Ok(None);
            };
            Ok(Some(JournalRow {
                n: row.get("n")?,
                at: row.get::<_, i64>("at")? as u64,
                // Any other word: no process was running.
                from: LinkPhase::from_word(row.get_ref("from_state")?.as_str()?),
                to,
                cause: serde_json::from_str(json("cause")?).ok(),
                // A line of another version may have other details.
                numbers: serde_json::from_str(json("detail")?).unwrap_or_default(),
            }))
        };
        let (since, limit) = (
            i64::try_from(since).unwrap_or(i64::MAX),
            i64::try_from(limit).unwrap_or(i64::MAX),
        );
        let mut lines: Vec<_> = self
            .db()?
            .prepare_cached(sql)?
            .query_map([since, limit], line)?
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        lines.reverse();
        Ok(lines)
    }
}
