//! `landfall join`: joins a server, and makes the profile.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::exit::{self, Failure};
use super::profile::{Profile, Who};
use crate::client::link::LinkState;
use crate::client::session::Status;
use crate::client::store::{EnrolmentRequest, Store};
use crate::client::{Cause, FrameDirection, Write};
use crate::config::Config;
use crate::print;
use crate::protocol::{Address, is_valid_name};

/// Maximum time for an answer of the server.
const WAIT: Duration = Duration::from_secs(15);
/// Time until the user is shown that it waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Number of failed attempts before the user sees the cause.
const TRIES: u32 = 3;

pub(super) fn run(
    config: &Config,
    who: &Who,
    invite: &str,
    name: Option<String>,
) -> Result<u8, Failure> {
    // The line that `serve` and `invite` print may be pasted as a whole.
    let url = invite.trim();
    let url = url.strip_prefix("invite ").unwrap_or(url).trim_start();
    let (address, code) = Address::parse_invite(url).map_err(Failure::usage)?;
    let code = code.ok_or_else(|| {
        Failure::usage("the invite's code is missing: paste it whole, ws://HOST:PORT#CODE")
    })?;
    let name = name.unwrap_or_else(|| who.wanted_name());
    if !is_valid_name(&name) {
        return Err(Failure::usage(format!(
            "{name:?} is not a name: use up to 32 characters (letters, digits, - _ .)"
        )));
    }
    let _log = super::logging::to_file(&config.log_file());
    let folder = who.folder(config);
    let is_new = !Store::exists(&folder);
    let before = names(&folder);
    match join(
        config,
        who,
        address,
        EnrolmentRequest {
            url: None,
            invite: code,
            name,
        },
    ) {
        Ok(code) => Ok(code),
        // The server may have made the account. Only this profile's token opens it, so the profile is
        // kept.
        Err(JoinFailure {
            failure,
            may_be_in: true,
        }) => Err(failure.with("you may have joined anyway: join again with the same name")),
        Err(JoinFailure { failure, .. }) => {
            if is_new {
                remove_made(&folder, &before); // no other process uses these files yet
            }
            Err(failure)
        }
    }
}

/// Returns the names in a folder.
fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.file_name())
        .collect()
}

/// Removes the files made since `before`; older files, for example a backup, belong to the user.
fn remove_made(folder: &Path, before: &BTreeSet<OsString>) {
    for name in names(folder).difference(before) {
        let path = folder.join(name);
        let _ = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
    }
    let _ = std::fs::remove_dir(folder); // fails unless the folder is empty
}

/// The failure of a join, and whether the server may have made the account nevertheless.
struct JoinFailure {
    failure: Failure,
    may_be_in: bool,
}

impl<E: Into<Failure>> From<E> for JoinFailure {
    fn from(error: E) -> Self {
        Self {
            failure: error.into(),
            may_be_in: false,
        }
    }
}

fn join(
    config: &Config,
    who: &Who,
    address: Address,
    enrolment: EnrolmentRequest,
) -> Result<u8, JoinFailure> {
    let mut profile = Profile::open(config, who)?;
    let mine = profile.reader()?.mine()?;
    let is_member = mine.account.is_some();
    // A restored server may have lost this account, and have another one with its name: then the user
    // may join again with a new name.
    let is_again = profile.url.as_ref() == Some(&address) && mine.name != enrolment.name;
    if is_member && !is_again {
        let text = format!(
            "this profile has the account {} already: choose another profile with --profile NAME",
            mine.name
        );
        return Err(Failure::usage(text).into());
    }
    let enrolment = EnrolmentRequest {
        url: Some(address.to_string()),
        ..enrolment
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(profile.store.set_enrolment(enrolment))?;
    profile.url = Some(address.clone());
    let running = profile.start(who)?;
    runtime.block_on(async {
        let mut status = running.client.status();
        let welcomed = status.wait_for(|status| {
            (is_let_in(status) && !status.rooms.is_empty()) || failed(&status.link).is_some()
        });
        let mut welcomed = std::pin::pin!(tokio::time::timeout(WAIT, welcomed));
        let result = match tokio::time::timeout(PATIENCE, &mut welcomed).await {
            Ok(result) => result,
            Err(_) => {
                print::note(format!("waiting for {address}, up to {} s", WAIT.as_secs()));
                welcomed.await
            }
        };
        let result = match result {
            Ok(Ok(status)) => match (is_let_in(&status), failed(&status.link)) {
                (true, _) => Ok(()),
                (false, Some(why)) => Err((
                    Failure::no_link(&why).at(&address),
                    matches!(why, Cause::Bye { .. }),
                )),
                (false, None) => Err((
                    Failure::new(
                        exit::SOFTWARE,
                        "the client ended before the server made an account",
                    ),
                    false,
                )),
            },
            Ok(Err(_)) => Err((
                Failure::new(exit::SOFTWARE, "the client's thread ended"),
                false,
            )),
            Err(_) => {
                let what = format!("{address} does not answer: is the server running?");
                Err((Failure::new(exit::UNAVAILABLE, what), false))
            }
        };
        let was_asked = running
            .client
            .trace()
            .frames()
            .iter()
            .any(|frame| frame.way == FrameDirection::Up);
        let result = result.map_err(|(failure, is_answer): (Failure, bool)| JoinFailure {
            failure,
            may_be_in: was_asked && !is_answer,
        });
        running.client.quit().await;
        profile.store.write(Write::Barrier).await?; // behind all writes of the welcome
        result
    })?;
    let name = profile.reader()?.mine()?.name;
    print::line(format!(
        "you are {name} on {address}: open the chat with `landfall{}`",
        flag(who)
    ))?;
    Ok(exit::OK)
}

fn is_let_in(status: &Status) -> bool {
    status.account.is_some()
        && matches!(
            status.link,
            LinkState::Connected { .. } | LinkState::Resyncing { .. }
        )
}

/// Returns why there will be no welcome: at once if final, after a few attempts for network errors.
fn failed(link: &LinkState) -> Option<Cause> {
    match link {
        LinkState::Backoff { attempt, cause, .. } if *attempt > TRIES => Some(cause.clone()),
        link => super::chat::fatal_cause(link),
    }
}

fn flag(who: &Who) -> String {
    match (&who.profile, &who.name) {
        (Some(profile), _) => format!(" --profile {profile}"),
        (None, Some(name)) => format!(" --as {name}"),
        (None, None) => String::new(),
    }
}
