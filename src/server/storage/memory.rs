//! A storage in memory, for simulations and tests. It passes the same contract as every other one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Account, Append, AppendedEntry, Device, EnrolError, Enrolled, Floor, LOBBY, LogPage,
    MarkUpdate, Storage, TokenHash, Verdict, cut_by_bytes,
};
use crate::planted_bug::planted_bug;
use crate::protocol::{
    AccountId, DeviceId, Enrol, Entry, EntryId, Kind, Member, Position, Room, RoomId, RoomInfo,
    SendEntry, Seq, ServerId, is_valid_name,
};
use crate::server::judge::{Author, Facts, Judgement, Known, appended, judge};
use crate::sqlite::DbError;

/// A storage in memory; clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<MemoryState>>);

#[derive(Clone, Debug)]
struct MemoryState {
    server: ServerId,
    accounts: BTreeMap<AccountId, String>,
    devices: BTreeMap<DeviceId, DeviceState>,
    /// The current code, and how many accounts it still makes.
    invite: Option<(String, u64)>,
    /// The newest code of each account that lets one more device in, and until when.
    links: BTreeMap<AccountId, (String, u64)>,
    rooms: BTreeMap<RoomId, MemoryRoom>,
}

#[derive(Clone, Copy, Debug)]
struct DeviceState {
    account: AccountId,
    token: TokenHash,
    since: u64,
}

#[derive(Clone, Debug)]
struct MemoryRoom {
    name: String,
    topic: String,
    entries: Vec<Entry>,
    /// One more than the entries: the first is the start.
    positions: Vec<Position>,
    members: BTreeMap<AccountId, (Seq, Seq)>,
    lasts: BTreeMap<DeviceId, EntryId>,
}

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

    /// What is in it now, as a storage of its own: a backup.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryRoom {
    fn head(&self) -> Position {
        self.positions[self.positions.len() - 1]
    }

    fn contains(&self, position: Position) -> bool {
        usize::try_from(position.seq.0)
            .ok()
            .and_then(|seq| self.positions.get(seq))
            == Some(&position)
    }

    fn floor(&self) -> (Seq, Seq) {
        let lowest =
            |of: fn(&(Seq, Seq)) -> Seq| self.members.values().map(of).min().unwrap_or_default();
        (lowest(|marks| marks.0), lowest(|marks| marks.1))
    }

    fn info(&self, room: RoomId) -> RoomInfo {
        RoomInfo {
            room,
            name: self.name.clone(),
            topic: self.topic.clone(),
            members: self.members.len() as u64,
        }
    }
}

impl MemoryState {
    fn insert_room(&mut self, room: RoomId, name: &str, topic: &str) {
        let state = MemoryRoom {
            name: name.to_owned(),
            topic: topic.to_owned(),
            entries: Vec::new(),
            positions: vec![Position::start(room)],
            members: BTreeMap::new(),
            lasts: BTreeMap::new(),
        };
        self.rooms.insert(room, state);
    }

    fn account(&self, account: AccountId) -> Account {
        Account {
            account,
            name: self.accounts.get(&account).cloned().unwrap_or_default(),
        }
    }

    fn name_taken(&self, name: &str, by_other_than: AccountId) -> bool {
        self.accounts
            .iter()
            .any(|(id, taken)| *id != by_other_than && taken.to_lowercase() == name.to_lowercase())
    }

    fn facts(&self, append: &Append) -> Facts {
        let Some(room) = self.rooms.get(&append.send.room) else {
            return Facts::default();
        };
        let send = &append.send;
        let known = room
            .entries
            .iter()
            .find(|entry| entry.author == append.author && entry.id == send.id);
        Facts {
            known: known.map(|entry| Known {
                seq: entry.seq,
                at: entry.at,
                same: (entry.kind, entry.target) == (send.kind, send.target)
                    && (entry.body == send.body
                        || ((entry.body.is_empty() || send.body.is_empty())
                            && matches!(entry.kind, Kind::Message | Kind::Edit))),
            }),
            room: true,
            member: room.members.contains_key(&append.author),
            last: room.lasts.get(&append.device).copied(),
            name_taken: send.kind == Kind::Rename && self.name_taken(&send.body, append.author),
            rooms: self
                .rooms
                .values()
                .filter(|room| room.members.contains_key(&append.author))
                .count(),
        }
    }

    fn append(
        &mut self,
        send: &SendEntry,
        author: AccountId,
        device: DeviceId,
        now: u64,
    ) -> Option<AppendedEntry> {
        let name = self.accounts.get(&author)?.clone();
        let room = self.rooms.get_mut(&send.room)?;
        let prev = room.head();
        let here = prev.next(author, send.id);
        let last_at = room.entries.last().map_or(now, |last| last.at);
        let author_of = Author {
            account: author,
            name,
            device,
        };
        let entry = appended(send, author_of, here.seq, last_at, now);
        room.entries.push(entry.clone());
        room.positions.push(here);
        room.lasts.insert(device, send.id);
        match send.kind {
            Kind::Join => {
                room.members.entry(author).or_insert((here.seq, here.seq));
            }
            Kind::Leave => {
                room.members.remove(&author);
            }
            Kind::Topic => room.topic.clone_from(&entry.body),
            Kind::Rename => {
                self.accounts.insert(author, entry.body.clone());
            }
            Kind::Message | Kind::Edit | Kind::Redaction | Kind::Reaction | Kind::Unknown => {}
        }
        Some(AppendedEntry {
            room: send.room,
            prev,
            entry,
        })
    }

    fn room_of(&self, account: AccountId, id: RoomId) -> Option<Room> {
        let room = self.rooms.get(&id)?;
        let (delivered, read) = room.floor();
        let here = room.members.get(&account).copied();
        let (delivered_here, read_here) = here.unwrap_or_default();
        Some(Room {
            room: id,
            name: room.name.clone(),
            kind: "public".to_owned(),
            topic: room.topic.clone(),
            member: here.is_some(),
            first: Seq(1),
            head: room.head(),
            delivered,
            read,
            delivered_here,
            read_here,
        })
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
        let verdict = |append: &Append| match judge(append, &state.facts(append).as_remembered(now))
        {
            Judgement::Known(seq, at) => Ok(Verdict::Known { seq, at }),
            Judgement::Refuse(refusal) => Ok(Verdict::Refused(refusal)),
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
        let is_known = |known: &DeviceState| (known.account, known.token) == (enrol.account, token);
        if state.devices.get(&device).is_some_and(is_known) {
            return Ok(Ok((state.account(enrol.account), None)));
        }
        if state.devices.contains_key(&device) {
            return Ok(Err(EnrolError::DeviceTaken));
        }
        let is_known = state.accounts.contains_key(&enrol.account);
        let is_good = |(_, (code, until)): &(&AccountId, &(String, u64))| {
            *code == enrol.invite && *until > now
        };
        let linked = state
            .links
            .iter()
            .find(is_good)
            .map(|(account, _)| *account);
        if let Some(account) = linked.filter(|linked| !is_known || *linked == enrol.account) {
            state.links.remove(&account);
            state.devices.insert(
                device,
                DeviceState {
                    account,
                    token,
                    since: now,
                },
            );
            return Ok(Ok((state.account(account), None)));
        }
        if is_known {
            return Ok(Err(EnrolError::AccountTaken));
        }
        let is_invited = |(code, uses): &(String, u64)| *code == enrol.invite && *uses > 0;
        if !state.invite.as_ref().is_some_and(is_invited) {
            return Ok(Err(EnrolError::BadInvite));
        }
        if !is_valid_name(&enrol.name) {
            return Ok(Err(EnrolError::BadName));
        }
        if state.name_taken(&enrol.name, enrol.account) {
            return Ok(Err(EnrolError::NameTaken));
        }
        state.invite.iter_mut().for_each(|(_, uses)| *uses -= 1);
        state.accounts.insert(enrol.account, enrol.name.clone());
        state.devices.insert(
            device,
            DeviceState {
                account: enrol.account,
                token,
                since: now,
            },
        );
        let lobby = state
            .rooms
            .iter()
            .find(|(_, room)| room.name == LOBBY)
            .map(|(id, _)| *id);
        let join = lobby.map(|room| SendEntry {
            id: EntryId::from_bytes(*enrol.account.as_bytes()),
            room,
            after: None,
            kind: Kind::Join,
            body: enrol.name.clone(),
            target: None,
            composed_at: now,
        });
        let stored = join.and_then(|send| state.append(&send, enrol.account, DeviceId::NIL, now));
        Ok(Ok((state.account(enrol.account), stored)))
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

    fn mark(&mut self, updates: &[MarkUpdate]) -> Result<Vec<Floor>, DbError> {
        let mut state = self.state();
        let mut moved: Vec<Floor> = Vec::new();
        for update in updates {
            let Some(room) = state.rooms.get_mut(&update.room) else {
                continue;
            };
            let before = room.floor();
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
            let (delivered, read) = room.floor();
            if before != (delivered, read) {
                moved.retain(|floor| floor.room != update.room);
                moved.push(Floor {
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
            here: false,
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
