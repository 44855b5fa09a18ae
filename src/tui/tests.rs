//! The screen as a user sees it: a state, an input, and the text that is drawn.

mod bar;
mod composing;
mod inspector;
mod popups;
mod rooms;

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
