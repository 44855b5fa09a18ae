//! PURE. Decides whether a device is admitted, from facts that a storage looked up: one decision for
//! every storage.

use super::storage::{Account, EnrolError, TokenHash};
use crate::protocol::{
    AccountId, DeviceId, Enrol, EntryId, Kind, RoomId, SendEntry, is_valid_name,
};
use crate::server::judge::Author;

/// The facts about an enrolment, from the transaction that carries it out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EnrolFacts {
    /// The account's name, if the account exists.
    pub name: Option<String>,
    /// The account and the token of the device, if the device is enrolled.
    pub device: Option<(AccountId, TokenHash)>,
    /// The account whose device code was given.
    pub linked: Option<Account>,
    /// Whether the invite is valid.
    pub is_invited: bool,
    /// Whether another account has the requested name.
    pub name_taken: bool,
}

/// The decision about an enrolment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EnrolDecision {
    /// The device is enrolled already: the first reply was lost.
    Known(Account),
    /// Add the device to an account, and invalidate the account's device code.
    AddDevice(Account),
    /// Make the account with this device, and use up one use of the invite.
    NewAccount,
    Rejected(EnrolError),
}

/// Decides about one enrolment.
///
/// The invite is checked before the name, so that a client without an invite learns nothing about
/// the accounts. A device id is no secret, since every entry contains it: only the token proves who
/// a device belongs to.
#[must_use]
pub fn admit(enrol: &Enrol, token: TokenHash, facts: EnrolFacts) -> EnrolDecision {
    match (facts.device, &facts.name) {
        (Some(device), Some(name)) if device == (enrol.account, token) => {
            return EnrolDecision::Known(Account {
                account: enrol.account,
                name: name.clone(),
            });
        }
        (Some(_), _) => return EnrolDecision::Rejected(EnrolError::DeviceTaken),
        (None, _) => {}
    }
    let is_known = facts.name.is_some();
    if let Some(account) = facts.linked
        && (!is_known || account.account == enrol.account)
    {
        return EnrolDecision::AddDevice(account);
    }
    if is_known {
        EnrolDecision::Rejected(EnrolError::AccountTaken)
    } else if !facts.is_invited {
        EnrolDecision::Rejected(EnrolError::BadInvite)
    } else if !is_valid_name(&enrol.name) {
        EnrolDecision::Rejected(EnrolError::BadName)
    } else if facts.name_taken {
        EnrolDecision::Rejected(EnrolError::NameTaken)
    } else {
        EnrolDecision::NewAccount
    }
}

/// The account that a new enrolment makes.
#[must_use]
pub fn account_of(enrol: &Enrol) -> Account {
    Account {
        account: enrol.account,
        name: enrol.name.clone(),
    }
}

/// The entry by which a new account joins the lobby. The server makes it; its id follows from the
/// account, so it is made once.
#[must_use]
pub fn lobby_join(enrol: &Enrol, lobby: RoomId, now: u64) -> (SendEntry, Author) {
    let send = SendEntry {
        id: EntryId::from_bytes(*enrol.account.as_bytes()),
        room: lobby,
        after: None,
        kind: Kind::Join,
        body: enrol.name.clone(),
        target: None,
        composed_at: now,
    };
    let author = Author {
        account: enrol.account,
        name: enrol.name.clone(),
        device: DeviceId::NIL,
    };
    (send, author)
}
