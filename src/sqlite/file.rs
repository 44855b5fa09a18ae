//! A database file and one connection to it, followed from copy to copy.
//!
//! A sync that failed leaves a file of which nobody knows what is on the disk: the system may have dropped the pages and
//! taken them for written, and the next sync succeeds (Rebello et al., "Can Applications Recover from fsync Failures?",
//! USENIX ATC 2020). So such a file is marked as suspect, and nothing more is taken from it until it was copied to a new
//! one that was synced: `store.db`, then `store.2.db`, and so on; the highest one counts. The name changes, and not the
//! file under one name, since a write-ahead log belongs to the name. Other processes notice before their next write.
//!
//! Checkpoints are made here and not by SQLite on its own: it keeps their failed syncs to itself.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::Migrations;

use super::DbError;
use crate::mistake::{Mistake, is_made};

/// The write-ahead log is emptied once it is larger than this, bytes.
const WAL_BYTES_MAX: u64 = 4 * 1024 * 1024;
const BUSY_MAX: Duration = Duration::from_secs(5);
/// Pages in memory for each connection, KiB.
const CACHE_KIB: i64 = 1024;
/// Older versions can lose a commit in a checkpoint race.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// What a kind of database file is called and holds.
#[derive(Debug)]
pub struct Schema {
    /// The file's name without its ending.
    pub name: &'static str,
    /// How its tables came to be.
    pub migrations: &'static LazyLock<Migrations<'static>>,
    /// The newest version that this program knows.
    pub version: i64,
}

/// A connection to the newest copy of a database file.
#[derive(Debug)]
pub struct Database {
    schema: &'static Schema,
    folder: PathBuf,
    copy: u32,
    writes: bool,
    connection: Connection,
}

impl Database {
    /// Opens a file of a folder for writing, makes it when it is not there, and brings it to the newest version.
    ///
    /// # Errors
    /// [`DbError`]; a file of a newer version is left untouched.
    pub fn open(folder: &Path, schema: &'static Schema) -> Result<Self, DbError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(DbError::OldSqlite(rusqlite::version()));
        }
        let copy = newest(folder, schema);
        let connection = connect(&path(folder, schema, copy), schema)?;
        let mut database = Self { schema, folder: folder.to_owned(), copy, writes: true, connection };
        database.follow()?;
        Ok(database)
    }

    /// Opens a second connection that only reads. The file must exist.
    ///
    /// # Errors
    /// [`DbError`].
    pub fn open_reader(folder: &Path, schema: &'static Schema) -> Result<Self, DbError> {
        let copy = newest(folder, schema);
        let connection = connect_reader(&path(folder, schema, copy))?;
        Ok(Self { schema, folder: folder.to_owned(), copy, writes: false, connection })
    }

    /// Whether a folder has such a file.
    #[must_use]
    pub fn exists(folder: &Path, schema: &Schema) -> bool {
        path(folder, schema, newest(folder, schema)).exists()
    }

    /// Goes on with the newest copy; one that is suspect is copied first, by whoever writes.
    ///
    /// # Errors
    /// [`DbError`]: as long as the disk does not sync, nothing can be written.
    pub fn follow(&mut self) -> Result<(), DbError> {
        loop {
            if self.is_replaced() {
                self.copy = newest(&self.folder, self.schema);
                let path = self.path();
                self.connection = if self.writes { connect(&path, self.schema)? } else { connect_reader(&path)? };
            } else if self.writes && mark(&self.path()).exists() {
                self.copy_to_next()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Begins to write. Dropped without [`Write::commit`], nothing of it happened.
    ///
    /// # Errors
    /// [`DbError`].
    pub fn write(&mut self) -> Result<Write<'_>, DbError> {
        loop {
            self.follow()?;
            self.empty_grown_wal();
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            if !self.is_replaced() {
                return Ok(Write { database: self });
            }
            self.connection.execute_batch("ROLLBACK")?; // replaced by another process while this one waited
        }
    }

    fn path(&self) -> PathBuf {
        path(&self.folder, self.schema, self.copy)
    }

    /// Whether there is a newer copy: the next one, or a later one that has replaced that too while nobody looked here.
    fn is_replaced(&self) -> bool {
        path(&self.folder, self.schema, self.copy + 1).exists()
            || (!self.path().exists() && newest(&self.folder, self.schema) > self.copy)
    }

    /// What went wrong with a sync is written down, so that the next process knows it too.
    fn note(&self, error: &DbError) {
        if matches!(error, DbError::SyncFailed) {
            tracing::error!(file = %self.path().display(), "a sync failed: the file is copied before it is used again");
            let _ = File::create(mark(&self.path())); // read back by whoever shares the page cache: no sync is needed
        }
    }

    fn empty_grown_wal(&self) {
        let wal = path_with(&self.path(), "-wal");
        if wal.metadata().is_ok_and(|file| file.len() > WAL_BYTES_MAX) {
            self.checkpoint();
        }
    }

    /// Moves the write-ahead log into the file, as far as no reader is in the way.
    fn checkpoint(&self) {
        let _ = self.connection.busy_timeout(Duration::ZERO); // a reader in the way: at the next write again
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.connection.busy_timeout(BUSY_MAX);
        if let Err(error) = done {
            self.note(&error.into());
        }
    }

    /// Copies what can be read of a suspect file to the next one, and syncs that.
    fn copy_to_next(&mut self) -> Result<(), DbError> {
        let next = path(&self.folder, self.schema, self.copy + 1);
        let fresh = path_with(&next, ".new");
        self.connection.execute_batch("BEGIN IMMEDIATE")?; // no other process writes or copies meanwhile
        let copied = self.copy_into(&fresh, &next);
        self.connection.execute_batch("ROLLBACK")?;
        if copied? {
            tracing::warn!(file = %next.display(), "copied and synced");
            let _ = std::fs::remove_file(mark(&next));
            for ending in ["", "-wal", "-shm", MARK] {
                let _ = std::fs::remove_file(path_with(&self.path(), ending)); // whoever still reads it may go on
            }
        }
        Ok(())
    }

    /// Whether there is a copy now that was not there before.
    fn copy_into(&self, fresh: &Path, next: &Path) -> Result<bool, DbError> {
        if self.is_replaced() {
            return Ok(false);
        }
        let _ = std::fs::remove_file(fresh); // of an attempt that failed
        let mut copy = Connection::open(fresh)?;
        set_up(&copy)?;
        let source = connect_reader(&self.path())?; // a connection that holds the lock cannot be copied from
        let step = Backup::new(&source, &mut copy)?.step(-1)?;
        if step != StepResult::Done {
            return Err(DbError::Other("the file is in use and could not be copied".to_owned()));
        }
        drop(copy);
        let synced = |path: &Path| File::open(path).and_then(|file| file.sync_all()).map_err(|_| DbError::SyncFailed);
        synced(fresh)?;
        // Suspect itself, until its name is on the disk too.
        let marked = File::create(mark(next)).and_then(|_| std::fs::rename(fresh, next));
        marked.map_err(|error| DbError::Other(error.to_string()))?;
        synced(&self.folder)?;
        Ok(true)
    }
}

impl Deref for Database {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.writes {
            self.checkpoint();
        }
    }
}

/// A write transaction.
#[derive(Debug)]
pub struct Write<'a> {
    database: &'a mut Database,
}

impl Write<'_> {
    /// Makes it durable: synced when this returns.
    ///
    /// # Errors
    /// [`DbError`]: then nothing of it happened.
    pub fn commit(self) -> Result<(), DbError> {
        if self.is_over() {
            return Err(DbError::Undone);
        }
        let committed = self.database.connection.execute_batch("COMMIT").map_err(DbError::from);
        if let Err(error) = &committed {
            self.database.note(error);
        }
        committed
    }

    /// Whether an error has ended it: SQLite rolls everything back by itself when a disk is full.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.database.connection.is_autocommit()
    }
}

impl Deref for Write<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.database.connection
    }
}

impl DerefMut for Write<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.database.connection
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if !self.is_over() {
            let _ = self.database.connection.execute_batch("ROLLBACK"); // what fails here was rolled back already
        }
    }
}

/// The ending of the file that marks another one as suspect.
const MARK: &str = ".suspect";

fn mark(path: &Path) -> PathBuf {
    path_with(path, MARK)
}

fn path_with(path: &Path, ending: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(ending);
    whole.into()
}

fn path(folder: &Path, schema: &Schema, copy: u32) -> PathBuf {
    folder.join(if copy == 1 { format!("{}.db", schema.name) } else { format!("{}.{copy}.db", schema.name) })
}

/// The number of the newest copy in a folder; the first, when there is none.
fn newest(folder: &Path, schema: &Schema) -> u32 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let copies = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        name.strip_prefix(schema.name)?.strip_prefix('.')?.strip_suffix(".db")?.parse().ok()
    });
    copies.max().unwrap_or(1)
}

fn connect(path: &Path, schema: &Schema) -> Result<Connection, DbError> {
    connect_inner(path, schema).map_err(|error| error.at(path))
}

fn connect_inner(path: &Path, schema: &Schema) -> Result<Connection, DbError> {
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        refuse_newer(path, schema.version)?;
    }
    let mut connection = Connection::open(path)?;
    set_up(&connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    if version(&connection)? < schema.version {
        schema.migrations.to_latest(&mut connection).map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => DbError::from(err),
            other => DbError::Other(other.to_string()),
        })?;
    }
    Ok(connection)
}

fn connect_reader(path: &Path) -> Result<Connection, DbError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn refuse_newer(path: &Path, known: i64) -> Result<(), DbError> {
    // Not with SQLITE_OPEN_READ_ONLY: a WAL that a crash left behind may have to be read, which needs its index file.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_MAX)?;
    let found = version(&connection)?;
    if found > known {
        return Err(DbError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, DbError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// What every connection needs, since none of it is kept in the file.
fn set_up(connection: &Connection) -> Result<(), DbError> {
    connection.busy_timeout(BUSY_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", if is_made(Mistake::NoSync) { "OFF" } else { "FULL" })?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite_migration::M;

    use super::*;

    static MIGRATIONS: LazyLock<Migrations<'static>> =
        LazyLock::new(|| Migrations::new(vec![M::up("CREATE TABLE t (n INTEGER) STRICT;")]));
    static SCHEMA: Schema = Schema { name: "test", migrations: &MIGRATIONS, version: 1 };

    fn add(database: &mut Database, n: i64) {
        let write = database.write().expect("begins");
        write.execute("INSERT INTO t VALUES (?1)", [n]).expect("inserts");
        write.commit().expect("commits");
    }

    fn sum(connection: &Connection) -> i64 {
        connection.query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).expect("reads")
    }

    #[test]
    fn a_suspect_file_is_copied_before_it_takes_anything_more_and_everybody_follows() {
        let folder = tempfile::tempdir().expect("a folder");
        let [mut one, mut other] = [(), ()].map(|()| Database::open(folder.path(), &SCHEMA).expect("opens"));
        let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
        add(&mut one, 1);
        one.note(&DbError::SyncFailed);
        assert_eq!(sum(&reader), 1);
        add(&mut other, 2); // another process on the same file copies it
        add(&mut one, 4);
        reader.follow().expect("follows");
        assert_eq!([sum(&one), sum(&other), sum(&reader)], [7, 7, 7]);
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("reads")
            .map(|file| file.expect("reads").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        assert_eq!(names, ["test.2.db", "test.2.db-shm", "test.2.db-wal"]);
    }

    #[test]
    fn a_copy_that_was_cut_short_counts_for_nothing_and_one_whose_name_may_be_lost_is_copied_again() {
        let folder = tempfile::tempdir().expect("a folder");
        add(&mut Database::open(folder.path(), &SCHEMA).expect("opens"), 1);
        std::fs::write(folder.path().join("test.2.db.new"), "half").expect("writes");
        std::fs::write(folder.path().join("test.db.suspect"), "").expect("writes");
        let mut again = Database::open(folder.path(), &SCHEMA).expect("opens");
        assert_eq!((again.copy, sum(&again)), (2, 1));
        std::fs::write(folder.path().join("test.2.db.suspect"), "").expect("writes");
        add(&mut again, 2);
        assert_eq!((again.copy, sum(&again)), (3, 3));
        assert!(Database::exists(folder.path(), &SCHEMA));
    }

    #[test]
    fn who_looked_away_while_the_file_was_copied_twice_goes_on_with_the_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
        add(&mut database, 1);
        let mut sleeper = Database::open(folder.path(), &SCHEMA).expect("opens");
        let mut reader = Database::open_reader(folder.path(), &SCHEMA).expect("opens");
        for (suspect, n) in [("test.db.suspect", 2), ("test.2.db.suspect", 4)] {
            std::fs::write(folder.path().join(suspect), "").expect("writes");
            add(&mut database, n);
        }
        reader.follow().expect("follows");
        assert_eq!((reader.copy, sum(&reader)), (3, 7));
        add(&mut sleeper, 8);
        assert_eq!((sleeper.copy, sum(&database)), (3, 15), "nothing is written into a file that is gone");
    }

    #[test]
    fn nothing_of_a_write_that_was_dropped_happened() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
        add(&mut database, 1);
        database.write().expect("begins").execute("INSERT INTO t VALUES (2)", []).expect("inserts");
        assert_eq!(sum(&database), 1);
    }

    #[test]
    fn the_write_ahead_log_is_emptied_when_it_has_grown_and_stays_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(folder.path(), &SCHEMA).expect("opens");
        let wal = || folder.path().join("test.db-wal").metadata().map_or(0, |file| file.len());
        let mut most = 0;
        for _ in 0..6 {
            let write = database.write().expect("begins");
            let sql = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200000)
                       INSERT INTO t SELECT n FROM c";
            write.execute(sql, []).expect("inserts");
            write.commit().expect("commits");
            most = wal().max(most);
        }
        assert!(most < 2 * WAL_BYTES_MAX, "{most}");
        drop(database);
        assert_eq!(wal(), 0);
    }
}
