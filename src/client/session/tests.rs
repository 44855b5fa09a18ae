//! The cases that naive builds miss, each as a fact about the core.

mod conditions;
mod fetching;
mod reports;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
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
    ServerFrame::Entries(Entries {
        room: room(),
        prev: at[from],
        entries: all[from..].to_vec(),
        skip: None,
        request: None,
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
        self.hear(ServerFrame::Entries(Entries {
            room: room(),
            prev: at[from],
            entries: all[from..to].to_vec(),
            skip: None,
            request,
        }));
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

#[test]
fn first_connect_is_a_catch_up_from_zero() {
    let mut rig = SessionFixture::new(loaded());
    assert_eq!(rig.state(), LinkPhase::Connecting);
    rig.connect();
    assert_eq!(rig.opens()[0].have, Some(Position::start(room())));
    assert_eq!(rig.state(), LinkPhase::Resyncing);
    let (at, _) = log(&[1, 2], &[]);
    rig.opened(at[0], at[2]);
    assert_eq!(rig.state(), LinkPhase::Resyncing);
    rig.hear(entries(&[1, 2], &[], 0));
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn nothing_leaves_before_the_disk_has_frozen_it() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.type_in(room(), 1);
    assert_eq!(rig.sends(), []);
    let frozen = rig.pending.pop().expect("the row was asked for and frozen");
    assert!(matches!(frozen, Input::Persisted(_, Outcome::Taken { .. })));
    rig.input(frozen);
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn outbox_drains_before_catch_up_ends() {
    let mut rig = SessionFixture::new(loaded());
    rig.type_in(room(), 1);
    rig.upgrade();
    rig.welcome(1);
    assert_eq!(rig.sends(), [], "the next frame has the membership");
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        room(),
        Position::start(room()),
    )));
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn lost_ack_costs_one_resend() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    assert_eq!(rig.sends().len(), 1);
    let sent_at = rig.now;
    let dial = rig.dial();
    while rig.sends().is_empty() {
        rig.now = rig
            .session
            .deadline()
            .expect("a deadline")
            .max(rig.now + Duration::from_millis(1));
        rig.input(Input::Tick);
        let pings: Vec<u64> = rig
            .sent
            .iter()
            .filter_map(|f| {
                if let ClientFrame::Ping { n } = f {
                    Some(*n)
                } else {
                    None
                }
            })
            .collect();
        let resent = rig.sent.iter().any(|f| matches!(f, ClientFrame::Send(_)));
        if resent {
            break;
        }
        rig.sent.clear();
        pings.into_iter().for_each(|n| {
            rig.hear(ServerFrame::Pong {
                n,
                heads: Vec::new(),
            })
        });
        assert!(rig.now < sent_at + s(15), "sent again within 15 s");
    }
    assert_eq!(rig.dial(), dial, "on the same link");
    rig.ack(1, 1);
    assert_eq!(rig.session.outbox.waiting(), None);
}

#[test]
fn entry_unanswered_twice_as_long_reconnects() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    let before = rig.dial();
    while rig.dial() == before {
        rig.now = rig
            .session
            .deadline()
            .expect("a deadline")
            .max(rig.now + Duration::from_millis(1));
        rig.input(Input::Tick);
        let pings: Vec<u64> = rig
            .sent
            .drain(..)
            .filter_map(|f| {
                if let ClientFrame::Ping { n } = f {
                    Some(n)
                } else {
                    None
                }
            })
            .collect();
        if rig.session.out.link.current() == Some(before) {
            pings.into_iter().for_each(|n| {
                rig.hear(ServerFrame::Pong {
                    n,
                    heads: Vec::new(),
                })
            });
        }
        assert!(rig.now < s(40));
    }
    assert!(rig.now >= s(20));
}

#[test]
fn dead_uplink_detected_while_receiving() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    let sent_at = rig.now;
    let before = rig.dial();
    while rig.dial() == before {
        rig.now += Duration::from_millis(200);
        let dial = rig.dial();
        rig.input(Input::Bytes(dial));
        rig.input(Input::Tick);
        assert!(rig.now < sent_at + s(15), "noticed within three deadlines");
    }
    rig.sent.clear();
    rig.connect();
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn marks_wait_for_reply_to_reveal_dead_uplink() {
    let mut rig = SessionFixture::connected();
    let ids: Vec<u64> = (1..=600).collect();
    let (at, all) = log(&ids, &[]);
    let sent_at = rig.now;
    let before = rig.dial();
    rig.type_in(room(), 900);
    for n in 0..600 {
        rig.now += Duration::from_millis(50);
        let entries = vec![all[n].clone()];
        rig.hear(ServerFrame::Entries(Entries {
            room: room(),
            prev: at[n],
            entries,
            skip: None,
            request: None,
        }));
        rig.input(Input::Tick);
        if rig.dial() > before {
            break;
        }
    }
    assert!(
        rig.dial() > before,
        "never noticed in {:?}",
        rig.now - sent_at
    );
    assert!(
        rig.sent
            .iter()
            .filter(|frame| matches!(frame, ClientFrame::Mark(_)))
            .count()
            < 30
    );
}

#[test]
fn inputs_of_an_abandoned_dial_change_nothing() {
    let mut rig = SessionFixture::connected();
    let old = rig.dial();
    rig.type_in(room(), 1);
    rig.cut_link();
    rig.redial();
    rig.connect();
    let before = rig.session.link_state();
    let ack = ServerFrame::Ack {
        id: id(1),
        room: room(),
        seq: Seq(1),
        at: 1,
    };
    rig.input(Input::Received(old, Box::new(ack)));
    rig.input(Input::Ended(old, Cause::Refused));
    rig.input(Input::Opened {
        dial: old,
        server: ServerId::NIL,
    });
    assert_eq!(rig.session.link_state(), before);
    assert!(
        !rig.writes
            .iter()
            .any(|write| matches!(write, Write::Acked { .. }))
    );
}

#[test]
fn acked_entry_not_in_log_is_resent() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.type_in(room(), 2);
    rig.ack(1, 1);
    rig.cut_link();
    rig.redial();
    rig.connect();
    assert_eq!(rig.sends(), [(id(1), None), (id(2), Some(id(1)))]);
}

#[test]
fn own_entry_and_acks_in_any_order_agree() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.hear(entries(&[1], &[1], 0));
    assert!(!rig.session.outbox.contains(room(), id(1)));
    rig.ack(1, 1);
    rig.ack(1, 1);
    rig.ack(99, 7);
    assert!(
        !rig.writes
            .iter()
            .any(|write| matches!(write, Write::Acked { .. }))
    );
    assert_eq!(rig.state(), LinkPhase::Connected);
    rig.sent.clear();
    rig.type_in(room(), 2);
    assert_eq!(
        rig.sends(),
        [(id(2), Some(id(1)))],
        "the stored entry is the predecessor"
    );
}

#[test]
fn rejected_entry_does_not_block_later_ones() {
    let mut rig = SessionFixture::connected();
    (1..=3).for_each(|n| rig.type_in(room(), n));
    rig.sends();
    rig.ack(1, 1);
    rig.reject(2, RejectCode::Forbidden, None);
    rig.reject(3, RejectCode::OutOfOrder, Some(1));
    assert!(
        rig.writes.iter().any(
            |write| matches!(write, Write::Rejected { id: rejected, .. } if *rejected == id(2))
        )
    );
    assert_eq!(rig.sends().last(), Some(&(id(3), Some(id(1)))));
}

#[test]
fn lost_rejection_is_retried_and_may_succeed() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.cut_link(); // the reject was on its way
    rig.redial();
    rig.connect();
    assert_eq!(rig.sends(), [(id(1), None)]);
    rig.ack(1, 1);
    rig.hear(entries(&[1], &[1], 0));
    assert!(!rig.session.outbox.contains(room(), id(1)));
}

/// Connected with three stored entries; the second is an own one.
fn with_three() -> SessionFixture {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2, 3], &[2], 0));
    rig.sent.clear();
    rig
}

#[test]
fn restored_server_resumes_at_common_position() {
    let mut rig = with_three();
    let (old, _) = log(&[1, 2, 3], &[2]);
    rig.cut_link();
    rig.redial();
    rig.connect();
    assert_eq!(rig.opens()[0].have, Some(old[3]));
    rig.locator = vec![old[3], old[2], old[0]];
    rig.sent.clear();
    rig.hear(ServerFrame::Diverged { room: room() });
    assert_eq!(
        rig.opens()[0].locator.as_deref(),
        Some([old[3], old[2], old[0]].as_slice())
    );
    rig.type_in(room(), 8);
    assert_eq!(rig.sends(), [], "the door is shut both ways");
    rig.hear(entries(&[1, 7], &[], 1));
    // The store moves entry 2 back to the start of the outbox.
    let returned = NewEntry {
        id: id(2),
        room: room(),
        kind: Kind::Message,
        body: "line 2".into(),
        target: None,
        composed_at: 2,
    };
    rig.outbox.insert(-5, returned);
    let (new, _) = log(&[1, 7], &[]);
    rig.opened(old[0], new[2]);
    assert!(
        rig.writes
            .iter()
            .any(|write| matches!(write, Write::Truncate { at, .. } if *at == old[0]))
    );
    assert_eq!(
        rig.sends(),
        [(id(2), None), (id(8), Some(id(2)))],
        "old ones first, in their old order"
    );
    rig.hear(entries(&[1, 7], &[], 0));
    assert_eq!(rig.top(), new[2]);
}

#[test]
fn unchained_entry_is_rejected_and_closes() {
    let mut rig = with_three();
    let (old, _) = log(&[1, 2, 3], &[2]);
    rig.locator = vec![old[2], old[0]];
    rig.hear(entries(&[1, 9, 8, 7], &[], 3)); // live entries of another history
    assert_eq!(rig.opens().len(), 1);
    assert!(rig.opens()[0].locator.is_some());
    let appended = rig
        .writes
        .iter()
        .filter(|write| matches!(write, Write::Append { .. }))
        .count();
    assert_eq!(appended, 1, "only the first three");
    rig.opened(old[2], old[3]);
    assert_eq!(rig.top(), old[2]);
}

#[test]
fn link_is_not_connected_during_truncation() {
    let mut rig = with_three();
    let (old, _) = log(&[1, 2, 3], &[2]);
    rig.locator = vec![old[2], old[0]];
    rig.hear(entries(&[1, 9, 8, 7], &[], 3));
    let opened = ServerFrame::Opened {
        room: room(),
        from: old[2],
        head: old[2],
    };
    let effects = rig
        .session
        .step(rig.now, Input::Received(rig.dial(), Box::new(opened)));
    assert!(
        matches!(&effects[..], [Effect::Persist(_, Write::Truncate { .. })]),
        "{effects:?}"
    );
    assert_eq!(
        rig.state(),
        LinkPhase::Resyncing,
        "what is cut off is shown until the store has done it"
    );
}

#[test]
fn answer_to_earlier_open_is_ignored() {
    let mut rig = with_three();
    let (old, _) = log(&[1, 2, 3], &[2]);
    rig.pong_with_head(Seq(1), old[1].chain);
    assert_eq!(
        rig.opens().len(),
        1,
        "a head below the stored range costs one open"
    );
    rig.locator = vec![old[2], old[0]];
    rig.hear(entries(&[1, 9, 8, 7], &[], 3)); // then the logs are seen to differ
    assert_eq!(rig.opens().len(), 2);
    rig.opened(old[3], old[3]); // the answer to the first
    assert!(rig.is_withheld());
    rig.opened(old[2], old[2]); // the answer to the locator
    assert!(!rig.is_withheld());
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn server_that_lost_acked_entries_gets_them() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.sends();
    rig.ack(1, 5);
    rig.pong_with_head(Seq(0), Position::start(room()).chain);
    assert_eq!(rig.sends(), [(id(1), None)]);
    assert!(
        rig.writes
            .iter()
            .any(|write| matches!(write, Write::Unacked(ids) if ids == &[id(1)]))
    );
}

#[test]
fn ack_is_void_when_its_seq_has_another_entry() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.sends();
    rig.ack(1, 1);
    rig.hear(entries(&[9], &[], 0));
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn lost_tail_in_quiet_room_costs_one_open() {
    let mut rig = with_three();
    let (at, _) = log(&[1, 2, 3, 4], &[2]);
    let head = |heads| ServerFrame::Pong { n: 0, heads };
    rig.hear(head(vec![Head {
        room: room(),
        seq: Seq(4),
        chain: at[4].chain,
    }]));
    assert_eq!(
        rig.opens().len(),
        0,
        "it may be on its way in the other lane"
    );
    rig.hear(head(Vec::new()));
    assert_eq!(rig.opens().len(), 1);
    assert_eq!(
        rig.state(),
        LinkPhase::Resyncing,
        "connected would not be true"
    );
}

#[test]
fn rows_read_before_their_entry_leave_the_outbox() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    let stale = Found::Outbox(rig.rows());
    rig.hear(entries(&[1], &[1], 0));
    rig.input(Input::Found(Ticket(0), stale)); // read before the entry was stored
    rig.sends();
    rig.type_in(room(), 2);
    assert_eq!(rig.sends(), [(id(2), Some(id(1)))]);
    rig.hear(entries(&[1, 2], &[1, 2], 1));
    rig.type_in(room(), 3);
    assert_eq!(rig.sends(), [(id(3), Some(id(2)))]);
    assert_eq!(
        rig.session.outbox.waiting().map(|flight| flight.sent_at),
        Some(rig.now)
    );
}

#[test]
fn unreported_row_is_found_by_heartbeat() {
    let mut rig = SessionFixture::connected();
    let entry = NewEntry {
        id: id(1),
        room: room(),
        kind: Kind::Message,
        body: "x".into(),
        target: None,
        composed_at: 1,
    };
    rig.outbox.insert(1, entry);
    rig.hear(ServerFrame::Pong {
        n: 0,
        heads: Vec::new(),
    });
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn store_reply_for_ended_connection_is_ignored() {
    let mut rig = with_three();
    let asked = rig.session.out.last_ticket();
    rig.input(Input::Command(Command::GoOffline(Cause::Person)));
    // The server's last entry of this device was looked up, on a slow disk.
    rig.input(Input::Found(
        asked,
        Found::EntryKnown {
            room: room(),
            id: id(1),
            known: true,
        },
    ));
    rig.input(Input::Command(Command::GoOnline));
    rig.sent.clear();
    rig.connect();
    let opens = rig
        .sent
        .iter()
        .filter(|frame| matches!(frame, ClientFrame::Open(open) if open.room == room()))
        .count();
    assert_eq!(opens, 1, "the room is opened with the new link");
    assert!(!rig.is_withheld());
}

#[test]
fn half_open_detected_after_rejections_too() {
    let mut rig = SessionFixture::connected();
    for n in 1..50 {
        let body = "x".repeat(12_000);
        let entry = NewEntry {
            id: id(n),
            room: room(),
            kind: Kind::Message,
            body,
            target: None,
            composed_at: n,
        };
        rig.outbox.insert(n as i64, entry);
        rig.input(Input::OutboxGrew);
        rig.now += Duration::from_millis(20);
        let (code, reason) = (RejectCode::NotMember, "not here".into());
        let reject = Reject {
            id: id(n),
            room: room(),
            code,
            reason,
            last: None,
            retry_after_ms: None,
        };
        rig.hear(ServerFrame::Reject(reject));
    }
    rig.type_in(room(), 60);
    let dial = rig.dial();
    for _ in 0..30 {
        rig.now += s(1);
        rig.input(Input::Tick);
    }
    assert!(
        rig.state() != LinkPhase::Connected || rig.dial() > dial,
        "half a megabyte was rejected, and so it has arrived"
    );
}

#[test]
fn read_mark_of_another_process_is_reported() {
    let mut rig = with_three();
    let read = rig.top();
    rig.reads = vec![(room(), read)];
    rig.input(Input::ChangedElsewhere);
    let reported = rig.sent.iter().rev().find_map(|frame| {
        if let ClientFrame::Mark(mark) = frame {
            mark.read
        } else {
            None
        }
    });
    assert_eq!(reported, Some(read));
}

#[test]
fn read_mark_during_reload_is_reported_after_it() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::PersistFailed(Ticket(0), "full".into()));
    rig.input(Input::Command(Command::Read {
        room: room(),
        seq: Seq(3),
    }));
    rig.reload();
    let read = |effect: &Effect| {
        matches!(
            effect,
            Effect::Persist(_, Write::MarkRead { seq: Seq(3), .. })
        )
    };
    assert!(rig.effects.iter().any(read));
}

#[test]
fn unknown_last_entry_is_accepted() {
    let mut rig = with_three();
    rig.type_in(room(), 8);
    assert_eq!(rig.sends(), [(id(8), Some(id(2)))]);
    rig.reject(8, RejectCode::OutOfOrder, Some(77)); // this store was restored from a backup
    assert_eq!(rig.sends(), [(id(8), Some(id(77)))]);
}

#[test]
fn older_last_entry_compares_the_log_first() {
    let mut rig = with_three();
    rig.known.insert(id(1));
    rig.type_in(room(), 8);
    rig.sends();
    rig.reject(8, RejectCode::OutOfOrder, Some(1));
    assert_eq!(rig.opens().len(), 1);
    assert_eq!(rig.sends(), [], "nothing is sent before both sides agree");
}

#[test]
fn another_server_at_the_address_gets_nothing() {
    let mut rig = SessionFixture::new(loaded());
    let dial = rig.dial();
    rig.input(Input::Opened {
        dial,
        server: ServerId::from_random([66; 16]),
    });
    assert!(rig.sent.is_empty(), "not even a hello");
    assert!(matches!(
        rig.session.link_state(),
        crate::client::link::LinkState::Offline {
            why: Cause::OtherServer
        }
    ));
}

#[test]
fn forgotten_device_enrols_again_once() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    assert!(matches!(&rig.sent[0], ClientFrame::Hello(hello) if hello.enrol.is_none()));
    rig.bye(CloseCode::Unauthorized, None);
    rig.redial();
    rig.sent.clear();
    rig.upgrade();
    assert!(matches!(&rig.sent[0], ClientFrame::Hello(hello) if hello.enrol.is_some()));
    rig.bye(CloseCode::Unauthorized, None);
    assert_eq!(rig.state(), LinkPhase::Offline);
}

#[test]
fn replaced_by_own_store_redials_else_stops() {
    let mut rig = SessionFixture::connected();
    let before = rig.dial();
    let sibling = InstanceId::from_random([44; 16]);
    rig.own_instances.insert(sibling);
    rig.bye(CloseCode::Replaced, Some(sibling));
    assert!(rig.dial() > before);
    rig.connect();
    rig.bye(CloseCode::Replaced, Some(InstanceId::from_random([45; 16])));
    assert_eq!(rig.state(), LinkPhase::Offline);
    let stopped_at = rig.dial();
    rig.now += s(3_600);
    rig.input(Input::Tick);
    assert_eq!(rig.dial(), stopped_at, "no fight for the connection");
    rig.input(Input::Command(Command::RetryNow));
    assert!(
        rig.effects.contains(&Effect::Reload),
        "as an instance that the copy does not know"
    );
    rig.reload();
    assert!(rig.dial() > stopped_at, "one key takes it back");
}

#[test]
fn failed_write_of_received_data_reloads() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.hear(entries(&[1], &[], 0));
    let ticket = match rig.pending.pop() {
        Some(Input::Persisted(ticket, _)) => ticket,
        other => panic!("an append, not {other:?}"),
    };
    rig.input(Input::PersistFailed(ticket, "disk full".into()));
    assert!(rig.effects.contains(&Effect::Reload));
    assert_eq!(rig.state(), LinkPhase::Backoff);
    let before = rig.session.link_state();
    rig.input(Input::PersistFailed(Ticket(9_999), "disk full".into()));
    assert_eq!(
        rig.session.link_state(),
        before,
        "one link failed, however many writes of it did"
    );
}

#[test]
fn room_left_elsewhere_vanishes_lost_one_returns() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(0);
    assert!(rig.opens()[0].compare);
    rig.hear(ServerFrame::Diverged { room: room() });
    let (request, op) = asked(&rig);
    assert!(matches!(op, Op::FindRoom { room: Some(asked), .. } if asked == room()));
    let mut gone = Reply {
        request,
        ok: None,
        code: Some(ReplyCode::NotFound),
        reason: None,
    };
    rig.hear(ServerFrame::Reply(gone.clone()));
    let (request, op) = asked(&rig);
    assert!(
        matches!(op, Op::CreateRoom { room: made, .. } if made == room()),
        "under the same id"
    );
    let info = crate::protocol::RoomInfo {
        room: room(),
        name: "lobby".into(),
        topic: String::new(),
        members: 0,
    };
    gone = Reply {
        request,
        ok: Some(crate::protocol::Answer::Room(info)),
        code: None,
        reason: None,
    };
    rig.hear(ServerFrame::Reply(gone.clone()));
    assert!(
        rig.opens()
            .last()
            .is_some_and(|open| open.locator.is_some())
    );

    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(0);
    assert!(
        !rig.writes.contains(&Write::RoomLeft(room())),
        "not before the logs were compared"
    );
    rig.opened(Position::start(room()), Position::start(room()));
    assert!(rig.writes.contains(&Write::RoomLeft(room())));
    assert_eq!(
        rig.opens().len(),
        1,
        "nothing was subscribed, and nothing is asked for"
    );
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn left_room_closes_when_nothing_is_pending() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1); // the leave
    rig.ack(1, 1);
    let left = Room {
        member: false,
        ..SessionFixture::room_frame(room(), Position::start(room()))
    };
    rig.hear(ServerFrame::Room(left));
    let close = ClientFrame::Close { room: room() };
    assert!(!rig.sent.contains(&close), "its entry is still to come");
    rig.hear(entries(&[1], &[1], 0));
    assert!(
        rig.sent.contains(&close),
        "the account gets no more entries of the room"
    );
}

/// An account that left a room after its entries 2 and 3.
fn left() -> SessionFixture {
    let mut loaded = loaded();
    let (at, _) = log(&[1, 2, 3, 4], &[2, 3, 4]);
    loaded.rooms[0].member = false;
    loaded.rooms[0].ranges = vec![crate::client::log::StoredRange {
        start: at[0],
        end: at[4],
    }];
    loaded.rooms[0].own_last = own_last(4);
    let mut rig = SessionFixture::new(loaded);
    rig.locator = vec![at[4], at[3], at[2], at[0]];
    rig
}

#[test]
fn left_room_is_compared_on_each_connection() {
    let mut rig = left();
    let (at, _) = log(&[1, 2, 3, 4], &[2, 3, 4]);
    for _ in 0..2 {
        rig.upgrade();
        rig.welcome(0);
        assert!(matches!(rig.opens()[..], [open] if open.compare && open.have == Some(at[4])));
        rig.opened(at[4], at[4]);
        assert_eq!(
            (rig.sent.len(), rig.state()),
            (2, LinkPhase::Connected),
            "a hello and the question"
        );
        assert!(
            !rig.writes.contains(&Write::RoomLeft(room())),
            "it is known to be left"
        );
        rig.cut_link();
        rig.redial();
    }
}

#[test]
fn restored_server_gets_entries_of_left_rooms() {
    let mut rig = left();
    let (at, all) = log(&[1, 2, 3, 4], &[2, 3, 4]);
    rig.upgrade();
    rig.welcome(0);
    rig.hear(ServerFrame::Diverged { room: room() });
    rig.hear(is_there(asked(&rig).0));
    assert!(
        rig.opens()
            .last()
            .is_some_and(|open| open.locator.is_some())
    );
    for entry in &all[2..] {
        let kind = if entry.id == id(4) {
            Kind::Leave
        } else {
            Kind::Message
        };
        let back = NewEntry {
            id: entry.id,
            room: room(),
            kind,
            body: entry.body.clone(),
            target: None,
            composed_at: 1,
        };
        rig.outbox.insert(-10 + entry.seq.0 as i64, back); // what the store returns with the truncation
    }
    rig.cut_own_last = own_last(2);
    rig.opened(at[2], at[2]);
    assert_eq!(rig.sends(), [(id(3), Some(id(2))), (id(4), Some(id(3)))]);
    rig.ack(3, 3);
    rig.ack(4, 4);
    let mut back = all[2..].to_vec();
    back[1].kind = Kind::Leave;
    rig.hear(ServerFrame::Entries(Entries {
        room: room(),
        prev: at[2],
        entries: back,
        skip: None,
        request: None,
    }));
    assert!(rig.rows().is_empty());
    assert!(
        rig.sent.contains(&ClientFrame::Close { room: room() }),
        "and the visit is over"
    );
}

#[test]
fn rejected_entry_is_sought_in_a_left_room() {
    let mut start = loaded();
    (start.rooms[0].member, start.rooms[0].has_rejected) = (false, true);
    let (at, _) = log(&[1, 2], &[2]);
    let mut rig = SessionFixture::new(start);
    rig.upgrade();
    rig.welcome(0);
    rig.opened(at[0], at[2]);
    assert!(
        !rig.opens()[1].compare,
        "the log is longer than the stored range"
    );
    rig.opened(at[0], at[2]);
    let is_closed = |rig: &SessionFixture| rig.sent.contains(&ClientFrame::Close { room: room() });
    assert!(!is_closed(&rig));
    rig.hear(entries(&[1, 2], &[2], 0));
    assert!(is_closed(&rig), "caught up");
}

#[test]
fn left_rooms_are_compared_a_few_at_a_time() {
    let mut start = loaded();
    for n in 0..20 {
        let room = RoomId::from_random([100 + n; 16]);
        start.rooms.push(LoadedRoom {
            room,
            member: false,
            has_rejected: true,
            ..start.rooms[0].clone()
        });
    }
    let mut rig = SessionFixture::new(start);
    rig.upgrade();
    rig.welcome(0);
    assert_eq!(rig.opens().len(), 8);
    assert_eq!(
        rig.opens()[0].room,
        room(),
        "rooms of the account come first"
    );
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rig.opens().len(), 9);
}

#[test]
fn unnamed_room_is_compared_before_sending() {
    let mut rig = SessionFixture::new(loaded());
    rig.type_in(room(), 1);
    rig.upgrade();
    rig.welcome(0);
    assert_eq!(rig.sends(), [], "it would be rejected for good");
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn own_entry_acked_below_stored_range_is_fetched() {
    let mut rig = SessionFixture::connected();
    let ids: Vec<u64> = (1..=30).collect();
    let (at, all) = log(&ids, &[7]);
    let page = |from: usize, to: usize, request| {
        ServerFrame::Entries(Entries {
            room: room(),
            prev: at[from],
            entries: all[from..to].to_vec(),
            skip: None,
            request,
        })
    };
    rig.hear(page(20, 30, None)); // it began near the head
    rig.type_in(room(), 7);
    rig.ack(7, 7);
    let fetches = |rig: &SessionFixture| -> Vec<_> {
        rig.sent
            .iter()
            .filter_map(|f| {
                if let ClientFrame::Fetch(fetch) = f {
                    Some(fetch.clone())
                } else {
                    None
                }
            })
            .collect()
    };
    let first = fetches(&rig)[0].clone();
    assert_eq!((first.after, first.limit), (Some(Seq(6)), 1));
    rig.hear(page(6, 7, Some(first.request)));
    assert!(rig.rows().is_empty());
    assert_eq!(
        (fetches(&rig)[1].after, fetches(&rig)[1].limit),
        (Some(Seq(7)), 13),
        "what lies between is a gap"
    );
}

#[test]
fn room_rejoined_before_its_leave_is_opened() {
    let mut rig = SessionFixture::new(loaded()); // a member, as far as is known here
    rig.upgrade();
    rig.welcome(0);
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        room(),
        Position::start(room()),
    ))); // joined on another device
    assert_eq!(rig.opens().len(), 1, "one answer is still to come");
    rig.opened(Position::start(room()), Position::start(room()));
    assert!(
        matches!(rig.opens()[..], [_, open] if !open.compare),
        "and once"
    );
    assert!(!rig.writes.contains(&Write::RoomLeft(room())));
}

#[test]
fn room_on_screen_is_caught_up_first() {
    let mut start = loaded();
    start.rooms.push(LoadedRoom {
        room: other_room(),
        name: "ops".into(),
        topic: String::new(),
        member: true,
        head: Seq::ZERO,
        ranges: Vec::new(),
        own_last: None,
        read: None,
        has_rejected: false,
    });
    let mut rig = SessionFixture::new(start);
    rig.input(Input::Command(Command::Focus(room())));
    rig.upgrade();
    rig.welcome(2);
    let far = Position {
        seq: Seq(500),
        chain: Position::start(room()).chain,
    };
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        other_room(),
        far,
    )));
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        room(),
        Position::start(room()),
    )));
    let order: Vec<_> = rig.opens().iter().map(|open| open.room).collect();
    assert_eq!(order, [room(), other_room()]);
}

#[test]
fn entry_causing_three_closes_is_returned() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.type_in(room(), 2);
    for _ in 0..4 {
        rig.bye(CloseCode::TooBig, None);
        rig.redial();
        rig.sent.clear();
        rig.connect();
    }
    assert!(
        rig.writes.iter().any(
            |write| matches!(write, Write::Rejected { id: rejected, .. } if *rejected == id(1))
        )
    );
    assert_eq!(rig.sends(), [(id(2), None)]);
}

#[test]
fn gaps_fill_backwards_after_the_head() {
    let mut rig = SessionFixture::connected();
    let ids: Vec<u64> = (1..=30).collect();
    let (at, all) = log(&ids, &[]);
    rig.hear(entries(&[1, 2], &[], 0));
    rig.cut_link();
    rig.redial();
    rig.connect();
    rig.opened(at[2], at[30]);
    let page = |from: usize, to: usize, request| {
        ServerFrame::Entries(Entries {
            room: room(),
            prev: at[from],
            entries: all[from..to].to_vec(),
            skip: None,
            request,
        })
    };
    rig.hear(page(20, 30, None));
    let fetch = rig
        .sent
        .iter()
        .find_map(|f| {
            if let ClientFrame::Fetch(fetch) = f {
                Some(fetch.clone())
            } else {
                None
            }
        })
        .expect("a fetch");
    assert_eq!((fetch.after, fetch.limit), (Some(Seq(2)), 18));
    assert_eq!(rig.state(), LinkPhase::Resyncing, "a gap is not connected");
    rig.hear(page(2, 20, Some(fetch.request)));
    assert_eq!(rig.ranges().len(), 1);
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn marks_are_sent_after_entries_are_stored() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.hear(entries(&[1, 2], &[], 0));
    let marks = |rig: &SessionFixture| {
        rig.sent
            .iter()
            .filter(|f| matches!(f, ClientFrame::Mark(_)))
            .count()
    };
    assert_eq!(marks(&rig), 0);
    let stored = rig.pending.pop().expect("an append");
    rig.input(stored);
    assert_eq!(marks(&rig), 1);
}

#[test]
fn offline_user_stays_offline_and_writes_queue() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::Command(Command::GoOffline(Cause::Person)));
    rig.type_in(room(), 1);
    rig.now += s(3_600);
    rig.input(Input::Tick);
    assert_eq!((rig.state(), rig.sends().len()), (LinkPhase::Offline, 0));
    rig.input(Input::Command(Command::GoOnline));
    rig.connect();
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn requests_fail_at_once_when_disconnected() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::Command(Command::Request {
        key: 1,
        op: Op::Rooms {
            after: String::new(),
        },
    }));
    let answers = |rig: &SessionFixture| {
        rig.effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Reply(..)))
            .count()
    };
    assert_eq!(answers(&rig), 0);
    rig.cut_link();
    assert_eq!(answers(&rig), 1);
    rig.input(Input::Command(Command::Request {
        key: 2,
        op: Op::Rooms {
            after: String::new(),
        },
    }));
    assert_eq!(answers(&rig), 2);
}

#[test]
fn every_state_change_is_in_the_journal() {
    let mut rig = SessionFixture::connected();
    rig.cut_link();
    let words: Vec<_> = rig
        .writes
        .iter()
        .filter_map(|w| {
            if let Write::Journal(line) = w {
                Some((line.from, line.to))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        words,
        [
            (None, LinkPhase::Connecting),
            (Some(LinkPhase::Connecting), LinkPhase::Resyncing),
            (Some(LinkPhase::Resyncing), LinkPhase::Connected),
            (Some(LinkPhase::Connected), LinkPhase::Backoff)
        ]
    );
}

#[test]
fn frame_before_welcome_disconnects() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.hear(ServerFrame::Pong {
        n: 1,
        heads: Vec::new(),
    });
    assert_eq!(rig.state(), LinkPhase::Backoff);
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

#[test]
fn server_restored_before_join_gets_it_again() {
    let mut loaded = loaded();
    let (at, all) = log(&[1, 2, 3], &[2, 3]);
    loaded.rooms[0].ranges = vec![crate::client::log::StoredRange {
        start: at[0],
        end: at[3],
    }];
    loaded.rooms[0].own_last = own_last(3);
    let mut rig = SessionFixture::new(loaded);
    rig.locator = vec![at[2], at[1], at[0]];
    rig.upgrade();
    rig.welcome(0); // it does not know that this account is in the room
    rig.hear(ServerFrame::Diverged { room: room() });
    rig.hear(is_there(asked(&rig).0));
    for entry in &all[1..] {
        let Entry { id, kind, .. } = entry.clone();
        let (kind, body) = (
            if id == self::id(2) { Kind::Join } else { kind },
            entry.body.clone(),
        );
        let back = NewEntry {
            id,
            room: room(),
            kind,
            body,
            target: None,
            composed_at: 1,
        };
        rig.outbox.insert(-10 + entry.seq.0 as i64, back); // what the store returns with the truncation
    }
    rig.opened(at[1], at[1]);
    assert_eq!(rig.sends(), [(id(2), None), (id(3), Some(id(2)))]);
    assert!(!rig.writes.contains(&Write::RoomLeft(room())));
    rig.ack(2, 2);
    rig.ack(3, 3);
    let (_, mut back) = log(&[1, 2, 3], &[2, 3]);
    back[1].kind = Kind::Join;
    let frame = Entries {
        room: room(),
        prev: at[1],
        entries: back[1..].to_vec(),
        skip: None,
        request: None,
    };
    rig.hear(ServerFrame::Entries(frame));
    assert!(rig.rows().is_empty());
    assert!(
        !rig.writes.contains(&Write::RoomLeft(room())),
        "it has joined again"
    );
}

#[test]
fn truncated_leave_clears_on_next_connection() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.type_in(room(), 2); // the leave
    rig.ack(1, 1);
    rig.ack(2, 2);
    rig.cut_link();
    rig.redial();
    rig.upgrade();
    rig.welcome(0);
    let start = Position::start(room());
    rig.opened(start, log(&[1, 2], &[1, 2]).0[2]);
    rig.ack(1, 1);
    rig.ack(2, 2);
    rig.opened(Position::start(room()), log(&[1, 2], &[1, 2]).0[2]);
    assert!(
        !rig.writes.contains(&Write::RoomLeft(room())),
        "the entries are still to come"
    );
    rig.hear(entries(&[1, 2], &[1, 2], 0));
    assert!(rig.rows().is_empty());
    assert!(rig.writes.contains(&Write::RoomLeft(room())));
}

#[test]
fn temporary_open_error_is_retried() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(0);
    rig.hear(ServerFrame::Diverged { room: room() });
    let request = asked(&rig).0;
    rig.hear(ServerFrame::Reply(Reply {
        request,
        ok: None,
        code: Some(ReplyCode::Unavailable),
        reason: None,
    }));
    assert!(!rig.writes.contains(&Write::RoomLeft(room())));
    rig.hear(ServerFrame::Pong {
        n: 0,
        heads: Vec::new(),
    });
    assert!(asked(&rig).0 > request);
}

#[test]
fn only_user_or_lock_ends_offline() {
    for why in [
        Cause::Person,
        Cause::NotOwner { pid: Some(7) },
        Cause::Replaced {
            instance: instance(),
        },
    ] {
        let mut rig = SessionFixture::connected();
        rig.input(Input::Command(Command::GoOffline(why.clone())));
        rig.effects.clear();
        rig.input(Input::PersistFailed(
            Ticket(99),
            "database is locked".into(),
        ));
        rig.input(Input::Command(Command::Woke));
        rig.now += s(600);
        rig.input(Input::Tick);
        assert_eq!(rig.state(), LinkPhase::Offline, "{why:?}");
        rig.input(Input::Command(Command::RetryNow));
        assert_eq!(
            rig.state(),
            LinkPhase::Offline,
            "what it believes is nothing to dial on"
        );
        rig.reload();
        assert_eq!(rig.state(), LinkPhase::Connecting, "but it is remembered");
    }
}

#[test]
fn failed_write_pauses_core_until_reload() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::PersistFailed(Ticket(99), "the disk is full".into()));
    assert_eq!(rig.effects.last(), Some(&Effect::Reload));
    rig.effects.clear();
    rig.now += s(600);
    let inputs = [
        Input::Tick,
        Input::OutboxGrew,
        Input::Command(Command::FetchBefore(room())),
        Input::Command(Command::Read {
            room: room(),
            seq: Seq(1),
        }),
    ];
    inputs.into_iter().for_each(|input| rig.input(input));
    assert_eq!(rig.effects, []);
    rig.input(Input::Command(Command::Request {
        key: 7,
        op: Op::Rooms {
            after: String::new(),
        },
    }));
    assert!(
        matches!(&rig.effects[..], [Effect::Reply(7, reply)] if reply.ok.is_none()),
        "every request is answered"
    );
    rig.reload();
    assert_eq!(rig.state(), LinkPhase::Connecting);
}

#[test]
fn wake_up_probes_and_skips_the_backoff() {
    let mut rig = SessionFixture::connected();
    rig.sent.clear();
    rig.input(Input::Command(Command::Woke));
    assert!(
        matches!(rig.sent[..], [ClientFrame::Ping { .. }]),
        "{:?}",
        rig.sent
    );
    rig.cut_link();
    rig.input(Input::Command(Command::Woke));
    assert_eq!(rig.state(), LinkPhase::Connecting);
}

#[test]
fn ack_lost_before_rejection_costs_one_resend() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.type_in(room(), 2);
    rig.sends();
    rig.reject(2, RejectCode::Forbidden, None); // and the ack of 1 is swallowed
    rig.sent.clear();
    rig.writes.clear();
    for _ in 0..100 {
        rig.now = rig.session.deadline().expect("up").max(rig.now);
        rig.input(Input::Tick);
        let pings: Vec<_> = rig
            .sent
            .iter()
            .filter_map(|f| {
                if let ClientFrame::Ping { n } = f {
                    Some(*n)
                } else {
                    None
                }
            })
            .collect();
        rig.sent
            .retain(|frame| matches!(frame, ClientFrame::Send(_)));
        for n in pings {
            rig.hear(ServerFrame::Pong {
                n,
                heads: Vec::new(),
            });
        }
        if rig.now > s(15) {
            break;
        }
    }
    assert!(rig.now > s(15), "time does not advance");
    assert_eq!(
        rig.writes
            .iter()
            .filter(|write| matches!(write, Write::Freeze(_)))
            .count(),
        1
    );
    assert_eq!(
        rig.sends().len(),
        1,
        "the first one again, though the room waits for its answer"
    );
}

#[test]
fn entry_in_flight_during_reopen_is_harmless() {
    let mut rig = with_three();
    let (at, _) = log(&[1, 2, 3, 4], &[2]);
    rig.pong_with_head(Seq(2), at[2].chain);
    assert_eq!(rig.opens().len(), 1);
    rig.hear(entries(&[1, 2, 3, 4], &[2], 3)); // it was in the lane before the server took the open
    rig.effects
        .retain(|effect| matches!(effect, Effect::Dial(_)));
    rig.opened(at[3], at[4]);
    assert!(
        !rig.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Hangup(_))),
        "{:?}",
        rig.session.link_state()
    );
}

#[test]
fn empty_gap_page_is_not_fetched_again() {
    let mut rig = SessionFixture::connected();
    let (at, all) = log(&[1, 2, 3, 4], &[]);
    rig.hear(entries(&[1], &[], 0));
    let high = Entries {
        room: room(),
        prev: at[3],
        entries: all[3..].to_vec(),
        skip: None,
        request: None,
    };
    rig.hear(ServerFrame::Entries(high));
    let fetches = |rig: &SessionFixture| {
        let of = |f: &ClientFrame| {
            if let ClientFrame::Fetch(fetch) = f {
                Some(fetch.request)
            } else {
                None
            }
        };
        rig.sent.iter().filter_map(of).collect::<Vec<_>>()
    };
    let request = fetches(&rig).last().copied();
    assert!(request.is_some());
    for _ in 0..3 {
        let empty = Entries {
            room: room(),
            prev: at[0],
            entries: Vec::new(),
            skip: None,
            request,
        };
        rig.hear(ServerFrame::Entries(empty));
    }
    assert_eq!(fetches(&rig).len(), 1);
}

#[test]
fn journal_counts_sent_and_deduplicated() {
    let mut rig = SessionFixture::connected();
    (1..=2).for_each(|n| rig.type_in(room(), n));
    rig.ack(1, 1); // the ack of the second one is lost with the connection
    rig.now += s(20);
    rig.cut_link();
    let lines = |rig: &SessionFixture| -> Vec<JournalLine> {
        let line = |write: &Write| {
            if let Write::Journal(line) = write {
                Some(line.clone())
            } else {
                None
            }
        };
        rig.writes.iter().filter_map(line).collect()
    };
    let line = lines(&rig).pop().expect("a line");
    assert_eq!(
        (line.from, line.to),
        (Some(LinkPhase::Connected), LinkPhase::Backoff)
    );
    let ended = line.numbers.ended.expect("a link ended");
    let LinkCounters {
        sent,
        resent,
        acked,
        deduplicated,
        ..
    } = ended.figures;
    assert_eq!(
        (ended.up_ms, sent, resent, acked, deduplicated),
        (20_000, 2, 0, 1, 0)
    );
    assert!(
        line.numbers.wait_ms <= line.numbers.wait_max_ms && line.numbers.wait_max_ms == Some(500)
    );
    rig.redial();
    rig.upgrade();
    rig.welcome(1);
    let (at, _) = log(&[1, 2], &[1, 2]);
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(room(), at[2])));
    assert_eq!(rig.sends().len(), 2);
    assert_eq!(
        lines(&rig)
            .pop()
            .and_then(|line| line.numbers.welcome)
            .map(|reported| reported.resumed),
        Some(false)
    );
    rig.ack(1, 1);
    rig.ack(2, 2);
    let details = rig.session.details(rig.now);
    let LinkCounters {
        sent,
        resent,
        acked,
        deduplicated,
        ..
    } = details.of_link;
    assert_eq!((sent, resent, acked, deduplicated), (2, 2, 2, 2));
    assert_eq!((details.of_process.sent, details.of_process.acked), (4, 3));
}

#[test]
fn inspector_shows_the_timers_of_the_link() {
    let mut rig = SessionFixture::connected();
    let timers = |rig: &SessionFixture| rig.session.details(rig.now).timers;
    assert_eq!(
        (timers(&rig).ping_at, timers(&rig).suspicious_at),
        (Some(s(30)), None)
    );
    rig.type_in(room(), 1);
    let due = timers(&rig).suspicious_at.expect("an ack is waited for");
    assert_eq!(rig.session.details(rig.now).window.entries, 1);
    rig.now = due;
    rig.input(Input::Tick);
    let (since, by) = timers(&rig).pong_by.expect("a ping is out");
    assert_eq!((since, timers(&rig).ping_at), (due, None));
    rig.now = by;
    rig.input(Input::Tick);
    let details = rig.session.details(rig.now);
    assert!(
        details.timers.dial_at.is_some() && details.waits.len() == 1,
        "{details:?}"
    );
    assert_eq!((details.limits.failures, details.doublings), (1, 1));
}

#[test]
fn client_that_gave_up_retries_now_and_then() {
    let settings = LinkSettings {
        max_attempts: Some(2),
        probe_every: Some(s(300)),
        ..LinkSettings::default()
    };
    let mut rig = SessionFixture::new(loaded());
    rig.session = Session::new(settings, 1, s(0), loaded());
    rig.input(Input::Tick);
    let fails = |rig: &mut SessionFixture| {
        let dial = rig.dial();
        rig.input(Input::Ended(dial, Cause::Refused));
    };
    fails(&mut rig);
    rig.redial();
    fails(&mut rig);
    assert_eq!(rig.state(), LinkPhase::Offline);
    let gave_up = rig.now;
    assert_eq!(
        rig.session.status().limits.next_check,
        Some(gave_up + s(300))
    );
    rig.redial();
    assert_eq!(rig.now, gave_up + s(300));
    fails(&mut rig);
    assert_eq!(rig.state(), LinkPhase::Offline, "one query at a time");
    assert_eq!(rig.session.status().limits.failures, 2, "a look is no try");
    let before = rig.dial();
    rig.input(Input::Command(Command::NetworkChanged));
    assert!(rig.dial() > before && rig.state() == LinkPhase::Connecting);
    fails(&mut rig);
    rig.input(Input::Command(Command::GoOffline(Cause::Person)));
    let before = rig.dial();
    rig.input(Input::Command(Command::NetworkChanged));
    assert_eq!(
        (rig.dial(), rig.session.deadline()),
        (before, None),
        "a person's choice is not overruled"
    );
}

#[test]
fn slow_dial_is_replaced_by_retry_now() {
    let mut rig = SessionFixture::new(loaded());
    let first = rig.dial();
    rig.input(Input::Command(Command::RetryNow));
    assert_eq!(rig.dial(), first, "a moment ago");
    rig.now += s(2);
    rig.input(Input::Command(Command::RetryNow));
    assert!(rig.dial() > first);
    assert!(rig.effects.contains(&Effect::Hangup(first)));
    rig.input(Input::Opened {
        dial: first,
        server: server(),
    });
    assert_eq!(rig.sent.len(), 0, "the old dial sends nothing");
    rig.connect();
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn pending_values_keep_newest_and_count_skipped() {
    let mut rig = SessionFixture::connected();
    let signal = |n: u64| Signal {
        room: room(),
        kind: "live".into(),
        key: Some("cpu".into()),
        value: Some(format!("{n} {}", "v".repeat(500))),
        account: None,
        at: None,
        skipped: 0,
    };
    (0..50).for_each(|n| rig.input(Input::Command(Command::Signal(signal(n)))));
    let sent_values = |rig: &mut SessionFixture| -> Vec<(String, u64)> {
        let signals = rig.sent.drain(..).filter_map(|f| {
            if let ClientFrame::Signal(s) = f {
                Some(s)
            } else {
                None
            }
        });
        signals
            .map(|s| {
                (
                    s.value
                        .unwrap_or_default()
                        .split(' ')
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                    s.skipped,
                )
            })
            .collect()
    };
    let pings = |rig: &SessionFixture| -> Vec<u64> {
        rig.sent
            .iter()
            .filter_map(|f| {
                if let ClientFrame::Ping { n } = f {
                    Some(*n)
                } else {
                    None
                }
            })
            .collect()
    };
    let asked = pings(&rig);
    assert_eq!(asked.len(), 1, "a slow link is asked for an answer");
    assert_eq!(
        sent_values(&mut rig)
            .iter()
            .map(|(value, _)| value.as_str())
            .collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    rig.hear(ServerFrame::Pong {
        n: asked[0],
        heads: Vec::new(),
    });
    assert_eq!(sent_values(&mut rig), [("49".to_owned(), 45)]);
    rig.cut_link();
    (50..60).for_each(|n| rig.input(Input::Command(Command::Signal(signal(n)))));
    rig.redial();
    rig.connect();
    assert_eq!(
        sent_values(&mut rig),
        [("59".to_owned(), 9)],
        "expired values are not sent"
    );
}

#[test]
fn takeover_continues_from_the_shared_store() {
    let mut rig = SessionFixture::new(loaded());
    rig.input(Input::Command(Command::GoOffline(Cause::NotOwner {
        pid: Some(7),
    })));
    // The owner stored two entries of this device, lost them in a truncation, and put them
    // back below all others.
    rig.type_in(room(), 9);
    let dials = rig.effects.len();
    rig.input(Input::Command(Command::LockTaken { dials: true }));
    assert!(
        rig.effects[dials..].contains(&Effect::Reload),
        "{:?}",
        &rig.effects[dials..]
    );
    assert_eq!(rig.session.deadline(), None, "nothing is done from memory");
    let row = |order| OutboxRow {
        order,
        id: id(order as u64),
        room: room(),
        bytes: 1,
        acked: None,
        frozen: true,
    };
    let loaded = Loaded {
        outbox: vec![row(2), row(3), row(9)],
        ..loaded()
    };
    for n in [2, 3] {
        let entry = NewEntry {
            id: id(n),
            room: room(),
            kind: Kind::Message,
            body: format!("line {n}"),
            target: None,
            composed_at: n,
        };
        rig.outbox.insert(n as i64, entry);
    }
    let other = Session::new(LinkSettings::default(), 1, s(0), loaded.clone());
    rig.session = std::mem::replace(&mut rig.session, other).reloaded(loaded);
    rig.input(Input::Tick);
    rig.connect();
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(
        rig.sends(),
        [(id(2), None), (id(3), Some(id(2))), (id(9), Some(id(3)))],
        "in the order they were typed"
    );
}

#[test]
fn room_joined_and_left_delivers_its_pending() {
    let mut rig = SessionFixture::connected();
    rig.type_in(other_room(), 1);
    rig.type_in(other_room(), 2);
    rig.sent.clear();
    let left = Room {
        member: false,
        ..SessionFixture::room_frame(other_room(), Position::start(other_room()))
    };
    rig.hear(ServerFrame::Room(left));
    assert!(
        rig.opens()
            .iter()
            .any(|open| open.room == other_room() && open.compare),
        "{:?}",
        rig.sent
    );
}

#[test]
fn welcome_for_another_account_disconnects() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.hear(ServerFrame::Welcome(Welcome {
        server: server(),
        session: SessionId::from_random([7; 16]),
        resumed: false,
        account: AccountId::from_random([66; 16]),
        name: "mallory".into(),
        heartbeat_ms: 30_000,
        frame_bytes_max: 65_536,
        now: 0,
        rooms: 1,
    }));
    assert_eq!(rig.state(), LinkPhase::Backoff);
    assert!(
        !rig.writes
            .iter()
            .any(|write| matches!(write, Write::Welcome { .. }))
    );
}

#[test]
fn rooms_without_end_cost_nothing() {
    let mut rig = SessionFixture::connected();
    for n in 0..2_000_u32 {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        let room = RoomId::from_random(bytes);
        rig.hear(ServerFrame::Room(SessionFixture::room_frame(
            room,
            Position::start(room),
        )));
    }
    assert_eq!(rig.state(), LinkPhase::Backoff);
    assert!(
        rig.session.rooms.statuses().len() <= limits::ROOMS_MAX,
        "{}",
        rig.session.rooms.statuses().len()
    );
}

#[test]
fn rooms_left_at_once_are_bounded_too() {
    let mut rig = SessionFixture::connected();
    let most = ClientLimits::default().rooms_known as u32;
    for n in 0..most + 9 {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        let room = RoomId::from_random(bytes);
        let joined = SessionFixture::room_frame(room, Position::start(room));
        for member in [true, false] {
            let frame = ServerFrame::Room(Room {
                member,
                ..joined.clone()
            });
            rig.hear(frame);
        }
    }
    assert_eq!(rig.state(), LinkPhase::Backoff);
}

#[test]
fn ack_at_the_head_is_not_void() {
    let check = || {
        let mut rig = SessionFixture::connected();
        rig.type_in(room(), 1);
        rig.ack(1, 1);
        let (at, _) = log(&[1], &[1]);
        rig.pong_with_head(Seq(1), at[1].chain);
        assert!(
            !rig.writes
                .iter()
                .any(|write| matches!(write, Write::Unacked(_))),
            "its entry is on its way"
        );
    };
    check();
    assert!(crate::planted_bug::is_caught_by(
        PlantedBug::AckAtHeadIsVoid,
        check
    ));
}

#[test]
fn entry_composed_during_load_is_sent_after() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::Command(Command::LockTaken { dials: true }));
    rig.type_in(room(), 1); // saved after the rows that are being loaded were read
    rig.reload();
    rig.connect();
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn missing_count_survives_restart_while_offline() {
    let mut start = loaded();
    start.rooms[0].head = Seq(57);
    let rig = SessionFixture::new(start);
    assert_eq!(rig.session.status().rooms[&room()].missing, 57);
}

#[test]
fn composed_message_is_frozen_at_once() {
    let mut rig = SessionFixture::connected();
    rig.effects.clear();
    rig.type_in(room(), 1);
    assert!(
        matches!(
            &rig.effects[..],
            [Effect::Persist(_, Write::Take(..)), Effect::Transmit(..)]
        ),
        "{:?}",
        rig.effects
    );
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn composed_message_waits_for_window_to_freeze() {
    let mut rig = SessionFixture::connected();
    for n in 1..=limits::WINDOW_ENTRIES_MAX as u64 {
        rig.type_in(room(), n);
    }
    let in_flight = rig.sends().len() as u64;
    assert!(
        in_flight < limits::WINDOW_ENTRIES_MAX as u64,
        "a room's share"
    );
    let before = rig.effects.len();
    rig.type_in(room(), 900);
    assert!(
        matches!(&rig.effects[before..], [Effect::Ask(_, Query::NewRows(_))]),
        "{:?}",
        &rig.effects[before..]
    );
    rig.hear(ServerFrame::Ack {
        id: id(1),
        room: room(),
        seq: Seq(1),
        at: 1,
    });
    let next = id(in_flight + 1);
    assert_eq!(rig.writes.last(), Some(&Write::Freeze(vec![next])));
    assert_eq!(rig.sends(), [(next, Some(id(in_flight)))]);
}

#[test]
fn slow_disk_keeps_message_order() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    (1..=3).for_each(|n| rig.type_in(room(), n));
    rig.disk_pauses = false;
    for answer in std::mem::take(&mut rig.pending) {
        rig.input(answer);
    }
    assert_eq!(
        rig.sends(),
        [(id(1), None), (id(2), Some(id(1))), (id(3), Some(id(2)))]
    );
}

#[test]
fn rows_taken_before_disconnect_are_sent_after() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.type_in(room(), 1);
    rig.input(Input::Command(Command::GoOffline(Cause::Person)));
    rig.disk_pauses = false;
    for answer in std::mem::take(&mut rig.pending) {
        rig.input(answer);
    }
    assert_eq!(rig.sends(), []);
    rig.input(Input::Command(Command::GoOnline));
    rig.connect();
    assert_eq!(rig.sends(), [(id(1), None)]);
}
