//! PURE. The one door into a room's log: live entries, catch-up, back-fill and one's own messages
//! all enter here.
//!
//! The door takes only what chains on, so a hole can never be papered over, and a server whose log
//! is not the one stored here is noticed at the first entry. Kept in memory are only the *spans*
//! (runs of seqs that are stored whole, with the chain at both ends); the entries themselves live in
//! the store.

use crate::planted_bug::planted_bug;
use crate::protocol::{Chain, DeviceId, Entries, Entry, EntryId, Position, RoomId, Seq, Skip};

/// A run of seqs that is stored whole: everything after `start`, up to and with `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The position before the first of them.
    pub start: Position,
    /// The position of the last of them.
    pub end: Position,
}

/// The last stored entry of this device in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnLast {
    /// Its place in the log.
    pub seq: Seq,
    pub id: EntryId,
    /// The highest typed order (see [`OutboxRow::order`](super::persist::OutboxRow::order)) of this
    /// device's stored entries up to this one; the lowest number when this store never had a row of
    /// any of them.
    pub order: i64,
}

impl OwnLast {
    /// Whether this entry comes after an entry of the outbox: by seq where it is acknowledged, else
    /// by typed order.
    pub(crate) fn is_behind(&self, order: i64, acked: Option<Seq>) -> bool {
        acked.map_or(self.order > order, |acked| self.seq > acked)
    }
}

/// An entry and the chain up to it, as the store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chained {
    pub entry: Entry,
    /// The chain up to it.
    pub chain: Chain,
}

/// What the door made of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AppendOutcome {
    /// New entries (or a skip), to be stored together with [`RoomLog::spans`].
    Take {
        entries: Vec<Chained>,
        skip: Option<(Position, Skip)>,
    },
    /// Stored already, or empty.
    Nothing,
    /// The server's log is another one from somewhere above this seq on.
    Diverged { below: Seq },
    /// The frame contradicts itself.
    Nonsense,
}

/// Which seqs of one room's log the store contains. It owns the ranges and this device's last
/// entry; the entries themselves are in the store.
///
/// [`RoomLog::enter`] judges every frame of entries, whatever asked for it, and returns what to
/// store.
///
/// Invariants:
/// - Ranges are in ascending order and never touch: two that would touch are one.
/// - Entries are accepted only if they chain to an entry that is stored, or start inside a gap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RoomLog {
    room: RoomId,
    spans: Vec<Span>,
    own_last: Option<OwnLast>,
}

impl RoomLog {
    pub(crate) fn new(room: RoomId, spans: Vec<Span>, own_last: Option<OwnLast>) -> Self {
        debug_assert!(never_touch(&spans), "{spans:?}");
        Self {
            room,
            spans,
            own_last,
        }
    }

    /// The stored ranges, from low to high, never touching each other.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The highest stored position.
    pub(crate) fn top(&self) -> Position {
        self.spans
            .last()
            .map_or(Position::start(self.room), |span| span.end)
    }

    /// The end of the lowest range: up to there nothing is missing.
    pub(crate) fn delivered(&self) -> Option<Position> {
        self.spans.first().map(|span| span.end)
    }

    /// This device's last stored entry.
    pub(crate) const fn own_last(&self) -> Option<OwnLast> {
        self.own_last
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.spans
            .iter()
            .any(|span| span.start.seq < seq && seq <= span.end.seq)
    }

    /// The gaps between spans, from low to high: after, and up to and with.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.spans
            .windows(2)
            .map(|pair| (pair[0].end.seq, pair[1].start.seq))
    }

    /// Seqs missing between spans.
    pub(crate) fn missing(&self) -> u64 {
        self.spans
            .windows(2)
            .map(|pair| pair[1].start.seq.since(pair[0].end.seq))
            .sum()
    }

    /// Tries to take a frame. On [`AppendOutcome::Take`] the spans have advanced. `order` is the typed order
    /// of a pending entry.
    pub(crate) fn enter(
        &mut self,
        frame: &Entries,
        device: DeviceId,
        order: impl Fn(EntryId) -> Option<i64>,
    ) -> AppendOutcome {
        if let Err(below) = self.agrees(frame.prev) {
            return AppendOutcome::Diverged { below };
        }
        match &frame.skip {
            Some(skip) if frame.entries.is_empty() => self.enter_skip(frame.prev, skip),
            Some(_) => AppendOutcome::Nonsense,
            None => self.enter_entries(frame, device, order),
        }
    }

    fn enter_skip(&mut self, prev: Position, skip: &Skip) -> AppendOutcome {
        if skip.to.seq <= prev.seq {
            return AppendOutcome::Nonsense;
        }
        if let Err(below) = self.agrees(skip.to) {
            return AppendOutcome::Diverged { below };
        }
        if self
            .spans
            .iter()
            .any(|span| span.start.seq <= prev.seq && skip.to.seq <= span.end.seq)
        {
            return AppendOutcome::Nothing;
        }
        let to = if planted_bug!(SkipTooFar) {
            skip.to.seq.next()
        } else {
            skip.to.seq
        };
        self.mark_stored(prev, Position { seq: to, ..skip.to });
        AppendOutcome::Take {
            entries: Vec::new(),
            skip: Some((prev, skip.clone())),
        }
    }

    fn enter_entries(
        &mut self,
        frame: &Entries,
        device: DeviceId,
        order: impl Fn(EntryId) -> Option<i64>,
    ) -> AppendOutcome {
        let mut at = frame.prev;
        let mut fresh = Vec::new();
        for entry in &frame.entries {
            if entry.seq != at.seq.next() {
                return AppendOutcome::Nonsense;
            }
            at = at.next(entry.author, entry.id);
            if let Err(below) = self.agrees(at) {
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
        let above = self
            .spans
            .iter()
            .map(|span| span.start)
            .find(|start| start.seq > at.seq);
        let asked = above.filter(|_| frame.request.is_some() && planted_bug!(RequestIsStored));
        self.mark_stored(frame.prev, asked.unwrap_or(at));
        for Chained { entry, .. } in fresh
            .iter()
            .filter(|chained| chained.entry.device == device)
        {
            let highest = self.own_last.map_or(i64::MIN, |own| own.order);
            let order = order(entry.id).unwrap_or(i64::MIN).max(highest);
            let is_last = self.own_last.is_none_or(|own| own.seq < entry.seq);
            let last = OwnLast {
                seq: entry.seq,
                id: entry.id,
                order,
            };
            self.own_last = if is_last {
                Some(last)
            } else {
                self.own_last.map(|own| OwnLast { order, ..own })
            };
        }
        AppendOutcome::Take {
            entries: fresh,
            skip: None,
        }
    }

    /// Whether a position agrees with the ends of the spans; if not, the highest seq that may still
    /// be right.
    ///
    /// Inside a span the chain is not in memory, and need not be: equal chains at its end mean
    /// equal prefixes.
    fn agrees(&self, position: Position) -> Result<(), Seq> {
        let clash = |mine: Position| mine.seq == position.seq && mine.chain != position.chain;
        let below = Seq(position.seq.0.saturating_sub(1));
        if clash(Position::start(self.room))
            || self
                .spans
                .iter()
                .any(|span| clash(span.start) || clash(span.end))
        {
            return Err(below);
        }
        Ok(())
    }

    /// Marks everything after `start`, up to and with `end`, as stored.
    fn mark_stored(&mut self, start: Position, end: Position) {
        let mut whole = Span { start, end };
        if planted_bug!(GapSkipped)
            && let Some(below) = self
                .spans
                .iter()
                .rev()
                .find(|span| span.end.seq < start.seq)
        {
            whole.start = below.end;
        }
        let mut spans = Vec::with_capacity(self.spans.len() + 1);
        for span in self.spans.drain(..) {
            if span.end.seq < whole.start.seq || whole.end.seq < span.start.seq {
                spans.push(span);
                continue;
            }
            if span.start.seq < whole.start.seq {
                whole.start = span.start;
            }
            if span.end.seq > whole.end.seq {
                whole.end = span.end;
            }
        }
        spans.push(whole);
        spans.sort_by_key(|span| span.start.seq);
        debug_assert!(never_touch(&spans), "{spans:?}");
        self.spans = spans;
    }

    /// The spans as they are once everything above `at` is gone.
    pub(crate) fn truncated_spans(&self, at: Position) -> Vec<Span> {
        self.spans
            .iter()
            .filter(|span| span.start.seq < at.seq)
            .map(|span| {
                if span.end.seq > at.seq {
                    Span {
                        start: span.start,
                        end: at,
                    }
                } else {
                    *span
                }
            })
            .collect()
    }
}

/// Whether ranges are in ascending order, each of them with an entry, and at least one entry lies
/// between two of them.
fn never_touch(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.start.seq < span.end.seq)
        && spans
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
            AppendOutcome::Take { entries, .. } => {
                entries.iter().map(|chained| chained.entry.seq.0).collect()
            }
            AppendOutcome::Nothing | AppendOutcome::Diverged { .. } | AppendOutcome::Nonsense => {
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
            taken(&log.enter(&frame(0, 4, 0), device(), |_| None)),
            [1, 2, 3, 4]
        );
        assert_eq!(
            log.enter(&frame(0, 4, 0), device(), |_| None),
            AppendOutcome::Nothing,
            "the same page again"
        );
        assert_eq!(
            taken(&log.enter(&frame(2, 6, 0), device(), |_| None)),
            [5, 6],
            "a page that overlaps"
        );
        assert_eq!(log.top().seq, Seq(6));
        assert_eq!(
            log.own_last().map(|own| own.id),
            Some(EntryId::from_parts(6, [0; 10]))
        );
        assert_eq!(log.spans().len(), 1);
    }

    #[test]
    fn a_jump_leaves_a_gap_that_only_entries_close() {
        let mut log = empty();
        log.enter(&frame(0, 3, 0), device(), |_| None);
        assert_eq!(
            taken(&log.enter(&frame(10, 12, 0), device(), |_| None)),
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
            taken(&log.enter(&frame(3, 11, 0), device(), |_| None)),
            [4, 5, 6, 7, 8, 9, 10]
        );
        assert_eq!(log.gaps().next(), None);
        assert_eq!(log.delivered().map(|p| p.seq), Some(Seq(12)));
    }

    #[test]
    fn a_frame_longer_than_the_gap_still_closes_it() {
        let mut log = empty();
        log.enter(&frame(0, 3, 0), device(), |_| None);
        log.enter(&frame(6, 8, 0), device(), |_| None);
        assert_eq!(
            taken(&log.enter(&frame(2, 10, 0), device(), |_| None)),
            [4, 5, 6, 9, 10]
        );
        assert_eq!(log.spans().len(), 1);
    }

    #[test]
    fn log_of_another_history_is_rejected_at_once() {
        let mut log = empty();
        log.enter(&frame(0, 8, 1), device(), |_| None);
        let before = log.clone();
        assert_eq!(
            log.enter(&frame(8, 9, 2), device(), |_| None),
            AppendOutcome::Diverged { below: Seq(7) }
        );
        assert_eq!(
            log.enter(&frame(4, 9, 2), device(), |_| None),
            AppendOutcome::Diverged { below: Seq(7) }
        );
        assert_eq!(log, before);
    }

    #[test]
    fn same_seq_and_length_is_not_the_same_log() {
        let mut log = empty();
        log.enter(&frame(0, 3, 0), device(), |_| None);
        log.enter(&frame(8, 10, 1), device(), |_| None);
        assert!(matches!(
            log.enter(&frame(3, 8, 2), device(), |_| None),
            AppendOutcome::Diverged { below: Seq(7) }
        ));
        assert_eq!(
            log.gaps().next(),
            Some((Seq(3), Seq(8))),
            "the gap is still a gap"
        );
    }

    #[test]
    fn a_frame_with_a_hole_in_it_is_nonsense() {
        let mut log = empty();
        let mut holey = frame(0, 4, 0);
        holey.entries.remove(1);
        assert_eq!(
            log.enter(&holey, device(), |_| None),
            AppendOutcome::Nonsense
        );
        assert_eq!(log, empty());
    }

    #[test]
    fn skip_counts_as_stored_and_ends_the_fetch() {
        let mut log = empty();
        log.enter(&frame(5, 8, 0), device(), |_| None);
        log.enter(&frame(0, 1, 0), device(), |_| None);
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
            log.enter(&frame, device(), |_| None),
            AppendOutcome::Take { .. }
        ));
        assert_eq!(log.gaps().next(), None);
        assert_eq!(
            log.enter(&frame, device(), |_| None),
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
                log.enter(&skipped, device(), |_| None),
                AppendOutcome::Take { .. }
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
        log.enter(&frame(0, 3, 0), device(), |_| None);
        log.enter(&frame(6, 8, 0), device(), |_| None);
        let (at, _) = history(8, 0);
        assert_eq!(
            log.truncated_spans(at[7]).last().map(|s| s.end),
            Some(at[7])
        );
        assert_eq!(log.truncated_spans(at[6]).len(), 1);
        assert_eq!(log.truncated_spans(at[0]), []);
    }

    /// Spans, gaps and entries as a store would contain them, after any frames of two histories in any
    /// order.
    fn check(log: &RoomLog, stored: &std::collections::BTreeMap<Seq, Entry>) {
        let mut seen = 0;
        for span in log.spans() {
            let mut at = span.start;
            while at.seq < span.end.seq {
                let entry = &stored[&at.seq.next()];
                at = at.next(entry.author, entry.id);
                seen += 1;
            }
            assert_eq!(at, span.end, "the chain of a span is that of its entries");
        }
        assert_eq!(seen, stored.len(), "every entry lies in one span");
        assert!(
            log.spans()
                .windows(2)
                .all(|pair| pair[0].end.seq < pair[1].start.seq),
            "spans are apart"
        );
        let between: u64 = log
            .spans()
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
                match log.enter(&frame, device(), |_| None) {
                    AppendOutcome::Take { entries, .. } => {
                        for Chained { entry, .. } in entries {
                            assert!(stored.insert(entry.seq, entry).is_none(), "nothing is stored over");
                        }
                    }
                    AppendOutcome::Nothing | AppendOutcome::Diverged { .. } => assert_eq!(log, before),
                    AppendOutcome::Nonsense => panic!("an honest frame"),
                }
                check(&log, &stored);
                let cut = log.top().seq.0.min(5);
                assert!(log.truncated_spans(history(cut, 0).0[cut as usize]).iter().all(|span| span.end.seq.0 <= cut));
            }
        }

        #[test]
        fn log_frames_in_any_order_are_stored_once(
            frames in proptest::collection::vec((0..30_u64, 1..9_u64), 1..24),
        ) {
            let (mut log, mut stored) = (empty(), std::collections::BTreeSet::new());
            for (from, count) in frames {
                let fresh: Vec<_> = (from + 1..=from + count).filter(|seq| !stored.contains(seq)).collect();
                let door = log.enter(&frame(from, from + count, 0), device(), |_| None);
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
}
