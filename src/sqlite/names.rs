//! Names of the files beside a database: unfinished ones, and those that were replaced.

use std::path::{Path, PathBuf};

use super::identity::with_ending;
use crate::system;

/// Follows the name of a file that a restore has replaced.
pub(super) const BEFORE: &str = ".before-";

/// Returns a name beside another one, for a file that is not complete yet.
pub(super) fn fresh_name(name: &Path) -> PathBuf {
    with_ending(
        name,
        &format!(
            ".new-{}-{:08x}",
            std::process::id(),
            u32::from_le_bytes(system::random())
        ),
    )
}

/// Whether a name is a fresh name of a file that `is_base` accepts, or that of a file which SQLite
/// made beside it. Copies that a user made, such as `store.db.new-laptop`, are not.
pub(super) fn is_fresh_name(name: &str, is_base: impl Fn(&str) -> bool) -> bool {
    let endings = ["-journal", "-wal", "-shm"];
    let ending = endings.iter().find(|ending| name.ends_with(**ending));
    let parts = ending
        .map_or(name, |ending| &name[..name.len() - ending.len()])
        .split_once(".new-")
        .and_then(|(base, rest)| Some((base, rest.split_once('-')?)));
    parts.is_some_and(|(base, (pid, random))| {
        is_base(base)
            && pid.parse::<u32>().is_ok()
            && random.len() == 8
            && random
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_name_is_not_a_name_of_a_user() {
        let is_fresh = |name: &str| is_fresh_name(name, |base| base == "store.db");
        for ending in ["", "-journal", "-wal", "-shm"] {
            assert!(
                is_fresh(&format!("store.db.new-17-0a1b2c3d{ending}")),
                "{ending}"
            );
        }
        let fresh = fresh_name(Path::new("store.db"));
        assert!(is_fresh(fresh.to_str().expect("UTF-8")));
        for other in [
            "store.db",
            "store.db-wal",
            "store.db.new-laptop",
            "store.db.new-17-0a1b2c3d-mine",
            "store.db.new-17-0a1b2c3",
            "other.db.new-17-0a1b2c3d",
        ] {
            assert!(!is_fresh(other), "{other}");
        }
    }
}
