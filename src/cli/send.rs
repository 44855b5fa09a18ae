//! `landfall send`: a message from the command line. On disk first, then on the wire; beside a running chat too.

use std::io::Read;
use std::time::Duration;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::link::LinkState;
use crate::client::store::{Change, OwnMark, Reader};
use crate::client::{Cause, LinkLock, NewEntry, Outcome, Write};
use crate::config::Config;
use crate::print;
use crate::protocol::limits::{BODY_BYTES_MAX, BODY_ENCODED_BYTES_MAX, OUTBOX_BYTES_MAX, OUTBOX_ENTRIES_MAX};
use crate::protocol::{EntryId, Kind, RoomId, encoded_body_len, harmless_line};
use crate::system;

pub(super) struct Options {
    pub(super) room: String,
    pub(super) text: Vec<String>,
    pub(super) lines: bool,
    pub(super) wait_s: u64,
}

pub(super) fn run(config: &Config, who: &Who, options: &Options) -> Result<u8, Failure> {
    super::logging::to_file(&config.log_file());
    let bodies = bodies(options)?;
    let profile = Profile::open_existing(config, who)?;
    let reader = profile.reader()?;
    let room = room(&reader, &options.room)?;
    let entry = |body| NewEntry {
        id: system::entry_id(),
        room,
        kind: Kind::Message,
        body,
        target: None,
        composed_at: system::unix_ms(),
    };
    let entries: Vec<_> = bodies.into_iter().map(entry).collect();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut changes = profile.store.changes();
        match profile.store.write(Write::Enqueue { entries, clears_draft: false }).await? {
            Outcome::Queued => {}
            Outcome::OutboxFull => {
                let text =
                    "the outbox is full (10,000 entries or 64 MiB): nothing was queued, try again when some were sent";
                return Err(Failure::new(exit::REFUSED, text));
            }
            _ => return Err(Failure::new(exit::SOFTWARE, "the store answered something else")), // no other is defined
        }
        if options.wait_s == 0 {
            let owner = LinkLock::of(&profile.folder).holder();
            let link = owner.map(|pid| LinkState::Offline { why: Cause::NotOwner { pid: Some(pid) } });
            return later(ids.len(), ids.len(), link.as_ref(), None);
        }
        let running = profile.start(who)?;
        let settled = settle(&reader, &ids, &mut changes);
        let result = tokio::time::timeout(Duration::from_secs(options.wait_s), settled).await;
        let status = running.client.status().borrow().clone();
        running.client.quit().await;
        profile.store.write(Write::Flush).await?; // behind the journal's last line
        match result {
            Ok(Ok(None)) => Ok(exit::OK),
            Ok(Ok(Some(reason))) => {
                Err(Failure::new(exit::REFUSED, format!("refused: {reason}; see `landfall outbox`")))
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                let fates = ids.iter().map(|id| reader.fate(*id)).collect::<Result<Vec<_>, _>>()?;
                let waits = |fate: &&Option<_>| matches!(fate, Some((OwnMark::Queued | OwnMark::Sent, _)));
                let waiting = fates.iter().filter(waits).count();
                let held = status.rooms.get(&room).and_then(|room| room.held.as_deref());
                later(waiting, ids.len(), Some(&status.link), held)
            }
        }
    })
}

/// So many are not acked yet: why, and who sends on.
fn later(waiting: usize, all: usize, link: Option<&LinkState>, held: Option<&str>) -> Result<u8, Failure> {
    let what = match (waiting, all) {
        (1, 1) => "it is".to_owned(),
        (waiting, all) if waiting == all => format!("{all} messages are"),
        (waiting, all) => format!("{waiting} of {all} messages are"),
    };
    let then = match link {
        Some(LinkState::Offline { why: why @ Cause::NotOwner { .. } }) => format!("{why} and sends on"),
        Some(LinkState::Backoff { cause, .. } | LinkState::Offline { why: cause }) => {
            format!("{}; the next landfall of this profile sends on", harmless_line(&cause.to_string()))
        }
        _ => {
            let why = held.map_or_else(String::new, |held| format!("{}; ", harmless_line(held)));
            format!("{why}the next landfall of this profile sends on")
        }
    };
    print::note(format!("{what} kept and not yet acked: {then}"));
    Ok(exit::LATER)
}

/// Waits until every entry is acked, or one is refused: then its reason.
async fn settle(
    reader: &Reader,
    ids: &[EntryId],
    changes: &mut tokio::sync::broadcast::Receiver<Change>,
) -> Result<Option<String>, Failure> {
    let mut left = ids.to_vec();
    loop {
        let mut refused = None;
        let mut waiting = Vec::new();
        for id in left {
            match reader.fate(id)? {
                Some((OwnMark::Refused, reason)) => refused = refused.or(Some(reason.unwrap_or_default())),
                Some((OwnMark::Queued | OwnMark::Sent, _)) => waiting.push(id),
                Some((OwnMark::Acked | OwnMark::Delivered | OwnMark::Read, _)) => {}
                None => refused = refused.or(Some("it was taken back meanwhile".to_owned())),
            }
        }
        if waiting.is_empty() {
            return Ok(refused);
        }
        left = waiting;
        if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
            return Err(Failure::new(exit::SOFTWARE, "the store's thread ended"));
        }
    }
}

/// The room of a name, in which this account is.
pub(super) fn room(reader: &Reader, name: &str) -> Result<RoomId, Failure> {
    match reader.room_named(name.trim_start_matches('#'))? {
        Some((room, true)) => Ok(room),
        Some((_, false)) => {
            Err(Failure::new(exit::REFUSED, format!("you are not in {name}: join it in the chat first")))
        }
        None => Err(Failure::new(exit::REFUSED, format!("there is no room {name:?} here: join it in the chat first"))),
    }
}

/// What is to be sent, checked whole before any of it is queued.
fn bodies(options: &Options) -> Result<Vec<String>, Failure> {
    let text = if options.text.is_empty() { stdin()? } else { options.text.join(" ") };
    let text = text.replace("\r\n", "\n");
    let bodies: Vec<(usize, &str)> = if options.lines {
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect()
    } else {
        vec![(0, text.trim_end_matches(['\n', '\r']))]
    };
    if bodies.iter().all(|(_, body)| body.trim().is_empty()) {
        return Err(Failure::usage("nothing to send: give a text, or pipe one in"));
    }
    if bodies.len() > OUTBOX_ENTRIES_MAX {
        return Err(Failure::new(
            exit::REFUSED,
            format!("{} lines: at most {OUTBOX_ENTRIES_MAX} fit the outbox", bodies.len()),
        ));
    }
    let is_long = |body: &str| body.len() > BODY_BYTES_MAX || encoded_body_len(body) > BODY_ENCODED_BYTES_MAX;
    if let Some((at, body)) = bodies.iter().find(|(_, body)| is_long(body)) {
        let which = if options.lines { format!("line {}", at + 1) } else { "the text".to_owned() };
        let text = format!(
            "{which} is too long: {} bytes, at most {BODY_BYTES_MAX} fit one message; nothing was queued",
            body.len()
        );
        return Err(Failure::new(exit::REFUSED, text));
    }
    Ok(bodies.into_iter().map(|(_, body)| body.to_owned()).collect())
}

fn stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = OUTBOX_BYTES_MAX as u64 + 1;
    std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    if bytes.len() > OUTBOX_BYTES_MAX {
        return Err(Failure::new(exit::REFUSED, "more than 64 MiB on stdin do not fit the outbox; nothing was queued"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(exit::REFUSED, format!("stdin is not UTF-8 (byte {at}): convert it first; nothing was queued"))
    })
}
