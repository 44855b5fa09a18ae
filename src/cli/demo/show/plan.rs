//! PURE. A plan file: what people type, what is done to networks, servers and Ana's computer, what is
//! waited for, and the captions. Scenarios and the stations of the tour are plans.
//!
//! One step per line; a `#` at the start of a line begins a comment.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::{ME, OTHERS};
use crate::chaos::{self, Direction, FaultCommand};
use crate::cli::demo::naive::Repair;
use crate::cli::demo::process::ServerAction;
use crate::cli::demo::stage::MyAction;
use crate::tui::width;

/// How a plan file is written, for help and for mistakes.
pub(in crate::cli) const USAGE: &str = "\
  title TEXT                          what the screen calls it; the first line
  attempts N                          Landfall goes offline after N failed attempts; by default, never
  naive plain | repaired              the naive chat that plays; plain, if the plan names none
  NAME: TEXT                          NAME types a line; ana is behind the faulty network; the others are bob, kim,
                                      lee, max, eva, tom, ida, sam, zoe, jon, liv
  COUNT x NAME: TEXT                  so many lines at once; n in braces is the number
  network FAULT[; FAULT ...]          a command of `landfall chaos`, for both chats; `network pass` ends all faults
  server kill | start | stop | cont | copy | restore | fill | free
                                      SIGKILL, SIGSTOP, SIGCONT; a backup and its restore; the disk takes no more data
  ana stop | cont | offline | online | retry
                                      her computer sleeps or wakes; /offline, /online and Ctrl-R in Landfall
  until EVENT                         waits for it, 30 s at most: connected, arrived, stored, shown, held, lost up,
                                      lost down, reset, reconnecting, attempt N, ping, resent, refused, gap, diverged,
                                      session, skipped, offline
  wait TIME                           2s or 300ms
  caption HEADLINE | SENTENCE         at most 6 words | at most 25 words in 98 columns";

/// Most lines of one step: the burst that a server allows a device.
const LINES_MAX: u32 = 500;
/// Bounds of a caption.
const HEADLINE_WORDS: usize = 6;
const SENTENCE_WORDS: usize = 25;
const SENTENCE_COLUMNS: usize = 98;
/// Longest title, columns.
const TITLE_COLUMNS: usize = 40;

/// A plan, ready to be played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) title: Arc<str>,
    pub(super) naive: Repair,
    /// Landfall gives up after so many failed attempts.
    pub(super) attempts: Option<NonZeroU32>,
    pub(super) steps: Vec<PlanStep>,
}

/// One line of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PlanStep {
    Types {
        author: &'static str,
        lines: Vec<String>,
    },
    Network(Vec<FaultCommand>),
    Server(ServerAction),
    Mine(MyAction),
    Until(PlanEvent),
    Wait(Duration),
    Caption(PlanCaption),
}

/// The two layers of words that a plan gives. The third one is computed from the present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlanCaption {
    pub(super) headline: String,
    pub(super) sentence: String,
}

/// What a plan can wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlanEvent {
    /// Landfall is connected, and nothing is missing.
    Connected,
    /// Everything that was typed is on Landfall's server and on Ana's screen.
    Arrived,
    /// Both servers have everything that was typed.
    Stored,
    /// Both servers and both screens of Ana's have everything that was typed.
    Shown,
    /// Both networks keep back a line of Ana's.
    Held,
    /// Both networks lose bytes in this direction.
    Lost(Direction),
    /// Both connections were reset.
    Reset,
    /// Landfall waits before an attempt; at least this one.
    Attempt(u32),
    Ping,
    /// Landfall sends a line for the second time.
    Resent,
    /// Landfall's server cannot take a line now.
    Refused,
    /// Ana's screen marks a gap.
    Gap,
    /// The server's history differs from Landfall's.
    Diverged,
    /// A server welcomed Landfall with the session of the connection before.
    Session,
    /// Newer values replaced older ones that were not sent yet.
    Skipped,
    /// Landfall is offline, and does not reconnect.
    Offline,
}

/// A line that cannot be played.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub(super) struct PlanError {
    /// From 1.
    pub(super) line: usize,
    what: PlanMistake,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum PlanMistake {
    #[error("a plan begins with `title TEXT`, of at most {TITLE_COLUMNS} columns")]
    NoTitle,
    #[error("the plan has no step that does or types something")]
    Empty,
    #[error("there is no step `{0}`; `landfall demo --help` lists them")]
    Unknown(String),
    #[error("`{step}` takes {argument}")]
    Argument {
        step: String,
        argument: &'static str,
    },
    #[error("there is no {name}: people are {ME}, {}", OTHERS.join(", "))]
    NoPerson { name: String },
    #[error("a step types 1 to {LINES_MAX} lines")]
    Count,
    #[error("there is nothing to type")]
    NoText,
    #[error("{ME} cannot type while her computer is stopped: `ana cont` wakes it")]
    Stopped,
    #[error(
        "a caption is `caption HEADLINE | SENTENCE`: {HEADLINE_WORDS} words | {SENTENCE_WORDS} words in {SENTENCE_COLUMNS} columns, at most"
    )]
    Caption,
    #[error("{0}")]
    Network(#[from] chaos::BadCommand),
}

impl Plan {
    /// Whether this person types in it.
    pub(super) fn has_author(&self, name: &str) -> bool {
        let types =
            |step: &PlanStep| matches!(step, PlanStep::Types { author, .. } if *author == name);
        self.steps.iter().any(types)
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().map(str::trim).enumerate();
        let mut lines = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| (at + 1, line));
        let fail = |line, what| PlanError { line, what };
        let (at, first) = lines.next().unwrap_or((1, ""));
        let title = argument_of(first, "title")
            .filter(|title| !title.is_empty() && width(title) <= TITLE_COLUMNS)
            .ok_or(fail(at, PlanMistake::NoTitle))?;
        let mut plan = Self {
            title: title.into(),
            naive: Repair::None,
            attempts: None,
            steps: Vec::new(),
        };
        let (mut is_stopped, mut last) = (false, at);
        for (at, line) in lines {
            last = at;
            match header(line).map_err(|what| fail(at, what))? {
                Some(Header::Naive(naive)) => plan.naive = naive,
                Some(Header::Attempts(attempts)) => plan.attempts = Some(attempts),
                None => {
                    let step = step(line).map_err(|what| fail(at, what))?;
                    if is_stopped
                        && matches!(&step, PlanStep::Types { author, .. } if *author == ME)
                    {
                        return Err(fail(at, PlanMistake::Stopped));
                    }
                    match step {
                        PlanStep::Mine(MyAction::Stop) => is_stopped = true,
                        PlanStep::Mine(MyAction::Continue) => is_stopped = false,
                        _ => {}
                    }
                    plan.steps.push(step);
                }
            }
        }
        let does = |step: &PlanStep| !matches!(step, PlanStep::Caption(_) | PlanStep::Wait(_));
        if plan.steps.iter().any(does) {
            Ok(plan)
        } else {
            Err(fail(last, PlanMistake::Empty))
        }
    }
}

/// A line that is no step.
enum Header {
    Naive(Repair),
    Attempts(NonZeroU32),
}

fn header(line: &str) -> Result<Option<Header>, PlanMistake> {
    let unknown = || PlanMistake::Unknown(line.chars().take(60).collect());
    if let Some(naive) = argument_of(line, "naive") {
        return match naive {
            "plain" => Ok(Some(Header::Naive(Repair::None))),
            "repaired" => Ok(Some(Header::Naive(Repair::SendAgain))),
            _ => Err(unknown()),
        };
    }
    let attempts = argument_of(line, "attempts").map(str::parse);
    let attempts = attempts.transpose().map_err(|_| unknown())?;
    Ok(attempts.map(Header::Attempts))
}

/// The rest of a line that begins with this word.
fn argument_of<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| rest.trim())
}

fn step(line: &str) -> Result<PlanStep, PlanMistake> {
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let rest = rest.trim();
    let unknown = || PlanMistake::Unknown(line.chars().take(60).collect());
    let takes = |argument| PlanMistake::Argument {
        step: word.to_owned(),
        argument,
    };
    if let Some(name) = word.strip_suffix(':') {
        return types(1, name, rest);
    }
    match word {
        "network" => network(rest),
        "server" => server_action(rest).map(PlanStep::Server).ok_or(takes(
            "kill, start, stop, cont, copy, restore, fill or free",
        )),
        "ana" => my_action(rest)
            .map(PlanStep::Mine)
            .ok_or(takes("stop, cont, offline, online or retry")),
        "until" => plan_event(rest)
            .map(PlanStep::Until)
            .ok_or(takes("an event that `landfall demo --help` lists")),
        "wait" => wait(line).ok_or(takes("a time such as 300ms or 2s")),
        "caption" => caption(rest),
        count => {
            let (count, (author, text)) = count
                .parse()
                .ok()
                .zip(argument_of(rest, "x").and_then(|rest| rest.split_once(':')))
                .ok_or_else(unknown)?;
            types(count, author.trim(), text.trim())
        }
    }
}

fn types(count: u32, author: &str, text: &str) -> Result<PlanStep, PlanMistake> {
    let mut people = std::iter::once(ME).chain(OTHERS);
    let author = people
        .find(|name| *name == author)
        .ok_or_else(|| PlanMistake::NoPerson {
            name: author.chars().take(40).collect(),
        })?;
    if text.is_empty() {
        return Err(PlanMistake::NoText);
    }
    if !(1..=LINES_MAX).contains(&count) {
        return Err(PlanMistake::Count);
    }
    let lines = (1..=count)
        .map(|n| text.replace("{n}", &n.to_string()))
        .collect();
    Ok(PlanStep::Types { author, lines })
}

fn network(commands: &str) -> Result<PlanStep, PlanMistake> {
    let commands = commands.split('#').next().unwrap_or_default();
    let commands: Result<_, chaos::BadCommand> = commands.split(';').map(str::parse).collect();
    Ok(PlanStep::Network(commands?))
}

fn server_action(word: &str) -> Option<ServerAction> {
    Some(match word {
        "kill" => ServerAction::Kill,
        "start" => ServerAction::Start,
        "stop" => ServerAction::Stop,
        "cont" => ServerAction::Continue,
        "copy" => ServerAction::Copy,
        "restore" => ServerAction::Restore,
        "fill" => ServerAction::Fill,
        "free" => ServerAction::Free,
        _ => return None,
    })
}

fn my_action(word: &str) -> Option<MyAction> {
    Some(match word {
        "stop" => MyAction::Stop,
        "cont" => MyAction::Continue,
        "offline" => MyAction::GoOffline,
        "online" => MyAction::GoOnline,
        "retry" => MyAction::RetryNow,
        _ => return None,
    })
}

fn plan_event(text: &str) -> Option<PlanEvent> {
    let words: Vec<_> = text.split_whitespace().collect();
    Some(match words[..] {
        ["connected"] => PlanEvent::Connected,
        ["arrived"] => PlanEvent::Arrived,
        ["shown"] => PlanEvent::Shown,
        ["stored"] => PlanEvent::Stored,
        ["held"] => PlanEvent::Held,
        ["lost", "up"] => PlanEvent::Lost(Direction::Up),
        ["lost", "down"] => PlanEvent::Lost(Direction::Down),
        ["reset"] => PlanEvent::Reset,
        ["reconnecting"] => PlanEvent::Attempt(1),
        ["attempt", n] => PlanEvent::Attempt(n.parse().ok().filter(|n| *n > 0)?),
        ["ping"] => PlanEvent::Ping,
        ["resent"] => PlanEvent::Resent,
        ["refused"] => PlanEvent::Refused,
        ["gap"] => PlanEvent::Gap,
        ["diverged"] => PlanEvent::Diverged,
        ["skipped"] => PlanEvent::Skipped,
        ["session"] => PlanEvent::Session,
        ["offline"] => PlanEvent::Offline,
        _ => return None,
    })
}

fn wait(line: &str) -> Option<PlanStep> {
    match line.parse() {
        Ok(chaos::Step::Wait(time)) => Some(PlanStep::Wait(time)),
        Ok(_) | Err(_) => None,
    }
}

fn caption(text: &str) -> Result<PlanStep, PlanMistake> {
    let (headline, sentence) = text.split_once('|').ok_or(PlanMistake::Caption)?;
    let (headline, sentence) = (headline.trim(), sentence.trim());
    let words = |text: &str| text.split_whitespace().count();
    let fits = (1..=HEADLINE_WORDS).contains(&words(headline))
        && (1..=SENTENCE_WORDS).contains(&words(sentence))
        && width(sentence) <= SENTENCE_COLUMNS
        && width(headline) <= SENTENCE_COLUMNS;
    if !fits {
        return Err(PlanMistake::Caption);
    }
    Ok(PlanStep::Caption(PlanCaption {
        headline: headline.to_owned(),
        sentence: sentence.to_owned(),
    }))
}

impl PlanEvent {
    /// What is waited for, for a visitor.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Connected => "Landfall is connected, and nothing is missing",
            Self::Arrived => "everything that was typed has arrived in Landfall",
            Self::Stored => "both servers have everything that was typed",
            Self::Shown => "both chats show everything that was typed",
            Self::Held => "both networks keep a line of Ana's back",
            Self::Lost(Direction::Up) => "both networks lose what Ana sends",
            Self::Lost(Direction::Down) => "both networks lose what the servers send",
            Self::Reset => "both connections are reset",
            Self::Attempt(_) => "Landfall waits before an attempt to reconnect",
            Self::Ping => "Landfall sends a ping",
            Self::Resent => "Landfall sends a line again",
            Self::Refused => "Landfall's server cannot take a line",
            Self::Gap => "Landfall marks a gap",
            Self::Diverged => "the server's history differs from Landfall's",
            Self::Skipped => "newer values replace older ones",
            Self::Session => "the server continues Landfall's session",
            Self::Offline => "Landfall is offline",
        }
    }
}

#[cfg(test)]
mod tests;
