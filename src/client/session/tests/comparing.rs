//! How rooms are compared with the server, after a reconnect and after a restore of the server.

use super::*;

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

/// The server reads an `opened` from disk: a `room` or a `pong` before it may be newer.
#[test]
fn older_head_of_an_opened_hides_no_missing_entry() {
    let missing = |rig: &SessionFixture| rig.session.status().rooms[&room()].missing;
    let (positions, _) = log(&[1, 2, 3], &[]);
    let mut rig = SessionFixture::new(loaded());
    rig.upgrade();
    rig.welcome(1);
    let described = SessionFixture::room_frame(room(), positions[3]);
    rig.hear(ServerFrame::Room(described));
    assert_eq!(missing(&rig), 3);
    rig.opened(positions[0], positions[2]);
    assert_eq!(missing(&rig), 3);
    rig.hear(entries(&[1, 2], &[], 0));
    assert_eq!((missing(&rig), rig.state()), (1, LinkPhase::Resyncing));
    rig.hear(entries(&[1, 2, 3], &[], 2));
    assert_eq!((missing(&rig), rig.state()), (0, LinkPhase::Connected));
}
