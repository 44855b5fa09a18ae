//! PURE. What a naive chat made of the lines that were typed into it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Repair;

/// The typed lines, and what became of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(in crate::cli::demo) struct NaiveTally {
    /// Which chat it is, and how long its code.
    chat: String,
    /// Number of typed lines.
    typed: usize,
    /// Number of those that are in the server's file.
    arrived: usize,
    /// Lines that the chat has shown as sent, and that are not in the file.
    lost: Vec<String>,
    /// Lines that are in the file more often than they were typed.
    twice: Vec<String>,
}

impl NaiveTally {
    pub(super) fn of(repair: Repair, typed: &[String], sent: &[String], file: &[String]) -> Self {
        let (typed_times, sent_times, file_times) = (times(typed), times(sent), times(file));
        let count = |times: &BTreeMap<&str, usize>, text: &str| {
            times.get(text).copied().unwrap_or_default()
        };
        let what = match repair {
            Repair::None => "a naive chat",
            Repair::SendAgain => "a naive chat that sends again",
        };
        let mut tally = Self {
            chat: format!("{what} ({} lines of code)", repair.lines_of_code()),
            typed: typed.len(),
            ..Self::default()
        };
        for (text, typed) in typed_times {
            let stored = count(&file_times, text);
            tally.arrived += stored.min(typed);
            let shown = count(&sent_times, text).min(typed);
            let text = || text.to_owned();
            tally.lost.extend((stored..shown).map(|_| text()));
            tally.twice.extend((typed..stored).map(|_| text()));
        }
        tally
    }
}

fn times(texts: &[String]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for text in texts {
        *times.entry(text.as_str()).or_default() += 1;
    }
    times
}

impl fmt::Display for NaiveTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chat,
            typed,
            arrived,
            lost,
            twice,
        } = self;
        write!(
            f,
            "{chat}: {typed} typed · {arrived} arrived · {} LOST (shown as sent) · {} twice",
            lost.len(),
            twice.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_shown_as_sent_counts_as_lost() {
        let lines = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let tally = NaiveTally::of(
            Repair::None,
            &lines(&["key", "code", "oven", "pay", "pay"]),
            &lines(&["key", "oven", "pay", "pay"]),
            &lines(&["oven", "pay", "pay", "pay", "by another author"]),
        );
        let expected = NaiveTally {
            chat: tally.chat.clone(),
            typed: 5,
            arrived: 3,
            lost: lines(&["key"]),
            twice: lines(&["pay"]),
        };
        assert_eq!(tally, expected, "the code still waits");
        assert!(
            tally
                .to_string()
                .ends_with(": 5 typed · 3 arrived · 1 LOST (shown as sent) · 1 twice")
        );
    }
}
