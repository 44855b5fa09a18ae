//! A room's log as a stream of lines, each once and without a hole, from the store.
//!
//! Start with [`Follower::new`]; call [`Follower::next`] whenever the store has changed. A log that
//! was truncated, since its server was restored from a backup, is followed again from the last line
//! that still is where it was.

use std::collections::VecDeque;

use super::store::{Line, Reader};
use crate::planted_bug::planted_bug;
use crate::protocol::{Chain, EntryId, Position, RoomId, Seq};
use crate::sqlite::DbError;

/// Number of lines of a page.
const PAGE: usize = 200;
/// Maximum remembered lines, to find the position again after a truncation.
const REMEMBERED_MAX: usize = 1_000;

/// Why a page ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FollowProgress {
    /// The limit of a page: another page follows.
    More,
    /// The head of the known log.
    Head,
    /// An entry that is not stored yet.
    Gap,
}

/// The next page of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FollowPage {
    /// In the log's order, without gaps, and none that was returned before.
    pub lines: Vec<Line>,
    pub reached: FollowProgress,
}

/// A position in a room's log.
#[derive(Clone, Debug)]
pub struct Follower {
    room: RoomId,
    at: Seq,
    /// The latest returned lines with their positions, from old to new. After a truncation an entry
    /// has no position until it arrives again. The seq alone is not enough: an entry may return to
    /// its seq behind another entry.
    given: VecDeque<(Option<Position>, EntryId)>,
}

impl Follower {
    /// Starts after a seq.
    #[must_use]
    pub const fn new(room: RoomId, after: Seq) -> Self {
        Self {
            room,
            at: after,
            given: VecDeque::new(),
        }
    }

    /// Returns the followed room.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        self.room
    }

    /// The seq of the last line.
    #[must_use]
    pub const fn at(&self) -> Seq {
        self.at
    }

    /// Returns the next lines up to the first gap, from one snapshot: a gap that is filled between
    /// two reads would look like a skip.
    ///
    /// # Errors
    /// [`DbError`]; the position does not change.
    pub fn next(&mut self, reader: &Reader) -> Result<FollowPage, DbError> {
        let (room, at, given) = (self.room, self.at, &mut self.given);
        let (from, lines, chains, reached) = reader.at_once(|reader| {
            let from = step_back(reader, room, at, given)?;
            let (lines, reached) = page(reader, room, from)?;
            let last = lines.last().map_or(from, |line| line.seq);
            Ok((
                from,
                lines,
                reader.chains(room, from.next(), last)?,
                reached,
            ))
        })?;
        self.at = lines.last().map_or(from, |line| line.seq);
        let mut fresh = Vec::with_capacity(lines.len());
        for line in lines {
            // one that was given before has another seq now
            let is_new = self.given.iter().all(|(_, id)| *id != line.id);
            self.remember(&line, chains.get(&line.seq).copied());
            if is_new {
                fresh.push(line);
            }
        }
        Ok(FollowPage {
            lines: fresh,
            reached,
        })
    }

    fn remember(&mut self, line: &Line, chain: Option<Chain>) {
        self.given.retain(|(_, id)| *id != line.id);
        self.given.push_back((
            chain.map(|chain| Position {
                seq: line.seq,
                chain,
            }),
            line.id,
        ));
        if self.given.len() > REMEMBERED_MAX {
            self.given.pop_front();
        }
    }
}

/// Returns the lines after a seq up to the first gap.
fn page(reader: &Reader, room: RoomId, from: Seq) -> Result<(Vec<Line>, FollowProgress), DbError> {
    let mut lines = reader.after(room, from, PAGE)?;
    let mut last = from;
    for (index, line) in lines.iter().enumerate() {
        // What lies before it is stored, with or without entries: the server may have skipped a run.
        if line.seq != last.next() && !reader.has_all(room, last.next(), line.seq)? {
            lines.truncate(index);
            return Ok((lines, FollowProgress::Gap));
        }
        last = line.seq;
    }
    if lines.len() == PAGE {
        return Ok((lines, FollowProgress::More));
    }
    let head = reader.head(room)?;
    let is_all = last >= head || reader.has_all(room, last.next(), head.next())?;
    Ok((
        lines,
        if is_all {
            FollowProgress::Head
        } else {
            FollowProgress::Gap
        },
    ))
}

/// Goes back to the last line whose seq has not changed.
fn step_back(
    reader: &Reader,
    room: RoomId,
    mut at: Seq,
    given: &mut VecDeque<(Option<Position>, EntryId)>,
) -> Result<Seq, DbError> {
    if planted_bug!(TailStaysAhead) {
        return Ok(at);
    }
    for (place, _) in given.iter_mut().rev() {
        let Some(Position { seq, chain }) = *place else {
            continue;
        };
        if reader.chains(room, seq, seq)?.get(&seq) == Some(&chain) {
            return Ok(seq);
        }
        at = at.min(Seq(seq.0.saturating_sub(1)));
        *place = None;
    }
    Ok(at)
}
