//! PURE. A room's log as a list of items, oldest first, and the choice of those on screen.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::action::Action;
use super::app::{Anchor, App, LogView};
use super::keymap::key_of;
use super::text;
use crate::client::store::{Line, Pending};
use crate::protocol::{Kind, Seq, sanitize, sanitize_line};

/// One item of the log, as it is drawn.
#[derive(Clone, Debug)]
pub(crate) enum Item<'a> {
    /// The server has earlier entries.
    Older,
    Date(String),
    New,
    /// This many entries are missing.
    Gap(u64),
    /// This many entries are no longer on the server.
    Aside(usize),
    Line(&'a Line),
    Pending(&'a Pending),
}

/// Widths of the parts of a line, columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) time: usize,
    pub(crate) name: usize,
    pub(crate) body: usize,
    pub(crate) mark: usize,
}

impl Columns {
    /// A narrow log has shorter names; a very narrow one omits the times.
    pub(crate) fn of(width: usize) -> Self {
        let (time, name) = match width {
            0..30 => (0, 7),
            30..50 => (6, 8),
            _ => (6, 11),
        };
        let mark = 3;
        Self {
            time,
            name,
            body: width.saturating_sub(time + name + mark).max(4),
            mark,
        }
    }
}

/// Returns the items of the loaded lines, from old to new.
pub(crate) fn items<'a>(log: &'a LogView, room_bottom: Seq, zone: &TimeZone) -> Vec<Item<'a>> {
    let mut items = Vec::with_capacity(log.lines.len() + log.pending.len() + 8);
    if log.at_start && room_bottom > Seq(1) {
        items.push(Item::Older);
    }
    // A redaction is shown on its target, unless it was rejected.
    let is_shown_pending =
        |pending: &&Pending| pending.kind != Kind::Redaction || pending.rejection.is_some();
    let mut in_gaps: Vec<_> = log
        .pending
        .iter()
        .filter(is_shown_pending)
        .filter(|p| lies_below(p, log))
        .collect();
    in_gaps.sort_by_key(|pending| pending.acked);
    let mut in_gaps = in_gaps.into_iter().peekable();
    let mut day = String::new();
    let mut gaps = log.gaps.iter().peekable();
    let mut marked = false;
    for line in log.lines.iter().filter(|line| is_shown(line)) {
        while let Some((_, missing)) = gaps.next_if(|(after, _)| *after < line.seq) {
            items.push(Item::Gap(*missing));
        }
        while let Some(pending) =
            in_gaps.next_if(|pending| pending.acked.is_some_and(|acked| acked < line.seq))
        {
            let is_in_view = log.at_start || items.iter().any(|item| matches!(item, Item::Line(_)));
            items.extend(is_in_view.then_some(Item::Pending(pending)));
        }
        let today = date(line.at, zone);
        if today != day {
            items.push(Item::Date(today.clone()));
            day = today;
        }
        if !marked && log.new_after.is_some_and(|after| line.seq > after) {
            items.push(Item::New);
            marked = true;
        }
        items.push(Item::Line(line));
    }
    if log.aside > 0 && log.at_end {
        items.push(Item::Aside(log.aside));
    }
    if log.at_end {
        let behind = log
            .pending
            .iter()
            .filter(is_shown_pending)
            .filter(|pending| !lies_below(pending, log));
        items.extend(behind.map(Item::Pending));
    }
    items
}

/// Whether an acknowledged message is in a gap below the loaded lines.
fn lies_below(pending: &Pending, log: &LogView) -> bool {
    let last = log.lines.last().map(|line| line.seq);
    pending
        .acked
        .zip(last)
        .is_some_and(|(acked, last)| acked < last)
}

/// Edits and redactions are shown on their target.
fn is_shown(line: &Line) -> bool {
    !matches!(line.kind, Kind::Edit | Kind::Redaction)
}

/// The date in the line between two days.
pub(crate) fn date(ms: u64, zone: &TimeZone) -> String {
    zoned(ms, zone).map_or_else(String::new, |time| time.strftime("%a %-d %b").to_string())
}

/// Formats ms since 1970 as hours and minutes.
pub(crate) fn time(ms: u64, zone: &TimeZone) -> String {
    zoned(ms, zone).map_or_else(
        || "--:--".to_owned(),
        |time| time.strftime("%H:%M").to_string(),
    )
}

/// Formats a time as hours, minutes and seconds.
pub(crate) fn clock(ms: u64, zone: &TimeZone) -> String {
    zoned(ms, zone).map_or_else(
        || "--:--:--".to_owned(),
        |time| time.strftime("%H:%M:%S").to_string(),
    )
}

fn zoned(ms: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let time = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(time.to_zoned(zone.clone()))
}

/// The text of a line, sanitized.
pub(crate) fn body(line: &Line) -> String {
    let name = sanitize_line(&line.name);
    match line.kind {
        Kind::Message if line.redacted => "(deleted)".to_owned(),
        Kind::Message if line.edited => format!("{} (edited)", sanitize(&line.body)),
        Kind::Message => sanitize(&line.body).into_owned(),
        Kind::Join => format!("{name} joined"),
        Kind::Leave => format!("{name} left"),
        Kind::Topic if line.body.is_empty() => format!("{name} removed the topic"),
        Kind::Topic => format!("{name} set the topic: {}", sanitize_line(&line.body)),
        Kind::Rename => format!("{name} is now {}", sanitize_line(&line.body)),
        Kind::Reaction => format!("{name} reacted {}", sanitize_line(&line.body)),
        Kind::Edit | Kind::Redaction => String::new(),
        Kind::Unknown => format!("{name}: this version cannot show this entry"),
    }
}

/// The text of a pending entry, sanitized.
pub(crate) fn pending_body(pending: &Pending) -> String {
    let body = sanitize(&pending.body);
    match pending.kind {
        Kind::Message if pending.discarded => format!("(deleting) {body}"),
        Kind::Message => body.into_owned(),
        Kind::Join => "joining this room".to_owned(),
        Kind::Leave => "leaving this room".to_owned(),
        Kind::Topic => format!("setting the topic: {body}"),
        Kind::Rename => format!("rename to {body:?}"),
        Kind::Reaction => format!("reacting {body}"),
        Kind::Redaction => "deleting a message".to_owned(),
        Kind::Edit | Kind::Unknown => body.into_owned(),
    }
}

/// Number of rows of an item.
pub(crate) fn height(item: &Item<'_>, columns: Columns) -> usize {
    match item {
        Item::Older | Item::Date(_) | Item::New | Item::Gap(_) | Item::Aside(_) => 1,
        Item::Line(line) if line.kind == Kind::Message => {
            text::wrap(&body(line), columns.body).len()
        }
        Item::Line(line) => text::wrap(&body(line), columns.name + columns.body).len(),
        Item::Pending(pending) => {
            let rejection = pending.rejection.as_ref().map_or(0, |(_, reason)| {
                refusal_rows(pending.kind, reason, columns).len()
            });
            text::wrap(&pending_body(pending), columns.body).len() + rejection
        }
    }
}

/// Returns the rows under a rejected message: the reason and the possible actions.
pub(crate) fn refusal_rows(kind: Kind, reason: &str, columns: Columns) -> Vec<String> {
    let edits = if kind == Kind::Message {
        format!("{}: edit, ", key_of(Action::EditRejected))
    } else {
        String::new()
    };
    let text = format!(
        "rejected: {} · {edits}/retry: send again, /discard: delete",
        sanitize_line(reason)
    );
    text::wrap(&text, columns.body)
}

/// Returns the bottom of the view: the number of items down to the last visible one, and how many
/// rows of that one are hidden.
pub(crate) fn bottom(items: &[Item<'_>], anchor: Anchor) -> (usize, usize) {
    let Anchor::At(seq, hidden) = anchor else {
        return (items.len(), 0);
    };
    let at = items
        .iter()
        .position(|item| matches!(item, Item::Line(line) if line.seq >= seq));
    at.map_or((items.len(), 0), |at| (at + 1, hidden))
}

/// Scrolls the view by rows; positive is up. Returns the new anchor, and whether the upper end of
/// the loaded lines is near.
pub(crate) fn scroll(app: &App, rows: isize, columns: Columns, view_rows: usize) -> (Anchor, bool) {
    let items = items(
        &app.log,
        app.room().map_or(Seq(1), |room| room.bottom),
        &app.zone,
    );
    let heights: Vec<usize> = items.iter().map(|item| height(item, columns)).collect();
    let total: usize = heights.iter().sum();
    let (end, hidden) = bottom(&items, app.log.anchor);
    let below: usize = heights[end..].iter().sum::<usize>() + hidden;
    let most = total.saturating_sub(view_rows);
    let below = below.saturating_add_signed(rows).min(most);
    let near_start = total.saturating_sub(below) < view_rows * 3;
    if below == 0 && app.log.at_end {
        return (Anchor::Bottom, near_start);
    }
    (anchor_above(&items, &heights, below), near_start)
}

/// Returns the anchor with `below` rows under the bottom edge.
fn anchor_above(items: &[Item<'_>], heights: &[usize], below: usize) -> Anchor {
    let mut rest = below;
    for (item, height) in items.iter().zip(heights).rev() {
        if rest < *height {
            if let Item::Line(line) = item {
                return Anchor::At(line.seq, rest);
            }
            rest = 0; // the rest is on the next line above
            continue;
        }
        rest -= height;
    }
    let first = items.iter().find_map(|item| {
        if let Item::Line(line) = item {
            Some(line.seq)
        } else {
            None
        }
    });
    first.map_or(Anchor::Bottom, |seq| Anchor::At(seq, 0))
}
