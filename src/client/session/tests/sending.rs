//! The way of an entry from Enter to its acknowledgement or rejection.

use super::*;

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
        let pings = rig.pings();
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
fn own_entry_acked_below_stored_range_is_fetched() {
    let mut rig = SessionFixture::connected();
    let ids: Vec<u64> = (1..=30).collect();
    let (at, all) = log(&ids, &[7]);
    let page = |from, to, request| page_frame(&at, &all, from..to, request);
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
        let pings = rig.pings();
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
