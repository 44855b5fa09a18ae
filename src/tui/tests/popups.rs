//! The popups over the screen.

use super::*;

#[test]
fn every_size_is_drawn_with_every_popup() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| {
        snapshot.lines.push(line(
            3,
            "bob",
            "wide 你好 and 👩‍👩‍👧‍👦 and a long line that has to be wrapped somewhere",
        ));
        snapshot.pending.push(pending(1, "no", OwnMark::Rejected));
    });
    rig.input(msg::Input::Paste("one\ntwo\nthree\n你好".to_owned()));
    let who = Popup::members("ops".to_owned(), Vec::new(), true);
    rig.act(Action::PickRoom);
    rig.act(Action::Insert('o'));
    (0..7).for_each(|_| drop(rig.act(Action::Down)));
    let rooms = rig.app.popup.take();
    let hit = Hit {
        room: room(2),
        room_name: "db".to_owned(),
        line: line(5, "bob", "你好 👩‍👩‍👧‍👦 found"),
    };
    rig.act(Action::Find);
    rig.act(Action::Insert('你'));
    rig.input(msg::Input::Found(vec![hit]));
    let find = rig.app.popup.take();
    rig.act(Action::Help);
    (0..9).for_each(|_| drop(rig.act(Action::PageDown)));
    let help = rig.app.popup.take();
    for popup in [None, help, Some(who), rooms, find] {
        rig.app.popup = popup;
        for columns in (1..80).chain([200]) {
            for rows in (1..14).chain([50]) {
                rig.app.size = (columns, rows);
                rig.screen();
            }
        }
    }
    rig.app.size = (19, 5);
    assert!(rig.screen().join(" ").contains("needs 20x5"));
}

#[test]
fn help_is_readable_on_narrow_screens() {
    for columns in [100, 60, 40] {
        let mut rig = ScreenFixture::new();
        rig.app.size = (columns, 20);
        rig.act(Action::Help);
        let page = |_| {
            let rows = rig.screen().join(" ").replace('│', " ");
            rig.act(Action::Down);
            rows.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let pages: Vec<_> = (0..120).map(page).collect();
        for end in [
            "search messages in all rooms",
            "rejected by the server: edit, retry or discard",
        ] {
            assert!(
                pages.iter().any(|page| page.contains(end)),
                "{end:?} is cut off at {columns} columns"
            );
        }
    }
}

#[test]
fn page_keys_scroll_the_help_by_a_page() {
    let mut rig = ScreenFixture::new();
    rig.app.size = (80, 24);
    rig.act(Action::Help);
    let top = rig.screen();
    // 23 rows are above the status, of which two are the border.
    let mut after = |action| {
        rig.act(action);
        rig.screen()
    };
    let second = after(Action::PageDown);
    assert_eq!(top[20..22], second[1..3], "two rows stay in view");
    assert_eq!(after(Action::PageUp), top);
    let end = (0..20).fold(top.clone(), |_, _| after(Action::PageDown));
    assert!(end.iter().any(|row| row.contains("To select text")));
    assert_ne!(after(Action::Up), end, "the first key up already scrolls");
    assert_eq!(after(Action::Down), end);
    rig.app.size = (80, 30);
    let end = rig.screen();
    rig.act(Action::Up);
    assert_ne!(rig.screen(), end, "also after the screen has grown");
}

#[test]
fn letters_typed_over_a_popup_reach_the_composer() {
    let mut rig = ScreenFixture::new();
    for letter in ['o', 'q'] {
        rig.act(Action::Help);
        rig.act(Action::Insert(letter));
        rig.act(Action::Insert('k'));
    }
    assert!(rig.app.popup.is_none());
    assert_eq!(rig.app.composer().map(Composer::text), Some("okk"));
}

#[test]
fn found_message_is_shown_in_its_room() {
    let mut rig = ScreenFixture::new();
    rig.act(Action::Find);
    for c in "graph".chars() {
        let so_far = rig.act(Action::Insert(c));
        assert!(
            matches!(&so_far[..], [msg::Effect::Find(words)] if words.ends_with(c)),
            "{so_far:?}"
        );
    }
    assert!(rig.shows("search: graph_") && rig.shows("no stored message contains that"));
    let hits = [(2, "the graph of \x1b[31m today"), (1, "graphs")];
    let hit = |(n, body)| Hit {
        room: room(n),
        room_name: "db".to_owned(),
        line: line(5, "bob", body),
    };
    rig.input(msg::Input::Found(hits.map(hit).to_vec()));
    assert!(
        rig.shows("Mon 23 Nov 14:07 #db bob: the graph of ␛[31m today"),
        "{:#?}",
        rig.screen()
    );
    rig.act(Action::Left);
    rig.act(Action::Down);
    rig.act(Action::Up);
    let todo = rig.act(Action::Submit);
    assert!(
        matches!(&todo[..], [msg::Effect::Command(_), msg::Effect::Load]),
        "{todo:?}"
    );
    assert_eq!(rig.app.current, Some(room(2)));
    let many = |snapshot: &mut Snapshot| {
        snapshot.room = Some(room(2));
        snapshot.lines = (1..=9)
            .map(|n| line(n, "bob", &format!("line {n}")))
            .collect();
    };
    let read = rig.load(many);
    assert!(rig.shows("line 5"), "{:#?}", rig.screen());
    assert!(
        !rig.shows("line 9") && read.is_empty(),
        "what lies below it was not seen yet"
    );
    rig.act(Action::Escape);
    rig.load(many);
    assert!(rig.shows("line 9"));
}
