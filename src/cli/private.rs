//! Restricts the program's files to their owner: tokens, messages, and identities.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;

use crate::print;

const FILE: u32 = 0o600;
/// Names of our files, and prefixes of our databases. Other files in a folder that the user named
/// are not changed.
const OURS: [&str; 5] = ["invite", "host.lock", "host.addr", "link.lock", "drafts"];
const DATABASES: [&str; 2] = ["store.", "server."];

/// Makes all new files of this process private to their owner.
pub(super) fn from_now_on() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Makes a folder, and restricts our files in it to their owner. Reports it if others could read
/// them.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let mut was_open = false;
    for file in fs::read_dir(path)?.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        let is_database =
            DATABASES.iter().any(|name_of| name.starts_with(name_of)) && name.contains(".db");
        let is_ours = is_database || OURS.iter().any(|own| name == *own);
        if is_ours && file.file_type()?.is_file() {
            // it may be gone, or another user's
            was_open |= tighten(&file.path()).unwrap_or_default();
        }
    }
    if was_open {
        print::note(format!(
            "others could read the files in {}: now only you can",
            path.display()
        ));
    }
    Ok(())
}

/// Removes the permissions of others. Returns whether there were any.
fn tighten(path: &Path) -> io::Result<bool> {
    let is_open = fs::metadata(path)?.permissions().mode() & 0o077 != 0;
    if is_open {
        fs::set_permissions(path, Permissions::from_mode(FILE))?;
    }
    Ok(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_readable_by_others_are_tightened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        fs::create_dir(&path).expect("makes");
        fs::write(path.join("server.db"), "").expect("writes");
        fs::write(path.join("server.js"), "").expect("writes");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("opens it");
        for file in ["server.db", "server.js"] {
            fs::set_permissions(path.join(file), Permissions::from_mode(0o644)).expect("opens it");
        }
        super::folder(&path).expect("tightens");
        let modes =
            [path.clone(), path.join("server.db"), path.join("server.js")].map(|path| mode(&path));
        assert_eq!(modes, [0o755, FILE, 0o644], "and nothing that is not ours");
    }
}
