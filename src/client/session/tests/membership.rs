//! Rooms that are joined and left, here and on other devices.

use super::*;

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
