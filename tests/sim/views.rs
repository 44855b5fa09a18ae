//! Compares a device's view with the server's log and the user's record; the same checks in every
//! kind of world.

use std::collections::{BTreeMap, BTreeSet};

use landfall::client::store::{Line, OwnMark, Pending, Reader};
use landfall::protocol::{AccountId, Entry, EntryId, Kind, RejectCode, RoomId, Seq, Target};
use landfall::server::storage::Storage;
use landfall::sqlite::DbError;

use crate::check::Promise;
use crate::record::{Record, Typed};
use crate::watch::Broken;

/// The log of each room, as the server has it.
pub(crate) type Logs = BTreeMap<RoomId, Vec<Entry>>;

/// A missing condition, with the entry that it concerns.
pub(crate) type Behind = (Option<EntryId>, String);

/// The checks and violations.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) checks: BTreeMap<Promise, u64>,
    pub(crate) broken: Vec<Broken>,
    /// Number of messages by result.
    pub(crate) fates: BTreeMap<&'static str, u64>,
}

/// The possible results of a message.
pub(crate) const FATES: [&str; 5] = [
    "stand in the log",
    "rejected, with the reason",
    "taken back",
    "never kept: full disk, or killed at that moment",
    "lost with a device restored from a copy",
];

/// Whether a device has sent everything and shows the server's log.
pub(crate) fn has_arrived(
    name: &str,
    reader: &Reader,
    storage: &mut dyn Storage,
) -> Result<(), Behind> {
    let error = |error: DbError| (None, error.to_string());
    let waiting = reader.outbox(None, usize::MAX).map_err(error)?;
    if let Some(row) = waiting.iter().find(|row| row.rejection.is_none()) {
        return Err((
            Some(row.id),
            format!(
                "{name}'s {} ({:?}, {:?}) still waits",
                row.id, row.kind, row.mark
            ),
        ));
    }
    for row in reader
        .rooms()
        .map_err(error)?
        .into_iter()
        .filter(|row| row.member)
    {
        let head = storage
            .head(row.room)
            .map_err(error)?
            .map_or(Seq::ZERO, |head| head.seq);
        let gaps = reader.gaps(row.room).map_err(error)?;
        let last = storage
            .page_before(row.room, Seq(i64::MAX as u64), 1, usize::MAX)
            .map_err(error)?;
        let last = last.and_then(|page| page.entries.last().map(|entry| entry.id));
        let shown = reader
            .before(row.room, Seq(i64::MAX as u64), 1)
            .map_err(error)?;
        let is_same = shown.last().map(|line| line.id) == last;
        if row.top != head || !gaps.is_empty() || !is_same {
            let (top, head) = (row.top.0, head.0);
            return Err((
                None,
                format!(
                    "{name} has {} up to {top} of {head}, gaps {gaps:?}",
                    row.name
                ),
            ));
        }
    }
    Ok(())
}

/// Whether the server has stored the watermarks of a connected device that has everything.
pub(crate) fn has_reported(
    name: &str,
    account: AccountId,
    reader: &Reader,
    storage: &mut dyn Storage,
) -> Result<(), Behind> {
    let error = |error: DbError| (None, error.to_string());
    for row in reader.rooms().map_err(error)? {
        let room = storage.room_of(account, row.room).map_err(error)?;
        if let Some(room) = room
            && room.member
            && room.delivered_here < room.head.seq
        {
            let (delivered, head) = (room.delivered_here.0, room.head.seq.0);
            let what = format!(
                "{name} has {} up to {head}, the server knows up to {delivered}",
                row.name
            );
            return Err((None, what));
        }
    }
    Ok(())
}

impl Findings {
    pub(crate) fn check(&mut self, promise: Promise) {
        *self.checks.entry(promise).or_default() += 1;
    }

    pub(crate) fn breaks(&mut self, promise: Promise, about: Option<EntryId>, what: String) {
        self.broken.push((promise, about, what));
    }

    /// P2 and P4 of a log itself.
    pub(crate) fn of_log(&mut self, log: &[Entry]) {
        self.check(Promise::Once);
        let mut seen = BTreeSet::new();
        if let Some(twice) = log
            .iter()
            .find(|entry| !seen.insert((entry.author, entry.id)))
        {
            self.breaks(
                Promise::Once,
                Some(twice.id),
                format!("{} is in the log twice", twice.id),
            );
        }
        if let Some(pair) = log.windows(2).find(|pair| pair[1].at < pair[0].at) {
            let what = format!(
                "`at` falls from {} to {} in the log",
                pair[0].at, pair[1].at
            );
            self.breaks(Promise::OneOrder, Some(pair[1].id), what);
        }
    }

    /// P4 and P5: a device shows the server's log, from its first line on.
    pub(crate) fn of_view(&mut self, name: &str, reader: &Reader, logs: &Logs) {
        for row in reader
            .rooms()
            .expect("reads")
            .iter()
            .filter(|row| row.member)
        {
            self.check(Promise::OneOrder);
            self.check(Promise::NoSilentGap);
            let shown = reader
                .after(row.room, Seq::ZERO, usize::MAX)
                .expect("reads");
            let log = logs.get(&row.room).map(Vec::as_slice).unwrap_or_default();
            let expected: Vec<_> = log.iter().filter(|entry| entry.seq >= row.bottom).collect();
            let same = |line: &Line, entry: &Entry| {
                (line.seq, line.id, line.body.as_str())
                    == (entry.seq, entry.id, shown_body(entry, log))
            };
            let differs = shown
                .iter()
                .zip(&expected)
                .find(|(line, entry)| !same(line, entry));
            if shown.len() != expected.len() || differs.is_some() {
                let (room, count) = (&row.name, expected.len());
                let what = format!(
                    "{name} shows {} lines of {room}'s {count}: {differs:?}",
                    shown.len()
                );
                let promise = if differs.is_some() {
                    Promise::OneOrder
                } else {
                    Promise::NoSilentGap
                };
                self.breaks(promise, differs.map(|(line, _)| line.id), what);
            }
        }
    }

    /// P1, P2, P4 and P7 of everything that was typed on a device.
    pub(crate) fn of_typed(&mut self, record: &Record, reader: &Reader, logs: &Logs) {
        let outbox = reader.outbox(None, usize::MAX).expect("reads");
        let mut last: BTreeMap<RoomId, (Seq, EntryId)> = BTreeMap::new();
        let mut typed = record.typed.clone();
        typed.sort_by_key(|typed| typed.place);
        for typed in typed {
            let stands = logs[&typed.room].iter().find(|entry| entry.id == typed.id);
            self.of_one(record, &typed, stands, &outbox);
            let is_rejected = outbox
                .iter()
                .any(|row| row.id == typed.id && row.rejection.is_some());
            let fate = match typed {
                _ if stands.is_some() => 0,
                _ if is_rejected => 1,
                Typed {
                    discarded: Some(_), ..
                } => 2,
                Typed {
                    promised: false, ..
                } => 3,
                Typed { .. } => 4,
            };
            *self.fates.entry(FATES[fate]).or_default() += 1;
            *self.fates.entry("typed").or_default() += 1;
            self.of_taken_back(record, &typed, stands, &logs[&typed.room], &outbox);
            // A message that was discarded, and returned by a restore of the store, is ordered
            // behind newer ones.
            let is_back = typed.discarded.is_some_and(|then| record.is_rewound(then));
            let Some(entry) = stands.filter(|_| !typed.retried && !is_back) else {
                continue;
            };
            let before = last.insert(typed.room, (entry.seq, entry.id));
            if let Some((seq, earlier)) = before.filter(|(seq, _)| *seq > entry.seq) {
                let what = format!(
                    "{typed} is at {}, and {earlier}, typed earlier, at {seq}",
                    entry.seq
                );
                self.breaks(Promise::OneOrder, Some(typed.id), what);
            }
        }
    }

    /// A submitted text is in the log, rejected with a reason, or discarded.
    fn of_one(
        &mut self,
        record: &Record,
        typed: &Typed,
        stands: Option<&Entry>,
        outbox: &[Pending],
    ) {
        let is_taken_back = |id: EntryId| {
            let redacts = |other: &Typed| other.kind == Kind::Redaction && other.target == Some(id);
            let is_discarded = |other: &Typed| other.id == id && other.discarded.is_some();
            record
                .typed
                .iter()
                .any(|other| redacts(other) || is_discarded(other))
        };
        let may_be_empty = is_taken_back(typed.id) || typed.target.is_some_and(is_taken_back);
        self.check(Promise::DurableOnEnter);
        self.check(Promise::NothingDropped);
        let rejected = outbox
            .iter()
            .find(|row| row.id == typed.id)
            .and_then(|row| row.rejection.as_ref());
        let is_lost = typed.promised && typed.discarded.is_none() && !record.is_rewound(typed.at);
        let (promise, what) = match (stands, rejected.map(|(code, _)| *code)) {
            // A message known as redacted is sent again without its text.
            (Some(entry), _)
                if entry.body != typed.body && !(entry.body.is_empty() && may_be_empty) =>
            {
                (Promise::Once, format!("{typed} has another text"))
            }
            (Some(_), Some(code)) => (
                Promise::NothingDropped,
                format!("{typed} is in the log and is rejected: {code:?}"),
            ),
            (Some(_), None) if typed.rejected && !typed.retried => (
                Promise::NothingDropped,
                format!("{typed} was rejected, and is in the log although no user tried again"),
            ),
            (None, Some(RejectCode::IdConflict)) => {
                (Promise::Once, format!("{typed} is called another's id"))
            }
            (None, Some(code)) if !code.is_final() => (
                Promise::NothingDropped,
                format!("{typed} was given up over what passes: {code:?}"),
            ),
            (None, None) if is_lost => (Promise::DurableOnEnter, format!("{typed} is nowhere")),
            _ => return,
        };
        self.breaks(promise, Some(typed.id), what);
    }

    fn of_taken_back(
        &mut self,
        record: &Record,
        typed: &Typed,
        stands: Option<&Entry>,
        log: &[Entry],
        outbox: &[Pending],
    ) {
        let is_discarded = typed.discarded.is_some_and(|then| !record.is_rewound(then));
        let has_redaction = |entry: &Entry| {
            entry.kind == Kind::Redaction && entry.target.is_some_and(|t| t.id == typed.id)
        };
        let is_rejected = outbox
            .iter()
            .any(|row| row.kind == Kind::Redaction && row.rejection.is_some());
        if is_discarded && stands.is_some() && !log.iter().any(has_redaction) && !is_rejected {
            let what = format!("{typed} was taken back and is in the log");
            self.breaks(Promise::NothingDropped, Some(typed.id), what);
        }
    }

    /// P6: every saved message is on the screen, once. Returns the marks of the displayed entries.
    pub(crate) fn of_screen(
        &mut self,
        record: &Record,
        reader: &Reader,
        rooms: &[RoomId],
    ) -> BTreeMap<EntryId, Option<OwnMark>> {
        self.check(Promise::NothingDisappears);
        let own: BTreeSet<EntryId> = reader
            .outbox(None, usize::MAX)
            .expect("reads")
            .iter()
            .map(|row| row.id)
            .collect();
        let mut shown: BTreeMap<EntryId, Option<OwnMark>> = BTreeMap::new();
        for room in rooms {
            shown.extend(
                reader
                    .after(*room, Seq::ZERO, usize::MAX)
                    .expect("reads")
                    .iter()
                    .map(|line| (line.id, line.mark)),
            );
        }
        if let Some(twice) = own.iter().find(|id| shown.contains_key(id)) {
            let what = format!("{twice} is on {}'s screen twice", record.name);
            self.breaks(Promise::NothingDisappears, Some(*twice), what);
        }
        let is_missing = |typed: &&Typed| {
            typed.promised
                && typed.discarded.is_none()
                && !own.contains(&typed.id)
                && !shown.contains_key(&typed.id)
        };
        for row in reader.rooms().expect("reads") {
            let draft = record.drafts.get(&row.room).map_or("", String::as_str);
            if row.draft != draft {
                let (name, is, was) = (&record.name, row.draft.len(), draft.len());
                let what = format!(
                    "{name}'s half-typed line in {} has {is} bytes, and {was} were kept",
                    row.name
                );
                self.breaks(Promise::NothingDisappears, None, what);
            }
            let read = record.read.get(&row.room).copied().unwrap_or(Seq::ZERO);
            if row.read < read {
                let what = format!(
                    "{} has read {} up to {read}, and shows {}",
                    record.name, row.name, row.read
                );
                self.breaks(Promise::MarksAdvance, None, what);
            }
        }
        let missing = record.typed.iter().find(is_missing);
        if let Some(typed) = missing.filter(|typed| !record.is_rewound(typed.at)) {
            let what = format!("{typed} is off {}'s screen", record.name);
            self.breaks(Promise::NothingDisappears, Some(typed.id), what);
        }
        shown
    }
}

/// Returns the text of an entry after its latest edit; empty if it, or the edited entry, is
/// redacted.
fn shown_body<'a>(entry: &'a Entry, log: &'a [Entry]) -> &'a str {
    let of = |other: &&Entry| {
        other.author == entry.author
            && other
                .target
                .is_some_and(|target| (target.author, target.id) == (entry.author, entry.id))
    };
    let is_taken_back = |author, id| {
        let takes = |other: &Entry| other.kind == Kind::Redaction && other.author == entry.author;
        log.iter()
            .any(|other| takes(other) && other.target == Some(Target { author, id }))
    };
    let edited = entry.target.filter(|_| entry.kind == Kind::Edit);
    if is_taken_back(entry.author, entry.id)
        || edited.is_some_and(|of| is_taken_back(of.author, of.id))
    {
        return "";
    }
    let edit = log
        .iter()
        .rev()
        .filter(of)
        .find(|other| other.kind == Kind::Edit);
    edit.filter(|_| entry.kind == Kind::Message)
        .map_or(&entry.body, |edit| &edit.body)
}
