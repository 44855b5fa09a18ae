//! The promises of the store, with a real file.

mod discarding;
mod files;
mod groups;
mod outbox;
mod reading;
mod truncating;

use std::time::Duration;

use super::worker::LOOK_PAUSE;
use super::*;
use crate::client::link::LinkPhase;
use crate::client::log::{Chained, StoredRange};
use crate::client::persist::{NewEntry, NewRows, RangeChange, SendBudget};
use crate::protocol::{
    DeviceId, Entry, EntryId, Kind, Position, RejectCode, Room, Seq, ServerId, SessionId, Skip,
    Target,
};

struct StoreFixture {
    store: Store,
    reader: Reader,
    folder: tempfile::TempDir,
    at: Position,
    ranges: Vec<StoredRange>,
}

fn room() -> RoomId {
    RoomId::from_random([1; 16])
}

fn account() -> AccountId {
    AccountId::from_random([3; 16])
}

fn id(n: u64) -> EntryId {
    EntryId::from_parts(n, [0; 10])
}

fn entry(n: u64, body: &str) -> NewEntry {
    NewEntry {
        id: id(n),
        room: room(),
        kind: Kind::Message,
        body: body.into(),
        target: None,
        composed_at: n,
    }
}

/// The room as a server describes it, with a log up to a seq.
fn lobby(head: u64, delivered: u64) -> Write {
    Write::Room(Room {
        room: room(),
        name: "lobby".into(),
        kind: "public".into(),
        topic: String::new(),
        member: true,
        first: Seq(1),
        head: Position {
            seq: Seq(head),
            ..Position::start(room())
        },
        delivered: Seq(delivered),
        read: Seq(0),
        delivered_here: Seq(0),
        read_here: Seq(0),
    })
}

impl StoreFixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("opens");
        let reader = store.reader().expect("reads");
        let world = Self {
            store,
            reader,
            folder,
            at: Position::start(room()),
            ranges: Vec::new(),
        };
        let (server, session) = (
            ServerId::from_random([5; 16]),
            SessionId::from_random([6; 16]),
        );
        world
            .write(Write::Welcome {
                server,
                account: account(),
                name: "ana".into(),
                session,
            })
            .await;
        world.write(lobby(0, 0)).await;
        world
    }

    async fn write(&self, write: Write) -> Outcome {
        self.store.write(write).await.expect("is stored")
    }

    async fn enqueue(&self, n: u64, body: &str) -> Outcome {
        self.write(Write::Enqueue {
            entries: vec![entry(n, body)],
            clears_draft: true,
        })
        .await
    }

    async fn reject(&self, n: u64, code: RejectCode, reason: &str) -> Outcome {
        self.write(Write::Rejected {
            id: id(n),
            code,
            reason: reason.into(),
        })
        .await
    }

    async fn discard(&self, n: u64, redaction: u64) -> Outcome {
        self.write(Write::Discard {
            id: id(n),
            redaction: id(redaction),
            composed_at: 9,
        })
        .await
    }

    async fn watermarks(&self, delivered: u64, read: u64) -> Outcome {
        self.write(Write::Watermarks {
            room: room(),
            delivered: Seq(delivered),
            read: Seq(read),
        })
        .await
    }

    /// Fills the outbox up to its limit.
    async fn fill_outbox(&self) {
        let many = (0..10_000).map(|n| entry(n, "x")).collect();
        let enqueue = Write::Enqueue {
            entries: many,
            clears_draft: false,
        };
        assert_eq!(self.write(enqueue).await, Outcome::Queued);
    }

    async fn load(&self) -> Loaded {
        self.store
            .load(InstanceId::from_random([8; 16]))
            .await
            .expect("loads")
    }

    /// Appends an entry to the log, of this device or of another account.
    async fn append(
        &mut self,
        n: u64,
        is_own: bool,
        kind: Kind,
        body: &str,
        target: Option<Target>,
    ) {
        let append = self.appending(n, is_own, kind, body, target).await;
        self.write(append).await;
    }

    /// The write that appends an entry.
    async fn appending(
        &mut self,
        n: u64,
        is_own: bool,
        kind: Kind,
        body: &str,
        target: Option<Target>,
    ) -> Write {
        let device = if is_own {
            self.load().await.device
        } else {
            DeviceId::NIL
        };
        let author = if is_own { account() } else { AccountId::NIL };
        let next = self.at.next(author, id(n));
        let entry = Entry {
            seq: next.seq,
            id: id(n),
            author,
            name: "x".into(),
            device,
            kind,
            body: body.into(),
            target,
            at: n,
            composed_at: n,
        };
        let after = vec![StoredRange {
            start: Position::start(room()),
            end: next,
        }];
        let ranges = RangeChange {
            before: std::mem::replace(&mut self.ranges, after.clone()),
            after,
        };
        self.at = next;
        Write::Append {
            room: room(),
            entries: vec![Chained {
                entry,
                chain: next.chain,
            }],
            skip: None,
            ranges,
        }
    }

    /// Cuts the log of the room.
    async fn cut(&mut self, at: Position) -> Outcome {
        let after = if at.seq == Seq::ZERO {
            Vec::new()
        } else {
            vec![StoredRange {
                start: Position::start(room()),
                end: at,
            }]
        };
        let ranges = RangeChange {
            before: std::mem::replace(&mut self.ranges, after.clone()),
            after,
        };
        self.at = at;
        self.write(Write::Truncate {
            room: room(),
            at,
            ranges,
        })
        .await
    }

    fn pending(&self) -> Vec<(EntryId, OwnMark)> {
        let rows = self.reader.outbox(Some(room()), 100).expect("reads");
        rows.into_iter()
            .map(|pending| (pending.id, pending.mark))
            .collect()
    }

    fn lines(&self) -> Vec<Line> {
        self.reader.before(room(), Seq(1_000), 100).expect("reads")
    }
}
