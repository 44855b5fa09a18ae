//! A page that replays a show to others: one file, without a network.
//!
//! [`steps`] computes a picture for each moment of the recorded events, [`data`] writes them for the
//! page's script, [`story`] for readers without one, and [`mod@page`] puts both into a frame with the proof.

mod data;
mod page;
mod steps;
mod story;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use self::page::{PageFacts, page};
use self::steps::Replay;
use super::ME;
use super::program::Program;
use super::recorder::Recorder;
use crate::cli::demo::proof::Proof;
use crate::cli::exit::{self, Failure};

/// Where the page of a run is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ReplayFile(PathBuf);

impl ReplayFile {
    /// Checks at once that the file can be made, rather than after the run.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        if path.symlink_metadata().is_ok() {
            let text = format!("{name} exists already: choose another name for the page");
            return Err(Failure::new(exit::CANNOT_CREATE, text));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            let text = format!("cannot write {name}: its folder does not exist");
            return Err(Failure::new(exit::CANNOT_CREATE, text));
        }
        Ok(Self(path.to_owned()))
    }

    /// Where the page is, for people.
    pub(super) fn words(&self) -> String {
        format!(
            "The run as a page: {} (open it in a browser)",
            self.0.display()
        )
    }

    /// Writes the page of everything that was recorded.
    pub(super) fn write(
        &self,
        program: &Program,
        recorder: &Recorder,
        proof: &Proof,
        failed: Option<&str>,
    ) -> Result<(), Failure> {
        let html = {
            let recording = recorder.recording();
            let acts = recording.model.acts_in_the_end();
            let facts = PageFacts {
                day: crate::cli::time::day(),
                kind: program.kind,
                parts: program.len(),
                landfall_holds: proof.holds(),
                failed: failed.map(str::to_owned),
                acts: acts.map(|(act, score)| (act.clone(), score)).collect(),
            };
            page(Replay::of(ME, &recording.events), &facts)
        };
        self.save(&html).map_err(|error| {
            let text = format!("cannot write {}: {error}", self.0.display());
            Failure::new(exit::CANNOT_CREATE, text)
        })
    }

    fn save(&self, html: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.0)?;
        let written = file
            .write_all(html.as_bytes())
            .and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = std::fs::remove_file(&self.0); // a part of a page is useless; the first error is reported
        }
        written
    }
}
