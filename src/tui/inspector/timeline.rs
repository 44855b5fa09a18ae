//! PURE. The journal as a line of time: in which state the link was when.

use crate::client::store::JournalRow;

/// What the line shows, ms.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// A process that was offline for no longer before it ended had said goodbye: it was not offline,
/// it was gone.
const GOODBYE_MS: u64 = 2_000;

/// Dialling and catching up for no longer is no trouble.
const PASSING_MS: u64 = 1_000;

/// A time in one state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    /// ms since 1970.
    pub(crate) from: u64,
    /// The state's word; `none` while no process ran.
    pub(crate) state: String,
}

/// States from the journal's lines, which go from old to new. Each lasts until the next.
pub(crate) fn stretches(journal: &[JournalRow]) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for row in journal {
        if stretches.is_empty() {
            // What went before the first line is known only where no older lines were left out.
            let state = if row.n <= 1 {
                row.from.clone()
            } else {
                String::new()
            };
            stretches.push(Stretch { from: 0, state });
        } else if row.from == "none" {
            // A process that ended without a word: how long it lived is known from when it was last
            // heard of.
            let from = row.numbers.before.unwrap_or(row.at);
            stretches.pop_if(|last| {
                last.state == "offline" && from.saturating_sub(last.from) < GOODBYE_MS
            });
            stretches.push(Stretch {
                from,
                state: "none".to_owned(),
            });
        }
        stretches.push(Stretch {
            from: row.at,
            state: row.to.clone(),
        });
    }
    stretches
}

/// How bad a state is: of several in one column the worst is shown, or a short trouble would not be
/// seen.
fn badness(state: &str) -> u8 {
    match state {
        "none" | "" => 0,
        "connected" => 1,
        "resyncing" => 2,
        "connecting" => 3,
        "offline" => 4,
        _ => 5, // backoff
    }
}

/// One state for each of so many columns, between two times; `""` where nothing is known.
pub(crate) fn columns(stretches: &[Stretch], from: u64, to: u64, count: usize) -> Vec<&str> {
    let step = ((to - from) / count.max(1) as u64).max(1);
    let column = |at: usize| {
        let (begin, end) = (from + step * at as u64, from + step * (at as u64 + 1));
        let is_in = |index: usize| {
            let Stretch { from, state } = &stretches[index];
            let until = stretches.get(index + 1).map_or(u64::MAX, |next| next.from);
            let is_passing =
                matches!(state.as_str(), "connecting" | "resyncing") && until - from < PASSING_MS;
            *from < end && until > begin && !is_passing
        };
        let states = (0..stretches.len())
            .filter(|index| is_in(*index))
            .map(|index| stretches[index].state.as_str());
        states.max_by_key(|state| badness(state)).unwrap_or("")
    };
    (0..count).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Numbers;

    fn row(at: u64, from: &str, to: &str) -> JournalRow {
        JournalRow {
            n: 0,
            at,
            from: from.into(),
            to: to.into(),
            cause: None,
            numbers: Numbers::default(),
        }
    }

    #[test]
    fn each_column_has_the_worst_state_of_its_time() {
        let journal = [
            row(10_000, "none", "connecting"),
            row(10_500, "connecting", "connected"), // an ordinary start
            row(40_000, "connected", "backoff"),
            row(40_200, "backoff", "connected"),
        ];
        let stretches = stretches(&journal);
        let up = "connected";
        assert_eq!(
            columns(&stretches, 0, 60_000, 6),
            ["none", up, up, up, "backoff", up]
        );
        assert_eq!(columns(&[], 0, 60, 2), ["", ""]);
    }

    #[test]
    fn what_went_before_the_lines_that_were_read_is_not_known() {
        let first = JournalRow {
            n: 7,
            ..row(30_000, "connected", "backoff")
        };
        assert_eq!(
            columns(&stretches(&[first]), 0, 60_000, 3),
            ["", "backoff", "backoff"]
        );
    }

    #[test]
    fn a_process_that_said_goodbye_was_not_offline() {
        let mut begins = row(50_000, "none", "connected");
        begins.numbers.before = Some(20_000);
        let journal = [
            row(0, "none", "connected"),
            row(20_000, "connected", "offline"),
            begins,
        ];
        assert_eq!(
            columns(&stretches(&journal), 0, 60_000, 3),
            ["connected", "none", "connected"]
        );
    }

    #[test]
    fn a_process_that_was_killed_counts_until_it_was_last_heard_of() {
        let mut begins = row(50_000, "none", "connecting");
        begins.numbers.before = Some(20_000);
        let stretches = stretches(&[row(0, "resyncing", "connected"), begins]);
        let states = [
            "connected",
            "connected",
            "none",
            "none",
            "none",
            "connecting",
        ];
        assert_eq!(columns(&stretches, 0, 60_000, 6), states);
    }
}
