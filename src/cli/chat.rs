//! `landfall`: the chat.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use super::exit::{self, Failure};
use super::profile::{Profile, RunningClient, Who};
use crate::client::link::{Limits, LinkState};
use crate::client::session::Status;
use crate::client::store::Store;
use crate::client::{Cause, Write};
use crate::config::Config;
use crate::protocol::DeviceId;
use crate::sqlite::DbError;
use crate::tui::{self, Theme};

pub(super) fn run(config: &Config, who: &Who) -> Result<u8, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the chat needs a terminal: in scripts use `landfall send` and `landfall tail`",
        ));
    }
    let _log = super::logging::to_file(&config.log_file());
    let profile = Profile::open(config, who)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let running: Rc<RefCell<Option<RunningClient>>> = Rc::default();
    let (started, paused) = (running.clone(), running.clone());
    let starting_who = who.clone();
    let (store, closing) = (profile.store.clone(), profile.store.clone());
    let notice = profile
        .notice
        .map(str::to_owned)
        .or_else(|| config.warnings.first().cloned());
    let connect = move || {
        let now = profile
            .start(&starting_who)
            .map_err(|failure| io::Error::other(failure.to_string()))?;
        let client = now.client.clone();
        started.replace(Some(now));
        Ok(client)
    };
    let pause = move |pause: bool| {
        let running = paused.borrow();
        let Some(host) = running.as_ref().and_then(|running| running.host.as_ref()) else {
            return;
        };
        if pause { host.pause() } else { host.resume() }
    };
    let options = tui::ScreenOptions {
        theme: Theme::new(config.color, config.ascii),
        store,
        connect: Box::new(connect),
        status: starting(),
        log_file: config.log_file(),
        pause: Box::new(pause),
        notice,
    };
    let ended = runtime.block_on(tui::run(options));
    drop(running); // drains the server of this process
    let store = runtime.block_on(last_write(&closing));
    runtime.block_on(closing.close());
    ended.map_err(|error| exit::of_screen(error, &config.profile(&who.profile_name())))?;
    store?;
    Ok(exit::OK)
}

/// A store that the next start cannot open is reported after the screen is closed, since the status
/// bar may have cut the report off.
async fn last_write(store: &Store) -> Result<(), DbError> {
    let mut written = store.write(Write::Barrier).await;
    if matches!(&written, Err(error) if error.is_another_file()) {
        written = store.write(Write::Barrier).await; // moved or overwritten, and opened again
    }
    match written {
        // Drafts have a file of their own, and the next start reads queued messages.
        Ok(_) | Err(DbError::Busy) => Ok(()),
        Err(error) if error.is_full() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The status until the client has reported one.
pub(super) fn starting() -> Status {
    Status {
        link: LinkState::Connecting { attempt: 1 },
        limits: Limits::NONE,
        last_cause: None,
        account: None,
        device: DeviceId::NIL,
        unanswered_since: None,
        rooms: std::sync::Arc::default(),
    }
}

/// Returns the cause of a link state that ends a command which needs a connection.
pub(super) fn fatal_cause(link: &LinkState) -> Option<Cause> {
    match link {
        LinkState::Offline { why } if !matches!(why, Cause::NotOwner { .. }) => Some(why.clone()),
        LinkState::Backoff {
            cause: cause @ Cause::NotLandfall { .. },
            ..
        } => Some(cause.clone()),
        LinkState::Offline { .. }
        | LinkState::Backoff { .. }
        | LinkState::Connecting { .. }
        | LinkState::Resyncing { .. }
        | LinkState::Connected { .. } => None,
    }
}
