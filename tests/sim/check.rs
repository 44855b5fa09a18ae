//! The promises, checked on what was typed, acked and stored, whatever the program says of itself.

use std::collections::{BTreeMap, BTreeSet};

use landfall::client::store::{Line, Reader};
use landfall::protocol::{EntryId, Kind, RejectCode, RoomId, Seq};
use landfall::server::storage::Storage;

use crate::world::World;

impl World {
    /// P3, at the moment of an ack: the entry stands in the log at that place.
    pub(crate) fn check_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) {
        let page = self.memory.page_after(room, Seq(seq.0 - 1), 1, usize::MAX).expect("reads");
        let stands =
            page.is_some_and(|page| page.entries.first().is_some_and(|entry| entry.id == id && entry.seq == seq));
        // A storage that was put back meanwhile has lost it: the ack was true when it was given.
        if !stands && self.restores.last().is_none_or(|at| *at + std::time::Duration::from_secs(1) < self.now) {
            self.violate(format!("P3: {id} was acked at {} and does not stand there", seq.0));
        }
    }

    /// Everything of a room's log on the server.
    pub(crate) fn log(&mut self, room: RoomId) -> Vec<landfall::protocol::Entry> {
        let page = self.memory.page_after(room, Seq::ZERO, usize::MAX, usize::MAX).expect("reads");
        page.map(|page| page.entries).unwrap_or_default()
    }

    /// Whether every device has sent what it had to send, and shows what the server has.
    pub(crate) fn has_converged(&mut self) -> Result<(), String> {
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let reader = Reader::open(&device.folder()).map_err(|error| error.to_string())?;
            let waiting = reader.outbox(None, usize::MAX).map_err(|error| error.to_string())?;
            if let Some(row) = waiting.iter().find(|row| row.refusal.is_none()) {
                return Err(format!("{}: {} {:?} {:?} still waits", device.name, row.id, row.kind, row.mark));
            }
            for row in reader.rooms().map_err(|error| error.to_string())? {
                let head = self.memory.head(row.room).expect("reads").map_or(Seq::ZERO, |head| head.seq);
                let gaps = reader.gaps(row.room).map_err(|error| error.to_string())?;
                let last = self.memory.page_before(row.room, Seq(u64::MAX), 1, usize::MAX).expect("reads");
                let last = last.and_then(|page| page.entries.last().map(|entry| entry.id));
                let shown = reader.before(row.room, Seq(i64::MAX as u64), 1).map_err(|error| error.to_string())?;
                let is_same = shown.last().map(|line| line.id) == last;
                if row.member && (row.top != head || !gaps.is_empty() || !is_same) {
                    let name = &self.devices[at].name;
                    return Err(format!(
                        "{name}: {} is held up to {} of {}, gaps {gaps:?}",
                        row.name, row.top.0, head.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// P1, P2, P4, P5, P7: at the end, when everybody shows the same.
    pub(crate) fn check_end(&mut self) {
        let logs: BTreeMap<RoomId, _> = self.rooms.clone().into_iter().map(|room| (room, self.log(room))).collect();
        for (room, log) in &logs {
            let ids: BTreeSet<_> = log.iter().map(|entry| (entry.author, entry.id)).collect();
            if ids.len() != log.len() {
                self.violate(format!("P2: {room:?} has {} entries and {} ids", log.len(), ids.len()));
            }
        }
        for at in 0..self.devices.len() {
            self.check_view(at, &logs);
            self.check_typed(at, &logs);
        }
    }

    /// What a device shows is the server's log, from the first line that it holds.
    fn check_view(&mut self, at: usize, logs: &BTreeMap<RoomId, Vec<landfall::protocol::Entry>>) {
        let reader = Reader::open(&self.devices[at].folder()).expect("opens");
        for row in reader.rooms().expect("reads").iter().filter(|row| row.member) {
            let shown = reader.after(row.room, Seq::ZERO, usize::MAX).expect("reads");
            let log = logs.get(&row.room).cloned().unwrap_or_default();
            let expected: Vec<_> = log.iter().filter(|entry| entry.seq >= row.bottom).collect();
            let same = |line: &Line, entry: &landfall::protocol::Entry| {
                line.seq == entry.seq && line.id == entry.id && (line.body == entry.body || line.redacted)
            };
            if shown.len() != expected.len() || !shown.iter().zip(&expected).all(|(line, entry)| same(line, entry)) {
                let name = &self.devices[at].name;
                let differs = shown.iter().zip(&expected).find(|(line, entry)| !same(line, entry));
                let text = format!(
                    "P4, P5: {name} shows {} lines of {}'s {}: {differs:?}",
                    shown.len(),
                    row.name,
                    expected.len()
                );
                self.violate(text);
            }
        }
    }

    fn check_typed(&mut self, at: usize, logs: &BTreeMap<RoomId, Vec<landfall::protocol::Entry>>) {
        let reader = Reader::open(&self.devices[at].folder()).expect("opens");
        let outbox = reader.outbox(None, usize::MAX).expect("reads");
        let refused: BTreeMap<EntryId, RejectCode> =
            outbox.iter().filter_map(|row| Some((row.id, row.refusal.as_ref()?.0))).collect();
        let mut last_seq: BTreeMap<RoomId, (Seq, EntryId)> = BTreeMap::new();
        for typed in self.devices[at].typed.clone() {
            let log = &logs[&typed.room];
            let stands: Vec<_> = log.iter().filter(|entry| entry.id == typed.id).collect();
            let what = format!(
                "{:?} ({}, typed at {:.3} s)",
                typed.body.split(' ').take(2).collect::<Vec<_>>(),
                typed.id,
                typed.at.as_secs_f64()
            );
            match (stands.first(), refused.get(&typed.id)) {
                // What is known as taken back goes back to a server that lost it without its text.
                (Some(entry), _)
                    if entry.body != typed.body && !(entry.body.is_empty() && typed.discarded.is_some()) =>
                {
                    self.violate(format!("P2: {what} has another text"))
                }
                (Some(_), Some(code)) => self.violate(format!("P7: {what} stands in the log and is refused: {code:?}")),
                (_, Some(RejectCode::IdConflict)) => self.violate(format!("{what} is called another's id")),
                (None, None)
                    if typed.promised && typed.discarded.is_none() && !self.devices[at].is_rewound(typed.at) =>
                {
                    self.violate(format!("P1: {what} is nowhere"));
                }
                _ => {}
            }
            let taken_back = || {
                let by = |entry: &&landfall::protocol::Entry| {
                    entry.kind == Kind::Redaction && entry.target.is_some_and(|target| target.id == typed.id)
                };
                log.iter().find(by).is_some()
            };
            let is_discarded = typed.discarded.is_some_and(|then| !self.devices[at].is_rewound(then));
            let is_refused = outbox.iter().any(|row| row.kind == Kind::Redaction && row.refusal.is_some());
            if is_discarded && !stands.is_empty() && !taken_back() && !is_refused {
                self.violate(format!("{what} was taken back and stands in the log"));
            }
            // What was taken back, and is there again since the store was put back, goes behind what was sent meanwhile.
            let is_back = typed.discarded.is_some_and(|then| self.devices[at].is_rewound(then));
            if let Some(entry) = stands.first().filter(|_| !typed.retried && !is_back) {
                let last = last_seq.entry(typed.room).or_insert((entry.seq, entry.id));
                if entry.seq < last.0 {
                    let (seq, earlier) = (last.0.0, last.1);
                    self.violate(format!(
                        "P4: {what} stands at {}, and {earlier}, typed earlier, at {seq}",
                        entry.seq.0
                    ));
                }
                *last = (entry.seq, entry.id);
            }
        }
    }

    /// P6: nothing that is promised is off the screen, or on it twice.
    pub(crate) fn check_screen(&mut self, at: usize) {
        let Ok(reader) = Reader::open(&self.devices[at].folder()) else { return };
        let own: BTreeSet<EntryId> = reader.outbox(None, usize::MAX).expect("reads").iter().map(|row| row.id).collect();
        let mut shown: BTreeSet<EntryId> = BTreeSet::new();
        for room in self.rooms.clone() {
            shown.extend(reader.after(room, Seq::ZERO, usize::MAX).expect("reads").iter().map(|line| line.id));
        }
        if let Some(twice) = own.intersection(&shown).next() {
            self.violate(format!("P6: {twice} is on {}'s screen twice", self.devices[at].name));
        }
        let is_missing = |typed: &&crate::device::Typed| {
            typed.promised && typed.discarded.is_none() && !own.contains(&typed.id) && !shown.contains(&typed.id)
        };
        let missing = self.devices[at].typed.iter().find(is_missing).cloned();
        if let Some(typed) = missing.filter(|typed| !self.devices[at].is_rewound(typed.at)) {
            self.violate(format!("P6: {} ({:?}) is off {}'s screen", typed.id, typed.body, self.devices[at].name));
        }
    }
}
