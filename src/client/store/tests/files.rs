//! New, newer, damaged and exchanged files, and messages that were spooled beside them.

use super::*;

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
