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

impl StoredRange {
    /// Whether the seqs after `start`, up to `end`, overlap the range or are next to it.
    fn touches(&self, start: Seq, end: Seq) -> bool {
        self.start.seq <= end && start <= self.end.seq
    }
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
/// - Entries that touch no range are ignored when there are as many ranges as may be.
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

    /// Checks a frame against the stored ranges, of which there may be `ranges_max`. On
    /// [`AppendOutcome::Store`] the ranges include it. `order` returns the typed order of a pending
    /// entry.
    pub(crate) fn accept(
        &mut self,
        frame: &Entries,
        device: DeviceId,
        ranges_max: usize,
        order: impl Fn(EntryId) -> Option<i64>,
    ) -> AppendOutcome {
        if let Err(below) = self.check(frame.prev) {
            return AppendOutcome::Diverged { below };
        }
        if self.ranges.len() >= ranges_max && !self.is_touched_by(frame) {
            return AppendOutcome::Nothing;
        }
        match &frame.skip {
            Some(skip) if frame.entries.is_empty() => self.accept_skip(frame.prev, skip),
            Some(_) => AppendOutcome::Invalid,
            None => self.accept_entries(frame, device, order),
        }
    }

    fn is_touched_by(&self, frame: &Entries) -> bool {
        let start = frame.prev.seq;
        let end = match &frame.skip {
            Some(skip) => skip.to.seq,
            None => Seq(start.0.saturating_add(frame.entries.len() as u64)),
        };
        self.ranges.iter().any(|range| range.touches(start, end))
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
            if !range.touches(whole.start.seq, whole.end.seq) {
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
mod tests;
