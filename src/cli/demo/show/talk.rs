//! People who chat during free play. No line is ever repeated.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::ME;
use super::clock::Pace;
use crate::cli::demo::author::MessageAuthor;
use crate::cli::demo::stage::Stage;

/// What each of them writes, in turn; the number grows with each round.
const LINES: [(&str, [&str; 3]); 3] = [
    (
        ME,
        [
            "kilometre {n}, and still on time",
            "I have read page {n} of the report",
            "station number {n}, the door is open",
        ],
    ),
    (
        "bob",
        [
            "ticket {n} is closed",
            "table {n} is free at eight",
            "call number {n} of today is done",
        ],
    ),
    (
        "kim",
        [
            "build {n} is green",
            "chapter {n} is written",
            "parcel {n} has arrived",
        ],
    ),
];
/// Longest rest before the first line of a person, s.
const FIRST_S: f64 = 1.5;
/// Rest between two lines of a person, s: at least, and so many more at most.
const REST_S: (f64, f64) = (2.5, 4.0);

/// The tasks of all who chat, until this is dropped.
pub(super) struct Talk {
    mine: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Talk {
    pub(super) fn start(stage: &Stage, pace: &Pace) -> Self {
        let mut tasks = LINES.iter().filter_map(|(name, lines)| {
            let person = stage.people().find(|person| person.name == *name)?;
            Some(tokio::spawn(chat(
                person.author.clone(),
                lines,
                pace.clone(),
            )))
        });
        let mine = tasks.next().unwrap_or_else(|| tokio::spawn(async {}));
        Self {
            mine,
            others: tasks.collect(),
        }
    }

    /// Only the visitor writes as Ana now.
    pub(super) fn leave_mine_to_visitor(&self) {
        self.mine.abort();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.mine.abort();
        self.others.iter().for_each(JoinHandle::abort);
    }
}

async fn chat(author: MessageAuthor, lines: &'static [&'static str], pace: Pace) {
    let mut rest = FIRST_S * fastrand::f64();
    for n in 1_u32.. {
        for line in lines {
            pace.unpaused_time(Duration::from_secs_f64(rest)).await;
            let text = line.replace("{n}", &n.to_string());
            if author.send(&text).await.is_err() {
                return; // the stage is being taken down
            }
            rest = REST_S.0 + REST_S.1 * fastrand::f64();
        }
    }
}
