//! When a connection is not read, and what costs a token of its rate.

use super::*;

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
fn requests_that_write_cost_as_much_as_entries() {
    let mut session = live();
    session.bucket = Bucket::new(2, 1, s(1));
    let request = |request, op| ClientFrame::Request { request, op };
    let create = || Op::CreateRoom {
        room: room(),
        name: "ops".into(),
        topic: String::new(),
    };
    let rooms = || Op::Rooms {
        after: String::new(),
    };
    let reaches_storage = |effects: &[Effect]| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Request(..)))
    };
    assert!(send(&mut session, 1).over_rate_ms.is_none());
    assert!(reaches_storage(&frame(&mut session, request(1, create()))));
    let effects = frame(&mut session, request(2, create()));
    let is_declined = |effect: &Effect| {
        matches!(effect, Effect::Answer(ServerFrame::Reply(reply))
            if reply.request == 2 && reply.code == Some(ReplyCode::Unavailable))
    };
    assert!(effects.iter().any(is_declined), "{effects:?}");
    assert!(!reaches_storage(&effects));
    assert!(reaches_storage(&frame(&mut session, request(3, rooms()))));
    session.step(s(2), Input::Tick);
    let effects = session.step(s(2), Input::Frame(Box::new(request(4, create()))));
    assert!(reaches_storage(&effects), "a second refills one token");
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
