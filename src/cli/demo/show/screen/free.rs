//! Free play: people chat, and single keys break the networks and the servers.

use std::time::Duration;

use super::{Choice, ShowScreen, Shown};
use crate::cli::demo::fault::Fault;
use crate::cli::demo::show::event::ShowEvent;
use crate::cli::demo::show::talk::Talk;
use crate::cli::demo::stage::Stage;
use crate::cli::exit::Failure;

/// Time between two copies of the servers' data in free play: the one that is put back is at least
/// so old, and at most twice.
const COPY_EVERY: Duration = Duration::from_secs(10);

impl ShowScreen<'_> {
    /// People chat, and the visitor breaks what keys break. Returns what was chosen at the end.
    pub(super) async fn play_freely(
        &mut self,
        stage: &mut Stage,
    ) -> Result<Option<Choice>, Failure> {
        if let Some(choice) = self.play_parts(stage, 1..=1).await? {
            return Ok(Some(choice));
        }
        if let Shown::Failed(_) = self.shown {
            return Ok(None);
        }
        self.caption(
            "Now you break it.",
            "Ana, Bob and Kim chat. Keys break the network and the servers of both chats; Tab types as Ana.",
        );
        let talk = Talk::start(stage, &self.pace);
        let author = stage.me.author.clone();
        let mut copy = tokio::time::interval(COPY_EVERY);
        let mut are_servers_well = true;
        loop {
            tokio::select! {
                choice = self.step(&author) => if let Some(choice) = choice? {
                    return Ok(Some(choice));
                },
                // a copy of a server that is broken, or was just restored, shows nothing
                _ = copy.tick(), if are_servers_well => stage.copy_for_later()?,
            }
            if self.view.typing.is_some() {
                talk.leave_mine_to_visitor();
            }
            while let Some(entry) = self.broken.pop_front() {
                are_servers_well = match entry.fault {
                    Fault::Repair | Fault::StartServer => true,
                    fault => are_servers_well && fault.leaves_servers_well(),
                };
                self.view.broken = Some(entry.key);
                self.caption(entry.headline, entry.sentence);
                if let Some(action) = entry.fault.server_action() {
                    self.recorder.record(ShowEvent::Servers(action));
                }
                stage.carry_out(entry.fault).await?;
            }
        }
    }
}
