//! `landfall invite` and `landfall device`: an operator's commands on the data of a server, which
//! may be running.

use std::path::{Path, PathBuf};

use super::arguments::DeviceAction;
use super::data_folder;
use super::exit::{self, Failure};
use crate::config::Config;
use crate::peers::{News, Peers};
use crate::print;
use crate::protocol::DeviceId;
use crate::server::{self, storage::maintenance};

/// Returns the named data folder; else that of `landfall serve`, or of this machine's server.
fn folder(config: &Config, data: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let folder = data.unwrap_or_else(|| {
        let served = config.server();
        if maintenance::exists(&served) {
            served
        } else {
            config.host()
        }
    });
    if maintenance::exists(&folder) {
        return Ok(folder);
    }
    Err(no_data(&folder))
}

/// The failure for a folder without a server's data.
pub(super) fn no_data(folder: &Path) -> Failure {
    let text = format!(
        "there is no server's data in {}: name its folder with --data",
        folder.display()
    );
    Failure::new(exit::NO_INPUT, text)
}

/// Prints the current invite, or a new one that replaces it.
pub(super) fn invite(config: &Config, data: Option<PathBuf>, is_new: bool) -> Result<u8, Failure> {
    let folder = folder(config, data)?;
    let known = if is_new {
        None
    } else {
        maintenance::invite(&folder)?
    };
    let code = known.map_or_else(|| server::renew_invite(&folder), Ok)?;
    match data_folder::address(&folder) {
        Ok(address) => print::line(format!("invite {address}#{code}"))?,
        Err(_) => print::line(format!("invite ws://HOST:PORT#{code}"))?,
    }
    Ok(exit::OK)
}

/// Lists the devices with access, or revokes one.
pub(super) fn device(
    config: &Config,
    data: Option<PathBuf>,
    action: &DeviceAction,
) -> Result<u8, Failure> {
    let folder = folder(config, data)?;
    match action {
        DeviceAction::List { json } => list(&folder, *json),
        DeviceAction::Revoke { id } => revoke(&folder, id),
    }
}

fn list(folder: &Path, json: bool) -> Result<u8, Failure> {
    for device in maintenance::devices(folder)? {
        if json {
            print::json(
                &serde_json::json!({ "device": device.device, "name": device.name, "since": device.since }),
            )?;
        } else {
            print::line(format!(
                "{}  {}  {}",
                device.device,
                super::time::minute(device.since),
                device.name
            ))?;
        }
    }
    Ok(exit::OK)
}

fn revoke(folder: &Path, id: &str) -> Result<u8, Failure> {
    let device: DeviceId = id.parse().map_err(|_| {
        Failure::usage(format!(
            "{id:?} is not a device's id: `landfall device list` shows them"
        ))
    })?;
    if !maintenance::revoke(folder, device)? {
        let text =
            "no device with this id has access: `landfall device list` shows those that have";
        return Err(Failure::new(exit::REJECTED, text));
    }
    Peers::new(folder).notify(News::Everything); // a running server closes its connections now
    print::line(format!("device {device} has no access any more"))?;
    print::line(
        "it may still know the invite, and could join under another name: `landfall invite new` ends that",
    )?;
    Ok(exit::OK)
}
