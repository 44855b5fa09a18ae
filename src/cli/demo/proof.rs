//! PURE. What was typed against what stands in the logs: the proof at the end of the demo.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::protocol::EntryId;

/// What one person typed, in their order, and what their screen shows of the room.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthorTally {
    pub(super) name: String,
    pub(super) typed: Vec<(EntryId, String)>,
    pub(super) log: Vec<(EntryId, String)>,
}

/// The comparison of typed messages with the logs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Proof {
    /// Messages typed by everybody.
    pub(super) typed: usize,
    /// Those of them that stand in the log.
    pub(super) in_log: usize,
    /// Those that do not: whose, and what.
    pub(super) lost: Vec<String>,
    /// Those that stand in it more than once.
    pub(super) doubled: Vec<String>,
    /// Those that stand before one that the same person typed earlier.
    pub(super) out_of_order: Vec<String>,
    /// People whose log is not the same as the first one's.
    pub(super) different: Vec<String>,
}

impl Proof {
    pub(super) fn of(people: &[AuthorTally]) -> Self {
        let mut proof = Self::default();
        let Some(first) = people.first() else {
            return proof;
        };
        let mut places: BTreeMap<(EntryId, &str), usize> = BTreeMap::new();
        let mut bodies: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, (id, body)) in first.log.iter().enumerate() {
            places.insert((*id, body), at);
            *bodies.entry(body.as_str()).or_default() += 1;
        }
        let mut typed_times: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, body) in people.iter().flat_map(|person| &person.typed) {
            *typed_times.entry(body.as_str()).or_default() += 1;
        }
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        for AuthorTally { name, typed, log } in people {
            let mut last = None;
            for (id, body) in typed {
                proof.typed += 1;
                let Some(place) = places.get(&(*id, body)) else {
                    proof.lost.push(format!("{name}: {body}"));
                    continue;
                };
                proof.in_log += 1;
                if bodies.get(body.as_str()) > typed_times.get(body.as_str())
                    && reported.insert(body)
                {
                    proof.doubled.push(format!("{name}: {body}"));
                }
                if last.is_some_and(|last| last > *place) {
                    proof.out_of_order.push(format!("{name}: {body}"));
                }
                last = Some(*place);
            }
            if *log != first.log {
                proof.different.push(name.clone());
            }
        }
        proof
    }

    /// Whether everything is as promised.
    pub(super) const fn holds(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.out_of_order.is_empty()
            && self.different.is_empty()
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            typed,
            in_log,
            lost,
            doubled,
            out_of_order,
            different,
        } = self;
        write!(
            f,
            "{typed} typed, {in_log} in the log, {} lost, {} doubled, ",
            lost.len(),
            doubled.len()
        )?;
        match (out_of_order.len(), different.len()) {
            (0, 0) => f.write_str("same order everywhere")?,
            (0, _) => write!(f, "another log at {}", different.join(", "))?,
            (count, _) => write!(f, "{count} out of order")?,
        }
        let what = [
            ("lost", lost),
            ("doubled", doubled),
            ("out of order", out_of_order),
        ];
        for (what, which) in what.into_iter().filter(|(_, which)| !which.is_empty()) {
            let few: Vec<_> = which.iter().take(5).map(String::as_str).collect();
            write!(
                f,
                "\n{what}: {}{}",
                few.join(" | "),
                if which.len() > 5 { " | …" } else { "" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(numbers: &[u64]) -> Vec<(EntryId, String)> {
        numbers
            .iter()
            .map(|n| (EntryId::from_parts(*n, [0; 10]), format!("line {n}")))
            .collect()
    }

    fn account(name: &str, typed: &[u64], log: &[u64]) -> AuthorTally {
        AuthorTally {
            name: name.to_owned(),
            typed: lines(typed),
            log: lines(log),
        }
    }

    #[test]
    fn proof_all_lines_once_in_order_passes() {
        let log = [1, 5, 2, 6];
        let proof = Proof::of(&[account("you", &[1, 2], &log), account("ana", &[5, 6], &log)]);
        assert!(proof.holds());
        assert_eq!(
            proof.to_string(),
            "4 typed, 4 in the log, 0 lost, 0 doubled, same order everywhere"
        );
    }

    #[test]
    fn proof_broken_promise_names_its_line() {
        let mut no_text = account("you", &[1], &[1]);
        no_text.log[0].1.clear();
        assert_eq!(Proof::of(&[no_text]).lost, ["you: line 1"]);
        let lost = Proof::of(&[account("you", &[1, 2], &[1])]);
        assert_eq!(
            lost.to_string(),
            "2 typed, 1 in the log, 1 lost, 0 doubled, same order everywhere\nlost: you: line 2"
        );
        let mut twice = account("you", &[1], &[1]);
        twice
            .log
            .push((EntryId::from_parts(99, [0; 10]), "line 1".to_owned()));
        assert_eq!(Proof::of(&[twice]).doubled, ["you: line 1"]);
        let order = Proof::of(&[account("you", &[1, 2], &[2, 1])]);
        assert_eq!(order.out_of_order, ["you: line 2"]);
        let other = Proof::of(&[account("you", &[1], &[1]), account("ana", &[], &[])]);
        assert!(!other.holds() && other.to_string().contains("another log at ana"));
    }
}
