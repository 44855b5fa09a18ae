//! The promises, decided from what was typed, sent, acked, shown and stored, whatever the program says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use landfall::client::link::LinkState;
use landfall::client::store::{Line, OwnMark, Pending, Reader};
use landfall::protocol::{Entry, EntryId, Kind, RejectCode, RoomId, Seq};
use landfall::sqlite::DbError;

use crate::device::Typed;
use crate::net::{Time, Weather};
use crate::watch::Broken;
use crate::world::World;

/// The promises of the README, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Promise {
    DurableOnEnter,
    Once,
    AckMeansDurable,
    OneOrder,
    NoSilentGap,
    NothingDisappears,
    NothingDropped,
    StatusIsTrue,
    MarksAdvance,
    Converges,
    Bounded,
}

impl Promise {
    pub(crate) const ALL: [(Self, &str); 11] = [
        (Self::DurableOnEnter, "P1 durable on Enter"),
        (Self::Once, "P2 once"),
        (Self::AckMeansDurable, "P3 ack means durable"),
        (Self::OneOrder, "P4 one order"),
        (Self::NoSilentGap, "P5 no silent gap"),
        (Self::NothingDisappears, "P6 nothing disappears"),
        (Self::NothingDropped, "P7 nothing is dropped quietly"),
        (Self::StatusIsTrue, "P8 the status is true"),
        (Self::MarksAdvance, "P9 marks only advance"),
        (Self::Converges, "P10 convergence"),
        (Self::Bounded, "P11 bounded"),
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(promise, _)| promise == self);
        f.pad(found.map_or("", |(_, name)| name))
    }
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) at: Time,
    /// The entry that it concerns.
    pub(crate) about: Option<EntryId>,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {:.3} s)", self.promise, self.what, self.at.as_secs_f64())
    }
}

/// How long a link may stand without an answer: an interval, and a deadline that was doubled and stretched as far as it goes.
const ANSWER_MAX: Duration = Duration::from_secs(30 + 3 * 120 + 60);
/// Once the weather has been fair for so long, nothing of it is left on the wires.
const FAIR_FOR: Duration = Duration::from_secs(60);

impl World {
    pub(crate) fn violate(&mut self, promise: Promise, about: Option<EntryId>, what: String) {
        self.note(|| format!("VIOLATION of {promise}: {what}"));
        self.violations.push(Violation { promise, at: self.now, about, what });
    }

    pub(crate) fn violate_store(&mut self, device: usize, error: &DbError) {
        self.violate(Promise::DurableOnEnter, None, format!("the store of {device} failed: {error}"));
    }

    /// Counts a check, and tells what it found.
    pub(crate) fn judge(&mut self, broken: Option<Broken>) {
        if let Some((promise, about, what)) = broken {
            self.violate(promise, about, what);
        }
    }

    /// P3, at the moment of an ack: the entry stands in the log at that place.
    pub(crate) fn check_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) {
        self.checked(Promise::AckMeansDurable);
        let page = self.storage.page_after(room, Seq(seq.0.saturating_sub(1)), 1, usize::MAX).expect("reads");
        let stands =
            page.is_some_and(|page| page.entries.first().is_some_and(|entry| (entry.id, entry.seq) == (id, seq)));
        // A storage that was put back meanwhile has lost it: the ack was true when it was given.
        if !stands && self.restores.last().is_none_or(|at| *at + Duration::from_secs(1) < self.now) {
            let what = format!("{id} was acked at {} and does not stand there", seq.0);
            self.violate(Promise::AckMeansDurable, Some(id), what);
        }
    }

    /// Everything of a room's log on the server.
    pub(crate) fn log(&mut self, room: RoomId) -> Vec<Entry> {
        let page = self.storage.page_after(room, Seq::ZERO, usize::MAX >> 1, usize::MAX).expect("reads");
        page.map(|page| page.entries).unwrap_or_default()
    }

    /// Whether every device has sent what it had to send, and shows what the server has.
    pub(crate) fn has_converged(&mut self) -> Result<(), (Option<EntryId>, String)> {
        let error = |error: DbError| (None, error.to_string());
        for at in 0..self.devices.len() {
            let name = self.devices[at].name.clone();
            let reader = Reader::open(&self.devices[at].folder()).map_err(error)?;
            let waiting = reader.outbox(None, usize::MAX).map_err(error)?;
            if let Some(row) = waiting.iter().find(|row| row.refusal.is_none()) {
                return Err((
                    Some(row.id),
                    format!("{name}'s {} ({:?}, {:?}) still waits", row.id, row.kind, row.mark),
                ));
            }
            for row in reader.rooms().map_err(error)?.into_iter().filter(|row| row.member) {
                let head = self.storage.head(row.room).expect("reads").map_or(Seq::ZERO, |head| head.seq);
                let gaps = reader.gaps(row.room).map_err(error)?;
                let last = self.storage.page_before(row.room, Seq(i64::MAX as u64), 1, usize::MAX).expect("reads");
                let last = last.and_then(|page| page.entries.last().map(|entry| entry.id));
                let shown = reader.before(row.room, Seq(i64::MAX as u64), 1).map_err(error)?;
                let is_same = shown.last().map(|line| line.id) == last;
                if row.top != head || !gaps.is_empty() || !is_same {
                    let (top, head) = (row.top.0, head.0);
                    return Err((None, format!("{name} holds {} up to {top} of {head}, gaps {gaps:?}", row.name)));
                }
            }
        }
        Ok(())
    }

    /// What is looked at all the time: screens, marks, states, wires.
    pub(crate) fn check_now(&mut self) {
        for at in 0..self.devices.len() {
            if self.devices[at].epoch > 0 {
                self.check_screen(at);
                self.check_status(at);
            }
        }
        self.check_wires();
        self.check_bounds();
    }

    /// P11: what waits on a server is bounded by its connections, whatever its disk does.
    fn check_bounds(&mut self) {
        self.checked(Promise::Bounded);
        let Some((waiting, most)) = self.server.as_ref().map(crate::server::Server::waiting) else { return };
        if waiting > most {
            self.violate(Promise::Bounded, None, format!("{waiting} entries wait on a server that lets {most} wait"));
        }
    }

    /// P1, P2, P4, P5, P7: at the end, when everybody shows the same.
    pub(crate) fn check_end(&mut self) {
        let logs: BTreeMap<RoomId, _> = self.rooms.clone().into_iter().map(|room| (room, self.log(room))).collect();
        for log in logs.values() {
            self.check_log(log);
        }
        for at in 0..self.devices.len() {
            self.check_view(at, &logs);
            self.check_typed(at, &logs);
        }
    }

    fn check_log(&mut self, log: &[Entry]) {
        self.checked(Promise::Once);
        let mut seen = BTreeSet::new();
        if let Some(twice) = log.iter().find(|entry| !seen.insert((entry.author, entry.id))) {
            self.violate(Promise::Once, Some(twice.id), format!("{} stands in the log twice", twice.id));
        }
        if let Some(pair) = log.windows(2).find(|pair| pair[1].at < pair[0].at) {
            let what = format!("`at` falls from {} to {} in the log", pair[0].at, pair[1].at);
            self.violate(Promise::OneOrder, Some(pair[1].id), what);
        }
    }

    /// What a device shows is the server's log, from the first line that it holds.
    fn check_view(&mut self, at: usize, logs: &BTreeMap<RoomId, Vec<Entry>>) {
        let reader = Reader::open(&self.devices[at].folder()).expect("opens");
        for row in reader.rooms().expect("reads").iter().filter(|row| row.member) {
            self.checked(Promise::OneOrder);
            self.checked(Promise::NoSilentGap);
            let shown = reader.after(row.room, Seq::ZERO, usize::MAX).expect("reads");
            let log = logs.get(&row.room).map(Vec::as_slice).unwrap_or_default();
            let expected: Vec<_> = log.iter().filter(|entry| entry.seq >= row.bottom).collect();
            let same = |line: &Line, entry: &Entry| {
                (line.seq, line.id, line.body.as_str()) == (entry.seq, entry.id, shown_body(entry, log))
            };
            let differs = shown.iter().zip(&expected).find(|(line, entry)| !same(line, entry));
            if shown.len() != expected.len() || differs.is_some() {
                let (name, room, count) = (&self.devices[at].name, &row.name, expected.len());
                let what = format!("{name} shows {} lines of {room}'s {count}: {differs:?}", shown.len());
                let promise = if differs.is_some() { Promise::OneOrder } else { Promise::NoSilentGap };
                self.violate(promise, differs.map(|(line, _)| line.id), what);
            }
        }
    }

    fn check_typed(&mut self, at: usize, logs: &BTreeMap<RoomId, Vec<Entry>>) {
        let reader = Reader::open(&self.devices[at].folder()).expect("opens");
        let outbox = reader.outbox(None, usize::MAX).expect("reads");
        let mut last: BTreeMap<RoomId, (Seq, EntryId)> = BTreeMap::new();
        let mut typed = self.devices[at].typed.clone();
        typed.sort_by_key(|typed| typed.place);
        for typed in typed {
            let stands = logs[&typed.room].iter().find(|entry| entry.id == typed.id);
            self.check_one(at, &typed, stands, &outbox);
            self.check_taken_back(at, &typed, stands, &logs[&typed.room], &outbox);
            // What was taken back, and is there again since the store was put back, goes behind what was sent meanwhile.
            let is_back = typed.discarded.is_some_and(|then| self.devices[at].is_rewound(then));
            let Some(entry) = stands.filter(|_| !typed.retried && !is_back) else { continue };
            let before = last.insert(typed.room, (entry.seq, entry.id));
            if let Some((seq, earlier)) = before.filter(|(seq, _)| *seq > entry.seq) {
                let what = format!("{typed} stands at {}, and {earlier}, typed earlier, at {seq}", entry.seq);
                self.violate(Promise::OneOrder, Some(typed.id), what);
            }
        }
    }

    /// What was typed stands in the log, or is refused with its reason, or was taken back.
    fn check_one(&mut self, at: usize, typed: &Typed, stands: Option<&Entry>, outbox: &[Pending]) {
        self.checked(Promise::DurableOnEnter);
        self.checked(Promise::NothingDropped);
        let refused = outbox.iter().find(|row| row.id == typed.id).and_then(|row| row.refusal.as_ref());
        let is_lost = typed.promised && typed.discarded.is_none() && !self.devices[at].is_rewound(typed.at);
        let (promise, what) = match (stands, refused.map(|(code, _)| *code)) {
            // What is known as taken back goes back to a server that lost it without its text.
            (Some(entry), _) if entry.body != typed.body && !entry.body.is_empty() => {
                (Promise::Once, format!("{typed} has another text"))
            }
            (Some(_), Some(code)) => {
                (Promise::NothingDropped, format!("{typed} stands in the log and is refused: {code:?}"))
            }
            (Some(_), None) if typed.refused && !typed.retried => (
                Promise::NothingDropped,
                format!("{typed} was refused, and stands in the log though nobody tried again"),
            ),
            (None, Some(RejectCode::IdConflict)) => (Promise::Once, format!("{typed} is called another's id")),
            (None, Some(code)) if !code.is_final() => {
                (Promise::NothingDropped, format!("{typed} was given up over what passes: {code:?}"))
            }
            (None, None) if is_lost => (Promise::DurableOnEnter, format!("{typed} is nowhere")),
            _ => return,
        };
        self.violate(promise, Some(typed.id), what);
    }

    fn check_taken_back(
        &mut self,
        at: usize,
        typed: &Typed,
        stands: Option<&Entry>,
        log: &[Entry],
        outbox: &[Pending],
    ) {
        let is_discarded = typed.discarded.is_some_and(|then| !self.devices[at].is_rewound(then));
        let has_redaction =
            |entry: &Entry| entry.kind == Kind::Redaction && entry.target.is_some_and(|t| t.id == typed.id);
        let is_refused = outbox.iter().any(|row| row.kind == Kind::Redaction && row.refusal.is_some());
        if is_discarded && stands.is_some() && !log.iter().any(has_redaction) && !is_refused {
            let what = format!("{typed} was taken back and stands in the log");
            self.violate(Promise::NothingDropped, Some(typed.id), what);
        }
    }

    /// P6 and P9: nothing that is promised is off the screen, or on it twice; no mark goes back.
    fn check_screen(&mut self, at: usize) {
        self.checked(Promise::NothingDisappears);
        let Ok(reader) = Reader::open(&self.devices[at].folder()) else { return };
        let own: BTreeMap<EntryId, OwnMark> =
            reader.outbox(None, usize::MAX).expect("reads").iter().map(|row| (row.id, row.mark)).collect();
        let mut shown: BTreeMap<EntryId, Option<OwnMark>> = BTreeMap::new();
        for room in self.rooms.clone() {
            shown.extend(
                reader.after(room, Seq::ZERO, usize::MAX).expect("reads").iter().map(|line| (line.id, line.mark)),
            );
        }
        if let Some(twice) = own.keys().find(|id| shown.contains_key(id)) {
            let what = format!("{twice} is on {}'s screen twice", self.devices[at].name);
            self.violate(Promise::NothingDisappears, Some(*twice), what);
        }
        let is_missing = |typed: &&Typed| {
            typed.promised
                && typed.discarded.is_none()
                && !own.contains_key(&typed.id)
                && !shown.contains_key(&typed.id)
        };
        let missing = self.devices[at].typed.iter().find(is_missing).cloned();
        if let Some(typed) = missing.filter(|typed| !self.devices[at].is_rewound(typed.at)) {
            let what = format!("{typed} is off {}'s screen", self.devices[at].name);
            self.violate(Promise::NothingDisappears, Some(typed.id), what);
        }
        let marks = shown.into_iter().filter_map(|(id, mark)| Some((id, mark?))).collect();
        let read = reader.rooms().expect("reads").into_iter().map(|row| (row.room, row.read)).collect();
        self.check_marks(at, marks, read);
    }

    /// A device gives up what it holds above a seq, and its marks with it: only where somebody's data was put back from a copy.
    pub(crate) fn on_cut(&mut self, at: usize) {
        (self.devices[at].marks, self.devices[at].read) = Default::default();
        if self.restores.is_empty() && self.devices.iter().all(|device| device.rewinds.is_empty()) {
            let what = format!("{} cut its log, though there is only one history", self.devices[at].name);
            self.violate(Promise::OneOrder, None, what);
        }
    }

    fn check_marks(&mut self, at: usize, marks: BTreeMap<EntryId, OwnMark>, read: BTreeMap<RoomId, Seq>) {
        self.checked(Promise::MarksAdvance);
        let device = &mut self.devices[at];
        let before = (std::mem::replace(&mut device.marks, marks), std::mem::replace(&mut device.read, read));
        let (marks, read) = (&self.devices[at].marks, &self.devices[at].read);
        let back = before.0.iter().find(|(id, was)| marks.get(id).is_some_and(|is| height(*is) < height(**was)));
        let unread = before.1.iter().find(|(room, was)| read.get(room).is_some_and(|is| is < *was));
        let name = &self.devices[at].name;
        let broken = match (back, unread) {
            (Some((id, was)), _) => {
                Some((Some(*id), format!("{name}'s mark on {id} fell from {was:?} to {:?}", marks[id])))
            }
            (None, Some((room, was))) => {
                Some((None, format!("{name} had read up to {was}, and now up to {}", read[room])))
            }
            (None, None) => None,
        };
        if let Some((about, what)) = broken {
            self.violate(Promise::MarksAdvance, about, what);
        }
    }

    /// P8: who says that there is a link has had an answer not too long ago.
    fn check_status(&mut self, at: usize) {
        self.checked(Promise::StatusIsTrue);
        let device = &self.devices[at];
        let Some(process) = device.process.as_ref().filter(|_| self.now >= device.asleep_until) else { return };
        let says_up = matches!(process.session.link_state(), LinkState::Connected { .. } | LinkState::Resyncing { .. });
        let silent = self.now.saturating_sub(device.answered_at.max(process.start));
        if says_up && silent > ANSWER_MAX {
            let what =
                format!("{} says that there is a link, {} s after the last answer", device.name, silent.as_secs());
            self.violate(Promise::StatusIsTrue, None, what);
        }
    }

    /// What is owed on wires with which nothing has been wrong for a while.
    fn check_wires(&mut self) {
        let is_well = self.mood.lock().expect("not poisoned").is_well() && self.server.is_some();
        let now = self.now;
        for room in self.rooms.clone() {
            let head = self.storage.head(room).expect("reads").map_or(Seq::ZERO, |head| head.seq);
            let known = self.heads.entry(room).or_insert((head, now));
            if known.0 != head {
                *known = (head, now);
            }
        }
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let is_fair = device.weather == Weather::FAIR && device.fair_since + FAIR_FOR < now;
            let wire = device.process.as_ref().and_then(|process| process.wire).map(|(_, wire)| wire);
            let Some(wire) = wire.filter(|_| is_fair && is_well && device.asleep_until + FAIR_FOR < now) else {
                continue;
            };
            if self.server.as_ref().is_some_and(|server| server.has(wire)) {
                let broken = self.watch.check(wire, &self.heads, now);
                self.judge(broken);
            }
        }
    }
}

/// How far a message has come, in the order in which marks advance.
const fn height(mark: OwnMark) -> u8 {
    match mark {
        OwnMark::Queued | OwnMark::Refused => 0,
        OwnMark::Sent => 1,
        OwnMark::Acked => 2,
        OwnMark::Delivered => 3,
        OwnMark::Read => 4,
    }
}

/// The text of an entry as the newest edit left it; none once it was taken back.
fn shown_body<'a>(entry: &'a Entry, log: &'a [Entry]) -> &'a str {
    let of = |other: &&Entry| {
        other.author == entry.author
            && other.target.is_some_and(|target| (target.author, target.id) == (entry.author, entry.id))
    };
    if log.iter().filter(of).any(|other| other.kind == Kind::Redaction) {
        return "";
    }
    let edit = log.iter().rev().filter(of).find(|other| other.kind == Kind::Edit);
    edit.filter(|_| entry.kind == Kind::Message).map_or(&entry.body, |edit| &edit.body)
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.body.split(' ').take(2).collect();
        write!(f, "{:?} {:?} ({})", self.kind, words.join(" "), self.id)
    }
}
