//! The promises of the store, with a real file.

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
        self.write(Write::Append {
            room: room(),
            entries: vec![Chained {
                entry,
                chain: next.chain,
            }],
            skip: None,
            ranges,
        })
        .await;
        self.at = next;
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

#[tokio::test]
async fn enqueue_clears_the_draft_atomically() {
    let world = StoreFixture::new().await;
    world
        .write(Write::Draft {
            room: room(),
            text: "hel".into(),
        })
        .await;
    assert_eq!(world.reader.rooms().expect("reads")[0].draft, "hel");
    assert_eq!(world.enqueue(1, "hello").await, Outcome::Queued);
    let again = Reader::open(world.folder.path()).expect("a second connection");
    assert_eq!(again.rooms().expect("reads")[0].draft, "");
    assert_eq!(again.outbox(None, 9).expect("reads")[0].body, "hello");
}

#[tokio::test]
async fn enqueue_twice_is_one_entry_even_when_logged() {
    let mut world = StoreFixture::new().await;
    world.enqueue(1, "hello").await;
    world.enqueue(1, "hello").await;
    assert_eq!(world.pending().len(), 1);
    world.append(1, true, Kind::Message, "hello", None).await;
    world.enqueue(1, "hello").await;
    assert_eq!(world.pending(), []);
}

#[tokio::test]
async fn own_message_is_always_in_one_place() {
    let mut world = StoreFixture::new().await;
    let seen = |world: &StoreFixture| {
        let here = |reader: &Reader| {
            let waits = reader
                .outbox(Some(room()), 9)?
                .iter()
                .filter(|pending| pending.id == id(1))
                .count();
            Ok(waits
                + reader
                    .before(room(), Seq(99), 9)?
                    .iter()
                    .filter(|line| line.id == id(1))
                    .count())
        };
        world.reader.at_once(here).expect("reads")
    };
    world.enqueue(1, "hello").await;
    assert_eq!((seen(&world), world.pending()[0].1), (1, OwnMark::Queued));
    world.write(Write::Freeze(vec![id(1)])).await;
    assert_eq!((seen(&world), world.pending()[0].1), (1, OwnMark::Sent));
    world
        .write(Write::Acked {
            id: id(1),
            seq: Seq(1),
        })
        .await;
    assert_eq!((seen(&world), world.pending()[0].1), (1, OwnMark::Acked));
    world.append(1, true, Kind::Message, "hello", None).await;
    assert_eq!(
        (seen(&world), world.lines()[0].mark),
        (1, Some(OwnMark::Acked))
    );
    world
        .write(Write::Watermarks {
            room: room(),
            delivered: Seq(1),
            read: Seq(0),
        })
        .await;
    assert_eq!(world.lines()[0].mark, Some(OwnMark::Delivered));
    world
        .write(Write::Watermarks {
            room: room(),
            delivered: Seq(0),
            read: Seq(1),
        })
        .await;
    assert_eq!(
        world.lines()[0].mark,
        Some(OwnMark::Read),
        "and it never goes back"
    );
    assert_eq!(world.reader.counts().expect("reads").acked, 1);
}

#[tokio::test]
async fn rejected_message_keeps_reason_until_logged() {
    let mut world = StoreFixture::new().await;
    world.enqueue(1, "hello").await;
    world
        .write(Write::Rejected {
            id: id(1),
            code: RejectCode::Forbidden,
            reason: "muted".into(),
        })
        .await;
    assert_eq!(world.load().await.outbox, [], "it blocks no other entry");
    let rejected = world.reader.outbox(None, 9).expect("reads").remove(0);
    assert_eq!(
        rejected.rejection,
        Some((RejectCode::Forbidden, "muted".into()))
    );
    assert!(
        world.reader.rooms().expect("reads")[0].has_rejected,
        "the room list has the seq"
    );
    assert_eq!(world.reader.counts().expect("reads").failed, 1);
    world.append(1, true, Kind::Message, "hello", None).await;
    assert_eq!(world.pending(), []);
}

#[tokio::test]
async fn retried_message_queues_behind_newer_ones() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "first").await;
    world
        .write(Write::Rejected {
            id: id(1),
            code: RejectCode::NotMember,
            reason: "no".into(),
        })
        .await;
    world.enqueue(2, "second").await;
    assert_eq!(
        world.write(Write::Retry { id: None }).await,
        Outcome::Requeued(1)
    );
    let order: Vec<_> = world
        .load()
        .await
        .outbox
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(order, [id(2), id(1)]);
    assert_eq!(
        world.write(Write::Retry { id: None }).await,
        Outcome::NotFound
    );
}

#[tokio::test]
async fn discard_redacts_sent_and_deletes_unsent() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "sent").await;
    world.enqueue(2, "not sent").await;
    world.write(Write::Freeze(vec![id(1)])).await;
    let discard = |n, redaction| Write::Discard {
        id: id(n),
        redaction: id(redaction),
        composed_at: 9,
    };
    assert_eq!(world.write(discard(2, 12)).await, Outcome::Done);
    assert_eq!(world.write(discard(1, 11)).await, Outcome::Done);
    assert_eq!(
        world.write(discard(1, 13)).await,
        Outcome::NotFound,
        "once is enough"
    );
    let rows = world.reader.outbox(None, 9).expect("reads");
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.id, row.kind, row.discarded))
        .collect();
    assert_eq!(
        shown,
        [
            (id(1), Kind::Message, true),
            (id(11), Kind::Redaction, false)
        ]
    );
}

#[tokio::test]
async fn discarded_and_rejected_message_is_gone() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "in flight").await;
    world.write(Write::Freeze(vec![id(1)])).await;
    world
        .write(Write::Discard {
            id: id(1),
            redaction: id(11),
            composed_at: 9,
        })
        .await;
    world
        .write(Write::Rejected {
            id: id(1),
            code: RejectCode::NotMember,
            reason: "not here".into(),
        })
        .await;
    assert_eq!(
        world.pending(),
        [(id(11), OwnMark::Queued)],
        "it is discarded once"
    );
}

#[tokio::test]
async fn ack_is_counted_once() {
    let mut world = StoreFixture::new().await;
    let acked = |world: &StoreFixture| world.reader.counts().expect("reads").acked;
    for n in [1, 2, 3] {
        world.enqueue(n, "hello").await;
        world.write(Write::Freeze(vec![id(n)])).await;
    }
    for n in [1, 2] {
        world
            .write(Write::Acked {
                id: id(n),
                seq: Seq(n),
            })
            .await;
        world.append(n, true, Kind::Message, "hello", None).await;
    }
    world
        .write(Write::Acked {
            id: id(3),
            seq: Seq(3),
        })
        .await;
    assert_eq!(acked(&world), 3);
    let start = Position::start(room());
    world.cut(start).await;
    assert_eq!(acked(&world), 0, "the server has none of them any more");
    world
        .write(Write::Acked {
            id: id(1),
            seq: Seq(1),
        })
        .await;
    world
        .write(Write::Rejected {
            id: id(1),
            code: RejectCode::NotMember,
            reason: "not here".into(),
        })
        .await;
    assert_eq!(acked(&world), 0);
}

#[tokio::test]
async fn edit_of_redacted_message_shows_no_text() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "hello", None).await;
    let target = Some(Target {
        author: AccountId::NIL,
        id: id(1),
    });
    world
        .append(2, false, Kind::Edit, "hello better", target)
        .await;
    assert_eq!(world.lines()[0].body, "hello better");
    world.append(3, false, Kind::Redaction, "", target).await;
    world
        .append(4, false, Kind::Edit, "hello again", target)
        .await;
    assert!(
        world.lines().iter().all(|line| line.body.is_empty()),
        "{:?}",
        world.lines()
    );
}

#[tokio::test]
async fn truncation_requeues_own_and_orphans_others() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "stays", None).await;
    let at = world.at;
    world.append(2, true, Kind::Message, "mine a", None).await;
    world.append(3, false, Kind::Message, "theirs", None).await;
    world.append(4, true, Kind::Message, "mine b", None).await;
    let target = Some(Target {
        author: account(),
        id: id(4),
    });
    world.append(5, true, Kind::Redaction, "", target).await;
    world.enqueue(6, "queued").await;
    let Outcome::Truncated {
        own_last, outbox, ..
    } = world.cut(at).await
    else {
        panic!("a cut")
    };
    assert_eq!(own_last, None);
    assert_eq!(
        outbox.iter().map(|row| row.id).collect::<Vec<_>>(),
        [id(2), id(4), id(5), id(6)]
    );
    let bodies: Vec<_> = world
        .reader
        .outbox(None, 9)
        .expect("reads")
        .into_iter()
        .map(|row| row.body)
        .collect();
    assert_eq!(
        bodies,
        ["mine a", "", "", "queued"],
        "what is known as redacted goes back empty"
    );
    assert_eq!(world.reader.aside(room()).expect("reads").len(), 1);
    assert_eq!(world.lines().len(), 1);
    world.append(3, false, Kind::Message, "theirs", None).await;
    assert_eq!(
        world.reader.aside(room()).expect("reads"),
        [],
        "an entry that returns is no longer set aside"
    );
}

/// A log with a gap, truncated below all of it: the typed order decides, or the log's order where
/// this store never had the typed order.
#[tokio::test]
async fn truncation_across_gap_keeps_typed_order() {
    let mut world = StoreFixture::new().await;
    world.enqueue(1, "stays").await;
    world.append(1, true, Kind::Message, "stays", None).await;
    let at = world.at;
    for n in [11, 12, 13, 14] {
        world.enqueue(n, "typed here").await;
    }
    world
        .write(Write::Freeze(vec![id(11), id(12), id(13)]))
        .await;
    // 11 was acknowledged at 5 and lies in a gap; 13 is above it, after 90, which another copy
    // of this store sent.
    world
        .write(Write::Acked {
            id: id(11),
            seq: Seq(5),
        })
        .await;
    world.at = Position { seq: Seq(40), ..at };
    world
        .append(
            90,
            true,
            Kind::Message,
            "typed before this store was restored",
            None,
        )
        .await;
    world
        .append(12, true, Kind::Message, "typed here", None)
        .await;
    world
        .append(91, true, Kind::Message, "the same, later", None)
        .await;
    world
        .append(13, true, Kind::Message, "typed here", None)
        .await;
    let last = world.load().await.rooms[0].own_last.expect("an own entry");
    assert_eq!((last.id, last.order), (id(13), 4));
    let Outcome::Truncated {
        outbox, own_last, ..
    } = world.cut(at).await
    else {
        panic!("a cut")
    };
    let stays = own_last.expect("an own entry");
    assert!(
        stays.id == id(1) && stays.order < outbox[0].order,
        "what stays was typed earlier"
    );
    assert_eq!(
        outbox.iter().map(|row| row.id).collect::<Vec<_>>(),
        [11, 90, 12, 91, 13, 14].map(id)
    );
    assert!(outbox.iter().all(|row| row.acked.is_none()));
}

#[tokio::test]
async fn truncation_restores_typed_positions() {
    let mut world = StoreFixture::new().await;
    let elsewhere = RoomId::from_random([9; 16]);
    for n in 1..=5 {
        let entry = NewEntry {
            room: if n % 2 == 0 { elsewhere } else { room() },
            ..entry(n, "typed")
        };
        world
            .write(Write::Enqueue {
                entries: vec![entry],
                clears_draft: false,
            })
            .await;
    }
    for n in [1, 3] {
        world.append(n, true, Kind::Message, "typed", None).await;
    }
    let at = Position::start(room());
    let Outcome::Truncated { outbox, .. } = world.cut(at).await else {
        panic!("a cut")
    };
    assert_eq!(
        outbox.iter().map(|row| row.id).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5].map(id),
        "in all rooms"
    );
}

#[tokio::test]
async fn locator_goes_to_zero_in_doubling_steps() {
    let mut world = StoreFixture::new().await;
    for n in 1..=20 {
        world.append(n, false, Kind::Message, "x", None).await;
    }
    let (tx, rx) = oneshot::channel();
    world.store.find(
        Query::Locator {
            room: room(),
            top: Seq(18),
        },
        |found| tx.send(found).expect("is awaited"),
    );
    let Found::Locator { positions, .. } = rx.await.expect("answers").expect("finds") else {
        panic!("a locator")
    };
    let seqs: Vec<_> = positions.iter().map(|position| position.seq.0).collect();
    assert_eq!(seqs, [18, 17, 15, 11, 3, 0]);
    assert_eq!(positions.last(), Some(&Position::start(room())));
}

#[tokio::test]
async fn failed_write_does_not_fail_its_group() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "x", None).await;
    let twice = world.lines()[0].clone();
    let entry = Entry {
        seq: twice.seq,
        id: id(77),
        author: AccountId::NIL,
        name: "x".into(),
        device: DeviceId::NIL,
        kind: Kind::Message,
        body: String::new(),
        target: None,
        at: 1,
        composed_at: 1,
    };
    let clash = Write::Append {
        room: room(),
        entries: vec![Chained {
            entry,
            chain: world.at.chain,
        }],
        skip: None,
        ranges: RangeChange {
            before: world.ranges.clone(),
            after: Vec::new(),
        },
    };
    let (bad, good) = tokio::join!(world.store.write(clash), world.enqueue(2, "good"));
    assert!(bad.is_err());
    assert_eq!((good, world.pending().len()), (Outcome::Queued, 1));
    assert_eq!(
        world.load().await.rooms[0].ranges.len(),
        1,
        "nothing of the bad one was stored"
    );
}

#[tokio::test]
async fn core_of_another_store_writes_nothing() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "x", None).await;
    let at = world.at;
    let (start, place) = (Position::start(room()), at.next(AccountId::NIL, id(9)));
    let elsewhere = StoredRange {
        start,
        end: Position {
            seq: Seq(118),
            ..at
        },
    };
    let ranges = RangeChange {
        before: vec![elsewhere],
        after: vec![elsewhere],
    };
    let rejected = world
        .store
        .write(Write::Truncate {
            room: room(),
            at: place,
            ranges,
        })
        .await;
    assert!(matches!(rejected, Err(DbError::Stale)));
    assert_eq!(
        world.load().await.rooms[0].ranges,
        [StoredRange { start, end: at }],
        "no gap counts as stored"
    );
}

#[tokio::test]
async fn file_of_new_store_is_complete_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    let enrolment = EnrolmentRequest {
        url: Some("ws://host:7777".into()),
        invite: "code".into(),
        name: "ana".into(),
    };
    store.set_enrolment(enrolment).await.expect("is stored");
    let (server, session) = (
        ServerId::from_random([5; 16]),
        SessionId::from_random([6; 16]),
    );
    let welcome = Write::Welcome {
        server,
        account: account(),
        name: "ana".into(),
        session,
    };
    store.write(welcome).await.expect("writes");
    store.write(lobby(0, 0)).await.expect("writes");
    let alone = tempfile::tempdir().expect("a folder");
    std::fs::copy(
        folder.path().join("store.db"),
        alone.path().join("store.db"),
    )
    .expect("copies");
    let loaded = Store::open(alone.path())
        .expect("opens")
        .load(InstanceId::NIL)
        .await
        .expect("loads");
    assert_eq!(
        (loaded.account, loaded.server, loaded.rooms.len()),
        (Some(account()), Some(server), 1)
    );
}

#[tokio::test]
async fn full_outbox_rejects_new_messages() {
    let world = StoreFixture::new().await;
    let many = (0..10_000).map(|n| entry(n, "x")).collect();
    assert_eq!(
        world
            .write(Write::Enqueue {
                entries: many,
                clears_draft: false
            })
            .await,
        Outcome::Queued
    );
    assert_eq!(world.enqueue(20_000, "one more").await, Outcome::OutboxFull);
    assert_eq!(world.reader.counts().expect("reads").queued, 10_000);
}

#[tokio::test]
async fn sent_message_is_discarded_from_full_outbox() {
    let world = StoreFixture::new().await;
    let many = (0..10_000).map(|n| entry(n, "x")).collect();
    assert_eq!(
        world
            .write(Write::Enqueue {
                entries: many,
                clears_draft: false
            })
            .await,
        Outcome::Queued
    );
    world.write(Write::Freeze(vec![id(5)])).await;
    let discard = Write::Discard {
        id: id(5),
        redaction: id(30_000),
        composed_at: 1,
    };
    assert_eq!(world.write(discard.clone()).await, Outcome::Done);
    let rows = world
        .reader
        .outbox(Some(room()), usize::MAX)
        .expect("reads");
    assert!(
        rows.iter()
            .any(|row| row.id == id(30_000) && row.kind == Kind::Redaction),
        "its redaction follows"
    );
    assert_eq!(world.write(discard).await, Outcome::NotFound, "once");
}

#[tokio::test]
async fn rejected_entry_is_kept_until_replaced() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "precious").await;
    let reason = "banned".to_owned();
    world
        .write(Write::Rejected {
            id: id(1),
            code: crate::protocol::RejectCode::Forbidden,
            reason,
        })
        .await;
    assert_eq!(
        world
            .reader
            .fate(id(1))
            .expect("reads")
            .map(|(mark, _)| mark),
        Some(OwnMark::Rejected)
    );
    world
        .write(Write::Replace {
            rejected: id(1),
            entry: entry(2, "polite"),
        })
        .await;
    assert_eq!(world.pending(), [(id(2), OwnMark::Queued)]);
    assert_eq!(
        world.reader.fate(id(1)).expect("reads"),
        None,
        "gone, and not acked"
    );
}

#[tokio::test]
async fn entry_that_is_no_longer_rejected_is_not_replaced() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "precious").await;
    let replace = || Write::Replace {
        rejected: id(1),
        entry: entry(2, "polite"),
    };
    assert_eq!(world.write(replace()).await, Outcome::NotFound);
    assert_eq!(
        world.pending(),
        [(id(1), OwnMark::Queued)],
        "another process has retried it"
    );
    world
        .write(Write::Rejected {
            id: id(1),
            code: crate::protocol::RejectCode::Forbidden,
            reason: "banned".to_owned(),
        })
        .await;
    assert_eq!(world.write(replace()).await, Outcome::Queued);
    assert_eq!(world.pending(), [(id(2), OwnMark::Queued)]);
}

#[tokio::test]
async fn log_ending_below_marks_is_another_log() {
    let world = StoreFixture::new().await;
    world
        .write(Write::Watermarks {
            room: room(),
            delivered: Seq(5),
            read: Seq(5),
        })
        .await;
    let lowest = || -> (i64, i64) {
        let db = world.reader.db().expect("opens");
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        db.query_row("SELECT floor_delivered, floor_read FROM rooms", [], read)
            .expect("reads")
    };
    world.write(lobby(9, 3)).await;
    assert_eq!(lowest(), (5, 5), "marks never go back within one history");
    world.write(lobby(1, 1)).await;
    assert_eq!(lowest(), (1, 0));
}

#[tokio::test]
async fn marks_stay_until_the_log_is_truncated() {
    let mut world = StoreFixture::new().await;
    for n in 1..=3 {
        world.append(n, true, Kind::Message, "x", None).await;
    }
    world
        .write(Write::Watermarks {
            room: room(),
            delivered: Seq(5),
            read: Seq(0),
        })
        .await;
    world.write(lobby(1, 1)).await;
    let marks: Vec<_> = world.lines().into_iter().map(|line| line.mark).collect();
    assert_eq!(marks, vec![Some(OwnMark::Delivered); 3]);
    world.append(4, true, Kind::Message, "x", None).await;
    assert_eq!(
        world.lines().last().and_then(|line| line.mark),
        Some(OwnMark::Acked),
        "that one is unknown"
    );
}

#[tokio::test]
async fn newer_store_is_rejected_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let db = rusqlite::Connection::open(&path).expect("opens");
    db.execute_batch("PRAGMA user_version = 999; CREATE TABLE future (x)")
        .expect("writes");
    drop(db);
    let before = std::fs::read(&path).expect("reads");
    assert!(matches!(
        Store::open(folder.path()),
        Err(DbError::Newer { found: 999, .. })
    ));
    assert_eq!(std::fs::read(&path).expect("reads"), before);
}

#[tokio::test]
async fn file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("store.db"),
        "this is no database, but it is long enough to be read as one",
    )
    .expect("writes");
    let error = Store::open(folder.path()).expect_err("rejected");
    assert!(matches!(error, DbError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn states_of_a_later_version_are_left_out() {
    let world = StoreFixture::new().await;
    for to in [LinkPhase::Connecting, LinkPhase::Backoff] {
        let line = crate::client::JournalLine {
            from: Some(LinkPhase::Connected),
            to,
            cause: crate::client::Cause::Start,
            numbers: Box::default(),
        };
        world
            .store
            .write(Write::Journal(line))
            .await
            .expect("is stored");
    }
    let phase = |reader: &Reader| reader.link().expect("reads").map(|link| link.phase);
    assert_eq!(phase(&world.reader), Some(LinkPhase::Backoff));
    let db = rusqlite::Connection::open(world.folder.path().join("store.db")).expect("opens");
    db.execute_batch(
        "UPDATE journal SET to_state = 'levitating' WHERE to_state = 'connecting';
         UPDATE meta SET value = 'levitating' WHERE key = 'link';",
    )
    .expect("writes");
    assert_eq!(phase(&world.reader), None);
    let lines = world.reader.journal(0, 9).expect("reads");
    assert_eq!(
        lines.iter().map(|line| line.to).collect::<Vec<_>>(),
        [LinkPhase::Backoff]
    );
}

#[tokio::test]
async fn topic_in_a_gap_is_not_the_topic_of_today() {
    let world = StoreFixture::new().await;
    let page = |from: u64, body: &str, before: &[StoredRange], after: &[StoredRange]| {
        let entry = Entry {
            seq: Seq(from + 1),
            id: id(from + 1),
            author: AccountId::NIL,
            name: "x".into(),
            device: DeviceId::NIL,
            kind: Kind::Topic,
            body: body.into(),
            target: None,
            at: 1,
            composed_at: 1,
        };
        let chain = Position::start(room()).chain;
        Write::Append {
            room: room(),
            entries: vec![Chained { entry, chain }],
            skip: None,
            ranges: RangeChange {
                before: before.to_vec(),
                after: after.to_vec(),
            },
        }
    };
    let range = |start: u64| StoredRange {
        start: Position {
            seq: Seq(start),
            ..Position::start(room())
        },
        end: Position {
            seq: Seq(start + 1),
            ..Position::start(room())
        },
    };
    let (low, high) = (range(3), range(9));
    world.write(page(9, "of today", &[], &[high])).await;
    world
        .write(page(3, "of last year", &[high], &[low, high]))
        .await;
    assert_eq!(world.load().await.rooms[0].topic, "of today");
}

#[tokio::test]
async fn ranges_that_touch_are_reported_and_mended() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "one", None).await;
    let folder = world.folder;
    drop((world.store, world.reader));
    let db = rusqlite::Connection::open(folder.path().join("store.db")).expect("opens");
    let touching = "INSERT INTO spans (room, start_seq, start_chain, end_seq, end_chain)
                    SELECT room, end_seq, end_chain, end_seq, end_chain FROM spans";
    assert_eq!(db.execute(touching, []).expect("writes"), 1);
    drop(db);
    let checked = crate::client::store::maintenance::check(folder.path()).expect("reads");
    assert!(
        checked.problems[0].contains("ranges are empty or touch"),
        "{:?}",
        checked.problems
    );
    let store = Store::open(folder.path()).expect("opens");
    let loaded = store.load(InstanceId::from_random([1; 16])).await;
    let before = loaded.expect("loads").rooms.remove(0).ranges;
    assert_eq!(before.len(), 1, "{before:?}");
    let nothing_new = RangeChange {
        before: before.clone(),
        after: before,
    };
    let write = Write::Append {
        room: room(),
        entries: Vec::new(),
        skip: None,
        ranges: nothing_new,
    };
    store.write(write).await.expect("the ranges are as assumed");
    drop(store);
    let checked = crate::client::store::maintenance::check(folder.path()).expect("reads");
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn journal_is_bounded() {
    let world = StoreFixture::new().await;
    let line = || {
        Write::Journal(crate::client::JournalLine {
            from: Some(LinkPhase::Connected),
            to: LinkPhase::Backoff,
            cause: crate::client::Cause::Start,
            numbers: Box::default(),
        })
    };
    let writes: Vec<_> = (0..10_050).map(|_| world.store.write(line())).collect();
    for write in writes {
        write.await.expect("is stored");
    }
    assert_eq!(
        world.reader.journal(0, 20_000).expect("reads").len(),
        10_000
    );
}

#[tokio::test]
async fn unread_counts_others_after_the_mark() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "one", None).await;
    world.append(2, true, Kind::Message, "mine", None).await;
    world
        .append(3, false, Kind::Message, "hey @Ana", None)
        .await;
    let row = world.reader.rooms().expect("reads").remove(0);
    assert_eq!((row.unread, row.mentioned), (2, true));
    assert!(matches!(
        world
            .write(Write::MarkRead {
                room: room(),
                seq: Seq(3)
            })
            .await,
        Outcome::Read(Some(_))
    ));
    assert_eq!(
        world
            .write(Write::MarkRead {
                room: room(),
                seq: Seq(2)
            })
            .await,
        Outcome::Read(None),
        "never back"
    );
    assert_eq!(world.reader.rooms().expect("reads")[0].unread, 0);
}

#[tokio::test]
async fn unread_counts_entries_of_a_gap() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "read", None).await;
    world.append(2, false, Kind::Message, "unread", None).await;
    world
        .write(Write::MarkRead {
            room: room(),
            seq: Seq(1),
        })
        .await;
    let far = Position {
        seq: Seq(40),
        ..Position::start(room())
    };
    let to = Position {
        seq: Seq(50),
        ..Position::start(room())
    };
    let after = [
        world.ranges.clone(),
        vec![StoredRange {
            start: far,
            end: to,
        }],
    ]
    .concat();
    let ranges = RangeChange {
        before: world.ranges.clone(),
        after,
    };
    let skip = Some((
        far,
        Skip {
            to,
            why: "expired".to_owned(),
        },
    ));
    world
        .write(Write::Append {
            room: room(),
            entries: Vec::new(),
            skip,
            ranges,
        })
        .await;
    let row = world.reader.rooms().expect("reads").remove(0);
    assert_eq!(
        row.unread,
        1 + 38,
        "a stored one, and those between 2 and 41"
    );
}

#[tokio::test]
async fn search_finds_messages_but_no_redacted_ones() {
    let mut world = StoreFixture::new().await;
    world
        .append(
            1,
            false,
            Kind::Message,
            "the Replica lag is back to zero",
            None,
        )
        .await;
    world
        .append(
            2,
            true,
            Kind::Message,
            "replicas are fine, they say \"ok\"",
            None,
        )
        .await;
    world
        .append(3, true, Kind::Message, "replica of something secret", None)
        .await;
    world
        .append(
            4,
            true,
            Kind::Redaction,
            "",
            Some(Target {
                author: account(),
                id: id(3),
            }),
        )
        .await;
    world
        .append(5, false, Kind::Topic, "replica talk", None)
        .await;
    let found = |words: &str| {
        let hits = world.reader.search(words, 10).expect("searches");
        hits.into_iter()
            .map(|hit| (hit.room_name, hit.line.seq.0))
            .collect::<Vec<_>>()
    };
    let lobby = |seqs: &[u64]| {
        seqs.iter()
            .map(|seq| ("lobby".to_owned(), *seq))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("replica"), lobby(&[2, 1]));
    assert_eq!(found("replica "), lobby(&[1]));
    assert_eq!(found("lag rep"), lobby(&[1]));
    assert_eq!(found("\"ok\" AND NOT ("), lobby(&[]));
    assert_eq!(found("say \"ok\""), lobby(&[2]));
    assert_eq!(found("( -- *"), lobby(&[]));
}

#[tokio::test]
async fn write_after_failed_write_is_not_stored() {
    let mut world = StoreFixture::new().await;
    world.append(1, false, Kind::Message, "one", None).await;
    let start = Position::start(room());
    let append = |n: u64, spans_to: Position| {
        let place = start
            .next(AccountId::NIL, id(1))
            .next(AccountId::NIL, id(n));
        let entry = Entry {
            seq: place.seq,
            id: id(n),
            author: AccountId::NIL,
            name: "x".into(),
            device: DeviceId::NIL,
            kind: Kind::Message,
            body: "two".into(),
            target: None,
            at: 1,
            composed_at: 1,
        };
        let first = start.next(AccountId::NIL, id(1));
        let before = vec![StoredRange { start, end: first }];
        let ranges = RangeChange {
            before,
            after: vec![StoredRange {
                start,
                end: spans_to,
            }],
        };
        Write::Append {
            room: room(),
            entries: vec![Chained {
                entry,
                chain: place.chain,
            }],
            skip: None,
            ranges,
        }
    };
    let follow_up = |write| {
        let (tx, rx) = oneshot::channel();
        world
            .store
            .write_dependent(write, move |result| drop(tx.send(result)));
        rx
    };
    let second = start
        .next(AccountId::NIL, id(1))
        .next(AccountId::NIL, id(2));
    // the first one is there already
    let [bad, good] = [append(1, second), append(2, second)].map(follow_up);
    assert!(bad.await.expect("is answered").is_err());
    assert!(matches!(
        good.await.expect("is answered"),
        Err(DbError::RolledBack)
    ));
    assert_eq!(
        world
            .enqueue(9, "a person's own write does not count on it")
            .await,
        Outcome::Queued
    );
    assert_eq!(
        world.load().await.rooms[0].ranges[0].end.seq,
        Seq(1),
        "and no gap counts as stored"
    );
    assert!(
        follow_up(append(2, second))
            .await
            .expect("is answered")
            .is_ok()
    );
}

#[tokio::test]
async fn clock_step_back_keeps_the_order() {
    let world = StoreFixture::new().await;
    for (n, body) in [(9_000, "first"), (20, "after the step"), (8_000, "last")] {
        world.enqueue(n, body).await;
    }
    let bodies: Vec<_> = world
        .reader
        .outbox(None, 9)
        .expect("reads")
        .into_iter()
        .map(|row| row.body)
        .collect();
    assert_eq!(bodies, ["first", "after the step", "last"]);
    let loaded: Vec<_> = world
        .load()
        .await
        .outbox
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(loaded, [id(9_000), id(20), id(8_000)]);
}

/// On this thread, so that a mistake can be made.
#[test]
fn enter_clears_the_draft_of_its_own_room_alone() {
    use crate::planted_bug::{PlantedBug, is_caught_by};
    let check = || {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = Disk::open(folder.path()).expect("opens");
        let elsewhere = RoomId::from_random([9; 16]);
        for room in [room(), elsewhere] {
            let Write::Room(received) = lobby(0, 0) else {
                panic!("a room")
            };
            disk.write(&Write::Room(Room {
                room,
                name: room.to_string(),
                ..received
            }))
            .expect("writes");
            disk.write(&Write::Draft {
                room,
                text: "half a li".into(),
            })
            .expect("writes");
        }
        let enter = Write::Enqueue {
            entries: vec![entry(1, "a line")],
            clears_draft: true,
        };
        assert_eq!(disk.write(&enter).expect("writes"), Outcome::Queued);
        let reader = Reader::open(folder.path()).expect("opens");
        let drafts: Vec<_> = reader
            .rooms()
            .expect("reads")
            .into_iter()
            .map(|row| (row.room, row.draft))
            .collect();
        assert!(
            drafts.contains(&(room(), String::new()))
                && drafts.contains(&(elsewhere, "half a li".into()))
        );
    };
    check();
    assert!(is_caught_by(PlantedBug::AllDraftsCleared, check));
}

/// A worker without its thread, so that a mistake can be made.
#[test]
fn unstored_change_is_not_reported() {
    use crate::planted_bug::{PlantedBug, is_caught_by};
    let check = || {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Disk::open(folder.path()).expect("opens").into_database();
        let changes = broadcast::Sender::new(CHANGES_MAX);
        let mut received = changes.subscribe();
        let mut worker = StoreWorker::new(folder.path(), db, ClientLimits::default(), changes);
        let blocker = rusqlite::Connection::open(folder.path().join("store.db")).expect("opens");
        blocker
            .execute_batch("BEGIN IMMEDIATE")
            .expect("takes the lock");
        worker.db.busy_timeout(Duration::ZERO).expect("sets");
        let enqueue = || Write::Enqueue {
            entries: vec![entry(1, "a line")],
            clears_draft: false,
        };
        let job = |expected: bool| {
            StoreJob::Write(
                enqueue(),
                Box::new(move |result| assert_eq!(result.is_ok(), expected)),
            )
        };
        worker.run_group(vec![job(false)]);
        assert!(received.try_recv().is_err(), "nothing was stored");
        blocker.execute_batch("ROLLBACK").expect("lets go");
        worker.run_group(vec![job(true)]);
        assert_eq!(received.try_recv(), Ok(Change::OutboxGrew));
        assert!(received.try_recv().is_err(), "once");
    };
    check();
    assert!(is_caught_by(PlantedBug::ReportedBeforeStored, check));
}

#[test]
fn store_reloads_after_its_file_was_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = Disk::open(folder.path()).expect("opens");
    disk.load(InstanceId::from_random([1; 16])).expect("loads");
    disk.write_dependent(&Write::LastSeen, false)
        .expect("writes");
    for ending in ["", "-wal", "-shm", "-checkpoint"] {
        std::fs::remove_file(folder.path().join(format!("store.db{ending}"))).expect("removes");
    }
    disk.find(&Query::Reads).expect("reads the copy");
    assert!(
        matches!(
            disk.write_dependent(&Write::LastSeen, false),
            Err(DbError::RolledBack)
        ),
        "it believes in the lost file"
    );
    disk.load(InstanceId::from_random([2; 16])).expect("loads");
    disk.write_dependent(&Write::LastSeen, false)
        .expect("writes");
}

#[tokio::test]
async fn threaded_store_reloads_after_file_was_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    store
        .load(InstanceId::from_random([1; 16]))
        .await
        .expect("loads");
    for ending in ["", "-wal", "-shm", "-checkpoint"] {
        std::fs::remove_file(folder.path().join(format!("store.db{ending}"))).expect("removes");
    }
    store.write(Write::Barrier).await.expect("is saved");
    let follow_up = async || {
        let (tx, rx) = oneshot::channel();
        store.write_dependent(Write::LastSeen, move |result| drop(tx.send(result)));
        rx.await.expect("is answered")
    };
    assert!(
        matches!(follow_up().await, Err(DbError::RolledBack)),
        "it believes in the lost file"
    );
    store
        .load(InstanceId::from_random([2; 16]))
        .await
        .expect("loads");
    follow_up().await.expect("writes");
}

/// The clock is made up: waiting for it ends at once.
#[tokio::test(start_paused = true)]
async fn open_store_takes_over_spool_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = Disk::open(folder.path()).expect("opens").into_database();
    let changes = broadcast::Sender::new(CHANGES_MAX);
    let mut received = changes.subscribe();
    let (jobs, inbox) = mpsc::unbounded_channel();
    let worker = tokio::spawn(
        StoreWorker::new(folder.path(), db, ClientLimits::default(), changes).run(inbox),
    );
    tokio::time::sleep(LOOK_PAUSE / 2).await; // it has looked once
    for n in [3, 1, 2] {
        spool::keep(
            folder.path(),
            &[entry(n, "kept while the store was locked")],
        )
        .expect("keeps");
    }
    for _ in 0..3 {
        assert_eq!(received.recv().await, Ok(Change::OutboxGrew));
    }
    drop(jobs);
    worker.await.expect("ends");
    let outbox = Reader::open(folder.path())
        .expect("opens")
        .outbox(None, 10)
        .expect("reads");
    assert_eq!(
        outbox.iter().map(|row| row.id).collect::<Vec<_>>(),
        [3, 1, 2].map(id),
        "as they were kept"
    );
    assert!(
        spool::kept(folder.path()).is_empty(),
        "and is not taken twice"
    );
}

#[tokio::test]
async fn store_takes_spooled_entries_before_new_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("opens");
    store
        .write(Write::Barrier)
        .await
        .expect("it has looked once");
    spool::keep(folder.path(), &[entry(2, "kept beside the store")]).expect("keeps");
    let write = Write::Enqueue {
        entries: vec![entry(1, "typed after it")],
        clears_draft: false,
    };
    assert_eq!(store.write(write).await.expect("writes"), Outcome::Queued);
    let outbox = store
        .reader()
        .expect("opens")
        .outbox(None, 10)
        .expect("reads");
    assert_eq!(
        outbox.iter().map(|row| row.id).collect::<Vec<_>>(),
        [2, 1].map(id)
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// A damaged file is an error with words, or reads as something; it never ends the program.
    #[test]
    fn changed_bytes_are_reported_or_read(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 1..=255_u8), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        runtime.block_on(async {
            let mut world = StoreFixture::new().await;
            for n in 1..20 {
                world.append(n, n % 2 == 0, Kind::Message, "hello", None).await;
            }
            world.enqueue(90, "waits").await;
            world.store.close().await;
            std::fs::copy(world.folder.path().join("store.db"), &path).expect("copies");
        });
        let mut bytes = std::fs::read(&path).expect("reads");
        for (at, with) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        std::fs::write(&path, bytes).expect("writes");
        let read = || {
            let mut disk = Disk::open(folder.path())?;
            disk.load(InstanceId::from_random([8; 16]))?;
            disk.write(&Write::Enqueue { entries: vec![entry(91, "more")], clears_draft: false })?;
            let reader = Reader::open(folder.path())?;
            reader.rooms()?;
            reader.outbox(None, 100)?;
            reader.after(room(), Seq::ZERO, 100).map(|_| ())
        };
        if let Err(error) = read() {
            proptest::prop_assert!(!error.to_string().is_empty() && !error.to_string().contains('\n'));
        }
    }
}

#[tokio::test]
async fn taken_rows_are_frozen_within_the_budget() {
    let world = StoreFixture::new().await;
    for n in 1..=4 {
        world.enqueue(n, "ten bytes!").await;
    }
    let take = |above, entries, bytes| {
        Write::Take(NewRows { above, limit: 9 }, SendBudget { entries, bytes })
    };
    let Outcome::Taken { rows, frozen } = world.write(take(i64::MIN, 3, 25)).await else {
        panic!("rows were asked for");
    };
    let ids = |entries: &[NewEntry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(
        ids(&frozen),
        [id(1), id(2)],
        "a third one is over the bytes"
    );
    assert_eq!(rows.rows.len(), 4);
    assert!(rows.is_whole && rows.rows.iter().all(|row| !row.frozen));
    assert_eq!(
        world.pending(),
        [
            (id(1), OwnMark::Sent),
            (id(2), OwnMark::Sent),
            (id(3), OwnMark::Queued),
            (id(4), OwnMark::Queued)
        ]
    );
    let above = rows.rows[1].order;
    let Outcome::Taken { rows, frozen } = world.write(take(above, 1, 1_000)).await else {
        panic!("rows were asked for");
    };
    assert_eq!((rows.rows.len(), ids(&frozen)), (2, vec![id(3)]));
}
