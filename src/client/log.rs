//! PURE. The stored part of one room's log. Live entries, catch-up, gap filling and own entries are
//! all accepted here.
//!
//! A run of entries is accepted only if it fits the hash chain of the stored ones. So a gap is never
//! covered up, and a server with another history is detected at the first entry. Memory has only the
//! *ranges* of stored seqs, with the chain at both ends; the entries are in the store.

use crate::planted_bug::planted_bug;
use crate::protocol::{Chain, DeviceId, Entries, Entry, EntryId, Position, RoomId, Seq, Skip};

/// A contiguous run of stored seqs: after `start`, up to and including `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredRange {
    /// The position before the first seq.
    pub start: Position,
    /// The position of the last seq.
    pub end: Position,
}

/// The last stored entry of this device in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnLast {
    /// Its seq in the log.
    pub seq: Seq,
    pub id: EntryId,
    /// The highest typed order (see [`OutboxRow::order`](super::persist::OutboxRow::order)) of this
    /// device's stored entries; `i64::MIN` if none of them was typed on this store.
    pub order: i64,
}

impl OwnLast {
    /// Whether this entry comes after a pending one: by seq if the pending one is acknowledged, else
    /// by typed order.
    pub(crate) fn comes_after(&self, order: i64, acked: Option<Seq>) -> bool {
        acked.map_or(self.order > order, |acked| self.seq > acked)
    }

    /// Returns the one with the higher seq; its `order` is the higher of both.
    pub(crate) fn latest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let order = one.into_iter().chain(other).map(|own| own.order).max()?;
        let last = one.into_iter().chain(other).max_by_key(|own| own.seq)?;
        Some(Self { order, ..last })
    }
}

/// An entry with its chain hash, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chained {
    pub entry: Entry,
    /// The chain up to it.
    pub chain: Chain,
}

/// The result of [`RoomLog::accept`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AppendOutcome {
    /// New entries, or a skip, to store together with [`RoomLog::ranges`].
    Store {
        entries: Vec<Chained>,
        skip: Option<(Position, Skip)>,
    },
    /// The entries are stored already, or there are none.
    Nothing,
    /// The server has another history. At most the entries up to `below` are common.
    Diverged { below: Seq },
    /// The frame is inconsistent.
    Invalid,
}

/// The stored seqs of one room's log. It owns the ranges and this device's last entry; the entries
/// are in the store.
///
/// [`RoomLog::accept`] checks every frame of entries and returns what to store.
///
/// Invariants:
/// - Ranges are in ascending order and never touch: two that touch are merged.
/// - Entries that touch a stored range are accepted only if they chain to it. Others start a new
///   range: in a gap, or above the last one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RoomLog {
    room: RoomId,
    ranges: Vec<StoredRange>,
    own_last: Option<OwnLast>,
}

impl RoomLog {
    pub(crate) fn new(room: RoomId, ranges: Vec<StoredRange>, own_last: Option<OwnLast>) -> Self {
        debug_assert!(never_touch(&ranges), "{ranges:?}");
        Self {
            room,
            ranges,
            own_last,
        }
    }

    /// The stored ranges, in ascending order.
    pub(crate) fn ranges(&self) -> &[StoredRange] {
        &self.ranges
    }

    /// The highest stored position.
    pub(crate) fn top(&self) -> Position {
        self.ranges
            .last()
            .map_or(Position::start(self.room), |range| range.end)
    }

    /// Returns the end of the lowest range, up to which nothing is missing: what is reported as
    /// delivered.
    pub(crate) fn delivered(&self) -> Option<Position> {
        self.ranges.first().map(|range| range.end)
    }

    /// This device's last stored entry.
    pub(crate) const fn own_last(&self) -> Option<OwnLast> {
        self.own_last
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.ranges
            .iter()
            .any(|range| range.start.seq < seq && seq <= range.end.seq)
    }

    /// The gaps between ranges, in ascending order: the seq before each gap and its last seq.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.ranges
            .windows(2)
            .map(|pair| (pair[0].end.seq, pair[1].start.seq))
    }

    /// Number of seqs in the gaps.
    pub(crate) fn missing(&self) -> u64 {
        self.ranges
            .windows(2)
            .map(|pair| pair[1].start.seq.since(pair[0].end.seq))
            .sum()
    }

    /// Checks a frame against the stored ranges. On [`AppendOutcome::Store`] the ranges include it.
    /// `order` returns the typed order of a pending entry.
    pub(crate) fn accept(
        &mut self,
        frame: &Entries,
        device: DeviceId,
        order: impl Fn(EntryId) -> Option<i64>,
    ) -> AppendOutcome {
        if let Err(below) = self.check(frame.prev) {
            return AppendOutcome::Diverged { below };
        }
        match &frame.skip {
            Some(skip) if frame.entries.is_empty() => self.accept_skip(frame.prev, skip),
            Some(_) => AppendOutcome::Invalid,
            None => self.accept_entries(frame, device, order),
        }
    }

    fn accept_skip(&mut self, prev: Position, skip: &Skip) -> AppendOutcome {
        if skip.to.seq <= prev.seq {
            return AppendOutcome::Invalid;
        }
        if let Err(below) = self.check(skip.to) {
            return AppendOutcome::Diverged { below };
        }
        if self
            .ranges
            .iter()
            .any(|range| range.start.seq <= prev.seq && skip.to.seq <= range.end.seq)
        {
            return AppendOutcome::Nothing;
        }
        let to = if planted_bug!(SkipTooFar) {
            skip.to.seq.next()
        } else {
            skip.to.seq
        };
        self.mark_stored(prev, Position { seq: to, ..skip.to });
        AppendOutcome::Store {
            entries: Vec::new(),
            skip: Some((prev, skip.clone())),
        }
    }

    fn accept_entries(
        &mut self,
        frame: &Entries,
        device: DeviceId,
        order: impl Fn(EntryId) -> Option<i64>,
    ) -> AppendOutcome {
        let mut at = frame.prev;
        let mut fresh = Vec::new();
        for entry in &frame.entries {
            if entry.seq != at.seq.next() {
                return AppendOutcome::Invalid;
            }
            at = at.next(entry.author, entry.id);
            if let Err(below) = self.check(at) {
                return AppendOutcome::Diverged { below };
            }
            if !self.contains(at.seq) {
                fresh.push(Chained {
                    entry: entry.clone(),
                    chain: at.chain,
                });
            }
        }
        if fresh.is_empty() {
            return AppendOutcome::Nothing;
        }
        let end = if planted_bug!(RequestIsStored) && frame.request.is_some() {
            at.max(self.top())
        } else {
            at
        };
        self.mark_stored(frame.prev, end);
        for Chained { entry, .. } in fresh
            .iter()
            .filter(|chained| chained.entry.device == device)
        {
            let stored = OwnLast {
                seq: entry.seq,
                id: entry.id,
                order: order(entry.id).unwrap_or(i64::MIN),
            };
            self.own_last = OwnLast::latest(self.own_last, Some(stored));
        }
        AppendOutcome::Store {
            entries: fresh,
            skip: None,
        }
    }

    /// Compares a position with the ends of the ranges.
    ///
    /// The chain inside a range is not in memory. It is not needed, since equal chains at the end of
    /// a range mean equal prefixes.
    ///
    /// # Errors
    /// The highest seq that may be common, if the chains differ.
    fn check(&self, position: Position) -> Result<(), Seq> {
        let clash = |mine: Position| {
            mine.seq == position.seq && mine.chain != position.chain && !planted_bug!(NoChain)
        };
        let below = Seq(position.seq.0.saturating_sub(1));
        if clash(Position::start(self.room))
            || self
                .ranges
                .iter()
                .any(|range| clash(range.start) || clash(range.end))
        {
            return Err(below);
        }
        Ok(())
    }

    /// Marks the seqs after `start`, up to and including `end`, as stored.
    fn mark_stored(&mut self, start: Position, end: Position) {
        let start = if planted_bug!(GapSkipped) {
            Position::start(self.room)
        } else {
            start
        };
        let mut whole = StoredRange { start, end };
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for range in self.ranges.drain(..) {
            if range.end.seq < whole.start.seq || whole.end.seq < range.start.seq {
                ranges.push(range);
                continue;
            }
            whole.start = whole.start.min(range.start);
            whole.end = whole.end.max(range.end);
        }
        ranges.push(whole);
        ranges.sort_by_key(|range| range.start.seq);
        debug_assert!(never_touch(&ranges), "{ranges:?}");
        self.ranges = ranges;
    }

    /// Returns the ranges without the seqs above `at`.
    pub(crate) fn truncated_ranges(&self, at: Position) -> Vec<StoredRange> {
        self.ranges
            .iter()
            .filter(|range| range.start.seq < at.seq)
            .map(|range| StoredRange {
                start: range.start,
                end: range.end.min(at),
            })
            .collect()
    }
}

/// Whether the ranges are in ascending order, not empty, and separated by at least one seq.
pub(crate) fn never_touch(ranges: &[StoredRange]) -> bool {
    ranges.iter().all(|range| range.start.seq < range.end.seq)
        && ranges
            .windows(2)
            .all(|pair| pair[0].end.seq < pair[1].start.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted_bug::PlantedBug;
    use crate::protocol::{AccountId, Kind};

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
            taken(&log.accept(&frame(0, 4, 0), device(), |_| None)),
            [1, 2, 3, 4]
        );
        assert_eq!(
            log.accept(&frame(0, 4, 0), device(), |_| None),
            AppendOutcome::Nothing,
            "the same page again"
        );
        assert_eq!(
            taken(&log.accept(&frame(2, 6, 0), device(), |_| None)),
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
        log.accept(&frame(0, 3, 0), device(), |_| None);
        assert_eq!(
            taken(&log.accept(&frame(10, 12, 0), device(), |_| None)),
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
            taken(&log.accept(&frame(3, 11, 0), device(), |_| None)),
            [4, 5, 6, 7, 8, 9, 10]
        );
        assert_eq!(log.gaps().next(), None);
        assert_eq!(log.delivered().map(|p| p.seq), Some(Seq(12)));
    }

    #[test]
    fn frame_longer_than_the_gap_closes_it() {
        let mut log = empty();
        log.accept(&frame(0, 3, 0), device(), |_| None);
        log.accept(&frame(6, 8, 0), device(), |_| None);
        assert_eq!(
            taken(&log.accept(&frame(2, 10, 0), device(), |_| None)),
            [4, 5, 6, 9, 10]
        );
        assert_eq!(log.ranges().len(), 1);
    }

    #[test]
    fn log_of_another_history_is_rejected_at_once() {
        let mut log = empty();
        log.accept(&frame(0, 8, 1), device(), |_| None);
        let before = log.clone();
        assert_eq!(
            log.accept(&frame(8, 9, 2), device(), |_| None),
            AppendOutcome::Diverged { below: Seq(7) }
        );
        assert_eq!(
            log.accept(&frame(4, 9, 2), device(), |_| None),
            AppendOutcome::Diverged { below: Seq(7) }
        );
        assert_eq!(log, before);
    }

    #[test]
    fn same_seq_and_length_is_not_the_same_log() {
        let mut log = empty();
        log.accept(&frame(0, 3, 0), device(), |_| None);
        log.accept(&frame(8, 10, 1), device(), |_| None);
        assert!(matches!(
            log.accept(&frame(3, 8, 2), device(), |_| None),
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
            log.accept(&holey, device(), |_| None),
            AppendOutcome::Invalid
        );
        assert_eq!(log, empty());
    }

    #[test]
    fn skip_counts_as_stored_and_ends_the_fetch() {
        let mut log = empty();
        log.accept(&frame(5, 8, 0), device(), |_| None);
        log.accept(&frame(0, 1, 0), device(), |_| None);
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
            log.accept(&frame, device(), |_| None),
            AppendOutcome::Store { .. }
        ));
        assert_eq!(log.gaps().next(), None);
        assert_eq!(
            log.accept(&frame, device(), |_| None),
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
                log.accept(&skipped, device(), |_| None),
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
        log.accept(&frame(0, 3, 0), device(), |_| None);
        log.accept(&frame(6, 8, 0), device(), |_| None);
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
                match log.accept(&frame, device(), |_| None) {
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
                let door = log.accept(&frame(from, from + count, 0), device(), |_| None);
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
            log.accept(&both, device(), |_| None),
            AppendOutcome::Invalid
        );
        assert_eq!(log, empty());
    }

    #[test]
    fn own_entry_of_a_gap_is_not_the_last_one() {
        let mut log = empty();
        let order = |id: EntryId| (id == EntryId::from_parts(3, [0; 10])).then_some(7);
        log.accept(&frame(4, 6, 0), device(), order);
        let last = |log: &RoomLog| log.own_last().map(|own| (own.seq, own.order));
        assert_eq!(last(&log), Some((Seq(6), i64::MIN)));
        log.accept(&frame(0, 4, 0), device(), order);
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
}
