//! The status bar and the notices.

use super::*;

#[test]
fn bar_names_every_link_state() {
    let mut rig = ScreenFixture::new();
    rig.app.size = (110, 12);
    rig.app.now = Duration::from_secs(10);
    let cause = Cause::NoAnswer {
        waited: Duration::from_secs(5),
    };
    let states = [
        (LinkState::Connecting { attempt: 1 }, "◌ connecting"),
        (
            LinkState::Connecting { attempt: 3 },
            "◌ connecting (attempt 3)",
        ),
        (
            LinkState::Resyncing {
                rooms_left: 2,
                entries_left: 71,
            },
            "◑ catching up · 71 messages in 2 rooms",
        ),
        (LinkState::Connected { rtt: None }, "● connected"),
        (
            LinkState::Backoff {
                attempt: 4,
                until: Duration::from_millis(15_200),
                cause,
            },
            "◐ reconnecting in 6 s (attempt 4, Ctrl-R: now)",
        ),
        (LinkState::Offline { why: Cause::Person }, "○ offline"),
    ];
    for (state, words) in states {
        rig.link(state);
        assert!(
            rig.screen()[11].starts_with(words),
            "{words}: {}",
            rig.screen()[11]
        );
    }
}

#[test]
fn narrow_bar_keeps_state_and_counts() {
    let mut rig = ScreenFixture::new();
    rig.app.now = Duration::from_secs(10);
    rig.app.counts = OutboxCounts {
        queued: 11,
        acked: 31,
        oldest: Some(NOON),
        ..OutboxCounts::default()
    };
    rig.app.wall = NOON + 3_000;
    let cause = Cause::Dropped {
        what: "reset".to_owned(),
    };
    rig.link(LinkState::Backoff {
        attempt: 6,
        until: Duration::from_millis(11_200),
        cause,
    });
    let mut bar = |columns| {
        rig.app.size = (columns, 12);
        rig.screen()[11]
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        bar(110),
        "◐ reconnecting in 2 s (attempt 6, Ctrl-R: now) · connection lost: reset ◌ 11 saved ✓ 31 on the server"
    );
    assert_eq!(
        bar(90),
        "◐ reconnecting in 2 s (attempt 6, Ctrl-R: now) · connection lost: reset ◌ 11 ✓ 31"
    );
    assert_eq!(
        bar(60),
        "◐ reconnecting in 2 s (attempt 6, Ctrl-R: now) ◌ 11 ✓ 31"
    );
    assert_eq!(bar(40), "◐ reconnecting in 2 s ◌ 11 ✓ 31");
    assert_eq!(bar(28), "◐ reconnecting… ◌ 11 ✓ 31");
}

#[test]
fn new_user_sees_their_name_once() {
    let mut rig = ScreenFixture::new();
    assert!(!rig.shows("You are"), "{:#?}", rig.screen());
    rig.app.is_new = None;
    rig.load(|snapshot| snapshot.me = Mine::default());
    rig.load(|snapshot| {
        snapshot.me = Mine {
            account: Some(me()),
            name: "guest".to_owned(),
            url: None,
        }
    });
    assert!(
        rig.shows("You are \"guest\". Change it with /nick NAME · F1: help"),
        "{:#?}",
        rig.screen()
    );
    rig.app.notice = None;
    rig.load(|_| {});
    assert!(!rig.shows("You are"), "{:#?}", rig.screen());
}

#[test]
fn offer_to_restore_ends_with_the_next_key() {
    let mut rig = ScreenFixture::new();
    rig.type_in("half a message");
    rig.act(Action::ClearLine);
    assert!(rig.shows("again restores it"));
    rig.act(Action::Insert('x'));
    assert!(!rig.shows("again restores it"));
}

#[test]
fn unanswered_time_counts_from_the_sending() {
    let mut rig = ScreenFixture::new();
    rig.app.size = (100, 30);
    rig.load(|snapshot| {
        snapshot.counts = OutboxCounts {
            unacked: 3,
            oldest: Some(NOON - 720_000),
            ..OutboxCounts::default()
        };
    });
    assert!(rig.shows("3 sent") && !rig.shows("no acknowledgement"));
    rig.app.now = Duration::from_secs(60);
    rig.app.status.unanswered_since = Some(Duration::from_secs(55));
    assert!(rig.shows("3 sent, no acknowledgement for 5 s"));
}

#[test]
fn error_about_a_line_goes_with_it() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/jion ops");
    rig.act(Action::Submit);
    assert!(rig.shows("Unknown command /jion"));
    rig.act(Action::DeleteToStart);
    assert!(!rig.shows("Unknown command /jion"), "{:#?}", rig.screen());
}

#[test]
fn rejected_name_does_not_hide_rejected_message() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| {
        snapshot
            .pending
            .push(pending(1, "a text", OwnMark::Rejected));
        snapshot.pending.push(Pending {
            kind: Kind::Rename,
            ..pending(2, "bob", OwnMark::Rejected)
        });
    });
    let shown = rig
        .screen()
        .iter()
        .filter(|row| row.contains("Alt-E"))
        .count();
    assert_eq!(shown, 1, "{:#?}", rig.screen());
    rig.load(|snapshot| {
        snapshot
            .pending
            .push(pending(1, "a text", OwnMark::Rejected));
        snapshot.pending.push(Pending {
            kind: Kind::Redaction,
            ..pending(2, "", OwnMark::Rejected)
        });
        snapshot.pending.push(Pending {
            kind: Kind::Redaction,
            ..pending(3, "", OwnMark::Queued)
        });
    });
    let redactions = rig
        .screen()
        .iter()
        .filter(|row| row.contains("deleting a message"))
        .count();
    assert_eq!(redactions, 1, "rejected quietly it would seem to be done");
    rig.act(Action::EditRejected);
    assert!(rig.shows("> a text"));
}

#[test]
fn rejection_in_another_room_is_pointed_out() {
    let mut rig = ScreenFixture::new();
    rig.type_in("/retry");
    rig.act(Action::Submit);
    assert!(
        rig.shows("Nothing to retry in this room") && !rig.shows("see #"),
        "{:#?}",
        rig.screen()
    );
    rig.load(|snapshot| snapshot.rooms[2].has_rejected = true);
    for (line, expected) in [
        ("/retry", "Nothing to retry"),
        ("/discard", "Nothing to discard"),
    ] {
        rig.type_in(line);
        rig.act(Action::Submit);
        assert!(
            rig.shows(&format!("{expected} in this room · see #lobby")),
            "{:#?}",
            rig.screen()
        );
    }
}
