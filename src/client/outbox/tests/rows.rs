//! Which rows are in memory: loaded, requested, taken, and returned.

use super::*;

/// An outbox with space for four rows.
fn outbox_of_four() -> Outbox {
    Outbox::new(ClientLimits {
        outbox_entries: 4,
        ..ClientLimits::default()
    })
}

/// Rows of one byte in one room.
fn rows(orders: std::ops::RangeInclusive<i64>) -> Vec<OutboxRow> {
    orders.map(|order| row(order, room(1), 1)).collect()
}

#[test]
fn outbox_reload_keeps_entries_in_flight() {
    let mut outbox = outbox(2);
    send(&mut outbox, None);
    outbox.load(vec![row(2, room(1), 10), row(3, room(1), 10)]);
    assert_eq!(send(&mut outbox, None), [(id(3), Some(id(2)))]);
}

#[test]
fn outbox_overflow_rows_follow_in_order() {
    let mut outbox = outbox_of_four();
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
fn outbox_rows_beyond_limit_stay_on_disk() {
    let mut outbox = outbox_of_four();
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
    let check = || {
        let mut outbox = outbox_of_four();
        outbox.load(rows(7..=8));
        let NewRows { above, .. } = outbox.request_new_rows().expect("there is space");
        outbox.load(rows(1..=4)); // a truncation put rows back, and more of them than fit
        for n in 1..=4 {
            outbox.on_entry(room(1), id(n));
        }
        outbox.add(added(above, rows(9..=9), true));
        assert!(orders(&outbox).is_empty(), "5 to 8 would never come");
        let NewRows { above, limit, .. } = outbox.request_more_rows().expect("more wait on disk");
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
