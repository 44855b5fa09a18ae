//! A user of the demo.

use std::path::Path;

use super::author::MessageAuthor;
use crate::cli::exit::Failure;
use crate::cli::profile::{Profile, RunningClient, Who};
use crate::client::store::{EnrolmentRequest, Reader, Store};
use crate::config::Config;
use crate::protocol::{Chain, EntryId, Kind, Seq};

/// The room in which everything happens.
const ROOM: &str = "lobby";

/// A user of the demo, with a profile, a running client and an author.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) profile: Profile,
    pub(super) reader: Reader,
    pub(super) running: RunningClient,
    pub(super) author: MessageAuthor,
}

impl Person {
    /// Joins through an address and waits until the room is open.
    pub(super) fn join(
        folder: &Path,
        name: &'static str,
        port: u16,
        invite: &str,
        attempts: Option<u32>,
    ) -> Result<Self, Failure> {
        let home = folder.join(name);
        let mut config = Config::load(Some(&home), |_| None).map_err(Failure::usage)?;
        config.max_attempts = attempts;
        let who = Who {
            profile: None,
            name: Some(name.to_owned()),
        };
        let mut profile = Profile::open(&config, &who)?;
        let url = format!("ws://127.0.0.1:{port}");
        let enrolment = EnrolmentRequest {
            url: Some(url.clone()),
            invite: invite.to_owned(),
            name: name.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(profile.store.set_enrolment(enrolment))?;
        profile.url = Some(url.parse().map_err(Failure::usage)?);
        let running = profile.start(&who)?;
        let reader = profile.reader()?;
        let room = runtime.block_on(async {
            let mut changes = profile.store.changes();
            loop {
                if let Some((room, true)) = reader.room_named(ROOM)? {
                    return Ok::<_, Failure>(room);
                }
                let _ = changes.recv().await; // whatever it was
            }
        })?;
        let author = MessageAuthor::new(profile.store.clone(), room);
        Ok(Self {
            name,
            profile,
            reader,
            running,
            author,
        })
    }

    pub(super) fn store(&self) -> &Store {
        &self.profile.store
    }
}

impl Person {
    /// The last seq of the log and its chain, which depends on all entries before it; none while
    /// something is missing.
    pub(super) fn log_end(&self) -> Result<Option<(Seq, Chain)>, Failure> {
        let room = self.author.room();
        let head = self.reader.head(room)?;
        if self.reader.missing(room)? > 0 {
            return Ok(None);
        }
        Ok(self.reader.chains(room, head, head)?.pop_first())
    }

    /// The messages of the room, as this one's screen shows them.
    pub(super) fn log(&self) -> Result<Vec<(EntryId, String)>, Failure> {
        let lines = self
            .reader
            .after(self.author.room(), Seq::ZERO, usize::MAX)?;
        let messages = lines.into_iter().filter(|line| line.kind == Kind::Message);
        Ok(messages.map(|line| (line.id, line.body)).collect())
    }
}
