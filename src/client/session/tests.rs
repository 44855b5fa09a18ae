//! The cases that naive builds miss, each as a fact about the core.

mod comparing;
mod conditions;
mod connecting;
mod fetching;
mod membership;
mod reports;
mod sending;
mod shown;
mod storing;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::*;
use crate::client::journal::JournalLine;
use crate::client::link::LinkPhase;
use crate::client::log::{OwnLast, StoredRange};
use crate::client::meter::LinkCounters;
use crate::client::persist::OutboxRow;
use crate::client::persist::{AddedRows, LoadedRoom, NewEntry};
use crate::planted_bug::PlantedBug;
use crate::protocol::{
    AccountId, Bye, Chain, ClientFrame, CloseCode, DeviceId, Enrol, Entries, Entry, EntryId, Fetch,
    Head, InstanceId, Kind, Op, Open, Position, Reject, RejectCode, Reply, ReplyCode, Room,
    ServerFrame, ServerId, SessionId, Signal, Token, Welcome, decode, limits,
};

const fn s(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

fn store_failed(what: &str) -> Cause {
    let what = what.to_owned();
    Cause::Store { what }
}

fn room() -> RoomId {
    RoomId::from_random([1; 16])
}

fn other_room() -> RoomId {
    RoomId::from_random([11; 16])
}

fn device() -> DeviceId {
    DeviceId::from_random([2; 16])
}

fn account() -> AccountId {
    AccountId::from_random([3; 16])
}

fn instance() -> InstanceId {
    InstanceId::from_random([4; 16])
}

fn server() -> ServerId {
    ServerId::from_random([5; 16])
}

fn id(n: u64) -> EntryId {
    EntryId::from_parts(n, [0; 10])
}

/// A log of another account; the entries whose number is in `own` are of this one.
fn log(ids: &[u64], own: &[u64]) -> (Vec<Position>, Vec<Entry>) {
    let (mut at, mut entries) = (vec![Position::start(room())], Vec::new());
    for n in ids {
        let (author, device) = if own.contains(n) {
            (account(), device())
        } else {
            (AccountId::NIL, DeviceId::NIL)
        };
        let here = at[at.len() - 1].next(author, id(*n));
        at.push(here);
        entries.push(Entry {
            seq: here.seq,
            id: id(*n),
            author,
            name: "x".into(),
            device,
            kind: Kind::Message,
            body: format!("line {n}"),
            target: None,
            at: 1,
            composed_at: 1,
        });
    }
    (at, entries)
}

fn entries(ids: &[u64], own: &[u64], from: usize) -> ServerFrame {
    let (at, all) = log(ids, own);
    page_frame(&at, &all, from..all.len(), None)
}

/// Part of a log, as live entries or as the answer to a request.
fn page_frame(
    at: &[Position],
    all: &[Entry],
    part: Range<usize>,
    request: Option<u64>,
) -> ServerFrame {
    ServerFrame::Entries(Entries {
        room: room(),
        prev: at[part.start],
        entries: all[part].to_vec(),
        skip: None,
        request,
    })
}

fn loaded() -> Loaded {
    let known = |room, name: &str| LoadedRoom {
        room,
        name: name.into(),
        topic: String::new(),
        member: true,
        head: Seq::ZERO,
        ranges: Vec::new(),
        own_last: None,
        read: None,
        has_rejected: false,
    };
    Loaded {
        device: device(),
        instance: instance(),
        token: Token::from_random([9; 32]),
        enrol: Some(Enrol {
            invite: "code".into(),
            name: "ana".into(),
            account: account(),
        }),
        server: Some(server()),
        account: Some(account()),
        session: None,
        rooms: vec![known(room(), "lobby")],
        outbox: Vec::new(),
    }
}

/// An own entry at its number, composed before everything in the outbox.
fn own_last(n: u64) -> Option<OwnLast> {
    Some(OwnLast {
        seq: Seq(n),
        id: id(n),
        order: i64::MIN,
    })
}

/// A session with a store that is played, and a record of what left it.
struct SessionFixture {
    session: Session,
    now: Now,
    sent: Vec<ClientFrame>,
    writes: Vec<Write>,
    effects: Vec<Effect>,
    outbox: BTreeMap<i64, NewEntry>,
    known: BTreeSet<EntryId>,
    own_instances: BTreeSet<InstanceId>,
    reads: Vec<(RoomId, Position)>,
    locator: Vec<Position>,
    /// The result of a truncation.
    cut_own_last: Option<OwnLast>,
    /// The disk does not answer until it is let go.
    disk_pauses: bool,
    pending: Vec<Input>,
}

impl SessionFixture {
    fn new(loaded: Loaded) -> Self {
        let mut rig = Self {
            session: Session::new(LinkSettings::default(), 1, s(0), loaded),
            now: s(0),
            sent: Vec::new(),
            writes: Vec::new(),
            effects: Vec::new(),
            outbox: BTreeMap::new(),
            known: BTreeSet::new(),
            own_instances: BTreeSet::from([instance()]),
            reads: Vec::new(),
            locator: Vec::new(),
            cut_own_last: None,
            disk_pauses: false,
            pending: Vec::new(),
        };
        rig.input(Input::Tick);
        rig
    }

    /// Does what the driver does after [`Effect::Reload`].
    fn reload(&mut self) {
        let other = Session::new(LinkSettings::default(), 1, s(0), loaded());
        self.session = std::mem::replace(&mut self.session, other).reloaded(loaded());
        self.input(Input::Tick);
    }

    /// Connected, with the lobby open at the stored head.
    fn connected() -> Self {
        let mut rig = Self::new(loaded());
        rig.connect();
        rig.opened(Position::start(room()), Position::start(room()));
        rig
    }

    fn input(&mut self, input: Input) {
        let mut todo = vec![input];
        while let Some(input) = todo.pop() {
            for effect in self.session.step(self.now, input) {
                self.effects.push(effect.clone());
                let answer = match effect {
                    Effect::Transmit(_, text) => {
                        self.sent.push(decode(&text).expect("own frames decode"));
                        continue;
                    }
                    Effect::Persist(ticket, write) => {
                        self.writes.push(write.clone());
                        Input::Persisted(ticket, self.stored(write))
                    }
                    Effect::Ask(ticket, query) => Input::Found(ticket, self.found(query)),
                    Effect::Dial(_)
                    | Effect::Hangup(_)
                    | Effect::Reply(..)
                    | Effect::Signal(_)
                    | Effect::Reload => {
                        continue;
                    }
                };
                if self.disk_pauses {
                    self.pending.push(answer)
                } else {
                    todo.insert(0, answer)
                }
            }
        }
    }

    fn rows(&self) -> Vec<OutboxRow> {
        let row = |(order, entry): (&i64, &NewEntry)| OutboxRow {
            order: *order,
            id: entry.id,
            room: entry.room,
            bytes: entry.body.len(),
            acked: None,
            frozen: false,
        };
        self.outbox.iter().map(row).collect()
    }

    fn added(&self, above: i64) -> AddedRows {
        let mut rows = self.rows();
        rows.retain(|row| row.order > above);
        AddedRows {
            above,
            rows,
            is_whole: true,
        }
    }

    fn stored(&mut self, write: Write) -> Outcome {
        match write {
            Write::Take(rows, budget) => {
                let rows = self.added(rows.above);
                let first = rows.rows.iter().take(budget.entries);
                let frozen = first.map(|row| self.outbox[&row.order].clone()).collect();
                Outcome::Taken { rows, frozen }
            }
            Write::Freeze(ids) => Outcome::Frozen(
                ids.iter()
                    .filter_map(|id| self.outbox.values().find(|e| e.id == *id).cloned())
                    .collect(),
            ),
            Write::Rejected { id, .. } => {
                self.outbox.retain(|_, entry| entry.id != id);
                Outcome::Done
            }
            Write::Append { entries, .. } => {
                self.outbox
                    .retain(|_, e| entries.iter().all(|chained| chained.entry.id != e.id));
                Outcome::Done
            }
            Write::Truncate { room, .. } => Outcome::Truncated {
                room,
                own_last: self.cut_own_last,
                outbox: self.rows(),
            },
            Write::MarkRead { room, seq } => Outcome::Read(Some((
                room,
                Position {
                    seq,
                    chain: Position::start(room).chain,
                },
            ))),
            _ => Outcome::Done,
        }
    }

    fn found(&self, query: Query) -> Found {
        match query {
            Query::NewRows(rows) => Found::NewRows(self.added(rows.above)),
            Query::Outbox => Found::Outbox(self.rows()),
            Query::Reads => Found::Reads(self.reads.clone()),
            Query::Locator { room, .. } => Found::Locator {
                room,
                positions: self.locator.clone(),
            },
            Query::Knows { room, id } => Found::EntryKnown {
                room,
                id,
                known: self.known.contains(&id),
            },
            Query::Instance(instance) => Found::Instance {
                instance,
                own: self.own_instances.contains(&instance),
            },
        }
    }

    fn type_in(&mut self, room: RoomId, n: u64) {
        self.outbox.insert(
            n as i64,
            NewEntry {
                id: id(n),
                room,
                kind: Kind::Message,
                body: format!("line {n}"),
                target: None,
                composed_at: n,
            },
        );
        self.input(Input::OutboxGrew);
    }

    fn dial(&self) -> Dial {
        let mut dials = self.effects.iter().filter_map(|effect| {
            if let Effect::Dial(dial) = effect {
                Some(*dial)
            } else {
                None
            }
        });
        dials.next_back().expect("has dialled")
    }

    fn hear(&mut self, frame: ServerFrame) {
        let dial = self.dial();
        self.input(Input::Received(dial, Box::new(frame)));
    }

    fn room_frame(room: RoomId, head: Position) -> Room {
        Room {
            room,
            name: "lobby".into(),
            kind: "public".into(),
            topic: String::new(),
            member: true,
            first: Seq(1),
            head,
            delivered: Seq(0),
            read: Seq(0),
            delivered_here: Seq(0),
            read_here: Seq(0),
        }
    }

    fn welcome(&mut self, rooms: u64) {
        self.hear(ServerFrame::Welcome(Welcome {
            server: server(),
            session: SessionId::from_random([7; 16]),
            resumed: false,
            account: account(),
            name: "ana".into(),
            heartbeat_ms: 30_000,
            frame_bytes_max: 65_536,
            now: 0,
            rooms,
        }));
    }

    fn connect(&mut self) {
        self.upgrade();
        self.welcome(1);
        self.hear(ServerFrame::Room(Self::room_frame(
            room(),
            Position::start(room()),
        )));
    }

    fn upgrade(&mut self) {
        let dial = self.dial();
        self.input(Input::Opened {
            dial,
            server: server(),
        });
    }

    fn opened(&mut self, from: Position, head: Position) {
        self.hear(ServerFrame::Opened {
            room: room(),
            from,
            head,
        });
    }

    fn cut_link(&mut self) {
        let dial = self.dial();
        self.input(Input::Ended(dial, Cause::Dropped { what: "cut".into() }));
        self.sent.clear();
    }

    /// Lets time pass until the next dial.
    fn redial(&mut self) {
        let before = self.dial();
        self.pass_until(|rig| rig.dial() > before);
    }

    fn pass_until(&mut self, is_there: impl Fn(&Self) -> bool) {
        let end = self.now + s(600);
        while !is_there(self) {
            assert!(
                self.now < end,
                "it never happened; the link is {:?}",
                self.session.link_state()
            );
            self.now = self
                .session
                .deadline()
                .unwrap_or(end)
                .max(self.now + Duration::from_millis(1));
            self.input(Input::Tick);
        }
    }

    /// Returns the entries sent since the last call: id and `after`.
    fn sends(&mut self) -> Vec<(EntryId, Option<EntryId>)> {
        let sends = self.sent.drain(..).filter_map(|frame| {
            if let ClientFrame::Send(send) = frame {
                Some((send.id, send.after))
            } else {
                None
            }
        });
        sends.collect()
    }

    fn opens(&self) -> Vec<&Open> {
        self.sent
            .iter()
            .filter_map(|frame| {
                if let ClientFrame::Open(open) = frame {
                    Some(open)
                } else {
                    None
                }
            })
            .collect()
    }

    /// The numbers of the sent pings.
    fn pings(&self) -> Vec<u64> {
        let pings = self.sent.iter().filter_map(|frame| match frame {
            ClientFrame::Ping { n } => Some(*n),
            _ => None,
        });
        pings.collect()
    }

    /// Hears a pong that names this head of the room.
    fn pong_with_head(&mut self, seq: Seq, chain: Chain) {
        self.hear(ServerFrame::Pong {
            n: 0,
            heads: vec![Head {
                room: room(),
                seq,
                chain,
            }],
        });
    }

    fn ack(&mut self, n: u64, seq: u64) {
        self.hear(ServerFrame::Ack {
            id: id(n),
            room: room(),
            seq: Seq(seq),
            at: 1,
        });
    }

    fn reject(&mut self, n: u64, code: RejectCode, last: Option<u64>) {
        let reject = Reject {
            id: id(n),
            room: room(),
            code,
            reason: "no".into(),
            last: last.map(id),
            retry_after_ms: None,
        };
        self.hear(ServerFrame::Reject(reject));
    }

    fn bye(&mut self, code: CloseCode, instance: Option<InstanceId>) {
        self.hear(ServerFrame::Bye(Bye {
            code,
            reason: String::new(),
            retry_after_ms: None,
            instance,
        }));
    }

    /// Returns the stored ranges of the room.
    fn ranges(&self) -> Vec<StoredRange> {
        let rooms = self.session.rooms.details();
        let room = rooms.into_iter().find(|details| details.room == room());
        room.expect("the account is a member").ranges
    }

    fn top(&self) -> Position {
        self.ranges()
            .last()
            .map_or(Position::start(room()), |range| range.end)
    }

    /// A page of a log of `count` entries, the last of them an own one.
    fn page(&mut self, count: u64, from: usize, to: usize, request: Option<u64>) {
        let (at, all) = log(&(1..=count).collect::<Vec<_>>(), &[count]);
        self.hear(page_frame(&at, &all, from..to, request));
    }

    fn fetches(&self) -> Vec<Fetch> {
        let fetches = self.sent.iter().filter_map(|frame| match frame {
            ClientFrame::Fetch(fetch) => Some(fetch.clone()),
            _ => None,
        });
        fetches.collect()
    }

    /// Both logs differ, or may: nothing passes.
    fn is_withheld(&self) -> bool {
        self.session.status().rooms[&room()].healing
    }

    fn state(&self) -> LinkPhase {
        self.session.link_state().phase()
    }
}

/// Connected with three stored entries; the second is an own one.
fn with_three() -> SessionFixture {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2, 3], &[2], 0));
    rig.sent.clear();
    rig
}

/// Returns the latest request and its number.
fn asked(rig: &SessionFixture) -> (u64, Op) {
    let of = |frame: &ClientFrame| match frame {
        ClientFrame::Request { request, op } => Some((*request, op.clone())),
        _ => None,
    };
    rig.sent.iter().rev().find_map(of).expect("a request")
}

fn is_there(request: u64) -> ServerFrame {
    let info = crate::protocol::RoomInfo {
        room: room(),
        name: "ops".into(),
        topic: String::new(),
        members: 1,
    };
    ServerFrame::Reply(Reply {
        request,
        ok: Some(crate::protocol::Answer::Room(info)),
        code: None,
        reason: None,
    })
}
