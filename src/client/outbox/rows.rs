//! PURE. The pending entries of the core, indexed by id, room and stage.
//!
//! Each operation costs O(log n) in the number of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::client::link::Now;
use crate::client::persist::OutboxRow;
use crate::protocol::{EntryId, RoomId, Seq};

/// The stage of a pending entry on this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RowStage {
    Idle,
    /// Its text is being frozen in the store; it is sent when that is done.
    Freezing,
    /// Sent, and not answered.
    InFlight(Flight),
    /// Acknowledged; its entry has not arrived yet.
    Acknowledged,
}

/// A message that was sent and not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flight {
    /// When it was sent.
    pub(crate) sent_at: Now,
    /// Bytes sent on the connection up to the end of the entry; an answer proves their arrival.
    pub(crate) sent_up_to: u64,
    /// It was sent twice on this connection.
    pub(crate) is_resent: bool,
}

/// One pending entry, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PendingRow {
    pub(super) order: i64,
    pub(super) id: EntryId,
    pub(super) room: RoomId,
    /// Bytes of its text.
    pub(super) bytes: usize,
    pub(super) acked: Option<Seq>,
    pub(super) stage: RowStage,
    /// How often it was sent. All that earlier processes did counts as once.
    pub(super) sends: u32,
}

impl PendingRow {
    pub(super) fn new(row: OutboxRow) -> Self {
        Self {
            order: row.order,
            id: row.id,
            room: row.room,
            bytes: row.bytes,
            acked: row.acked,
            stage: RowStage::Idle,
            sends: u32::from(row.frozen),
        }
    }

    pub(super) const fn flight(&self) -> Option<Flight> {
        match self.stage {
            RowStage::InFlight(flight) => Some(flight),
            RowStage::Idle | RowStage::Freezing | RowStage::Acknowledged => None,
        }
    }

    pub(super) const fn is_in_window(&self) -> bool {
        matches!(self.stage, RowStage::Freezing | RowStage::InFlight(_))
    }
}

/// Messages that are being frozen or in flight.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Amount {
    pub(super) entries: usize,
    /// Bytes of their texts.
    pub(super) bytes: usize,
}

impl Amount {
    /// With one more message.
    pub(super) const fn add(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes;
    }

    const fn remove(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes -= bytes;
    }
}

/// A row's place: its room, and its position in the order in which messages were composed.
type Place = (RoomId, i64);

/// All rows. It owns them and their index.
///
/// Invariants: a place and an id have one row each, and every set has exactly the rows of its
/// stage, which [`Rows::change`] keeps.
#[derive(Clone, Default, Debug)]
pub(super) struct Rows {
    rows: BTreeMap<Place, PendingRow>,
    places: BTreeMap<EntryId, Place>,
    idle: BTreeSet<Place>,
    acknowledged: BTreeSet<Place>,
    in_flight: BTreeSet<FlightKey>,
    acked: BTreeSet<AckKey>,
    used: Amount,
    used_by_room: BTreeMap<RoomId, Amount>,
}

/// A row in flight: the one that was sent first is the lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct FlightKey {
    sent_at: Now,
    sent_up_to: u64,
    place: Place,
}

impl FlightKey {
    const fn of(flight: Flight, place: Place) -> Self {
        Self {
            sent_at: flight.sent_at,
            sent_up_to: flight.sent_up_to,
            place,
        }
    }
}

/// An acknowledged row, by room and seq.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct AckKey {
    room: RoomId,
    seq: Seq,
    order: i64,
}

impl AckKey {
    const fn of(row: &PendingRow, seq: Seq) -> Self {
        Self {
            room: row.room,
            seq,
            order: row.order,
        }
    }

    /// The lowest key of a seq.
    const fn first(room: RoomId, seq: Seq) -> Self {
        Self {
            room,
            seq,
            order: i64::MIN,
        }
    }
}

impl Rows {
    /// Number of rows over all rooms.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every row, by room, each room's in composed order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingRow> {
        self.rows.values()
    }

    /// Returns the row of an entry id in a room.
    pub(super) fn get(&self, room: RoomId, id: EntryId) -> Option<&PendingRow> {
        let place = self.places.get(&id).filter(|(at, _)| *at == room)?;
        self.rows.get(place)
    }

    pub(super) fn room_of(&self, id: EntryId) -> Option<RoomId> {
        self.places.get(&id).map(|(room, _)| *room)
    }

    /// The row before another one in its room.
    pub(super) fn before(&self, row: &PendingRow) -> Option<&PendingRow> {
        self.rows
            .range((row.room, i64::MIN)..(row.room, row.order))
            .next_back()
            .map(|(_, row)| row)
    }

    pub(super) fn has_room(&self, room: RoomId) -> bool {
        of_room(&self.rows, room).next().is_some()
    }

    /// Adds a row in any stage.
    pub(super) fn insert(&mut self, row: PendingRow) {
        debug_assert!(!self.places.contains_key(&row.id), "one row for each id");
        let place = (row.room, row.order);
        self.places.insert(row.id, place);
        self.index(&row);
        let replaced = self.rows.insert(place, row);
        debug_assert!(replaced.is_none(), "one row for each place");
    }

    pub(super) fn remove(&mut self, room: RoomId, id: EntryId) -> Option<PendingRow> {
        self.get(room, id)?;
        let row = self.rows.remove(&self.places.remove(&id)?)?;
        self.unindex(&row);
        Some(row)
    }

    /// Removes all rows and returns them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = PendingRow> + use<> {
        std::mem::take(self).rows.into_values()
    }

    pub(super) fn set_stage(&mut self, room: RoomId, id: EntryId, stage: RowStage) {
        self.change(room, id, |row| row.stage = stage);
    }

    /// Changes a row and its indexes. Its order and id stay the same.
    pub(super) fn change(
        &mut self,
        room: RoomId,
        id: EntryId,
        change: impl FnOnce(&mut PendingRow),
    ) {
        let Some(mut row) = self.remove(room, id) else {
            return;
        };
        change(&mut row);
        self.insert(row);
    }

    fn index(&mut self, row: &PendingRow) {
        let place = (row.room, row.order);
        match row.stage {
            RowStage::Idle => drop(self.idle.insert(place)),
            RowStage::Acknowledged => drop(self.acknowledged.insert(place)),
            RowStage::InFlight(flight) => {
                self.in_flight.insert(FlightKey::of(flight, place));
            }
            RowStage::Freezing => {}
        }
        if row.is_in_window() {
            self.used.add(row.bytes);
            self.used_by_room
                .entry(row.room)
                .or_default()
                .add(row.bytes);
        }
        if let Some(seq) = row.acked {
            self.acked.insert(AckKey::of(row, seq));
        }
    }

    fn unindex(&mut self, row: &PendingRow) {
        let place = (row.room, row.order);
        match row.stage {
            RowStage::Idle => drop(self.idle.remove(&place)),
            RowStage::Acknowledged => drop(self.acknowledged.remove(&place)),
            RowStage::InFlight(flight) => {
                let was_in = self.in_flight.remove(&FlightKey::of(flight, place));
                debug_assert!(was_in, "the set has the rows of its stage");
            }
            RowStage::Freezing => {}
        }
        debug_assert!(self.used.entries >= usize::from(row.is_in_window()));
        if row.is_in_window() {
            self.used.remove(row.bytes);
            if let Some(used) = self.used_by_room.get_mut(&row.room) {
                used.remove(row.bytes);
            }
        }
        if let Some(seq) = row.acked {
            self.acked.remove(&AckKey::of(row, seq));
        }
    }

    /// Messages in the window.
    pub(super) const fn used(&self) -> Amount {
        self.used
    }

    /// Messages of one room in the window.
    pub(super) fn used_by(&self, room: RoomId) -> Amount {
        self.used_by_room.get(&room).copied().unwrap_or_default()
    }

    /// The first room after another one that has idle rows.
    pub(super) fn next_idle_room(&self, after: Option<RoomId>) -> Option<RoomId> {
        let from = after.map_or(Bound::Unbounded, |room| Bound::Excluded((room, i64::MAX)));
        self.idle
            .range((from, Bound::Unbounded))
            .next()
            .map(|(room, _)| *room)
    }

    /// The first idle row of a room.
    pub(super) fn first_idle(&self, room: RoomId) -> Option<&PendingRow> {
        let place = self.idle.range(all_of(room)).next()?;
        self.rows.get(place)
    }

    /// The acknowledged rows of a room whose entries have not arrived.
    pub(super) fn acknowledged(&self, room: RoomId) -> Vec<EntryId> {
        let places = self.acknowledged.range(all_of(room));
        places.map(|place| self.rows[place].id).collect()
    }

    /// The rows in flight, the one that was sent first first.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (&PendingRow, Flight)> {
        self.in_flight.iter().filter_map(|key| {
            let row = &self.rows[&key.place];
            Some((row, row.flight()?))
        })
    }

    /// The rows in the window or acknowledged: all that are not idle.
    pub(super) fn busy(&self) -> Vec<(RoomId, EntryId)> {
        self.rows
            .values()
            .filter(|row| row.stage != RowStage::Idle)
            .map(|row| (row.room, row.id))
            .collect()
    }

    /// The lowest acknowledged seq of a room.
    pub(super) fn lowest_acked(&self, room: RoomId) -> Option<Seq> {
        let mut acked = self.acked.range(AckKey::first(room, Seq::ZERO)..);
        acked
            .next()
            .filter(|key| key.room == room)
            .map(|key| key.seq)
    }

    /// The rows of a room that are acknowledged at seqs above `after`, up to and including `to`.
    pub(super) fn acked_in(&self, room: RoomId, after: Seq, to: Seq) -> Vec<EntryId> {
        if after >= to {
            return Vec::new();
        }
        let range = AckKey::first(room, after.next())..AckKey::first(room, to.next());
        let acked = self.acked.range(range);
        acked
            .map(|key| self.rows[&(key.room, key.order)].id)
            .collect()
    }
}

const fn all_of(room: RoomId) -> std::ops::RangeInclusive<Place> {
    (room, i64::MIN)..=(room, i64::MAX)
}

fn of_room(rows: &BTreeMap<Place, PendingRow>, room: RoomId) -> impl Iterator<Item = &PendingRow> {
    rows.range(all_of(room)).map(|(_, row)| row)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn room(n: u8) -> RoomId {
        RoomId::from_random([n; 16])
    }

    fn row(order: i64) -> PendingRow {
        PendingRow::new(OutboxRow {
            order,
            id: EntryId::from_parts(order as u64, [0; 10]),
            room: room(order as u8 % 3),
            bytes: order as usize,
            acked: None,
            frozen: false,
        })
    }

    /// What the index returns, computed from all rows instead.
    fn check(rows: &Rows) {
        let all: Vec<_> = rows.iter().cloned().collect();
        let in_window = || all.iter().filter(|row| row.is_in_window());
        assert_eq!(rows.used().entries, in_window().count());
        assert_eq!(
            rows.used().bytes,
            in_window().map(|row| row.bytes).sum::<usize>()
        );
        let oldest = all
            .iter()
            .filter_map(|row| row.flight().map(|flight| (flight.sent_at, row.id)))
            .min();
        let found = rows.in_flight().next();
        assert_eq!(found.map(|(row, flight)| (flight.sent_at, row.id)), oldest);
        for n in 0..3 {
            let of_room = || all.iter().filter(|row| row.room == room(n));
            let idle = of_room().find(|row| row.stage == RowStage::Idle);
            assert_eq!(rows.first_idle(room(n)), idle);
            let acked: Vec<_> = of_room().filter_map(|row| row.acked).collect();
            assert_eq!(rows.lowest_acked(room(n)), acked.iter().min().copied());
            let (after, to) = (Seq(2), Seq(5));
            let within = acked.iter().filter(|seq| after < **seq && **seq <= to);
            assert_eq!(rows.acked_in(room(n), after, to).len(), within.count());
            let answered = of_room().filter(|row| row.stage == RowStage::Acknowledged);
            assert_eq!(rows.acknowledged(room(n)).len(), answered.count());
            assert_eq!(rows.has_room(room(n)), of_room().next().is_some());
            let used = of_room().filter(|row| row.is_in_window()).count();
            assert_eq!(rows.used_by(room(n)).entries, used);
            for pair in of_room().collect::<Vec<_>>().windows(2) {
                assert_eq!(rows.before(pair[1]), Some(pair[0]));
            }
        }
        let with_idle: BTreeSet<_> = all
            .iter()
            .filter(|row| row.stage == RowStage::Idle)
            .map(|row| row.room)
            .collect();
        let mut visited = Vec::new();
        while let Some(next) = rows.next_idle_room(visited.last().copied()) {
            visited.push(next);
        }
        assert!(visited.iter().eq(&with_idle));
    }

    proptest! {
        #[test]
        fn rows_index_equals_a_search_of_all_rows(
            steps in proptest::collection::vec((0..20_i64, 0..7_u8, 0..9_u64), 0..60)
        ) {
            let mut rows = Rows::default();
            for (order, what, n) in steps {
                let new = row(order);
                let (room, id) = (new.room, new.id);
                let flight = Flight {
                    sent_at: Duration::from_secs(100 - order as u64),
                    sent_up_to: n,
                    is_resent: n % 2 == 0,
                };
                match what {
                    0 if rows.get(room, id).is_none() => rows.insert(new),
                    1 => drop(rows.remove(room, id)),
                    2 => rows.set_stage(room, id, RowStage::InFlight(flight)),
                    3 => rows.set_stage(room, id, RowStage::Acknowledged),
                    4 => rows.set_stage(room, id, RowStage::Freezing),
                    5 => rows.change(room, id, |row| row.acked = (n > 0).then_some(Seq(n))),
                    _ => rows.set_stage(room, id, RowStage::Idle),
                }
                check(&rows);
            }
        }
    }
}
