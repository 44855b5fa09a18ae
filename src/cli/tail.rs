//! `landfall tail`: a room's log as lines, in order. Where something is missing it waits for it.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::sync::broadcast;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::actor::Client;
use crate::client::link::LinkState;
use crate::client::session::{Command, Status};
use crate::client::store::{Change, Line, Reader};
use crate::client::{Cause, Write};
use crate::config::Config;
use crate::print;
use crate::protocol::{EntryId, Kind, RoomId, Seq, harmless_json, harmless_line};

const PAGE: usize = 200;
/// Lines that are remembered, to find the place again after a cut.
const PRINTED_MAX: usize = 1_000;
/// How long the catching up may take when the log is not followed.
const WAIT: Duration = Duration::from_secs(30);

pub(super) struct Options {
    pub(super) room: String,
    pub(super) json: bool,
    pub(super) after: u64,
    pub(super) follow: bool,
}

pub(super) fn run(config: &Config, who: &Who, options: &Options) -> Result<u8, Failure> {
    super::logging::to_file(&config.log_file());
    let profile = Profile::open_existing(config, who)?;
    let reader = profile.reader()?;
    let name = options.room.trim_start_matches('#');
    let Some((room, _)) = reader.room_named(name)? else {
        return Err(Failure::new(
            exit::REFUSED,
            format!("there is no room {:?} here: join it in the chat first", options.room),
        ));
    };
    let (at, json) = (Seq(options.after), options.json);
    let mut tail = Tail { reader, room, at, printed: VecDeque::new(), json };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut changes = profile.store.changes();
        let running = profile.start(who)?;
        running.client.command(Command::Focus(room)).await;
        let result = if options.follow {
            tokio::select! {
                result = follow(&mut tail, &running.client, &mut changes) => result,
                _ = tokio::signal::ctrl_c() => Ok(exit::OK),
            }
        } else {
            let work = async {
                if catch_up(&profile, &running.client, room).await {
                    return fill(&mut tail, &running.client, &mut changes).await;
                }
                print::note("not connected: this is what is held here");
                tail.print()
            };
            match tokio::time::timeout(WAIT, work).await {
                Ok(Ok(true)) => Ok(exit::OK),
                Ok(Err(failure)) => Err(failure),
                Ok(Ok(false)) | Err(_) => Err(Failure::new(exit::LATER, "the rest is not held here yet")),
            }
        };
        running.client.quit().await;
        result
    })
}

/// Waits until everything up to the head is on disk; says whether it is.
async fn catch_up(profile: &Profile, client: &Client, room: RoomId) -> bool {
    let mut status = client.status();
    let is_settled = |status: &Status| match &status.link {
        LinkState::Connected { .. } => true,
        LinkState::Resyncing { .. } => status.rooms.get(&room).is_some_and(|room| room.live && room.missing == 0),
        LinkState::Connecting { .. } => false,
        LinkState::Backoff { cause, .. } => *cause != Cause::Start,
        LinkState::Offline { .. } => true,
    };
    let is_up = match status.wait_for(is_settled).await {
        // The owner of the link keeps the store up to date, as long as it has one.
        Ok(status) if matches!(status.link, LinkState::Offline { .. }) => super::status::is_fresh(profile),
        Ok(status) => !matches!(status.link, LinkState::Backoff { .. }),
        Err(_) => false,
    };
    is_up && profile.store.write(Write::Flush).await.is_ok() // behind everything that came
}

/// Prints what is there and asks for what is missing, until the end of what is known is printed.
async fn fill(tail: &mut Tail, client: &Client, changes: &mut broadcast::Receiver<Change>) -> Result<bool, Failure> {
    while !tail.print()? {
        client.command(Command::FetchBefore(tail.room)).await;
        changed(changes).await?;
    }
    Ok(true)
}

/// The same, and then what comes.
async fn follow(tail: &mut Tail, client: &Client, changes: &mut broadcast::Receiver<Change>) -> Result<u8, Failure> {
    loop {
        fill(tail, client, changes).await?;
        changed(changes).await?;
    }
}

async fn changed(changes: &mut broadcast::Receiver<Change>) -> Result<(), Failure> {
    match changes.recv().await {
        Err(broadcast::error::RecvError::Closed) => Err(Failure::new(exit::SOFTWARE, "the store's thread ended")),
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
    }
}

struct Tail {
    reader: Reader,
    room: RoomId,
    at: Seq,
    /// What was printed last, from old to new, and where it stood: the log may be cut below it, when a server was put
    /// back from a copy, and then it has no place until it comes again.
    printed: VecDeque<(Option<Seq>, EntryId)>,
    json: bool,
}

impl Tail {
    /// Prints what follows, up to the first gap. Returns whether it came to the end of what is known.
    fn print(&mut self) -> Result<bool, Failure> {
        loop {
            self.step_back()?;
            let lines = self.reader.after(self.room, self.at, PAGE)?;
            if lines.is_empty() {
                let head = self
                    .reader
                    .rooms()?
                    .into_iter()
                    .find(|room| room.room == self.room)
                    .map_or(Seq::ZERO, |room| room.head);
                return Ok(self.at >= head);
            }
            let mut out = io::stdout().lock();
            for line in lines {
                if line.seq != self.at.next() && !self.is_skipped(line.seq)? {
                    return Ok(false); // in order or not at all
                }
                self.at = line.seq;
                let is_known = self.printed.iter().any(|(_, id)| *id == line.id);
                self.remember(&line);
                if is_known {
                    continue; // it stands elsewhere now
                }
                let printed = if self.json {
                    writeln!(out, "{}", harmless_json(&json(self.room, &line).to_string()))
                } else {
                    print_plain(&mut out, &line)
                };
                printed.and_then(|()| out.flush())?;
            }
        }
    }

    /// Goes back to the last line that still stands where it was printed.
    fn step_back(&mut self) -> Result<(), Failure> {
        for (place, id) in self.printed.iter_mut().rev() {
            let Some(seq) = *place else { continue };
            let there = self.reader.before(self.room, seq.next(), 1)?;
            if there.first().is_some_and(|line| (line.seq, line.id) == (seq, *id)) {
                self.at = seq;
                return Ok(());
            }
            self.at = Seq(seq.0.saturating_sub(1));
            *place = None;
        }
        Ok(())
    }

    fn remember(&mut self, line: &Line) {
        self.printed.retain(|(_, id)| *id != line.id);
        self.printed.push_back((Some(line.seq), line.id));
        if self.printed.len() > PRINTED_MAX {
            self.printed.pop_front();
        }
    }

    /// Whether what lies before a seq is held without entries: a run that the server skipped.
    fn is_skipped(&self, seq: Seq) -> Result<bool, Failure> {
        Ok(self.reader.holds(self.room, self.at.next(), seq)?)
    }
}

fn json(room: RoomId, line: &Line) -> serde_json::Value {
    serde_json::json!({
        "room": room, "seq": line.seq, "id": line.id, "author": line.author, "name": line.name, "kind": line.kind,
        "at": line.at, "composed_at": line.composed_at, "body": line.body, "redacted": line.redacted, "edited": line.edited,
    })
}

fn print_plain(out: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let time = jiff::Timestamp::from_millisecond(line.at as i64).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    let time = time.map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let body = match line.kind {
        Kind::Message => line.body.clone(),
        Kind::Join => "joined".to_owned(),
        Kind::Leave => "left".to_owned(),
        Kind::Topic => format!("set the topic: {}", line.body),
        Kind::Rename => format!("is now {}", line.body),
        Kind::Edit | Kind::Redaction | Kind::Reaction | Kind::Unknown => return Ok(()),
    };
    // One entry is one line, and nothing in it reaches the terminal raw.
    writeln!(out, "{time} {} {}", harmless_line(&line.name), harmless_line(&body))
}
