//! What a session reports to the server of its rooms, how it compares logs, and what it sends again.

use super::*;

impl SessionFixture {
    /// The delivered and read seqs of each mark.
    fn marks(&self) -> Vec<(Option<u64>, Option<u64>)> {
        let seq = |position: Option<Position>| position.map(|position| position.seq.0);
        let marks = self.sent.iter().filter_map(|frame| match frame {
            ClientFrame::Mark(mark) => Some((seq(mark.delivered), seq(mark.read))),
            _ => None,
        });
        marks.collect()
    }

    /// The server describes the room, with all entries delivered up to a seq.
    fn described(&mut self, member: bool, delivered_here: u64) {
        let described = Room {
            member,
            delivered_here: Seq(delivered_here),
            ..Self::room_frame(room(), self.top())
        };
        self.hear(ServerFrame::Room(described));
    }

    fn read_up_to(&mut self, seq: u64) {
        self.input(Input::Command(Command::Read {
            room: room(),
            seq: Seq(seq),
        }));
    }

    fn appends(&self) -> usize {
        let is_append = |write: &&Write| matches!(write, Write::Append { .. });
        self.writes.iter().filter(is_append).count()
    }
}

#[test]
fn marks_report_only_what_is_new() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2], &[], 0));
    rig.read_up_to(1);
    rig.read_up_to(2);
    assert_eq!(
        rig.marks(),
        [(Some(2), None), (None, Some(1)), (None, Some(2))]
    );
}

#[test]
fn marks_wait_for_every_pending_append() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.hear(entries(&[1], &[], 0));
    rig.hear(entries(&[1, 2], &[], 1));
    let second = rig.pending.pop().expect("an append");
    let first = rig.pending.pop().expect("an append");
    rig.input(first);
    assert_eq!(rig.marks(), [], "the second is not on disk");
    rig.input(second);
    assert_eq!(rig.marks(), [(Some(2), None)]);
}

#[test]
fn nothing_is_reported_of_closed_and_left_rooms() {
    let mut rig = SessionFixture::new(loaded());
    rig.connect();
    rig.read_up_to(1);
    assert_eq!(rig.marks(), [], "its log may be another one");
    rig.opened(Position::start(room()), Position::start(room()));
    rig.hear(ServerFrame::Room(Room {
        member: false,
        ..SessionFixture::room_frame(room(), Position::start(room()))
    }));
    rig.sent.clear();
    rig.hear(entries(&[1], &[], 0));
    assert_eq!(rig.marks(), []);
}

#[test]
fn report_that_waited_follows_the_reply() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1], &[], 0));
    let signal = |n: u64| Signal {
        room: room(),
        kind: "live".into(),
        key: Some(format!("{n}")),
        value: Some("v".repeat(600)),
        account: None,
        at: None,
        skipped: 0,
    };
    (0..5).for_each(|n| rig.input(Input::Command(Command::Signal(signal(n)))));
    rig.sent.clear();
    rig.read_up_to(1);
    assert_eq!(rig.marks(), [], "too much is unanswered");
    let ping = rig.session.out.link.up().is_some();
    assert!(ping);
    rig.hear(ServerFrame::Pong {
        n: 1,
        heads: Vec::new(),
    });
    assert_eq!(rig.marks(), [(None, Some(1))]);
}

#[test]
fn read_position_of_another_process_only_advances() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2, 3, 4, 5], &[], 0));
    rig.read_up_to(3);
    for (seq, is_new) in [(2, false), (3, false), (5, true)] {
        let position = Position {
            seq: Seq(seq),
            ..Position::start(room())
        };
        rig.sent.clear();
        rig.reads = vec![(room(), position)];
        rig.input(Input::ChangedElsewhere);
        assert_eq!(rig.marks().len(), usize::from(is_new), "{seq}");
        let known = rig.session.rooms.read(room()).expect("was read").seq;
        assert_eq!(known, Seq(if is_new { 5 } else { 3 }), "{seq}");
    }
}

#[test]
fn read_position_of_the_store_is_known() {
    let mut loaded = loaded();
    loaded.rooms[0].read = Some(Position {
        seq: Seq(3),
        ..Position::start(room())
    });
    let mut rig = SessionFixture::new(loaded);
    rig.writes.clear();
    rig.read_up_to(2);
    assert_eq!(rig.writes, []);
}

#[test]
fn lost_room_gets_its_name_and_newest_topic_back() {
    let mut loaded = loaded();
    loaded.rooms[0].topic = "of the store".into();
    loaded.rooms[0].own_last = own_last(1);
    for has_new in [false, true] {
        let mut rig = SessionFixture::new(loaded.clone());
        if has_new {
            rig.connect();
            rig.opened(Position::start(room()), Position::start(room()));
            let (at, mut all) = log(&[1, 2], &[]);
            all[0].kind = Kind::Topic;
            all[0].body = "of today".into();
            rig.hear(ServerFrame::Entries(Entries {
                room: room(),
                prev: at[0],
                entries: all,
                skip: None,
                request: None,
            }));
            rig.cut_link();
            rig.redial();
        }
        rig.upgrade();
        rig.welcome(0);
        rig.hear(ServerFrame::Diverged { room: room() });
        let asked = rig.sent.iter().rev().find_map(|frame| match frame {
            ClientFrame::Request { request, .. } => Some(*request),
            _ => None,
        });
        rig.hear(ServerFrame::Reply(Reply {
            request: asked.expect("whether it exists"),
            ok: None,
            code: Some(ReplyCode::NotFound),
            reason: None,
        }));
        let created = rig.sent.iter().find_map(|frame| match frame {
            ClientFrame::Request {
                op: Op::CreateRoom { name, topic, .. },
                ..
            } => Some((name.as_str(), topic.as_str())),
            _ => None,
        });
        let topic = if has_new { "of today" } else { "of the store" };
        assert_eq!(created, Some(("lobby", topic)));
    }
}

#[test]
fn entries_are_ignored_while_logs_are_compared() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1], &[1], 0));
    rig.type_in(room(), 2);
    rig.reject(2, RejectCode::OutOfOrder, None);
    assert!(rig.is_withheld());
    rig.writes.clear();
    rig.hear(entries(&[1, 9], &[1], 1));
    assert_eq!(rig.appends(), 0, "they may be of another log");
}

#[test]
fn one_comparison_at_a_time() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1, 2], &[1, 2], 0));
    rig.type_in(room(), 3);
    rig.sent.clear();
    for _ in 0..2 {
        rig.pong_with_head(Seq(1), Position::start(room()).chain);
    }
    assert_eq!(rig.opens().len(), 1);
    rig.reject(3, RejectCode::OutOfOrder, None);
    assert_eq!(rig.opens().len(), 1);
}

#[test]
fn entry_of_a_compared_room_has_twice_the_time() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1], &[1], 0));
    (2..5).for_each(|n| rig.type_in(room(), n));
    let sent_at = rig.now;
    let due = |rig: &SessionFixture| rig.session.overdue().map(|overdue| overdue.at);
    assert_eq!(due(&rig), None, "nothing proves that it arrived");
    rig.sent.clear();
    rig.pass_until(|rig| !rig.pings().is_empty());
    rig.hear(ServerFrame::Pong {
        n: rig.pings()[0],
        heads: Vec::new(),
    });
    let patience = rig.session.out.link.ack_patience();
    assert_eq!(due(&rig), Some(sent_at + patience));
    rig.reject(2, RejectCode::OutOfOrder, None);
    assert!(rig.is_withheld());
    let patience = rig.session.out.link.ack_patience();
    assert_eq!(due(&rig), Some(sent_at + 2 * patience));
}

#[test]
fn interrupted_resend_is_due_on_the_next_connection() {
    let mut rig = SessionFixture::connected();
    rig.type_in(room(), 1);
    rig.disk_pauses = true;
    let is_resent = |rig: &SessionFixture| {
        let again = |write: &Write| *write == Write::Freeze(vec![id(1)]);
        rig.writes.iter().any(again)
    };
    let answer_pings = |rig: &mut SessionFixture| {
        let pings = rig.pings();
        rig.sent.clear();
        for n in pings {
            let heads = Vec::new();
            rig.hear(ServerFrame::Pong { n, heads });
        }
    };
    let pass_until_resent = |rig: &mut SessionFixture| {
        let end = rig.now + s(120);
        rig.writes.clear();
        while !is_resent(rig) {
            assert!(rig.now < end, "it is never due");
            rig.now = rig.session.deadline().expect("up").max(rig.now);
            rig.input(Input::Tick);
            answer_pings(rig);
        }
    };
    pass_until_resent(&mut rig);
    rig.cut_link(); // before the store has frozen it
    rig.disk_pauses = false;
    rig.redial();
    rig.connect();
    rig.opened(Position::start(room()), Position::start(room()));
    rig.disk_pauses = true;
    rig.pending.clear();
    pass_until_resent(&mut rig);
}

#[test]
fn nothing_is_frozen_without_a_connection() {
    let mut rig = SessionFixture::connected();
    rig.cut_link();
    rig.writes.clear();
    rig.type_in(room(), 1);
    let is_take = |write: &Write| matches!(write, Write::Take(..));
    assert!(!rig.writes.iter().any(is_take), "{:?}", rig.writes);
}

#[test]
fn position_that_was_not_sent_disconnects() {
    let (at, _) = log(&[1, 2, 3], &[1, 2, 3]);
    let member = || {
        let mut rig = SessionFixture::connected();
        rig.hear(entries(&[1, 2], &[1, 2], 0));
        rig
    };
    let opening = || {
        let mut rig = SessionFixture::new(loaded());
        rig.connect();
        (rig, at[0])
    };
    let compared_again = || {
        let mut rig = member();
        rig.pong_with_head(Seq(1), at[1].chain);
        (rig, at[2])
    };
    let unnamed = || {
        let mut rig = SessionFixture::new(loaded());
        rig.upgrade();
        rig.welcome(0);
        (rig, at[0])
    };
    let located = || {
        let mut rig = member();
        rig.locator = vec![at[2], at[0]];
        rig.hear(entries(&[1, 9, 8], &[], 2));
        (rig, at[2])
    };
    let makes: [&dyn Fn() -> (SessionFixture, Position); 4] =
        [&opening, &compared_again, &unnamed, &located];
    for (n, make) in makes.into_iter().enumerate() {
        for is_known in [true, false] {
            let (mut rig, sent) = make();
            rig.opened(if is_known { sent } else { at[3] }, at[3]);
            let is_up = rig.state() != LinkPhase::Backoff;
            assert_eq!(is_up, is_known, "case {n}");
        }
    }
}

#[test]
fn answer_to_a_comparison_lets_messages_pass_again() {
    let mut rig = SessionFixture::connected();
    rig.hear(entries(&[1], &[1], 0));
    rig.type_in(room(), 2);
    rig.reject(2, RejectCode::OutOfOrder, None);
    let top = rig.top();
    rig.sent.clear();
    rig.opened(top, top);
    assert!(!rig.is_withheld());
    assert_eq!(rig.sends(), [(id(2), Some(id(1)))]);
}

#[test]
fn left_room_without_own_entries_is_not_compared() {
    let mut loaded = loaded();
    loaded.rooms[0].member = false;
    let mut rig = SessionFixture::new(loaded);
    rig.upgrade();
    rig.welcome(0);
    assert_eq!(rig.opens().len(), 0);
    assert_eq!(rig.state(), LinkPhase::Connected);
}

#[test]
fn read_position_is_lowered_to_the_common_one() {
    let (at, _) = log(&[1, 2, 3], &[]);
    for (read, lowered) in [(3, 2), (2, 2), (1, 1)] {
        let mut rig = SessionFixture::connected();
        rig.hear(entries(&[1, 2, 3], &[], 0));
        rig.read_up_to(read);
        rig.locator = vec![at[2], at[0]];
        rig.hear(entries(&[1, 9, 8, 7], &[], 3));
        rig.disk_pauses = true;
        rig.opened(at[2], at[2]);
        let known = rig.session.rooms.read(room()).expect("was read").seq;
        assert_eq!(known, Seq(lowered), "read {read}");
    }
}

#[test]
fn head_of_another_log_is_compared_and_the_own_one_is_not() {
    let (at, _) = log(&[1, 2], &[]);
    let (others, _) = log(&[1, 9], &[]);
    let heads: [(Option<Position>, usize); 4] = [
        (None, 0),
        (Some(at[2]), 0),
        (Some(others[2]), 1),
        (Some(at[1]), 1),
    ];
    for (head, opens) in heads {
        let mut rig = SessionFixture::connected();
        rig.hear(entries(&[1, 2], &[], 0));
        rig.sent.clear();
        for _ in 0..3 {
            rig.hear(ServerFrame::Pong {
                n: 0,
                heads: Vec::from_iter(head.map(|Position { seq, chain }| Head {
                    room: room(),
                    seq,
                    chain,
                })),
            });
        }
        assert_eq!(rig.opens().len(), opens, "{head:?}");
    }
}

#[test]
fn marks_are_sent_after_entries_are_stored() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.hear(entries(&[1, 2], &[], 0));
    let marks = |rig: &SessionFixture| {
        rig.sent
            .iter()
            .filter(|f| matches!(f, ClientFrame::Mark(_)))
            .count()
    };
    assert_eq!(marks(&rig), 0);
    let stored = rig.pending.pop().expect("an append");
    rig.input(stored);
    assert_eq!(marks(&rig), 1);
}

#[test]
fn room_joined_while_it_is_open_is_reported() {
    let mut rig = SessionFixture::connected();
    rig.page(5, 0, 5, None);
    rig.sent.clear();
    rig.described(true, 5);
    assert_eq!(rig.marks(), [], "the server has it");
    rig.described(true, 3);
    assert_eq!(rig.marks(), [(Some(5), None)]);
}
