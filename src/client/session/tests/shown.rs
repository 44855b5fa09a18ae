//! What a session counts and shows.

use super::*;
use crate::client::link::LinkState;

impl SessionFixture {
    fn doing(&self) -> &'static str {
        let rooms = self.session.details(self.now).rooms;
        let details = rooms.iter().find(|details| details.room == room());
        details.expect("the account is a member").doing
    }
}

#[test]
fn frames_and_rejections_are_counted() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.reject(1, RejectCode::NotMember, None);
    let figures = rig.session.details(rig.now).of_link;
    // In: welcome, room, opened, reject. Out: hello, open, send.
    assert_eq!((figures.frames_in, figures.frames_out), (4, 3));
    assert_eq!((figures.sent, figures.rejected), (1, 1));
    rig.type_in(room(), 2);
    rig.reject(2, RejectCode::NotMember, None);
    assert_eq!(rig.session.details(rig.now).of_link.rejected, 2);
}

#[test]
fn requests_to_the_store_are_numbered_in_order() {
    let mut rig = SessionFixture::connected();
    (1..4).for_each(|n| rig.type_in(room(), n));
    rig.ack(1, 1);
    rig.cut_link();
    rig.type_in(room(), 4); // now the store is only asked
    rig.type_in(room(), 5);
    rig.redial();
    let tickets: Vec<_> = rig
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(ticket, _) | Effect::Ask(ticket, _) => Some(ticket.0),
            _ => None,
        })
        .collect();
    assert!(tickets.len() > 5, "{tickets:?}");
    assert!(tickets.is_sorted_by(|a, b| a < b), "{tickets:?}");
}

#[test]
fn rooms_to_catch_up_are_counted_once() {
    let mut rig = SessionFixture::new(loaded());
    let rooms_left = |rig: &SessionFixture| match rig.session.link_state() {
        LinkState::Resyncing { rooms_left, .. } => rooms_left,
        other => panic!("{other:?}"),
    };
    rig.upgrade();
    rig.welcome(3);
    assert_eq!(rooms_left(&rig), 3, "one of them is stored");
    for (n, named) in [room(), other_room(), RoomId::from_random([12; 16])]
        .into_iter()
        .enumerate()
    {
        let frame = SessionFixture::room_frame(named, Position::start(named));
        rig.hear(ServerFrame::Room(frame));
        assert_eq!(rooms_left(&rig), 3, "{n}");
    }
    rig.opened(Position::start(room()), Position::start(room()));
    assert_eq!(rooms_left(&rig), 2);
}

#[test]
fn presence_and_deferral_are_shown_by_room() {
    let mut rig = SessionFixture::connected();
    let status = |rig: &SessionFixture| rig.session.status().rooms[&room()].clone();
    rig.hear(ServerFrame::Presence {
        room: room(),
        online: 3,
    });
    assert_eq!((status(&rig).online, status(&rig).deferral), (3, None));
    rig.type_in(room(), 1);
    rig.reject(1, RejectCode::RateLimited, None);
    assert_eq!(status(&rig).deferral, Some("no".into()));
    rig.pass_until(|rig| rig.sent.len() > 2 && rig.session.details(rig.now).of_link.resent > 0);
    rig.ack(1, 1);
    assert_eq!(status(&rig).deferral, None);
}

#[test]
fn details_name_what_happens_in_a_room() {
    let mut rig = SessionFixture::new(loaded());
    assert_eq!(rig.doing(), "");
    rig.connect();
    assert_eq!(rig.doing(), "opening");
    let (at, _) = log(&(1..=40).collect::<Vec<_>>(), &[40]);
    rig.opened(at[0], at[2]);
    assert_eq!(rig.doing(), "catching up");
    rig.page(40, 0, 2, None);
    assert_eq!(rig.doing(), "live");
    rig.page(40, 30, 40, None);
    assert_eq!(rig.doing(), "filling a gap");
    let request = rig.fetches().pop().expect("a fetch").request;
    rig.page(40, 2, 30, Some(request));
    assert_eq!(rig.doing(), "live");
    let below = Head {
        room: room(),
        seq: Seq(30),
        chain: at[30].chain,
    };
    rig.hear(ServerFrame::Pong {
        n: 0,
        heads: vec![below],
    });
    assert_eq!(rig.doing(), "opening", "it is compared while it is live");
    rig.opened(at[40], at[40]);
    assert_eq!(rig.doing(), "live");
    rig.type_in(room(), 90);
    rig.reject(90, RejectCode::OutOfOrder, None);
    assert_eq!(rig.doing(), "comparing");
    rig.disk_pauses = true;
    rig.hear(ServerFrame::Diverged { room: room() });
    assert_eq!(rig.doing(), "comparing", "the store looks for positions");
    rig.disk_pauses = false;
    rig.locator = vec![at[30], at[0]];
    rig.pending.clear();
    let ticket = rig.session.out.last_ticket();
    let positions = rig.locator.clone();
    rig.input(Input::Found(
        ticket,
        Found::Locator {
            room: room(),
            positions,
        },
    ));
    rig.disk_pauses = true;
    rig.opened(at[30], at[30]);
    assert_eq!(rig.doing(), "truncating");
}

#[test]
fn every_state_change_is_in_the_journal() {
    let mut rig = SessionFixture::connected();
    rig.cut_link();
    let words: Vec<_> = rig
        .writes
        .iter()
        .filter_map(|w| {
            if let Write::Journal(line) = w {
                Some((line.from, line.to))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        words,
        [
            (None, LinkPhase::Connecting),
            (Some(LinkPhase::Connecting), LinkPhase::Resyncing),
            (Some(LinkPhase::Resyncing), LinkPhase::Connected),
            (Some(LinkPhase::Connected), LinkPhase::Backoff)
        ]
    );
}

#[test]
fn journal_counts_sent_and_deduplicated() {
    let mut rig = SessionFixture::connected();
    (1..=2).for_each(|n| rig.type_in(room(), n));
    rig.ack(1, 1); // the ack of the second one is lost with the connection
    rig.now += s(20);
    rig.cut_link();
    let lines = |rig: &SessionFixture| -> Vec<JournalLine> {
        let line = |write: &Write| {
            if let Write::Journal(line) = write {
                Some(line.clone())
            } else {
                None
            }
        };
        rig.writes.iter().filter_map(line).collect()
    };
    let line = lines(&rig).pop().expect("a line");
    assert_eq!(
        (line.from, line.to),
        (Some(LinkPhase::Connected), LinkPhase::Backoff)
    );
    let ended = line.numbers.ended.expect("a link ended");
    let LinkCounters {
        sent,
        resent,
        acked,
        deduplicated,
        ..
    } = ended.figures;
    assert_eq!(
        (ended.up_ms, sent, resent, acked, deduplicated),
        (20_000, 2, 0, 1, 0)
    );
    assert!(
        line.numbers.wait_ms <= line.numbers.wait_max_ms && line.numbers.wait_max_ms == Some(500)
    );
    rig.redial();
    rig.upgrade();
    rig.welcome(1);
    let (at, _) = log(&[1, 2], &[1, 2]);
    rig.hear(ServerFrame::Room(SessionFixture::room_frame(room(), at[2])));
    assert_eq!(rig.sends().len(), 2);
    assert_eq!(
        lines(&rig)
            .pop()
            .and_then(|line| line.numbers.welcome)
            .map(|reported| reported.resumed),
        Some(false)
    );
    rig.ack(1, 1);
    rig.ack(2, 2);
    let details = rig.session.details(rig.now);
    let LinkCounters {
        sent,
        resent,
        acked,
        deduplicated,
        ..
    } = details.of_link;
    assert_eq!((sent, resent, acked, deduplicated), (2, 2, 2, 2));
    assert_eq!((details.of_process.sent, details.of_process.acked), (4, 3));
}

#[test]
fn inspector_shows_the_timers_of_the_link() {
    let mut rig = SessionFixture::connected();
    let timers = |rig: &SessionFixture| rig.session.details(rig.now).timers;
    assert_eq!(
        (timers(&rig).ping_at, timers(&rig).suspicious_at),
        (Some(s(30)), None)
    );
    rig.type_in(room(), 1);
    let due = timers(&rig).suspicious_at.expect("an ack is waited for");
    assert_eq!(rig.session.details(rig.now).window.entries, 1);
    rig.now = due;
    rig.input(Input::Tick);
    let (since, by) = timers(&rig).pong_by.expect("a ping is out");
    assert_eq!((since, timers(&rig).ping_at), (due, None));
    rig.now = by;
    rig.input(Input::Tick);
    let details = rig.session.details(rig.now);
    assert!(
        details.timers.dial_at.is_some() && details.waits.len() == 1,
        "{details:?}"
    );
    assert_eq!((details.limits.failures, details.doublings), (1, 1));
}

#[test]
fn pending_values_keep_newest_and_count_skipped() {
    let mut rig = SessionFixture::connected();
    let signal = |n: u64| Signal {
        room: room(),
        kind: "live".into(),
        key: Some("cpu".into()),
        value: Some(format!("{n} {}", "v".repeat(500))),
        account: None,
        at: None,
        skipped: 0,
    };
    (0..50).for_each(|n| rig.input(Input::Command(Command::Signal(signal(n)))));
    let sent_values = |rig: &mut SessionFixture| -> Vec<(String, u64)> {
        let signals = rig.sent.drain(..).filter_map(|f| {
            if let ClientFrame::Signal(s) = f {
                Some(s)
            } else {
                None
            }
        });
        signals
            .map(|s| {
                (
                    s.value
                        .unwrap_or_default()
                        .split(' ')
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                    s.skipped,
                )
            })
            .collect()
    };
    let asked = rig.pings();
    assert_eq!(asked.len(), 1, "a slow link is asked for an answer");
    assert_eq!(
        sent_values(&mut rig)
            .iter()
            .map(|(value, _)| value.as_str())
            .collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    rig.hear(ServerFrame::Pong {
        n: asked[0],
        heads: Vec::new(),
    });
    assert_eq!(sent_values(&mut rig), [("49".to_owned(), 45)]);
    rig.cut_link();
    (50..60).for_each(|n| rig.input(Input::Command(Command::Signal(signal(n)))));
    rig.redial();
    rig.connect();
    assert_eq!(
        sent_values(&mut rig),
        [("59".to_owned(), 9)],
        "expired values are not sent"
    );
}
