//! What one input costs the client's core, with few and with many pending messages and rooms. Each
//! figure is a ratio within one run, so that it means the same on every machine.
//!
//! usage: cargo bench --bench core

use std::time::{Duration, Instant};

use landfall::client::link::LinkSettings;
use landfall::client::session::{Effect, Input, Session};
use landfall::client::{
    AddedRows, Found, Loaded, LoadedRoom, NewEntry, OutboxRow, Outcome, Ticket, Write,
};
use landfall::protocol::{
    AccountId, ClientFrame, DeviceId, Dial, Entries, Entry, EntryId, InstanceId, Kind, Position,
    Room, RoomId, Seq, ServerFrame, ServerId, SessionId, Token, Welcome, decode,
};

const ROUNDS: u32 = 2_000;
const RUNS: usize = 7;

fn room(n: u64) -> RoomId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    RoomId::from_random(bytes)
}

fn id(order: i64) -> EntryId {
    EntryId::from_parts(order.unsigned_abs(), [0; 10])
}

fn account() -> AccountId {
    AccountId::from_random([3; 16])
}

fn device() -> DeviceId {
    DeviceId::from_random([2; 16])
}

fn row(order: i64) -> OutboxRow {
    OutboxRow {
        order,
        id: id(order),
        room: room(0),
        bytes: 40,
        acked: None,
        frozen: false,
    }
}

fn known(n: u64) -> LoadedRoom {
    LoadedRoom {
        room: room(n),
        name: format!("room {n}"),
        topic: String::new(),
        member: true,
        head: Seq::ZERO,
        ranges: Vec::new(),
        own_last: None,
        read: None,
        has_rejected: false,
    }
}

fn loaded(rows: i64, rooms: u64) -> Loaded {
    Loaded {
        device: device(),
        instance: InstanceId::from_random([4; 16]),
        token: Token::from_random([9; 32]),
        enrol: None,
        server: Some(ServerId::from_random([5; 16])),
        account: Some(account()),
        session: None,
        rooms: (0..rooms).map(known).collect(),
        outbox: (1..=rows).map(row).collect(),
    }
}

/// A session with a connected server that acknowledges and appends whatever is sent.
struct Pair {
    session: Session,
    now: Duration,
    dial: Dial,
    at: Position,
    sent: Vec<EntryId>,
    next_order: i64,
    inputs: u32,
}

impl Pair {
    fn connected(rows: i64, rooms: u64) -> Self {
        let settings = LinkSettings::default();
        let session = Session::new(settings, 1, Duration::ZERO, loaded(rows, rooms));
        let mut pair = Self {
            session,
            now: Duration::ZERO,
            dial: Dial(0),
            at: Position::start(room(0)),
            sent: Vec::new(),
            next_order: rows + 1,
            inputs: 0,
        };
        pair.input(Input::Tick);
        pair.input(Input::Opened {
            dial: pair.dial,
            server: ServerId::from_random([5; 16]),
        });
        pair.receive(ServerFrame::Welcome(welcome(rooms)));
        for n in 0..rooms {
            pair.receive(ServerFrame::Room(described(n)));
        }
        for n in 0..rooms {
            let start = Position::start(room(n));
            pair.receive(ServerFrame::Opened {
                room: room(n),
                from: start,
                head: start,
            });
        }
        pair
    }

    fn receive(&mut self, frame: ServerFrame) {
        self.input(Input::Received(self.dial, Box::new(frame)));
    }

    /// One input, and what follows from it in the store.
    fn input(&mut self, input: Input) {
        self.inputs += 1;
        self.now += Duration::from_micros(10);
        for effect in self.session.step(self.now, input) {
            match effect {
                Effect::Dial(dial) => self.dial = dial,
                Effect::Transmit(_, text) => {
                    if let Ok(ClientFrame::Send(entry)) = decode(&text) {
                        self.sent.push(entry.id);
                    }
                }
                Effect::Persist(ticket, write) => self.persisted(ticket, &write),
                Effect::Ask(..)
                | Effect::Hangup(_)
                | Effect::Signal(_)
                | Effect::Reply(..)
                | Effect::Reload => {}
            }
        }
    }

    fn persisted(&mut self, ticket: Ticket, write: &Write) {
        let outcome = match write {
            Write::Freeze(ids) => {
                let frozen = ids.iter().map(|id| {
                    NewEntry::plain(*id, 1, room(0), Kind::Message, "a pending line".to_owned())
                });
                Outcome::Frozen(frozen.collect())
            }
            _ => Outcome::Done,
        };
        self.input(Input::Persisted(ticket, outcome));
    }

    /// The oldest message that was sent is acknowledged and appended, and another one is composed.
    fn exchange(&mut self) {
        let id = self.sent.remove(0);
        let prev = self.at;
        self.at = prev.next(account(), id);
        self.receive(ServerFrame::Ack {
            id,
            room: room(0),
            seq: self.at.seq,
            at: 1,
        });
        let entry = Entry {
            seq: self.at.seq,
            id,
            author: account(),
            name: "ana".into(),
            device: device(),
            kind: Kind::Message,
            body: "a pending line".to_owned(),
            target: None,
            at: 1,
            composed_at: 1,
        };
        self.receive(ServerFrame::Entries(Entries {
            room: room(0),
            prev,
            entries: vec![entry],
            skip: None,
            request: None,
        }));
        let order = self.next_order;
        self.next_order += 1;
        self.input(Input::Found(
            Ticket(u64::MAX),
            Found::NewRows(AddedRows {
                above: order - 1,
                rows: vec![row(order)],
                is_whole: true,
            }),
        ));
    }
}

fn welcome(rooms: u64) -> Welcome {
    Welcome {
        server: ServerId::from_random([5; 16]),
        account: account(),
        name: "ana".into(),
        session: SessionId::from_random([7; 16]),
        resumed: false,
        rooms,
        heartbeat_ms: 15_000,
        frame_bytes_max: 65_536,
        now: 1,
    }
}

fn described(n: u64) -> Room {
    Room {
        room: room(n),
        name: format!("room {n}"),
        kind: "public".to_owned(),
        topic: String::new(),
        member: true,
        first: Seq(1),
        head: Position::start(room(n)),
        delivered: Seq::ZERO,
        read: Seq::ZERO,
        delivered_here: Seq::ZERO,
        read_here: Seq::ZERO,
    }
}

/// Time of one input, the median of several runs.
fn cost(rows: i64, rooms: u64) -> Duration {
    let mut runs: Vec<_> = (0..RUNS).map(|_| run(rows, rooms)).collect();
    runs.sort_unstable();
    runs[RUNS / 2]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn run(rows: i64, rooms: u64) -> Duration {
    let mut pair = Pair::connected(rows, rooms);
    pair.inputs = 0;
    let began = Instant::now();
    for _ in 0..ROUNDS {
        pair.exchange();
    }
    began.elapsed() / pair.inputs
}

fn main() {
    let few = cost(10, 1);
    let many = cost(10_000, 1);
    let rooms = cost(10, 500);
    let ratio = |time: Duration| time.as_secs_f64() / few.as_secs_f64();
    println!("10 pending messages, 1 room       {few:>9.2?} an input   1.0");
    println!(
        "10,000 pending messages, 1 room   {many:>9.2?} an input   {:.1}",
        ratio(many)
    );
    println!(
        "10 pending messages, 500 rooms    {rooms:>9.2?} an input   {:.1}",
        ratio(rooms)
    );
}
