//! What a show plays: the acts, the stations of the tour, or one scenario.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use super::acts::{self, ACTS};
use super::director::{ActError, Director};
use super::part::PartKind;
use super::plan::Plan;
use super::player::Player;
use super::{ME, OTHERS};
use crate::cli::demo::naive::Repair;
use crate::cli::exit::{self, Failure};

/// Longest plan file that is read, bytes.
const PLAN_BYTES_MAX: u64 = 100_000;

/// A plan of the program itself: its name and its text.
struct BuiltIn(&'static str, &'static str);

macro_rules! built_in {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(BuiltIn(
            $name,
            include_str!(concat!("../../../../assets/", $folder, "/", $name, ".plan")),
        )),+]
    };
}

const SCENARIOS: &[BuiltIn] = built_in!("scenarios":
    "tunnel", "hotel", "asleep", "redeploy", "wifi", "restored", "disk",
);
const TOUR: &[BuiltIn] = built_in!("tour":
    "backoff", "heartbeat", "acknowledgement", "outbox", "resume", "absence", "slow", "restored", "limits",
);

/// Names and titles of the scenarios.
pub(in crate::cli) fn scenarios() -> impl Iterator<Item = (&'static str, &'static str)> {
    let title = |text: &'static str| text.lines().next()?.strip_prefix("title ");
    SCENARIOS
        .iter()
        .map(move |BuiltIn(name, text)| (*name, title(text).unwrap_or_default()))
}

/// One part: it is played and counted separately.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Act(u8),
    Plan(Plan),
    /// Both chats connect, and the visitor does the rest.
    Free,
}

/// What is played, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Program {
    pub(super) kind: PartKind,
    parts: Vec<Part>,
}

impl Program {
    /// The five acts.
    pub(super) fn of_acts() -> Self {
        Self {
            kind: PartKind::Act,
            parts: (1..=ACTS).map(Part::Act).collect(),
        }
    }

    /// The stations of the tour.
    pub(super) fn of_tour() -> Result<Self, Failure> {
        let parse = |BuiltIn(name, text): &BuiltIn| {
            let plan = text.parse();
            plan.map(Part::Plan)
                .map_err(|error| Failure::new(exit::SOFTWARE, error).at(name))
        };
        Ok(Self {
            kind: PartKind::Station,
            parts: TOUR.iter().map(parse).collect::<Result<_, _>>()?,
        })
    }

    /// Free play.
    pub(super) fn of_free_play() -> Self {
        Self {
            kind: PartKind::Free,
            parts: vec![Part::Free],
        }
    }

    /// Landfall gives up after so many failed attempts: the largest number of any part.
    pub(super) fn attempts(&self) -> Option<u32> {
        let attempts = self.parts.iter().filter_map(|part| match part {
            Part::Plan(plan) => plan.attempts,
            Part::Act(_) | Part::Free => None,
        });
        attempts.max().map(NonZeroU32::get)
    }

    /// Who takes part beside Ana: each person is a client, which is work for all.
    pub(super) fn others(&self) -> Vec<&'static str> {
        let is_needed = |name: &&str| {
            OTHERS[..2].contains(name)
                || self.parts.iter().any(|part| match part {
                    Part::Act(_) => true, // act 4 needs all
                    Part::Plan(plan) => plan.has_author(name),
                    Part::Free => false,
                })
        };
        OTHERS.into_iter().filter(is_needed).collect()
    }

    /// A scenario, by its name or from a file.
    pub(super) fn of_scenario(name: &str) -> Result<Self, Failure> {
        let built_in = SCENARIOS.iter().find(|BuiltIn(known, _)| *known == name);
        let text = match built_in {
            Some(BuiltIn(_, text)) => (*text).to_owned(),
            None => read(Path::new(name))?,
        };
        let plan = text
            .parse()
            .map_err(|error| Failure::usage(error).at(name.to_owned()))?;
        Ok(Self {
            kind: PartKind::Scenario,
            parts: vec![Part::Plan(plan)],
        })
    }

    /// Shows what is played: in free play at once, else at the pace of a reader.
    pub(super) fn player(&self) -> Player {
        match self.kind {
            PartKind::Free => Player::at_once(ME),
            PartKind::Act | PartKind::Station | PartKind::Scenario => Player::new(ME),
        }
    }

    /// Number of parts.
    pub(super) const fn len(&self) -> usize {
        self.parts.len()
    }

    /// Plays a part, from 1, and counts what it lost, also when it did not come to its end.
    pub(super) async fn play(
        &self,
        director: &mut Director<'_>,
        number: usize,
    ) -> Result<(), ActError> {
        let played = match self.parts.get(number.saturating_sub(1)) {
            Some(Part::Act(act)) => acts::play(director, *act).await,
            Some(Part::Plan(plan)) => {
                let title = Arc::clone(&plan.title);
                director.begin(self.kind, number, title, plan.naive).await?;
                director.play_plan(plan).await
            }
            Some(Part::Free) => {
                let title = "free play".into();
                return director.begin(self.kind, number, title, Repair::None).await;
            }
            None => return Ok(()),
        };
        director.end(played.is_ok()).await?;
        played
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let no_file = |error: std::io::Error| {
        let names: Vec<_> = scenarios().map(|(name, _)| name).collect();
        let what = format!(
            "cannot read the plan file {}: {error}; the scenarios are {}",
            file.display(),
            names.join(", ")
        );
        Failure::new(exit::NO_INPUT, what)
    };
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(no_file)?;
    opened
        .take(PLAN_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(no_file)?;
    if text.len() as u64 > PLAN_BYTES_MAX {
        let what = format!(
            "{} is longer than a plan can be ({PLAN_BYTES_MAX} bytes)",
            file.display()
        );
        return Err(Failure::usage(what));
    }
    String::from_utf8(text)
        .map_err(|_| Failure::usage(format!("{} is not UTF-8 text", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_of_the_program_is_valid() {
        for BuiltIn(name, text) in SCENARIOS.iter().chain(TOUR) {
            let plan: Result<Plan, _> = text.parse();
            assert!(plan.is_ok(), "{name}: {plan:?}");
        }
    }

    #[test]
    fn only_people_who_are_needed_take_part() {
        assert_eq!(Program::of_free_play().others(), ["bob", "kim"]);
        assert_eq!(Program::of_acts().others(), OTHERS);
        let asleep = Program::of_scenario("asleep").expect("a plan");
        assert_eq!(asleep.others(), ["bob", "kim", "lee", "max"]);
    }

    #[test]
    fn unknown_scenario_names_the_known_ones() {
        let failure = Program::of_scenario("no such").expect_err("no file");
        let text = failure.to_string();
        assert!(
            text.contains("tunnel, hotel") && failure.code() == exit::NO_INPUT,
            "{text}"
        );
    }
}
