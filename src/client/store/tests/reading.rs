//! What readers return of the log: lines, topics, ranges, unread counts, search, journal.

use super::*;

#[tokio::test]
async fn message_at_two_places_of_the_log_is_reported_as_such() {
    let mut world = StoreFixture::new().await;
    world.append(7, false, Kind::Message, "once", None).await;
    let twice = world.appending(7, false, Kind::Message, "once", None).await;
    let error = world.store.write(twice).await.expect_err("is not stored");
    let what = "the server's log has one message twice".to_owned();
    let cause = crate::client::Cause::from(error);
    assert_eq!(cause, crate::client::Cause::Damaged { what });
    assert_eq!(world.load().await.rooms[0].ranges.len(), 1);
    assert_eq!(
        world.load().await.rooms[0].ranges[0].end.seq,
        Seq(1),
        "nothing of it was written"
    );
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

/// They run for each new message and each acknowledgement, so they may not read a long log.
#[tokio::test]
async fn own_entries_are_looked_up_in_an_index() {
    let world = StoreFixture::new().await;
    let db = world.reader.db().expect("opens");
    for sql in [reader::IS_IN_LOG, query::KNOWS, apply::ADD] {
        let mut plan = db
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .expect("prepares");
        let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(nulls), |row| row.get("detail"))
            .expect("explains")
            .collect::<Result<_, _>>()
            .expect("reads");
        let of_log = |step: &&String| step.contains(" log ") || step.contains(" l ");
        let of_log: Vec<_> = steps.iter().filter(of_log).collect();
        assert!(
            of_log.len() == 1 && of_log[0].contains("log_own_id (id=?"),
            "{sql}: {steps:?}"
        );
    }
}
