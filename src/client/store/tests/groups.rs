//! Writes in one transaction, failed ones, and what is reported of them.

use super::*;

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
