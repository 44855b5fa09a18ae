//! `landfall outbox`: lists, retries and discards messages that are not in a log yet.

use std::io;

use super::arguments::OutboxAction;
use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::store::{OwnMark, Pending};
use crate::client::{Outcome, Write};
use crate::config::Config;
use crate::print;
use crate::protocol::{EntryId, Kind, limits};
use crate::sqlite::word;
use crate::system;

pub(super) fn run(config: &Config, who: &Who, action: OutboxAction) -> Result<u8, Failure> {
    let profile = Profile::open_existing(config, who)?;
    let write = match action {
        OutboxAction::List { json } => {
            let rows = profile.reader()?.outbox(None, limits::OUTBOX_ENTRIES_MAX)?;
            rows.iter().try_for_each(|row| print(row, json))?;
            return Ok(exit::OK);
        }
        OutboxAction::Retry { id } => Write::Retry {
            id: id.as_deref().map(parse).transpose()?,
        },
        OutboxAction::Drop { id } => Write::Discard {
            id: parse(&id)?,
            redaction: system::entry_id(),
            composed_at: system::unix_ms(),
        },
    };
    let is_all = matches!(write, Write::Retry { id: None });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(profile.store.write(write))? {
        Outcome::Requeued(count) => report(&format!("{count} will be sent again")),
        Outcome::NotFound if is_all => report("nothing to retry"),
        Outcome::NotFound => Err(Failure::new(
            exit::REJECTED,
            "no such message in the outbox: see `landfall outbox`",
        )),
        Outcome::OutboxFull => Err(Failure::new(
            exit::REJECTED,
            "the outbox is full: try again when some messages were sent",
        )),
        _ => report("dropped"), // it is deleted on disk
    }
}

fn report(what: &str) -> Result<u8, Failure> {
    print::line(what)?;
    Ok(exit::OK)
}

fn parse(id: &str) -> Result<EntryId, Failure> {
    id.parse()
        .map_err(|_| Failure::usage(format!("{id:?} is not an id: `landfall outbox` lists them")))
}

fn print(row: &Pending, json: bool) -> io::Result<()> {
    let state = match row.mark {
        OwnMark::Queued => "queued",
        OwnMark::Sent => "sent",
        OwnMark::Acked | OwnMark::Delivered | OwnMark::Read => "acked",
        OwnMark::Rejected => "refused",
    };
    let reason = row.rejection.as_ref().map(|(_, reason)| reason.as_str());
    if json {
        let value = serde_json::json!({
            "id": row.id, "room": row.room, "room_name": row.room_name, "state": state, "kind": row.kind,
            "composed_at": row.composed_at, "reason": reason, "discarded": row.discarded, "body": row.body,
        });
        return print::json(&value);
    }
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let state = match row.mark {
        OwnMark::Queued => "saved",
        OwnMark::Rejected => "rejected",
        OwnMark::Sent | OwnMark::Acked | OwnMark::Delivered | OwnMark::Read => state,
    };
    let kind = if row.kind == Kind::Message {
        String::new()
    } else {
        format!(" [{}]", word(row.kind))
    };
    let (room, body) = (&row.room_name, &row.body);
    print::line(format!(
        "{} {state:<8} #{room}{kind}{reason} {body}",
        row.id
    ))
}
