//! What the room list costs a screen that reads it after each change: 100 rooms with 1,000 unread
//! messages each. The first read counts all of them; later ones continue that count.
//!
//! usage: cargo bench --bench room_list

use std::time::{Duration, Instant};

use landfall::client::store::{Disk, Reader};
use landfall::client::{Chained, NewEntry, RangeChange, StoredRange, Write};
use landfall::protocol::{
    AccountId, DeviceId, Entry, EntryId, Kind, Position, Room, RoomId, Seq, ServerId, SessionId,
};

const ROOMS: u8 = 100;
const UNREAD: u64 = 1_000;
/// Pending messages of each room.
const PENDING: u64 = 90;
const RUNS: u64 = 50;

/// One room's log on the server.
struct RemoteLog {
    room: RoomId,
    at: Position,
}

impl RemoteLog {
    fn new(n: u8) -> Self {
        let room = RoomId::from_random([n; 16]);
        Self {
            room,
            at: Position::start(room),
        }
    }

    fn described(&self) -> Write {
        Write::Room(Room {
            room: self.room,
            name: format!("room {}", self.room),
            kind: "public".to_owned(),
            topic: String::new(),
            member: true,
            first: Seq(1),
            head: self.at,
            delivered: Seq::ZERO,
            read: Seq::ZERO,
            delivered_here: Seq::ZERO,
            read_here: Seq::ZERO,
        })
    }

    fn append(&mut self, count: u64) -> Write {
        let start = Position::start(self.room);
        let range = |end: Position| {
            if end == start {
                vec![]
            } else {
                vec![StoredRange { start, end }]
            }
        };
        let before = range(self.at);
        let entries = (0..count).map(|_| self.entry()).collect();
        Write::Append {
            room: self.room,
            entries,
            skip: None,
            ranges: RangeChange {
                before,
                after: range(self.at),
            },
        }
    }

    fn entry(&mut self) -> Chained {
        let id = EntryId::from_parts(self.at.seq.0 + 1, [0; 10]);
        self.at = self.at.next(AccountId::NIL, id);
        let entry = Entry {
            seq: self.at.seq,
            id,
            author: AccountId::NIL,
            name: "bob".into(),
            device: DeviceId::NIL,
            kind: Kind::Message,
            body: "the quick brown fox jumps over the lazy dog".to_owned(),
            target: None,
            at: 1,
            composed_at: 1,
        };
        let chain = self.at.chain;
        Chained { entry, chain }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn time(reader: &Reader) -> Result<Duration, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let rooms = reader.rooms()?;
    let took = began.elapsed();
    assert!(rooms.iter().all(|room| room.unread >= UNREAD));
    Ok(took)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut disk = Disk::open(folder.path())?;
    disk.write(&Write::Welcome {
        server: ServerId::from_random([5; 16]),
        account: AccountId::from_random([3; 16]),
        name: "ana".into(),
        session: SessionId::from_random([6; 16]),
    })?;
    let mut logs: Vec<_> = (1..=ROOMS).map(RemoteLog::new).collect();
    for log in &mut logs {
        disk.write(&log.described())?;
        disk.write(&log.append(UNREAD))?;
    }
    let reader = Reader::open(folder.path())?;
    let first = time(&reader)?;
    let (mut unchanged, mut grown) = (Duration::ZERO, Duration::ZERO);
    for run in 0..RUNS {
        unchanged += time(&reader)?;
        let log = &mut logs[(run % u64::from(ROOMS)) as usize];
        disk.write(&log.append(1))?;
        grown += time(&reader)?;
    }
    let mut with_outbox = Duration::ZERO;
    for (room, log) in logs.iter().enumerate() {
        let entry = |n| {
            let id = EntryId::from_parts(room as u64 * PENDING + n, [1; 10]);
            NewEntry::plain(id, 1, log.room, Kind::Message, "on its way".to_owned())
        };
        disk.write(&Write::Enqueue {
            entries: (0..PENDING).map(entry).collect(),
            clears_draft: false,
        })?;
    }
    for _ in 0..RUNS {
        with_outbox += time(&reader)?;
    }
    let ratio = |took: Duration| took.as_secs_f64() / RUNS as f64 / first.as_secs_f64();
    println!("counting all                 {first:>9.2?}   1.000");
    for (what, took) in [
        ("nothing changed", unchanged),
        ("one more message", grown),
        ("with 9,000 pending messages", with_outbox),
    ] {
        let mean = took / RUNS as u32;
        println!("{what:28} {mean:>9.2?}   {:.3}", ratio(took));
    }
    Ok(())
}
