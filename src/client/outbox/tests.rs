//! Which entry is sent next, and the effect of each answer.

mod answers;
mod rows;
mod windows;

use std::time::Duration;

use super::*;
use crate::planted_bug::PlantedBug;
use crate::protocol::limits::WINDOW_ENTRIES_MAX;
use crate::protocol::{Reject, RejectCode};

fn room(n: u8) -> RoomId {
    RoomId::from_random([n; 16])
}

fn id(n: i64) -> EntryId {
    EntryId::from_parts(n as u64, [0; 10])
}

fn row(order: i64, room: RoomId, bytes: usize) -> OutboxRow {
    OutboxRow {
        order,
        id: id(order),
        room,
        bytes,
        acked: None,
        frozen: false,
    }
}

/// A stored own entry, far above those that the tests acknowledge.
fn own(n: i64, order: i64) -> Option<OwnLast> {
    Some(OwnLast {
        seq: Seq(1_000),
        id: id(n),
        order,
    })
}

fn outbox(n: i64) -> Outbox {
    let mut outbox = Outbox::new(ClientLimits::default());
    outbox.load((1..=n).map(|order| row(order, room(1), 10)).collect());
    outbox
}

const fn flight(sent_at: Now, sent_up_to: u64) -> Flight {
    Flight {
        sent_at,
        sent_up_to,
        is_resent: false,
    }
}

const fn added(above: i64, rows: Vec<OutboxRow>, is_whole: bool) -> AddedRows {
    AddedRows {
        above,
        rows,
        is_whole,
    }
}

fn new_rows(above: i64, limit: usize) -> Option<NewRows> {
    let last = Some(id(above));
    Some(NewRows { above, last, limit })
}

fn orders(outbox: &Outbox) -> Vec<i64> {
    outbox.rows.iter().map(|row| row.order).collect()
}

/// Sends all sendable entries. Returns their order and predecessors.
fn send(outbox: &mut Outbox, own_last: Option<OwnLast>) -> Vec<(EntryId, Option<EntryId>)> {
    let taken = outbox.take_sendable(Now::ZERO, |_| true);
    let place = |outbox: &Outbox, id| {
        outbox
            .queues
            .keys()
            .copied()
            .find(|room| outbox.contains(*room, id))
    };
    taken
        .into_iter()
        .map(|id| {
            let room = place(outbox, id).expect("is in a room");
            let after = match outbox.predecessor(room, id, own_last) {
                Predecessor::Withheld => panic!("{id} is to be sent"),
                Predecessor::First => None,
                Predecessor::After(entry) => Some(entry),
            };
            outbox.on_sent(room, id, Now::ZERO, 0);
            (id, after)
        })
        .collect()
}

fn reject(n: i64, code: RejectCode, last: Option<EntryId>) -> Reject {
    Reject {
        id: id(n),
        room: room(1),
        code,
        reason: String::new(),
        last,
        retry_after_ms: None,
    }
}

#[test]
fn each_entry_names_the_one_before_it() {
    let mut outbox = outbox(3);
    let own = own(99, i64::MIN);
    assert_eq!(
        send(&mut outbox, own),
        [
            (id(1), Some(id(99))),
            (id(2), Some(id(1))),
            (id(3), Some(id(2)))
        ]
    );
    assert_eq!(
        send(&mut outbox, own),
        [],
        "nothing is sent twice on one link"
    );
}

#[test]
fn outbox_entry_above_a_gap_is_the_predecessor() {
    let mut outbox = outbox(3);
    // stored above a gap, while the entry before it lies in the gap
    outbox.on_entry(room(1), id(2));
    assert_eq!(
        send(&mut outbox, own(2, 2)),
        [(id(1), Some(id(2))), (id(3), Some(id(2)))]
    );
    let mut outbox = Outbox::new(ClientLimits::default());
    let acked = OutboxRow {
        acked: Some(Seq(7)),
        ..row(1, room(1), 10)
    };
    outbox.load(vec![acked, row(2, room(1), 10)]);
    let sent = send(&mut outbox, own(9, i64::MIN));
    assert_eq!(
        sent[1],
        (id(2), Some(id(9))),
        "a restored store has only the seq"
    );
}

#[test]
fn outbox_truncated_log_resends_when_idle() {
    let mut outbox = outbox(3);
    send(&mut outbox, None);
    outbox.on_ack(room(1), id(1), Seq(1));
    outbox.use_hint(room(1), id(60));
    outbox.on_truncated(room(1));
    outbox.on_truncated(room(2));
    assert_eq!(outbox.lowest_ack(room(1)), None);
    assert_eq!(send(&mut outbox, None), [], "two are still in flight");
    outbox.on_ack(room(1), id(2), Seq(1));
    outbox.on_ack(room(1), id(3), Seq(2));
    assert_eq!(
        send(&mut outbox, own(50, i64::MIN)),
        [(id(1), Some(id(50)))]
    );
}

#[test]
fn outbox_lowest_ack_and_oldest_flight_span_rooms() {
    let mut outbox = Outbox::new(ClientLimits::default());
    outbox.load(vec![
        row(1, room(1), 1),
        row(2, room(1), 1),
        row(3, room(2), 1),
    ]);
    for (n, of, at) in [(1, 1, 3), (2, 1, 2), (3, 2, 1)] {
        outbox.take_sendable(Now::ZERO, |_| true);
        outbox.on_sent(room(of), id(n), Duration::from_secs(at), n as u64);
    }
    assert_eq!(outbox.waiting(), Some(flight(Duration::from_secs(1), 3)));
    assert_eq!(outbox.oldest_flight().map(|oldest| oldest.id), Some(id(3)));
    outbox.on_ack(room(1), id(1), Seq(9));
    outbox.on_ack(room(1), id(2), Seq(8));
    assert_eq!(
        (outbox.lowest_ack(room(1)), outbox.lowest_ack(room(2))),
        (Some(Seq(8)), None)
    );
}
