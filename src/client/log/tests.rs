//! The log of one room: which frames it accepts, and what it asks for.

use super::*;
use crate::planted_bug::PlantedBug;
use crate::protocol::{AccountId, Kind};

/// Few enough to be reached by a test.
const RANGES_MAX: usize = 40;

fn room() -> RoomId {
    RoomId::from_random([1; 16])
}

fn device() -> DeviceId {
    DeviceId::from_random([2; 16])
}

/// A log of `n` entries of one author; `salt` makes another history.
fn history(n: u64, salt: u8) -> (Vec<Position>, Vec<Entry>) {
    let (mut at, mut entries) = (vec![Position::start(room())], Vec::new());
    let author = AccountId::from_random([3; 16]);
    for seq in 1..=n {
        let id = EntryId::from_parts(seq, [if seq > 5 { salt } else { 0 }; 10]);
        let device = if seq % 3 == 0 {
            device()
        } else {
            DeviceId::NIL
        };
        let entry = Entry {
            seq: Seq(seq),
            id,
            author,
            name: "ana".into(),
            device,
            kind: Kind::Message,
            body: String::new(),
            target: None,
            at: seq,
            composed_at: seq,
        };
        at.push(at[at.len() - 1].next(author, id));
        entries.push(entry);
    }
    (at, entries)
}

fn frame(from: u64, to: u64, salt: u8) -> Entries {
    let (at, entries) = history(to, salt);
    let entries = entries[from as usize..].to_vec();
    Entries {
        room: room(),
        prev: at[from as usize],
        entries,
        skip: None,
        request: None,
    }
}

fn taken(door: &AppendOutcome) -> Vec<u64> {
    match door {
        AppendOutcome::Store { entries, .. } => {
            entries.iter().map(|chained| chained.entry.seq.0).collect()
        }
        AppendOutcome::Nothing | AppendOutcome::Diverged { .. } | AppendOutcome::Invalid => {
            panic!("{door:?}")
        }
    }
}

fn empty() -> RoomLog {
    RoomLog::new(room(), Vec::new(), None)
}

#[test]
fn log_chained_entries_are_stored_once() {
    let mut log = empty();
    assert_eq!(
        taken(&log.accept(&frame(0, 4, 0), device(), RANGES_MAX, |_| None)),
        [1, 2, 3, 4]
    );
    assert_eq!(
        log.accept(&frame(0, 4, 0), device(), RANGES_MAX, |_| None),
        AppendOutcome::Nothing,
        "the same page again"
    );
    assert_eq!(
        taken(&log.accept(&frame(2, 6, 0), device(), RANGES_MAX, |_| None)),
        [5, 6],
        "a page that overlaps"
    );
    assert_eq!(log.top().seq, Seq(6));
    assert_eq!(
        log.own_last().map(|own| own.id),
        Some(EntryId::from_parts(6, [0; 10]))
    );
    assert_eq!(log.ranges().len(), 1);
}

#[test]
fn jump_leaves_a_gap_that_only_entries_close() {
    let mut log = empty();
    log.accept(&frame(0, 3, 0), device(), RANGES_MAX, |_| None);
    assert_eq!(
        taken(&log.accept(&frame(10, 12, 0), device(), RANGES_MAX, |_| None)),
        [11, 12]
    );
    assert_eq!(log.gaps().next(), Some((Seq(3), Seq(10))));
    assert_eq!(
        log.delivered().map(|p| p.seq),
        Some(Seq(3)),
        "a gap bounds what is delivered"
    );
    assert_eq!(log.missing(), 7);
    assert_eq!(
        taken(&log.accept(&frame(3, 11, 0), device(), RANGES_MAX, |_| None)),
        [4, 5, 6, 7, 8, 9, 10]
    );
    assert_eq!(log.gaps().next(), None);
    assert_eq!(log.delivered().map(|p| p.seq), Some(Seq(12)));
}

#[test]
fn frame_longer_than_the_gap_closes_it() {
    let mut log = empty();
    log.accept(&frame(0, 3, 0), device(), RANGES_MAX, |_| None);
    log.accept(&frame(6, 8, 0), device(), RANGES_MAX, |_| None);
    assert_eq!(
        taken(&log.accept(&frame(2, 10, 0), device(), RANGES_MAX, |_| None)),
        [4, 5, 6, 9, 10]
    );
    assert_eq!(log.ranges().len(), 1);
}

#[test]
fn log_of_another_history_is_rejected_at_once() {
    let mut log = empty();
    log.accept(&frame(0, 8, 1), device(), RANGES_MAX, |_| None);
    let before = log.clone();
    assert_eq!(
        log.accept(&frame(8, 9, 2), device(), RANGES_MAX, |_| None),
        AppendOutcome::Diverged { below: Seq(7) }
    );
    assert_eq!(
        log.accept(&frame(4, 9, 2), device(), RANGES_MAX, |_| None),
        AppendOutcome::Diverged { below: Seq(7) }
    );
    assert_eq!(log, before);
}

#[test]
fn same_seq_and_length_is_not_the_same_log() {
    let mut log = empty();
    log.accept(&frame(0, 3, 0), device(), RANGES_MAX, |_| None);
    log.accept(&frame(8, 10, 1), device(), RANGES_MAX, |_| None);
    assert!(matches!(
        log.accept(&frame(3, 8, 2), device(), RANGES_MAX, |_| None),
        AppendOutcome::Diverged { below: Seq(7) }
    ));
    assert_eq!(
        log.gaps().next(),
        Some((Seq(3), Seq(8))),
        "the gap is still a gap"
    );
}

#[test]
fn frame_with_a_missing_seq_is_invalid() {
    let mut log = empty();
    let mut holey = frame(0, 4, 0);
    holey.entries.remove(1);
    assert_eq!(
        log.accept(&holey, device(), RANGES_MAX, |_| None),
        AppendOutcome::Invalid
    );
    assert_eq!(log, empty());
}

#[test]
fn skip_counts_as_stored_and_ends_the_fetch() {
    let mut log = empty();
    log.accept(&frame(5, 8, 0), device(), RANGES_MAX, |_| None);
    log.accept(&frame(0, 1, 0), device(), RANGES_MAX, |_| None);
    let (at, _) = history(5, 0);
    let skip = Skip {
        to: at[5],
        why: "expired".into(),
    };
    let frame = Entries {
        room: room(),
        prev: at[1],
        entries: Vec::new(),
        skip: Some(skip),
        request: None,
    };
    assert!(matches!(
        log.accept(&frame, device(), RANGES_MAX, |_| None),
        AppendOutcome::Store { .. }
    ));
    assert_eq!(log.gaps().next(), None);
    assert_eq!(
        log.accept(&frame, device(), RANGES_MAX, |_| None),
        AppendOutcome::Nothing
    );
}

#[test]
fn log_skip_covers_exactly_its_range() {
    let (at, _) = history(8, 0);
    let skip = Skip {
        to: at[5],
        why: "expired".into(),
    };
    let skipped = Entries {
        room: room(),
        prev: at[1],
        entries: Vec::new(),
        skip: Some(skip),
        request: None,
    };
    let check = move || {
        let mut log = empty();
        assert!(matches!(
            log.accept(&skipped, device(), RANGES_MAX, |_| None),
            AppendOutcome::Store { .. }
        ));
        assert!(log.contains(Seq(5)) && !log.contains(Seq(6)) && !log.contains(Seq(1)));
        assert_eq!(log.top(), at[5]);
    };
    check();
    assert!(crate::planted_bug::is_caught_by(
        PlantedBug::SkipTooFar,
        check
    ));
}

#[test]
fn log_truncate_keeps_entries_below() {
    let mut log = empty();
    log.accept(&frame(0, 3, 0), device(), RANGES_MAX, |_| None);
    log.accept(&frame(6, 8, 0), device(), RANGES_MAX, |_| None);
    let (at, _) = history(8, 0);
    assert_eq!(
        log.truncated_ranges(at[7]).last().map(|s| s.end),
        Some(at[7])
    );
    assert_eq!(log.truncated_ranges(at[6]).len(), 1);
    assert_eq!(log.truncated_ranges(at[0]), []);
}

/// Spans, gaps and entries as a store would contain them, after any frames of two histories in any
/// order.
fn check(log: &RoomLog, stored: &std::collections::BTreeMap<Seq, Entry>) {
    let mut seen = 0;
    for range in log.ranges() {
        let mut at = range.start;
        while at.seq < range.end.seq {
            let entry = &stored[&at.seq.next()];
            at = at.next(entry.author, entry.id);
            seen += 1;
        }
        assert_eq!(at, range.end, "the chain of a range is that of its entries");
    }
    assert_eq!(seen, stored.len(), "every entry lies in one range");
    assert!(
        log.ranges()
            .windows(2)
            .all(|pair| pair[0].end.seq < pair[1].start.seq),
        "ranges are apart"
    );
    let between: u64 = log
        .ranges()
        .windows(2)
        .map(|pair| pair[1].start.seq.0 - pair[0].end.seq.0)
        .sum();
    assert_eq!(log.missing(), between);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_span_is_always_one_piece_of_one_history(
        frames in proptest::collection::vec((0..14_u64, 1..6_u64, 0..2_u8), 1..24),
    ) {
        let (mut log, mut stored) = (empty(), std::collections::BTreeMap::new());
        for (from, count, salt) in frames {
            let frame = frame(from, from + count, salt);
            let before = log.clone();
            match log.accept(&frame, device(), RANGES_MAX, |_| None) {
                AppendOutcome::Store { entries, .. } => {
                    for Chained { entry, .. } in entries {
                        assert!(stored.insert(entry.seq, entry).is_none(), "nothing is stored over");
                    }
                }
                AppendOutcome::Nothing | AppendOutcome::Diverged { .. } => assert_eq!(log, before),
                AppendOutcome::Invalid => panic!("an honest frame"),
            }
            check(&log, &stored);
            let cut = log.top().seq.0.min(5);
            assert!(log.truncated_ranges(history(cut, 0).0[cut as usize]).iter().all(|range| range.end.seq.0 <= cut));
        }
    }

    #[test]
    fn log_frames_in_any_order_are_stored_once(
        frames in proptest::collection::vec((0..30_u64, 1..9_u64), 1..24),
    ) {
        let (mut log, mut stored) = (empty(), std::collections::BTreeSet::new());
        for (from, count) in frames {
            let fresh: Vec<_> = (from + 1..=from + count).filter(|seq| !stored.contains(seq)).collect();
            let door = log.accept(&frame(from, from + count, 0), device(), RANGES_MAX, |_| None);
            if fresh.is_empty() {
                assert_eq!(door, AppendOutcome::Nothing);
            } else {
                assert_eq!(taken(&door), fresh);
            }
            stored.extend(fresh);
            assert!((0..40).all(|seq| log.contains(Seq(seq)) == stored.contains(&seq)));
            let own = stored.iter().rev().find(|seq| *seq % 3 == 0).map(|seq| Seq(*seq));
            assert_eq!(log.own_last().map(|last| last.seq), own);
        }
    }
}

#[test]
fn own_entry_comes_after_by_seq_or_else_by_order() {
    let own = OwnLast {
        seq: Seq(5),
        id: EntryId::from_parts(1, [0; 10]),
        order: 10,
    };
    assert_eq!(
        [9, 10, 11].map(|order| own.comes_after(order, None)),
        [true, false, false]
    );
    let by_seq = |acked| own.comes_after(11, Some(Seq(acked)));
    assert_eq!([4, 5, 6].map(by_seq), [true, false, false]);
}

#[test]
fn skip_beside_entries_is_invalid() {
    let mut log = empty();
    let mut both = frame(0, 2, 0);
    let (at, _) = history(4, 0);
    both.skip = Some(Skip {
        to: at[4],
        why: "lost".into(),
    });
    assert_eq!(
        log.accept(&both, device(), RANGES_MAX, |_| None),
        AppendOutcome::Invalid
    );
    assert_eq!(log, empty());
}

#[test]
fn own_entry_of_a_gap_is_not_the_last_one() {
    let mut log = empty();
    let order = |id: EntryId| (id == EntryId::from_parts(3, [0; 10])).then_some(7);
    log.accept(&frame(4, 6, 0), device(), RANGES_MAX, order);
    let last = |log: &RoomLog| log.own_last().map(|own| (own.seq, own.order));
    assert_eq!(last(&log), Some((Seq(6), i64::MIN)));
    log.accept(&frame(0, 4, 0), device(), RANGES_MAX, order);
    assert_eq!(last(&log), Some((Seq(6), 7)), "its order is the highest");
}

#[test]
fn ranges_that_touch_or_are_empty_are_detected() {
    let (at, _) = history(9, 0);
    let ranges = |pairs: &[(usize, usize)]| {
        let of = |(start, end): &(usize, usize)| StoredRange {
            start: at[*start],
            end: at[*end],
        };
        never_touch(&pairs.iter().map(of).collect::<Vec<_>>())
    };
    assert!(ranges(&[]) && ranges(&[(0, 3)]) && ranges(&[(0, 3), (4, 9)]));
    assert!(!ranges(&[(3, 3)]) && !ranges(&[(5, 3)]), "not ascending");
    assert!(!ranges(&[(0, 3), (3, 9)]) && !ranges(&[(0, 4), (3, 9)]));
    assert!(!ranges(&[(5, 9), (0, 3)]));
}

#[test]
fn log_of_holes_has_a_limited_number_of_ranges() {
    let (at, entries) = history(2 * RANGES_MAX as u64 + 20, 0);
    let one = |seq: usize| Entries {
        room: room(),
        prev: at[seq - 1],
        entries: vec![entries[seq - 1].clone()],
        skip: None,
        request: None,
    };
    let mut log = RoomLog::new(room(), Vec::new(), None);
    for seq in (2..=2 * RANGES_MAX).step_by(2) {
        assert_eq!(
            taken(&log.accept(&one(seq), device(), RANGES_MAX, |_| None)),
            [seq as u64]
        );
    }
    let beyond = 2 * RANGES_MAX + 10;
    let skip = Entries {
        entries: Vec::new(),
        skip: Some(Skip {
            to: at[beyond + 2],
            why: "lost".into(),
        }),
        ..one(beyond)
    };
    for frame in [one(beyond), skip] {
        let outcome = log.accept(&frame, device(), RANGES_MAX, |_| None);
        assert_eq!(outcome, AppendOutcome::Nothing);
        assert_eq!(log.ranges().len(), RANGES_MAX);
    }
    let mut fill = |seq| taken(&log.accept(&one(seq), device(), RANGES_MAX, |_| None));
    assert_eq!(fill(5), [5], "a filled gap leaves space for a range");
    assert_eq!(fill(beyond), [beyond as u64]);
    assert_eq!(log.ranges().len(), RANGES_MAX);
}
