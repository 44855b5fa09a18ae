//! How much is in flight, in total and of each room.

use super::*;

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
