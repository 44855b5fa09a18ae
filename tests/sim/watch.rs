//! Watches the wires: frames must follow PROTOCOL.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use landfall::protocol::{
    ClientFrame, Entries, EntryId, Kind, RoomId, SendEntry, Seq, ServerFrame,
};

use crate::check::Promise;
use crate::net::{Time, WireId};

/// Dials of one device within a minute that nobody asked for: full jitter draws a dozen, a backoff
/// that forgets hundreds.
const DIALS_A_MINUTE_MAX: usize = 45;
/// How long a server may leave something unanswered or untold when nothing is wrong: its disk
/// stalls for up to 20 s.
const PATIENCE: Duration = Duration::from_secs(40);

/// A broken rule: which promise rests on it, the entry it concerns, and what happened.
pub(crate) type Broken = (Promise, Option<EntryId>, String);

#[derive(Debug)]
struct Cursor {
    at: Seq,
    /// Nothing has arrived since the open: the subscription may start near the head.
    is_fresh: bool,
    since: Time,
}

/// What went over one wire.
#[derive(Debug, Default)]
struct Link {
    unanswered: BTreeMap<EntryId, (u32, Time)>,
    /// For each room the `open` frames without their answer: whether they only compare.
    opens: BTreeMap<RoomId, VecDeque<bool>>,
    cursors: BTreeMap<RoomId, Cursor>,
    closed: BTreeSet<RoomId>,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    links: BTreeMap<WireId, Link>,
    dials: BTreeMap<usize, VecDeque<Time>>,
    /// All of them, whoever dialled.
    pub(crate) dialled_at: Vec<Time>,
    bodies: BTreeMap<EntryId, String>,
    redacted: BTreeSet<EntryId>,
    pub(crate) resent: u64,
}

impl Watch {
    pub(crate) fn on_end(&mut self, wire: WireId) {
        self.links.remove(&wire);
    }

    pub(crate) fn on_asked_to_dial(&mut self, device: usize) {
        self.dials.remove(&device);
    }

    /// P10 and P11 rest on it: nobody hammers a server.
    pub(crate) fn on_dial(&mut self, device: usize, now: Time) -> Option<Broken> {
        self.dialled_at.push(now);
        let dials = self.dials.entry(device).or_default();
        dials.push_back(now);
        while dials
            .front()
            .is_some_and(|at| *at + Duration::from_secs(60) < now)
        {
            dials.pop_front();
        }
        let text = || {
            (
                Promise::Converges,
                None,
                format!("{device} dialled {} times within a minute", dials.len()),
            )
        };
        (dials.len() > DIALS_A_MINUTE_MAX).then(text)
    }

    /// A frame arrived at the server.
    pub(crate) fn on_up(&mut self, wire: WireId, frame: &ClientFrame, now: Time) -> Option<Broken> {
        let link = self.links.entry(wire).or_default();
        match frame {
            ClientFrame::Send(send) => {
                let (count, at) = link.unanswered.entry(send.id).or_insert((0, now));
                (*count, *at) = (*count + 1, now);
                return self.on_send(send);
            }
            ClientFrame::Open(open) => link
                .opens
                .entry(open.room)
                .or_default()
                .push_back(open.compare),
            ClientFrame::Close { room } => {
                link.cursors.remove(room);
                link.closed.insert(*room);
            }
            _ => {}
        }
        None
    }

    fn on_send(&mut self, send: &SendEntry) -> Option<Broken> {
        let target = send.target.map(|target| target.id);
        self.redacted
            .extend(target.filter(|_| send.kind == Kind::Redaction));
        let body = format!("{:?} {}", send.kind, send.body);
        let Some(known) = self.bodies.get(&send.id) else {
            self.bodies.insert(send.id, body);
            let is_bare = send.kind == Kind::Message && send.body.is_empty();
            return is_bare.then(|| {
                (
                    Promise::Once,
                    Some(send.id),
                    format!("{} was sent without its text", send.id),
                )
            });
        };
        self.resent += 1;
        // A known redacted message, or an edit of it, is sent again without its text.
        let is_redacted = [Some(send.id), target]
            .into_iter()
            .flatten()
            .any(|id| self.redacted.contains(&id));
        let is_same = *known == body || (send.body.is_empty() && is_redacted);
        (!is_same).then(|| {
            (
                Promise::Once,
                Some(send.id),
                format!("{} was sent with two bodies", send.id),
            )
        })
    }

    /// A frame arrived at the client.
    pub(crate) fn on_down(
        &mut self,
        wire: WireId,
        frame: &ServerFrame,
        now: Time,
    ) -> Option<Broken> {
        let link = self.links.entry(wire).or_default();
        match frame {
            ServerFrame::Ack { id, .. } => link.on_answer(*id),
            ServerFrame::Reject(reject) => link.on_answer(reject.id),
            ServerFrame::Opened { room, from, .. } => {
                if !link.is_comparing(*room) {
                    link.closed.remove(room);
                    link.cursors.insert(
                        *room,
                        Cursor {
                            at: from.seq,
                            is_fresh: true,
                            since: now,
                        },
                    );
                }
                None
            }
            ServerFrame::Diverged { room } => {
                if !link.is_comparing(*room) {
                    link.cursors.remove(room);
                    link.closed.insert(*room);
                }
                None
            }
            ServerFrame::Entries(entries) if entries.request.is_none() => {
                link.on_entries(entries, now)
            }
            _ => None,
        }
    }

    /// Nothing has been wrong for a while: everything sent is answered, everything appended is
    /// told.
    pub(crate) fn check(
        &self,
        wire: WireId,
        heads: &BTreeMap<RoomId, (Seq, Time)>,
        now: Time,
    ) -> Option<Broken> {
        let link = self.links.get(&wire)?;
        let silent = link
            .unanswered
            .iter()
            .find(|(_, (count, at))| *count > 0 && *at + PATIENCE < now);
        if let Some((id, _)) = silent {
            return Some((
                Promise::NothingDropped,
                Some(*id),
                format!("{id} was sent, and never answered on {wire:?}"),
            ));
        }
        let behind = link.cursors.iter().find(|(room, cursor)| {
            heads.get(room).is_some_and(|(head, at)| {
                cursor.at < *head && (*at).max(cursor.since) + PATIENCE < now
            })
        });
        let text = |(_, cursor): (&RoomId, &Cursor)| {
            format!("{wire:?} got updates up to {} and no further", cursor.at)
        };
        behind.map(|found| (Promise::NoSilentGap, None, text(found)))
    }
}

impl Link {
    fn is_comparing(&mut self, room: RoomId) -> bool {
        self.opens
            .get_mut(&room)
            .and_then(VecDeque::pop_front)
            .unwrap_or(false)
    }

    /// Each `send` gets one answer on its connection.
    fn on_answer(&mut self, id: EntryId) -> Option<Broken> {
        match self.unanswered.get_mut(&id) {
            Some((count, _)) if *count > 0 => {
                *count -= 1;
                None
            }
            _ => Some((
                Promise::NothingDropped,
                Some(id),
                format!("{id} was answered more often than it was sent"),
            )),
        }
    }

    /// A subscription sends exactly cursor+1.
    fn on_entries(&mut self, entries: &Entries, now: Time) -> Option<Broken> {
        let Some(cursor) = self.cursors.get_mut(&entries.room) else {
            let text = || {
                (
                    Promise::NoSilentGap,
                    None,
                    "entries of a room that was not opened".to_owned(),
                )
            };
            return (!self.closed.contains(&entries.room)).then(text);
        };
        let follows =
            entries.prev.seq == cursor.at || (cursor.is_fresh && entries.prev.seq > cursor.at);
        if !follows {
            let text = format!(
                "the stream was at {} and continued after {}",
                cursor.at, entries.prev.seq
            );
            return Some((Promise::NoSilentGap, None, text));
        }
        let last = entries
            .entries
            .last()
            .map(|entry| entry.seq)
            .or(entries.skip.as_ref().map(|skip| skip.to.seq));
        *cursor = Cursor {
            at: last.unwrap_or(cursor.at),
            is_fresh: false,
            since: now,
        };
        None
    }
}
