//! Conditions under which a frame, a command or a deadline has an effect, and under which it has none.

use super::*;
use crate::client::limits::ClientLimits;

impl SessionFixture {
    fn questions(&self) -> Vec<&Query> {
        let questions = self.effects.iter().filter_map(|effect| match effect {
            Effect::Ask(_, query) => Some(query),
            _ => None,
        });
        questions.collect()
    }

    fn asks_for(&self, entry: EntryId) -> bool {
        let asks = |query: &&Query| matches!(query, Query::Knows { id, .. } if *id == entry);
        self.questions().iter().any(asks)
    }

    /// The rooms of the sent signals.
    fn signals(&self) -> Vec<RoomId> {
        let signals = self.sent.iter().filter_map(|frame| match frame {
            ClientFrame::Signal(signal) => Some(signal.room),
            _ => None,
        });
        signals.collect()
    }

    fn last_cause(&self) -> Cause {
        self.session.status().last_cause.expect("a cause")
    }
}

#[test]
fn pause_of_a_room_wakes_a_connected_session() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    let reject = |ms| Reject {
        id: id(1),
        room: room(),
        code: RejectCode::RateLimited,
        reason: "later".into(),
        last: None,
        retry_after_ms: Some(ms),
    };
    rig.hear(ServerFrame::Reject(reject(700)));
    let at = rig.now + Duration::from_millis(700);
    assert_eq!(rig.session.deadline(), Some(at));
    rig.sent.clear();
    rig.now = at;
    rig.input(Input::Tick);
    assert_eq!(rig.sends(), [(id(1), None)]);
}

#[test]
fn bytes_of_the_current_dial_extend_a_probe() {
    let extended = |is_current: bool| {
        let mut rig = SessionFixture::connected();
        let earlier = rig.dial();
        rig.cut_link();
        rig.redial();
        rig.connect();
        rig.opened(Position::start(room()), Position::start(room()));
        rig.sent.clear();
        rig.pass_until(|rig| !rig.pings().is_empty());
        let deadline = rig.session.deadline();
        rig.now += s(1);
        let dial = if is_current { rig.dial() } else { earlier };
        rig.input(Input::Bytes(dial));
        rig.session.deadline() > deadline
    };
    assert!(extended(true));
    assert!(!extended(false));
}

#[test]
fn read_position_is_written_when_it_advances() {
    let mut rig = SessionFixture::connected();
    let mut written = |seq: u64| {
        rig.writes.clear();
        rig.input(Input::Command(Command::Read {
            room: room(),
            seq: Seq(seq),
        }));
        let is_read = |write: &Write| matches!(write, Write::MarkRead { .. });
        rig.writes.iter().any(is_read)
    };
    assert_eq!([3, 3, 2, 4].map(&mut written), [true, false, false, true]);
}

#[test]
fn last_entry_that_is_stored_or_pending_needs_no_question() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1], &[1], 0));
    (2..4).for_each(|n| rig.type_in(room(), n));
    rig.reject(2, RejectCode::OutOfOrder, Some(1));
    assert!(!rig.asks_for(id(1)), "it is the last stored one");
    rig.reject(3, RejectCode::OutOfOrder, Some(2));
    assert!(!rig.asks_for(id(2)), "it is in the outbox");
    rig.pass_until(|rig| rig.sends_again(2));
    rig.reject(2, RejectCode::OutOfOrder, Some(9));
    assert!(rig.asks_for(id(9)));
}

impl SessionFixture {
    fn sends_again(&self, n: u64) -> bool {
        let is_it =
            |frame: &&ClientFrame| matches!(frame, ClientFrame::Send(send) if send.id == id(n));
        self.sent.iter().filter(is_it).count() > 1
    }
}

#[test]
fn known_last_entry_without_later_ones_is_not_compared() {
    let mut rig = SessionFixture::connected();
    rig.known = BTreeSet::from([id(5)]);
    rig.type_in(room(), 6);
    rig.reject(6, RejectCode::OutOfOrder, Some(5));
    assert!(rig.asks_for(id(5)));
    assert!(!rig.is_withheld(), "the server lost nothing");
}

#[test]
fn welcome_names_at_most_as_many_rooms_as_allowed() {
    for (rooms, is_welcome) in [
        (limits::ROOMS_MAX as u64 - 1, true),
        (limits::ROOMS_MAX as u64, true),
        (limits::ROOMS_MAX as u64 + 1, false),
    ] {
        let mut rig = SessionFixture::new(loaded());
        rig.upgrade();
        rig.welcome(rooms);
        assert_eq!(rig.state() == LinkPhase::Resyncing, is_welcome, "{rooms}");
    }
}

#[test]
fn second_welcome_disconnects() {
    let mut rig = SessionFixture::connected();
    rig.welcome(1);
    assert_eq!(rig.state(), LinkPhase::Backoff);
}

#[test]
fn bye_for_another_reason_names_no_other_process() {
    let mut rig = SessionFixture::connected();
    let dial = rig.dial();
    rig.bye(CloseCode::Overloaded, Some(instance()));
    let cause = rig.last_cause();
    assert!(matches!(cause, Cause::Bye { .. }), "{cause:?}");
    assert!(rig.effects.contains(&Effect::Hangup(dial)), "it is closed");
}

#[test]
fn room_on_screen_is_first_after_a_reload_too() {
    let mut rig = SessionFixture::new(loaded());
    rig.input(Input::Command(Command::Focus(other_room())));
    rig.input(Input::Command(Command::LockTaken { dials: true }));
    rig.reload();
    rig.upgrade();
    rig.welcome(2);
    for named in [room(), other_room()] {
        let frame = SessionFixture::room_frame(named, Position::start(named));
        rig.hear(ServerFrame::Room(frame));
    }
    let opened: Vec<_> = rig.opens().iter().map(|open| open.room).collect();
    assert_eq!(opened, [other_room(), room()]);
}

/// A session that lets nothing pass freezes nothing: the log of a room may be another one.
fn freezes_what_is_typed_in(rig: &mut SessionFixture, room: RoomId) -> bool {
    rig.writes.clear();
    rig.type_in(room, 9);
    let is_freeze = |write: &Write| matches!(write, Write::Take(..) | Write::Freeze(_));
    rig.writes.iter().any(is_freeze)
}

#[test]
fn nothing_is_frozen_before_the_welcome_is_complete() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(2);
    assert!(!freezes_what_is_typed_in(&mut rig, other_room()));
    rig.writes.clear();
    for named in [room(), other_room()] {
        let frame = SessionFixture::room_frame(named, Position::start(named));
        rig.hear(ServerFrame::Room(frame));
    }
    assert!(rig.writes.contains(&Write::Freeze(vec![id(9)])));
}

#[test]
fn nothing_is_frozen_while_a_room_is_compared() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2], &[], 0));
    let (at, _) = log(&[1, 9], &[]);
    rig.locator = vec![at[1], at[0]];
    rig.hear(entries(&[1, 9, 8], &[], 2));
    assert!(rig.is_withheld());
    assert!(!freezes_what_is_typed_in(&mut rig, room()));
}

#[test]
fn signals_wait_until_the_welcome_is_complete() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(2);
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        room(),
        Position::start(room()),
    )));
    rig.input(Input::Command(Command::Signal(signal_in(room()))));
    assert_eq!(rig.signals(), []);
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(
        other_room(),
        Position::start(other_room()),
    )));
    assert_eq!(rig.signals(), [room()]);
}

fn signal_in(room: RoomId) -> Signal {
    Signal {
        room,
        kind: "typing".into(),
        key: None,
        value: None,
        account: None,
        at: None,
        skipped: 0,
    }
}

#[test]
fn signals_of_other_rooms_are_not_sent() {
    let mut rig = SessionFixture::connected();
    for at in [other_room(), room()] {
        rig.input(Input::Command(Command::Signal(signal_in(at))));
    }
    assert_eq!(rig.signals(), [room()]);
}

#[test]
fn room_joined_elsewhere_is_opened() {
    let mut rig = SessionFixture::connected();
    let frame = SessionFixture::room_frame(other_room(), Position::start(other_room()));
    rig.hear(ServerFrame::Room(frame));
    assert!(rig.session.status().rooms.contains_key(&other_room()));
    assert_eq!(rig.opens().last().map(|open| open.room), Some(other_room()));
}

#[test]
fn unnamed_room_of_the_account_is_compared() {
    let mut loaded = loaded();
    loaded.rooms.push(LoadedRoom {
        room: other_room(),
        ..loaded.rooms[0].clone()
    });
    let mut rig = SessionFixture::new(loaded);
    rig.connect();
    let compared: Vec<_> = rig
        .opens()
        .into_iter()
        .filter(|open| open.compare)
        .collect();
    assert_eq!(compared.len(), 1, "{compared:?}");
    assert_eq!(compared[0].room, other_room());
}

/// Rooms that the welcome does not name, each with a last entry of this device.
fn left_rooms(count: u8) -> Vec<LoadedRoom> {
    let room = |n: u8| LoadedRoom {
        room: RoomId::from_random([20 + n; 16]),
        own_last: own_last(1),
        member: false,
        ..loaded().rooms[0].clone()
    };
    (0..count).map(room).collect()
}

#[test]
fn lost_membership_is_compared_before_left_rooms() {
    let mut loaded = loaded();
    let member = RoomId::from_random([99; 16]);
    loaded.rooms = left_rooms(30);
    loaded.rooms.push(LoadedRoom {
        room: member,
        member: true,
        ..loaded.rooms[0].clone()
    });
    let mut rig = SessionFixture::new(loaded);
    rig.upgrade();
    rig.welcome(0);
    assert_eq!(rig.opens()[0].room, member);
}

#[test]
fn full_outbox_of_an_unnamed_room_is_sent() {
    let mut loaded = loaded();
    loaded.rooms.extend(left_rooms(30));
    let last = loaded.rooms.last().expect("some").room;
    let row = |n: u64| OutboxRow {
        order: n as i64,
        id: id(n),
        room: last,
        bytes: 5,
        acked: None,
        frozen: false,
    };
    loaded.outbox = (1..=4).map(row).collect();
    let limits = ClientLimits {
        outbox_entries: 4,
        ..ClientLimits::default()
    };
    let mut rig = SessionFixture::new(loaded.clone());
    for n in 1..=4 {
        let entry = NewEntry {
            id: id(n),
            room: last,
            kind: Kind::Message,
            body: "line".into(),
            target: None,
            composed_at: n,
        };
        rig.outbox.insert(n as i64, entry);
    }
    rig.session = Session::with_limits(LinkSettings::default(), limits, 1, s(0), loaded);
    rig.input(Input::Tick);
    rig.connect();
    let mut answered = 0;
    while let Some(open) = rig.opens().get(answered).map(|open| (*open).clone()) {
        answered += 1;
        let have = open.have.expect("a position");
        rig.hear(ServerFrame::Opened {
            room: open.room,
            from: have,
            head: have,
        });
    }
    assert!(
        rig.sends().iter().any(|(sent, _)| *sent == id(1)),
        "after {answered} opens"
    );
}

#[test]
fn room_is_reconciled_again_for_rows_that_come_later() {
    let mut loaded = loaded();
    loaded.rooms.extend(left_rooms(1));
    let left = loaded.rooms[1].room;
    let mut rig = SessionFixture::new(loaded);
    rig.connect();
    let have = rig.opens().last().and_then(|open| open.have).expect("have");
    rig.hear(ServerFrame::Opened {
        room: left,
        from: have,
        head: have,
    });
    rig.sent.clear();
    let row = |frozen| OutboxRow {
        order: if frozen { 8 } else { 7 },
        id: id(if frozen { 8 } else { 7 }),
        room: left,
        bytes: 5,
        acked: None,
        frozen,
    };
    for (frozen, opens) in [(false, 0), (true, 1)] {
        let added = AddedRows {
            above: 0,
            rows: vec![row(frozen)],
            is_whole: true,
        };
        rig.input(Input::Found(Ticket(1), Found::NewRows(added)));
        assert_eq!(rig.opens().len(), opens, "sent before: {frozen}");
    }
}

#[test]
fn old_membership_in_a_gap_changes_nothing() {
    let (at, mut all) = log(&(1..=40).collect::<Vec<_>>(), &[2, 40]);
    let mut loaded = loaded();
    loaded.rooms[0].has_rejected = true;
    loaded.rooms[0].ranges = vec![StoredRange {
        start: at[0],
        end: at[1],
    }];
    let mut rig = SessionFixture::new(loaded);
    (all[1].kind, all[39].kind) = (Kind::Join, Kind::Leave);
    let page = |from, to, request| page_frame(&at, &all, from..to, request);
    rig.upgrade();
    rig.welcome(0);
    for _ in 0..2 {
        rig.hear(ServerFrame::Opened {
            room: room(),
            from: at[1],
            head: at[40],
        });
    }
    rig.hear(page(30, 40, None));
    let request = rig.sent.iter().rev().find_map(|frame| match frame {
        ClientFrame::Fetch(fetch) => Some(fetch.request),
        _ => None,
    });
    rig.hear(page(1, 30, request));
    let is_close = |frame: &ClientFrame| *frame == ClientFrame::Close { room: room() };
    assert!(rig.sent.iter().any(is_close), "{:?}", rig.sent);
    assert!(rig.writes.contains(&Write::RoomLeft(room())));
}
