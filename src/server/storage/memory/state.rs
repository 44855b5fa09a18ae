//! The content of a storage in memory, and what an append and an enrolment change in it.

use std::collections::BTreeMap;

use crate::protocol::{
    AccountId, DeviceId, Enrol, Entry, EntryId, Kind, Position, Room, RoomId, RoomInfo, SendEntry,
    Seq, ServerId,
};
use crate::server::enrolment::{EnrolFacts, lobby_join};
use crate::server::judge::{Author, Facts, Known, appended};
use crate::server::storage::{Account, Append, AppendedEntry, LOBBY, TokenHash};

#[derive(Clone, Debug)]
pub(super) struct MemoryState {
    pub(super) server: ServerId,
    pub(super) accounts: BTreeMap<AccountId, String>,
    pub(super) devices: BTreeMap<DeviceId, DeviceState>,
    /// The current invite, with its remaining uses.
    pub(super) invite: Option<(String, u64)>,
    /// The device code of each account, with its expiry.
    pub(super) links: BTreeMap<AccountId, (String, u64)>,
    pub(super) rooms: BTreeMap<RoomId, MemoryRoom>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceState {
    pub(super) account: AccountId,
    pub(super) token: TokenHash,
    pub(super) since: u64,
}

#[derive(Clone, Debug)]
pub(super) struct MemoryRoom {
    pub(super) name: String,
    pub(super) topic: String,
    pub(super) entries: Vec<Entry>,
    /// The positions before and after each entry.
    pub(super) positions: Vec<Position>,
    pub(super) members: BTreeMap<AccountId, (Seq, Seq)>,
    pub(super) lasts: BTreeMap<DeviceId, EntryId>,
}

impl MemoryRoom {
    pub(super) fn head(&self) -> Position {
        self.positions[self.positions.len() - 1]
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        usize::try_from(position.seq.0)
            .ok()
            .and_then(|seq| self.positions.get(seq))
            == Some(&position)
    }

    pub(super) fn lowest(&self) -> (Seq, Seq) {
        let lowest =
            |of: fn(&(Seq, Seq)) -> Seq| self.members.values().map(of).min().unwrap_or_default();
        (lowest(|marks| marks.0), lowest(|marks| marks.1))
    }

    pub(super) fn info(&self, room: RoomId) -> RoomInfo {
        RoomInfo {
            room,
            name: self.name.clone(),
            topic: self.topic.clone(),
            members: self.members.len() as u64,
        }
    }
}

impl MemoryState {
    pub(super) fn insert_room(&mut self, room: RoomId, name: &str, topic: &str) {
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

    pub(super) fn account(&self, account: AccountId) -> Account {
        Account {
            account,
            name: self.accounts.get(&account).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn name_taken(&self, name: &str, by_other_than: AccountId) -> bool {
        self.accounts
            .iter()
            .any(|(id, taken)| *id != by_other_than && taken.to_lowercase() == name.to_lowercase())
    }

    pub(super) fn facts(&self, append: &Append) -> Facts {
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

    pub(super) fn enrol_facts(&self, enrol: &Enrol, device: DeviceId, now: u64) -> EnrolFacts {
        let is_linked = |(_, (code, until)): &(&AccountId, &(String, u64))| {
            *code == enrol.invite && *until > now
        };
        let linked = self.links.iter().find(is_linked);
        let is_invited = |(code, uses): &(String, u64)| *code == enrol.invite && *uses > 0;
        EnrolFacts {
            name: self.accounts.get(&enrol.account).cloned(),
            device: self
                .devices
                .get(&device)
                .map(|device| (device.account, device.token)),
            linked: linked.map(|(account, _)| self.account(*account)),
            is_invited: self.invite.as_ref().is_some_and(is_invited),
            name_taken: self.name_taken(&enrol.name, enrol.account),
        }
    }

    pub(super) fn insert_device(
        &mut self,
        device: DeviceId,
        account: AccountId,
        token: TokenHash,
        now: u64,
    ) {
        let state = DeviceState {
            account,
            token,
            since: now,
        };
        self.devices.insert(device, state);
    }

    pub(super) fn join_lobby(&mut self, enrol: &Enrol, now: u64) -> Option<AppendedEntry> {
        let (lobby, _) = self.rooms.iter().find(|(_, room)| room.name == LOBBY)?;
        let (send, author) = lobby_join(enrol, *lobby, now);
        self.append(&send, author.account, author.device, now)
    }

    pub(super) fn append(
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

    pub(super) fn room_of(&self, account: AccountId, id: RoomId) -> Option<Room> {
        let room = self.rooms.get(&id)?;
        let (delivered, read) = room.lowest();
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
