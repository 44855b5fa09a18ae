//! Power cuts. The disk operations of the real binary are recorded, write by write and sync by
//! sync. Then the power fails at many moments, each time with another part of the unsynced data,
//! and the program opens a possible content of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use landfall::client::store::{Disk, Reader};
use landfall::protocol::{Position, Seq};
use landfall::server::storage::{Sqlite, Storage, maintenance};
use landfall::sqlite::DbError;

use crate::disk::preloaded;
use crate::support::{Home, Server};

/// A disk loses or keeps this much of a write as a whole.
const SECTOR: usize = 512;
/// Number of power cuts, at random moments.
const CUTS: usize = 240;
/// Number of power cuts at each moment, when all moments are tried.
const CUTS_EACH: usize = 8;

#[derive(Clone, Debug)]
enum Op {
    Create {
        path: PathBuf,
    },
    Write {
        path: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        size: usize,
    },
    Sync {
        path: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
}

/// The recorded operations of a program on a folder.
struct Recording {
    library: PathBuf,
    log: PathBuf,
    root: PathBuf,
    /// What lay there before, all of it on the disk.
    before: BTreeMap<PathBuf, Vec<u8>>,
    _folder: tempfile::TempDir,
}

impl Recording {
    /// `None`, with words, where libraries cannot be preloaded.
    fn of(root: &Path) -> Option<Self> {
        let (folder, library) = preloaded("recording_disk")?;
        let root = root.canonicalize().expect("a folder");
        let log = folder.path().join("log");
        std::fs::write(&log, "").expect("writes");
        Some(Self {
            library,
            log,
            before: files(&root),
            root,
            _folder: folder,
        })
    }

    fn environment(&self) -> [(&str, &str); 3] {
        let [library, log, root] =
            [&self.library, &self.log, &self.root].map(|path| path.to_str().expect("UTF-8"));
        [
            ("LD_PRELOAD", library),
            ("RECORD_LOG", log),
            ("RECORD_ROOT", root),
        ]
    }

    /// Makes an empty file, and records that.
    fn create(&self, name: &str) {
        let path = self.root.join(name);
        std::fs::write(&path, "").expect("writes");
        let path = path.to_str().expect("UTF-8").as_bytes();
        let mut record = vec![b'c'];
        record.extend(u16::try_from(path.len()).expect("short").to_le_bytes());
        record.extend([0; 12]);
        record.extend(path);
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .open(&self.log)
            .expect("opens");
        log.write_all(&record).expect("writes");
    }

    /// Length of the recording, bytes: promises made by now were made after them.
    fn length(&self) -> usize {
        self.log.metadata().expect("is there").len() as usize
    }

    /// Returns the operations, each with the end of its record.
    fn ops(&self) -> Vec<(usize, Op)> {
        let log = std::fs::read(&self.log).expect("reads");
        let (mut ops, mut at) = (Vec::new(), 0);
        while at + 15 <= log.len() {
            let head = &log[at..at + 15];
            let number = |range: std::ops::Range<usize>| {
                head[range]
                    .iter()
                    .rev()
                    .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
            };
            let (length, offset, size) = (number(1..3), number(3..11), number(11..15));
            if at + 15 + length + size > log.len() {
                break; // killed: the last operation was not carried out
            }
            let path = PathBuf::from(
                String::from_utf8_lossy(&log[at + 15..at + 15 + length]).into_owned(),
            );
            let bytes = log[at + 15 + length..at + 15 + length + size].to_vec();
            at += 15 + length + size;
            if path.to_string_lossy().ends_with("-shm") {
                continue; // made again from the write-ahead log
            }
            ops.push((
                at,
                match head[0] {
                    b'c' => Op::Create { path },
                    b'w' => Op::Write {
                        path,
                        at: offset,
                        bytes,
                    },
                    b't' => Op::Truncate { path, size: offset },
                    b's' => Op::Sync { path },
                    b'u' => Op::Unlink { path },
                    b'r' => Op::Rename {
                        from: path,
                        to: PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()),
                    },
                    b'l' => Op::Link {
                        from: path,
                        to: PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()),
                    },
                    other => panic!("a record of kind {other}"),
                },
            ));
        }
        ops
    }
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root).expect("reads").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().ends_with("-shm") {
            found.insert(path.clone(), std::fs::read(path).expect("reads"));
        }
    }
    found
}

/// The possible content of a disk: the synced part of each file, and any part of later operations.
struct Platter {
    synced: BTreeMap<PathBuf, Vec<u8>>,
    since: Vec<Op>,
}

impl Platter {
    fn take(&mut self, op: &Op) {
        let Op::Sync { path } = op else {
            return self.since.push(op.clone());
        };
        // The sync of a folder makes names durable; the sync of a file its content, and the name
        // under which it was made.
        let of = |op: &Op| match op {
            Op::Write { path: other, .. } | Op::Truncate { path: other, .. } => other == path,
            Op::Create { path: other } => other == path || other.parent() == Some(path),
            Op::Unlink { path: other }
            | Op::Rename { to: other, .. }
            | Op::Link { to: other, .. } => other.parent() == Some(path),
            Op::Sync { .. } => false,
        };
        let (done, since) = std::mem::take(&mut self.since).into_iter().partition(of);
        self.since = since;
        done.iter()
            .for_each(|op| apply(&mut self.synced, op, usize::MAX));
    }

    /// All that was done.
    fn after_kill(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.synced.clone();
        self.since
            .iter()
            .for_each(|op| apply(&mut files, op, usize::MAX));
        files
    }

    /// Returns one of the possible contents after a cut.
    fn after_cut(&self, rng: &mut fastrand::Rng) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.synced.clone();
        let kept = [0, 100, 50, 90][rng.usize(..4)];
        for op in &self.since {
            if rng.u8(..100) < kept {
                let sectors = if rng.u8(..4) == 0 {
                    rng.usize(..9)
                } else {
                    usize::MAX / SECTOR
                };
                apply(&mut files, op, sectors * SECTOR);
            }
        }
        files
    }
}

/// Applies a recorded operation to files, and of a write at most `most` bytes.
fn apply(files: &mut BTreeMap<PathBuf, Vec<u8>>, op: &Op, most: usize) {
    match op {
        Op::Write { path, at, bytes } => {
            let file = files.entry(path.clone()).or_default();
            let bytes = &bytes[..bytes.len().min(most)];
            file.resize(file.len().max(at + bytes.len()), 0);
            file[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Op::Create { path } => drop(files.entry(path.clone()).or_default()),
        Op::Truncate { path, size } => files.entry(path.clone()).or_default().resize(*size, 0),
        Op::Unlink { path } => drop(files.remove(path)),
        Op::Rename { from, to } => {
            let file = files.remove(from).unwrap_or_default();
            files.insert(to.clone(), file);
        }
        Op::Link { from, to } => {
            let file = files.get(from).cloned().unwrap_or_default();
            files.insert(to.clone(), file);
        }
        Op::Sync { .. } => {}
    }
}

/// The moments of the power cuts.
enum Moments {
    /// At [`CUTS`] random ones.
    Random,
    /// [`CUTS_EACH`] times at each moment after this many bytes of the recording.
    AllAfter(usize),
    /// The program alone is killed, at each one: the disk still gets all that was done.
    Kills,
}

/// Cuts the power at many moments; `check` opens the remaining files, with the promises made so
/// far. Returns the violations.
fn cut_the_power(
    recording: &Recording,
    moments: &Moments,
    promised: &[(usize, Vec<String>)],
    check: impl Fn(&Path, &BTreeSet<&str>) -> Result<(), String>,
) -> Vec<String> {
    let ops = recording.ops();
    assert!(
        ops.len() > 40,
        "only {} operations were recorded",
        ops.len()
    );
    let mut rng = fastrand::Rng::with_seed(7);
    let random: BTreeSet<usize> = (0..CUTS).map(|_| rng.usize(..ops.len())).collect();
    let mut platter = Platter {
        synced: recording.before.clone(),
        since: Vec::new(),
    };
    let mut broken = Vec::new();
    for (at, (end, op)) in ops.iter().enumerate() {
        platter.take(op);
        let cuts = match moments {
            Moments::Random => usize::from(random.contains(&at)),
            Moments::AllAfter(bytes) => CUTS_EACH * usize::from(end > bytes),
            Moments::Kills => 1,
        };
        let due = promised
            .iter()
            .take_while(|(then, _)| then <= end)
            .flat_map(|(_, bodies)| bodies);
        let due: BTreeSet<&str> = due.map(String::as_str).collect();
        for _ in 0..cuts {
            let folder = tempfile::tempdir().expect("a folder");
            let files = if matches!(moments, Moments::Kills) {
                platter.after_kill()
            } else {
                platter.after_cut(&mut rng)
            };
            for (path, bytes) in files {
                let path = folder
                    .path()
                    .join(path.strip_prefix(&recording.root).expect("under the root"));
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("is made");
                std::fs::write(path, bytes).expect("writes");
            }
            if let Err(what) = check(folder.path(), &due) {
                broken.push(format!("after operation {at} of {}: {what}", ops.len()));
            }
        }
    }
    broken
}

fn batch(n: usize, lines: usize, bytes: usize) -> Vec<String> {
    (0..lines)
        .map(|line| format!("batch {n} line {line} {}", "x".repeat(bytes)))
        .collect()
}

fn missing(due: &BTreeSet<&str>, there: &BTreeSet<String>) -> Result<(), String> {
    let lost: Vec<_> = due
        .iter()
        .filter(|body| !there.contains(**body))
        .map(|body| &body[..24.min(body.len())])
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} of {} are lost: {:?}",
            lost.len(),
            due.len(),
            lost[0]
        ))
    }
}

/// P3: every acknowledged entry is on the disk, in a log without gaps.
fn holds_what_was_acked(folder: &Path, due: &BTreeSet<&str>) -> Result<(), String> {
    let mut storage = Sqlite::open(folder).map_err(|error| error.to_string())?;
    let lobby = storage
        .find_room(Some("lobby"), None)
        .map_err(|error| error.to_string())?
        .ok_or("no lobby")?
        .room;
    let page = storage
        .page_after(lobby, Seq::ZERO, 1_000_000, usize::MAX)
        .map_err(|error| error.to_string())?;
    let entries = page.ok_or("no log")?.entries;
    let head = storage
        .head(lobby)
        .map_err(|error| error.to_string())?
        .ok_or("no head")?;
    let chained = entries.iter().fold(Position::start(lobby), |at, entry| {
        at.next(entry.author, entry.id)
    });
    if chained != head
        || entries
            .iter()
            .zip(1..)
            .any(|(entry, seq)| entry.seq != Seq(seq))
    {
        return Err("the log has a hole".to_owned());
    }
    missing(due, &entries.into_iter().map(|entry| entry.body).collect())
}

/// P1: every saved message is in the outbox.
fn holds_what_was_kept(folder: &Path, due: &BTreeSet<&str>) -> Result<(), String> {
    let profile = folder.join("data/profiles/default");
    std::fs::create_dir_all(&profile).map_err(|error| error.to_string())?;
    let disk = Disk::open(&profile).map_err(|error| error.to_string())?;
    if disk.is_older_copy() {
        return Err("it is taken for an older copy".to_owned());
    }
    drop(disk);
    let rows = Reader::open(&profile).and_then(|reader| reader.outbox(None, usize::MAX));
    missing(
        due,
        &rows
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|row| row.body)
            .collect(),
    )
}

/// Returns the violations of a recorded server that acknowledged entries.
fn a_recorded_server(mistake: &str) -> Option<Vec<String>> {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    assert_eq!(ana.run(&["send", "lobby", "first"]).0, 0);
    server.terminate();
    let recording = Recording::of(data.path())?;
    let environment = [
        &recording.environment()[..],
        &[("LANDFALL_PLANTED_BUG", mistake)],
    ]
    .concat();
    let server = Server::start_with(data.path(), server.port, &environment);
    let mut promised = Vec::new();
    for n in 0..30 {
        let lines = batch(n, 16, 14_000); // enough to empty the write-ahead log in between
        let (code, _, err) = ana.run_with(
            &["send", "lobby", "--lines", "--wait", "60"],
            lines.join("\n").as_bytes(),
        );
        assert_eq!(code, 0, "{err}");
        promised.push((recording.length(), lines));
    }
    drop(server);
    Some(cut_the_power(
        &recording,
        &Moments::Random,
        &promised,
        holds_what_was_acked,
    ))
}

/// Returns the violations of a recorded client that saved messages.
fn a_recorded_client(mistake: &str) -> Option<Vec<String>> {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    assert_eq!(ana.run(&["send", "lobby", "first"]).0, 0);
    assert_eq!(ana.bodies(), ["first"]);
    server.kill9();
    let recording = Recording::of(ana.path())?;
    let environment = [
        &recording.environment()[..],
        &[("LANDFALL_PLANTED_BUG", mistake)],
    ]
    .concat();
    let mut promised = Vec::new();
    for n in 0..40 {
        let lines = batch(n, 8, 12_000);
        let arguments = ["send", "lobby", "--lines", "--no-wait"];
        let (code, _, err) = ana.run_in(&arguments, lines.join("\n").as_bytes(), &environment);
        assert_eq!(code, 75, "{err}");
        promised.push((recording.length(), lines));
    }
    Some(cut_the_power(
        &recording,
        &Moments::Random,
        &promised,
        holds_what_was_kept,
    ))
}

/// Returns the violations of a recorded server whose file became suspect, was copied and removed.
fn a_recorded_copy(mistake: &str) -> Option<Vec<String>> {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    server.terminate();
    let recording = Recording::of(data.path())?;
    let environment = [
        &recording.environment()[..],
        &[("LANDFALL_PLANTED_BUG", mistake)],
    ]
    .concat();
    let server = Server::start_with(data.path(), server.port, &environment);
    let send = |n: usize| {
        assert_eq!(ana.run(&["send", "lobby", &format!("line {n}")]).0, 0);
        (recording.length(), vec![format!("line {n}")])
    };
    let mut promised: Vec<_> = (0..3).map(send).collect();
    let suspect = recording.length();
    recording.create("server.db.suspect");
    promised.extend((3..6).map(send));
    drop(server);
    assert!(data.path().join("server.2.db").exists(), "it was copied");
    Some(cut_the_power(
        &recording,
        &Moments::AllAfter(suspect),
        &promised,
        holds_what_was_acked,
    ))
}

#[test]
fn suspect_copy_survives_any_power_cut() {
    let Some(broken) = a_recorded_copy("") else {
        return;
    };
    assert!(broken.is_empty(), "{} cuts: {broken:#?}", broken.len());
}

/// Returns the violations of a recorded backup that was reported as written.
fn a_recorded_backup(mistake: &str) -> Option<Vec<String>> {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    assert_eq!(ana.run(&["send", "lobby", "saved"]).0, 0);
    let backups = tempfile::tempdir().expect("a folder");
    let recording = Recording::of(backups.path())?;
    let environment = [
        &recording.environment()[..],
        &[("LANDFALL_PLANTED_BUG", mistake)],
    ]
    .concat();
    let to = backups
        .path()
        .canonicalize()
        .expect("a folder")
        .join(BACKUP);
    let arguments = [
        "backup",
        "--data",
        data.path().to_str().expect("UTF-8"),
        to.to_str().expect("UTF-8"),
    ];
    let (code, _, err) = ana.run_in(&arguments, b"", &environment);
    assert_eq!(code, 0, "{err}");
    let promised = [(recording.length(), vec!["saved".to_owned()])];
    recording.create("later"); // the power fails after the command has ended, too
    Some(cut_the_power(
        &recording,
        &Moments::AllAfter(0),
        &promised,
        holds_whole_backup_or_none,
    ))
}

const BACKUP: &str = "backup.db";

/// A backup has its name only once it is whole, and has it for good once that was said.
fn holds_whole_backup_or_none(folder: &Path, due: &BTreeSet<&str>) -> Result<(), String> {
    let file = folder.join(BACKUP);
    if !file.exists() {
        return if due.is_empty() {
            Ok(())
        } else {
            Err("the backup is gone".to_owned())
        };
    }
    let checked = maintenance::check_copy(&file).map_err(|error| error.to_string())?;
    if checked.problems.is_empty() && checked.entries == 2 {
        Ok(())
    } else {
        Err(format!("{checked:?}"))
    }
}

#[test]
fn backup_survives_power_cut_at_any_moment() {
    let Some(broken) = a_recorded_backup("") else {
        return;
    };
    assert!(broken.is_empty(), "{} cuts: {broken:#?}", broken.len());
    let unsynced = a_recorded_backup("NameNotSynced").expect("recorded once already");
    assert!(
        !unsynced.is_empty(),
        "nothing was lost although the new name was not synced"
    );
}

/// All of the backup, or all of the replaced data, or a start that reports why not.
fn holds_old_or_new_or_says_so(folder: &Path, due: &BTreeSet<&str>) -> Result<(), String> {
    match Sqlite::open(folder) {
        Err(DbError::ForeignLog { .. } | DbError::Several { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => holds_what_was_acked(folder, due),
    }
}

#[test]
fn restore_survives_any_power_cut() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(data.path());
    let ana = Home::new();
    ana.join(&server.url(), &server.invite, "ana");
    assert_eq!(ana.run(&["send", "lobby", "in the backup"]).0, 0);
    let backups = tempfile::tempdir().expect("a folder");
    let (backup, folder) = (
        backups.path().join("backup.db"),
        data.path().to_str().expect("UTF-8"),
    );
    let to = backup.to_str().expect("UTF-8");
    assert_eq!(ana.run(&["backup", "--data", folder, to]).0, 0);
    assert_eq!(ana.run(&["send", "lobby", "newer"]).0, 0);
    server.kill9();
    let Some(recording) = Recording::of(data.path()) else {
        return;
    };
    let (code, _, err) = ana.run_in(
        &["restore", "--data", folder, to],
        b"",
        &recording.environment(),
    );
    assert_eq!(code, 0, "{err}");
    let promised = [(0, vec!["in the backup".to_owned()])];
    let broken = cut_the_power(
        &recording,
        &Moments::AllAfter(0),
        &promised,
        holds_old_or_new_or_says_so,
    );
    assert!(broken.is_empty(), "{} cuts: {broken:#?}", broken.len());
}

#[test]
fn acked_entries_survive_any_power_cut() {
    let Some(broken) = a_recorded_server("") else {
        return;
    };
    assert!(broken.is_empty(), "{} cuts: {broken:#?}", broken.len());
}

#[test]
fn saved_entries_survive_any_power_cut() {
    let Some(broken) = a_recorded_client("") else {
        return;
    };
    assert!(broken.is_empty(), "{} cuts: {broken:#?}", broken.len());
}

#[test]
fn killed_join_never_looks_restored() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path());
    let ana = Home::new();
    let Some(recording) = Recording::of(ana.path()) else {
        return;
    };
    let link = format!("{}#{}", server.url(), server.invite);
    let (code, _, err) = ana.run_in(
        &["join", &link, "--name", "ana"],
        b"",
        &recording.environment(),
    );
    assert_eq!(code, 0, "{err}");
    let broken = cut_the_power(&recording, &Moments::Kills, &[], holds_what_was_kept);
    assert!(broken.is_empty(), "{} kills: {broken:#?}", broken.len());
}

#[test]
fn missing_sync_is_caught_by_a_power_cut() {
    let (Some(server), Some(client)) = (a_recorded_server("NoSync"), a_recorded_client("NoSync"))
    else {
        return;
    };
    println!(
        "of {CUTS} cuts each, {} lost what was acked, {} what was kept",
        server.len(),
        client.len()
    );
    assert!(
        !server.is_empty() && !client.is_empty(),
        "nothing was lost without a single sync"
    );
}
