//! Rooms are joined, left and switched.

use super::*;

#[test]
fn joined_room_opens_once_stored() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/join new");
    let todo = rig.act(Action::Submit);
    assert!(
        todo.iter().any(|todo| matches!(todo, msg::Effect::Ask(_))),
        "{todo:?}"
    );
    let info = RoomInfo {
        room: room(7),
        name: "new".to_owned(),
        topic: String::new(),
        members: 1,
    };
    let asked = ServerQuestion::Enter(rig.app.intention(room(1)));
    rig.input(msg::Input::Answered(asked, Ok(Answer::Room(info))));
    rig.load(|_| {});
    assert_eq!(rig.app.current, Some(room(1)));
    rig.load(|snapshot| snapshot.rooms.push(row(7, "new", 0)));
    assert_eq!(rig.app.current, Some(room(7)));
}

/// The end of a sentence is never sent into another room than its beginning was typed in.
#[test]
fn late_answer_does_not_switch_rooms() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/create new");
    let todo = rig.act(Action::Submit);
    let Some(msg::Effect::Ask(Ask::Create { by, .. })) = todo
        .into_iter()
        .find(|todo| matches!(todo, msg::Effect::Ask(_)))
    else {
        panic!("it is asked for")
    };
    rig.type_in("half a sent");
    let info = RoomInfo {
        room: room(7),
        name: "new".to_owned(),
        topic: String::new(),
        members: 1,
    };
    let joins = rig.input(msg::Input::Answered(
        ServerQuestion::Enter(by),
        Ok(Answer::Room(info)),
    ));
    assert!(
        matches!(
            &joins[..],
            [msg::Effect::Enqueue {
                kind: Kind::Join,
                ..
            }]
        ),
        "it is entered all the same"
    );
    rig.load(|snapshot| snapshot.rooms.push(row(7, "new", 0)));
    assert_eq!(rig.app.current, Some(room(1)));
    assert!(
        rig.shows("You joined #new: /join new opens it"),
        "{:#?}",
        rig.screen()
    );
    rig.act(Action::ClearLine);
    rig.type_in("/leave");
    rig.act(Action::Submit);
    rig.type_in("typed on");
    rig.load(|snapshot| snapshot.rooms[0].member = false);
    assert_eq!(
        rig.app.current,
        Some(room(1)),
        "nor one who left and typed on"
    );
}

#[test]
fn room_pending_leave_is_rejoined_locally() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| snapshot.rooms[1].wanted = Some(Kind::Leave));
    rig.type_in("/join DB");
    let todo = rig.act(Action::Submit);
    let join = msg::Effect::Enqueue {
        room: room(2),
        kind: Kind::Join,
        body: String::new(),
    };
    assert!(
        todo.contains(&join) && rig.app.current == Some(room(2)),
        "{todo:?}"
    );
    rig.load(|snapshot| snapshot.rooms[1].wanted = Some(Kind::Join));
    rig.type_in("/join lobby");
    assert!(
        !rig.act(Action::Submit)
            .iter()
            .any(|todo| matches!(todo, msg::Effect::Enqueue { .. } | msg::Effect::Ask(_)))
    );
}

#[test]
fn leaving_a_room_shows_another_one() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/leave");
    let todo = rig.act(Action::Submit);
    assert!(
        todo.iter().any(|todo| matches!(
            todo,
            msg::Effect::Enqueue {
                kind: Kind::Leave,
                ..
            }
        )),
        "{todo:?}"
    );
    rig.load(|_| {});
    assert_eq!(rig.app.current, Some(room(1)), "it may still be rejected");
    rig.load(|snapshot| snapshot.rooms[0].member = false);
    assert_eq!(rig.app.current, Some(room(2)));
    rig.act(Action::PreviousRoom);
    let left = |snapshot: &mut Snapshot| snapshot.rooms[0].member = false;
    rig.load(left);
    rig.type_in("too late");
    assert!(
        !rig.act(Action::Submit)
            .iter()
            .any(|todo| matches!(todo, msg::Effect::Submit { .. }))
    );
    assert!(
        rig.shows("> too late") && rig.shows("/join ops first"),
        "{:#?}",
        rig.screen()
    );
    rig.load(|snapshot| {
        left(snapshot);
        snapshot.pending.push(Pending {
            kind: Kind::Join,
            ..pending(1, "", OwnMark::Queued)
        });
    });
    assert!(
        rig.act(Action::Submit)
            .iter()
            .any(|todo| matches!(todo, msg::Effect::Submit { .. })),
        "the join goes before it"
    );
}
