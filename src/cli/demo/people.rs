//! Two people who talk at a human pace, whatever is broken meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::author::MessageAuthor;
use super::show::Pace;
use super::stage::Stage;
use super::values::{Values, publish};
use crate::client::actor::Client;
use crate::client::session::Command;
use crate::tui::typing;

/// What they say, in turn.
const LINES: [[&str; 2]; 12] = [
    [
        "morning! the deploy went out at seven",
        "saw it, graphs look calm",
    ],
    [
        "replica lag is back to zero",
        "good, then I take the old one down",
    ],
    ["who has the pager tonight?", "I do, until Friday"],
    [
        "the new index made the search twice as fast",
        "and the disk twice as full, but fine",
    ],
    [
        "lunch at half past twelve?",
        "make it one, I am on a train until then",
    ],
    [
        "how is the network there?",
        "tunnels. I type, and it arrives when it arrives",
    ],
    ["did my last line come through?", "it did, and only once"],
    [
        "somebody left the staging server in a loop",
        "that was me, sorry, gone now",
    ],
    [
        "the customer asks when the export is ready",
        "tell them: by tomorrow noon",
    ],
    [
        "I put the notes of the meeting into the wiki",
        "thanks, I had forgotten half of it",
    ],
    [
        "can you look at the third graph?",
        "yes. that is the backup, it ends at four",
    ],
    ["closing the incident then", "agreed, well done everybody"],
];
/// Rest between two lines, s: at least, and so many more at most.
const REST_S: (f64, f64) = (2.0, 5.0);
/// How long one types.
const TYPES: Duration = Duration::from_millis(1_500);

/// Everybody and everything that talks by itself, until this is dropped.
pub(super) struct Talks {
    /// What of the machines' values comes to your chat.
    pub(super) values: Arc<Values>,
    tasks: Vec<JoinHandle<()>>,
}

impl Talks {
    /// Ana's machine tells how it is.
    pub(super) fn of_machines(stage: &Stage) -> Self {
        let values = Arc::<Values>::default();
        let publishers = stage.others.first().map(|ana| {
            tokio::spawn(publish(
                ana.running.client.clone(),
                ana.author.room(),
                Pace::instant(),
            ))
        });
        let counted = values.clone();
        let client = stage.me.running.client.clone();
        let room = stage.me.author.room();
        let counts = tokio::spawn(async move { counted.count(&client, room).await });
        Self {
            values,
            tasks: publishers.into_iter().chain([counts]).collect(),
        }
    }

    /// Lets the other users chat.
    pub(super) fn add_people(&mut self, stage: &Stage) {
        let others = stage.others.iter().enumerate();
        let talks = others
            .map(|(which, other)| talk(other.author.clone(), other.running.client.clone(), which));
        self.tasks.extend(talks.map(tokio::spawn));
    }
}

impl Drop for Talks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One of them talks, for as long as anybody listens.
pub(super) async fn talk(author: MessageAuthor, client: Client, which: usize) {
    let mut rounds = 0;
    loop {
        for line in LINES {
            let rest = REST_S.0 + REST_S.1 * fastrand::f64();
            tokio::time::sleep(Duration::from_secs_f64(rest)).await;
            client.command(Command::Signal(typing(author.room()))).await;
            tokio::time::sleep(TYPES).await;
            let again = if rounds == 0 {
                String::new()
            } else {
                format!(" ({})", rounds + 1)
            };
            if author
                .send(&format!("{}{again}", line[which % 2]))
                .await
                .is_err()
            {
                return; // the stage is being taken down
            }
        }
        rounds += 1;
    }
}
