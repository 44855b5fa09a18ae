//! `landfall backup`, `restore` and `check`, for a profile or a server's data.

use std::path::{Path, PathBuf};

use super::exit::{self, Failure};
use super::profile::{Who, no_profile};
use super::time::stamp;
use super::{data_folder, operator, private};
use crate::client::store::{Store, maintenance as of_profile};
use crate::config::Config;
use crate::print;
use crate::server::storage::maintenance as of_server;
use crate::sqlite::{CheckReport, DbError};

/// Prefixes of the names of a database's own files.
const OWN: [&str; 2] = ["store.", "server."];
/// Maximum printed problems of one database.
const PROBLEMS_MAX: usize = 20;

/// The database of a command.
pub(super) enum Subject {
    /// A profile's name and folder.
    Profile(String, PathBuf),
    /// A server's data folder.
    Server(PathBuf),
}

impl Subject {
    pub(super) fn of(config: &Config, who: &Who, data: Option<PathBuf>) -> Result<Self, Failure> {
        match data {
            Some(_) if who.is_named() => Err(Failure::usage(
                "a server's data (--data) has no profile: leave --profile and --as out",
            )),
            Some(folder) => Ok(Self::Server(folder)),
            None => Ok(Self::Profile(who.profile_name(), who.folder(config))),
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Profile(_, folder) | Self::Server(folder) => folder,
        }
    }

    /// Its name for messages.
    fn title(&self) -> String {
        match self {
            Self::Profile(name, _) => format!("profile {name:?}"),
            Self::Server(folder) => format!("the server in {}", folder.display()),
        }
    }

    /// Fails unless there is a database.
    fn must_exist(&self) -> Result<(), Failure> {
        match self {
            Self::Profile(name, folder) if !Store::exists(folder) => Err(no_profile(name, folder)),
            Self::Server(folder) if !of_server::exists(folder) => Err(operator::no_data(folder)),
            Self::Profile(..) | Self::Server(_) => Ok(()),
        }
    }

    fn check_copy(&self, file: &Path) -> Result<CheckReport, DbError> {
        match self {
            Self::Profile(..) => of_profile::check_copy(file),
            Self::Server(_) => of_server::check_copy(file),
        }
    }

    /// Returns the default name of a new backup.
    fn file_name(&self) -> String {
        let name = match self {
            Self::Profile(name, _) => name,
            Self::Server(_) => "server",
        };
        format!("landfall-{name}-{}.db", stamp())
    }
}

/// Writes a backup into a new file, or into a new file of a folder.
pub(super) fn back_up(subject: &Subject, to: &Path) -> Result<u8, Failure> {
    subject.must_exist()?;
    if to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        std::fs::create_dir_all(to).map_err(|error| Failure::from(error).at(to.display()))?;
    }
    let is_inside = to.parent().and_then(|folder| folder.canonicalize().ok())
        == subject.folder().canonicalize().ok();
    if is_inside
        && to.file_name().is_some_and(|name| {
            OWN.iter()
                .any(|own| name.to_string_lossy().starts_with(own))
        })
    {
        let text = format!(
            "{} would be among the program's own files: name another folder",
            to.display()
        );
        return Err(Failure::usage(text));
    }
    let to = if to.is_dir() {
        free(&to.join(subject.file_name()))
    } else {
        to.to_owned()
    };
    match subject {
        Subject::Profile(_, folder) => of_profile::back_up(folder, &to),
        Subject::Server(folder) => of_server::back_up(folder, &to),
    }?;
    let checked = subject.check_copy(&to)?;
    print::line(format!(
        "backup of {} written to {}: {}",
        subject.title(),
        to.display(),
        counts(&checked)
    ))?;
    if checked.problems.is_empty() {
        return Ok(exit::OK);
    }
    warn_of(&checked);
    Err(Failure::new(
        exit::DISK,
        format!(
            "{} is damaged, and so is this backup: keep the older ones",
            subject.title()
        ),
    ))
}

/// Returns the name, or one with a number if it exists.
fn free(name: &Path) -> PathBuf {
    let numbered = |n: u32| name.with_extension(format!("{n}.db"));
    let mut names = std::iter::once(name.to_owned()).chain((2..1_000).map(numbered));
    names
        .find(|name| name.symlink_metadata().is_err())
        .unwrap_or_else(|| name.to_owned())
}

/// Restores a backup. The replaced data is kept beside it under another name.
pub(super) fn restore(subject: &Subject, from: &Path, force: bool) -> Result<u8, Failure> {
    let folder = subject.folder();
    let checked = subject.check_copy(from).map_err(of_copy)?;
    if !checked.problems.is_empty() && !force {
        warn_of(&checked);
        let text = format!(
            "{} is damaged, and nothing was restored: --force restores what it has",
            from.display()
        );
        return Err(Failure::new(exit::DISK, text));
    }
    let old = match subject {
        Subject::Profile(..) => {
            private::folder(folder)?;
            of_profile::restore(from, folder, &stamp())?
        }
        Subject::Server(_) => {
            let _lock = data_folder::lock(folder)?;
            of_server::restore(from, folder, &stamp())?
        }
    };
    print::line(format!(
        "{} restored from {}: {}",
        subject.title(),
        from.display(),
        counts(&checked)
    ))?;
    warn_of(&checked);
    if let Some(old) = old {
        print::line(format!("the previous data is kept in {}", old.display()))?;
        report_differences(subject, &old, from)?;
    }
    Ok(exit::OK)
}

/// Reports what only the replaced data had. A replaced database that cannot be read has nothing to
/// report.
fn report_differences(subject: &Subject, old: &Path, from: &Path) -> Result<(), Failure> {
    match subject {
        Subject::Profile(..) => {
            let (Ok(before), Ok(now)) = (of_profile::contents(old), of_profile::contents(from))
            else {
                return Ok(());
            };
            if before.device != now.device && !before.name.is_empty() {
                let (before, now) = (before.name, now.name);
                print::line(format!(
                    "the replaced profile belonged to {before}; the restored one belongs to {now}"
                ))?;
            }
            let count = before.pending.difference(&now.pending).count() as u64;
            if count > 0 {
                let what = plural(count, "unsent message is", "unsent messages are");
                print::line(format!(
                    "{what} only in that file: to send them, restore it, and connect once"
                ))?;
            }
        }
        Subject::Server(_) => {
            let (Ok(before), Ok(now)) = (of_server::access(old), of_server::access(from)) else {
                return Ok(());
            };
            let count = now.devices.difference(&before.devices).count() as u64;
            if count > 0 {
                let what = plural(count, "device", "devices");
                print::line(format!(
                    "{what}, revoked after the backup was made, can connect again: see `landfall device list`, `device revoke`"
                ))?;
            }
            if before.invite != now.invite {
                print::line(
                    "the invite is the one of the backup: `landfall invite new` replaces it",
                )?;
            }
        }
    }
    Ok(())
}

/// Checks a database in use, or a backup.
pub(super) fn check(subject: &Subject) -> Result<u8, Failure> {
    subject.must_exist()?;
    let checked = match subject {
        Subject::Profile(_, folder) => of_profile::check(folder),
        Subject::Server(folder) => of_server::check(folder),
    }?;
    let advice = match subject {
        Subject::Profile(..) => {
            "what the server still has is loaded again; for the rest, restore a backup"
        }
        Subject::Server(_) => {
            "what clients still have is sent again; for the rest, restore a backup"
        }
    };
    report(&subject.title(), &checked, advice)
}

/// Checks a backup, of either kind.
pub(super) fn check_copy(file: &Path) -> Result<u8, Failure> {
    if file.is_dir() {
        let text = format!(
            "{} is a folder: name a file, or a server's folder with --data",
            file.display()
        );
        return Err(Failure::usage(text));
    }
    let checked = match of_profile::check_copy(file) {
        Err(DbError::OtherKind { .. }) => of_server::check_copy(file),
        checked => checked,
    };
    if matches!(checked, Err(DbError::OtherKind { .. })) {
        let text = format!(
            "{} is not a backup of a profile or a server",
            file.display()
        );
        return Err(Failure::new(exit::REJECTED, text));
    }
    let title = file.display().to_string();
    report(&title, &checked.map_err(of_copy)?, "use another backup")
}

/// Converts an error about a file that is no database in use. It leaves out the advice to restore or
/// recreate the file, which does not apply.
fn of_copy(error: DbError) -> Failure {
    match error {
        DbError::Corrupt { path, what } => Failure::new(
            exit::DISK,
            format!("{} is damaged, or not a backup: {what}", path.display()),
        ),
        DbError::Empty { path } => {
            Failure::new(exit::DISK, format!("{} is empty (0 bytes)", path.display()))
        }
        other => other.into(),
    }
}

fn report(title: &str, checked: &CheckReport, advice: &str) -> Result<u8, Failure> {
    if checked.problems.is_empty() {
        print::line(format!("no damage in {title}: {}", counts(checked)))?;
        return Ok(exit::OK);
    }
    warn_of(checked);
    let places = plural(checked.problems.len() as u64, "place", "places");
    Err(Failure::new(
        exit::DISK,
        format!("{title} is damaged in {places}: {advice}"),
    ))
}

fn warn_of(checked: &CheckReport) {
    checked
        .problems
        .iter()
        .take(PROBLEMS_MAX)
        .for_each(print::note);
}

fn plural(count: u64, one: &str, more: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {more}")
    }
}

fn counts(checked: &CheckReport) -> String {
    let mut text = format!(
        "{}, {}",
        plural(checked.rooms, "room", "rooms"),
        plural(checked.entries, "entry", "entries")
    );
    if checked.pending > 0 {
        text += &format!(
            ", {}",
            plural(checked.pending, "unsent message", "unsent messages")
        );
    }
    text
}
