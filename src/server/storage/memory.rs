//! A storage in memory, for simulations and tests. It passes the same contract as every other one.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::{DeviceState, MemoryRoom, MemoryState};
use super::{
    Account, Append, Device, Enrolled, LOBBY, LogPage, ReceiptUpdate, Storage, TokenHash, Verdict,
    Watermarks, cut_by_bytes,
};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, Enrol, Member, Position, Room, RoomId, RoomInfo, Seq, ServerId,
};
use crate::server::enrolment::{EnrolDecision, account_of, admit};
use crate::server::judge::{Judgement, judge};
use crate::sqlite::DbError;

/// A storage in memory; clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<MemoryState>>);

impl Memory {
    /// An empty server with its lobby.
    #[must_use]
    pub fn new(server: ServerId, lobby: RoomId) -> Self {
        let mut state = MemoryState {
            server,
            accounts: BTreeMap::new(),
            devices: BTreeMap::new(),
            invite: None,
            links: BTreeMap::new(),
            rooms: BTreeMap::new(),
        };
        state.insert_room(lobby, LOBBY, "where everybody is");
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns a copy of the content as a storage of its own: a backup.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn another(&self) -> Result<Box<dyn Storage>, DbError> {
        Ok(Box::new(self.clone()))
    }

    fn server(&self) -> ServerId {
        self.state().server
    }

    fn commit(&mut self, group: &[Append], now: u64) -> Result<Vec<Verdict>, DbError> {
        let mut state = self.state();
        let verdict = |append: &Append| match judge(append, &state.facts(append)) {
            Judgement::Known(seq, at) => Ok(Verdict::Known { seq, at }),
            Judgement::Reject(rejection) => Ok(Verdict::Rejected(rejection)),
            Judgement::Append => state
                .append(&append.send, append.author, append.device, now)
                .map(Verdict::Stored)
                .ok_or_else(|| DbError::Other("no such account".to_owned())),
        };
        group.iter().map(verdict).collect()
    }

    fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        now: u64,
    ) -> Result<Enrolled, DbError> {
        let mut state = self.state();
        let decision = admit(enrol, token, state.enrol_facts(enrol, device, now));
        let account = match decision {
            EnrolDecision::Known(account) => return Ok(Enrolled::Known(account)),
            EnrolDecision::Rejected(error) => return Ok(Enrolled::Rejected(error)),
            EnrolDecision::AddDevice(account) => {
                state.links.remove(&account.account);
                account
            }
            EnrolDecision::NewAccount => {
                state.invite.iter_mut().for_each(|(_, uses)| *uses -= 1);
                state.accounts.insert(enrol.account, enrol.name.clone());
                let joined = state.join_lobby(enrol, now);
                state.insert_device(device, enrol.account, token, now);
                return Ok(Enrolled::New(account_of(enrol), joined));
            }
        };
        state.insert_device(device, account.account, token, now);
        Ok(Enrolled::Known(account))
    }

    fn probe(&mut self, _: u64) -> Result<(), DbError> {
        Ok(())
    }

    fn newest_at(&mut self) -> Result<Option<u64>, DbError> {
        Ok(self
            .state()
            .rooms
            .values()
            .filter_map(|room| room.entries.last())
            .map(|entry| entry.at)
            .max())
    }

    fn invite(&mut self) -> Result<Option<String>, DbError> {
        Ok(self.state().invite.as_ref().map(|(code, _)| code.clone()))
    }

    fn renew_invite(&mut self, code: &str, uses: u64) -> Result<(), DbError> {
        self.state().invite = Some((code.to_owned(), uses));
        Ok(())
    }

    fn devices(&mut self) -> Result<Vec<Device>, DbError> {
        let state = self.state();
        let device = |(id, device): (&DeviceId, &DeviceState)| Device {
            device: *id,
            name: state
                .accounts
                .get(&device.account)
                .cloned()
                .unwrap_or_default(),
            since: device.since,
        };
        let mut devices: Vec<Device> = state.devices.iter().map(device).collect();
        devices.sort_by_key(|device| (device.name.to_lowercase(), device.since));
        Ok(devices)
    }

    fn revoke(&mut self, device: DeviceId) -> Result<bool, DbError> {
        let mut state = self.state();
        let Some(DeviceState { account, .. }) = state.devices.remove(&device) else {
            return Ok(false);
        };
        state.links.remove(&account);
        Ok(true)
    }

    fn without_access(&mut self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, DbError> {
        let state = self.state();
        Ok(devices
            .iter()
            .copied()
            .filter(|device| !state.devices.contains_key(device))
            .collect())
    }

    fn link_device(&mut self, account: AccountId, code: &str, until: u64) -> Result<(), DbError> {
        let mut state = self.state();
        if state.accounts.contains_key(&account) {
            state.links.insert(account, (code.to_owned(), until));
        }
        Ok(())
    }

    fn create_room(
        &mut self,
        room: RoomId,
        name: &str,
        topic: &str,
    ) -> Result<Option<RoomInfo>, DbError> {
        let mut state = self.state();
        if let Some(known) = state.rooms.get(&room) {
            return Ok(Some(known.info(room)));
        }
        if state
            .rooms
            .values()
            .any(|known| known.name.to_lowercase() == name.to_lowercase())
        {
            return Ok(None);
        }
        state.insert_room(room, name, topic);
        Ok(Some(state.rooms[&room].info(room)))
    }

    fn mark(&mut self, updates: &[ReceiptUpdate]) -> Result<Vec<Watermarks>, DbError> {
        let mut state = self.state();
        let mut moved: Vec<Watermarks> = Vec::new();
        for update in updates {
            let Some(room) = state.rooms.get_mut(&update.room) else {
                continue;
            };
            let before = room.lowest();
            let checked = |position: Option<Position>| {
                position
                    .filter(|p| room.contains(*p))
                    .map_or(Seq::ZERO, |p| p.seq)
            };
            let (delivered, read) = (checked(update.delivered), checked(update.read));
            if let Some(marks) = room.members.get_mut(&update.account) {
                let highest = (marks.0.max(delivered), marks.1.max(read));
                *marks = if planted_bug!(MarksGoBack) {
                    (delivered, read)
                } else {
                    highest
                };
            }
            let (delivered, read) = room.lowest();
            if before != (delivered, read) {
                moved.retain(|lowest| lowest.room != update.room);
                moved.push(Watermarks {
                    room: update.room,
                    delivered,
                    read,
                });
            }
        }
        Ok(moved)
    }

    fn authenticate(
        &mut self,
        device: DeviceId,
        token: TokenHash,
    ) -> Result<Option<Account>, DbError> {
        let state = self.state();
        let account = state
            .devices
            .get(&device)
            .filter(|known| known.token == token)
            .map(|known| known.account);
        Ok(account.and_then(|account| {
            Some(Account {
                account,
                name: state.accounts.get(&account)?.clone(),
            })
        }))
    }

    fn rooms_of(&mut self, account: AccountId) -> Result<Vec<Room>, DbError> {
        let state = self.state();
        let mut rooms: Vec<_> = state
            .rooms
            .keys()
            .filter_map(|id| state.room_of(account, *id))
            .filter(|room| room.member)
            .collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rooms)
    }

    fn room_of(&mut self, account: AccountId, room: RoomId) -> Result<Option<Room>, DbError> {
        Ok(self.state().room_of(account, room))
    }

    fn head(&mut self, room: RoomId) -> Result<Option<Position>, DbError> {
        Ok(self.state().rooms.get(&room).map(MemoryRoom::head))
    }

    fn locate(
        &mut self,
        room: RoomId,
        positions: &[Position],
    ) -> Result<Option<Position>, DbError> {
        let state = self.state();
        let Some(room) = state.rooms.get(&room) else {
            return Ok(None);
        };
        Ok(positions
            .iter()
            .copied()
            .filter(|position| room.contains(*position))
            .max_by_key(|position| position.seq))
    }

    fn page_after(
        &mut self,
        room: RoomId,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        let state = self.state();
        let Some(room) = state.rooms.get(&room) else {
            return Ok(None);
        };
        let Some(prev) = room.positions.get(after.0 as usize) else {
            return Ok(None);
        };
        let entries = room.entries[after.0 as usize..].iter().take(limit).cloned();
        Ok(Some(LogPage {
            prev: *prev,
            entries: cut_by_bytes(entries, bytes),
        }))
    }

    fn page_before(
        &mut self,
        room: RoomId,
        before: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError> {
        let state = self.state();
        let Some(room) = state.rooms.get(&room) else {
            return Ok(None);
        };
        let end = room
            .entries
            .len()
            .min((before.0 as usize).saturating_sub(1));
        let mut entries =
            cut_by_bytes(room.entries[..end].iter().rev().take(limit).cloned(), bytes);
        entries.reverse();
        let first = entries.first().map_or(before, |entry| entry.seq);
        let prev = room
            .positions
            .get((first.0 as usize).saturating_sub(1))
            .copied();
        Ok(prev.map(|prev| LogPage { prev, entries }))
    }

    fn find_room(
        &mut self,
        name: Option<&str>,
        room: Option<RoomId>,
    ) -> Result<Option<RoomInfo>, DbError> {
        let state = self.state();
        let folded = name.map(str::to_lowercase);
        let is_it = |id: &RoomId, state: &MemoryRoom| {
            Some(*id) == room || Some(state.name.to_lowercase()) == folded
        };
        Ok(state
            .rooms
            .iter()
            .find(|(id, room)| is_it(id, room))
            .map(|(id, room)| room.info(*id)))
    }

    fn list_rooms(&mut self, after: &str, limit: usize) -> Result<Vec<RoomInfo>, DbError> {
        let state = self.state();
        let mut rooms: Vec<_> = state
            .rooms
            .iter()
            .map(|(id, room)| room.info(*id))
            .filter(|info| info.name.as_str() > after)
            .collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        rooms.truncate(limit);
        Ok(rooms)
    }

    fn list_members(
        &mut self,
        room: RoomId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Member>, DbError> {
        let state = self.state();
        let Some(room) = state.rooms.get(&room) else {
            return Ok(Vec::new());
        };
        let member = |(account, marks): (&AccountId, &(Seq, Seq))| Member {
            account: *account,
            name: state.accounts.get(account).cloned().unwrap_or_default(),
            online: false,
            delivered: marks.0,
            read: marks.1,
        };
        let mut members: Vec<_> = room
            .members
            .iter()
            .map(member)
            .filter(|member| member.name.as_str() > after)
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.truncate(limit);
        Ok(members)
    }
}
