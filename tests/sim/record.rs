//! What one person typed, and what the program said to it: what the promises are decided from.

use std::fmt;

use landfall::client::{NewEntry, Outcome, Write};
use landfall::protocol::{EntryId, Kind, RoomId, Target};
use landfall::system;

use crate::net::Time;

/// What a person pressed Enter on, and what the program said to it.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) id: EntryId,
    pub(crate) room: RoomId,
    pub(crate) kind: Kind,
    pub(crate) body: String,
    pub(crate) at: Time,
    /// The composer cleared: it is kept, whatever happens.
    pub(crate) promised: bool,
    /// What was kept earlier has a lower number. Two processes on one profile do not wait for each other before that.
    pub(crate) place: usize,
    /// Taken back by its person, then.
    pub(crate) discarded: Option<Time>,
    /// Queued again by hand, or by a copy of the store that knew nothing of a refusal: it stands behind what was typed since.
    pub(crate) retried: bool,
    pub(crate) refused: bool,
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
            discarded: None,
            retried: false,
            refused: false,
        }
    }
}

/// Everything that was typed on one device.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) typed: Vec<Typed>,
    /// The store was put back: from the copy's time on, until then, what was typed may be gone.
    pub(crate) rewinds: Vec<(Time, Time)>,
}

impl Record {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), typed: Vec::new(), rewinds: Vec::new() }
    }

    /// Makes an entry, and writes down that somebody typed it.
    pub(crate) fn type_in(
        &mut self,
        room: RoomId,
        kind: Kind,
        body: String,
        target: Option<Target>,
        now: Time,
    ) -> NewEntry {
        let id = system::entry_id();
        self.typed.push(Typed::new(id, room, kind, body.clone(), now));
        NewEntry { id, room, kind, body, target, composed_at: system::unix_ms() }
    }

    /// The last message but so many that is kept and was not taken back.
    pub(crate) fn said(&self, back: usize) -> Option<&Typed> {
        let messages = self.typed.iter().rev().filter(|typed| typed.kind == Kind::Message);
        messages.skip(back).find(|typed| typed.promised && typed.discarded.is_none())
    }

    /// The store is as it was when it was copied.
    pub(crate) fn on_put_back(&mut self, copied: Time, now: Time) {
        self.rewinds.push((copied, now));
        self.typed.iter_mut().filter(|typed| typed.refused).for_each(|typed| typed.retried = true);
    }

    /// Whether a copy of the store may have lost what was typed then.
    pub(crate) fn is_rewound(&self, at: Time) -> bool {
        self.rewinds.iter().any(|(copied, put_back)| *copied <= at && at <= *put_back)
    }

    /// What the core was told for good.
    pub(crate) fn on_refused(&mut self, write: &Write) {
        if let Write::Refused { id, .. } = write {
            self.typed.iter_mut().filter(|typed| typed.id == *id).for_each(|typed| typed.refused = true);
        }
    }

    /// The person's own writes, as the program answered them.
    pub(crate) fn on_answered(&mut self, write: &Write, outcome: &Outcome, now: Time) {
        let done = |id: EntryId, typed: &mut Vec<Typed>, change: &dyn Fn(&mut Typed)| {
            typed.iter_mut().filter(|typed| typed.id == id).for_each(change);
        };
        match (write, outcome) {
            (Write::Enqueue { entries, .. }, Outcome::Queued) => {
                let place = self.typed.iter().filter(|typed| typed.promised).count();
                let keep = |typed: &mut Typed| (typed.promised, typed.place) = (true, place);
                entries.iter().for_each(|entry| done(entry.id, &mut self.typed, &keep));
            }
            (Write::Discard { id, .. }, Outcome::Done) => {
                done(*id, &mut self.typed, &|typed| typed.discarded = Some(now))
            }
            (Write::Retry { id: None }, _) => {
                self.typed.iter_mut().filter(|typed| typed.refused).for_each(|typed| typed.retried = true)
            }
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
