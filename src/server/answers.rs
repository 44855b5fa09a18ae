//! The answers of a server from its storage and its hub: plain functions for any thread.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::hub::{Hub, bye};
use super::session::{Located, PageSize};
use super::storage::{EnrolError, LogPage, Storage, TokenHash};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, Answer, Bye, CloseCode, Fetch, Op, Open, Position, Reply, ReplyCode, Room, RoomId,
    Seq, Token, encode, is_valid_name, limits,
};
use crate::sqlite::DbError;

/// Outcome of a request that reached the storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answered {
    Done(Answer),
    /// The request is rejected.
    Declined {
        code: ReplyCode,
        reason: &'static str,
    },
}

impl Answered {
    const UNKNOWN_OP: Self = Self::Declined {
        code: ReplyCode::UnknownOp,
        reason: "this server does not know this operation",
    };

    fn done_or(answer: Option<Answer>, code: ReplyCode, reason: &'static str) -> Self {
        answer.map_or(Self::Declined { code, reason }, Self::Done)
    }
}

/// Returns the stored hash of a token.
#[must_use]
pub fn token_hash(token: &Token) -> TokenHash {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// The `bye` for a device that is not admitted.
#[must_use]
pub fn refuses_enrolment(error: EnrolError) -> Bye {
    match error {
        EnrolError::BadInvite => bye(
            CloseCode::BadInvite,
            "unknown invite (it was replaced, used up or has expired)",
        ),
        EnrolError::NameTaken => bye(CloseCode::NameTaken, "another account has this name"),
        EnrolError::BadName => bye(
            CloseCode::BadName,
            "a name has up to 32 characters (letters, digits, - _ .)",
        ),
        EnrolError::DeviceTaken => bye(
            CloseCode::Unauthorized,
            "this device is registered with a different secret",
        ),
        EnrolError::AccountTaken => bye(
            CloseCode::Unauthorized,
            "this account exists, and this device does not belong to it",
        ),
    }
}

/// Returns the highest of the client's positions that the log contains, and the head; `None` for an
/// unknown room.
pub fn locate(storage: &mut dyn Storage, open: &Open) -> Result<Option<Located>, DbError> {
    let Some(head) = storage.head(open.room)? else {
        return Ok(None);
    };
    let positions: Vec<_> = open
        .locator
        .clone()
        .unwrap_or_else(|| open.have.into_iter().collect());
    let common = if planted_bug!(NoChain) {
        let is_in_log = |position: &Position| position.seq <= head.seq;
        let positions = positions.into_iter().filter(is_in_log);
        positions.max_by_key(|position| position.seq)
    } else {
        storage.locate(open.room, &positions)?
    };
    Ok(Some(Located::new(common, head)))
}

/// Returns the page after `after` for a subscription.
pub fn page(
    storage: &mut dyn Storage,
    room: RoomId,
    after: Seq,
    size: PageSize,
) -> Result<Option<LogPage>, DbError> {
    storage.page_after(room, after, size.entries, size.bytes)
}

/// Returns the page that a `fetch` requests.
pub fn fetch(
    storage: &mut dyn Storage,
    fetch: &Fetch,
    size: PageSize,
) -> Result<Option<LogPage>, DbError> {
    let limit = (fetch.limit as usize).clamp(1, size.entries);
    match (fetch.after, fetch.before) {
        (Some(after), _) => storage.page_after(fetch.room, after, limit, size.bytes),
        (None, Some(before)) => storage.page_before(fetch.room, before, limit, size.bytes),
        (None, None) => Ok(None),
    }
}

/// Returns the rooms of an account, and those in `member_of` that it has left.
pub fn rooms(
    storage: &mut dyn Storage,
    account: AccountId,
    member_of: &BTreeSet<RoomId>,
) -> Result<Vec<Room>, DbError> {
    let mut rooms = storage.rooms_of(account)?;
    for room in member_of {
        if rooms.iter().all(|known| known.room != *room) {
            rooms.extend(storage.room_of(account, *room)?);
        }
    }
    Ok(rooms)
}

/// Carries out what changes something. The same again gets the same answer.
pub fn carry_out(
    storage: &mut dyn Storage,
    account: AccountId,
    op: &Op,
    now: u64,
) -> Result<Answered, DbError> {
    Ok(match op {
        Op::CreateRoom { name, topic, .. }
            if !is_valid_name(name) || topic.chars().count() > limits::TOPIC_CHARS_MAX =>
        {
            Answered::Declined {
                code: ReplyCode::BadName,
                reason: "a name has up to 32 characters (letters, digits, - _ .), a topic up to 256",
            }
        }
        Op::CreateRoom { room, name, topic } => Answered::done_or(
            storage.create_room(*room, name, topic)?.map(Answer::Room),
            ReplyCode::NameTaken,
            "another room has this name: join it, or choose another name",
        ),
        Op::LinkDevice { code } if !is_link_code(code) => Answered::Declined {
            code: ReplyCode::BadCode,
            reason: "a device code has 24 to 64 random letters and digits",
        },
        Op::LinkDevice { code } => {
            let until = now + limits::LINK_CODE_MS_MAX;
            storage.link_device(account, code, until)?;
            Answered::Done(Answer::Linking { until })
        }
        Op::FindRoom { .. } | Op::Rooms { .. } | Op::Members { .. } | Op::Unknown => {
            Answered::UNKNOWN_OP
        }
    })
}

fn is_link_code(code: &str) -> bool {
    (limits::LINK_CODE_CHARS_MIN..=limits::LINK_CODE_CHARS_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Answers a request that only reads.
pub fn look_up(storage: &mut dyn Storage, op: &Op) -> Result<Answered, DbError> {
    const PAGE: usize = limits::PAGE_ROWS_MAX;
    Ok(match op {
        Op::FindRoom { name, room } => {
            let found = storage.find_room(name.as_deref(), *room)?;
            Answered::done_or(
                found.map(Answer::Room),
                ReplyCode::NotFound,
                "no such room: /create makes it",
            )
        }
        Op::Rooms { after } => {
            let mut rooms = storage.list_rooms(after, PAGE + 1)?;
            let more = cut_rows(&mut rooms, PAGE);
            Answered::Done(Answer::Rooms { rooms, more })
        }
        Op::Members { room, after } => {
            let mut members = storage.list_members(*room, after, PAGE + 1)?;
            let more = cut_rows(&mut members, PAGE);
            Answered::Done(Answer::Members { members, more })
        }
        Op::CreateRoom { .. } | Op::LinkDevice { .. } | Op::Unknown => Answered::UNKNOWN_OP,
    })
}

/// Marks the members of a room that are online.
#[must_use]
pub fn with_presence(room: RoomId, answered: Answered, hub: &Hub) -> Answered {
    let Answered::Done(Answer::Members { mut members, more }) = answered else {
        return answered;
    };
    let online = hub.online(room);
    members
        .iter_mut()
        .for_each(|member| member.online = online.contains(&member.account));
    Answered::Done(Answer::Members { members, more })
}

/// Text of a storage error for clients and `/healthz`. It contains no path, and names the server's
/// disk, since a client would read "the disk" as its own.
#[must_use]
pub const fn in_public(error: &DbError) -> &'static str {
    match error {
        DbError::Full => "the server's disk is full",
        DbError::WriteFailed => "the server's disk accepts no more data",
        DbError::SyncFailed => "the server's disk failed to sync",
        DbError::Busy | DbError::Overloaded => "the server's disk is busy",
        DbError::Corrupt { .. } => "the server's data is damaged",
        _ => "the server cannot use its data now; its log has the cause",
    }
}

/// Returns the frame of a result.
#[must_use]
pub fn reply(request: u64, answered: Result<Answered, DbError>) -> Reply {
    let declined = |code, reason: &str| Reply {
        request,
        ok: None,
        code: Some(code),
        reason: Some(reason.to_owned()),
    };
    match answered {
        Ok(Answered::Done(answer)) => Reply {
            request,
            ok: Some(answer),
            code: None,
            reason: None,
        },
        Ok(Answered::Declined { code, reason }) => declined(code, reason),
        Err(error) => declined(ReplyCode::Unavailable, in_public(&error)),
    }
}

/// Limits the rows of one reply by number and by bytes, and returns whether there are more; one is
/// always let through.
fn cut_rows<T: serde::Serialize>(rows: &mut Vec<T>, most: usize) -> bool {
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        bytes += encode(row).map_or(limits::FRAME_BYTES_MAX, |text| text.len() + 1);
        bytes <= limits::FRAME_BYTES_MAX / 2
    });
    let keep = fitting.count().max(1).min(most);
    let more = rows.len() > keep;
    rows.truncate(keep);
    more
}
