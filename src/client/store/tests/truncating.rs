//! A log that is cut back to what the server has, and the marks of another history.

use super::*;

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
async fn log_ending_below_marks_is_another_log() {
    let world = StoreFixture::new().await;
    world.watermarks(5, 5).await;
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
    world.watermarks(5, 0).await;
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
