//! PURE. Decides whether an entry is appended, from facts that a storage looked up: one decision
//! for every storage.
//!
//! The entry id is checked first. An entry that is in the log already is acknowledged with its seq,
//! also after any change of rights, so a lost ack never becomes a rejection (PROTOCOL.md,
//! "Sending").

use super::storage::{Append, Rejection};
use crate::planted_bug::planted_bug;
use crate::protocol::limits::{BODY_BYTES_MAX, BODY_ENCODED_BYTES_MAX, ROOMS_MAX, TOPIC_CHARS_MAX};
use crate::protocol::{
    AccountId, DeviceId, Entry, EntryId, Kind, RejectCode, SendEntry, Seq, encoded_body_len,
    is_valid_name,
};

/// Who appends an entry, under which name and from which device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    pub account: AccountId,
    /// The account's name at this moment, which becomes part of the entry.
    pub name: String,
    pub device: DeviceId,
}

/// Builds the entry for an accepted `send` at `seq`.
///
/// `now` is the server's clock in ms since 1970, `last_at` the time of the room's last entry. Times
/// never decrease within a log.
#[must_use]
pub fn appended(send: &SendEntry, author: Author, seq: Seq, last_at: u64, now: u64) -> Entry {
    let at = if planted_bug!(TimeFalls) {
        now
    } else {
        now.max(last_at)
    };
    Entry {
        seq,
        id: send.id,
        author: author.account,
        name: author.name,
        device: author.device,
        kind: send.kind,
        body: send.body.clone(),
        target: send.target,
        at,
        composed_at: send.composed_at,
    }
}

/// The facts about an append, from the append's own transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The entry is in the log: where, since when, and whether it is the same.
    pub known: Option<Known>,
    /// Whether the room exists.
    pub room: bool,
    /// Whether the author is a member.
    pub member: bool,
    /// This device's last entry in the room.
    pub last: Option<EntryId>,
    /// For a rename: whether another account has the name.
    pub name_taken: bool,
    /// Rooms that the author is in.
    pub rooms: usize,
}

/// An entry of the same author and id in the room's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub seq: Seq,
    /// When it was appended.
    pub at: u64,
    /// Whether kind, body and target are the same. An empty body equals any body: after
    /// a restore of the server, one message may be sent twice, without its text by a device that knows
    /// its redaction, and with its text by one that does not.
    pub same: bool,
}

/// The decision about an append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    Append,
    /// The entry is in the log already.
    Known(Seq, u64),
    Reject(Rejection),
}

/// Decides about one append.
#[must_use]
pub fn judge(append: &Append, facts: &Facts) -> Judgement {
    if planted_bug!(RightsBeforeId)
        && let Some(rejected) = rejected_for_good(append, facts)
    {
        return rejected;
    }
    let is_forgotten =
        planted_bug!(NoDedup) || planted_bug!(DedupForgets) && facts.last != Some(append.send.id);
    match facts.known.as_ref().filter(|_| !is_forgotten) {
        Some(known) if known.same => return Judgement::Known(known.seq, known.at),
        Some(_) => {
            return reject(
                RejectCode::IdConflict,
                "the server has another message with this id: edit yours to send it as a new one",
            );
        }
        None => {}
    }
    if let Some(rejected) = rejected_for_good(append, facts) {
        return rejected;
    }
    if let Some(ms) = append.over_rate_ms {
        let reason = "too many messages in a short time".to_owned();
        return Judgement::Reject(Rejection {
            code: RejectCode::RateLimited,
            reason,
            last: None,
            retry_after_ms: Some(ms),
        });
    }
    if append.send.after != facts.last && !planted_bug!(NoAfter) {
        let reason = "an earlier message of this device must come first".to_owned();
        return Judgement::Reject(Rejection {
            code: RejectCode::OutOfOrder,
            reason,
            last: facts.last,
            retry_after_ms: None,
        });
    }
    Judgement::Append
}

fn rejected_for_good(append: &Append, facts: &Facts) -> Option<Judgement> {
    let send = &append.send;
    let body = send.body.as_str();
    if !facts.room {
        return Some(reject(RejectCode::NoRoom, "no such room"));
    }
    if !facts.member && send.kind != Kind::Join {
        return Some(reject(
            RejectCode::NotMember,
            "you are not in this room: join it first",
        ));
    }
    if body.len() > BODY_BYTES_MAX || encoded_body_len(body) > BODY_ENCODED_BYTES_MAX {
        return Some(reject(
            RejectCode::TooBig,
            "the text is too long for one message",
        ));
    }
    match send.kind {
        Kind::Message | Kind::Leave => None,
        Kind::Join if facts.rooms >= ROOMS_MAX && !facts.member => {
            Some(reject(RejectCode::Forbidden, "you are in too many rooms"))
        }
        Kind::Join => None,
        Kind::Topic if body.chars().count() > TOPIC_CHARS_MAX => {
            Some(reject(RejectCode::TooBig, "the topic is too long"))
        }
        Kind::Topic => None,
        Kind::Rename if !is_valid_name(body) => Some(reject(
            RejectCode::BadEntry,
            "a name has up to 32 characters (letters, digits, - _ .)",
        )),
        Kind::Rename if facts.name_taken => Some(reject(
            RejectCode::NameTaken,
            "another account has this name",
        )),
        Kind::Rename => None,
        Kind::Edit | Kind::Redaction => match send.target {
            Some(target) if target.author == append.author => None,
            Some(_) => Some(reject(
                RejectCode::Forbidden,
                "this message is another account's",
            )),
            None => Some(reject(
                RejectCode::BadEntry,
                "this edit, deletion or reaction does not name a message",
            )),
        },
        Kind::Reaction if send.target.is_none() => Some(reject(
            RejectCode::BadEntry,
            "this edit, deletion or reaction does not name a message",
        )),
        Kind::Reaction => None,
        Kind::Unknown => Some(reject(
            RejectCode::BadEntry,
            "this server does not know this kind of entry",
        )),
    }
}

fn reject(code: RejectCode, reason: &str) -> Judgement {
    Judgement::Reject(Rejection {
        code,
        reason: reason.to_owned(),
        last: None,
        retry_after_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{RoomId, Target};

    fn append(kind: Kind, body: &str) -> Append {
        let (account, device) = (AccountId::from_random([1; 16]), DeviceId::NIL);
        Append {
            send: SendEntry {
                id: EntryId::from_parts(1, [1; 10]),
                room: RoomId::from_random([1; 16]),
                after: None,
                kind,
                body: body.to_owned(),
                target: None,
                composed_at: 0,
            },
            author: account,
            device,
            over_rate_ms: None,
        }
    }

    fn member() -> Facts {
        Facts {
            room: true,
            member: true,
            ..Facts::default()
        }
    }

    fn code(append: &Append, facts: &Facts) -> Option<RejectCode> {
        match judge(append, facts) {
            Judgement::Append => None,
            Judgement::Reject(rejection) => Some(rejection.code),
            Judgement::Known(..) => panic!("the facts have no known entry"),
        }
    }

    #[test]
    fn body_of_exactly_the_limit_is_appended() {
        let of = |body: &str| code(&append(Kind::Message, body), &member());
        assert_eq!(of(&"x".repeat(BODY_BYTES_MAX)), None);
        assert_eq!(
            of(&"x".repeat(BODY_BYTES_MAX + 1)),
            Some(RejectCode::TooBig)
        );
        // A control character has six bytes in JSON, and the quotes two in all.
        let controls = "\u{1}".repeat((BODY_ENCODED_BYTES_MAX - 2) / 6);
        let rest = BODY_ENCODED_BYTES_MAX - 2 - 6 * controls.len();
        let longest = format!("{controls}{}", "x".repeat(rest));
        assert!(longest.len() < BODY_BYTES_MAX);
        assert_eq!(of(&longest), None);
        assert_eq!(of(&format!("{longest}x")), Some(RejectCode::TooBig));
    }

    #[test]
    fn topic_of_exactly_the_limit_is_appended() {
        let of = |chars| code(&append(Kind::Topic, &"ü".repeat(chars)), &member());
        assert_eq!(of(TOPIC_CHARS_MAX), None);
        assert_eq!(of(TOPIC_CHARS_MAX + 1), Some(RejectCode::TooBig));
    }

    #[test]
    fn join_beyond_the_limit_of_rooms_is_forbidden() {
        let of = |rooms, member| {
            let facts = Facts {
                room: true,
                member,
                rooms,
                ..Facts::default()
            };
            code(&append(Kind::Join, ""), &facts)
        };
        assert_eq!(of(ROOMS_MAX - 1, false), None);
        assert_eq!(of(ROOMS_MAX, false), Some(RejectCode::Forbidden));
        assert_eq!(of(ROOMS_MAX, true), None, "already a member");
    }

    #[test]
    fn rename_needs_a_valid_name() {
        let of = |name| code(&append(Kind::Rename, name), &member());
        assert_eq!(of("robert"), None);
        assert_eq!(of("rob ert"), Some(RejectCode::BadEntry));
    }

    #[test]
    fn edit_is_of_an_own_message() {
        let own = AccountId::from_random([1; 16]);
        let of = |target: Option<AccountId>| {
            let mut edit = append(Kind::Edit, "better");
            edit.send.target = target.map(|author| Target {
                author,
                id: EntryId::from_parts(2, [2; 10]),
            });
            code(&edit, &member())
        };
        assert_eq!(of(Some(own)), None);
        assert_eq!(
            of(Some(AccountId::from_random([2; 16]))),
            Some(RejectCode::Forbidden)
        );
        assert_eq!(of(None), Some(RejectCode::BadEntry));
    }

    #[test]
    fn reaction_needs_a_target() {
        let mut reaction = append(Kind::Reaction, "+1");
        assert_eq!(code(&reaction, &member()), Some(RejectCode::BadEntry));
        reaction.send.target = Some(Target {
            author: AccountId::from_random([2; 16]),
            id: EntryId::from_parts(2, [2; 10]),
        });
        assert_eq!(code(&reaction, &member()), None);
    }
}
