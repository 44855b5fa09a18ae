//! Faults of a database file while it is open, and the error at the next start.

use rusqlite_migration::M;

use super::*;
use crate::planted_bug::PlantedBug;
use crate::sqlite::scalar;

static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    Migrations::new(vec![
        M::up("CREATE TABLE t (n INTEGER) STRICT;"),
        M::up(crate::sqlite::FILE_TABLE),
    ])
});
static SCHEMA: Schema = Schema {
    name: "test",
    migrations: &MIGRATIONS,
    version: 2,
    signature: "t",
};

fn add(database: &mut Database, n: i64) {
    let write = database.write().expect("begins");
    write
        .execute("INSERT INTO t VALUES (?1)", [n])
        .expect("inserts");
    write.commit().expect("commits");
}

fn sum(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT sum(n) FROM t", [], scalar)
        .expect("reads")
}

#[test]
fn suspect_file_is_copied_before_further_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let [mut one, mut other] =
        [(), ()].map(|()| Database::open(folder.path(), &SCHEMA).expect("opens"));
    let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
    add(&mut one, 1);
    one.note(&DbError::SyncFailed);
    assert_eq!(sum(&reader), 1);
    add(&mut other, 2); // another process on the same file copies it
    add(&mut one, 4);
    reader.refresh().expect("follows");
    assert_eq!([sum(&one), sum(&other), sum(&reader)], [7, 7, 7]);
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("reads")
        .map(|file| {
            file.expect("reads")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "test.2.db",
            "test.2.db-checkpoint",
            "test.2.db-shm",
            "test.2.db-wal"
        ]
    );
}

#[test]
fn incomplete_copy_is_ignored_and_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    add(
        &mut Database::open(folder.path(), &SCHEMA).expect("opens"),
        1,
    );
    std::fs::write(folder.path().join("test.2.db.new"), "half").expect("writes");
    std::fs::write(folder.path().join("test.db.suspect"), "").expect("writes");
    let mut again = Database::open(folder.path(), &SCHEMA).expect("opens");
    assert_eq!((again.generation, sum(&again)), (2, 1));
    std::fs::write(folder.path().join("test.2.db.suspect"), "").expect("writes");
    add(&mut again, 2);
    assert_eq!((again.generation, sum(&again)), (3, 3));
    assert!(Database::exists(folder.path(), &SCHEMA));
}

#[test]
fn suspect_file_outlives_copy_of_another_lineage() {
    let (folder, elsewhere) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    add(&mut open(&folder), 1);
    let mut other = open(&elsewhere);
    other.note(&DbError::SyncFailed);
    add(&mut other, 2);
    drop(other);
    std::fs::copy(
        elsewhere.path().join("test.2.db"),
        folder.path().join("test.2.db"),
    )
    .expect("copies");
    std::fs::write(folder.path().join("test.db.suspect"), "").expect("writes");
    assert!(matches!(
        Database::open(folder.path(), &SCHEMA),
        Err(DbError::Several { .. })
    ));
    std::fs::remove_file(folder.path().join("test.2.db")).expect("removes");
    assert_eq!(sum(&open(&folder)), 1);
}

#[test]
fn write_after_newer_migration_is_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
    add(&mut database, 1);
    let newer = opening::reader(&folder.path().join("test.db")).expect("opens");
    newer
        .pragma_update(None, "query_only", false)
        .expect("sets");
    newer
        .pragma_update(None, "user_version", 3)
        .expect("migrates");
    assert!(matches!(
        database.write(),
        Err(DbError::Newer {
            found: 3,
            known: 2,
            ..
        })
    ));
    newer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("checkpoints");
    assert!(database.write().is_err(), "in the file, too");
}

#[test]
fn hard_linked_file_is_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir_in(folder.path()).expect("a folder on the same disk");
    add(
        &mut Database::open(folder.path(), &SCHEMA).expect("opens"),
        1,
    );
    let (name, other) = (
        folder.path().join("test.db"),
        elsewhere.path().join("test.db"),
    );
    std::fs::hard_link(&name, &other).expect("links");
    for at in [folder.path(), elsewhere.path()] {
        assert!(matches!(
            Database::open(at, &SCHEMA),
            Err(DbError::TwoNames { other: None, .. })
        ));
    }
    std::fs::remove_file(&other).expect("removes");
    let beside = folder.path().join("test.db.mine");
    std::fs::hard_link(&name, &beside).expect("links");
    let refused = Database::open(folder.path(), &SCHEMA)
        .map(|_| ())
        .expect_err("two names");
    assert!(refused.to_string().contains("test.db.mine"), "{refused}");
    std::fs::remove_file(beside).expect("removes");
    // The file of a process that ended while it was creating the database.
    std::fs::hard_link(&name, folder.path().join("test.db.new-1-00000000")).expect("links");
    assert_eq!(
        sum(&Database::open(folder.path(), &SCHEMA).expect("opens")),
        1
    );
    assert!(!folder.path().join("test.db.new-1-00000000").exists());
}

#[test]
fn symlink_to_file_is_rejected_to_folder_accepted() {
    let root = tempfile::tempdir().expect("a folder");
    let [real, linked, by_folder] =
        ["real", "linked", "by_folder"].map(|name| root.path().join(name));
    std::fs::create_dir(&real).expect("makes");
    std::fs::create_dir(&linked).expect("makes");
    add(&mut Database::open(&real, &SCHEMA).expect("opens"), 1);
    std::os::unix::fs::symlink(real.join("test.db"), linked.join("test.db")).expect("links");
    assert!(matches!(
        Database::open(&linked, &SCHEMA),
        Err(DbError::Link { .. })
    ));
    let left: Vec<_> = std::fs::read_dir(&linked)
        .expect("reads")
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert_eq!(left, ["test.db"], "nothing was changed");
    std::os::unix::fs::symlink(&real, &by_folder).expect("links");
    add(&mut Database::open(&by_folder, &SCHEMA).expect("opens"), 2);
    assert_eq!(sum(&Database::open(&real, &SCHEMA).expect("opens")), 3);
}

#[test]
fn process_that_missed_two_copies_uses_the_newest() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
    add(&mut database, 1);
    let mut sleeper = Database::open(folder.path(), &SCHEMA).expect("opens");
    let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
    for (suspect, n) in [("test.db.suspect", 2), ("test.2.db.suspect", 4)] {
        std::fs::write(folder.path().join(suspect), "").expect("writes");
        add(&mut database, n);
    }
    reader.refresh().expect("follows");
    assert_eq!((reader.generation, sum(&reader)), (3, 7));
    add(&mut sleeper, 8);
    assert_eq!(
        (sleeper.generation, sum(&database)),
        (3, 15),
        "nothing is written into a deleted file"
    );
}

#[test]
fn nothing_of_a_write_that_was_dropped_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
    add(&mut database, 1);
    database
        .write()
        .expect("begins")
        .execute("INSERT INTO t VALUES (2)", [])
        .expect("inserts");
    assert_eq!(sum(&database), 1);
}

#[test]
fn write_ahead_log_stays_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
    let wal = || {
        folder
            .path()
            .join("test.db-wal")
            .metadata()
            .map_or(0, |file| file.len())
    };
    let mut most = 0;
    for _ in 0..6 {
        let write = database.write().expect("begins");
        let sql =
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200000)
                   INSERT INTO t SELECT n FROM c";
        write.execute(sql, []).expect("inserts");
        write.commit().expect("commits");
        most = wal().max(most);
    }
    assert!(most < 2 * WAL_BYTES_MAX, "{most}");
    drop(database);
    assert_eq!(wal(), 0);
}

fn open(folder: &tempfile::TempDir) -> Database {
    Database::open(folder.path(), &SCHEMA).expect("opens")
}

/// A copy of everything in a folder, as `cp` makes it.
fn copy_of(folder: &tempfile::TempDir) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    put_over(folder, &copy);
    copy
}

/// As `cp` puts files over others: in place.
fn put_over(from: &tempfile::TempDir, to: &tempfile::TempDir) {
    for file in std::fs::read_dir(from.path()).expect("reads").flatten() {
        std::fs::copy(file.path(), to.path().join(file.file_name())).expect("copies");
    }
}

fn remove(folder: &tempfile::TempDir, names: &[&str]) {
    names
        .iter()
        .for_each(|name| std::fs::remove_file(folder.path().join(name)).expect("removes"));
}

/// As a process that is killed leaves its files.
fn crash(database: Database, folder: &tempfile::TempDir) {
    let before = copy_of(folder);
    drop(database);
    put_over(&before, folder);
}

#[test]
fn backup_named_like_a_generation_is_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    add(&mut database, 1);
    database.checkpoint();
    for name in [
        "test.2.db",
        "test.002.db",
        "test.20261125.db",
        "test.old.db",
    ] {
        std::fs::copy(folder.path().join("test.db"), folder.path().join(name)).expect("copies");
    }
    add(&mut database, 2);
    assert_eq!(
        (database.generation, sum(&database)),
        (1, 3),
        "while it is open"
    );
    drop(database);
    let mut database = open(&folder);
    assert_eq!(
        (database.generation, sum(&database)),
        (1, 3),
        "and at the next start"
    );
    remove(&folder, &["test.db", "test.db-wal", "test.db-shm"]);
    add(&mut database, 4);
    assert_eq!(
        (database.generation, sum(&database)),
        (3, 7),
        "a free number is taken"
    );
    drop(database);
    assert_eq!((open(&folder).generation, sum(&open(&folder))), (3, 7));
    remove(&folder, &["test.3.db", "test.3.db-wal"]);
    let error = Database::open(folder.path(), &SCHEMA)
        .expect_err("a backup alone is no database, and no first start");
    let DbError::Misnamed { path, base } = error else {
        panic!("{error}")
    };
    std::fs::rename(path, base).expect("renames");
    assert_eq!(sum(&open(&folder)), 1, "as the message promises");
}

#[test]
fn deleted_open_database_is_saved_completely() {
    for (gone, with_reader) in [
        (&["test.db", "test.db-wal", "test.db-shm"][..], true),
        (&["test.db"], false),
        (&["test.db-wal"], true),
        (&["test.db-wal", "test.db-shm"], false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = open(&folder);
        add(&mut database, 1);
        let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
        remove(&folder, gone);
        if with_reader {
            assert!(
                matches!(reader.refresh(), Err(DbError::Moved { .. })),
                "a reader reports it too"
            );
        }
        add(&mut database, 2);
        reader.refresh().expect("continues with the saved data");
        assert_eq!((sum(&database), sum(&reader)), (3, 3), "{gone:?}");
        crash(database, &folder);
        let mut again = open(&folder);
        assert_eq!((again.generation, sum(&again)), (2, 3), "{gone:?}");
        add(&mut again, 4);
    }
}

#[test]
fn deleted_database_is_saved_once_by_many() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut all = [(); 6].map(|()| open(&folder));
        for (n, database) in all.iter_mut().enumerate() {
            add(database, 1 << n);
        }
        remove_all(&folder);
        std::thread::scope(|scope| {
            for (n, mut database) in all.into_iter().enumerate() {
                scope.spawn(move || add(&mut database, 1 << (n + 6)));
            }
        });
        assert_eq!(sum(&open(&folder)), (1 << 12) - 1);
        let left: Vec<_> = generation::named(folder.path(), &SCHEMA);
        assert_eq!(left, [2], "one copy");
    }
}

fn remove_all(folder: &tempfile::TempDir) {
    for file in std::fs::read_dir(folder.path()).expect("reads").flatten() {
        std::fs::remove_file(file.path()).expect("removes");
    }
}

#[test]
fn deleted_database_and_copy_keep_the_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let [mut behind, mut ahead] = [(); 2].map(|()| open(&folder));
    add(&mut behind, 1);
    remove_all(&folder);
    add(&mut ahead, 2);
    remove_all(&folder);
    assert!(
        matches!(behind.write(), Err(DbError::Busy)),
        "it has less than the copy that was deleted, too"
    );
    assert!(matches!(behind.refresh(), Err(DbError::Busy)));
    add(&mut ahead, 4);
    add(&mut behind, 8);
    assert_eq!((sum(&behind), sum(&ahead)), (15, 15));
    assert_eq!(generation::named(folder.path(), &SCHEMA), [3], "one copy");
}

#[test]
fn deleted_copy_falls_back_to_the_older_file() {
    let folder = tempfile::tempdir().expect("a folder");
    system::override_for_test(1_000_000, 1);
    let [mut behind, mut ahead] = [(); 2].map(|()| open(&folder));
    add(&mut behind, 1);
    remove_all(&folder);
    add(&mut ahead, 2);
    crash(ahead, &folder);
    remove_all(&folder);
    assert!(matches!(behind.write(), Err(DbError::Busy)));
    system::override_for_test(1_000_000 + 14_000, 2);
    assert!(matches!(behind.write(), Err(DbError::Busy)));
    system::override_for_test(1_000_000 + 15_000, 3);
    add(&mut behind, 4);
    assert_eq!(
        (sum(&behind), generation::named(folder.path(), &SCHEMA)),
        (5, vec![3]),
        "above the number of the other"
    );
}

#[test]
fn commit_into_deleted_file_is_saved_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    add(&mut database, 1);
    let write = database.write().expect("begins");
    write
        .execute("INSERT INTO t VALUES (2)", [])
        .expect("inserts");
    remove(&folder, &["test.db", "test.db-wal", "test.db-shm"]);
    write.commit().expect("is durable all the same");
    crash(database, &folder);
    assert_eq!(sum(&open(&folder)), 3);
}

#[test]
fn damaged_index_is_rebuilt_from_the_log() {
    for is_deleted in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let [mut one, mut other] = [(), ()].map(|()| open(&folder));
        add(&mut one, 1);
        add(&mut other, 2);
        if is_deleted {
            remove(&folder, &["test.db-shm"]);
            assert!(
                matches!(one.write(), Err(DbError::Moved { .. })),
                "the other one still has it"
            );
            assert!(matches!(one.write(), Err(DbError::Moved { .. })));
            assert!(
                Database::open(folder.path(), &SCHEMA).is_err(),
                "nor does anybody else in this process"
            );
        } else {
            std::fs::write(folder.path().join("test.db-shm"), "").expect("truncates in place");
        }
        for n in [4, 8, 16] {
            add(&mut other, n);
            add(&mut one, 10 * n);
        }
        assert!(folder.path().join("test.db-shm").exists());
        assert_eq!((sum(&one), sum(&other)), (3 + 28 + 280, 3 + 28 + 280));
        assert_eq!((one.generation, other.generation), (1, 1));
        drop(other);
        add(&mut one, 1_000);
        crash(one, &folder);
        assert_eq!(sum(&open(&folder)), 3 + 28 + 280 + 1_000);
    }
}

#[test]
fn replaced_open_database_is_saved_and_closed() {
    let [folder, elsewhere] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    add(&mut open(&elsewhere), 100);
    let mut database = open(&folder);
    add(&mut database, 1);
    for name in ["test.db", "test.db-wal", "test.db-shm"] {
        std::fs::rename(elsewhere.path().join(name), folder.path().join(name)).expect("renames");
    }
    for _ in 0..2 {
        assert!(matches!(database.write(), Err(DbError::Replaced { .. })));
    }
    drop(database);
    let two = || Database::open(folder.path(), &SCHEMA);
    assert!(
        matches!(two(), Err(DbError::Several { .. })) && Database::exists(folder.path(), &SCHEMA)
    );
    let saved = Database::open_reader(folder.path(), &SCHEMA);
    assert!(
        matches!(saved, Err(DbError::Several { .. })),
        "no other process guesses either"
    );
    std::fs::rename(
        folder.path().join("test.db"),
        folder.path().join("test.db.moved"),
    )
    .expect("renames");
    assert_eq!(sum(&two().expect("opens")), 1);
}

#[test]
fn overwritten_database_is_reloaded_before_writes() {
    for (name, is_killed) in [("all of it", false), ("the log alone was longer", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = open(&folder);
        add(&mut database, 1);
        if !is_killed {
            drop(database); // with a checkpoint
            database = open(&folder);
        }
        let backup = copy_of(&folder);
        add(&mut database, 2);
        let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
        put_over(&backup, &folder);
        assert!(
            matches!(database.write(), Err(DbError::Overwritten { .. })),
            "{name}"
        );
        assert!(
            matches!(reader.refresh(), Err(DbError::Overwritten { .. }) | Ok(())),
            "{name}"
        );
        add(&mut database, 4);
        reader.refresh().expect("reads");
        assert_eq!((sum(&database), sum(&reader)), (5, 5), "{name}");
        crash(database, &folder);
        assert_eq!(sum(&open(&folder)), 5, "{name}");
    }
}

#[test]
fn overwritten_generation_is_rejected() {
    for log_is_empty in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = open(&folder);
        add(&mut database, 1);
        database.checkpoint();
        // it contains the first generation's number
        let backup = std::fs::read(folder.path().join("test.db")).expect("reads");
        remove(&folder, &["test.db", "test.db-wal"]);
        add(&mut database, 2);
        if log_is_empty {
            database.checkpoint();
        }
        assert_eq!(database.generation, 2);
        std::fs::write(folder.path().join("test.2.db"), &backup).expect("overwrites in place");
        for _ in 0..2 {
            let error = database
                .write()
                .expect_err("nothing is taken that no start would find");
            let fits = if log_is_empty {
                matches!(error, DbError::Misnamed { .. })
            } else {
                matches!(error, DbError::ForeignLog { .. })
            };
            assert!(fits, "{error}");
        }
        drop(database);
        assert!(matches!(
            Database::open(folder.path(), &SCHEMA),
            Err(DbError::Misnamed { .. })
        ));
        assert!(
            Database::exists(folder.path(), &SCHEMA),
            "and it is no first start"
        );
    }
}

#[test]
fn file_restored_under_newer_log_is_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    add(&mut database, 1);
    database.checkpoint();
    let backup = std::fs::read(folder.path().join("test.db")).expect("reads");
    add(&mut database, 2);
    database.checkpoint();
    add(&mut database, 4);
    crash(database, &folder);
    std::fs::write(folder.path().join("test.db"), backup).expect("puts it back");
    let error = Database::open(folder.path(), &SCHEMA).expect_err("is refused");
    assert!(matches!(error, DbError::ForeignLog { .. }), "{error}");
    assert!(matches!(
        Database::open_reader(folder.path(), &SCHEMA),
        Err(DbError::ForeignLog { .. })
    ));
    let checked = Database::check_copy(&folder.path().join("test.db"), &SCHEMA, |_| Ok(()));
    assert!(
        matches!(checked, Err(DbError::ForeignLog { .. })),
        "as a file it is not reported as undamaged either: {checked:?}"
    );
    remove(&folder, &["test.db-wal", "test.db-shm"]);
    assert_eq!(
        sum(&open(&folder)),
        1,
        "without that log it is as it was copied"
    );
}

#[test]
fn log_without_a_note_is_checked_completely() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    add(&mut database, 1);
    crash(database, &folder);
    remove(&folder, &["test.db-checkpoint"]);
    assert_eq!(sum(&open(&folder)), 1);
    assert!(folder.path().join("test.db-checkpoint").exists());
}

#[test]
fn foreign_file_is_not_a_first_start() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("test.db"), "").expect("writes");
    assert!(matches!(
        Database::open(folder.path(), &SCHEMA),
        Err(DbError::Empty { .. })
    ));
    assert!(Database::exists(folder.path(), &SCHEMA));
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    add(&mut database, 1);
    crash(database, &folder);
    remove(&folder, &["test.db", "test.db-shm"]);
    assert!(matches!(
        Database::open(folder.path(), &SCHEMA),
        Err(DbError::Missing { .. })
    ));
    assert!(
        folder
            .path()
            .join("test.db-wal")
            .metadata()
            .expect("is there")
            .len()
            > 0,
        "and nothing is lost"
    );
}

#[test]
fn sweep_removes_only_unfinished_files() {
    let folder = tempfile::tempdir().expect("a folder");
    add(&mut open(&folder), 1);
    let names = [
        "test.db.new-laptop",
        "test.2025.db.new-disk-2025",
        "test.db.new-12-0a1b2c3d",
        "test.2.db.new-7-ffffffff",
    ];
    for name in names {
        let file = File::create(folder.path().join(name)).expect("makes");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("is old");
    }
    drop(open(&folder));
    let left: Vec<_> = names
        .into_iter()
        .filter(|name| folder.path().join(name).exists())
        .collect();
    assert_eq!(left, ["test.db.new-laptop", "test.2025.db.new-disk-2025"]);
}

#[test]
fn database_created_concurrently_is_one() {
    for _ in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let folder = &folder;
                scope.spawn(move || add(&mut open(folder), 1 << n));
            }
        });
        assert_eq!(sum(&open(&folder)), 255);
        let names = std::fs::read_dir(folder.path())
            .expect("reads")
            .flatten()
            .count();
        assert_eq!(names, 4, "nothing is left over");
    }
}

#[test]
fn file_made_during_the_search_is_the_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut database = open(&folder);
    let found = || generation::missing(folder.path(), &SCHEMA).expect("no error");
    assert_eq!(found(), Some(1));
    add(&mut database, 1);
    assert_eq!(found(), Some(1), "its write-ahead log is not orphaned");
}

#[test]
fn unchecked_database_is_caught() {
    use crate::planted_bug::is_caught_by;
    let deleted = deleted_open_database_is_saved_completely;
    assert!(is_caught_by(PlantedBug::LostFileTaken, deleted));
    assert!(is_caught_by(
        PlantedBug::AnyLogFits,
        file_restored_under_newer_log_is_rejected
    ));
}

#[derive(Clone, Copy, Debug)]
enum FileStep {
    Add(usize),
    Refresh(usize),
    DeleteAll,
}

fn step() -> impl proptest::strategy::Strategy<Value = FileStep> {
    use proptest::prelude::*;
    prop_oneof![
        3 => (0..3_usize).prop_map(FileStep::Add),
        1 => (0..3_usize).prop_map(FileStep::Refresh),
        2 => Just(FileStep::DeleteAll),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Three processes, some of which have not looked for several deletions.
    #[test]
    fn database_deleted_repeatedly_keeps_commits(steps in proptest::collection::vec(step(), 1..24)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut all = [(); 3].map(|()| open(&folder));
        let mut committed = 1 << 40;
        add(&mut all[0], committed);
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                FileStep::Add(at) => match all[at].write() {
                    Ok(write) => {
                        write.execute("INSERT INTO t VALUES (?1)", [1_i64 << n]).expect("inserts");
                        write.commit().expect("it is not deleted yet");
                        committed |= 1_i64 << n;
                    }
                    Err(error) => assert!(matches!(error, DbError::Busy), "{error}"),
                },
                // busy as long as a newer copy is not saved
                FileStep::Refresh(at) => drop(all[at].refresh()),
                FileStep::DeleteAll => remove_all(&folder),
            }
        }
        for _ in 0..2 {
            // as above, until the last one has saved it
            all.iter_mut().for_each(|database| drop(database.refresh()));
        }
        drop(all);
        proptest::prop_assert_eq!(sum(&open(&folder)), committed);
    }
}
