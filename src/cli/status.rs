//! `landfall status`: how the link is and what waits, from the store alone.

use std::io::Write as _;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::LinkLock;
use crate::client::store::{Counts, LinkRow};
use crate::config::Config;
use crate::system;

/// A link's state that was not confirmed for so long is no longer known, ms.
const OLD_MS: u64 = 120_000;

pub(super) fn run(config: &Config, who: &Who, json: bool) -> Result<u8, Failure> {
    let profile = Profile::open_existing(config, who)?;
    let reader = profile.reader()?;
    let (link, counts, mine) = reader.at_once(|reader| Ok((reader.link()?, reader.counts()?, reader.mine()?)))?;
    let owner = LinkLock::of(&profile.folder).holder();
    let state = state(link, owner);
    let mut out = std::io::stdout().lock();
    let Counts { queued, unacked, failed, acked, oldest } = counts;
    if json {
        let server = profile.url.as_ref().map(ToString::to_string);
        let value = serde_json::json!({
            "link": state, "pid": owner, "name": mine.name, "account": mine.account, "server": server,
            "queued": queued, "unacked": unacked, "failed": failed, "acked": acked, "oldest": oldest,
        });
        writeln!(out, "{value}")?;
        return Ok(exit::OK);
    }
    let server = profile.url.as_ref().map_or_else(|| "this machine".to_owned(), ToString::to_string);
    let name = if mine.name.is_empty() { "nobody yet" } else { &mine.name };
    writeln!(out, "{name} on {server}")?;
    writeln!(out, "link     {state}{}", owner.map_or_else(String::new, |pid| format!(" (process {pid})")))?;
    writeln!(out, "outbox   {queued} queued, {unacked} sent and not acked, {failed} refused")?;
    writeln!(out, "acked    {acked} in all")?;
    Ok(exit::OK)
}

/// The last known state, as long as a process stands behind it and it is not old.
fn state(link: Option<LinkRow>, owner: Option<u32>) -> String {
    match (link, owner) {
        (_, None) => "none".to_owned(),
        (Some(link), Some(_)) if system::unix_ms().saturating_sub(link.seen_at) < OLD_MS => link.state,
        (_, Some(_)) => "unknown".to_owned(),
    }
}
