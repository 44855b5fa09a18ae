//! PURE. What the session knows of one room: what is held, whether it is subscribed, and how far it
//! has told.

use std::collections::BTreeSet;

use super::fetches::Fetches;
use crate::client::log::RoomLog;
use crate::client::persist::{LoadedRoom, Ticket};
use crate::protocol::{Position, Seq};

/// What the session knows of one room.
#[derive(Clone, Debug)]
pub(super) struct RoomState {
    pub(super) log: RoomLog,
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) member: bool,
    pub(super) head: Seq,
    /// The head when this link was welcomed: what was acked at or below it had got there on an
    /// earlier one.
    pub(super) greeted_head: Seq,
    /// Subscribed on this link.
    pub(super) live: bool,
    pub(super) opening: Opening,
    /// `open` frames without their answer; only the answer to the last one counts.
    pub(super) unanswered_opens: u32,
    /// The logs differ: nothing enters or leaves until both sides agree on a prefix.
    pub(super) shut: bool,
    /// A cut is on its way to the disk: nothing leaves until the store says what goes again.
    pub(super) cutting: bool,
    pub(super) fetches: Fetches,
    /// A page that was asked for came empty: on this link nothing more is asked for.
    pub(super) is_dry: bool,
    /// Not one of the welcome's rooms, though this account was in it or something for it waits.
    pub(super) visit: Visit,
    pub(super) appending: BTreeSet<Ticket>,
    pub(super) read: Option<Position>,
    /// Something of one's own is kept as refused since before this process began. Should this store
    /// have been put back from a copy, the log may know better.
    pub(super) doubts_refusals: bool,
    pub(super) reported_delivered: Seq,
    pub(super) reported_read: Seq,
    /// What was held at the last pong: when it did not move and the head is above it, a tail was
    /// lost.
    pub(super) top_at_pong: Option<Seq>,
    pub(super) online: u64,
    /// Why the server takes nothing now, in its words.
    pub(super) held: Option<String>,
}

/// A room that the welcome did not name: left here or on another device, or lost by a server that
/// was put back from a copy. Only comparing the logs tells which, and whether that server still has
/// what was said there before it was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Visit {
    No,
    /// Its turn has not come.
    Wanted,
    /// Both logs are compared, and nothing else is sent of it.
    Comparing,
    /// The logs differ, or there is none: the server is asked whether there is such a room.
    Asking,
    /// It is open; `rejoined` once an own join came back.
    Open {
        rejoined: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    No,
    /// `open` with the top of what is held.
    Have(Position),
    /// The same, to compare and no more.
    Compare(Position),
    /// The store is being asked for a locator.
    Locating,
    /// `open` with a locator: these positions.
    Locator(Vec<Position>),
}

impl RoomState {
    /// A room as the store holds it.
    pub(super) fn loaded(room: LoadedRoom) -> Self {
        let LoadedRoom {
            room,
            name,
            topic,
            member,
            head,
            spans,
            own_last,
            read,
            has_refused,
        } = room;
        let log = RoomLog::new(room, spans, own_last);
        Self {
            name,
            topic,
            member,
            head,
            read,
            doubts_refusals: has_refused,
            ..Self::new(log)
        }
    }

    /// A room that was just heard of.
    pub(super) fn new(log: RoomLog) -> Self {
        Self {
            log,
            name: String::new(),
            topic: String::new(),
            member: false,
            head: Seq::ZERO,
            greeted_head: Seq::ZERO,
            live: false,
            opening: Opening::No,
            unanswered_opens: 0,
            shut: false,
            cutting: false,
            fetches: Fetches::default(),
            is_dry: false,
            visit: Visit::No,
            appending: BTreeSet::new(),
            read: None,
            doubts_refusals: false,
            reported_delivered: Seq::ZERO,
            reported_read: Seq::ZERO,
            top_at_pong: None,
            online: 0,
            held: None,
        }
    }

    /// Whether entries may go out.
    pub(super) const fn is_open(&self) -> bool {
        !self.shut
            && !self.cutting
            && !matches!(self.visit, Visit::Wanted | Visit::Comparing | Visit::Asking)
    }

    /// Whether a visit could find anything: something of one's own may be missing there, or stand
    /// there after all.
    pub(super) const fn is_worth_a_visit(&self) -> bool {
        self.member || self.log.own_last().is_some() || self.doubts_refusals
    }

    /// Whether everything up to the head is held that can be had.
    pub(super) fn is_caught_up(&self) -> bool {
        self.is_dry || self.missing() == 0
    }

    pub(super) const fn may_fetch(&self) -> bool {
        self.live && !self.shut && !self.is_dry
    }

    pub(super) fn on_link_changed(&mut self) {
        self.live = false;
        self.opening = Opening::No;
        self.unanswered_opens = 0;
        self.shut = false;
        self.fetches.on_link_changed();
        self.is_dry = false;
        self.visit = Visit::No;
        self.top_at_pong = None;
        self.greeted_head = Seq::ZERO;
        self.online = 0;
        self.held = None;
    }

    /// An `open` was answered. Whether that was the last one, so that its answer counts; `None`
    /// when nobody asked.
    pub(super) fn takes_answer(&mut self) -> Option<bool> {
        self.unanswered_opens = self.unanswered_opens.checked_sub(1)?;
        Some(self.unanswered_opens == 0 && self.opening != Opening::Locating)
    }

    /// Entries between what is held and the head, and in gaps.
    pub(super) fn missing(&self) -> u64 {
        self.head.since(self.log.top().seq) + self.log.missing()
    }
}
