//! What is typed: it is sent, kept, returned or edited.

use super::*;

#[test]
fn failed_join_returns_to_the_composer() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/join nowhere");
    rig.act(Action::Submit);
    rig.input(msg::Input::Answered(
        asked(),
        Err("no such room".to_owned()),
    ));
    assert_eq!(
        rig.app
            .composer()
            .map(|composer| composer.text().to_owned())
            .as_deref(),
        Some("/join nowhere")
    );
}

#[test]
fn rejected_message_shows_reason_and_is_editable() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| snapshot.rooms[2].has_rejected = true);
    assert!(rig.shows(" lobby ✗"), "{:#?}", rig.screen());
    rig.load(|snapshot| snapshot.pending.push(pending(1, "hm", OwnMark::Rejected)));
    assert!(
        rig.shows("rejected: you are muted here"),
        "{:#?}",
        rig.screen()
    );
    let todo = rig.act(Action::EditRejected);
    assert_eq!(
        rig.app.composer().map(|composer| composer.text()),
        Some("hm")
    );
    assert_eq!(
        todo,
        [msg::Effect::SaveDraft(room(1))],
        "it is kept as rejected until the new text is on disk"
    );
    assert!(
        rig.act(Action::EditRejected).is_empty(),
        "the composer is not overwritten"
    );
    rig.type_in("!");
    let replaces = Some(EntryId::from_parts(101, [0; 10]));
    let submit = msg::Effect::Submit {
        room: room(1),
        kind: Kind::Message,
        body: "hm!".to_owned(),
        replaces,
    };
    assert_eq!(rig.act(Action::Submit), [submit]);
    rig.input(msg::Input::Submitted(Ok(Outcome::Queued)));
    rig.type_in("another");
    let todo = rig.act(Action::Submit);
    assert!(
        matches!(&todo[..], [msg::Effect::Submit { replaces: None, .. }]),
        "once: {todo:?}"
    );
    rig.input(msg::Input::Submitted(Ok(Outcome::Queued)));
    rig.act(Action::EditRejected);
    rig.act(Action::ClearLine);
    rig.type_in("something else");
    let todo = rig.act(Action::Submit);
    assert!(
        matches!(&todo[..], [msg::Effect::Submit { replaces: None, .. }]),
        "the edit was given up: {todo:?}"
    );
}

#[test]
fn edit_of_a_message_retried_elsewhere_is_a_new_one() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| snapshot.pending.push(pending(1, "hm", OwnMark::Rejected)));
    rig.act(Action::EditRejected);
    rig.type_in("!");
    rig.act(Action::Submit);
    rig.input(msg::Input::Submitted(Ok(Outcome::NotFound)));
    assert!(rig.shows("> hm!"), "{:#?}", rig.screen());
    assert!(rig.shows("Enter sends it as a new message"));
    let todo = rig.act(Action::Submit);
    assert!(
        matches!(&todo[..], [msg::Effect::Submit { replaces: None, .. }]),
        "{todo:?}"
    );
}

#[test]
fn composer_clears_once_text_is_on_disk() {
    let mut rig = ScreenFixture::new();
    rig.type_in("hello");
    let todo = rig.act(Action::Submit);
    assert_eq!(
        todo,
        [msg::Effect::Submit {
            room: room(1),
            kind: Kind::Message,
            body: "hello".to_owned(),
            replaces: None
        }]
    );
    assert!(rig.shows("> hello"));
    assert_eq!(
        rig.act(Action::Submit),
        [],
        "a second Enter before the answer is the same entry"
    );
    rig.input(msg::Input::Submitted(Err("the disk is full".to_owned())));
    assert!(
        rig.shows("> hello") && rig.shows("the disk is full"),
        "{:#?}",
        rig.screen()
    );
    rig.act(Action::Submit);
    rig.input(msg::Input::Submitted(Ok(Outcome::OutboxFull)));
    assert!(rig.shows("> hello") && rig.shows("The outbox is full"));
    rig.act(Action::Submit);
    rig.input(msg::Input::Submitted(Ok(Outcome::Queued)));
    assert!(!rig.shows("> hello"));
}

#[test]
fn room_opened_during_submit_keeps_its_draft() {
    let mut rig = ScreenFixture::new();
    rig.app
        .composers
        .entry(Some(room(2)))
        .or_default()
        .set("draft of db".to_owned());
    rig.type_in("for ops");
    rig.act(Action::Submit);
    rig.app.going_to = Some(rig.app.intention(room(2)));
    rig.load(|_| {});
    assert_eq!(rig.app.current, Some(room(2)));
    rig.input(msg::Input::Submitted(Ok(Outcome::Queued)));
    assert_eq!(
        rig.app.composer().map(|composer| composer.text()),
        Some("draft of db")
    );
    assert!(
        rig.app.composers[&Some(room(1))].is_empty(),
        "or it would be sent twice"
    );
}

#[test]
fn too_long_text_is_reported_before_enter() {
    let mut rig = ScreenFixture::new();
    rig.input(msg::Input::Paste("x".repeat(20_000)));
    assert!(
        rig.shows("Too long: 20000 of 16384 bytes"),
        "{:#?}",
        rig.screen()
    );
    assert_eq!(rig.act(Action::Submit), []);
    rig.act(Action::ClearLine);
    rig.input(msg::Input::Paste("\u{1}".repeat(9_000)));
    assert!(rig.shows("Too long once encoded"), "{:#?}", rig.screen());
    assert_eq!(
        rig.app.composer().map(|composer| composer.text().len()),
        Some(9_000)
    );
}

#[test]
fn text_cleared_for_a_command_can_be_restored() {
    let mut rig = ScreenFixture::new();
    rig.type_in("my precious text");
    rig.act(Action::ClearLine);
    rig.type_in("/nick ann");
    rig.act(Action::Submit);
    rig.act(Action::ClearLine);
    let text = |rig: &ScreenFixture| {
        rig.app
            .composer()
            .map(|composer| composer.text().to_owned())
    };
    assert_eq!(text(&rig).as_deref(), Some("my precious text"));
    rig.act(Action::Submit);
    rig.input(msg::Input::Submitted(Ok(Outcome::Queued)));
    rig.act(Action::ClearLine);
    assert_eq!(text(&rig).as_deref(), Some(""), "it was sent");
}

#[test]
fn returned_line_goes_to_its_room() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/join nowhere");
    rig.act(Action::Submit);
    let by = rig.app.intention(room(1));
    rig.act(Action::NextRoom);
    rig.input(msg::Input::Answered(
        ServerQuestion::Enter(by),
        Err("no such room".to_owned()),
    ));
    assert_eq!(rig.app.composers[&Some(room(1))].text(), "/join nowhere");
    assert!(
        rig.app
            .composer()
            .is_none_or(|composer| composer.is_empty())
    );
}

#[test]
fn ctrl_d_quits_on_an_empty_line_only() {
    let mut rig = ScreenFixture::new();
    rig.type_in("ab");
    rig.act(Action::Home);
    rig.act(Action::DeleteOrQuit);
    assert_eq!(
        rig.app.composer().map(|composer| composer.text()),
        Some("b")
    );
    rig.act(Action::DeleteOrQuit);
    assert_eq!(rig.act(Action::DeleteOrQuit), [msg::Effect::Quit]);
    rig.type_in("?");
    assert!(rig.shows("> ?"), "a question mark is text");
}
