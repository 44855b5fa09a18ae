//! The effects of acks, rejections, and entries that arrive in the log.

use super::*;

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
