//! The end and the suspension of a screen: both save the drafts first.

use super::Driver;
use crate::protocol::RoomId;
use crate::tui::terminal;

impl Driver {
    pub(super) async fn save_drafts(&mut self) {
        for room in self.drafts.take_changed() {
            self.save_draft(room).await;
        }
    }

    pub(super) async fn save_draft(&mut self, room: RoomId) {
        let text = self
            .app
            .composers
            .get(&Some(room))
            .map(|composer| composer.text().to_owned())
            .unwrap_or_default();
        if let Err(error) = self.drafts.save(room, text).await {
            self.app
                .show_error(format!("This text is only in memory: {error}"));
        }
    }

    /// Ends the program. If that loses a text which no disk accepts, the user has to confirm it by a
    /// second quit, without typing in between.
    pub(super) async fn quit(&mut self) {
        self.save_drafts().await;
        for room in self.drafts.in_memory() {
            self.save_draft(room).await; // the disk may have space by now
        }
        let texts = self.drafts.in_memory();
        self.ended = texts.is_empty() || self.quit_warned == texts;
        if !self.ended {
            self.app.show_error(
                "A text is only in memory, since no disk accepts it. Quit again to lose it",
            );
            self.quit_warned = texts;
        }
    }

    /// Ctrl-Z: releases the terminal, the connection and the hosting, stops the process, and takes
    /// them again when it is continued.
    pub(super) async fn suspend(&mut self) {
        self.save_drafts().await;
        self.client.yield_link().await;
        (self.pause)(true);
        terminal::give_back();
        self.store.suspend(true).await; // returns once the process is continued
        (self.pause)(false);
        self.client.resume_link().await;
        let _ = self.screen.reenter(); // a closed terminal is detected elsewhere
        self.dirty = true;
    }
}
