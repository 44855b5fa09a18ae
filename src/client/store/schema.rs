//! The store's tables. Migrations are only ever added.

use std::sync::LazyLock;

use rusqlite_migration::{M, Migrations};

use crate::sqlite::{FILE_TABLE, Schema};

/// The newest version that this program knows.
const VERSION: i64 = 4;

static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    let all = [FIRST, PLACES, FILE_TABLE, OWN_IDS];
    Migrations::new(all.map(M::up).to_vec())
});

/// File names and migrations of the store.
pub(super) static SCHEMA: Schema = Schema {
    name: "store",
    migrations: &MIGRATIONS,
    version: VERSION,
    signature: "outbox",
};

const FIRST: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE instances (id BLOB PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE rooms (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    member INTEGER NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    floor_delivered INTEGER NOT NULL DEFAULT 0,
    floor_read INTEGER NOT NULL DEFAULT 0,
    read_seq INTEGER NOT NULL DEFAULT 0,
    draft TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE log (
    n INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    author BLOB NOT NULL,
    name TEXT NOT NULL,
    device BLOB NOT NULL,
    own INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    target_author BLOB,
    target_id BLOB,
    at INTEGER NOT NULL,
    composed_at INTEGER NOT NULL,
    chain BLOB NOT NULL,
    UNIQUE (room, seq),
    UNIQUE (room, author, id)
) STRICT;
CREATE INDEX log_own ON log (room, seq) WHERE own;
CREATE INDEX log_target ON log (room, target_id, seq) WHERE target_id IS NOT NULL;

CREATE TABLE spans (
    room INTEGER NOT NULL REFERENCES rooms,
    start_seq INTEGER NOT NULL,
    start_chain BLOB NOT NULL,
    end_seq INTEGER NOT NULL,
    end_chain BLOB NOT NULL,
    PRIMARY KEY (room, start_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE skips (
    room INTEGER NOT NULL REFERENCES rooms,
    start_seq INTEGER NOT NULL,
    end_seq INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (room, start_seq)
) STRICT, WITHOUT ROWID;

-- `place` is the order in which things were typed.
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE,
    id BLOB NOT NULL UNIQUE,
    room INTEGER NOT NULL REFERENCES rooms,
    kind TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    target_author BLOB,
    target_id BLOB,
    composed_at INTEGER NOT NULL,
    frozen INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    acked_seq INTEGER,
    code TEXT,
    reason TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_bytes ON outbox (bytes);

CREATE TABLE aside (
    n INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    author BLOB NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    composed_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    UNIQUE (room, author, id)
) STRICT;

CREATE TABLE journal (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE VIRTUAL TABLE words USING fts5 (body, content='log', content_rowid='n');
CREATE TRIGGER log_added AFTER INSERT ON log BEGIN
    INSERT INTO words (rowid, body) VALUES (new.n, new.body);
END;
CREATE TRIGGER log_removed AFTER DELETE ON log BEGIN
    INSERT INTO words (words, rowid, body) VALUES ('delete', old.n, old.body);
END;
";

/// The typed order of own entries, kept after their outbox rows are gone; NULL for entries that
/// were never a row of this store.
const PLACES: &str = "
ALTER TABLE log ADD COLUMN place INTEGER;
CREATE INDEX log_place ON log (room, place) WHERE own;
";

/// Finds an own entry by its id. Each new message and each wait for an acknowledgement asks for one.
const OWN_IDS: &str = "CREATE INDEX log_own_id ON log (id, room) WHERE own;";

#[cfg(test)]
mod tests {
    #[test]
    fn migrations_lead_to_the_known_version() {
        super::MIGRATIONS.validate().expect("valid");
        let mut connection = rusqlite::Connection::open_in_memory().expect("opens");
        super::MIGRATIONS
            .to_latest(&mut connection)
            .expect("migrates");
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], crate::sqlite::scalar)
            .expect("a version");
        assert_eq!(version, super::VERSION);
    }
}
