//! Messages that are discarded, or replaced by an edited one.

use super::*;

#[tokio::test]
async fn discard_redacts_sent_and_deletes_unsent() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "sent").await;
    world.enqueue(2, "not sent").await;
    world.write(Write::Freeze(vec![id(1)])).await;
    assert_eq!(world.discard(2, 12).await, Outcome::Done);
    assert_eq!(world.discard(1, 11).await, Outcome::Done);
    assert_eq!(
        world.discard(1, 13).await,
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
    world.discard(1, 11).await;
    world.reject(1, RejectCode::NotMember, "not here").await;
    assert_eq!(
        world.pending(),
        [(id(11), OwnMark::Queued)],
        "it is discarded once"
    );
}

#[tokio::test]
async fn sent_message_is_discarded_from_full_outbox() {
    let world = StoreFixture::new().await;
    world.fill_outbox().await;
    world.write(Write::Freeze(vec![id(5)])).await;
    assert_eq!(world.discard(5, 30_000).await, Outcome::Done);
    let rows = world
        .reader
        .outbox(Some(room()), usize::MAX)
        .expect("reads");
    assert!(
        rows.iter()
            .any(|row| row.id == id(30_000) && row.kind == Kind::Redaction),
        "its redaction follows"
    );
    assert_eq!(world.discard(5, 30_000).await, Outcome::NotFound, "once");
}

#[tokio::test]
async fn rejected_entry_is_kept_until_replaced() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "precious").await;
    world.reject(1, RejectCode::Forbidden, "banned").await;
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
    world.reject(1, RejectCode::Forbidden, "banned").await;
    assert_eq!(world.write(replace()).await, Outcome::Queued);
    assert_eq!(world.pending(), [(id(2), OwnMark::Queued)]);
}

/// The store was restored from a backup: the server's log has the message in spite of the rejection.
#[tokio::test]
async fn discard_redacts_a_retried_message() {
    let world = StoreFixture::new().await;
    world.enqueue(1, "a secret").await;
    world.write(Write::Freeze(vec![id(1)])).await;
    world.reject(1, RejectCode::NotMember, "no").await;
    world.write(Write::Retry { id: Some(id(1)) }).await;
    world.discard(1, 9).await;
    let left = world.load().await.outbox;
    let ids: Vec<_> = left.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, [id(1), id(9)]);
}
