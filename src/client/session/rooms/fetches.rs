//! PURE. Requested pages of a room's log, several at a time.

use std::collections::BTreeMap;

use crate::protocol::Seq;

/// Maximum requested pages of one room. A server's page has at most 8 KiB, so up to 64 KiB are in
/// flight.
const IN_FLIGHT_MAX: usize = 8;

/// A run of seqs: after `after`, up to and including `to`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Range {
    pub(super) after: Seq,
    pub(super) to: Seq,
}

/// The requested ranges, by the number of the request.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Fetches {
    asked: BTreeMap<u64, Range>,
    /// Number of entries in a page. The server limits the bytes of a page, so the number is known
    /// from the first page that is limited.
    page_entries: Option<u64>,
}

impl Fetches {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Returns the lowest part of the gaps that is not requested yet, if another request is
    /// allowed.
    pub(super) fn next(
        &self,
        gaps: impl Iterator<Item = Range>,
        fetch_entries: u64,
    ) -> Option<Range> {
        let in_flight_max = if self.page_entries.is_some() {
            IN_FLIGHT_MAX
        } else {
            1
        };
        if self.asked.len() >= in_flight_max {
            return None;
        }
        let length = self
            .page_entries
            .unwrap_or(fetch_entries)
            .clamp(1, fetch_entries);
        let mut asked: Vec<Range> = self.asked.values().copied().collect();
        asked.sort_unstable();
        gaps.filter_map(|gap| {
            let covered = |at: Seq| {
                asked
                    .iter()
                    .find(|range| range.after <= at && at < range.to)
                    .map(|range| range.to)
            };
            let mut after = gap.after;
            while let Some(to) = covered(after) {
                after = to;
            }
            let next_asked = asked
                .iter()
                .map(|range| range.after)
                .find(|start| *start > after);
            let end = next_asked.map_or(gap.to, |start| start.min(gap.to));
            (after < end).then(|| Range {
                after,
                to: end.min(Seq(after.0 + length)),
            })
        })
        .next()
    }

    pub(super) fn on_asked(&mut self, request: u64, range: Range) {
        debug_assert!(
            self.asked.len() < IN_FLIGHT_MAX,
            "bounded by `next`, or requested by the user"
        );
        debug_assert!(range.after < range.to, "{range:?} is empty");
        self.asked.insert(request, range);
    }

    /// Handles a page. Returns whether it was requested.
    pub(super) fn on_page(&mut self, request: u64, entries: usize) -> bool {
        let Some(range) = self.asked.remove(&request) else {
            return false;
        };
        let (asked, entries) = (range.to.since(range.after), entries as u64);
        self.page_entries = match self.page_entries {
            known if entries == 0 => known,
            _ if entries < asked => Some(entries), // limited by its bytes
            known => known.map(|known| known.max(2 * asked)),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(after: u64, to: u64) -> Range {
        Range {
            after: Seq(after),
            to: Seq(to),
        }
    }

    #[test]
    fn gap_is_fetched_in_pages_of_the_first_length() {
        let mut fetches = Fetches::default();
        let gaps = || [range(10, 15), range(20, 200)].into_iter();
        let first = fetches.next(gaps(), 100).expect("something is missing");
        assert_eq!(first, range(10, 15));
        fetches.on_asked(1, first);
        assert_eq!(
            fetches.next(gaps(), 100),
            None,
            "how long a page is has to be learned"
        );
        assert!(
            fetches.on_page(1, 5),
            "complete: the length of a page is still unknown"
        );
        let gaps = || [range(20, 200)].into_iter();
        let second = fetches.next(gaps(), 100).expect("something is missing");
        assert_eq!(second, range(20, 120));
        fetches.on_asked(2, second);
        assert!(fetches.on_page(2, 5), "cut");
        let gaps = || [range(25, 200)].into_iter();
        let mut asked = Vec::new();
        while let Some(next) = fetches.next(gaps(), 100) {
            fetches.on_asked(100 + asked.len() as u64, next);
            asked.push(next);
        }
        assert_eq!(asked.len(), IN_FLIGHT_MAX);
        assert_eq!((asked[0], asked[7]), (range(25, 30), range(60, 65)));
        assert!(fetches.on_page(103, 3), "a page that bytes cut");
        let gaps = || [range(25, 40), range(43, 200)].into_iter();
        assert_eq!(
            fetches.next(gaps(), 100),
            Some(range(43, 45)),
            "what it left out comes first"
        );
    }

    #[test]
    fn full_pages_grow_and_empty_ones_say_nothing() {
        let length = |fetches: &Fetches| {
            let next = fetches.next([range(0, 1_000)].into_iter(), 100);
            let next = next.expect("something is missing");
            next.to.since(next.after)
        };
        let mut fetches = Fetches::default();
        fetches.on_asked(1, range(0, 40));
        assert!(fetches.on_page(1, 7));
        assert_eq!(length(&fetches), 7);
        fetches.on_asked(2, range(0, 7));
        assert!(fetches.on_page(2, 0), "the server has none of them");
        assert_eq!(length(&fetches), 7);
        fetches.on_asked(3, range(0, 7));
        assert!(fetches.on_page(3, 7));
        assert_eq!(length(&fetches), 14, "twice as much is tried");
        fetches.on_asked(4, range(0, 7));
        assert!(fetches.on_page(4, 7));
        assert_eq!(length(&fetches), 14);
    }
}
