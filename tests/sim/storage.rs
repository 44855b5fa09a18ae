//! The disk of the server's storage, and a storage that fails on demand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use landfall::protocol::{
    AccountId, DeviceId, Enrol, EntryId, Member, Position, RejectCode, Room, RoomId, RoomInfo, Seq,
    ServerId,
};
use landfall::server::storage::{
    Account, Append, Device, EnrolError, Enrolled, LogPage, Memory, ReceiptUpdate, Rejection,
    Sqlite, Storage, TokenHash, Verdict, Watermarks,
};
use landfall::sqlite::DbError;
use landfall::system;

use crate::device::copy_folder;

/// The data of one server, which outlives its processes.
pub(crate) enum Backing {
    Memory {
        now: Memory,
        copy: Option<Memory>,
    },
    /// The folder, and the number of copies and restores: each uses a folder of a new name.
    Sqlite {
        root: tempfile::TempDir,
        moves: u64,
        copy: Option<PathBuf>,
    },
}

impl Backing {
    pub(crate) fn new(root: &Path, is_sqlite: bool) -> Self {
        if is_sqlite {
            let root = tempfile::Builder::new()
                .prefix("server")
                .tempdir_in(root)
                .expect("a folder");
            let backing = Self::Sqlite {
                root,
                moves: 0,
                copy: None,
            };
            std::fs::create_dir_all(backing.folder()).expect("a folder");
            return backing;
        }
        let (server, lobby) = (
            ServerId::from_random(system::random()),
            RoomId::from_random(system::random()),
        );
        Self::Memory {
            now: Memory::new(server, lobby),
            copy: None,
        }
    }

    fn folder(&self) -> PathBuf {
        match self {
            Self::Memory { .. } => PathBuf::new(),
            Self::Sqlite { root, moves, .. } => root.path().join(format!("data-{moves}")),
        }
    }

    pub(crate) fn open(&self) -> Box<dyn Storage> {
        match self {
            Self::Memory { now, .. } => Box::new(now.clone()),
            Self::Sqlite { .. } => Box::new(Sqlite::open(&self.folder()).expect("opens")),
        }
    }

    /// Copies what stands there now: between two commits, as a backup does.
    pub(crate) fn copy(&mut self) {
        let folder = self.folder();
        match self {
            Self::Memory { now, copy } => *copy = Some(now.copy()),
            Self::Sqlite { root, moves, copy } => {
                let to = root.path().join(format!("copy-{moves}"));
                let _ = std::fs::remove_dir_all(&to); // of an earlier copy, or none
                copy_folder(&folder, &to);
                *copy = Some(to);
            }
        }
    }

    /// Puts the copy back; whether there was one. Nobody may have it open.
    pub(crate) fn restore(&mut self) -> bool {
        match self {
            Self::Memory { now, copy } => copy.as_ref().map(|copy| *now = copy.copy()).is_some(),
            Self::Sqlite { root, moves, copy } => {
                let Some(copy) = copy else { return false };
                *moves += 1;
                copy_folder(copy, &root.path().join(format!("data-{moves}")));
                true
            }
        }
    }
}

/// The faults of a server's storage.
#[derive(Debug, Default)]
pub(crate) struct StorageFaults {
    /// Nothing is committed, and whoever asks is told.
    pub(crate) fails: bool,
    /// It is committed, and whoever asks is told that it is not.
    pub(crate) is_unsure: bool,
    pub(crate) banned: BTreeSet<AccountId>,
    pub(crate) muted: BTreeSet<AccountId>,
    pub(crate) revoked: BTreeSet<DeviceId>,
}

impl StorageFaults {
    pub(crate) fn is_well(&self) -> bool {
        !self.fails
            && !self.is_unsure
            && self.banned.is_empty()
            && self.muted.is_empty()
            && self.revoked.is_empty()
    }
}

/// A storage in a faults.
pub(crate) struct FaultyStorage {
    inner: Box<dyn Storage>,
    faults: Arc<Mutex<StorageFaults>>,
}

impl FaultyStorage {
    pub(crate) fn over(
        inner: Box<dyn Storage>,
        faults: &Arc<Mutex<StorageFaults>>,
    ) -> Box<dyn Storage> {
        Box::new(Self {
            inner,
            faults: faults.clone(),
        })
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Storage) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let (fails, is_unsure) = {
            let faults = self.faults.lock().expect("not poisoned");
            (faults.fails, faults.is_unsure)
        };
        if fails {
            return Err(DbError::Full);
        }
        let done = work(&mut *self.inner)?;
        if is_unsure {
            Err(DbError::SyncFailed)
        } else {
            Ok(done)
        }
    }

    /// Why the server takes nothing of an account now, unless it has it already.
    fn refuses(&mut self, append: &Append) -> Result<Option<Verdict>, DbError> {
        let (code, retry_after_ms) = {
            let faults = self.faults.lock().expect("not poisoned");
            match append.author {
                author if faults.banned.contains(&author) => (RejectCode::Forbidden, None),
                author if faults.muted.contains(&author) => (RejectCode::RateLimited, Some(2_000)),
                _ => return Ok(None),
            }
        };
        if stands(&mut *self.inner, append.send.room, append.send.id)? {
            return Ok(None);
        }
        Ok(Some(Verdict::Rejected(Rejection {
            code,
            reason: "not now".to_owned(),
            last: None,
            retry_after_ms,
        })))
    }
}

/// Whether an entry stands in a room's log.
pub(crate) fn stands(
    storage: &mut dyn Storage,
    room: RoomId,
    id: EntryId,
) -> Result<bool, DbError> {
    let log = storage.page_after(room, Seq::ZERO, usize::MAX >> 1, usize::MAX)?;
    Ok(log.is_some_and(|log| log.entries.iter().any(|entry| entry.id == id)))
}

impl Storage for FaultyStorage {
    fn another(&self) -> Result<Box<dyn Storage>, DbError> {
        Ok(Self::over(self.inner.another()?, &self.faults))
    }

    fn server(&self) -> ServerId {
        self.inner.server()
    }

    fn commit(&mut self, group: &[Append], now: u64) -> Result<Vec<Verdict>, DbError> {
        let is_strict = {
            let faults = self.faults.lock().expect("not poisoned");
            !faults.banned.is_empty() || !faults.muted.is_empty()
        };
        if !is_strict {
            return self.write(|inner| inner.commit(group, now));
        }
        let mut verdicts = Vec::new();
        for append in group {
            let verdict = match self.refuses(append)? {
                Some(verdict) => verdict,
                None => self
                    .write(|inner| inner.commit(std::slice::from_ref(append), now))?
                    .remove(0),
            };
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        now: u64,
    ) -> Result<Enrolled, DbError> {
        if self
            .faults
            .lock()
            .expect("not poisoned")
            .revoked
            .contains(&device)
        {
            return Ok(Enrolled::Rejected(EnrolError::AccountTaken));
        }
        self.write(|inner| inner.enrol(enrol, device, token, now))
    }

    fn probe(&mut self, now: u64) -> Result<(), DbError> {
        self.write(|inner| inner.probe(now))
    }

    fn newest_at(&mut self) -> Result<Option<u64>, DbError> {
        self.inner.newest_at()
    }

    fn invite(&mut self) -> Result<Option<String>, DbError> {
        self.inner.invite()
    }

    fn devices(&mut self) -> Result<Vec<Device>, DbError> {
        self.inner.devices()
    }

    fn without_access(&mut self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, DbError> {
        self.inner.without_access(devices)
    }

    fn revoke(&mut self, device: DeviceId) -> Result<bool, DbError> {
        self.write(|inner| inner.revoke(device))
    }

    fn renew_invite(&mut self, code: &str, uses: u64) -> Result<(), DbError> {
        self.write(|inner| inner.renew_invite(code, uses))
    }

    fn link_device(&mut self, account: AccountId, code: &str, until: u64) -> Result<(), DbError> {
        self.write(|inner| inner.link_device(account, code, until))
    }

    fn create_room(
        &mut self,
        room: RoomId,
        name: &str,
        topic: &str,
    ) -> Result<Option<RoomInfo>, DbError> {
        self.write(|inner| inner.create_room(room, name, topic))
    }

    fn mark(&mut self, updates: &[ReceiptUpdate]) -> Result<Vec<Watermarks>, DbError> {
        self.write(|inner| inner.mark(updates))
    }

    fn authenticate(
        &mut self,
        device: DeviceId,
        token: TokenHash,
    ) -> Result<Option<Account>, DbError> {
        if self
            .faults
            .lock()
            .expect("not poisoned")
            .revoked
            .contains(&device)
        {
            return Ok(None);
        }
        self.inner.authenticate(device, token)
    }

    fn rooms_of(&mut self, account: AccountId) -> Result<Vec<Room>, DbError> {
        self.inner.rooms_of(account)
    }

    fn room_of(&mut self, account: AccountId, room: RoomId) -> Result<Option<Room>, DbError> {
        self.inner.room_of(account, room)
    }

    fn head(&mut self, room: RoomId) -> Result<Option<Position>, DbError> {
        self.inner.head(room)
    }

    fn locate(
        &mut self,
        room: RoomId,
        positions: &[Position],
    ) -> Result<Option<Position>, DbError> {
        self.inner.locate(room, positions)
    }

    fn page_after(
        &mut self,
        room: RoomId,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        self.inner.page_after(room, after, limit, bytes)
    }

    fn page_before(
        &mut self,
        room: RoomId,
        before: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        self.inner.page_before(room, before, limit, bytes)
    }

    fn find_room(
        &mut self,
        name: Option<&str>,
        room: Option<RoomId>,
    ) -> Result<Option<RoomInfo>, DbError> {
        self.inner.find_room(name, room)
    }

    fn list_rooms(&mut self, after: &str, limit: usize) -> Result<Vec<RoomInfo>, DbError> {
        self.inner.list_rooms(after, limit)
    }

    fn list_members(
        &mut self,
        room: RoomId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Member>, DbError> {
        self.inner.list_members(room, after, limit)
    }
}
