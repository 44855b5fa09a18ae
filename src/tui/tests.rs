//! The screen as a user sees it: a state, an input, and the text that is drawn.

mod inspector;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Style;

use super::action::Action;
use super::app::{App, LINES_MAX};
use super::composer::Composer;
use super::key::Key;
use super::keymap::key_of;
use super::msg;
use super::msg::Intention;
use super::msg::{Ask, ServerQuestion, Snapshot};
use super::popups::Popup;
use super::theme::Theme;
use super::view;
use crate::client::link::{Limits, LinkState};
use crate::client::session::{Command, RoomStatus, Status};
use crate::client::store::{Hit, Line, Mine, OutboxCounts, OwnMark, Pending, RoomRow};
use crate::client::{Cause, Outcome};
use crate::protocol::{
    AccountId, Answer, DeviceId, EntryId, Kind, RejectCode, RoomId, RoomInfo, Seq, Signal,
};

/// Mon 23 Nov 2026, 14:02 UTC.
const NOON: u64 = 1_795_442_520_000;

fn me() -> AccountId {
    AccountId::from_random([1; 16])
}

fn room(n: u8) -> RoomId {
    RoomId::from_random([n; 16])
}

/// A user who wants to enter a room, and has done nothing since.
fn asked() -> ServerQuestion {
    ServerQuestion::Enter(Intention {
        room: room(1),
        count: 0,
    })
}

fn row(n: u8, name: &str, unread: u64) -> RoomRow {
    RoomRow {
        room: room(n),
        name: name.to_owned(),
        topic: if n == 1 {
            "deploys and incidents".to_owned()
        } else {
            String::new()
        },
        member: true,
        wanted: None,
        head: Seq(9),
        top: Seq(9),
        bottom: Seq(1),
        read: Seq(9u64.saturating_sub(unread)),
        unread,
        mentioned: false,
        has_rejected: false,
        draft: String::new(),
    }
}

fn line(seq: u64, name: &str, body: &str) -> Line {
    let is_mine = name == "you";
    Line {
        seq: Seq(seq),
        id: EntryId::from_parts(seq, [0; 10]),
        author: if is_mine { me() } else { AccountId::NIL },
        name: name.to_owned(),
        device: DeviceId::NIL,
        kind: Kind::Message,
        body: body.to_owned(),
        redacted: false,
        edited: false,
        at: NOON + seq * 60_000,
        composed_at: NOON,
        mark: is_mine.then_some(OwnMark::Delivered),
    }
}

fn pending(n: u64, body: &str, mark: OwnMark) -> Pending {
    Pending {
        id: EntryId::from_parts(100 + n, [0; 10]),
        room: room(1),
        room_name: "ops".to_owned(),
        kind: Kind::Message,
        body: body.to_owned(),
        composed_at: NOON + 300_000,
        discarded: false,
        mark,
        acked: None,
        rejection: (mark == OwnMark::Rejected)
            .then(|| (RejectCode::BadEntry, "you are muted here".to_owned())),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        me: Mine {
            account: Some(me()),
            name: "cy".to_owned(),
            url: None,
        },
        rooms: vec![row(1, "ops", 0), row(2, "db", 3), row(3, "lobby", 0)],
        counts: OutboxCounts {
            acked: 128,
            ..OutboxCounts::default()
        },
        room: Some(room(1)),
        lines: vec![
            line(1, "ana", "rolling out 4.2 now"),
            line(2, "you", "watching the graphs"),
        ],
        pending: Vec::new(),
        gaps: Vec::new(),
        aside: 0,
        at_start: true,
        at_end: true,
    }
}

fn status(link: LinkState) -> Status {
    let here = RoomStatus {
        online: 4,
        live: true,
        missing: 0,
        healing: false,
        deferral: None,
    };
    Status {
        link,
        limits: Limits::NONE,
        last_cause: None,
        account: Some(me()),
        device: DeviceId::NIL,
        unanswered_since: None,
        rooms: std::sync::Arc::new(BTreeMap::from([(room(1), here)])),
    }
}

struct ScreenFixture {
    app: App,
}

impl ScreenFixture {
    fn new() -> Self {
        let theme = Theme::new(true, false);
        let connected = LinkState::Connected {
            rtt: Some(Duration::from_millis(20)),
        };
        let mut app = App::new(theme, TimeZone::UTC, status(connected));
        app.size = (72, 12);
        app.wall = NOON + 400_000;
        let mut rig = Self { app };
        rig.input(msg::Input::Loaded(Box::new(snapshot()))); // chooses a room
        rig.load(|_| {});
        rig
    }

    fn input(&mut self, msg: msg::Input) -> Vec<msg::Effect> {
        let mut effects = msg::Effects::new();
        self.app.update(msg, &mut effects);
        effects
    }

    /// Presses the key of an action; in another context than the chat it may do something else.
    fn act(&mut self, action: Action) -> Vec<msg::Effect> {
        let key = match action {
            Action::Insert(c) => Key::from(c),
            action => key_of(action).parse().expect("every action has a key"),
        };
        self.input(msg::Input::Key(key))
    }

    fn type_in(&mut self, text: &str) {
        for c in text.chars() {
            self.act(Action::Insert(c));
        }
    }

    fn load(&mut self, change: impl FnOnce(&mut Snapshot)) -> Vec<msg::Effect> {
        let mut snapshot = snapshot();
        snapshot.room = self.app.current;
        change(&mut snapshot);
        self.input(msg::Input::Loaded(Box::new(snapshot)))
    }

    fn link(&mut self, link: LinkState) {
        self.input(msg::Input::Status(Box::new(status(link))));
    }

    /// Returns the drawn text, without the blanks at the ends of rows.
    fn screen(&self) -> Vec<String> {
        let (columns, rows) = self.app.size;
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
        terminal
            .draw(|frame| view::draw(frame, &self.app))
            .expect("a screen");
        let buffer = terminal.backend().buffer();
        let row = |y| {
            let (mut text, mut skip) = (String::new(), 0);
            for x in 0..columns {
                let symbol = buffer[(x, y)].symbol();
                if skip == 0 {
                    text.push_str(symbol);
                    skip = super::text::width(symbol).max(1);
                }
                skip -= 1;
            }
            text.trim_end().to_owned()
        };
        (0..rows).map(row).collect()
    }

    fn shows(&self, text: &str) -> bool {
        self.screen().iter().any(|row| row.contains(text))
    }
}

#[test]
fn screen_shows_room_users_state_and_delivery() {
    let mut rig = ScreenFixture::new();
    rig.app.log.new_after = Some(Seq(2));
    rig.load(|snapshot| {
        snapshot
            .lines
            .push(line(3, "bob", "replica lag is back to zero"));
        snapshot
            .pending
            .push(pending(1, "thanks, closing the incident", OwnMark::Queued));
        snapshot.counts.queued = 1;
        snapshot.counts.oldest = Some(NOON + 388_000);
    });
    rig.type_in("and now");
    let expected = [
        " rooms          │ #ops · deploys and incidents                 4 online",
        "▌ops            │",
        " db           3 │",
        " lobby          │ ── Mon 23 Nov ───────────────────────────────────────",
        "                │ 14:03 ana        rolling out 4.2 now",
        "                │ 14:04 you        watching the graphs                ✓✓",
        "                │ ── new ──────────────────────────────────────────────",
        "                │ 14:05 bob        replica lag is back to zero",
        "                │ 14:07 you        thanks, closing the incident       ◌",
        "────────────────┴───────────────────────────────────────────────────────",
        "> and now",
        "● connected · 20 ms         ◌ 1 saved, oldest 12 s  ✓ 128 on the server",
    ];
    let screen = rig.screen();
    assert_eq!(screen, expected, "{screen:#?}");
}

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
fn rows_of_uncertain_width_are_rewritten_whole() {
    use ratatui::buffer::{Buffer, CellDiffOption};
    let area = ratatui::layout::Rect::new(0, 0, 12, 3);
    let mut uncertain = std::collections::BTreeSet::new();
    let mut whole = |rows: [&str; 3]| {
        let mut buffer = Buffer::empty(area);
        for (y, row) in rows.iter().enumerate() {
            buffer.set_string(0, y as u16, row, Style::default());
        }
        view::write_uncertain_rows_whole(&mut buffer, &mut uncertain);
        [0, 1, 2]
            .map(|y| (0..12).all(|x| buffer[(x, y)].diff_option == CellDiffOption::AlwaysUpdate))
    };
    assert_eq!(whole(["plain", "日本語 wide", "é"]), [false; 3]);
    assert_eq!(
        whole(["thumbs 👍🏽 up", "flag 🇩🇪", "plain"]),
        [true, true, false]
    );
    assert_eq!(whole(["plain", "plain", "heart ❤️"]), [true; 3]);
    assert_eq!(whole(["plain", "plain", "plain"]), [false, false, true]);
}

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
fn screen_at_rest_needs_no_redraw() {
    let mut rig = ScreenFixture::new();
    assert_eq!(
        rig.app.counts_down_in(),
        None,
        "connected and idle, nothing is drawn"
    );
    rig.app.now = Duration::from_secs(10);
    rig.link(LinkState::Backoff {
        attempt: 1,
        until: Duration::from_millis(12_300),
        cause: Cause::Start,
    });
    rig.app.notice = None;
    assert_eq!(rig.app.counts_down_in(), Some(301));
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
fn typing_is_shown_until_the_message_arrives() {
    let mut rig = ScreenFixture::new();
    let shown = |todo: Vec<msg::Effect>| {
        todo.iter()
            .any(|todo| matches!(todo, msg::Effect::Command(Command::Signal(_))))
    };
    let press = |rig: &mut ScreenFixture, c| shown(rig.act(Action::Insert(c)));
    assert!(
        press(&mut rig, 'h') && !press(&mut rig, 'i'),
        "once for a while"
    );
    rig.app.now += Duration::from_secs(4);
    assert!(press(&mut rig, '!'));
    rig.act(Action::ClearLine);
    rig.app.now += Duration::from_secs(4);
    assert!(!press(&mut rig, '/'), "commands are not announced");
    rig.act(Action::Backspace);
    rig.link(LinkState::Backoff {
        attempt: 2,
        until: rig.app.now,
        cause: Cause::Person,
    });
    assert!(!press(&mut rig, 'x'), "not connected");
    rig.link(LinkState::Connected { rtt: None });
    rig.act(Action::Backspace);

    let heard = |who| {
        msg::Input::Typing(Signal {
            account: Some(who),
            ..super::typing(room(1))
        })
    };
    assert!(
        !rig.shows("the link is lost"),
        "the notice went with its reason"
    );
    rig.input(heard(me()));
    assert!(!rig.shows("typing"), "one's own other screen");
    rig.input(heard(AccountId::NIL));
    assert!(rig.shows("─ ana is typing"), "{:#?}", rig.screen());
    rig.load(|snapshot| snapshot.lines.push(line(3, "ana", "there")));
    assert!(!rig.shows("typing"));
    rig.input(heard(AccountId::NIL));
    assert_eq!(rig.app.counts_down_in(), Some(6_001));
    rig.app.now += Duration::from_secs(6);
    assert!(!rig.shows("typing"));
    assert_eq!(rig.app.counts_down_in(), None);
}

#[test]
fn marks_differ_without_colour_and_unicode() {
    let marks = [
        OwnMark::Queued,
        OwnMark::Sent,
        OwnMark::Acked,
        OwnMark::Delivered,
        OwnMark::Read,
        OwnMark::Rejected,
    ];
    for (color, ascii) in [(true, false), (false, false), (true, true), (false, true)] {
        let theme = Theme::new(color, ascii);
        let mut shown: Vec<_> = marks
            .iter()
            .map(|mark| format!("{:?}", theme.mark(*mark)))
            .collect();
        shown.sort();
        shown.dedup();
        assert_eq!(
            shown.len(),
            marks.len(),
            "colour {color}, ascii {ascii}: {shown:?}"
        );
        assert!(!ascii || marks.iter().all(|mark| theme.mark(*mark).0.is_ascii()));
    }
}

#[test]
fn ascii_mode_draws_only_ascii() {
    let mut rig = ScreenFixture::new();
    rig.app.theme = Theme::new(false, true);
    rig.load(|snapshot| {
        snapshot.gaps = vec![(Seq(1), 5)];
        snapshot.rooms[1].draft = "half".to_owned();
        snapshot.rooms[0].topic = "long ".repeat(99);
        snapshot.pending.push(pending(1, "no", OwnMark::Rejected));
    });
    let separator = "·"; // Latin-1, which every terminal has
    for popup in [None, Some(Popup::help()), Some(Popup::room_picker())] {
        rig.app.popup = popup;
        for row in rig.screen() {
            assert!(row.replace(separator, "").is_ascii(), "{row}");
        }
    }
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
fn gap_is_shown_between_its_neighbours() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| {
        snapshot.lines.push(line(7, "bob", "after the gap"));
        snapshot.gaps = vec![(Seq(2), 4)];
    });
    let screen = rig.screen();
    let gap = screen
        .iter()
        .position(|row| row.contains("4 messages missing, loading"))
        .expect("a gap");
    assert!(
        screen[gap - 1].contains("watching the graphs")
            && screen[gap + 1].contains("after the gap")
    );
}

#[test]
fn own_message_in_gap_is_shown_at_its_seq() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| {
        snapshot.lines.push(line(9, "bob", "after the gap"));
        snapshot.gaps = vec![(Seq(2), 6)];
        snapshot.pending = vec![
            Pending {
                acked: Some(Seq(5)),
                ..pending(1, "typed first", OwnMark::Acked)
            },
            pending(2, "typed last", OwnMark::Queued),
        ];
    });
    let screen = rig.screen();
    let at = |what: &str| {
        screen
            .iter()
            .position(|row| row.contains(what))
            .expect("is on screen")
    };
    let order = [
        "messages missing",
        "typed first",
        "after the gap",
        "typed last",
    ]
    .map(at);
    assert!(order.is_sorted(), "{screen:#?}");
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
fn foreign_text_is_sanitized_everywhere() {
    let evil = "a\u{1b}]0;owned\u{7}\u{202e}b\u{9b}31m\rc";
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| {
        snapshot.lines.push(Line {
            name: evil.to_owned(),
            ..line(3, "x", evil)
        });
        snapshot.lines.push(Line {
            name: evil.to_owned(),
            kind: Kind::Topic,
            ..line(4, "x", evil)
        });
        snapshot.rooms[0].topic = evil.to_owned();
        snapshot.rooms[1].name = evil.to_owned();
        let mut rejected = pending(1, evil, OwnMark::Rejected);
        rejected.rejection = Some((RejectCode::BadEntry, evil.to_owned()));
        snapshot.pending.push(rejected);
    });
    rig.input(msg::Input::Answered(asked(), Err(evil.to_owned())));
    let members = vec![crate::protocol::Member {
        account: AccountId::NIL,
        name: evil.to_owned(),
        online: true,
        delivered: Seq(1),
        read: Seq(1),
    }];
    let is_harmless = |rig: &ScreenFixture| {
        let drawn = rig.screen().concat();
        assert!(
            drawn
                .chars()
                .all(|c| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)),
            "{drawn:?}"
        );
        assert!(drawn.contains("owned"), "shown, and harmlessly");
    };
    is_harmless(&rig);
    rig.input(msg::Input::Answered(
        ServerQuestion::Who(rig.app.intention(room(1)), evil.to_owned()),
        Ok(Answer::Members {
            members,
            more: false,
        }),
    ));
    is_harmless(&rig);
}

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
fn scrolled_view_stays_and_one_key_returns() {
    let mut rig = ScreenFixture::new();
    let many = |n: u64| {
        (1..=n)
            .map(|seq| line(seq, "ana", &format!("line {seq}")))
            .collect::<Vec<_>>()
    };
    rig.load(|snapshot| snapshot.lines = many(40));
    rig.act(Action::PageUp);
    assert!(
        rig.shows("line 34") && !rig.shows("line 40"),
        "{:#?}",
        rig.screen()
    );
    let before: Vec<_> = rig.screen()[1..6].to_vec();
    rig.load(|snapshot| snapshot.lines = many(60));
    assert_eq!(rig.screen()[1..6], before[..]);
    assert!(rig.shows("below, Ctrl-End"));
    rig.act(Action::ToBottom);
    assert!(rig.shows("line 60"));
}

#[test]
fn lines_loaded_for_the_screen_are_bounded() {
    let mut rig = ScreenFixture::new();
    rig.load(|snapshot| snapshot.lines = vec![line(10_201, "ana", "newest")]);
    for page in 0..20 {
        let lines = (1..=200)
            .map(|n| line(10_000 - 200 * page + n, "ana", "x"))
            .collect();
        rig.input(msg::Input::Earlier(lines));
        assert!(rig.app.log.lines.len() <= LINES_MAX);
    }
    assert!(
        !rig.app.log.at_end,
        "the newest are loaded again for the bottom"
    );
    assert_eq!(rig.act(Action::ToBottom), [msg::Effect::Load]);
}

#[test]
fn only_visible_messages_count_as_read() {
    let read = |todo: &[msg::Effect]| {
        todo.iter()
            .any(|todo| matches!(todo, msg::Effect::Command(Command::Read { .. })))
    };
    let more = |snapshot: &mut Snapshot| {
        snapshot.rooms[0].read = Seq(2);
        snapshot.lines.push(line(3, "bob", "new"));
    };
    let mut rig = ScreenFixture::new();
    rig.input(msg::Input::Focused(false));
    assert!(!read(&rig.load(more)), "the window is not visible");
    assert!(read(&rig.input(msg::Input::Focused(true))));
    let mut rig = ScreenFixture::new();
    rig.app.popup = Some(Popup::help());
    assert!(!read(&rig.load(more)), "something lies over it");
    assert!(read(&rig.act(Action::Escape)));
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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Bodies, names, topics, reasons and drafts are anybody's bytes; the screen is the terminal's.
    #[test]
    fn no_control_character_is_drawn(
        text in ".{0,60}",
        codes in proptest::collection::vec(proptest::sample::select(vec![
            "\u{1b}[2J", "\u{1b}]0;x\u{7}", "\u{9b}31m", "\r", "\u{8}", "\u{202e}", "\u{2066}", "\n", "\t", "\0", "👩‍👩‍👧", "🇩🇪",
        ]), 0..6),
        columns in 20..120_u16,
        rows in 5..20_u16,
    ) {
        let nasty = codes.iter().fold(text, |text, code| format!("{code}{text}{code}x"));
        let mut rig = ScreenFixture::new();
        rig.app.size = (columns, rows);
        rig.load(|snapshot| {
            snapshot.lines.push(Line { body: nasty.clone(), name: nasty.clone(), ..line(8, "ana", "") });
            snapshot.pending.push(pending(1, &nasty, OwnMark::Rejected));
            snapshot.rooms[0].topic.clone_from(&nasty);
            snapshot.rooms[1].name.clone_from(&nasty);
        });
        rig.link(LinkState::Backoff {
            attempt: 2,
            until: Duration::from_secs(3),
            cause: Cause::NotLandfall { what: nasty.clone() },
        });
        rig.app.show_error(nasty.clone());
        rig.input(msg::Input::Paste(nasty));
        let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        for row in rig.screen() {
            proptest::prop_assert!(!row.chars().any(steers), "{row:?}");
        }
    }
}
