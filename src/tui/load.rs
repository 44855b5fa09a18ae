//! The data that the screen reads from the store.

use super::app::{Anchor, App, PAGE_LINES, PENDING_MAX};
use super::msg::Snapshot;
use crate::client::store::{Line, Reader};
use crate::protocol::{RoomId, Seq};
use crate::sqlite::DbError;

/// Everything on the screen that is in the store, as it was at one instant.
pub(super) fn load(reader: &Reader, app: &App) -> Result<Snapshot, DbError> {
    reader.at_once(|reader| {
        let rooms = reader.rooms()?;
        let row = rooms.iter().find(|room| Some(room.room) == app.current);
        let (bottom, top) = row.map_or((Seq(1), Seq::ZERO), |row| (row.bottom, row.top));
        let (lines, pending, gaps, aside) = match app.current {
            None => (Vec::new(), Vec::new(), Vec::new(), 0),
            Some(room) => (
                load_lines(reader, app, room)?,
                reader.outbox(Some(room), PENDING_MAX)?,
                reader.gaps(room)?,
                reader.count_aside(room)?,
            ),
        };
        Ok(Snapshot {
            me: reader.mine()?,
            counts: reader.counts()?,
            room: app.current,
            at_start: lines.first().is_none_or(|line| line.seq <= bottom),
            at_end: lines.last().is_none_or(|line| line.seq >= top),
            rooms,
            lines,
            pending,
            gaps,
            aside,
        })
    })
}

fn load_lines(reader: &Reader, app: &App, room: RoomId) -> Result<Vec<Line>, DbError> {
    match (app.log.anchor, app.log.lines.first()) {
        (Anchor::At(..), Some(first)) => reader.after(
            room,
            Seq(first.seq.0 - 1),
            app.log.lines.len().max(PAGE_LINES),
        ),
        (Anchor::At(seq, _), None) => {
            let mut lines = reader.before(room, seq.next(), PAGE_LINES / 2)?;
            lines.extend(reader.after(room, seq, PAGE_LINES / 2)?);
            Ok(lines)
        }
        (Anchor::Bottom, _) => reader.before(room, Seq(i64::MAX as u64), PAGE_LINES),
    }
}
