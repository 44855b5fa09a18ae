//! The inspector as a user sees and uses it.

use std::sync::Arc;

use super::super::msg;
use super::*;
use crate::client::link::LinkPhase;
use crate::client::link::{LinkSettings, Now, Timers, Wait};
use crate::client::session::{Details, RoomDetails, Session, Window};
use crate::client::store::JournalRow;
use crate::client::{
    Ended, FrameDirection, JournalDetails, LinkCounters, Loaded, StoredRange, TracedFrame, Tries,
    Write,
};
use crate::protocol::{Dial, InstanceId, Position, Token};
use crate::tui::inspector::{InspectorPage, InspectorSnapshot};

fn details() -> Details {
    let loaded = Loaded {
        device: DeviceId::NIL,
        instance: InstanceId::from_random([4; 16]),
        token: Token::from_random([9; 32]),
        enrol: None,
        server: None,
        account: Some(me()),
        session: None,
        rooms: Vec::new(),
        outbox: Vec::new(),
    };
    let at = |seq| Position {
        seq: Seq(seq),
        ..Position::start(room(1))
    };
    let range = |start, end| StoredRange {
        start: at(start),
        end: at(end),
    };
    Details {
        dial: Dial(7),
        timers: Timers {
            up_since: Some(Now::ZERO),
            ping_at: Some(Duration::from_secs(30)),
            interval: Duration::from_secs(30),
            ..Timers::default()
        },
        rtt: Some(Duration::from_millis(38)),
        rtts: [10, 20, 40].map(Duration::from_millis).into(),
        waits: vec![Wait {
            drawn: Duration::from_millis(300),
            longest: Duration::from_millis(500),
        }],
        of_process: LinkCounters {
            sent: 130,
            resent: 2,
            acked: 128,
            deduplicated: 1,
            ..LinkCounters::default()
        },
        window: Window {
            entries: 1,
            bytes: 12,
            unproved: 300,
        },
        tries: vec![Tries {
            id: EntryId::from_parts(101, [0; 10]),
            bytes: 2,
            sends: 3,
            sent_at: None,
        }],
        rooms: vec![RoomDetails {
            room: room(1),
            name: "ops".to_owned(),
            head: Seq(40),
            ranges: vec![range(0, 10), range(20, 40)],
            missing: 10,
            doing: "filling a gap",
        }],
        ..Session::new(LinkSettings::default(), 1, Now::ZERO, loaded).details(Now::ZERO)
    }
}

fn passed(n: u64, text: &str) -> TracedFrame {
    TracedFrame {
        n,
        at: NOON,
        dial: Dial(7),
        way: FrameDirection::Down,
        bytes: text.len(),
        text: Arc::from(text),
    }
}

fn inspected() -> InspectorSnapshot {
    let line = |at, from, to, cause, numbers| JournalRow {
        n: 1,
        at: NOON + at,
        from,
        to,
        cause: Some(cause),
        numbers,
    };
    let ended = Ended {
        up_ms: 720_000,
        figures: LinkCounters {
            sent: 34,
            acked: 34,
            ..LinkCounters::default()
        },
    };
    InspectorSnapshot {
        details: Some(Box::new(details())),
        traffic: (12_000, 80_000),
        frames: (1..=50)
            .map(|n| passed(n, &format!("{{\"type\":\"pong\",\"n\":{n}}}")))
            .collect(),
        outbox: vec![
            pending(1, "hm", OwnMark::Rejected),
            pending(2, "still here", OwnMark::Queued),
        ],
        journal: vec![
            line(
                0,
                None,
                LinkPhase::Connected,
                Cause::Start,
                JournalDetails::default(),
            ),
            line(
                300_000,
                Some(LinkPhase::Connected),
                LinkPhase::Backoff,
                Cause::Dropped {
                    what: "reset".to_owned(),
                },
                JournalDetails {
                    ended: Some(ended),
                    ..JournalDetails::default()
                },
            ),
        ],
    }
}

fn open(size: (u16, u16)) -> ScreenFixture {
    let mut rig = ScreenFixture::new();
    rig.app.size = size;
    assert_eq!(rig.act(Action::Inspect), [msg::Effect::Inspect]);
    rig.input(msg::Input::Inspected(Box::new(inspected())));
    rig
}

#[test]
fn inspector_shows_the_link_beside_the_chat() {
    let rig = open((120, 30));
    for expected in [
        "connecting ──▸ resyncing ──▸ connected",
        "dial 7 · up since ",
        "every 30 s · next ping at 14:09:10",
        "none: nothing waits for an ack",
        "38 ms     ▂▄█",
        "drew 0.3/0.5 s",
        "130 sent · 2 again · 1 known there",
        "12 kB in 0 frames · ▾ 80 kB in 0",
        "14:07:00 backoff    connection lost: reset; up 12 min:",
        "rolling out 4.2 now",
    ] {
        assert!(rig.shows(expected), "{expected}: {:#?}", rig.screen());
    }
}

#[test]
fn tab_moves_keys_to_and_from_the_inspector() {
    let mut rig = open((120, 30));
    rig.type_in("x");
    assert!(
        rig.app
            .composer()
            .is_none_or(|composer| composer.is_empty()),
        "not into the text"
    );
    assert!(rig.shows("Tab gets back to the text"));
    rig.act(Action::Complete);
    rig.type_in("hello");
    assert_eq!(
        rig.app.composer().map(|composer| composer.text()),
        Some("hello")
    );
    rig.act(Action::Complete);
    rig.type_in("3");
    assert_eq!(
        rig.app.composer().map(|composer| composer.text()),
        Some("hello3"),
        "Tab in a text is the text's"
    );
    rig.act(Action::ClearLine);
    rig.act(Action::Complete);
    rig.type_in("3");
    assert!(
        rig.shows("10 entries to come in 1 of 1 room"),
        "{:#?}",
        rig.screen()
    );
    rig.act(Action::Escape);
    assert!(rig.app.inspector.is_none());
}

#[test]
fn inspector_retries_and_confirms_discard() {
    let mut rig = open((120, 30));
    rig.type_in("2");
    assert!(
        rig.shows("3  rejected: you are muted here · #ops hm"),
        "{:#?}",
        rig.screen()
    );
    let rejected = EntryId::from_parts(101, [0; 10]);
    rig.type_in("d");
    assert!(rig.shows("Press d again to delete this unsent message"));
    rig.act(Action::Down);
    rig.act(Action::Up);
    assert_eq!(
        rig.act(Action::Insert('d')),
        [],
        "something else was selected in between"
    );
    assert_eq!(
        rig.act(Action::Insert('d')),
        [msg::Effect::Discard(rejected)]
    );
    assert_eq!(
        rig.act(Action::Insert('r')),
        [msg::Effect::Write(Write::Retry { id: Some(rejected) })]
    );
    rig.act(Action::Down);
    assert_eq!(
        rig.act(Action::Insert('r')),
        [],
        "an unsent message is sent automatically"
    );
}

#[test]
fn inspector_bar_shows_stored_and_missing() {
    let mut rig = open((96, 30));
    rig.type_in("3");
    assert!(
        rig.shows("#ops 30 of 40 stored filling a gap"),
        "{:#?}",
        rig.screen()
    );
    assert!(
        rig.shows(&["█".repeat(10), "░".repeat(10), "█".repeat(20)].concat()),
        "{:#?}",
        rig.screen()
    );
}

#[test]
fn inspector_frame_selection_stays() {
    let mut rig = open((120, 30));
    rig.type_in("4");
    assert!(rig.shows("\"n\":50"));
    rig.act(Action::Up);
    rig.act(Action::Up);
    rig.act(Action::Submit);
    assert!(rig.shows("\"n\": 48"), "{:#?}", rig.screen());
    let mut more = inspected();
    more.frames
        .extend((51..=60).map(|n| passed(n, "{\"type\":\"ack\"}")));
    rig.input(msg::Input::Inspected(Box::new(more)));
    assert!(rig.shows("\"n\": 48"), "{:#?}", rig.screen());
    rig.type_in("/ack");
    rig.act(Action::Submit);
    assert!(
        rig.shows("the last 10 frames, with ack"),
        "{:#?}",
        rig.screen()
    );
    rig.type_in(" ");
    rig.input(msg::Input::Inspected(Box::new(inspected())));
    assert!(
        rig.shows("the last 10 frames, with ack, paused"),
        "{:#?}",
        rig.screen()
    );
    rig.type_in(" ");
    assert!(
        rig.shows("the last 0 frames, with ack;"),
        "{:#?}",
        rig.screen()
    );
}

#[test]
fn inspector_at_rest_redraws_only_its_timeline() {
    let mut rig = open((120, 30));
    assert_eq!(rig.app.counts_down_in(), Some(60_000));
    let mut waits = inspected();
    let timers = waits.details.as_mut().map(|details| &mut details.timers);
    timers.expect("details").waiting_since = Some(Now::ZERO);
    rig.input(msg::Input::Inspected(Box::new(waits)));
    assert_eq!(rig.app.counts_down_in(), Some(1_000));
}

#[test]
fn inspector_pages_draw_at_every_size() {
    let evil = "a\u{1b}]0;owned\u{7}\u{202e}b\u{9b}31m\rc";
    let mut rig = open((120, 30));
    let mut nasty = inspected();
    nasty.frames.push(passed(51, evil));
    nasty.frames.push(passed(
        52,
        &format!("{{\"type\":\"{evil}\",\"body\":\"{evil}\"}}"),
    ));
    nasty.outbox.push(pending(3, evil, OwnMark::Sent));
    if let Some(details) = &mut nasty.details {
        details.rooms[0].name = evil.to_owned();
    }
    nasty.journal[1].cause = Some(Cause::NotLandfall {
        what: evil.to_owned(),
    });
    rig.input(msg::Input::Inspected(Box::new(nasty)));
    rig.load(|snapshot| (snapshot.lines.clear(), snapshot.pending.clear()).0);
    for ascii in [false, true] {
        rig.app.theme = Theme::new(false, ascii);
        for (page, whole) in InspectorPage::ALL
            .into_iter()
            .flat_map(|page| [(page, false), (page, true)])
        {
            let inspector = rig.app.inspector.as_mut().expect("open");
            (inspector.page, inspector.is_whole) = (page, whole);
            for columns in (20..130).step_by(5).chain([200]) {
                for rows in (5..40).step_by(3) {
                    rig.app.size = (columns, rows);
                    let drawn = rig.screen().concat();
                    assert!(
                        drawn.chars().all(|c| !c.is_control() && c != '\u{202e}'),
                        "{drawn:?}"
                    );
                    let of_ours = drawn.replace(['·', '×', '…', '\u{fffd}'], "");
                    let is_plain = |c: char| c.is_ascii() || ('\u{2400}'..'\u{2440}').contains(&c);
                    assert!(
                        !ascii || of_ours.chars().all(is_plain),
                        "{page:?} {columns}x{rows}: {of_ours}"
                    );
                }
            }
        }
    }
}

#[test]
fn inspector_ladder_opens_the_frame_of_a_row() {
    let mut rig = open((120, 30));
    let mut look = inspected();
    look.frames = vec![
        passed(1, r#"{"type":"hello"}"#),
        passed(2, r#"{"type":"ping","n":5}"#),
        passed(3, r#"{"type":"signal","key":"cpu"}"#),
    ];
    look.frames
        .iter_mut()
        .for_each(|frame| frame.way = FrameDirection::Up);
    look.journal.clear();
    rig.input(msg::Input::Inspected(Box::new(look)));
    rig.act(Action::ShowPage(InspectorPage::Ladder));
    assert!(
        rig.shows("── hello ──") && rig.shows("♥ ping"),
        "{:#?}",
        rig.screen()
    );
    rig.act(Action::SelectUp);
    rig.act(Action::ShowWhole);
    let inspector = rig.app.inspector.as_ref().expect("open");
    assert_eq!(inspector.page, InspectorPage::Frames);
    assert_eq!(inspector.frame().map(|frame| frame.n), Some(1));
    assert!(inspector.is_whole);
}

/// New frames move neither the selection nor, through the filter of another page, the ladder.
#[test]
fn inspector_ladder_selection_stays() {
    let mut rig = open((120, 30));
    let hello = |n, at, dial| TracedFrame {
        way: FrameDirection::Up,
        at: NOON + at,
        dial: Dial(dial),
        ..passed(n, r#"{"type":"hello"}"#)
    };
    let look = |frames: Vec<TracedFrame>| {
        let journal = Vec::new();
        msg::Input::Inspected(Box::new(InspectorSnapshot {
            frames,
            journal,
            ..inspected()
        }))
    };
    let first = vec![
        hello(1, 0, 1),
        hello(2, 0, 2),
        hello(3, 0, 3),
        hello(4, 5, 4),
    ];
    rig.act(Action::ShowPage(InspectorPage::Frames));
    rig.type_in("/nothing");
    rig.act(Action::Submit);
    rig.input(look(first.clone()));
    rig.act(Action::ShowPage(InspectorPage::Ladder));
    rig.act(Action::SelectUp);
    rig.act(Action::SelectUp);
    // the oldest is forgotten, and new ones come
    let later = first
        .into_iter()
        .skip(1)
        .chain([hello(5, 9, 5), hello(6, 9, 6)]);
    rig.input(look(later.collect()));
    rig.act(Action::ShowWhole);
    let inspector = rig.app.inspector.as_ref().expect("open");
    assert_eq!(inspector.frame().map(|frame| frame.n), Some(2));
}
