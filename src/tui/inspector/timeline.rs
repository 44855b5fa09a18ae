//! PURE. The journal as a timeline: the link state at each time.

use crate::client::link::LinkPhase;
use crate::client::store::JournalRow;

/// Length of the timeline, ms.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// A process that was offline for no longer before it ended had closed its connection: it was not offline,
/// it was gone.
const GOODBYE_MS: u64 = 2_000;

/// A shorter time of connecting or catching up is not shown as a problem, ms.
const PASSING_MS: u64 = 1_000;

/// The link state at a time, from the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PastState {
    /// Older lines were not read.
    Unknown,
    NotRunning,
    /// A process was running, with this link state.
    Link(LinkPhase),
}

impl PastState {
    /// The worst state of a column is shown, or a short trouble would not be seen.
    const fn severity(self) -> u8 {
        match self {
            Self::Unknown | Self::NotRunning => 0,
            Self::Link(LinkPhase::Connected) => 1,
            Self::Link(LinkPhase::Resyncing) => 2,
            Self::Link(LinkPhase::Connecting) => 3,
            Self::Link(LinkPhase::Offline) => 4,
            Self::Link(LinkPhase::Backoff) => 5,
        }
    }
}

/// A period in one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    /// Start, ms since 1970.
    pub(crate) from: u64,
    pub(crate) state: PastState,
}

/// Converts the journal's lines, oldest first, to periods. Each lasts until the next one.
pub(crate) fn stretches(journal: &[JournalRow]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for row in journal {
        if stretches.is_empty() {
            // The state before the first line is known only where no older lines were left out.
            let before = row.from.map_or(PastState::NotRunning, PastState::Link);
            let state = if row.n <= 1 {
                before
            } else {
                PastState::Unknown
            };
            stretches.push(Stretch { from: 0, state });
        } else if row.from.is_none() {
            // A process that was killed wrote no last line: the store knows when it was last active.
            let from = row.numbers.before.unwrap_or(row.at);
            stretches.pop_if(|last| {
                let is_offline = last.state == PastState::Link(LinkPhase::Offline);
                is_offline && from.saturating_sub(last.from) < GOODBYE_MS
            });
            let state = PastState::NotRunning;
            stretches.push(Stretch { from, state });
        }
        stretches.push(Stretch {
            from: row.at,
            state: PastState::Link(row.to),
        });
    }
    stretches
}

/// One state for each of `count` columns between two times, ms since 1970.
pub(crate) fn columns(stretches: &[Stretch], from: u64, to: u64, count: usize) -> Vec<PastState> {
    let step = ((to - from) / count.max(1) as u64).max(1);
    let column = |at: usize| {
        let (begin, end) = (from + step * at as u64, from + step * (at as u64 + 1));
        let is_in = |index: &usize| {
            let Stretch { from, state } = stretches[*index];
            let until = stretches.get(index + 1).map_or(u64::MAX, |next| next.from);
            let is_passing = matches!(
                state,
                PastState::Link(LinkPhase::Connecting | LinkPhase::Resyncing)
            ) && until - from < PASSING_MS;
            from < end && until > begin && !is_passing
        };
        let states = (0..stretches.len())
            .filter(is_in)
            .map(|index| stretches[index].state);
        states
            .max_by_key(|state| state.severity())
            .unwrap_or(PastState::Unknown)
    };
    (0..count).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::PastState::{Link, NotRunning, Unknown};
    use super::*;
    use crate::client::JournalDetails;
    use crate::client::link::LinkPhase::{Backoff, Connected, Connecting, Offline, Resyncing};

    fn row(at: u64, from: impl Into<Option<LinkPhase>>, to: LinkPhase) -> JournalRow {
        JournalRow {
            n: 0,
            at,
            from: from.into(),
            to,
            cause: None,
            numbers: JournalDetails::default(),
        }
    }

    #[test]
    fn each_column_has_the_worst_state_of_its_time() {
        let journal = [
            row(10_000, None, Connecting),
            row(10_500, Connecting, Connected), // an ordinary start
            row(40_000, Connected, Backoff),
            row(40_200, Backoff, Connected),
        ];
        let stretches = stretches(&journal);
        let up = Link(Connected);
        assert_eq!(
            columns(&stretches, 0, 60_000, 6),
            [NotRunning, up, up, up, Link(Backoff), up]
        );
        assert_eq!(columns(&[], 0, 60, 2), [Unknown, Unknown]);
    }

    #[test]
    fn timeline_start_is_unknown_before_first_line() {
        let first = JournalRow {
            n: 7,
            ..row(30_000, Connected, Backoff)
        };
        assert_eq!(
            columns(&stretches(&[first]), 0, 60_000, 3),
            [Unknown, Link(Backoff), Link(Backoff)]
        );
    }

    #[test]
    fn closed_process_was_not_offline() {
        let mut begins = row(50_000, None, Connected);
        begins.numbers.before = Some(20_000);
        let journal = [
            row(0, None, Connected),
            row(20_000, Connected, Offline),
            begins,
        ];
        assert_eq!(
            columns(&stretches(&journal), 0, 60_000, 3),
            [Link(Connected), NotRunning, Link(Connected)]
        );
    }

    #[test]
    fn timeline_killed_process_ends_at_last_sign() {
        let mut begins = row(50_000, None, Connecting);
        begins.numbers.before = Some(20_000);
        let stretches = stretches(&[row(0, Resyncing, Connected), begins]);
        let states = [
            Link(Connected),
            Link(Connected),
            NotRunning,
            NotRunning,
            NotRunning,
            Link(Connecting),
        ];
        assert_eq!(columns(&stretches, 0, 60_000, 6), states);
    }
}
