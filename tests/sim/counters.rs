//! P8: each displayed counter is correct, and each mark is true.

use std::collections::{BTreeMap, BTreeSet};

use landfall::client::session::Status;
use landfall::client::store::{OwnMark, Reader, RoomRow};
use landfall::protocol::{AccountId, DeviceId, Entry, EntryId, Kind, RoomId, Seq};

use crate::check::Promise;
use crate::device::Device;
use crate::record::Record;
use crate::views::{Findings, Logs};

/// Unread messages are counted up to this number.
const UNREAD_MAX: u64 = 1_000;

impl Findings {
    /// Compares the counters of the bar, the room list, `status` and `send` with the rows that they
    /// count.
    pub(crate) fn of_counters(&mut self, record: &Record, reader: &Reader) {
        self.check(Promise::StatusIsTrue);
        let outbox = reader.outbox(None, usize::MAX).expect("reads");
        let with = |mark: OwnMark| outbox.iter().filter(|row| row.mark == mark).count() as u64;
        let counts = reader.counts().expect("reads");
        let said = [
            counts.queued,
            counts.unacked,
            counts.failed,
            reader.waiting().expect("reads"),
        ];
        let is = [
            with(OwnMark::Queued),
            with(OwnMark::Sent),
            with(OwnMark::Rejected),
            outbox.len() as u64,
        ];
        if said != is {
            let what = format!(
                "{} counts {said:?} queued, sent, rejected, pending, and has {is:?}",
                record.name
            );
            self.breaks(Promise::StatusIsTrue, None, what);
        }
        let me = reader.mine().expect("reads").account;
        for row in reader.rooms().expect("reads") {
            let unread = unread(reader, &row, me);
            let rejected = outbox
                .iter()
                .any(|pending| pending.room == row.room && pending.rejection.is_some());
            if (row.unread, row.has_rejected) != (unread, rejected) {
                let (name, room) = (&record.name, &row.name);
                let what = format!(
                    "{name} shows {} unread in {room} (rejected: {}) and has {unread} ({rejected})",
                    row.unread, row.has_rejected
                );
                self.breaks(Promise::StatusIsTrue, None, what);
            }
        }
        for row in outbox.iter().take(20) {
            let fate = reader.fate(row.id).expect("reads").map(|(mark, _)| mark);
            if fate != Some(row.mark) {
                let what = format!(
                    "{} is shown as {:?} and as {fate:?} by a command",
                    row.id, row.mark
                );
                self.breaks(Promise::StatusIsTrue, Some(row.id), what);
            }
        }
    }

    /// At the end, unless something was restored: each entry of this device in a log was counted
    /// once.
    pub(crate) fn of_acked(
        &mut self,
        record: &Record,
        reader: &Reader,
        device: DeviceId,
        logs: &Logs,
    ) {
        self.check(Promise::StatusIsTrue);
        let stand = logs
            .values()
            .flatten()
            .filter(|entry| entry.device == device)
            .count() as u64;
        let counted = reader.counts().expect("reads").acked;
        if counted != stand {
            let what = format!(
                "{} counts {counted} acked, and {stand} of its entries stand in the log",
                record.name
            );
            self.breaks(Promise::StatusIsTrue, None, what);
        }
    }

    /// Compares the displayed number of missing entries with the store's gaps: at least those below
    /// the reported head, at most those below the server's head. The store need not save each
    /// reported head.
    pub(crate) fn of_missing(
        &mut self,
        name: &str,
        reader: &Reader,
        status: &Status,
        heads: &BTreeMap<RoomId, Seq>,
    ) {
        self.check(Promise::StatusIsTrue);
        for row in reader.rooms().expect("reads") {
            let Some(said) = status.rooms.get(&row.room).map(|room| room.missing) else {
                continue;
            };
            let gaps: u64 = reader
                .gaps(row.room)
                .expect("reads")
                .iter()
                .map(|(_, missing)| missing)
                .sum();
            let (least, most) = (
                row.head.since(row.top) + gaps,
                heads[&row.room].max(row.head).since(row.top) + gaps,
            );
            if said < least || said > most {
                let what = format!(
                    "{name} misses {said} of {}, and lacks {least} to {most}",
                    row.name
                );
                self.breaks(Promise::StatusIsTrue, None, what);
            }
        }
    }
}

/// Number of messages of others above the read position, plus missing entries.
fn unread(reader: &Reader, row: &RoomRow, me: Option<AccountId>) -> u64 {
    let lines = reader.after(row.room, row.read, usize::MAX).expect("reads");
    let of_others = lines
        .iter()
        .filter(|line| line.kind == Kind::Message && Some(line.author) != me)
        .count() as u64;
    let gaps = reader.gaps(row.room).expect("reads");
    let in_gaps: u64 = gaps
        .iter()
        .map(|(after, missing)| Seq(after.0 + missing).since(row.read.max(*after)))
        .sum();
    of_others.min(UNREAD_MAX) + in_gaps + row.head.since(row.top.max(row.read))
}

/// Up to where a device shows its own messages of a room as delivered, and as read.
fn marked(reader: &Reader, room: RoomId) -> [Option<(Seq, EntryId)>; 2] {
    let lines = reader.after(room, Seq::ZERO, usize::MAX).expect("reads");
    let highest = |marks: &[OwnMark]| {
        let is_marked = |mark: Option<OwnMark>| mark.is_some_and(|mark| marks.contains(&mark));
        lines
            .iter()
            .rev()
            .find(|line| is_marked(line.mark))
            .map(|line| (line.seq, line.id))
    };
    [
        highest(&[OwnMark::Delivered, OwnMark::Read]),
        highest(&[OwnMark::Read]),
    ]
}

/// A device with its displayed state.
pub(crate) struct Shown<'a> {
    pub(crate) device: &'a Device,
    pub(crate) reader: &'a Reader,
    pub(crate) rooms: Vec<RoomRow>,
    pub(crate) account: Option<AccountId>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(device: &'a Device, reader: &'a Reader) -> Self {
        let (rooms, account) = (
            reader.rooms().expect("reads"),
            reader.mine().expect("reads").account,
        );
        Self {
            device,
            reader,
            rooms,
            account,
        }
    }

    /// The room, when this device is in it.
    fn room(&self, room: RoomId) -> Option<&RoomRow> {
        self.rooms.iter().find(|row| row.room == room && row.member)
    }

    /// Whether the device has stored a range that others see as delivered. Entries below its first
    /// one do not count.
    fn holds(&self, room: RoomId, from: Seq, to: Seq) -> bool {
        let Some(row) = self.room(room) else {
            return false;
        };
        let from = from.max(row.bottom);
        from > to || self.reader.has_all(room, from, to.next()).expect("reads")
    }

    fn has_read(&self, room: RoomId, seq: Seq) -> bool {
        self.room(room).is_some_and(|row| row.read >= seq)
    }
}

/// Finds an entry that is shown as delivered without being stored by everybody, or as read without
/// being read, on one device each. Users with restored data are excluded.
pub(crate) fn marked_too_early(
    room: RoomId,
    log: &[Entry],
    shown: &[Shown<'_>],
) -> Option<(EntryId, String)> {
    let members: Vec<_> = shown
        .iter()
        .filter(|shown| shown.room(room).is_some())
        .collect();
    let marked: Vec<_> = members
        .iter()
        .map(|shown| marked(shown.reader, room))
        .collect();
    let accounts: BTreeSet<_> = members.iter().filter_map(|shown| shown.account).collect();
    for account in accounts {
        let comes_and_goes = |entry: &&Entry| {
            entry.author == account && matches!(entry.kind, Kind::Join | Kind::Leave)
        };
        let last = log
            .iter()
            .rev()
            .find(comes_and_goes)
            .filter(|entry| entry.kind == Kind::Join);
        let own: Vec<_> = members
            .iter()
            .filter(|shown| shown.account == Some(account))
            .collect();
        let is_one_history = own
            .iter()
            .all(|shown| shown.device.record.rewinds.is_empty());
        let Some(joined) = last.map(|entry| entry.seq).filter(|_| is_one_history) else {
            continue;
        };
        for (other, [delivered, read]) in members
            .iter()
            .zip(&marked)
            .filter(|(other, _)| other.account != Some(account))
        {
            let name = &other.device.record.name;
            let is_stored = |seq: Seq| own.iter().any(|own| own.holds(room, joined, seq));
            let is_read = |seq: Seq| seq <= joined || own.iter().any(|own| own.has_read(room, seq));
            if let Some((seq, id)) = delivered.filter(|(seq, _)| !is_stored(*seq)) {
                let what = format!(
                    "{name} shows {id} at {seq} as delivered, and {account} has not stored it"
                );
                return Some((id, what));
            }
            if let Some((seq, id)) = read.filter(|(seq, _)| !is_read(*seq)) {
                return Some((
                    id,
                    format!("{name} shows {id} at {seq} as read, and {account} has not read it"),
                ));
            }
        }
    }
    None
}
