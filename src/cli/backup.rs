//! `landfall backup`, `restore` and `check`: of a profile, or of a server's data.

use std::path::{Path, PathBuf};

use super::exit::{self, Failure};
use super::profile::Who;
use super::time::stamp;
use super::{private, serve};
use crate::client::store::{Store, maintenance as of_profile};
use crate::config::Config;
use crate::print;
use crate::server::storage::maintenance as of_server;
use crate::sqlite::{Checked, DbError};

/// Problems of one database that are printed.
const PROBLEMS_MAX: usize = 20;

/// Whose database it is.
pub(super) enum Subject {
    /// A profile's name and folder.
    Profile(String, PathBuf),
    /// A server's data folder.
    Server(PathBuf),
}

impl Subject {
    pub(super) fn of(config: &Config, who: &Who, data: Option<PathBuf>) -> Self {
        match data {
            Some(folder) => Self::Server(folder),
            None => Self::Profile(who.profile_name(), who.folder(config)),
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Profile(_, folder) | Self::Server(folder) => folder,
        }
    }

    /// As it is called in a sentence.
    fn title(&self) -> String {
        match self {
            Self::Profile(name, _) => format!("profile {name:?}"),
            Self::Server(folder) => format!("the server in {}", folder.display()),
        }
    }

    /// Fails unless there is a database.
    fn must_exist(&self) -> Result<(), Failure> {
        match self {
            Self::Profile(name, folder) if !Store::exists(folder) => Err(Failure::usage(format!(
                "there is no profile {name:?}: open the chat once, or `landfall join` a server"
            ))),
            Self::Server(folder) if !of_server::exists(folder) => Err(Failure::usage(format!(
                "there is no server's data in {}: name its folder with --data",
                folder.display()
            ))),
            Self::Profile(..) | Self::Server(_) => Ok(()),
        }
    }

    /// A name for a backup that is made now.
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
    let to = if to.is_dir() { to.join(subject.file_name()) } else { to.to_owned() };
    let checked = match subject {
        Subject::Profile(_, folder) => of_profile::back_up(folder, &to).and_then(|()| of_profile::check_copy(&to)),
        Subject::Server(folder) => of_server::back_up(folder, &to).and_then(|()| of_server::check_copy(&to)),
    }?;
    print::line(format!("backup of {} written to {}: {}", subject.title(), to.display(), counts(&checked)))?;
    warn_of(&checked);
    Ok(exit::OK)
}

/// Puts a backup back. The data that it replaces stays beside it.
pub(super) fn restore(subject: &Subject, from: &Path) -> Result<u8, Failure> {
    let folder = subject.folder();
    let _lock = match subject {
        Subject::Server(folder) => Some(serve::lock(folder)?),
        Subject::Profile(..) => {
            private::folder(folder)?;
            None
        }
    };
    let (old, checked) = match subject {
        Subject::Profile(..) => {
            let checked = of_profile::check_copy(from)?;
            (of_profile::restore(from, folder, &stamp())?, checked)
        }
        Subject::Server(_) => {
            let checked = of_server::check_copy(from)?;
            (of_server::restore(from, folder, &stamp())?, checked)
        }
    };
    print::line(format!("{} restored from {}: {}", subject.title(), from.display(), counts(&checked)))?;
    if let Some(old) = old {
        print::line(format!("the data before that is kept in {}", old.display()))?;
    }
    warn_of(&checked);
    Ok(exit::OK)
}

/// Checks what is in use.
pub(super) fn check(subject: &Subject) -> Result<u8, Failure> {
    subject.must_exist()?;
    let checked = match subject {
        Subject::Profile(_, folder) => of_profile::check(folder),
        Subject::Server(folder) => of_server::check(folder),
    }?;
    report(&subject.title(), &checked)
}

/// Checks a backup, of either kind.
pub(super) fn check_copy(file: &Path) -> Result<u8, Failure> {
    let checked = match of_profile::check_copy(file) {
        Err(DbError::OtherKind { .. }) => of_server::check_copy(file),
        checked => checked,
    };
    let checked = checked.map_err(|error| match error {
        DbError::OtherKind { .. } => {
            Failure::new(exit::REFUSED, format!("{} is no backup of a profile or of a server", file.display()))
        }
        other => other.into(),
    })?;
    report(&file.display().to_string(), &checked)
}

fn report(title: &str, checked: &Checked) -> Result<u8, Failure> {
    if checked.problems.is_empty() {
        print::line(format!("{title} is whole: {}", counts(checked)))?;
        return Ok(exit::OK);
    }
    warn_of(checked);
    let advice = "the damaged part is loaded again from the other side where that has it; a backup has the rest";
    Err(Failure::new(exit::DISK, format!("{title} is damaged in {} places: {advice}", checked.problems.len())))
}

fn warn_of(checked: &Checked) {
    checked.problems.iter().take(PROBLEMS_MAX).for_each(print::note);
}

fn counts(checked: &Checked) -> String {
    let plural = |count: u64, one: &str, more: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    };
    let mut text =
        format!("{}, {}", plural(checked.rooms, "room", "rooms"), plural(checked.entries, "entry", "entries"));
    if checked.pending > 0 {
        text += &format!(", {}", plural(checked.pending, "unsent message", "unsent messages"));
    }
    text
}
