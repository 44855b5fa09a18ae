//! Profiles: one account on one server, in a folder of its own. Converts the configuration into the
//! client's parameters.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::exit::{CANNOT_CREATE, Failure, LATER};
use super::host::{self, Host};
use super::private;
use crate::client::actor::{Client, ClientOptions, Locate};
use crate::client::link::LinkSettings;
use crate::client::session::Command;
use crate::client::store::{EnrolmentRequest, Reader, Store};
use crate::client::{Cause, LinkLock};
use crate::config::Config;
use crate::print;
use crate::protocol::{Address, is_valid_name};
use crate::sqlite::DbError;

/// The profile when none is named.
const DEFAULT: &str = "default";
const OLDER_COPY: &str = "the latest changes of this profile may be missing: store.db was replaced by an older copy, or store.db-wal was removed. \
                        Sent messages are loaded from the server again; unsent ones that were written after that copy are lost";
/// Maximum time that this machine's server may take to start before a first connection.
const FIRST_HOST: Duration = Duration::from_secs(10);
/// Interval of checks whether another process has started the server: no event reports that.
const FIRST_HOST_LOOK: Duration = Duration::from_millis(20);

/// The selected profile, and its wanted user name.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) profile: Option<String>,
    pub(super) name: Option<String>,
}

impl Who {
    pub(super) fn check(&self) -> Result<(), Failure> {
        for name in self.profile.iter().chain(&self.name) {
            if !is_valid_name(name) {
                return Err(Failure::usage(format!(
                    "{name:?} is not a name: use up to 32 characters (letters, digits, - _ .)"
                )));
            }
        }
        Ok(())
    }

    /// Whether a profile was named at all.
    pub(super) const fn is_named(&self) -> bool {
        self.profile.is_some() || self.name.is_some()
    }

    pub(super) fn profile_name(&self) -> String {
        match (&self.profile, &self.name) {
            (Some(profile), _) => profile.clone(),
            (None, Some(name)) => format!("as-{name}"),
            (None, None) => DEFAULT.to_owned(),
        }
    }

    pub(super) fn wanted_name(&self) -> String {
        let user = || {
            std::env::var("USER")
                .or_else(|_| std::env::var("LOGNAME"))
                .ok()
                .filter(|name| is_valid_name(name))
        };
        self.name
            .clone()
            .or_else(user)
            .unwrap_or_else(|| "guest".to_owned())
    }

    pub(super) fn folder(&self, config: &Config) -> PathBuf {
        config.profile(&self.profile_name())
    }
}

/// An open profile: its folder, its store and its server.
pub(super) struct Profile {
    pub(super) folder: PathBuf,
    pub(super) store: Store,
    pub(super) url: Option<Address>,
    /// A notice about the store for the user.
    pub(super) notice: Option<&'static str>,
    settings: LinkSettings,
    host_folder: PathBuf,
}

/// A client on a thread of its own, with the hosting of this machine's server.
pub(super) struct RunningClient {
    pub(super) client: Client,
    /// The runtime of the client's thread.
    pub(super) runtime: Handle,
    pub(super) host: Option<Arc<Host>>,
}

impl Drop for RunningClient {
    /// Ends the hosting explicitly: the client's thread shares the `Host`, so dropping this one does
    /// not end it.
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            host.pause();
        }
    }
}

impl Profile {
    /// Opens a profile, or makes it.
    pub(super) fn open(config: &Config, who: &Who) -> Result<Self, Failure> {
        let folder = who.folder(config);
        private::folder(&folder).map_err(|error| {
            Failure::new(
                CANNOT_CREATE,
                format!(
                    "cannot use {}: {error}; name another folder with --home",
                    folder.display()
                ),
            )
        })?;
        let store = Store::open(&folder).map_err(|error| name_lock_holder(error, &folder))?;
        let url = store.reader()?.mine()?.url;
        let url = url
            .map(|url| url.parse::<Address>())
            .transpose()
            .map_err(Failure::usage)?;
        let settings = LinkSettings {
            max_attempts: config.max_attempts,
            give_up_after: config.give_up_after,
            probe_every: config.probe_every,
            ..LinkSettings::default()
        };
        let notice = store.is_older_copy().then_some(OLDER_COPY);
        Ok(Self {
            folder,
            store,
            url,
            notice,
            settings,
            host_folder: config.host(),
        })
    }

    /// Opens an existing profile.
    pub(super) fn open_existing(config: &Config, who: &Who) -> Result<Self, Failure> {
        let folder = who.folder(config);
        if !Store::exists(&folder) {
            return Err(no_profile(&who.profile_name(), &folder));
        }
        let profile = Self::open(config, who)?;
        profile.notice.iter().for_each(print::note);
        Ok(profile)
    }

    pub(super) fn reader(&self) -> Result<Reader, Failure> {
        Ok(self.store.reader()?)
    }

    /// Starts the client, and queues for hosting when the server is this machine's own.
    pub(super) fn start(&self, who: &Who) -> Result<RunningClient, Failure> {
        let hosting = Arc::new(Hosting::default());
        let host = match self.url {
            Some(_) => None,
            None => {
                let notified = hosting.clone();
                let on_hosting = move || {
                    notified.up.store(true, Ordering::Release);
                    notified.changed.notify_one();
                };
                Some(Arc::new(Host::start(self.host_folder.clone(), on_hosting)?))
            }
        };
        let (client, runtime) = self.start_client(who, &hosting, host.clone())?;
        Ok(RunningClient {
            client,
            runtime,
            host,
        })
    }

    fn start_client(
        &self,
        who: &Who,
        hosting: &Arc<Hosting>,
        host: Option<Arc<Host>>,
    ) -> Result<(Client, Handle), Failure> {
        let (tx, rx) = std::sync::mpsc::channel();
        let (locate, url) = (self.locate(host.clone()), self.url.clone());
        let options = ClientOptions {
            folder: self.folder.clone(),
            store: self.store.clone(),
            locate,
            connect: crate::client::tcp(),
            settings: self.settings.clone(),
        };
        let store = self.store.clone();
        let host_folder = self.host_folder.clone();
        let name = who.wanted_name();
        let hosting = hosting.clone();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return drop(tx.send(Err(Failure::from(error)))),
            };
            runtime.block_on(async {
                if url.is_none() {
                    enrol_here(&store, &host_folder, name, &hosting).await;
                }
                let client = match Client::start(options).await {
                    Ok(client) => client,
                    Err(error) => return drop(tx.send(Err(error.into()))),
                };
                let _ = tx.send(Ok((client.clone(), Handle::current()))); // its starter may have ended
                loop {
                    hosting.changed.notified().await;
                    client.command(Command::RetryNow).await;
                }
            });
        };
        std::thread::Builder::new()
            .name("client".to_owned())
            .spawn(run)?;
        rx.recv()
            .map_err(|_| Failure::new(super::exit::SOFTWARE, "the client's thread ended"))?
    }

    fn locate(&self, host: Option<Arc<Host>>) -> Locate {
        match (self.url.clone(), host) {
            (Some(url), _) => Box::new(move || Ok(url.clone())),
            (None, Some(host)) => Box::new(move || host.locate()),
            (None, None) => Box::new(|| Err(Cause::Refused)),
        }
    }
}

/// Whether this process has started to host.
#[derive(Default)]
struct Hosting {
    up: AtomicBool,
    changed: Notify,
}

/// Prepares a new profile on this machine's own server: waits for the server's first start, and
/// uses its invite.
async fn enrol_here(store: &Store, host_folder: &std::path::Path, name: String, hosting: &Hosting) {
    let is_enrolled = store
        .reader()
        .and_then(|reader| reader.mine())
        .is_ok_and(|mine| mine.account.is_some());
    if is_enrolled {
        return;
    }
    let first_host = async {
        while host::invite(host_folder).is_none() && !hosting.up.load(Ordering::Acquire) {
            // a timeout only ends the wait for the event
            let _ = tokio::time::timeout(FIRST_HOST_LOOK, hosting.changed.notified()).await;
        }
    };
    let _ = tokio::time::timeout(FIRST_HOST, first_host).await; // reported below when there is none
    let Some(invite) = host::invite(host_folder) else {
        return tracing::error!("no server on this machine");
    };
    if let Err(error) = store
        .set_enrolment(EnrolmentRequest {
            url: None,
            invite,
            name,
        })
        .await
    {
        tracing::error!(%error, "the profile cannot be written");
    }
}

/// The failure for a missing profile, with the names of the existing ones.
pub(super) fn no_profile(name: &str, folder: &Path) -> Failure {
    let beside = folder
        .parent()
        .and_then(|profiles| std::fs::read_dir(profiles).ok());
    let mut others: Vec<String> = beside
        .into_iter()
        .flatten()
        .flatten()
        .filter(|other| Store::exists(&other.path()))
        .map(|other| other.file_name().to_string_lossy().into_owned())
        .collect();
    others.sort();
    let what = "open the chat once, or `landfall join` a server";
    Failure::usage(match others.as_slice() {
        [] => format!("there is no profile {name:?}: {what}"),
        others => format!(
            "there is no profile {name:?}, but {}: to make a new one, {what}",
            others.join(", ")
        ),
    })
}

/// Names the process that most likely has the database locked.
fn name_lock_holder(error: DbError, folder: &Path) -> Failure {
    match (error, LinkLock::of(folder).holder()) {
        (DbError::Busy, Some(pid)) => {
            let what = "if it is stopped (Ctrl-Z), continue or end it, then try again";
            Failure::new(
                LATER,
                format!("process {pid} is writing to the database of this profile: {what}"),
            )
        }
        (error, _) => error.into(),
    }
}
