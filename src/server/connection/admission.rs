//! Admits a device: checks its token, or enrols it.

use std::net::IpAddr;

use super::ConnectionShared;
use crate::protocol::{Bye, CloseCode, DeviceId, Enrol, Hello, is_valid_name};
use crate::server::answers;
use crate::server::committer::{Caller, CommitJob, PendingEnrol};
use crate::server::hub::{ConnectionId, REVOKED, bye};
use crate::server::session::Admission;
use crate::server::storage::{Account, EnrolError, Enrolled, TokenHash};
use crate::sqlite::DbError;
use crate::system;

/// Maximum length of an invite, bytes.
const INVITE_BYTES_MAX: usize = 256;

/// The connection that sent a hello.
pub(super) struct Applicant {
    pub(super) id: ConnectionId,
    pub(super) address: IpAddr,
    pub(super) caller: Caller,
}

/// Admits the device of a hello, or returns why not.
pub(super) async fn admit(
    hello: Hello,
    applicant: Applicant,
    shared: &ConnectionShared,
) -> Result<Admission, Bye> {
    let token = answers::token_hash(&hello.token);
    let device = hello.device;
    let id = applicant.id;
    let known = shared
        .reader
        .read(move |storage| storage.authenticate(device, token))
        .await
        .map_err(unavailable)?;
    let Account { account, name } = match (known, hello.enrol) {
        (Some(account), _) => account,
        (None, Some(enrol)) => enrol_device(enrol, device, token, applicant, shared).await?,
        (None, None) => {
            return Err(bye(
                CloseCode::Unauthorized,
                "unknown device or wrong token",
            ));
        }
    };
    let from = (hello.instance, hello.dial);
    let (session, resumed) = shared
        .hub
        .register(id, (account, device), from, hello.session)?;
    // Read after the registration: later changes arrive as events.
    let rooms = shared.reader.read(move |storage| {
        // The device may have been revoked just before the registration.
        let has_access = storage.authenticate(device, token)?.is_some();
        has_access.then(|| storage.rooms_of(account)).transpose()
    });
    let rooms = rooms
        .await
        .map_err(unavailable)?
        .ok_or_else(|| bye(CloseCode::Unauthorized, REVOKED))?;
    shared.hub.join_rooms(id, account, &rooms);
    Ok(Admission {
        server: shared.hub.server,
        session,
        resumed,
        account,
        name,
        rooms,
        now: system::unix_ms(),
    })
}

/// Enrols a device by an invite or a device code. Name and invite are checked before anything waits,
/// so that a stranger cannot make the server keep long texts.
async fn enrol_device(
    enrol: Enrol,
    device: DeviceId,
    token: TokenHash,
    Applicant {
        address, caller, ..
    }: Applicant,
    shared: &ConnectionShared,
) -> Result<Account, Bye> {
    shared.guesses.may_guess(address)?;
    if !is_valid_name(&enrol.name) {
        return Err(answers::refuses_enrolment(EnrolError::BadName));
    }
    if enrol.invite.len() > INVITE_BYTES_MAX {
        shared.guesses.on_wrong(address);
        return Err(answers::refuses_enrolment(EnrolError::BadInvite));
    }
    shared.guesses.may_enrol(address)?;
    let (tx, rx) = tokio::sync::oneshot::channel();
    let answer = Box::new(move |enrolled| {
        let _ = tx.send(enrolled); // the connection may have ended
    });
    shared.committer.post(CommitJob::Enrol(PendingEnrol {
        enrol,
        device,
        token,
        caller,
        answer,
    }));
    let enrolled = rx
        .await
        .unwrap_or(Err(DbError::Stopped))
        .map_err(unavailable)?;
    if enrolled == Enrolled::Rejected(EnrolError::BadInvite) {
        shared.guesses.on_wrong(address);
    }
    enrolled.into_account().map_err(answers::refuses_enrolment)
}

fn unavailable(error: DbError) -> Bye {
    tracing::error!(%error, "a hello could not be looked up");
    bye(CloseCode::Overloaded, "the server cannot read its accounts")
}
