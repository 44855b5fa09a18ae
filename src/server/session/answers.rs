//! PURE. The frames that answer a hello and a send.

use std::time::Duration;

use super::Admission;
use crate::protocol::{
    Reject, RejectCode, Reply, ReplyCode, SendEntry, ServerFrame, Welcome, limits,
};
use crate::server::storage::Verdict;

/// When a client sends again after the storage failed, ms.
const UNAVAILABLE_RETRY_MS: u64 = 2_000;

/// Returns the welcome of an admitted device, and the description of each of its rooms.
pub(super) fn welcome(admission: Admission, heartbeat: Duration) -> Vec<ServerFrame> {
    let welcome = Welcome {
        server: admission.server,
        session: admission.session,
        resumed: admission.resumed,
        account: admission.account,
        name: admission.name,
        heartbeat_ms: heartbeat.as_millis() as u64,
        frame_bytes_max: limits::FRAME_BYTES_MAX as u64,
        now: admission.now,
        rooms: admission.rooms.len() as u64,
    };
    let rooms = admission.rooms.into_iter().map(ServerFrame::Room);
    std::iter::once(ServerFrame::Welcome(welcome))
        .chain(rooms)
        .collect()
}

/// Returns the ack or the reject of a sent entry. A storage that failed rejects temporarily.
pub(super) fn verdict(send: &SendEntry, verdict: Result<Verdict, String>) -> ServerFrame {
    let (id, room) = (send.id, send.room);
    match verdict {
        Ok(Verdict::Stored(stored)) => ServerFrame::Ack {
            id,
            room,
            seq: stored.entry.seq,
            at: stored.entry.at,
        },
        Ok(Verdict::Known { seq, at }) => ServerFrame::Ack { id, room, seq, at },
        Ok(Verdict::Rejected(rejection)) => ServerFrame::Reject(Reject {
            id,
            room,
            code: rejection.code,
            reason: rejection.reason,
            last: rejection.last,
            retry_after_ms: rejection.retry_after_ms,
        }),
        Err(reason) => ServerFrame::Reject(Reject {
            id,
            room,
            code: RejectCode::Unavailable,
            reason,
            last: None,
            retry_after_ms: Some(UNAVAILABLE_RETRY_MS),
        }),
    }
}

/// Returns the reply to a request that writes, from a device over its rate.
pub(super) fn over_rate(request: u64) -> Reply {
    Reply {
        request,
        ok: None,
        code: Some(ReplyCode::Unavailable),
        reason: Some("too many changes at once: try again in a moment".to_owned()),
    }
}
