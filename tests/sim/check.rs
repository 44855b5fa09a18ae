//! Checks the promises against what was typed, sent, acknowledged, displayed and stored,
//! independently of the program's own reports.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use landfall::client::follow::{FollowProgress, Follower};
use landfall::client::link::LinkState;
use landfall::client::store::{OwnMark, Reader};
use landfall::protocol::{Entry, EntryId, RoomId, Seq};
use landfall::sqlite::DbError;

use crate::counters::{self, Shown};
use crate::device::Followed;
use crate::net::{Time, Weather};
use crate::views;
use crate::views::{Behind, Findings, Logs};
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
        write!(
            f,
            "{}: {} (at {:.3} s)",
            self.promise,
            self.what,
            self.at.as_secs_f64()
        )
    }
}

/// Maximum time of a connection without a reply: an interval, and a doubled and extended deadline.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30 + 3 * 120 + 60);
/// After this time without faults, none of their effects are left: a client detects swallowed
/// entries with the second pong, and heartbeats are 30 s apart.
const FAIR_FOR: Duration = Duration::from_secs(75);

impl World {
    pub(crate) fn violate(&mut self, promise: Promise, about: Option<EntryId>, what: String) {
        self.note(|| format!("VIOLATION of {promise}: {what}"));
        self.violations.push(Violation {
            promise,
            at: self.now,
            about,
            what,
        });
    }

    pub(crate) fn violate_store(&mut self, device: usize, error: &DbError) {
        self.violate(
            Promise::DurableOnEnter,
            None,
            format!("the store of {device} failed: {error}"),
        );
    }

    /// Counts a check and records its violation.
    pub(crate) fn judge(&mut self, broken: Option<Broken>) {
        if let Some((promise, about, what)) = broken {
            self.violate(promise, about, what);
        }
    }

    /// P3, at the moment of an ack: the entry stands in the log at that place.
    pub(crate) fn check_ack(&mut self, room: RoomId, id: EntryId, seq: Seq) {
        self.checked(Promise::AckMeansDurable);
        let page = self
            .storage
            .page_after(room, Seq(seq.0.saturating_sub(1)), 1, usize::MAX)
            .expect("reads");
        let stands = page.is_some_and(|page| {
            page.entries
                .first()
                .is_some_and(|entry| (entry.id, entry.seq) == (id, seq))
        });
        // A storage restored later has lost the entry: the ack was true when it was sent.
        if !stands
            && self
                .restores
                .last()
                .is_none_or(|at| *at + Duration::from_secs(1) < self.now)
        {
            let what = format!("{id} was acked at {} and does not stand there", seq.0);
            self.violate(Promise::AckMeansDurable, Some(id), what);
        }
    }

    /// Everything of a room's log on the server.
    pub(crate) fn log(&mut self, room: RoomId) -> Vec<Entry> {
        let page = self
            .storage
            .page_after(room, Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .expect("reads");
        page.map(|page| page.entries).unwrap_or_default()
    }

    /// Whether every device is awake and idle, has sent everything, shows the server's log, and the
    /// server knows that it has it.
    pub(crate) fn has_converged(&mut self) -> Result<(), Behind> {
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let link = device
                .process
                .as_ref()
                .map(|process| process.session.link_state());
            let is_on_its_way = !matches!(
                link,
                None | Some(LinkState::Connected { .. } | LinkState::Offline { .. })
            );
            if is_on_its_way || self.now < device.asleep_until {
                return Err((
                    None,
                    format!("{} is asleep or on its way: {link:?}", device.record.name),
                ));
            }
            let reader =
                Reader::open(&device.folder()).map_err(|error| (None, error.to_string()))?;
            views::has_arrived(&device.record.name, &reader, &mut *self.storage)?;
            if let Some(account) = self.account(at)
                && matches!(link, Some(LinkState::Connected { .. }))
            {
                let name = &self.devices[at].record.name;
                views::has_reported(name, account, &reader, &mut *self.storage)?;
            }
        }
        Ok(())
    }

    /// The checks after every step: screens, marks, states, connections.
    pub(crate) fn check_now(&mut self) {
        let mut readers = Vec::new();
        for at in 0..self.devices.len() {
            if self.devices[at].epoch > 0 {
                let reader = Reader::open(&self.devices[at].folder()).ok();
                if let Some(reader) = &reader {
                    self.check_screen(at, reader);
                    self.follow(at, reader);
                }
                readers.extend(reader.map(|reader| (at, reader)));
                self.check_status(at);
            }
        }
        self.check_told_marks(&readers);
        self.check_wires();
        self.check_bounds();
    }

    /// P11: everything pending on a server is bounded by its connections, with any disk.
    fn check_bounds(&mut self) {
        self.checked(Promise::Bounded);
        let Some((waiting, most)) = self.server.as_ref().map(crate::server::Server::waiting) else {
            return;
        };
        if waiting > most {
            self.violate(
                Promise::Bounded,
                None,
                format!("{waiting} entries wait on a server that lets {most} wait"),
            );
        }
    }

    /// P1, P2, P4, P5, P7: at the end, when everybody shows the same.
    pub(crate) fn check_end(&mut self) {
        let logs: Logs = self
            .rooms
            .clone()
            .into_iter()
            .map(|room| (room, self.log(room)))
            .collect();
        let mut findings = Findings::default();
        logs.values().for_each(|log| findings.of_log(log));
        self.check_followers();
        for device in &self.devices {
            let reader = Reader::open(&device.folder()).expect("opens");
            findings.of_view(&device.record.name, &reader, &logs);
            findings.of_typed(&device.record, &reader, &logs);
            let is_copied = self
                .devices
                .iter()
                .filter(|other| other.id == device.id)
                .count()
                > 1;
            let is_one_history =
                self.restores.is_empty() && device.record.rewinds.is_empty() && !is_copied;
            if let Some(id) = device.id.filter(|_| is_one_history) {
                findings.of_acked(&device.record, &reader, id, &logs);
            }
        }
        self.take(findings);
    }

    fn take(&mut self, findings: Findings) {
        findings
            .checks
            .into_iter()
            .for_each(|(promise, count)| *self.checks.entry(promise).or_default() += count);
        findings
            .fates
            .into_iter()
            .for_each(|(fate, count)| *self.counts.entry(fate).or_default() += count);
        findings
            .broken
            .into_iter()
            .for_each(|broken| self.judge(Some(broken)));
    }

    /// P8: marks for delivered and read are true, unless the server's data was restored.
    fn check_told_marks(&mut self, readers: &[(usize, Reader)]) {
        if !self.restores.is_empty() {
            return;
        }
        let logs: Vec<_> = self
            .rooms
            .clone()
            .into_iter()
            .map(|room| (room, self.log(room)))
            .collect();
        self.checked(Promise::StatusIsTrue);
        let shown: Vec<_> = readers
            .iter()
            .map(|(at, reader)| Shown::new(&self.devices[*at], reader))
            .collect();
        let broken = logs
            .iter()
            .find_map(|(room, log)| counters::marked_too_early(*room, log, &shown));
        if let Some((id, what)) = broken {
            self.violate(Promise::StatusIsTrue, Some(id), what);
        }
    }

    /// P6 and P9: nothing that is promised is off the screen, or on it twice; no mark goes back.
    fn check_screen(&mut self, at: usize, reader: &Reader) {
        let heads = self.heads_ever();
        let device = &self.devices[at];
        let mut findings = Findings::default();
        let shown = findings.of_screen(&device.record, reader, &self.rooms);
        findings.of_counters(&device.record, reader);
        // Without pending writes, the core's state is on the disk.
        let is_current =
            |process: &&crate::device::Process| process.queue.is_empty() && !process.is_outdated;
        if let Some(process) = device.process.as_ref().filter(is_current) {
            findings.of_missing(
                &device.record.name,
                reader,
                &process.session.status(),
                &heads,
            );
        }
        self.take(findings);
        let marks = shown
            .into_iter()
            .filter_map(|(id, mark)| Some((id, mark?)))
            .collect();
        let read = reader
            .rooms()
            .expect("reads")
            .into_iter()
            .map(|row| (row.room, row.read))
            .collect();
        self.check_marks(at, marks, read);
    }

    /// P2: a follower of a log prints no entry twice.
    fn follow(&mut self, at: usize, reader: &Reader) {
        let device = &mut self.devices[at];
        for row in reader.rooms().expect("reads") {
            // From its first line on: older entries are fetched only for scrolling.
            let is_followed = device
                .followers
                .iter()
                .any(|followed| followed.follower.room() == row.room);
            if !is_followed && row.bottom > Seq::ZERO {
                let start = Seq(row.bottom.0 - 1);
                let (follower, printed) = (Follower::new(row.room, start), Vec::new());
                device.followers.push(Followed {
                    follower,
                    start,
                    printed,
                    is_at_gap: false,
                });
            }
        }
        let mut twice = None;
        for Followed {
            follower,
            printed,
            is_at_gap,
            ..
        } in &mut device.followers
        {
            while let Ok(page) = follower.next(reader) {
                for line in page.lines {
                    twice = twice.or(printed.contains(&line.id).then_some(line.id));
                    printed.push(line.id);
                }
                *is_at_gap = page.reached == FollowProgress::Gap;
                if page.reached != FollowProgress::More {
                    break;
                }
            }
        }
        if let Some(id) = twice {
            let what = format!(
                "{id} was printed twice beside {}",
                self.devices[at].record.name
            );
            self.violate(Promise::Once, Some(id), what);
        }
    }

    /// P5: what followed the logs has printed everything that is stored from the first line on.
    fn check_followers(&mut self) {
        for at in 0..self.devices.len() {
            let Ok(reader) = Reader::open(&self.devices[at].folder()) else {
                continue;
            };
            self.follow(at, &reader);
            self.checked(Promise::NoSilentGap);
            let device = &self.devices[at];
            let mut missed = None;
            // In a left room nothing more is fetched, and gaps stay; so do entries below the first
            // one.
            let rooms = reader.rooms().expect("reads");
            let is_member = |room| rooms.iter().any(|row| row.room == room && row.member);
            let is_owed =
                |followed: &&Followed| is_member(followed.follower.room()) && !followed.is_at_gap;
            for Followed {
                follower,
                start,
                printed,
                ..
            } in device.followers.iter().filter(is_owed)
            {
                let lines = reader
                    .after(follower.room(), *start, usize::MAX)
                    .expect("reads");
                missed = missed.or(lines
                    .into_iter()
                    .map(|line| line.id)
                    .find(|id| !printed.contains(id)));
            }
            if let Some(id) = missed {
                let what = format!("{id} was never printed beside {}", device.record.name);
                self.violate(Promise::NoSilentGap, Some(id), what);
            }
        }
    }

    /// A device truncates a log, with its watermarks. Allowed only if some data was restored.
    pub(crate) fn on_cut(&mut self, at: usize) {
        (self.devices[at].marks, self.devices[at].read) = Default::default();
        if self.restores.is_empty()
            && self
                .devices
                .iter()
                .all(|device| device.record.rewinds.is_empty())
        {
            let what = format!(
                "{} cut its log, though there is only one history",
                self.devices[at].record.name
            );
            self.violate(Promise::OneOrder, None, what);
        }
    }

    fn check_marks(
        &mut self,
        at: usize,
        marks: BTreeMap<EntryId, OwnMark>,
        read: BTreeMap<RoomId, Seq>,
    ) {
        self.checked(Promise::MarksAdvance);
        let device = &mut self.devices[at];
        let before = (
            std::mem::replace(&mut device.marks, marks),
            std::mem::replace(&mut device.read, read),
        );
        let (marks, read) = (&self.devices[at].marks, &self.devices[at].read);
        let back = before
            .0
            .iter()
            .find(|(id, was)| marks.get(id).is_some_and(|is| height(*is) < height(**was)));
        let unread = before
            .1
            .iter()
            .find(|(room, was)| read.get(room).is_some_and(|is| is < *was));
        let name = &self.devices[at].record.name;
        let broken = match (back, unread) {
            (Some((id, was)), _) => Some((
                Some(*id),
                format!("{name}'s mark on {id} fell from {was:?} to {:?}", marks[id]),
            )),
            (None, Some((room, was))) => Some((
                None,
                format!("{name} had read up to {was}, and now up to {}", read[room]),
            )),
            (None, None) => None,
        };
        if let Some((about, what)) = broken {
            self.violate(Promise::MarksAdvance, about, what);
        }
    }

    /// P8: a device that reports a connection has had a recent reply.
    fn check_status(&mut self, at: usize) {
        self.checked(Promise::StatusIsTrue);
        let device = &self.devices[at];
        let Some(process) = device
            .process
            .as_ref()
            .filter(|_| self.now >= device.asleep_until)
        else {
            return;
        };
        let says_up = matches!(
            process.session.link_state(),
            LinkState::Connected { .. } | LinkState::Resyncing { .. }
        );
        let silent = self
            .now
            .saturating_sub(device.answered_at.max(process.start));
        if says_up && silent > ANSWER_MAX {
            let what = format!(
                "{} says that there is a link, {} s after the last answer",
                device.record.name,
                silent.as_secs()
            );
            self.violate(Promise::StatusIsTrue, None, what);
        }
    }

    /// The highest head that a device may know of each room: that of now, or one before a restore.
    fn heads_ever(&mut self) -> BTreeMap<RoomId, Seq> {
        let mut heads = self.heads_now();
        for (room, head) in &mut heads {
            *head = (*head).max(
                self.heads_before_restore
                    .get(room)
                    .copied()
                    .unwrap_or_default(),
            );
        }
        heads
    }

    pub(crate) fn heads_now(&mut self) -> BTreeMap<RoomId, Seq> {
        let mut head = |room: &RoomId| {
            self.storage
                .head(*room)
                .expect("reads")
                .map_or(Seq::ZERO, |head| head.seq)
        };
        self.rooms.iter().map(|room| (*room, head(room))).collect()
    }

    /// Checks the replies that are due on connections without faults for a while.
    fn check_wires(&mut self) {
        let is_well = self.faults.lock().expect("not poisoned").is_well() && self.server.is_some();
        let now = self.now;
        for (room, head) in self.heads_now() {
            let known = self.heads.entry(room).or_insert((head, now));
            if known.0 != head {
                *known = (head, now);
            }
        }
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let is_fair = device.weather == Weather::FAIR && device.fair_since + FAIR_FOR < now;
            let wire = device
                .process
                .as_ref()
                .and_then(|process| process.wire)
                .map(|(_, wire)| wire);
            let Some(wire) =
                wire.filter(|_| is_fair && is_well && device.asleep_until + FAIR_FOR < now)
            else {
                continue;
            };
            if self.server.as_ref().is_some_and(|server| server.has(wire)) {
                let broken = self.watch.check(wire, &self.heads, now);
                self.judge(broken);
            }
        }
    }
}

/// The delivery stage of a mark, in the order in which marks advance.
const fn height(mark: OwnMark) -> u8 {
    match mark {
        OwnMark::Queued | OwnMark::Rejected => 0,
        OwnMark::Sent => 1,
        OwnMark::Acked => 2,
        OwnMark::Delivered => 3,
        OwnMark::Read => 4,
    }
}
