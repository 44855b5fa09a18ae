//! Late and failed answers of the store, and what other processes wrote.

use super::*;

#[test]
fn store_reply_for_ended_connection_is_ignored() {
    let mut rig = with_three();
    let asked = rig.session.out.last_ticket();
    rig.input(Input::Command(Command::GoOffline(Cause::Person)));
    // The server's last entry of this device was looked up, on a slow disk.
    rig.input(Input::Found(
        asked,
        Found::EntryKnown {
            room: room(),
            id: id(1),
            known: true,
        },
    ));
    rig.input(Input::Command(Command::GoOnline));
    rig.sent.clear();
    rig.connect();
    let opens = rig
        .sent
        .iter()
        .filter(|frame| matches!(frame, ClientFrame::Open(open) if open.room == room()))
        .count();
    assert_eq!(opens, 1, "the room is opened with the new link");
    assert!(!rig.is_withheld());
}

#[test]
fn read_mark_of_another_process_is_reported() {
    let mut rig = with_three();
    let read = rig.top();
    rig.reads = vec![(room(), read)];
    rig.input(Input::ChangedElsewhere);
    let reported = rig.sent.iter().rev().find_map(|frame| {
        if let ClientFrame::Mark(mark) = frame {
            mark.read
        } else {
            None
        }
    });
    assert_eq!(reported, Some(read));
}

#[test]
fn read_mark_during_reload_is_reported_after_it() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::PersistFailed(Ticket(0), store_failed("full")));
    rig.input(Input::Command(Command::Read {
        room: room(),
        seq: Seq(3),
    }));
    rig.reload();
    let read = |effect: &Effect| {
        matches!(
            effect,
            Effect::Persist(_, Write::MarkRead { seq: Seq(3), .. })
        )
    };
    assert!(rig.effects.iter().any(read));
}

#[test]
fn failed_write_of_received_data_reloads() {
    let mut rig = SessionFixture::connected();
    rig.disk_pauses = true;
    rig.hear(entries(&[1], &[], 0));
    let ticket = match rig.pending.pop() {
        Some(Input::Persisted(ticket, _)) => ticket,
        other => panic!("an append, not {other:?}"),
    };
    rig.input(Input::PersistFailed(ticket, store_failed("disk full")));
    assert!(rig.effects.contains(&Effect::Reload));
    assert_eq!(rig.state(), LinkPhase::Backoff);
    let before = rig.session.link_state();
    rig.input(Input::PersistFailed(
        Ticket(9_999),
        store_failed("disk full"),
    ));
    assert_eq!(
        rig.session.link_state(),
        before,
        "one link failed, however many writes of it did"
    );
}

#[test]
fn failed_write_pauses_core_until_reload() {
    let mut rig = SessionFixture::connected();
    rig.input(Input::PersistFailed(
        Ticket(99),
        store_failed("the disk is full"),
    ));
    assert_eq!(rig.effects.last(), Some(&Effect::Reload));
    rig.effects.clear();
    rig.now += s(600);
    let inputs = [
        Input::Tick,
        Input::OutboxGrew,
        Input::Command(Command::FetchBefore(room())),
        Input::Command(Command::Read {
            room: room(),
            seq: Seq(1),
        }),
    ];
    inputs.into_iter().for_each(|input| rig.input(input));
    assert_eq!(rig.effects, []);
    rig.input(Input::Command(Command::Request {
        key: 7,
        op: Op::Rooms {
            after: String::new(),
        },
    }));
    assert!(
        matches!(&rig.effects[..], [Effect::Reply(7, reply)] if reply.ok.is_none()),
        "every request is answered"
    );
    rig.reload();
    assert_eq!(rig.state(), LinkPhase::Connecting);
}

#[test]
fn missing_count_survives_restart_while_offline() {
    let mut start = loaded();
    start.rooms[0].head = Seq(57);
    let rig = SessionFixture::new(start);
    assert_eq!(rig.session.status().rooms[&room()].missing, 57);
}
