//! The ladder: rows for events, drawn at 100 columns.

use std::time::Duration;

use super::*;
use crate::chaos::{Direction, What};
use crate::cli::demo::show::event::TypedLine;
use crate::client::Cause;
use crate::client::link::{LinkState, Wait};
use crate::protocol::Dial;
use crate::tui::LADDER_ROWS_MAX;
use crate::tui::{FrameWhat, SeenFrame};
use crate::tui::{LadderTime, LadderView, Signs};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Events at given times, and the rows that they make.
struct LadderFixture {
    ladder: ShowLadder,
    nets: Nets,
    at: Duration,
}

fn id(n: u64) -> EntryId {
    EntryId::from_parts(n, [0; 10])
}

impl LadderFixture {
    /// A connection is up.
    fn connected() -> Self {
        let mut fixture = Self {
            ladder: ShowLadder::new("ana"),
            nets: Nets::default(),
            at: Duration::ZERO,
        };
        fixture.proxy(What::Opened { connection: 1 });
        fixture.frame(1, FrameWhat::Hello { resumes: false });
        fixture.frame(1, FrameWhat::Welcome { resumed: false });
        fixture.ladder.diagram.clear();
        fixture
    }

    fn apply(&mut self, event: ShowEvent) {
        self.at += MS(100);
        let recorded = Recorded { at: self.at, event };
        if let ShowEvent::Proxy(what) = &recorded.event {
            self.nets.landfall.on_proxy(what, self.at);
        }
        self.ladder.apply(&recorded, &self.nets);
    }

    fn proxy(&mut self, what: What) {
        self.apply(ShowEvent::Proxy(what));
    }

    fn frame(&mut self, dial: u64, what: FrameWhat) {
        let dial = Dial(dial);
        self.apply(ShowEvent::Frame(SeenFrame {
            n: 1,
            dial,
            bytes: 100,
            what,
        }));
    }

    fn sends(&mut self, dial: u64, n: u64) {
        let text = format!("line {n}").into();
        self.frame(dial, FrameWhat::Send { id: id(n), text });
    }

    fn acks(&mut self, dial: u64, n: u64) {
        self.frame(
            dial,
            FrameWhat::Ack {
                id: id(n),
                seq: Seq(n),
            },
        );
    }

    fn waits(&mut self, drawn: u64, longest: u64) {
        let cause = Cause::Refused;
        let backoff = LinkState::Backoff {
            attempt: 1,
            until: MS(0),
            cause,
        };
        let wait = Wait {
            drawn: MS(drawn),
            longest: MS(longest),
        };
        self.apply(ShowEvent::Link(backoff, Some(wait)));
    }

    fn ends(&mut self, connection: u64) {
        self.proxy(What::Ended {
            connection,
            reset: true,
            up: 0,
            down: 0,
            lost: 0,
        });
    }

    fn logs(&mut self, n: u64) {
        let added = vec![(Seq(n), id(n), format!("line {n}").into())];
        self.apply(ShowEvent::Log(LogChange {
            truncated_after: None,
            added,
            head: Seq(n),
        }));
    }

    fn drawn(&self) -> Vec<String> {
        let view = LadderView {
            columns: 100,
            signs: Signs { ascii: false },
            time: LadderTime::Since(Duration::ZERO),
        };
        let rows = self
            .ladder
            .diagram
            .rows
            .iter()
            .map(|row| view.row(row, false).text());
        // the time is not what these tests are about
        rows.map(|row| {
            row.chars()
                .skip(9)
                .collect::<String>()
                .trim_end()
                .to_owned()
        })
        .collect()
    }
}

fn held() -> What {
    What::Held {
        connection: 1,
        way: Direction::Up,
        bytes: 9,
    }
}

#[test]
fn line_lost_in_a_stall_is_sent_again_under_its_id() {
    let mut fixture = LadderFixture::connected();
    fixture.proxy(held());
    fixture.sends(1, 7);
    assert!(fixture.drawn()[0].contains("── \"line 7\" ") && !fixture.drawn()[0].contains('▸'));
    fixture.ends(1);
    fixture.waits(400, 500);
    fixture.waits(1_600, 2_000);
    fixture.frame(2, FrameWhat::Hello { resumes: true });
    fixture.frame(2, FrameWhat::Welcome { resumed: true });
    fixture.sends(2, 7);
    fixture.acks(2, 7);
    let rows = fixture.drawn();
    assert!(
        rows[0].contains('✂') && rows[0].ends_with("lost in the network"),
        "{rows:#?}"
    );
    assert!(
        rows[1].contains("connection reset") && rows[1].starts_with(" ┊"),
        "{rows:#?}"
    );
    assert!(
        rows[2].contains("░· waits 0.4 s (of up to 0.5)"),
        "{rows:#?}"
    );
    assert!(rows[2].ends_with("attempt 1: refused"), "{rows:#?}");
    assert!(
        rows[3].contains("░░░░░░·· waits 1.6 s (of up to 2)"),
        "{rows:#?}"
    );
    assert!(
        rows[5].contains("◂─") && rows[5].contains("welcome back, same session"),
        "{rows:#?}"
    );
    assert!(
        rows[6].contains("again, same id") && rows[6].contains("▸│■"),
        "{rows:#?}"
    );
    assert!(rows[6].ends_with("added as number 7"), "{rows:#?}");
}

#[test]
fn lost_ack_shows_that_the_line_arrived() {
    let mut fixture = LadderFixture::connected();
    fixture.sends(1, 7);
    fixture.logs(7);
    let kind = "ack".to_owned();
    fixture.proxy(What::Swallowed {
        connection: 1,
        kind,
    });
    fixture.ends(1);
    fixture.frame(2, FrameWhat::Hello { resumes: true });
    fixture.sends(2, 7);
    fixture.acks(2, 7);
    let rows = fixture.drawn();
    assert!(rows[0].contains("▸│■"), "it arrived: {rows:#?}");
    assert!(
        rows[1].contains("✂──") && rows[1].ends_with("the answer is lost"),
        "{rows:#?}"
    );
    let again = rows
        .iter()
        .find(|row| row.contains("again, same id"))
        .expect("sent again");
    assert!(again.ends_with("had it: not added twice"), "{rows:#?}");
}

#[test]
fn frame_without_an_answer_is_not_claimed_to_be_lost() {
    let mut fixture = LadderFixture::connected();
    fixture.sends(1, 7);
    fixture.ends(1);
    let rows = fixture.drawn();
    assert!(
        rows[0].contains("┄┄┄ ?") && rows[0].ends_with("no answer"),
        "{rows:#?}"
    );
}

/// A restored server adds what it had before: the others' clients, too, are a row.
#[test]
fn line_sent_to_a_restored_server_is_added() {
    let mut fixture = LadderFixture::connected();
    fixture.logs(1);
    fixture.apply(ShowEvent::Servers(ServerAction::Copy));
    for (n, author) in [(2, "ana"), (3, "bob")] {
        fixture.apply(ShowEvent::Typed(TypedLine {
            author,
            id: id(n),
            text: format!("line {n}").into(),
        }));
    }
    fixture.sends(1, 2);
    fixture.acks(1, 2);
    fixture.logs(2);
    fixture.logs(3);
    fixture.apply(ShowEvent::Servers(ServerAction::Restore));
    fixture.ends(1);
    fixture.frame(2, FrameWhat::Hello { resumes: true });
    fixture.sends(2, 2);
    // it is seen over another client's connection, whose own view may be older still
    fixture.acks(2, 2);
    for added in [
        vec![],
        vec![(Seq(2), id(3), "line 3".into())],
        vec![(Seq(2), id(3), "line 3".into())],
    ] {
        fixture.apply(ShowEvent::Log(LogChange {
            truncated_after: Some(Seq(1)),
            added,
            head: Seq(2),
        }));
    }
    let rows = fixture.drawn().join("\n");
    assert!(
        rows.contains("again, same id") && rows.contains("added as number 2"),
        "{rows}"
    );
    assert!(!rows.contains("had it"), "{rows}");
    assert_eq!(rows.matches("given back 1 line").count(), 1, "{rows}");
}

/// The trace of frames may be recorded after the proxy's event.
#[test]
fn frame_recorded_after_the_end_is_before_it() {
    let mut fixture = LadderFixture::connected();
    fixture.proxy(held());
    fixture.ends(1);
    fixture.sends(1, 7);
    fixture.waits(300, 500);
    let rows = fixture.drawn();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert!(
        rows[0].contains("line 7") && rows[0].contains('✂'),
        "{rows:#?}"
    );
    assert!(rows[1].contains("connection reset"), "{rows:#?}");
    fixture.frame(2, FrameWhat::Hello { resumes: true });
    fixture.sends(2, 7);
    assert!(fixture.drawn().join("").contains("again, same id"));
}

#[test]
fn acknowledgements_that_follow_each_other_are_one_row() {
    let mut fixture = LadderFixture::connected();
    (1..=3).for_each(|n| fixture.sends(1, n));
    (1..=3).for_each(|n| fixture.acks(1, n));
    let rows = fixture.drawn();
    assert_eq!(rows.len(), 4, "{rows:#?}");
    assert!(rows[3].contains("acknowledged: 3 lines"), "{rows:#?}");
    assert!(rows[3].ends_with("✓ number 3"), "{rows:#?}");
}

#[test]
fn entries_that_follow_each_other_are_one_row() {
    let mut fixture = LadderFixture::connected();
    let entries = |first: u64, last: u64, is_page| FrameWhat::Entries {
        first: Seq(first),
        last: Seq(last),
        ids: vec![id(first + 1_000)],
        is_page,
    };
    fixture.frame(1, entries(6, 6, false));
    fixture.frame(1, entries(7, 1_013, false));
    fixture.frame(1, FrameWhat::Fetch);
    fixture.frame(1, entries(1_020, 1_030, true));
    let rows = fixture.drawn();
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert!(rows[0].contains("numbers 6 to 1,013"), "{rows:#?}");
    assert!(
        rows[1].contains("fetch") && rows[1].contains('▸'),
        "{rows:#?}"
    );
}

#[test]
fn pages_of_a_gap_are_one_row() {
    let mut fixture = LadderFixture::connected();
    for n in 0..50 {
        let (first, last) = (Seq(n * 10 + 1), Seq(n * 10 + 10));
        let ids = (first.0..=last.0)
            .map(|n| EntryId::from_parts(n, [1; 10]))
            .collect();
        fixture.frame(
            1,
            FrameWhat::Entries {
                first,
                last,
                ids,
                is_page: true,
            },
        );
        fixture.frame(1, FrameWhat::Fetch);
        fixture.frame(1, FrameWhat::Ping);
        fixture.frame(1, FrameWhat::Pong);
    }
    let rows = fixture.drawn();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert!(
        rows[0].contains("numbers 1 to 500") && rows[0].contains("50 frames"),
        "{rows:#?}"
    );
}

#[test]
fn text_of_a_line_cannot_draw_on_the_screen() {
    let mut fixture = LadderFixture::connected();
    let text = "a\u{1b}[2Jb\nc".into();
    fixture.frame(1, FrameWhat::Send { id: id(1), text });
    assert!(!fixture.drawn()[0].contains(['\u{1b}', '\n']));
}

#[test]
fn ladder_is_bounded() {
    let mut fixture = LadderFixture::connected();
    for n in 0..3 * LADDER_ROWS_MAX as u64 {
        fixture.sends(1, n);
    }
    assert!(fixture.ladder.diagram.rows.len() <= LADDER_ROWS_MAX);
    assert!(
        fixture
            .drawn()
            .last()
            .is_some_and(|row| row.contains("line 5999"))
    );
}
