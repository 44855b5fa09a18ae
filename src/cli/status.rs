//! `landfall status`: how the link is and what waits, from the store alone.

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::store::{Counts, LinkRow, Reader};
use crate::client::{Cause, LinkLock};
use crate::config::Config;
use crate::print;
use crate::system;

/// A clock that is further behind the newest message is wrong, ms.
const CLOCK_BEHIND_MS_MAX: u64 = 10 * 60 * 1_000;
/// A link's state that was not confirmed for so long is no longer known, ms.
const OLD_MS: u64 = 90_000;

pub(super) fn run(config: &Config, who: &Who, json: bool) -> Result<u8, Failure> {
    let profile = Profile::open_existing(config, who)?;
    let reader = profile.reader()?;
    let (link, counts, mine, last) = reader.at_once(|reader| {
        Ok((
            reader.link()?,
            reader.counts()?,
            reader.mine()?,
            reader.journal(0, 1)?,
        ))
    })?;
    let clock_behind_ms = clock_behind_ms(&reader)?;
    let owner = LinkLock::of(&profile.folder).holder();
    let state = state(link, owner);
    let cause = last
        .into_iter()
        .next()
        .filter(|line| line.to == state)
        .and_then(|line| line.cause);
    let cause = cause
        .filter(|cause| *cause != Cause::Start)
        .map(|cause| cause.to_string());
    let Counts {
        queued,
        unacked,
        failed,
        acked,
        oldest,
    } = counts;
    if json {
        let server = profile.url.as_ref().map(ToString::to_string);
        let value = serde_json::json!({
            "link": state, "cause": cause, "pid": owner, "name": mine.name, "account": mine.account, "server": server,
            "queued": queued, "unacked": unacked, "failed": failed, "acked": acked, "oldest": oldest,
            "clock_behind_ms": clock_behind_ms,
        });
        print::json(&value)?;
        return Ok(exit::OK);
    }
    let server = profile
        .url
        .as_ref()
        .map_or_else(|| "this machine".to_owned(), ToString::to_string);
    let name = if mine.name.is_empty() {
        "nobody yet"
    } else {
        &mine.name
    };
    print::line(format!("{name} on {server}"))?;
    let why = cause.map_or_else(String::new, |cause| format!(", {cause}"));
    let pid = owner.map_or_else(String::new, |pid| format!(" (process {pid})"));
    print::line(format!("link     {state}{why}{pid}"))?;
    print::line(format!(
        "outbox   {queued} queued, {unacked} sent and not acked, {failed} refused"
    ))?;
    print::line(format!("acked    {acked} in all"))?;
    if let Some(ms) = clock_behind_ms {
        let minutes = ms / 60_000;
        print::line(format!(
            "clock    {minutes} minutes behind the newest message: check this computer's clock"
        ))?;
    }
    Ok(exit::OK)
}

/// How far this computer's clock is behind the newest message, when that is more than clocks
/// differ.
fn clock_behind_ms(reader: &Reader) -> Result<Option<u64>, Failure> {
    let behind = reader
        .newest_at()?
        .map(|newest| newest.saturating_sub(system::unix_ms()));
    Ok(behind.filter(|behind| *behind > CLOCK_BEHIND_MS_MAX))
}

/// Whether another process keeps this store up to date now.
pub(super) fn is_fresh(profile: &Profile) -> bool {
    let owner = LinkLock::of(&profile.folder).holder();
    let link = profile
        .reader()
        .ok()
        .and_then(|reader| reader.link().ok())
        .flatten();
    matches!(state(link, owner).as_str(), "connected" | "resyncing")
}

/// The last known state, as long as a process stands behind it and it is not old.
fn state(link: Option<LinkRow>, owner: Option<u32>) -> String {
    match (link, owner) {
        (_, None) => "none".to_owned(),
        (Some(link), Some(_)) if system::unix_ms().abs_diff(link.seen_at) < OLD_MS => link.state,
        (_, Some(_)) => "unknown".to_owned(),
    }
}
