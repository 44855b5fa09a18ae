//! Rooms are opened, compared, read page by page, and closed.

use super::*;

#[test]
fn slow_reader_catches_up_from_the_log() {
    let mut session = live();
    assert_eq!(logs(&open(&mut session, 0)), 1);
    let sent: usize = (0..100)
        .map(|n| logs(&session.step(s(2), live_run(n))))
        .sum();
    assert_eq!(sent, LOG_LANE_FRAMES - 1, "the lane is bounded");
    let effects = session.step(s(3), Input::Drained(1));
    assert_eq!(effects, [reads(room(), Seq(15))]);
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
    assert_eq!(effects[1], reads(room(), Seq(0)));
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
    assert!(effects.contains(&reads(room(), Seq(0))), "{effects:?}");
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
    assert!(effects.contains(&reads(room(), Seq(0))));
}

#[test]
fn room_closed_after_its_answer_opens_again() {
    let mut session = live();
    open(&mut session, 3);
    frame(&mut session, ClientFrame::Close { room: room() });
    session.step(s(1), Input::Page(room(), Seq(0), Some(page(1..=3))));
    let effects = open(&mut session, 3);
    assert!(effects.contains(&reads(room(), Seq(0))), "{effects:?}");
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
    assert!(effects.contains(&reads(room(), Seq(2))));
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
    let reads = |room, after| reads(room, Seq(after));
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
