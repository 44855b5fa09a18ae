//! What a server keeps, behind one trait: accounts, rooms, logs and marks.
//!
//! The trait is synchronous: the committer's thread owns one storage for writing, the reader's
//! thread another for reading, and a simulation calls it directly. Every implementation passes the
//! one `contract` suite.

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
    /// What was sent.
    pub send: SendEntry,
    /// Whose it is.
    pub author: AccountId,
    /// Of which device.
    pub device: DeviceId,
    /// The device is over its rate: refused for so many ms, unless the id is known.
    pub over_rate_ms: Option<u64>,
}

/// What became of an [`Append`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is in the log now.
    Stored(AppendedEntry),
    /// It was there before.
    Known {
        /// Its place.
        seq: Seq,
        /// When it was appended.
        at: u64,
    },
    /// It was not appended.
    Refused(Rejection),
}

/// An entry that was just appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendedEntry {
    /// Its room.
    pub room: RoomId,
    /// The position before it.
    pub prev: Position,
    /// The entry.
    pub entry: Entry,
}

/// Why an entry is not appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// For programs.
    pub code: RejectCode,
    /// For people.
    pub reason: String,
    /// With `out_of_order`: this device's last entry in the room.
    pub last: Option<EntryId>,
    /// Not now, but after so many ms.
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

/// How far one device has come in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkUpdate {
    /// The room.
    pub room: RoomId,
    /// The account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// Stored up to here.
    pub delivered: Option<Position>,
    /// Seen up to here.
    pub read: Option<Position>,
}

/// How far every member of a room has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Floor {
    /// The room.
    pub room: RoomId,
    /// Every member has stored up to here.
    pub delivered: Seq,
    /// Everyone has read up to here.
    pub read: Seq,
}

/// Why a device is not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnrolError {
    /// The invite is unknown or used up.
    BadInvite,
    /// Another account has the name.
    NameTaken,
    /// The name is none.
    BadName,
    /// The device is known, with another token or of another account.
    DeviceTaken,
    /// The account exists, this device is not one of its devices, and no code lets it in.
    AccountTaken,
}

/// Who a device belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
}

/// A new account with its entry in the lobby, or one that was there already.
pub type Enrolled = Result<(Account, Option<AppendedEntry>), EnrolError>;

/// The SHA-256 of a device's token; the token itself is never kept.
pub type TokenHash = [u8; 32];

/// A device that has access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its id.
    pub device: DeviceId,
    /// The name of its account.
    pub name: String,
    /// When it was let in, ms since 1970.
    pub since: u64,
}

/// Everything that a server keeps.
pub trait Storage: Send {
    /// A second handle on the same data, for another thread.
    ///
    /// # Errors
    /// [`DbError`].
    fn another(&self) -> Result<Box<dyn Storage>, DbError>;

    /// The server's id.
    fn server(&self) -> ServerId;

    /// Checks that the storage is still what was opened. Returns whether another process has
    /// written to it since the last time: an operator's command, for example.
    ///
    /// # Errors
    /// [`DbError`].
    fn look_after(&mut self) -> Result<bool, DbError> {
        Ok(false)
    }

    /// Writes something small and durable: whether the disk takes anything. `now`: ms since 1970.
    ///
    /// # Errors
    /// [`DbError`].
    fn probe(&mut self, now: u64) -> Result<(), DbError>;

    /// When the newest entry of all logs was appended, ms since 1970.
    ///
    /// # Errors
    /// [`DbError`].
    fn newest_at(&mut self) -> Result<Option<u64>, DbError>;

    /// Judges and appends a group in one transaction, each entry on its own. Returns once all of it
    /// is on disk.
    ///
    /// # Errors
    /// [`DbError`]: then none of it was appended.
    fn commit(&mut self, group: &[Append], now: u64) -> Result<Vec<Verdict>, DbError>;

    /// Makes an account and its first device, or finds that it was made by this device before.
    ///
    /// # Errors
    /// [`DbError`].
    fn enrol(
        &mut self,
        enrol: &Enrol,
        device: DeviceId,
        token: TokenHash,
        now: u64,
    ) -> Result<Enrolled, DbError>;

    /// The code of the current invite.
    ///
    /// # Errors
    /// [`DbError`].
    fn invite(&mut self) -> Result<Option<String>, DbError>;

    /// Makes this the current invite, good for `uses` accounts. Every older one ends.
    ///
    /// # Errors
    /// [`DbError`].
    fn renew_invite(&mut self, code: &str, uses: u64) -> Result<(), DbError>;

    /// All devices that have access, by the name of their account and by age.
    ///
    /// # Errors
    /// [`DbError`].
    fn devices(&mut self) -> Result<Vec<Device>, DbError>;

    /// Ends the access of a device, and the code that would let one more device into its account.
    /// Returns whether it had any.
    ///
    /// # Errors
    /// [`DbError`].
    fn revoke(&mut self, device: DeviceId) -> Result<bool, DbError>;

    /// Which of these devices have no access.
    ///
    /// # Errors
    /// [`DbError`].
    fn without_access(&mut self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, DbError>;

    /// Makes a code that lets one more device into an account, once, before `until` (ms since
    /// 1970). An account has one such code: the newest.
    ///
    /// # Errors
    /// [`DbError`].
    fn link_device(&mut self, account: AccountId, code: &str, until: u64) -> Result<(), DbError>;

    /// Makes a public room; the same id again is the same room. `None` when another room has the
    /// name.
    ///
    /// # Errors
    /// [`DbError`].
    fn create_room(
        &mut self,
        room: RoomId,
        name: &str,
        topic: &str,
    ) -> Result<Option<RoomInfo>, DbError>;

    /// Advances marks; a position that is not in the log is ignored. Returns the floors that moved.
    ///
    /// # Errors
    /// [`DbError`].
    fn mark(&mut self, updates: &[MarkUpdate]) -> Result<Vec<Floor>, DbError>;

    /// The account of a device, when the token is its token.
    ///
    /// # Errors
    /// [`DbError`].
    fn authenticate(
        &mut self,
        device: DeviceId,
        token: TokenHash,
    ) -> Result<Option<Account>, DbError>;

    /// The rooms of an account, as it sees them.
    ///
    /// # Errors
    /// [`DbError`].
    fn rooms_of(&mut self, account: AccountId) -> Result<Vec<Room>, DbError>;

    /// One room as an account sees it, member or not.
    ///
    /// # Errors
    /// [`DbError`].
    fn room_of(&mut self, account: AccountId, room: RoomId) -> Result<Option<Room>, DbError>;

    /// Where a room's log ends.
    ///
    /// # Errors
    /// [`DbError`].
    fn head(&mut self, room: RoomId) -> Result<Option<Position>, DbError>;

    /// The highest of some positions that is in the room's log.
    ///
    /// # Errors
    /// [`DbError`].
    fn locate(&mut self, room: RoomId, positions: &[Position])
    -> Result<Option<Position>, DbError>;

    /// Entries after a seq: at most `limit`, and of about `bytes` encoded bytes, but one at least.
    ///
    /// # Errors
    /// [`DbError`].
    fn page_after(
        &mut self,
        room: RoomId,
        after: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError>;

    /// The last entries before a seq, with the same limits.
    ///
    /// # Errors
    /// [`DbError`].
    fn page_before(
        &mut self,
        room: RoomId,
        before: Seq,
        limit: usize,
        bytes: usize,
    ) -> Result<Option<LogPage>, DbError>;

    /// A public room, by name or id.
    ///
    /// # Errors
    /// [`DbError`].
    fn find_room(
        &mut self,
        name: Option<&str>,
        room: Option<RoomId>,
    ) -> Result<Option<RoomInfo>, DbError>;

    /// Public rooms after a name.
    ///
    /// # Errors
    /// [`DbError`].
    fn list_rooms(&mut self, after: &str, limit: usize) -> Result<Vec<RoomInfo>, DbError>;

    /// Members of a room after a name; `here` is left to the hub.
    ///
    /// # Errors
    /// [`DbError`].
    fn list_members(
        &mut self,
        room: RoomId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Member>, DbError>;
}

/// The room that every account joins.
pub const LOBBY: &str = "lobby";

/// Encoded size of an entry, about: what a page is cut by.
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
