//! The server's tables. Migrations are only ever added.

use std::sync::LazyLock;

use rusqlite_migration::{M, Migrations};

use crate::sqlite::{FILE_TABLE, Schema};

/// The newest version that this program knows.
const VERSION: i64 = 3;

static MIGRATIONS: LazyLock<Migrations<'static>> =
    LazyLock::new(|| Migrations::new(vec![M::up(FIRST), M::up(LINKS), M::up(FILE_TABLE)]));

/// File names and migrations of the storage.
pub(super) static SCHEMA: Schema = Schema {
    name: "server",
    migrations: &MIGRATIONS,
    version: VERSION,
    signature: "accounts",
};

const FIRST: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts,
    token BLOB NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invites (code BLOB PRIMARY KEY, uses INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE rooms (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    head INTEGER NOT NULL,
    chain BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    room INTEGER NOT NULL REFERENCES rooms,
    account INTEGER NOT NULL REFERENCES accounts,
    delivered INTEGER NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (room, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_account ON members (account);
CREATE INDEX members_delivered ON members (room, delivered);
CREATE INDEX members_read ON members (room, read);

CREATE TABLE marks (
    room INTEGER NOT NULL REFERENCES rooms,
    device BLOB NOT NULL REFERENCES devices,
    delivered INTEGER NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (room, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    n INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    author BLOB NOT NULL,
    name TEXT NOT NULL,
    device BLOB NOT NULL,
    kind TEXT NOT NULL,
    target_author BLOB,
    target_id BLOB,
    at INTEGER NOT NULL,
    composed_at INTEGER NOT NULL,
    chain BLOB NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (room, seq),
    UNIQUE (room, author, id)
) STRICT;

-- The last entry of each device in each room: what `after` is compared with.
CREATE TABLE lasts (
    room INTEGER NOT NULL REFERENCES rooms,
    device BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (room, device)
) STRICT, WITHOUT ROWID;
";

/// Codes that let one more device into an account.
const LINKS: &str = "
CREATE TABLE links (
    account INTEGER PRIMARY KEY REFERENCES accounts,
    code BLOB NOT NULL UNIQUE,
    until INTEGER NOT NULL
) STRICT;
";

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
