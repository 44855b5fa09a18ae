//! PURE. The session's state of one room: the stored ranges of its log, the subscription, and the
//! reported watermarks.

use super::phase::{Detached, LiveRoom, Locator, Purpose, RoomPhase, Traffic};
use crate::client::log::RoomLog;
use crate::client::persist::LoadedRoom;
use crate::protocol::{Position, Seq};

/// Sync state of one room: its log, its phase and its pending writes.
#[derive(Clone, Debug)]
pub(super) struct RoomState {
    pub(super) log: RoomLog,
    pub(super) name: String,
    pub(super) topic: String,
    /// Whether the account is a member, as far as the store knows.
    pub(super) member: bool,
    /// The server's highest seq, as far as it is known.
    pub(super) head: Seq,
    phase: RoomPhase,
    /// `open` frames without an answer. Only the answer to the last one counts.
    unanswered_opens: u32,
    /// Writes on their way to the disk. They outlive a connection.
    pub(super) pending_writes: PendingWrites,
    pub(super) read: Option<Position>,
    /// The store contains a rejected entry of an earlier process. Should this store have been
    /// restored from a backup, the server's log may contain that entry after all.
    pub(super) doubts_rejections: bool,
    pub(super) reported_delivered: Seq,
    pub(super) reported_read: Seq,
    pub(super) on_server: OnServer,
}

/// Writes of one room that the store has not confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct PendingWrites {
    pub(super) appends: u32,
    /// Number of unfinished truncations. Nothing is sent until they have returned their entries to
    /// the outbox.
    pub(super) truncations: u32,
}

/// The server's reports on this connection.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct OnServer {
    /// The head when this connection was welcomed. An entry acknowledged at or below it was stored
    /// on an earlier one.
    pub(super) head_at_welcome: Seq,
    /// The head in the latest `room` or `pong`: an `opened` that was read earlier may have an older one.
    pub(super) reported_head: Seq,
    /// Accounts that are online; 0 when that is unknown.
    pub(super) online: u64,
    /// Why the server accepts no entries now, in its words.
    pub(super) deferral: Option<String>,
}

impl RoomState {
    /// A room as the store contains it.
    pub(super) fn loaded(room: LoadedRoom) -> Self {
        Self {
            name: room.name,
            topic: room.topic,
            member: room.member,
            head: room.head,
            read: room.read,
            doubts_rejections: room.has_rejected,
            ..Self::new(RoomLog::new(room.room, room.ranges, room.own_last))
        }
    }

    /// A room that the server named for the first time.
    pub(super) fn new(log: RoomLog) -> Self {
        Self {
            log,
            name: String::new(),
            topic: String::new(),
            member: false,
            head: Seq::ZERO,
            phase: RoomPhase::IDLE,
            unanswered_opens: 0,
            pending_writes: PendingWrites::default(),
            read: None,
            doubts_rejections: false,
            reported_delivered: Seq::ZERO,
            reported_read: Seq::ZERO,
            on_server: OnServer::default(),
        }
    }

    pub(super) const fn phase(&self) -> &RoomPhase {
        &self.phase
    }

    pub(super) const fn phase_mut(&mut self) -> &mut RoomPhase {
        &mut self.phase
    }

    fn set_phase(&mut self, next: RoomPhase) {
        debug_assert!(
            self.phase.may_become(&next),
            "{:?} to {next:?} is no transition",
            self.phase
        );
        self.phase = next;
    }

    /// The connection ended: the subscription and everything requested ended with it.
    pub(super) fn on_connection_ended(&mut self) {
        self.set_phase(RoomPhase::IDLE);
        self.unanswered_opens = 0;
        self.on_server = OnServer::default();
    }

    /// The room is to be reconciled when a slot is free.
    pub(super) fn queue(&mut self, is_urgent: bool) {
        self.set_phase(RoomPhase::Detached(Detached::Queued { is_urgent }));
    }

    /// Begins to compare both logs. Returns what to send as `have`.
    pub(super) fn begin_comparing(&mut self) -> Position {
        let have = self.log.top();
        self.set_phase(RoomPhase::Comparing {
            have,
            purpose: Purpose::Reconcile { rejoined: false },
        });
        self.unanswered_opens += 1;
        have
    }

    /// Begins to open the room, or to compare again while it is live. Returns what to send as
    /// `have`; nothing when an `open` is in flight.
    pub(super) fn begin_opening(&mut self, purpose: Purpose) -> Option<Position> {
        let have = self.log.top();
        match &mut self.phase {
            RoomPhase::Detached(_) | RoomPhase::Comparing { .. } => {
                self.set_phase(RoomPhase::Opening {
                    have,
                    purpose,
                    traffic: Traffic::Allowed,
                });
            }
            RoomPhase::Live(live) if live.recheck.is_none() => live.recheck = Some(have),
            RoomPhase::Live(_) | RoomPhase::Opening { .. } | RoomPhase::Locating { .. } => {
                return None;
            }
        }
        self.unanswered_opens += 1;
        Some(have)
    }

    /// Begins to compare again and withholds everything until the answer. Returns what to send as
    /// `have`; nothing when an `open` is in flight, or the room waits to be reconciled.
    pub(super) fn begin_withheld(&mut self) -> Option<Position> {
        let purpose = match &self.phase {
            RoomPhase::Detached(Detached::Idle) => Purpose::Member,
            RoomPhase::Live(live) if live.recheck.is_none() => live.purpose,
            RoomPhase::Detached(_)
            | RoomPhase::Comparing { .. }
            | RoomPhase::Opening { .. }
            | RoomPhase::Locating { .. }
            | RoomPhase::Live(_) => return None,
        };
        let have = self.log.top();
        self.set_phase(RoomPhase::Opening {
            have,
            purpose,
            traffic: Traffic::Withheld,
        });
        self.unanswered_opens += 1;
        Some(have)
    }

    /// The logs differ: starts the search for the last common position. Returns whether to request
    /// positions from the store.
    pub(super) fn begin_locating(&mut self, purpose: Purpose) -> bool {
        if matches!(self.phase, RoomPhase::Locating { .. }) {
            return false;
        }
        self.set_phase(RoomPhase::Locating {
            locator: Locator::Requested,
            purpose,
        });
        true
    }

    /// The store returned positions. Returns whether to send them: an answer to a question of an
    /// earlier connection is not.
    pub(super) fn on_locator(&mut self, positions: &[Position]) -> bool {
        let RoomPhase::Locating {
            locator: locator @ Locator::Requested,
            ..
        } = &mut self.phase
        else {
            return false;
        };
        *locator = Locator::Sent(positions.to_vec());
        self.unanswered_opens += 1;
        true
    }

    /// The server has to be asked whether the room exists, or was asked with this request.
    pub(super) fn ask_whether_it_exists(&mut self, request: Option<u64>) {
        self.set_phase(RoomPhase::Detached(Detached::Asking { request }));
    }

    /// The room is subscribed, with our log being a prefix of the server's.
    pub(super) fn become_live(&mut self, purpose: Purpose) {
        debug_assert_eq!(self.unanswered_opens, 0, "an open is in flight");
        self.set_phase(RoomPhase::Live(LiveRoom::new(purpose)));
    }

    /// The account is not a member any more, and nothing of the room is left to reconcile. Returns
    /// whether it was one.
    pub(super) fn leave(&mut self) -> bool {
        self.set_phase(RoomPhase::IDLE);
        self.doubts_rejections = false;
        std::mem::replace(&mut self.member, false)
    }

    /// An `open` was answered.
    pub(super) fn on_open_answered(&mut self) -> OpenAnswer {
        let Some(left) = self.unanswered_opens.checked_sub(1) else {
            return OpenAnswer::Unrequested;
        };
        self.unanswered_opens = left;
        let is_superseded = matches!(
            self.phase,
            RoomPhase::Locating {
                locator: Locator::Requested,
                ..
            }
        );
        if left == 0 && !is_superseded {
            OpenAnswer::Last
        } else {
            OpenAnswer::Superseded
        }
    }

    /// Whether pending messages may be sent.
    pub(super) const fn allows_sends(&self) -> bool {
        self.pending_writes.truncations == 0 && self.phase.allows_sends()
    }

    /// Whether reconciling could find anything: the server's log may lack entries of this account,
    /// or contain rejected ones.
    pub(super) const fn is_worth_reconciling(&self) -> bool {
        self.member || self.log.own_last().is_some() || self.doubts_rejections
    }

    /// Whether a room that is open only to be reconciled has nothing left of that: both logs agree.
    pub(super) fn is_reconciled(&self) -> bool {
        let is_settled = self.phase.live().is_some_and(|live| {
            live.recheck.is_none() && live.purpose == Purpose::Reconcile { rejoined: false }
        });
        is_settled
            && self.pending_writes.truncations == 0
            && (!self.doubts_rejections || self.is_caught_up())
    }

    /// Whether everything up to the head is stored that can be had.
    pub(super) fn is_caught_up(&self) -> bool {
        self.missing() == 0 || self.phase.live().is_some_and(|live| live.is_exhausted)
    }

    /// The seq below the lowest stored range.
    pub(super) fn lowest(&self) -> Option<Seq> {
        self.log.ranges().first().map(|range| range.start.seq)
    }

    /// Number of entries up to the head that are not stored.
    pub(super) fn missing(&self) -> u64 {
        self.head.since(self.log.top().seq) + self.log.missing()
    }
}

/// The kind of an answer to an `open`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OpenAnswer {
    /// It answers the last `open`.
    Last,
    /// A later `open` was sent, or is about to be.
    Superseded,
    /// No `open` was in flight.
    Unrequested,
}
