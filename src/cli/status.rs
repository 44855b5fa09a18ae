//! `landfall status`: connection state and pending messages, from the store.

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::link::LinkPhase;
use crate::client::store::{LinkRow, OutboxCounts, Reader};
use crate::client::{Cause, LinkLock};
use crate::config::Config;
use crate::print;
use crate::system;

/// A clock that is further behind the newest message is reported, ms.
const CLOCK_BEHIND_MS_MAX: u64 = 10 * 60 * 1_000;
/// A link state that was not confirmed for this time is unknown, ms.
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
    let known = KnownLink::new(link, owner);
    let cause = last
        .into_iter()
        .next()
        .filter(|line| KnownLink::Phase(line.to) == known)
        .and_then(|line| line.cause);
    let cause = cause
        .filter(|cause| *cause != Cause::Start)
        .map(|cause| cause.to_string());
    let OutboxCounts {
        queued,
        unacked,
        failed,
        acked,
        oldest,
    } = counts;
    if json {
        let server = profile.url.as_ref().map(ToString::to_string);
        let value = serde_json::json!({
            "link": known.as_str(), "cause": cause, "pid": owner, "name": mine.name, "account": mine.account, "server": server,
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
        "no account yet"
    } else {
        &mine.name
    };
    print::line(format!("{name} on {server}"))?;
    let why = cause.map_or_else(String::new, |cause| format!(", {cause}"));
    let pid = owner.map_or_else(String::new, |pid| format!(" (process {pid})"));
    print::line(format!("link     {}{why}{pid}", known.text()))?;
    print::line(format!(
        "outbox   {queued} saved, {unacked} sent, {failed} rejected"
    ))?;
    print::line(format!("acked    {acked} on the server"))?;
    if let Some(ms) = clock_behind_ms {
        let minutes = ms / 60_000;
        print::line(format!(
            "clock    {minutes} minutes behind the newest message: check this computer's clock"
        ))?;
    }
    Ok(exit::OK)
}

/// Returns how far this computer's clock is behind the newest message, if that is more than usual.
fn clock_behind_ms(reader: &Reader) -> Result<Option<u64>, Failure> {
    let behind = reader
        .newest_at()?
        .map(|newest| newest.saturating_sub(system::unix_ms()));
    Ok(behind.filter(|behind| *behind > CLOCK_BEHIND_MS_MAX))
}

/// Whether another process keeps this store up to date.
pub(super) fn is_fresh(profile: &Profile) -> bool {
    matches!(
        of_owner(profile),
        Some(LinkPhase::Connected | LinkPhase::Resyncing)
    )
}

/// The link state of the process that has the connection; `None` if there is none, or it has not
/// stored it for [`OLD_MS`].
pub(super) fn of_owner(profile: &Profile) -> Option<LinkPhase> {
    let owner = LinkLock::of(&profile.folder).holder();
    let link = profile
        .reader()
        .ok()
        .and_then(|reader| reader.link().ok())
        .flatten();
    match KnownLink::new(link, owner) {
        KnownLink::Phase(phase) => Some(phase),
        KnownLink::NoProcess | KnownLink::Outdated => None,
    }
}

/// The known link state of a profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum KnownLink {
    /// No process has the connection.
    NoProcess,
    /// A process has it, and has not stored its state for [`OLD_MS`].
    Outdated,
    /// The process that has it stored this a moment ago.
    Phase(LinkPhase),
}

impl KnownLink {
    fn new(link: Option<LinkRow>, owner: Option<u32>) -> Self {
        match (link, owner) {
            (_, None) => Self::NoProcess,
            (Some(link), Some(_)) if system::unix_ms().abs_diff(link.seen_at) < OLD_MS => {
                Self::Phase(link.phase)
            }
            (_, Some(_)) => Self::Outdated,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::NoProcess => "none",
            Self::Outdated => "unknown",
            Self::Phase(phase) => phase.as_str(),
        }
    }

    /// Its text for people; [`Self::as_str`] is the one in JSON.
    const fn text(self) -> &'static str {
        match self {
            Self::NoProcess => "not running",
            Self::Outdated => "unknown (the process has not reported for a while)",
            Self::Phase(LinkPhase::Resyncing) => "catching up",
            Self::Phase(LinkPhase::Backoff) => "reconnecting",
            Self::Phase(phase) => phase.as_str(),
        }
    }
}
