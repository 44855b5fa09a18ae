//! One person's device: the client's core over a real store, with a disk that takes time, fails,
//! and dies with its process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use landfall::client::follow::Follower;
use landfall::client::link::LinkSettings;
use landfall::client::session::Session;
use landfall::client::store::OwnMark;
use landfall::client::store::{Disk, EnrolmentRequest};
use landfall::client::{ClientLimits, Query, Ticket, Write};
use landfall::protocol::{DeviceId, Dial, EntryId, InstanceId, RoomId, Seq};
use landfall::sqlite::DbError;
use landfall::system;

use crate::net::{Time, Weather, WireId};
use crate::record::Record;
use crate::world::Event;

/// Something on its way to the disk.
#[derive(Debug)]
pub(crate) enum Job {
    /// A write of the core, or of the user, without a ticket.
    Write(Option<Ticket>, Write),
    Find(Ticket, Query),
    Load,
}

/// A follower of a room's log beside the program.
pub(crate) struct Followed {
    pub(crate) follower: Follower,
    /// Where it began.
    pub(crate) start: Seq,
    /// The printed entries.
    pub(crate) printed: Vec<EntryId>,
    /// It waits at something that is not stored: nobody asks for that here.
    pub(crate) is_at_gap: bool,
}

/// One run of the program.
pub(crate) struct Process {
    pub(crate) session: Session,
    pub(crate) start: Time,
    pub(crate) wire: Option<(Dial, WireId)>,
    pub(crate) queue: VecDeque<Job>,
    /// The session's next deadline, as it was last scheduled.
    pub(crate) tick_at: Option<Time>,
    /// Its store was overwritten. It detects that with its next write; until then it shows the old
    /// state.
    pub(crate) is_outdated: bool,
}

pub(crate) struct Device {
    home: tempfile::TempDir,
    limits: ClientLimits,
    pub(crate) record: Record,
    /// The invite for joining; `None` until somebody asked for it.
    pub(crate) invite: Option<String>,
    /// The device whose person's second one it is, and whether a server has said that it lets it
    /// in.
    pub(crate) linked_by: Option<usize>,
    pub(crate) linked: bool,
    /// What its store calls it, once there is one.
    pub(crate) id: Option<DeviceId>,
    pub(crate) disk: Option<Disk>,
    pub(crate) process: Option<Process>,
    /// A second process on the profile, which waits for the connection.
    second: Option<(Disk, Process)>,
    /// Number of the current process; events of earlier ones are ignored.
    pub(crate) epoch: u64,
    pub(crate) weather: Weather,
    pub(crate) fair_since: Time,
    pub(crate) disk_fails: bool,
    /// How long each job of the disk takes at least.
    pub(crate) disk_takes: Time,
    pub(crate) asleep_until: Time,
    /// What happened to it while it slept.
    pub(crate) missed: VecDeque<Event>,
    /// The server did not know its token for a while: the user has to reconnect.
    pub(crate) was_revoked: bool,
    /// The time of the last reply, which proved the uplink.
    pub(crate) answered_at: Time,
    /// The marks that were last seen on its own lines, and the seqs that were last read.
    pub(crate) marks: BTreeMap<EntryId, OwnMark>,
    pub(crate) read: BTreeMap<RoomId, Seq>,
    /// A `tail --follow` beside the program for each room.
    pub(crate) followers: Vec<Followed>,
    /// A copy was put over the store while the program had it open.
    pub(crate) is_overwritten: bool,
    copies: u64,
    pub(crate) copy: Option<(PathBuf, Time)>,
}

impl Device {
    pub(crate) fn new(
        name: &str,
        root: &Path,
        invite: Option<String>,
        limits: ClientLimits,
    ) -> Self {
        let home = tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(root)
            .expect("a folder");
        Self {
            home,
            limits,
            record: Record::new(name),
            invite,
            linked_by: None,
            linked: false,
            id: None,
            disk: None,
            process: None,
            second: None,
            epoch: 0,
            weather: Weather::FAIR,
            fair_since: Time::ZERO,
            disk_fails: false,
            disk_takes: Time::ZERO,
            asleep_until: Time::ZERO,
            missed: VecDeque::new(),
            was_revoked: false,
            answered_at: Time::ZERO,
            marks: BTreeMap::new(),
            read: BTreeMap::new(),
            followers: Vec::new(),
            is_overwritten: false,
            copies: 0,
            copy: None,
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("store")
    }

    /// Starts the program; the first time it is told who to become.
    pub(crate) fn start(&mut self, now: Time) {
        let Some(invite) = self.invite.clone() else {
            return;
        };
        std::fs::create_dir_all(self.folder()).expect("a folder");
        let mut disk = Disk::open_with(&self.folder(), self.limits).expect("opens");
        let enrolment = EnrolmentRequest {
            url: None,
            invite,
            name: self.record.name.clone(),
        };
        if self.epoch == 0 {
            disk.set_enrolment(&enrolment).expect("stores");
        }
        let process = self.load(&mut disk, now).expect("loads");
        self.run(disk, process);
    }

    fn load(&mut self, disk: &mut Disk, now: Time) -> Result<Process, DbError> {
        let loaded = disk.load(InstanceId::from_random(system::random()))?;
        self.id = Some(loaded.device);
        let session = Session::with_limits(
            LinkSettings::default(),
            self.limits,
            system::seed(),
            Time::ZERO,
            loaded,
        );
        Ok(Process {
            session,
            start: now,
            wire: None,
            queue: VecDeque::new(),
            tick_at: None,
            is_outdated: false,
        })
    }

    fn run(&mut self, disk: Disk, process: Process) {
        self.epoch += 1;
        (self.disk, self.process) = (Some(disk), Some(process));
    }

    /// Starts a second process beside the one with the connection. Fails if the store cannot be
    /// opened.
    pub(crate) fn start_second(&mut self, now: Time) -> Result<(), DbError> {
        let mut disk = Disk::open_with(&self.folder(), self.limits)?;
        let process = self.load(&mut disk, now)?;
        self.second = Some((disk, process));
        Ok(())
    }

    /// The process with the connection has ended: the waiting one takes over. Returns whether there
    /// was one.
    pub(crate) fn take_over(&mut self) -> bool {
        let Some((disk, process)) = self.second.take() else {
            return false;
        };
        self.run(disk, process);
        true
    }

    /// Another process on the profile writes into the store: the one that waits, or one that ends
    /// at once.
    pub(crate) fn write_beside(&mut self, write: &Write, now: Time) -> Result<(), DbError> {
        let outcome = match &mut self.second {
            Some((disk, _)) => disk.write(write)?,
            None => Disk::open_with(&self.folder(), self.limits)?.write(write)?,
        };
        self.record.on_answered(write, &outcome, now);
        Ok(())
    }

    /// Whether this is no fault of the program: its store was deleted or overwritten while it was
    /// open.
    pub(crate) const fn may_say(&self, error: &DbError) -> bool {
        error.is_another_file() || (self.is_overwritten && matches!(error, DbError::Stale))
    }

    /// Kills the process: pending writes are lost. Returns its open connection.
    pub(crate) fn kill(&mut self) -> Option<WireId> {
        self.disk = None;
        self.process.take()?.wire.map(|(_, wire)| wire)
    }

    /// Every process on the profile.
    pub(crate) fn kill_all(&mut self) -> Option<WireId> {
        self.second = None;
        self.kill()
    }

    /// Copies the store, as a backup does while the program does not run.
    pub(crate) fn copy_store(&mut self, now: Time) {
        self.copies += 1;
        let to = self.home.path().join(format!("copy-{}", self.copies));
        copy_folder(&self.folder(), &to);
        self.copy = Some((to, now));
        self.record.on_copied();
    }

    /// Puts the copy over the store, file by file, whoever has it open. Not where that would be
    /// files of two generations.
    pub(crate) fn overwrite(&mut self, now: Time) -> bool {
        let Some((copy, at)) = self.copy.clone() else {
            return false;
        };
        let databases = |folder: &Path| {
            let files = std::fs::read_dir(folder)
                .expect("reads")
                .flatten()
                .map(|file| file.file_name());
            files
                .filter(|name| name.to_string_lossy().ends_with(".db"))
                .collect::<BTreeSet<_>>()
        };
        let fits = databases(&copy) == databases(&self.folder());
        if fits {
            self.is_overwritten = true;
            let second = self.second.as_mut().map(|(_, process)| process);
            self.process
                .iter_mut()
                .chain(second)
                .for_each(|process| process.is_outdated = true);
            copy_folder(&copy, &self.folder());
            self.record.on_restored(at, now);
            self.marks.clear();
            self.read.clear();
        }
        fits
    }

    /// Removes the store's files; processes that have them open keep their content.
    pub(crate) fn delete_files(&mut self) {
        for file in std::fs::read_dir(self.folder()).expect("reads").flatten() {
            if file.file_name().to_string_lossy().contains(".db") {
                std::fs::remove_file(file.path()).expect("removes");
            }
        }
        // An idle program checks its files every ten seconds; its next write would detect a fault
        // too. An error is found by the next write.
        let _ = self.disk.as_mut().map(|disk| disk.find(&Query::Reads));
    }

    /// Puts the copy back. The program does not run.
    pub(crate) fn restore(&mut self, now: Time) {
        let Some((copy, at)) = self.copy.clone() else {
            return;
        };
        std::fs::remove_dir_all(self.folder()).expect("removes");
        copy_folder(&copy, &self.folder());
        self.record.on_restored(at, now);
        self.marks.clear();
        self.read.clear();
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("reads").flatten() {
        let (from, to) = (file.path(), to.join(file.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            std::fs::copy(from, to).expect("copies");
        }
    }
}
