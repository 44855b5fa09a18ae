//! `landfall tail`: prints a room's log in order. Waits for missing entries.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use tokio::sync::broadcast;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use super::stopping::{self, Ends};
use super::time::minute;
use crate::client::actor::Client;
use crate::client::follow::{FollowPage, FollowProgress, Follower};
use crate::client::link::{LinkPhase, LinkState};
use crate::client::session::{Command, Status};
use crate::client::store::{Change, Line, Reader};
use crate::client::{Cause, Write, counted};
use crate::config::Config;
use crate::print;
use crate::protocol::{Kind, RoomId, Seq, sanitize_json, sanitize_line};

/// Maximum time without new entries, unless the log is followed.
const WAIT: Duration = Duration::from_secs(30);

pub(super) struct TailOptions {
    pub(super) room: String,
    pub(super) json: bool,
    pub(super) after: Seq,
    pub(super) follow: bool,
    /// Only orphaned entries.
    pub(super) orphaned: bool,
}

pub(super) fn run(config: &Config, who: &Who, options: &TailOptions) -> Result<u8, Failure> {
    let _log = super::logging::to_file(&config.log_file());
    let profile = Profile::open_existing(config, who)?;
    let reader = profile.reader()?;
    let name = options.room.trim_start_matches('#');
    let Some((room, _)) = reader.room_named(name)? else {
        return Err(Failure::new(
            exit::REJECTED,
            format!(
                "this profile does not know a room {:?}: join it in the chat first",
                options.room
            ),
        ));
    };
    if options.orphaned {
        return print_orphaned(&reader, room, options.json);
    }
    let (at, json) = (options.after, options.json);
    let mut tail = Tail {
        orphaned: reader.count_aside(room)?,
        profile: &profile,
        reader,
        follower: Follower::new(room, at),
        json,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut ends = Ends::listen()?;
        let mut changes = profile.store.changes();
        let running = profile.start(who)?;
        stopping::between_writes(&profile.store, Some(&running.client))?;
        running.client.command(Command::Focus(room)).await;
        let result = if options.follow {
            tokio::select! {
                result = follow(&mut tail, &running.client, &mut changes) => result,
                () = ends.next() => Ok(exit::OK),
            }
        } else {
            let work = async {
                // Stored entries are printed at once, without waiting for the network.
                tail.print()?;
                let caught_up = tokio::time::timeout(WAIT, catch_up(&profile, &running.client, room)).await;
                if caught_up.unwrap_or_default() {
                    return fill(&mut tail, &running.client, &mut changes, Some(WAIT)).await;
                }
                let why = why_not_connected(&running.client);
                print::note(format!(
                    "not connected{why}; showing only what is saved on this computer"
                ));
                match tail.print()? {
                    FollowProgress::Head => Ok(()),
                    FollowProgress::Gap | FollowProgress::More => Err(not_here()),
                }
            };
            tokio::select! {
                result = work => result.map(|()| exit::OK),
                () = ends.next() => Err(Failure::new(exit::LATER, "ended before all messages were printed")),
            }
        };
        running.client.quit().await;
        result
    })
}

/// Prints the entries of others that were in the log until the server was restored from a backup.
/// Own entries are sent again instead.
fn print_orphaned(reader: &Reader, room: RoomId, json: bool) -> Result<u8, Failure> {
    for entry in reader.aside(room)? {
        if json {
            print::json(&serde_json::json!({
                "room": room, "seq": entry.seq, "id": entry.id, "author": entry.author, "name": entry.name,
                "kind": Kind::Message, "at": entry.at, "body": entry.body,
            }))?;
        } else {
            print::line(format!(
                "{} {} {}",
                minute(entry.at),
                entry.name,
                entry.body
            ))?;
        }
    }
    Ok(exit::OK)
}

/// Whether the room's log was compared with the server's, and has everything up to its head.
fn is_caught_up(status: &Status, room: RoomId) -> bool {
    match &status.link {
        LinkState::Connected { .. } => true,
        LinkState::Resyncing { .. } => status
            .rooms
            .get(&room)
            .is_some_and(|room| room.live && room.missing == 0),
        LinkState::Connecting { .. } | LinkState::Backoff { .. } | LinkState::Offline { .. } => {
            false
        }
    }
}

/// Waits until everything up to the head is on disk. Returns whether it is.
async fn catch_up(profile: &Profile, client: &Client, room: RoomId) -> bool {
    let mut status = client.status();
    let is_settled = |status: &Status| match &status.link {
        LinkState::Backoff { cause, .. } => *cause != Cause::Start,
        LinkState::Offline { .. } => true,
        _ => is_caught_up(status, room),
    };
    let is_up = match status.wait_for(is_settled).await {
        // The process with the connection keeps the store up to date.
        Ok(status) if matches!(status.link, LinkState::Offline { .. }) => {
            super::status::is_fresh(profile)
        }
        Ok(status) => !matches!(status.link, LinkState::Backoff { .. }),
        Err(_) => false,
    };
    is_up && profile.store.write(Write::Barrier).await.is_ok() // behind all received entries
}

/// Returns the cause, to be appended to a text; empty while a connection is being opened.
fn why_not_connected(client: &Client) -> String {
    match &client.status().borrow().link {
        LinkState::Backoff { cause, .. } | LinkState::Offline { why: cause } => {
            format!(", {}", sanitize_line(&cause.to_string()))
        }
        LinkState::Connecting { .. }
        | LinkState::Resyncing { .. }
        | LinkState::Connected { .. } => String::new(),
    }
}

/// Prints the stored entries and fetches missing ones, up to the known head.
///
/// # Errors
/// When nothing arrives within `patience`.
async fn fill(
    tail: &mut Tail<'_>,
    client: &Client,
    changes: &mut broadcast::Receiver<Change>,
    patience: Option<Duration>,
) -> Result<(), Failure> {
    let mut progress = Progress::new();
    let mut status = client.status();
    let mut before = tail.reader.missing(tail.follower.room())?;
    let mut patient = std::pin::pin!(tokio::time::sleep(patience.unwrap_or_default()));
    loop {
        match tail.print()? {
            FollowProgress::Head => return tail.report_orphaned(client).await,
            // Repeated, since a room that is not open yet, or waits for a page, ignores the
            // request.
            FollowProgress::Gap | FollowProgress::More => {
                client
                    .command(Command::FetchAfter(
                        tail.follower.room(),
                        tail.follower.at(),
                    ))
                    .await;
            }
        }
        progress.report(tail)?;
        tokio::select! {
            result = changed(changes) => result?,
            Ok(()) = status.changed() => drop(status.borrow_and_update()),
            () = &mut patient, if patience.is_some() => return Err(not_here()),
        }
        let missing = tail.reader.missing(tail.follower.room())?;
        if let (Some(patience), true) = (patience, missing != before) {
            patient.set(tokio::time::sleep(patience));
        }
        before = missing;
    }
}

fn not_here() -> Failure {
    Failure::new(
        exit::LATER,
        "some messages could not be fetched yet: try again when connected",
    )
}

/// Prints like [`fill`], and then new entries as they arrive.
async fn follow(
    tail: &mut Tail<'_>,
    client: &Client,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<u8, Failure> {
    let mut status = client.status();
    loop {
        fill(tail, client, changes, None).await?;
        tokio::select! {
            result = changed(changes) => result?,
            Ok(()) = status.changed() => drop(status.borrow_and_update()),
        }
    }
}

async fn changed(changes: &mut broadcast::Receiver<Change>) -> Result<(), Failure> {
    match changes.recv().await {
        Err(broadcast::error::RecvError::Closed) => {
            Err(Failure::new(exit::SOFTWARE, "the store's thread ended"))
        }
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
    }
}

/// Shows the number of missing entries on a terminal while the output goes elsewhere.
struct Progress {
    is_wanted: bool,
    reported: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_wanted: io::stderr().is_terminal() && !io::stdout().is_terminal(),
            reported: None,
        }
    }

    fn report(&mut self, tail: &Tail<'_>) -> Result<(), Failure> {
        if self.is_wanted {
            let missing = tail.reader.missing(tail.follower.room())?;
            if self.reported.is_none_or(|before| missing + 100 <= before) {
                print::note(format!(
                    "printed up to {}, {missing} entries are still missing",
                    tail.follower.at().0
                ));
                self.reported = Some(missing);
            }
        }
        Ok(())
    }
}

struct Tail<'a> {
    profile: &'a Profile,
    reader: Reader,
    follower: Follower,
    json: bool,
    /// Number of orphaned messages that are reported, or were there at the start.
    orphaned: usize,
}

impl Tail<'_> {
    /// Stored messages are printed before they are compared with the server's log: reports those that
    /// a restored server no longer has. While the logs are compared, their number is not known.
    async fn report_orphaned(&mut self, client: &Client) -> Result<(), Failure> {
        let room = self.follower.room();
        let mut orphaned = self.reader.count_aside(room)?;
        if orphaned > self.orphaned {
            if !self.is_compared(client) {
                return Ok(());
            }
            self.profile.store.write(Write::Barrier).await?; // behind all received entries
            orphaned = self.reader.count_aside(room)?;
        }
        let more = orphaned.saturating_sub(self.orphaned) as u64;
        self.orphaned = orphaned;
        if more > 0 {
            let count = counted(more, "message is", "messages are");
            print::note(format!(
                "the server was restored from a backup: {count} no longer in its log (`tail --orphaned` prints what was lost)"
            ));
        }
        Ok(())
    }

    /// Whether the process with the connection has compared the log with the server's.
    fn is_compared(&self, client: &Client) -> bool {
        let status = client.status().borrow().clone();
        match status.link {
            LinkState::Offline { .. } => {
                super::status::of_owner(self.profile) == Some(LinkPhase::Connected)
            }
            _ => is_caught_up(&status, self.follower.room()),
        }
    }

    /// Prints entries up to the first gap.
    fn print(&mut self) -> Result<FollowProgress, Failure> {
        loop {
            let FollowPage { lines, reached } = self.follower.next(&self.reader)?;
            let mut out = io::BufWriter::new(io::stdout().lock());
            for line in lines {
                if self.json {
                    writeln!(
                        out,
                        "{}",
                        sanitize_json(&json(self.follower.room(), &line).to_string())
                    )?;
                } else {
                    print_plain(&mut out, &line)?;
                }
            }
            out.flush()?;
            if reached != FollowProgress::More {
                return Ok(reached);
            }
        }
    }
}

fn json(room: RoomId, line: &Line) -> serde_json::Value {
    serde_json::json!({
        "room": room, "seq": line.seq, "id": line.id, "author": line.author, "name": line.name, "kind": line.kind,
        "at": line.at, "composed_at": line.composed_at, "body": line.body, "redacted": line.redacted, "edited": line.edited,
    })
}

fn print_plain(out: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let time = minute(line.at);
    let body = match line.kind {
        Kind::Message => line.body.clone(),
        Kind::Join => "joined".to_owned(),
        Kind::Leave => "left".to_owned(),
        Kind::Topic if line.body.is_empty() => "removed the topic".to_owned(),
        Kind::Topic => format!("set the topic: {}", line.body),
        Kind::Rename => format!("is now {}", line.body),
        Kind::Edit | Kind::Redaction | Kind::Reaction | Kind::Unknown => return Ok(()),
    };
    // One line for each entry, sanitized.
    writeln!(
        out,
        "{time} {} {}",
        sanitize_line(&line.name),
        sanitize_line(&body)
    )
}
