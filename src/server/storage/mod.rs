//! The data of a server, behind one trait: accounts, rooms, logs and watermarks.
//!
//! The trait is synchronous: the committer's thread owns one storage for writing, the reader's
//! thread another for reading, and a simulation calls it directly. Every implementation passes the
//! same `contract` suite.

#[cfg(test)]
mod contract;
pub mod maintenance;
mod memory;
mod schema;
mod sqlite;

pub use memory::Memory;
pub use sqlite::Sqlite;

use crate::protocol::{
    AccountId, DeviceId, Enrol, Entry, EntryId, Member, Position, RejectCode, Room, RoomId,
    RoomInfo, SendEntry, Seq, ServerId,
};
use crate::sqlite::DbError;

/// An entry to be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    pub send: SendEntry,
    pub author: AccountId,
    pub device: DeviceId,
    /// The device is over its rate: rejected for this many ms, unless the id is known.
    pub over_rate_ms: Option<u64>,
}

/// The result of an [`Append`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is in the log now.
    Stored(AppendedEntry),
    /// It was there before.
    Known {
        seq: Seq,
        /// When it was appended.
        at: u64,
    },
    /// It was not appended.
    Rejected(Rejection),
}

/// An entry that was just appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendedEntry {
    pub room: RoomId,
    /// The position before it.
    pub prev: Position,
    pub entry: Entry,
}

/// Why an entry is not appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    pub code: RejectCode,
    pub reason: String,
    /// With `out_of_order`: this device's last entry in the room.
    pub last: Option<EntryId>,
    /// For a temporary rejection: when to send again, ms from now.
    pub retry_after_ms: Option<u64>,
}

/// A run of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPage {
    /// The position before the first entry.
    pub prev: Position,
    /// Entries, from low to high.
    pub entries: Vec<Entry>,
}

/// New watermarks of one device in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptUpdate {
    pub room: RoomId,
    pub account: AccountId,
    pub device: DeviceId,
    /// Stored up to here.
    pub delivered: Option<Position>,
    /// The read position.
    pub read: Option<Position>,
}

/// The lowest watermarks over the members of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermarks {
    pub room: RoomId,
    /// Every member has stored the log up to here.
    pub delivered: Seq,
    /// Every member has read the log up to here.
    pub read: Seq,
}

/// Why a device is not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnrolError {
    /// The invite is unknown or used up.
    BadInvite,
    /// Another account has the name.
    NameTaken,
    /// The name is invalid.
    BadName,
    /// The device is enrolled with another token or account.
    DeviceTaken,
    /// The account exists, the device does not belong to it, and no device code was given.
    AccountTaken,
}

/// The account of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub account: AccountId,
    pub name: String,
}

/// The result of an enrolment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Enrolled {
    /// The account existed before.
    Known(Account),
    /// A new account, with its entry in the lobby.
    New(Account, Option<AppendedEntry>),
    /// The device is rejected.
    Rejected(EnrolError),
}

impl Enrolled {
    /// Returns the account.
    ///
    /// # Errors
    /// [`EnrolError`] when the device is rejected.
    pub fn into_account(self) -> Result<Account, EnrolError> {
        match self {
            Self::Known(account) | Self::New(account, _) => Ok(account),
            Self::Rejected(error) => Err(error),
        }
    }

    /// The new account's entry in the lobby.
    #[must_use]
    pub const fn joined(&self) -> Option<&AppendedEntry> {
        match self {
            Self::New(_, joined) => joined.as_ref(),
            Self::Known(_) | Self::Rejected(_) => None,
        }
    }
}

/// The SHA-256 of a device's token; the token itself is never kept.
pub type TokenHash = [u8; 32];

/// A device that has access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    pub device: DeviceId,
    /// The name of its account.
    pub name: String,
    /// When it was enrolled, ms since 1970.
    pub since: u64,
}

/// The data of a server.
pub trait Storage: Send {
    /// A second handle on the same data, for another thread.
    fn another(&self) -> Result<Box<dyn Storage>, DbError>;

    /// Returns the id that the server was founded with.
    fn server(&self) -> ServerId;

    /// Checks that the storage is still the opened one. Returns whether another process has written
    /// to it since the last check, for example an operator's command.
    fn check_storage(&mut self) -> Result<bool, DbError> {
        Ok(false)
    }

    /// Writes something small and durable: whether the disk takes anything. `now`: ms since 1970.
    fn probe(&mut self, now: u64) -> Result<(), DbError>;

    /// When the newest entry of all logs was appended, ms since 1970.
    fn newest_at(&mut self) -> Result<Option<u64>, DbError>;

    /// Judges and appends a group in one transaction, each entry on its own. Returns once all of it
    /// is on disk.
    ///
    /// # Errors
    /// [`DbError`]: then none of it was appended.
    fn commit(&mut self, group: &[Append], now: u64) -> Result<Vec<Verdict>, DbError>;

    /// Makes an account and its first device, or finds that it was made by this device before.
    fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        now: u64,
    ) -> Result<Enrolled, DbError>;

    /// The code of the current invite.
    fn invite(&mut self) -> Result<Option<String>, DbError>;

    /// Makes this the current invite, good for `uses` accounts. Every older one ends.
    fn renew_invite(&mut self, code: &str, uses: u64) -> Result<(), DbError>;

    /// All devices that have access, by the name of their account and by age.
    fn devices(&mut self) -> Result<Vec<Device>, DbError>;

    /// Ends the access of a device, and the code that would let one more device into its account.
    /// Returns whether it had any.
    fn revoke(&mut self, device: DeviceId) -> Result<bool, DbError>;

    /// Which of these devices have no access.
    fn without_access(&mut self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, DbError>;

    /// Makes a code that lets one more device into an account, once, before `until` (ms since
    /// 1970). An account has one such code: the newest.
    fn link_device(&mut self, account: AccountId, code: &str, until: u64) -> Result<(), DbError>;

    /// Makes a public room; the same id again is the same room. `None` when another room has the
    /// name.
    fn create_room(
        &mut self,
        room: RoomId,
        name: &str,
        topic: &str,
    ) -> Result<Option<RoomInfo>, DbError>;

    /// Advances watermarks; a position that is not in the log is ignored. Returns the lowest
    /// watermarks of the rooms in which they changed.
    fn mark(&mut self, updates: &[ReceiptUpdate]) -> Result<Vec<Watermarks>, DbError>;

    /// The account of a device, when the token is its token.
    fn authenticate(
        &mut self,
        device: DeviceId,
        token: TokenHash,
    ) -> Result<Option<Account>, DbError>;

    /// The rooms of an account, as it sees them.
    fn rooms_of(&mut self, account: AccountId) -> Result<Vec<Room>, DbError>;

    /// One room as an account sees it, member or not.
    fn room_of(&mut self, account: AccountId, room: RoomId) -> Result<Option<Room>, DbError>;

    /// Where a room's log ends.
    fn head(&mut self, room: RoomId) -> Result<Option<Position>, DbError>;

    /// The highest of some positions that is in the room's log.
    fn locate(&mut self, room: RoomId, positions: &[Position])
    -> Result<Option<Position>, DbError>;

    /// Entries after a seq: at most `limit`, and of about `bytes` encoded bytes, but one at least.
    fn page_after(
        &mut self,
        room: RoomId,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError>;

    /// The last entries before a seq, with the same limits.
    fn page_before(
        &mut self,
        room: RoomId,
        before: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError>;

    /// A public room, by name or id.
    fn find_room(
        &mut self,
        name: Option<&str>,
        room: Option<RoomId>,
    ) -> Result<Option<RoomInfo>, DbError>;

    /// Public rooms after a name.
    fn list_rooms(&mut self, after: &str, limit: usize) -> Result<Vec<RoomInfo>, DbError>;

    /// Members of a room after a name; `here` is left to the hub.
    fn list_members(
        &mut self,
        room: RoomId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Member>, DbError>;
}

/// The room that every account joins.
pub const LOBBY: &str = "lobby";

/// Estimated encoded size of an entry, bytes; limits a page.
#[must_use]
pub(crate) fn encoded_len(entry: &Entry) -> usize {
    const FRAME: usize = 360;
    FRAME + entry.name.len() + crate::protocol::encoded_body_len(&entry.body)
}

/// Cuts a run of entries by bytes; one is always let through.
pub(crate) fn cut_by_bytes(entries: impl IntoIterator<Item = Entry>, bytes: usize) -> Vec<Entry> {
    let mut taken = Vec::new();
    let mut size = 0;
    for entry in entries {
        size += encoded_len(&entry);
        if size > bytes && !taken.is_empty() {
            break;
        }
        taken.push(entry);
    }
    taken
}
