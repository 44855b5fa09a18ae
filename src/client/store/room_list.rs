//! The room list: every room with its number of unread messages.
//!
//! A screen reads the list after each change. A full count costs as much as there are unread
//! messages, so counts are cached, and continued where a log has only grown.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::shown::{Mine, RoomRow};
use crate::planted_bug::planted_bug;
use crate::protocol::{Chain, Seq};
use crate::sqlite::{DbError, scalar, variant};

/// Stored unread messages are counted up to here; a screen shows more as "999+".
const UNREAD_MAX: u64 = 1_000;

/// The counts of the last read, by the rooms' row numbers.
#[derive(Debug, Default)]
pub(super) struct UnreadCounts {
    /// For whom they were counted: another name has other mentions.
    mine: Mine,
    rooms: BTreeMap<i64, RoomCount>,
}

/// A count, and the part of the log that it was made over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct RoomCount {
    extent: Extent,
    unread: Unread,
}

/// Which entries were counted: equal extents have equal entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    /// Only entries above this seq.
    read: Seq,
    /// How many of them are stored.
    stored: u64,
    /// The highest of them, and the chain up to it.
    top: Seq,
    chain: Option<Chain>,
}

/// Unread messages among stored entries.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Unread {
    messages: u64,
    is_mentioned: bool,
}

/// A room as the query returns it.
struct FoundRoom {
    n: i64,
    row: RoomRow,
    extent: Extent,
}

/// The outbox is read once, not once for each room.
const ROOMS: &str = "WITH pending AS (SELECT room, max(code IS NOT NULL) AS has_rejected,
     max(iif(kind IN ('join', 'leave') AND code IS NULL AND NOT discarded, place, NULL)) AS wanted_place
     FROM outbox GROUP BY room)
    SELECT r.n AS n, r.id AS id, r.name AS name, r.topic AS topic, r.member AS member, r.head AS head,
    r.read_seq AS read_seq, r.draft AS draft, s.end_seq AS top, s.end_chain AS top_chain,
    coalesce((SELECT min(start_seq) FROM spans WHERE room = r.n), 0) AS first,
    coalesce((SELECT sum(end_seq - max(start_seq, r.read_seq)) FROM spans WHERE room = r.n AND end_seq > r.read_seq), 0)
     AS stored_above,
    coalesce(p.has_rejected, 0) AS has_rejected, (SELECT kind FROM outbox WHERE place = p.wanted_place) AS wanted
    FROM rooms r LEFT JOIN pending p ON p.room = r.n
    LEFT JOIN spans s ON s.room = r.n AND s.start_seq = (SELECT max(start_seq) FROM spans WHERE room = r.n)
    WHERE r.name <> '' AND (r.member OR p.room IS NOT NULL
    OR EXISTS (SELECT 1 FROM log WHERE room = r.n)) ORDER BY NOT r.member, r.name <> 'lobby', r.name";

/// The rooms, by name: those of which this account is a member, or that have stored or pending
/// entries.
pub(super) fn rooms(
    db: &Connection,
    mine: Mine,
    counts: &mut UnreadCounts,
) -> Result<Vec<RoomRow>, DbError> {
    let found: Vec<_> = db
        .prepare_cached(ROOMS)?
        .query_map([], found)?
        .collect::<Result<_, _>>()?;
    if counts.mine != mine {
        *counts = UnreadCounts {
            mine,
            rooms: BTreeMap::new(),
        };
    }
    let mut rooms = Vec::with_capacity(found.len());
    for FoundRoom { n, mut row, extent } in found {
        let unread = unread(db, n, counts, extent)?;
        row.unread += unread.messages;
        row.mentioned = unread.is_mentioned;
        rooms.push(row);
    }
    Ok(rooms)
}

/// The unread messages of an extent, counted as far as they were not.
fn unread(
    db: &Connection,
    n: i64,
    counts: &mut UnreadCounts,
    extent: Extent,
) -> Result<Unread, DbError> {
    let known = counts.rooms.get(&n).copied();
    let unread = match known {
        Some(known) if known.extent == extent => return Ok(known.unread),
        Some(known) if has_only_grown(db, n, known.extent, extent)? => {
            let more = count(db, n, known.extent.top, known.unread.messages, &counts.mine)?;
            Unread {
                messages: known.unread.messages + more.messages,
                is_mentioned: known.unread.is_mentioned || more.is_mentioned,
            }
        }
        Some(_) | None => count(db, n, extent.read, 0, &counts.mine)?,
    };
    counts.rooms.insert(n, RoomCount { extent, unread });
    Ok(unread)
}

/// Whether a newer extent contains all of an older one, below all new entries.
fn has_only_grown(db: &Connection, n: i64, old: Extent, new: Extent) -> Result<bool, DbError> {
    if old.read != new.read || old.top < old.read || new.top < old.top {
        return Ok(false);
    }
    // A gap below may have been filled while another one appeared above.
    let sql = "SELECT coalesce(sum(min(end_seq, ?3) - max(start_seq, ?2)), 0) FROM spans
               WHERE room = ?1 AND end_seq > ?2 AND start_seq < ?3";
    let stored: i64 = db
        .prepare_cached(sql)?
        .query_row(params![n, old.read, old.top], scalar)?;
    if stored as u64 != old.stored {
        return Ok(false);
    }
    let sql = "SELECT chain FROM log WHERE room = ?1 AND seq = ?2";
    let chain = db
        .prepare_cached(sql)?
        .query_row(params![n, old.top], scalar::<Chain>)
        .optional()?;
    Ok(chain.is_some() && chain == old.chain)
}

/// Counts messages of others above a seq, until there are [`UNREAD_MAX`] with those known.
fn count(db: &Connection, n: i64, above: Seq, known: u64, mine: &Mine) -> Result<Unread, DbError> {
    let sql = "SELECT count(*) AS count, coalesce(max(instr(lower(body), ?4) > 0), 0) AS mentioned FROM (SELECT body FROM log
               WHERE room = ?1 AND seq > ?2 AND kind = 'message' AND author IS NOT ?3 ORDER BY seq LIMIT ?5)";
    let name = format!("@{}", mine.name.to_lowercase());
    let limit = UNREAD_MAX.saturating_sub(known) as i64;
    Ok(db
        .prepare_cached(sql)?
        .query_row(params![n, above, mine.account, name, limit], |row| {
            Ok(Unread {
                messages: row.get::<_, i64>("count")? as u64,
                is_mentioned: row.get("mentioned")?,
            })
        })?)
}

fn found(row: &Row<'_>) -> rusqlite::Result<FoundRoom> {
    let read: Seq = row.get("read_seq")?;
    let top = row.get::<_, Option<Seq>>("top")?.unwrap_or(Seq::ZERO);
    let head = row.get::<_, Seq>("head")?.max(top);
    let first: Seq = row.get("first")?;
    let stored = row.get::<_, i64>("stored_above")? as u64;
    let not_stored = head.since(first.max(read)).saturating_sub(stored);
    let wanted: Option<String> = row.get("wanted")?;
    Ok(FoundRoom {
        n: row.get("n")?,
        row: RoomRow {
            room: row.get("id")?,
            name: row.get("name")?,
            topic: row.get("topic")?,
            member: row.get("member")?,
            wanted: wanted.and_then(|kind| variant(&kind)),
            head,
            top,
            bottom: first.next(),
            read,
            unread: if planted_bug!(GapIsRead) {
                head.since(top.max(read))
            } else {
                not_stored
            },
            mentioned: false,
            has_rejected: row.get("has_rejected")?,
            draft: row.get("draft")?,
        },
        extent: Extent {
            read,
            stored,
            top,
            chain: row.get("top_chain")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::log::{AppendOutcome, RoomLog};
    use crate::client::persist::{RangeChange, Write};
    use crate::client::store::{Disk, Reader};
    use crate::protocol::{
        AccountId, DeviceId, Entries, Entry, EntryId, Kind, Position, Room, RoomId, ServerId,
        SessionId,
    };

    const ENTRIES: usize = 40;

    fn room() -> RoomId {
        RoomId::from_random([1; 16])
    }

    fn account() -> AccountId {
        AccountId::from_random([3; 16])
    }

    /// A server's log, whose tail is another one after each truncation.
    struct ServerLog {
        entries: Vec<Entry>,
        at: Vec<Position>,
    }

    impl ServerLog {
        fn new() -> Self {
            let mut server = Self {
                entries: Vec::new(),
                at: vec![Position::start(room())],
            };
            server.rewrite(0, 0);
            server
        }

        /// Replaces everything above a seq.
        fn rewrite(&mut self, above: usize, salt: u8) {
            self.entries.truncate(above);
            self.at.truncate(above + 1);
            for seq in above + 1..=ENTRIES {
                let random = seq * 7 + usize::from(salt) * 3;
                let author = if random % 4 == 0 {
                    account()
                } else {
                    AccountId::NIL
                };
                let id = EntryId::from_parts(seq as u64, [salt; 10]);
                let next = self.at[seq - 1].next(author, id);
                self.at.push(next);
                self.entries.push(Entry {
                    seq: next.seq,
                    id,
                    author,
                    name: "x".into(),
                    device: DeviceId::NIL,
                    kind: if random % 5 == 0 {
                        Kind::Topic
                    } else {
                        Kind::Message
                    },
                    body: if random % 6 == 0 {
                        "hey @Ana".into()
                    } else {
                        "x".into()
                    },
                    target: None,
                    at: 1,
                    composed_at: 1,
                });
            }
        }

        fn page(&self, from: usize, to: usize) -> Entries {
            Entries {
                room: room(),
                prev: self.at[from],
                entries: self.entries[from..to].to_vec(),
                skip: None,
                request: None,
            }
        }
    }

    /// What the store contains before anything of a log.
    fn introduce(disk: &mut Disk) {
        let welcome = Write::Welcome {
            server: ServerId::from_random([5; 16]),
            account: account(),
            name: "ana".into(),
            session: SessionId::from_random([6; 16]),
        };
        let described = Write::Room(Room {
            room: room(),
            name: "lobby".into(),
            kind: "public".into(),
            topic: String::new(),
            member: true,
            first: Seq(1),
            head: Position {
                seq: Seq(ENTRIES as u64),
                ..Position::start(room())
            },
            delivered: Seq::ZERO,
            read: Seq::ZERO,
            delivered_here: Seq::ZERO,
            read_here: Seq::ZERO,
        });
        for write in [welcome, described] {
            disk.write(&write).expect("is stored");
        }
    }

    /// A server's log, and the store that a page of it goes to.
    struct World {
        folder: tempfile::TempDir,
        disk: Disk,
        server: ServerLog,
        log: RoomLog,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let mut disk = Disk::open(folder.path()).expect("opens");
            introduce(&mut disk);
            Self {
                folder,
                disk,
                server: ServerLog::new(),
                log: RoomLog::new(room(), Vec::new(), None),
            }
        }

        fn store(&mut self, from: usize, to: usize) {
            let before = self.log.ranges().to_vec();
            let page = self.server.page(from, to.min(ENTRIES));
            let taken = self.log.accept(&page, DeviceId::NIL, 1_000, |_| None);
            if let AppendOutcome::Store { entries, skip } = taken {
                let after = self.log.ranges().to_vec();
                let write = Write::Append {
                    room: room(),
                    entries,
                    skip,
                    ranges: RangeChange { before, after },
                };
                self.disk.write(&write).expect("is stored");
            }
        }

        /// The server's log is another one above `at`.
        fn truncate(&mut self, at: usize, salt: u8) {
            let before = self.log.ranges().to_vec();
            let position = self.server.at[at];
            let after = self.log.truncated_ranges(position);
            self.log = RoomLog::new(room(), after.clone(), None);
            let write = Write::Truncate {
                room: room(),
                at: position,
                ranges: RangeChange { before, after },
            };
            self.disk.write(&write).expect("is stored");
            self.server.rewrite(at, salt);
        }

        fn read(&mut self, at: usize) {
            let seq = Seq(at as u64);
            let write = Write::MarkRead { room: room(), seq };
            self.disk.write(&write).expect("is stored");
        }

        fn reader(&self) -> Reader {
            Reader::open(self.folder.path()).expect("reads")
        }
    }

    #[test]
    fn unread_gap_filled_while_another_opens() {
        let mut world = World::new();
        world.store(0, 5);
        world.store(10, 20);
        let reader = world.reader();
        reader.rooms().expect("reads");
        world.store(5, 10);
        world.store(25, 30);
        let anew = world.reader().rooms().expect("reads");
        assert_eq!(reader.rooms().expect("reads"), anew);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn unread_counted_on_equals_unread_counted_anew(
            steps in proptest::collection::vec((0..4_u8, 0..ENTRIES, 1..9_usize), 1..16)
        ) {
            let mut world = World::new();
            let reader = world.reader();
            for (step, (what, at, length)) in steps.into_iter().enumerate() {
                let top = world.log.top().seq.0 as usize;
                match what {
                    0 => world.store(top, top + length),
                    1 => world.store(at, at + length),
                    2 if world.log.contains(Seq(at as u64)) => world.truncate(at, step as u8 + 1),
                    _ => world.read(at),
                }
                // Now and then several changes lie between two reads.
                if length % 2 == 1 {
                    let anew = world.reader().rooms().expect("reads");
                    prop_assert_eq!(reader.rooms().expect("reads"), anew);
                }
            }
        }
    }
}
