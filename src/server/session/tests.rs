//! One connection of a server: what it accepts, answers and sends.

mod pauses;
mod signals;
mod subscriptions;

use super::*;
use crate::protocol::{
    EntryId, Hello, InstanceId, Kind, Mark, Reply, ReplyCode, ServerId, SessionId, Signal, Token,
};
use crate::server::storage::{Rejection, Watermarks};

const fn s(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

fn room() -> RoomId {
    RoomId::from_random([1; 16])
}

fn at(seq: u64) -> Position {
    Position {
        seq: Seq(seq),
        chain: crate::protocol::Chain::from_bytes([seq as u8; 16]),
    }
}

fn hello() -> ClientFrame {
    ClientFrame::Hello(Hello {
        token: Token::from_random([0; 32]),
        device: DeviceId::from_random([2; 16]),
        instance: InstanceId::from_random([3; 16]),
        dial: crate::protocol::Dial(1),
        session: None,
        enrol: None,
    })
}

fn frame(session: &mut ServerSession, frame: ClientFrame) -> Vec<Effect> {
    session.step(s(1), Input::Frame(Box::new(frame)))
}

fn live() -> ServerSession {
    let mut session = ServerSession::new(Settings::default(), s(0));
    frame(&mut session, hello());
    admit(&mut session);
    session
}

fn changed_room() -> Room {
    Room {
        room: room(),
        name: "ops".into(),
        kind: "public".into(),
        topic: String::new(),
        member: true,
        first: Seq(1),
        head: at(0),
        delivered: Seq(0),
        read: Seq(0),
        delivered_here: Seq(0),
        read_here: Seq(0),
    }
}

fn admit(session: &mut ServerSession) -> Vec<Effect> {
    admit_to(session, Vec::new())
}

fn admit_to(session: &mut ServerSession, rooms: Vec<Room>) -> Vec<Effect> {
    let admission = Admission {
        server: ServerId::from_random([4; 16]),
        session: SessionId::from_random([5; 16]),
        resumed: false,
        account: AccountId::from_random([6; 16]),
        name: "ana".into(),
        rooms,
        now: 0,
    };
    session.step(s(1), Input::Admitted(Box::new(Ok(admission))))
}

fn open(session: &mut ServerSession, head: u64) -> Vec<Effect> {
    let open = Open {
        room: room(),
        have: Some(at(0)),
        locator: None,
        jump: 0,
        compare: false,
    };
    frame(session, ClientFrame::Open(open.clone()));
    session.step(s(1), Input::Located(open, located(Some(0), head)))
}

/// The log's head, and the highest position that both sides have.
fn located(common: Option<u64>, head: u64) -> Option<Located> {
    Some(Located {
        common: common.map(at),
        head: at(head),
    })
}

fn closes(effects: &[Effect]) -> Option<CloseCode> {
    effects.iter().find_map(|effect| match effect {
        Effect::Close(bye) => Some(bye.code),
        _ => None,
    })
}

fn live_run(prev: u64) -> Input {
    Input::Live(Arc::new(Live {
        room: room(),
        prev: Seq(prev),
        last: at(prev + 1),
        text: "x".into(),
    }))
}

/// Reads a page of the usual size.
fn reads(room: RoomId, after: Seq) -> Effect {
    Effect::ReadPage(room, after, Settings::default().page)
}

fn logs(effects: &[Effect]) -> usize {
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Log(_)))
        .count()
}

#[test]
fn first_frame_is_a_timely_hello() {
    let mut session = ServerSession::new(Settings::default(), s(0));
    assert_eq!(
        closes(&frame(&mut session, ClientFrame::Ping { n: 1 })),
        Some(CloseCode::BadFrame)
    );
    let mut session = ServerSession::new(Settings::default(), s(0));
    assert_eq!(
        closes(&session.step(s(10), Input::Tick)),
        Some(CloseCode::Timeout)
    );
    assert_eq!(
        closes(&frame(&mut live(), hello())),
        Some(CloseCode::BadFrame)
    );
}

#[test]
fn room_change_during_hello_follows_welcome() {
    let mut session = ServerSession::new(Settings::default(), s(0));
    frame(&mut session, hello());
    assert_eq!(session.step(s(1), Input::Room(changed_room())), []);
    let effects = admit(&mut session);
    let [Effect::Answer(ServerFrame::Welcome(_)), Effect::Log(text)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert!(text.contains("\"room\""), "{text}");
}

#[test]
fn silence_ends_a_link_and_any_byte_keeps_it() {
    let mut session = live();
    assert_eq!(closes(&session.step(s(75), Input::Tick)), None);
    session.step(s(75), Input::Bytes);
    assert_eq!(closes(&session.step(s(149), Input::Tick)), None);
    assert_eq!(
        closes(&session.step(s(150), Input::Tick)),
        Some(CloseCode::Timeout)
    );
}

/// Sends a message, and returns what the committer gets of it.
fn send(session: &mut ServerSession, n: u64) -> Box<Append> {
    let effects = frame(session, ClientFrame::Send(message(n)));
    let [Effect::Append(append)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    append.clone()
}

#[test]
fn newest_marks_win_while_the_lane_is_full() {
    let mut session = live();
    open(&mut session, 0);
    (0..100).for_each(|n| drop(session.step(s(2), live_run(n))));
    for n in 1..=50 {
        session.step(
            s(2),
            Input::Watermarks(Watermarks {
                room: room(),
                delivered: Seq(n),
                read: Seq(0),
            }),
        );
    }
    let effects = session.step(s(3), Input::Drained(3));
    let sent: Vec<_> = effects
        .iter()
        .filter_map(|e| {
            if let Effect::Log(text) = e {
                Some(text.to_string())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("\"delivered\":50"), "{sent:?}");
}

#[test]
fn failing_storage_rejects_temporarily() {
    let mut session = live();
    let sent = send(&mut session, 1);
    let effects = session.step(s(1), Input::Judged(sent, Err("the disk is full".into())));
    let [Effect::Answer(ServerFrame::Reject(reject))] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert!(!reject.code.is_final() && reject.retry_after_ms.is_some());
}

#[test]
fn mark_of_a_room_without_membership_is_ignored() {
    let mut session = live();
    let mark = || {
        ClientFrame::Mark(Mark {
            room: room(),
            delivered: Some(at(1)),
            read: None,
        })
    };
    assert_eq!(frame(&mut session, mark()), []);
    session.step(s(1), Input::Room(changed_room()));
    let effects = frame(&mut session, mark());
    assert!(matches!(effects[..], [Effect::Mark(_)]), "{effects:?}");
}

#[test]
fn room_changes_for_slow_client_are_coalesced() {
    let mut session = live();
    let sent: usize = (0..1_000)
        .map(|_| logs(&session.step(s(2), Input::Room(changed_room()))))
        .sum();
    assert_eq!(sent, LOG_LANE_FRAMES);
    assert_eq!(
        logs(&session.step(s(3), Input::Drained(LOG_LANE_FRAMES))),
        1,
        "the newest"
    );
}

fn fetch(request: u64) -> Fetch {
    Fetch {
        request,
        room: room(),
        after: None,
        before: None,
        limit: 10,
    }
}

fn message(n: u64) -> SendEntry {
    SendEntry {
        id: EntryId::from_parts(n, [0; 10]),
        room: room(),
        after: None,
        kind: Kind::Message,
        body: String::new(),
        target: None,
        composed_at: 0,
    }
}

fn page(seqs: std::ops::RangeInclusive<u64>) -> LogPage {
    let author = crate::server::judge::Author {
        account: AccountId::from_random([6; 16]),
        name: "ana".into(),
        device: crate::protocol::DeviceId::NIL,
    };
    LogPage {
        prev: at(seqs.start() - 1),
        entries: seqs
            .map(|n| crate::server::judge::appended(&message(n), author.clone(), Seq(n), 0, 0))
            .collect(),
    }
}

#[test]
fn account_and_rooms_are_known_once_admitted() {
    let mut session = ServerSession::new(Settings::default(), s(0));
    frame(&mut session, hello());
    assert_eq!(session.member(), None);
    admit(&mut session);
    session.step(s(1), Input::Room(changed_room()));
    let (account, rooms) = session.member().expect("it is admitted");
    assert_eq!(account, AccountId::from_random([6; 16]));
    assert!(rooms.contains(&room()));
}
