//! Which entry is sent next, and the effect of each answer.

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
    Some(NewRows { above, limit })
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
fn outbox_reject_in_window_keeps_order() {
    let mut outbox = outbox(4);
    send(&mut outbox, None);
    outbox.on_ack(room(1), id(1), Seq(1));
    assert_eq!(
        outbox.on_reject(&reject(2, RejectCode::Forbidden, None), Now::ZERO),
        Rejected::ForGood
    );
    let order = |n| reject(n, RejectCode::OutOfOrder, Some(id(1)));
    assert_eq!(
        outbox.on_reject(&order(3), Now::ZERO),
        Rejected::Order { last: Some(id(1)) }
    );
    assert_eq!(
        send(&mut outbox, None),
        [],
        "waits for the outstanding answer"
    );
    outbox.on_reject(&order(4), Now::ZERO);
    let again = send(&mut outbox, None);
    assert_eq!(
        again,
        [(id(1), None), (id(3), Some(id(1))), (id(4), Some(id(3)))]
    );
}

#[test]
fn outbox_temporary_reject_pauses_one_room() {
    let mut outbox = Outbox::new(ClientLimits::default());
    outbox.load(vec![row(1, room(1), 1), row(2, room(2), 1)]);
    send(&mut outbox, None);
    let later = Reject {
        retry_after_ms: Some(1_000),
        ..reject(1, RejectCode::RateLimited, None)
    };
    assert_eq!(outbox.on_reject(&later, Now::ZERO), Rejected::Later);
    outbox.add(added(2, vec![row(3, room(2), 1)], true));
    assert_eq!(outbox.take_sendable(Now::ZERO, |_| true), [id(3)]);
    assert_eq!(outbox.deadline(), Some(Duration::from_secs(1)));
    assert_eq!(outbox.take_sendable(Duration::from_secs(1), |_| false), []);
    assert_eq!(
        outbox.deadline(),
        None,
        "a pause that ends while paused twice is not waited for"
    );
    assert_eq!(
        outbox.take_sendable(Duration::from_secs(1), |_| true),
        [id(1)]
    );
}

#[test]
fn unknown_rejection_is_temporary() {
    let mut outbox = outbox(1);
    send(&mut outbox, None);
    assert_eq!(
        outbox.on_reject(&reject(1, RejectCode::Unknown, None), Now::ZERO),
        Rejected::Later
    );
    assert!(outbox.contains(room(1), id(1)));
}

#[test]
fn ack_for_nothing_and_ack_twice_change_nothing() {
    let mut outbox = outbox(1);
    assert_eq!(outbox.on_ack(room(1), id(77), Seq(1)), None);
    assert_eq!(outbox.on_ack(room(9), id(1), Seq(1)), None);
    send(&mut outbox, None);
    assert!(outbox.on_ack(room(1), id(1), Seq(1)).is_some());
    assert_eq!(outbox.on_ack(room(1), id(1), Seq(1)), None);
    assert!(
        outbox.contains(room(1), id(1)),
        "an ack is a promise, an entry is a place"
    );
    assert!(outbox.on_entry(room(1), id(1)));
    assert!(!outbox.on_entry(room(1), id(1)));
}

#[test]
fn own_entry_before_its_ack_ends_the_row() {
    let mut outbox = outbox(2);
    send(&mut outbox, None);
    assert!(outbox.on_entry(room(1), id(1)));
    assert_eq!(outbox.on_ack(room(1), id(1), Seq(1)), None);
    assert_eq!(
        outbox.waiting(),
        Some(flight(Now::ZERO, 0)),
        "the second one still waits"
    );
}

#[test]
fn outbox_new_connection_resends_everything() {
    let mut outbox = outbox(2);
    send(&mut outbox, None);
    outbox.on_ack(room(1), id(1), Seq(1));
    outbox.on_link_changed();
    assert_eq!(
        send(&mut outbox, None),
        [(id(1), None), (id(2), Some(id(1)))]
    );
}

#[test]
fn outbox_unknown_last_is_accepted() {
    let mut outbox = outbox(1);
    send(&mut outbox, own(50, i64::MIN));
    outbox.on_reject(&reject(1, RejectCode::OutOfOrder, Some(id(60))), Now::ZERO);
    outbox.use_hint(room(1), id(60));
    assert_eq!(
        send(&mut outbox, own(50, i64::MIN)),
        [(id(1), Some(id(60)))]
    );
}

#[test]
fn entry_with_void_ack_is_sent_again() {
    let mut outbox = outbox(1);
    send(&mut outbox, None);
    outbox.on_ack(room(1), id(1), Seq(4));
    assert_eq!(outbox.void_acks(room(1), Seq::ZERO, Seq(3)), []);
    assert_eq!(outbox.void_acks(room(1), Seq::ZERO, Seq(4)), [id(1)]);
    assert_eq!(send(&mut outbox, None).len(), 1);
}

#[test]
fn no_room_takes_more_than_half_of_the_window() {
    let mut outbox = Outbox::new(ClientLimits::default());
    let rows = (1..=200).map(|n| row(n, room(if n <= 150 { 1 } else { 2 }), 1));
    outbox.load(rows.collect());
    let sent = send(&mut outbox, None);
    assert_eq!(sent.len(), WINDOW_ENTRIES_MAX);
    assert_eq!(
        sent.iter()
            .filter(|(id, _)| outbox.contains(room(1), *id))
            .count(),
        WINDOW_ENTRIES_MAX / 2
    );
}

#[test]
fn one_large_body_is_always_let_through() {
    let mut outbox = Outbox::new(ClientLimits::default());
    outbox.load(vec![row(1, room(1), 100_000), row(2, room(1), 1)]);
    assert_eq!(send(&mut outbox, None).len(), 1);
}

#[test]
fn outbox_entry_blamed_for_close_is_returned() {
    let mut outbox = outbox(3);
    send(&mut outbox, None);
    assert_eq!(
        outbox.on_blamed(),
        None,
        "three in flight: it is unknown which"
    );
    for strike in 1..=3 {
        outbox.on_link_changed();
        assert_eq!(send(&mut outbox, None).len(), 1, "alone in the window");
        let found = outbox.on_blamed();
        assert_eq!(found, (strike == 3).then_some(id(1)));
    }
    outbox.on_link_changed();
    assert_eq!(send(&mut outbox, None).len(), 2);
}

#[test]
fn outbox_reload_keeps_entries_in_flight() {
    let mut outbox = outbox(2);
    send(&mut outbox, None);
    outbox.load(vec![row(2, room(1), 10), row(3, room(1), 10)]);
    assert_eq!(send(&mut outbox, None), [(id(3), Some(id(2)))]);
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
fn outbox_repeated_order_rejects_back_off() {
    let (mut outbox, mut now, mut waits) = (outbox(2), Now::ZERO, Vec::new());
    let order = |n| reject(n, RejectCode::OutOfOrder, Some(id(9)));
    for _ in 0..14 {
        let at = outbox.queues[&room(1)].paused_until.unwrap_or(now).max(now);
        waits.push((at - now).as_millis());
        now = at;
        for taken in outbox.take_sendable(now, |_| true) {
            outbox.on_sent(room(1), taken, now, 0);
        }
        outbox.on_ack(room(1), id(1), Seq(3)); // known already, each time again: no progress
        outbox.on_reject(&order(2), now);
    }
    assert_eq!(
        waits,
        [
            0, 0, 0, 0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000
        ]
    );
    outbox.on_entry(room(1), id(1));
    assert_eq!(outbox.queues[&room(1)].order_rounds, 0);
}

#[test]
fn outbox_overflow_rows_follow_in_order() {
    let limits = ClientLimits {
        outbox_entries: 4,
        ..ClientLimits::default()
    };
    let mut outbox = Outbox::new(limits);
    let stored: Vec<_> = (1..=7).map(|order| row(order, room(1), 1)).collect();
    outbox.load(stored[..4].to_vec());
    assert!(outbox.has_rows(room(1)) && !outbox.has_rows(room(2)));
    assert_eq!(
        (outbox.request_new_rows(), outbox.request_more_rows()),
        (None, None),
        "it is full"
    );
    outbox.on_entry(room(1), id(1));
    assert_eq!(outbox.request_more_rows(), None, "not half empty yet");
    outbox.on_entry(room(1), id(2));
    assert_eq!(outbox.request_more_rows(), new_rows(4, 2));
    assert_eq!(outbox.request_more_rows(), None, "asked for already");
    outbox.on_entry(room(1), id(3));
    outbox.add(added(4, stored[4..6].to_vec(), false));
    assert_eq!(
        send(&mut outbox, own(3, 3))
            .iter()
            .map(|(id, _)| *id)
            .collect::<Vec<_>>(),
        [id(4), id(5), id(6)]
    );
    assert_eq!(
        [4, 5, 6].map(|n| outbox.on_entry(room(1), id(n))),
        [true; 3]
    );
    assert_eq!(outbox.request_more_rows(), new_rows(6, 4));
    outbox.add(added(6, stored[6..].to_vec(), true));
    assert!(outbox.is_whole);
}

#[test]
fn one_entry_at_a_time_ends_with_the_next_ack() {
    let check = || {
        let mut outbox = outbox(6);
        send(&mut outbox, None);
        assert_eq!(outbox.on_blamed(), None, "it is unknown which");
        outbox.on_link_changed();
        assert_eq!(send(&mut outbox, None).len(), 1, "alone in the window");
        outbox.on_ack(room(1), id(1), Seq(1));
        assert_eq!(send(&mut outbox, None).len(), 5, "all that are left");
    };
    check();
    assert!(crate::planted_bug::is_caught_by(
        PlantedBug::CarefulForEver,
        check
    ));
}

/// An outbox with a small window: `entries` and `bytes` in all, half of both for one room.
fn windowed(entries: usize, bytes: usize, rows: &[(u8, usize)]) -> Outbox {
    let limits = ClientLimits {
        window_entries: entries,
        window_bytes: bytes,
        ..ClientLimits::default()
    };
    let mut outbox = Outbox::new(limits);
    outbox.load(
        rows.iter()
            .zip(1..)
            .map(|((of, bytes), order)| row(order, room(*of), *bytes))
            .collect(),
    );
    outbox
}

fn count(outbox: &mut Outbox) -> usize {
    outbox.take_sendable(Now::ZERO, |_| true).len()
}

#[test]
fn window_limits_entries_in_total_and_per_room() {
    let rows: Vec<(u8, usize)> = (0..12).map(|n| (n / 4 + 1, 1)).collect();
    assert_eq!(
        count(&mut windowed(4, 1_000, &rows)),
        4,
        "two of each of two rooms"
    );
    assert_eq!(
        count(&mut windowed(4, 1_000, &rows[..4])),
        2,
        "half of it for one room"
    );
    assert_eq!(
        count(&mut windowed(1, 1_000, &rows[..4])),
        1,
        "one at least"
    );
    assert_eq!(count(&mut windowed(100, 1_000, &rows)), 12);
}

#[test]
fn window_limits_bytes_in_total_and_per_room() {
    let of = |sizes: &[(u8, usize)]| count(&mut windowed(64, 100, sizes));
    assert_eq!(
        of(&[(1, 30), (1, 20), (1, 1)]),
        2,
        "50 of 100 fit exactly, and not one byte more"
    );
    assert_eq!(
        of(&[(1, 30), (1, 21), (1, 1)]),
        1,
        "in order: what is behind a large one waits with it"
    );
    assert_eq!(of(&[(1, 50), (2, 50), (3, 1)]), 2, "100 in all fit exactly");
    assert_eq!(of(&[(1, 50), (2, 49), (3, 1)]), 3);
    assert_eq!(of(&[(1, 50), (2, 49), (3, 2)]), 2);
    assert_eq!(of(&[(1, 500), (1, 1)]), 1, "one of any size goes alone");
    assert_eq!(
        of(&[(1, 500), (2, 1)]),
        1,
        "and fills the window for all rooms"
    );
    assert_eq!(
        of(&[(1, 0), (1, 50), (1, 0)]),
        3,
        "what has no bytes needs none"
    );
}

#[test]
fn window_counts_rows_taken_before() {
    let mut outbox = windowed(
        64,
        100,
        &[(1, 25), (1, 25), (1, 25), (2, 40), (2, 10), (2, 1)],
    );
    assert_eq!(send(&mut outbox, None).len(), 4, "25 and 25, 40 and 10");
    assert_eq!(count(&mut outbox), 0);
    outbox.on_ack(room(1), id(1), Seq(1));
    assert_eq!(
        send(&mut outbox, None),
        [(id(3), Some(id(2)))],
        "25 are free again, in the room that had them"
    );
    assert_eq!(count(&mut outbox), 0);
}

#[test]
fn outbox_rows_beyond_limit_stay_on_disk() {
    let limits = ClientLimits {
        outbox_entries: 4,
        ..ClientLimits::default()
    };
    let rows = |range: std::ops::RangeInclusive<i64>| {
        range
            .map(|order| row(order, room(1), 1))
            .collect::<Vec<_>>()
    };
    let mut outbox = Outbox::new(limits);
    outbox.load(rows(1..=3));
    assert!(outbox.is_whole, "fewer than fit");
    outbox.load(rows(1..=4));
    assert!(!outbox.is_whole, "there may be more");
    assert_eq!(outbox.request_more_rows(), None, "there is no space");
    assert_eq!(outbox.request_new_rows(), None);
    for n in [1, 2] {
        send(&mut outbox, None);
        outbox.on_ack(room(1), id(n), Seq(n as u64));
        outbox.on_entry(room(1), id(n));
    }
    assert_eq!(
        outbox.request_more_rows(),
        new_rows(4, 2),
        "half of it is free"
    );
    assert_eq!(outbox.request_more_rows(), None, "asked already");
    outbox.add(added(3, rows(4..=6), true));
    assert_eq!(
        (orders(&outbox), outbox.is_whole),
        (vec![3, 4, 5], false),
        "a stored row is not stored twice"
    );
}

#[test]
fn outbox_ignores_rows_asked_for_before_a_load() {
    let limits = ClientLimits {
        outbox_entries: 4,
        ..ClientLimits::default()
    };
    let rows = |range: std::ops::RangeInclusive<i64>| {
        range
            .map(|order| row(order, room(1), 1))
            .collect::<Vec<_>>()
    };
    let check = || {
        let mut outbox = Outbox::new(limits);
        outbox.load(rows(7..=8));
        let NewRows { above, .. } = outbox.request_new_rows().expect("there is space");
        outbox.load(rows(1..=4)); // a truncation put rows back, and more of them than fit
        for n in 1..=4 {
            outbox.on_entry(room(1), id(n));
        }
        outbox.add(added(above, rows(9..=9), true));
        assert!(orders(&outbox).is_empty(), "5 to 8 would never come");
        let NewRows { above, limit } = outbox.request_more_rows().expect("more wait on disk");
        outbox.add(added(above, rows(5..=8), false));
        assert_eq!((above, limit, outbox.rows.len()), (4, 4, 4));
    };
    check();
    assert!(crate::planted_bug::is_caught_by(
        PlantedBug::LateRowsTaken,
        check
    ));
}

#[test]
fn row_that_was_not_taken_is_after_nothing() {
    let mut outbox = outbox(2);
    let predecessor = |outbox: &Outbox, in_room, n| outbox.predecessor(room(in_room), id(n), None);
    assert_eq!(
        predecessor(&outbox, 1, 1),
        Predecessor::Withheld,
        "it is idle"
    );
    assert_eq!(
        predecessor(&outbox, 2, 1),
        Predecessor::Withheld,
        "another room"
    );
    outbox.take_sendable(Now::ZERO, |_| true);
    assert_eq!(predecessor(&outbox, 1, 1), Predecessor::First);
    assert_eq!(predecessor(&outbox, 1, 2), Predecessor::After(id(1)));
    outbox.on_sent(room(1), id(1), Now::ZERO, 0);
    outbox.on_reject(&reject(1, RejectCode::OutOfOrder, None), Now::ZERO);
    assert_eq!(
        predecessor(&outbox, 1, 2),
        Predecessor::Withheld,
        "the room waits for the answers of this round"
    );
}

#[test]
fn row_that_was_not_sent_is_taken_again() {
    let mut outbox = outbox(2);
    assert_eq!(outbox.take_sendable(Now::ZERO, |_| true), [id(1), id(2)]);
    outbox.on_sent(room(1), id(1), Now::ZERO, 7);
    outbox.on_not_sent(room(1), id(1));
    outbox.on_not_sent(room(1), id(2));
    outbox.on_not_sent(room(2), id(2));
    assert_eq!(
        outbox.take_sendable(Now::ZERO, |_| true),
        [id(2)],
        "what is in flight stays there"
    );
    assert_eq!(
        outbox.single_flight(room(1), id(1)),
        Some(flight(Now::ZERO, 7))
    );
}

#[test]
fn attempts_list_contains_rows_in_flight() {
    let mut outbox = Outbox::new(ClientLimits {
        window_entries: 2,
        ..ClientLimits::default()
    });
    let frozen = OutboxRow {
        frozen: true,
        ..row(2, room(1), 20)
    };
    outbox.load(vec![row(1, room(1), 10), frozen, row(3, room(1), 30)]);
    let tries = |outbox: &Outbox| {
        outbox
            .tries()
            .map(|one| (one.id, one.bytes, one.sends, one.sent_at))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tries(&outbox),
        [(id(2), 20, 1, None)],
        "sent by an earlier process"
    );
    outbox.take_sendable(Now::ZERO, |_| true);
    assert_eq!(tries(&outbox), [(id(1), 10, 0, None), (id(2), 20, 1, None)]);
    let now = Duration::from_secs(1);
    outbox.on_sent(room(1), id(1), now, 0);
    assert_eq!(
        tries(&outbox),
        [(id(1), 10, 1, Some(now)), (id(2), 20, 1, None)]
    );
    assert_eq!(
        (outbox.sends(room(1), id(1)), outbox.sends(room(1), id(3))),
        (1, 0)
    );
}

#[test]
fn rows_are_known_by_room_and_id() {
    let mut outbox = outbox(2);
    assert_eq!(
        (outbox.order(room(1), id(2)), outbox.order(room(2), id(2))),
        (Some(2), None)
    );
    send(&mut outbox, None);
    assert!(!outbox.is_acknowledged(room(1), id(1)));
    outbox.on_ack(room(1), id(1), Seq(1));
    assert!(outbox.is_acknowledged(room(1), id(1)) && !outbox.is_acknowledged(room(1), id(2)));
    outbox.forget(id(1));
    assert!(!outbox.contains(room(1), id(1)) && outbox.contains(room(1), id(2)));
}

#[test]
fn one_entry_at_a_time_ends_with_a_final_refusal() {
    let mut outbox = outbox(6);
    send(&mut outbox, None);
    outbox.on_blamed();
    outbox.on_link_changed();
    assert_eq!(send(&mut outbox, None).len(), 1);
    assert_eq!(
        outbox.on_reject(&reject(1, RejectCode::TooBig, None), Now::ZERO),
        Rejected::ForGood
    );
    assert_eq!(send(&mut outbox, None).len(), 5);
}

#[test]
fn outbox_reject_of_unsent_entry_is_ignored() {
    let mut outbox = outbox(3);
    let refuse =
        |outbox: &mut Outbox, n| outbox.on_reject(&reject(n, RejectCode::TooBig, None), Now::ZERO);
    assert_eq!(refuse(&mut outbox, 1), Rejected::Later, "it is idle");
    send(&mut outbox, None);
    outbox.on_ack(room(1), id(1), Seq(1));
    assert_eq!(
        refuse(&mut outbox, 1),
        Rejected::Later,
        "it was acknowledged"
    );
    assert_eq!(refuse(&mut outbox, 9), Rejected::Later, "it is unknown");
    assert!((1..=3).all(|n| outbox.contains(room(1), id(n))));
}

#[test]
fn outbox_temporary_rejects_use_longest_pause() {
    let mut outbox = outbox(3);
    send(&mut outbox, None);
    let later = |n, ms| Reject {
        retry_after_ms: ms,
        ..reject(n, RejectCode::RateLimited, None)
    };
    outbox.on_reject(&later(1, Some(3_000)), Now::ZERO);
    outbox.on_reject(&later(2, Some(1_000)), Now::ZERO);
    assert_eq!(outbox.deadline(), Some(Duration::from_secs(3)));
    outbox.on_reject(&later(3, Some(10_000_000)), Now::ZERO);
    assert_eq!(
        outbox.deadline(),
        Some(Duration::from_secs(600)),
        "no server pauses it longer"
    );
    assert_eq!(outbox.take_sendable(Duration::from_secs(599), |_| true), []);
    assert_eq!(
        outbox
            .take_sendable(Duration::from_secs(600), |_| true)
            .len(),
        3
    );
}

#[test]
fn entry_of_another_device_changes_no_hint() {
    let mut outbox = outbox(2);
    outbox.use_hint(room(1), id(60));
    assert!(!outbox.on_entry(room(1), id(77)));
    assert_eq!(
        send(&mut outbox, own(50, i64::MIN)),
        [(id(1), Some(id(60))), (id(2), Some(id(1)))]
    );
    assert!(outbox.on_entry(room(1), id(1)));
    outbox.on_link_changed();
    assert_eq!(
        send(&mut outbox, own(1, 1)),
        [(id(2), Some(id(1)))],
        "the order is known from the log again"
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

#[test]
fn rows_of_a_dropped_answer_are_asked_for_again() {
    let mut outbox = outbox(2);
    let NewRows { above, .. } = outbox.request_new_rows().expect("there is space");
    outbox.load(vec![row(1, room(1), 10)]); // the second one was discarded meanwhile
    outbox.add(added(above, vec![row(3, room(1), 10)], true));
    assert_eq!(
        orders(&outbox),
        [1],
        "a row between the two might be missing"
    );
    assert_eq!(outbox.request_more_rows().map(|rows| rows.above), Some(1));
}

#[test]
fn outbox_row_returning_elsewhere_is_one_row() {
    let mut outbox = outbox(3);
    let again = OutboxRow {
        order: 9,
        ..row(2, room(1), 10)
    };
    outbox.add(added(3, vec![again], true));
    assert_eq!(orders(&outbox), [1, 3, 9]);
    let sent: Vec<_> = send(&mut outbox, None)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(sent, [id(1), id(3), id(2)]);
}

#[test]
fn budget_waits_while_rejections_are_pending() {
    let mut outbox = outbox(2);
    assert_eq!(outbox.budget(), None, "two rows wait to be sent first");
    send(&mut outbox, None);
    assert!(outbox.budget().is_some());
    outbox.on_reject(&reject(1, RejectCode::Forbidden, None), Now::ZERO);
    assert_eq!(outbox.budget(), None, "the answer to the second one is out");
    outbox.on_ack(room(1), id(2), Seq(1));
    assert!(outbox.budget().is_some());
}

#[test]
fn budget_waits_for_an_ack_after_a_blamed_frame() {
    let mut outbox = outbox(2);
    send(&mut outbox, None);
    assert_eq!(outbox.on_blamed(), None, "it is unknown which");
    outbox.on_link_changed();
    outbox.forget(id(1));
    outbox.forget(id(2));
    assert_eq!(outbox.budget(), None, "one entry at a time");
}

#[test]
fn budget_waits_for_the_end_of_a_pause() {
    let mut outbox = outbox(1);
    send(&mut outbox, None);
    outbox.on_reject(&reject(1, RejectCode::Unavailable, None), Now::ZERO);
    outbox.forget(id(1));
    assert_eq!(outbox.budget(), None, "the room is paused");
    let end = Duration::from_secs(600);
    assert_eq!(outbox.take_sendable(end, |_| true), []);
    assert!(outbox.budget().is_some());
}

#[test]
fn budget_of_a_full_share_is_none() {
    let mut outbox = windowed(2, 1_000, &[(1, 10)]);
    assert_eq!(count(&mut outbox), 1);
    assert_eq!(outbox.budget(), None);
}
