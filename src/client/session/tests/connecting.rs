//! How a session connects, notices that a connection is dead, and when it stays offline.

use super::*;

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
        let pings = rig.pings();
        rig.sent.clear();
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
fn replaced_by_own_store_again_and_again_backs_off() {
    let mut rig = SessionFixture::connected();
    let sibling = InstanceId::from_random([44; 16]);
    rig.own_instances.insert(sibling);
    let began = rig.now;
    for _ in 0..20 {
        let before = rig.dial();
        rig.bye(CloseCode::Replaced, Some(sibling));
        rig.pass_until(|rig| rig.dial() > before);
        rig.upgrade();
    }
    let took = rig.now - began;
    assert!(took > s(60), "20 dials in {took:?}");
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
fn frame_before_welcome_disconnects() {
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.hear(ServerFrame::Pong {
        n: 1,
        heads: Vec::new(),
    });
    assert_eq!(rig.state(), LinkPhase::Backoff);
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
            store_failed("database is locked"),
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
