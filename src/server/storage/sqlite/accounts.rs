//! Enrols devices. The caller owns the transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::appends::{insert_entry, name_taken, take_effect};
use super::rows;
use crate::protocol::{DeviceId, Enrol, RoomId};
use crate::server::enrolment::{EnrolDecision, EnrolFacts, account_of, admit, lobby_join};
use crate::server::storage::{AppendedEntry, Enrolled, LOBBY, TokenHash};
use crate::sqlite::{DbError, scalar};

/// Invites and device codes are stored as their SHA-256.
pub(super) fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

/// Decides about an enrolment and carries it out.
pub(super) fn enrol_in(
    db: &Connection,
    enrol: &Enrol,
    device: DeviceId,
    token: TokenHash,
    now: u64,
) -> Result<Enrolled, DbError> {
    match admit(enrol, token, facts(db, enrol, device, now)?) {
        EnrolDecision::Known(account) => Ok(Enrolled::Known(account)),
        EnrolDecision::Rejected(error) => Ok(Enrolled::Rejected(error)),
        EnrolDecision::AddDevice(account) => {
            let n = db.query_row(
                "SELECT n FROM accounts WHERE id = ?1",
                [account.account],
                scalar::<i64>,
            )?;
            db.execute("DELETE FROM links WHERE account = ?1", [n])?;
            insert_device(db, device, n, token, now)?;
            Ok(Enrolled::Known(account))
        }
        EnrolDecision::NewAccount => {
            let sql = "UPDATE invites SET uses = uses - 1 WHERE code = ?1 AND uses > 0";
            db.execute(sql, [hash(&enrol.invite)])?;
            let sql = "INSERT INTO accounts (id, name, folded, since) VALUES (?1, ?2, ?3, ?4)";
            let folded = enrol.name.to_lowercase();
            db.execute(sql, params![enrol.account, enrol.name, folded, now as i64])?;
            insert_device(db, device, db.last_insert_rowid(), token, now)?;
            let joined = join_lobby(db, enrol, now)?;
            Ok(Enrolled::New(account_of(enrol), Some(joined)))
        }
    }
}

fn facts(
    db: &Connection,
    enrol: &Enrol,
    device: DeviceId,
    now: u64,
) -> Result<EnrolFacts, DbError> {
    let name = "SELECT name FROM accounts WHERE id = ?1";
    let known = "SELECT a.id AS account, d.token AS token FROM devices d JOIN accounts a ON a.n = d.account WHERE d.id = ?1";
    let device_row = |row: &Row<'_>| Ok((row.get("account")?, row.get("token")?));
    let linked = "SELECT a.id AS id, a.name AS name FROM links l JOIN accounts a ON a.n = l.account WHERE l.code = ?1 AND l.until > ?2";
    let invited = "SELECT EXISTS (SELECT 1 FROM invites WHERE code = ?1 AND uses > 0)";
    Ok(EnrolFacts {
        name: db.query_row(name, [enrol.account], scalar).optional()?,
        device: db.query_row(known, [device], device_row).optional()?,
        linked: db
            .query_row(
                linked,
                params![hash(&enrol.invite), now as i64],
                rows::account,
            )
            .optional()?,
        is_invited: db.query_row(invited, [hash(&enrol.invite)], scalar)?,
        name_taken: name_taken(db, &enrol.name, enrol.account)?,
    })
}

fn insert_device(
    db: &Connection,
    device: DeviceId,
    account: i64,
    token: TokenHash,
    now: u64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO devices (id, account, token, since) VALUES (?1, ?2, ?3, ?4)";
    db.execute(sql, params![device, account, token, now as i64])?;
    Ok(())
}

fn join_lobby(db: &Connection, enrol: &Enrol, now: u64) -> Result<AppendedEntry, DbError> {
    let sql = "SELECT id FROM rooms WHERE folded = ?1";
    let lobby: RoomId = db.query_row(sql, [LOBBY], scalar)?;
    let (send, author) = lobby_join(enrol, lobby, now);
    let stored = insert_entry(db, &send, author, now)?;
    take_effect(db, &stored)?;
    Ok(stored)
}
