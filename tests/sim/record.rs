//! The record of one user on one device: actions, and results of the program. The promises are
//! checked against it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use landfall::client::session::Command;
use landfall::client::store::Reader;
use landfall::client::{Cause, NewEntry, Outcome, Write};
use landfall::protocol::{AccountId, EntryId, Kind, RoomId, Seq, Target};
use landfall::system;

use crate::action::UserAction;
use crate::net::Time;

/// A submitted text, with the program's result.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) id: EntryId,
    pub(crate) room: RoomId,
    pub(crate) kind: Kind,
    pub(crate) body: String,
    pub(crate) at: Time,
    /// The composer was cleared: the message must survive.
    pub(crate) promised: bool,
    /// Position in the order of saving. Two processes of one profile have no order before that.
    pub(crate) place: usize,
    /// The entry that this one edits, redacts or reacts to.
    pub(crate) target: Option<EntryId>,
    /// Taken back by its person, then.
    pub(crate) discarded: Option<Time>,
    /// Retried by the user, or by a restored store that did not know of the rejection: ordered
    /// behind newer entries.
    pub(crate) retried: bool,
    pub(crate) rejected: bool,
}

impl Typed {
    pub(crate) const fn new(id: EntryId, room: RoomId, kind: Kind, body: String, at: Time) -> Self {
        Self {
            id,
            room,
            kind,
            body,
            at,
            promised: false,
            place: usize::MAX,
            target: None,
            discarded: None,
            retried: false,
            rejected: false,
        }
    }
}

/// A request of the user to the program.
pub(crate) enum UserRequest {
    Write(Write),
    Command(Command),
}

impl UserRequest {
    pub(crate) fn enqueue(entry: NewEntry) -> Self {
        Self::Write(Write::Enqueue {
            entries: vec![entry],
            clears_draft: true,
        })
    }
}

/// Who the store says that it belongs to, once there was a welcome.
pub(crate) fn account_of(folder: &Path) -> Option<AccountId> {
    Reader::open(folder)
        .and_then(|reader| reader.mine())
        .ok()?
        .account
}

/// Everything that was typed on one device.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) typed: Vec<Typed>,
    /// Restores of the store: texts typed between the copy and the restore may be lost.
    pub(crate) rewinds: Vec<(Time, Time)>,
    /// The person chose to be offline.
    pub(crate) offline: bool,
    /// The half-typed line of each room, as the program said that it is kept; and when the store
    /// was copied.
    pub(crate) drafts: BTreeMap<RoomId, String>,
    copied_drafts: BTreeMap<RoomId, String>,
    /// How far each room was read, as the program said.
    pub(crate) read: BTreeMap<RoomId, Seq>,
}

impl Record {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            typed: Vec::new(),
            rewinds: Vec::new(),
            offline: false,
            drafts: BTreeMap::new(),
            copied_drafts: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    /// Returns the requests of an action. `me` is the account reported by the program.
    pub(crate) fn orders(
        &mut self,
        action: &UserAction,
        rooms: &[RoomId],
        me: impl Fn() -> Option<AccountId>,
        now: Time,
    ) -> Vec<UserRequest> {
        let order = match *action {
            UserAction::Say {
                room, lines, bytes, ..
            } => {
                return (0..lines)
                    .map(|_| self.say(rooms[room], &"x".repeat(bytes), now))
                    .map(UserRequest::enqueue)
                    .collect();
            }
            UserAction::Edit { back, .. } => self
                .change(back, Kind::Edit, me, now)
                .map(UserRequest::enqueue),
            UserAction::Redact { back, .. } => self
                .change(back, Kind::Redaction, me, now)
                .map(UserRequest::enqueue),
            UserAction::Discard { back, .. } => self.typed.iter().rev().nth(back).map(|typed| {
                let (redaction, composed_at) = (system::entry_id(), system::unix_ms());
                UserRequest::Write(Write::Discard {
                    id: typed.id,
                    redaction,
                    composed_at,
                })
            }),
            UserAction::Retry { .. } => Some(UserRequest::Write(Write::Retry { id: None })),
            UserAction::Join { room, .. } => Some(self.join_or_leave(rooms[room], Kind::Join, now)),
            UserAction::Leave { room, .. } => {
                Some(self.join_or_leave(rooms[room], Kind::Leave, now))
            }
            UserAction::Read { room, seq, .. } => Some(UserRequest::Command(Command::Read {
                room: rooms[room],
                seq: Seq(seq),
            })),
            UserAction::FetchBefore { room, .. } => {
                Some(UserRequest::Command(Command::FetchBefore(rooms[room])))
            }
            UserAction::Focus { room, .. } => {
                Some(UserRequest::Command(Command::Focus(rooms[room])))
            }
            UserAction::RetryNow { .. } => {
                self.offline = false;
                Some(UserRequest::Command(Command::RetryNow))
            }
            UserAction::ToggleOffline { .. } => {
                self.offline = !self.offline;
                let off = Command::GoOffline(Cause::Person);
                Some(UserRequest::Command(if self.offline {
                    off
                } else {
                    Command::GoOnline
                }))
            }
            _ => unreachable!("no action of a person: {action:?}"),
        };
        order.into_iter().collect()
    }

    /// One more line of this person.
    pub(crate) fn say(&mut self, room: RoomId, what: &str, now: Time) -> NewEntry {
        let body = format!("{} {} {what}", self.name, self.typed.len());
        self.type_in(room, Kind::Message, body, None, now)
    }

    pub(crate) fn join_or_leave(&mut self, room: RoomId, kind: Kind, now: Time) -> UserRequest {
        UserRequest::enqueue(self.type_in(room, kind, String::new(), None, now))
    }

    /// Edits or redacts an earlier message, in any stage.
    fn change(
        &mut self,
        back: usize,
        kind: Kind,
        me: impl Fn() -> Option<AccountId>,
        now: Time,
    ) -> Option<NewEntry> {
        let Typed { id, room, body, .. } = self.said(back)?.clone();
        let target = Target { author: me()?, id };
        let body = if kind == Kind::Edit {
            format!("{body}, rather")
        } else {
            String::new()
        };
        Some(self.type_in(room, kind, body, Some(target), now))
    }

    /// Makes an entry, and writes down that somebody typed it.
    fn type_in(
        &mut self,
        room: RoomId,
        kind: Kind,
        body: String,
        target: Option<Target>,
        now: Time,
    ) -> NewEntry {
        let id = system::entry_id();
        let typed = Typed::new(id, room, kind, body.clone(), now);
        self.typed.push(Typed {
            target: target.map(|target| target.id),
            ..typed
        });
        NewEntry {
            id,
            room,
            kind,
            body,
            target,
            composed_at: system::unix_ms(),
        }
    }

    /// Returns a recent message that is saved and not discarded, counted from the last one.
    fn said(&self, back: usize) -> Option<&Typed> {
        let messages = self
            .typed
            .iter()
            .rev()
            .filter(|typed| typed.kind == Kind::Message);
        messages
            .skip(back)
            .find(|typed| typed.promised && typed.discarded.is_none())
    }

    /// The store is copied now.
    pub(crate) fn on_copied(&mut self) {
        self.copied_drafts = self.drafts.clone();
    }

    /// The store is as it was when it was copied.
    pub(crate) fn on_restored(&mut self, copied: Time, now: Time) {
        self.drafts = self.copied_drafts.clone();
        self.read.clear();
        self.rewinds.push((copied, now));
        self.typed
            .iter_mut()
            .filter(|typed| typed.rejected)
            .for_each(|typed| typed.retried = true);
    }

    /// Whether a restore may have lost texts typed at a time.
    pub(crate) fn is_rewound(&self, at: Time) -> bool {
        self.rewinds
            .iter()
            .any(|(copied, restore)| *copied <= at && at <= *restore)
    }

    /// Handles the result of a write of the core.
    pub(crate) fn on_persisted(&mut self, write: &Write, outcome: &Outcome) {
        match (write, outcome) {
            (Write::MarkRead { .. }, Outcome::Read(Some((room, position)))) => {
                self.read.insert(*room, position.seq);
            }
            (Write::Truncate { room, .. }, _) => drop(self.read.remove(room)),
            _ => {}
        }
    }

    /// Handles a final rejection.
    pub(crate) fn on_rejected(&mut self, write: &Write) {
        if let Write::Rejected { id, .. } = write {
            self.typed
                .iter_mut()
                .filter(|typed| typed.id == *id)
                .for_each(|typed| typed.rejected = true);
        }
    }

    /// The person's own writes, as the program answered them.
    pub(crate) fn on_answered(&mut self, write: &Write, outcome: &Outcome, now: Time) {
        let done = |id: EntryId, typed: &mut Vec<Typed>, change: &dyn Fn(&mut Typed)| {
            typed
                .iter_mut()
                .filter(|typed| typed.id == id)
                .for_each(change);
        };
        match (write, outcome) {
            (Write::Enqueue { entries, .. }, Outcome::Queued) => {
                let place = self.typed.iter().filter(|typed| typed.promised).count();
                let keep = |typed: &mut Typed| (typed.promised, typed.place) = (true, place);
                entries
                    .iter()
                    .for_each(|entry| done(entry.id, &mut self.typed, &keep));
                if matches!(
                    write,
                    Write::Enqueue {
                        clears_draft: true,
                        ..
                    }
                ) {
                    entries
                        .iter()
                        .for_each(|entry| drop(self.drafts.remove(&entry.room)));
                }
            }
            (Write::Draft { room, text }, Outcome::Done) => {
                self.drafts.insert(*room, text.clone());
            }
            (Write::Discard { id, .. }, Outcome::Done) => {
                done(*id, &mut self.typed, &|typed| typed.discarded = Some(now))
            }
            (Write::Retry { id: None }, _) => self
                .typed
                .iter_mut()
                .filter(|typed| typed.rejected)
                .for_each(|typed| typed.retried = true),
            _ => {}
        }
    }
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.body.split(' ').take(2).collect();
        write!(f, "{:?} {:?} ({})", self.kind, words.join(" "), self.id)
    }
}
