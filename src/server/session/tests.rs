//! One connection of a server: what it accepts, answers and sends.

use super::*;
use crate::protocol::{
    EntryId, Hello, InstanceId, Kind, Mark, Reply, ServerId, SessionId, Signal, Token,
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

#[test]
fn slow_reader_catches_up_from_the_log() {
    let mut session = live();
    assert_eq!(logs(&open(&mut session, 0)), 1);
    let sent: usize = (0..100)
        .map(|n| logs(&session.step(s(2), live_run(n))))
        .sum();
    assert_eq!(sent, LOG_LANE_FRAMES - 1, "the lane is bounded");
    let effects = session.step(s(3), Input::Drained(1));
    assert_eq!(effects, [Effect::ReadPage(room(), Seq(15))]);
}

#[test]
fn unread_replies_pause_reading() {
    // These two are answered by one frame each.
    for ask in &questions()[..2] {
        let mut session = live();
        session.step(s(1), Input::Answered); // the welcome
        for n in 0..ANSWERS_MAX as u64 {
            assert!(session.may_read());
            frame(&mut session, ask(n));
        }
        assert!(!session.may_read());
        session.step(
            s(2),
            Input::Replied(Reply {
                request: 0,
                ok: None,
                code: None,
                reason: None,
            }),
        );
        assert!(
            !session.may_read(),
            "an answer that is made is not one that is taken"
        );
        session.step(s(2), Input::Answered);
        assert!(session.may_read());
    }
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
fn known_id_costs_no_token() {
    let mut session = live();
    session.bucket = Bucket::new(1, 1, s(1));
    let known = || Ok(Verdict::Known { seq: Seq(1), at: 0 });
    let first = send(&mut session, 1);
    assert_eq!(first.over_rate_ms, None);
    session.step(s(1), Input::Judged(first, known()));
    assert_eq!(send(&mut session, 2).over_rate_ms, None);
    // Without a token there is none to return: else known ids would buy tokens for new ones.
    let again = send(&mut session, 1);
    assert!(again.over_rate_ms.is_some());
    session.step(s(1), Input::Judged(again, known()));
    assert!(send(&mut session, 3).over_rate_ms.is_some());
}

#[test]
fn diverged_log_is_reported_and_not_served() {
    let mut session = live();
    open(&mut session, 0);
    let again = Open {
        room: room(),
        have: Some(at(9)),
        locator: None,
        jump: 0,
        compare: false,
    };
    frame(&mut session, ClientFrame::Open(again.clone()));
    let effects = session.step(s(2), Input::Located(again, located(None, 3)));
    assert!(effects.contains(&Effect::Unsubscribe(room())));
    assert_eq!(logs(&session.step(s(2), live_run(0))), 0);
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
fn two_opens_get_replies_and_the_last_counts() {
    let mut session = live();
    let bad = Open {
        room: room(),
        have: Some(at(9)),
        locator: None,
        jump: 0,
        compare: false,
    };
    let good = Open {
        room: room(),
        have: None,
        locator: Some(vec![at(0)]),
        jump: 0,
        compare: false,
    };
    frame(&mut session, ClientFrame::Open(bad.clone()));
    frame(&mut session, ClientFrame::Open(good.clone()));
    let effects = session.step(s(1), Input::Located(bad, located(None, 3)));
    assert!(
        !effects.contains(&Effect::Unsubscribe(room())),
        "{effects:?}"
    );
    let effects = session.step(s(1), Input::Located(good, located(Some(0), 3)));
    assert!(
        matches!(&effects[0], Effect::Log(text) if text.contains("opened")),
        "{effects:?}"
    );
    assert_eq!(effects[1], Effect::ReadPage(room(), Seq(0)));
}

#[test]
fn answer_to_an_open_before_a_close_changes_nothing() {
    let mut session = live();
    let open = |have: Option<u8>, locator| Open {
        room: room(),
        have: have.map(|seq| at(seq.into())),
        locator,
        jump: 0,
        compare: false,
    };
    let (before, after) = (open(None, Some(vec![at(9)])), open(Some(0), None));
    frame(&mut session, ClientFrame::Open(before.clone()));
    frame(&mut session, ClientFrame::Close { room: room() });
    frame(&mut session, ClientFrame::Open(after.clone()));
    let effects = session.step(s(1), Input::Located(before, located(None, 3)));
    assert!(!effects.contains(&Effect::Unsubscribe(room())));
    let effects = session.step(s(1), Input::Located(after, located(Some(0), 3)));
    assert!(
        effects.contains(&Effect::ReadPage(room(), Seq(0))),
        "{effects:?}"
    );
}

#[test]
fn answers_to_all_opens_before_a_close_change_nothing() {
    let mut session = live();
    let open = |have: Option<u64>| Open {
        room: room(),
        have: have.map(at),
        locator: None,
        jump: 0,
        compare: false,
    };
    let before = [open(Some(1)), open(Some(2))];
    for open in &before {
        frame(&mut session, ClientFrame::Open(open.clone()));
    }
    frame(&mut session, ClientFrame::Close { room: room() });
    frame(&mut session, ClientFrame::Open(open(Some(0))));
    for open in before {
        let effects = session.step(s(1), Input::Located(open, located(Some(2), 3)));
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::ReadPage(..))),
            "{effects:?}"
        );
    }
    let effects = session.step(s(1), Input::Located(open(Some(0)), located(Some(0), 3)));
    assert!(effects.contains(&Effect::ReadPage(room(), Seq(0))));
}

#[test]
fn room_closed_after_its_answer_opens_again() {
    let mut session = live();
    open(&mut session, 3);
    frame(&mut session, ClientFrame::Close { room: room() });
    session.step(s(1), Input::Page(room(), Seq(0), Some(page(1..=3))));
    let effects = open(&mut session, 3);
    assert!(
        effects.contains(&Effect::ReadPage(room(), Seq(0))),
        "{effects:?}"
    );
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
fn unsent_rooms_after_a_welcome_stop_reading() {
    let settings = Settings {
        answers_max: 3,
        ..Settings::default()
    };
    let mut session = ServerSession::new(settings, s(0));
    frame(&mut session, hello());
    admit_to(&mut session, vec![changed_room(), changed_room()]);
    assert!(!session.may_read(), "a welcome and two rooms are unsent");
    session.step(s(1), Input::Answered);
    assert!(session.may_read());
}

#[test]
fn verdict_is_answered_while_the_log_has_no_space() {
    let mut session = live();
    session.settings.log_lane_frames = 1;
    open(&mut session, 0);
    let sent = send(&mut session, 1);
    session.step(s(1), live_run(0));
    assert!(!session.log_has_space());
    let known = Ok(Verdict::Known { seq: Seq(1), at: 0 });
    let effects = session.step(s(1), Input::Judged(sent, known));
    assert!(
        matches!(effects[..], [Effect::Answer(ServerFrame::Ack { .. })]),
        "{effects:?}"
    );
}

#[test]
fn open_with_compare_does_not_subscribe() {
    let mut session = live();
    let ask = Open {
        room: room(),
        have: Some(at(2)),
        locator: None,
        jump: 0,
        compare: true,
    };
    assert_eq!(
        frame(&mut session, ClientFrame::Open(ask.clone())),
        [Effect::Locate(ask.clone())]
    );
    let effects = session.step(s(1), Input::Located(ask.clone(), located(Some(2), 9)));
    assert!(
        matches!(&effects[..], [Effect::Log(text)] if text.contains("opened")),
        "{effects:?}"
    );
    for found in [None, located(None, 1)] {
        let effects = session.step(s(1), Input::Located(ask.clone(), found));
        assert!(
            matches!(&effects[..], [Effect::Log(text)] if text.contains("diverged")),
            "{effects:?}"
        );
    }
    open(&mut session, 1);
    let effects = session.step(s(1), Input::Located(ask, None));
    assert!(
        !effects.contains(&Effect::Unsubscribe(room())),
        "nor ends it a subscription"
    );
}

#[test]
fn signal_needs_membership_and_small_size() {
    let passes = |session: &mut ServerSession, kind: &str, key: usize| {
        let (key, value) = (Some("k".repeat(key)), Some("v".into()));
        let signal = Signal {
            room: room(),
            account: None,
            kind: kind.into(),
            key,
            value,
            at: None,
            skipped: 0,
        };
        frame(session, ClientFrame::Signal(signal))
            .iter()
            .any(|effect| matches!(effect, Effect::Signal(_)))
    };
    let mut session = live();
    assert!(!passes(&mut session, "typing", 1), "not a member");
    session.step(s(1), Input::Room(changed_room()));
    assert!(passes(&mut session, "typing", 1));
    let most = limits::SIGNAL_BYTES_MAX - "live".len() - "v".len();
    assert!(passes(&mut session, "live", most));
    assert!(!passes(&mut session, "live", most + 1));
    assert!(!passes(&mut session, &"x".repeat(60_000), 1));
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

#[test]
fn fast_values_are_throttled_to_the_newest() {
    let mut session = live();
    session.step(s(1), Input::Room(changed_room()));
    let value = |n: u32| {
        let (key, value) = (Some("cpu".to_owned()), Some(n.to_string()));
        ClientFrame::Signal(Signal {
            room: room(),
            account: None,
            kind: "live".into(),
            key,
            value,
            at: None,
            skipped: 0,
        })
    };
    let mut handed_on = Vec::new();
    let mut take = |effects: Vec<Effect>| {
        let signals = effects.into_iter().filter_map(|e| {
            if let Effect::Signal(signal) = e {
                Some(signal)
            } else {
                None
            }
        });
        handed_on.extend(signals.map(|signal| (signal.value.unwrap_or_default(), signal.skipped)));
    };
    (0..1_000).for_each(|n| take(frame(&mut session, value(n))));
    let due = session.deadline().expect("some wait");
    take(session.step(due, Input::Tick));
    assert_eq!(handed_on.len() as u32, limits::SIGNALS_PER_SECOND + 1);
    assert_eq!(
        handed_on.last(),
        Some(&(
            "999".to_owned(),
            u64::from(1_000 - limits::SIGNALS_PER_SECOND - 1)
        ))
    );
}

#[test]
fn values_precede_log_within_confirmations() {
    let mut session = live();
    let signal = |n: usize| Signal {
        room: room(),
        account: None,
        kind: "live".into(),
        key: Some(format!("key{n}")),
        value: Some("v".repeat(900)),
        at: Some(1),
        skipped: 0,
    };
    let mut probes = Vec::new();
    let mut sent = 0;
    while session.signals_from().is_some_and(|at| at <= s(1)) {
        let effects = session.step(s(1), Input::Signals(vec![signal(sent)]));
        assert!(
            matches!(
                effects[..],
                [Effect::Fresh(_), Effect::Probe(Lane::Ephemeral, _)]
            ),
            "{effects:?}"
        );
        probes.extend(effects.iter().filter_map(|e| {
            if let Effect::Probe(_, n) = e {
                Some(*n)
            } else {
                None
            }
        }));
        sent += 1;
        assert!(sent < 100, "without end");
    }
    assert!(sent >= 3, "{sent}");
    session.step(
        s(2),
        Input::Confirmed(Confirmed {
            ephemeral: probes[0],
            log: 0,
        }),
    );
    assert!(session.signals_from().is_some_and(|at| at <= s(2)));
    let effects = session.step(s(2), Input::Presence(room(), 2));
    assert!(
        matches!(effects[..], [Effect::Log(_), Effect::Probe(Lane::Log, _)]),
        "behind what it asks for: {effects:?}"
    );
}

#[test]
fn signal_account_is_set_by_the_server() {
    let mut session = live();
    session.step(s(1), Input::Room(changed_room()));
    let other = Some(AccountId::from_random([9; 16]));
    let outgoing = Signal {
        room: room(),
        account: other,
        kind: "live".into(),
        key: Some("cpu".into()),
        value: Some("1".into()),
        at: Some(7),
        skipped: u64::MAX,
    };
    let heard = |effects: Vec<Effect>| {
        let signal = effects.into_iter().find_map(|e| {
            if let Effect::Signal(signal) = e {
                Some(signal)
            } else {
                None
            }
        });
        signal.expect("is handed on")
    };
    let sent = heard(frame(&mut session, ClientFrame::Signal(outgoing.clone())));
    assert!(sent.account.is_some() && sent.account != other, "{sent:?}");
    assert_eq!((sent.at, sent.key.as_deref()), (None, Some("cpu")));
    let bound = u64::from(u32::MAX)..2 * u64::from(u32::MAX);
    assert!(bound.contains(&sent.skipped), "{sent:?}");
    let typing = heard(frame(
        &mut session,
        ClientFrame::Signal(Signal {
            kind: "typing".into(),
            ..outgoing
        }),
    ));
    assert_eq!(
        (typing.key, typing.value),
        (None, None),
        "one for each person"
    );
}

#[test]
fn client_without_confirmations_gets_its_log() {
    let mut session = live();
    let value = Signal {
        room: room(),
        account: None,
        kind: "live".into(),
        key: None,
        value: Some("1".into()),
        at: Some(1),
        skipped: 0,
    };
    session.step(s(1), Input::Signals(vec![value]));
    session.step(s(1), Input::Room(changed_room()));
    let mut passed = 0;
    while logs(&session.step(s(1), Input::Presence(room(), passed))) > 0 {
        session.step(s(1), Input::Drained(2));
        passed += 1;
        assert!(passed < 1_000, "not without end");
    }
    let due = session.deadline().expect("a time");
    assert!(due < s(10), "{due:?}");
    assert_eq!(logs(&session.step(due, Input::Tick)), 1);
    assert!(
        session.deadline().is_none_or(|at| at > due),
        "and nothing spins"
    );
}

/// A frame that takes the client's number `n`, and is answered.
fn questions() -> [fn(u64) -> ClientFrame; 5] {
    [
        |n| ClientFrame::Ping { n },
        |request| ClientFrame::Request {
            request,
            op: crate::protocol::Op::Rooms {
                after: String::new(),
            },
        },
        |request| ClientFrame::Fetch(fetch(request)),
        |n| ClientFrame::Send(message(n)),
        |_| {
            ClientFrame::Open(Open {
                room: room(),
                have: Some(at(0)),
                locator: None,
                jump: 0,
                compare: false,
            })
        },
    ]
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

#[test]
fn unanswered_frames_of_any_kind_pause_reading() {
    for question in questions() {
        let mut session = live();
        session.step(s(1), Input::Answered); // the welcome
        for n in 0..ANSWERS_MAX as u64 {
            assert!(session.may_read());
            frame(&mut session, question(n));
        }
        assert!(!session.may_read());
    }
}

#[test]
fn pages_that_are_not_sent_yet_pause_reading() {
    let mut session = live();
    session.step(s(1), Input::Answered); // the welcome
    for n in 0..(LOG_LANE_FRAMES + ANSWERS_MAX) as u64 {
        assert!(session.may_read());
        frame(&mut session, ClientFrame::Fetch(fetch(n)));
        let effects = session.step(s(1), Input::Fetched(fetch(n), Some(page(1..=2))));
        assert_eq!(logs(&effects), 1);
    }
    assert!(!session.may_read());
    session.step(s(2), Input::Drained(1));
    assert!(session.may_read());
}

#[test]
fn client_over_its_rate_waits_for_a_batch() {
    let settings = Settings {
        rate_burst: 8,
        rate_per_second: 8,
        ..Settings::default()
    };
    let mut session = ServerSession::new(settings, s(0));
    frame(&mut session, hello());
    admit(&mut session);
    for n in 1..=8 {
        assert_eq!(send(&mut session, n).over_rate_ms, None);
    }
    assert_eq!(
        send(&mut session, 9).over_rate_ms,
        Some(251),
        "two tokens of eight a second, rounded up"
    );
}

#[test]
fn only_an_entry_out_of_order_gets_its_token_back() {
    let verdict = |code| {
        Ok(Verdict::Rejected(Rejection {
            code,
            reason: String::new(),
            last: None,
            retry_after_ms: None,
        }))
    };
    for (code, costs) in [
        (RejectCode::OutOfOrder, false),
        (RejectCode::NotMember, true),
        (RejectCode::RateLimited, true),
    ] {
        let mut session = live();
        session.bucket = Bucket::new(1, 1, s(1));
        let first = send(&mut session, 1);
        session.step(s(1), Input::Judged(first, verdict(code)));
        let is_over = send(&mut session, 2).over_rate_ms.is_some();
        assert_eq!(is_over, costs, "{code:?}");
    }
}

#[test]
fn open_needs_a_position_or_a_bounded_locator() {
    let open = |have, locator: Option<usize>| {
        let open = Open {
            room: room(),
            have,
            locator: locator.map(|count| vec![at(0); count]),
            jump: 0,
            compare: false,
        };
        closes(&frame(&mut live(), ClientFrame::Open(open)))
    };
    let most = limits::LOCATOR_POSITIONS_MAX;
    assert_eq!(open(Some(at(0)), None), None);
    assert_eq!(open(None, Some(1)), None);
    assert_eq!(open(None, Some(most)), None);
    for bad in [None, Some(0), Some(most + 1)] {
        assert_eq!(open(None, bad), Some(CloseCode::BadFrame), "{bad:?}");
    }
}

#[test]
fn page_is_sent_unless_it_is_empty_or_late() {
    let mut session = live();
    open(&mut session, 5);
    let effects = session.step(s(1), Input::Page(room(), Seq(0), Some(page(1..=2))));
    assert_eq!(logs(&effects), 1);
    assert!(effects.contains(&Effect::ReadPage(room(), Seq(2))));
    let late = session.step(s(1), Input::Page(room(), Seq(0), Some(page(1..=2))));
    assert_eq!(logs(&late), 0, "the subscription is beyond it");
    let empty = LogPage {
        prev: at(2),
        entries: Vec::new(),
    };
    let effects = session.step(s(1), Input::Page(room(), Seq(2), Some(empty)));
    assert_eq!(logs(&effects), 0);
    let effects = session.step(s(1), Input::Page(room(), Seq(2), None));
    assert_eq!(closes(&effects), Some(CloseCode::Overloaded));
}

#[test]
fn page_fetched_answers_its_request() {
    let mut session = live();
    frame(&mut session, ClientFrame::Fetch(fetch(7)));
    let effects = session.step(s(1), Input::Fetched(fetch(7), Some(page(3..=4))));
    let [Effect::Log(text)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert!(text.contains("\"request\":7"), "{text}");
    assert!(
        text.contains("\"seq\":3") && text.contains("\"seq\":4"),
        "{text}"
    );
}

#[test]
fn rooms_beyond_the_limit_are_not_opened() {
    let mut session = live();
    let mut open = |n: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let open = Open {
            room: RoomId::from_random(id),
            have: Some(at(0)),
            locator: None,
            jump: 0,
            compare: false,
        };
        closes(&frame(&mut session, ClientFrame::Open(open)))
    };
    for n in 0..limits::ROOMS_OPEN_MAX {
        assert_eq!(open(n), None, "{n}");
    }
    assert_eq!(open(0), None, "it is open already");
    assert_eq!(open(limits::ROOMS_OPEN_MAX), Some(CloseCode::BadFrame));
}

#[test]
fn no_signals_cost_no_probe() {
    assert_eq!(live().step(s(1), Input::Signals(Vec::new())), []);
}

#[test]
fn pong_reports_heads_that_were_not_sent() {
    let mut session = live();
    open(&mut session, 0);
    let heads = |session: &mut ServerSession, n| {
        let effects = frame(session, ClientFrame::Ping { n });
        let [Effect::Answer(ServerFrame::Pong { heads, .. })] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        heads.iter().map(|head| head.seq).collect::<Vec<_>>()
    };
    assert_eq!(heads(&mut session, 1), []);
    session.step(s(1), Input::Heads(vec![(room(), at(3))]));
    assert_eq!(heads(&mut session, 2), [Seq(3)]);
    assert_eq!(heads(&mut session, 3), [], "it is reported already");
}

#[test]
fn pages_are_read_in_the_order_of_opening() {
    let mut session = live();
    let (first, second) = (RoomId::from_random([9; 16]), RoomId::from_random([2; 16]));
    let open = |room| Open {
        room,
        have: Some(at(0)),
        locator: None,
        jump: 0,
        compare: false,
    };
    for room in [first, second] {
        frame(&mut session, ClientFrame::Open(open(room)));
    }
    let mut located = |room| session.step(s(1), Input::Located(open(room), located(Some(0), 4)));
    let reads = |room, after| Effect::ReadPage(room, Seq(after));
    assert!(located(second).contains(&reads(second, 0)), "the only one");
    assert!(!located(first).contains(&reads(first, 0)), "one at a time");
    let mut read = |room| session.step(s(1), Input::Page(room, Seq(0), Some(page(1..=2))));
    assert!(read(second).contains(&reads(first, 0)), "opened earlier");
    assert!(read(first).contains(&reads(first, 2)));
}

#[test]
fn located_head_includes_the_common_position() {
    let head = |common: Option<u64>| Located::new(common.map(at), at(5)).head;
    assert_eq!([None, Some(3), Some(6)].map(head), [at(5), at(5), at(6)]);
}
