//! Pending messages: their order, stages and limits.

use super::*;

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
    world.watermarks(1, 0).await;
    assert_eq!(world.lines()[0].mark, Some(OwnMark::Delivered));
    world.watermarks(0, 1).await;
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
    world.reject(1, RejectCode::Forbidden, "muted").await;
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
    world.reject(1, RejectCode::NotMember, "no").await;
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
    world.reject(1, RejectCode::NotMember, "not here").await;
    assert_eq!(acked(&world), 0);
}

#[tokio::test]
async fn full_outbox_rejects_new_messages() {
    let world = StoreFixture::new().await;
    world.fill_outbox().await;
    assert_eq!(world.enqueue(20_000, "one more").await, Outcome::OutboxFull);
    assert_eq!(world.reader.counts().expect("reads").queued, 10_000);
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
    let take = |above, last, entries, bytes| {
        let rows = NewRows {
            above,
            last,
            limit: 9,
        };
        Write::Take(rows, SendBudget { entries, bytes })
    };
    let Outcome::Taken { rows, frozen } = world.write(take(i64::MIN, None, 3, 25)).await else {
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
    let next = take(above, Some(id(2)), 1, 1_000);
    let Outcome::Taken { rows, frozen } = world.write(next).await else {
        panic!("rows were asked for");
    };
    assert_eq!((rows.rows.len(), ids(&frozen)), (2, vec![id(3)]));
}

/// An older copy of the store gives the orders of lost rows to new ones: taking only the rows above
/// would send them before an earlier one.
#[tokio::test]
async fn rows_of_another_copy_are_not_taken() {
    let world = StoreFixture::new().await;
    for n in 1..=3 {
        world.enqueue(n, "typed after the copy was put back").await;
    }
    let rows = |above, last| NewRows {
        above,
        last,
        limit: 9,
    };
    let budget = SendBudget {
        entries: 9,
        bytes: 1_000,
    };
    for last in [Some(id(77)), None] {
        let taken = world.store.write(Write::Take(rows(2, last), budget)).await;
        assert!(matches!(taken, Err(DbError::Stale)), "{taken:?}");
        let found = query::new_rows(&world.reader.db().expect("opens"), rows(2, last));
        assert!(matches!(found, Err(DbError::Stale)), "{found:?}");
    }
    let db = world.reader.db().expect("opens");
    let same = query::new_rows(&db, rows(2, Some(id(2))));
    let gone = query::new_rows(&db, rows(0, Some(id(77))));
    assert!(same.is_ok() && gone.is_ok(), "{same:?} {gone:?}");
    drop(db);
    assert!(
        world
            .pending()
            .iter()
            .all(|(_, mark)| *mark == OwnMark::Queued)
    );
}
