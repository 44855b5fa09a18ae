//! PURE. Both chats, side by side: what each shows of itself, and at the right edge what is true.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::demo::show::event::{ChatRow, ShownMessage};
use crate::cli::demo::show::model::Model;
use crate::cli::demo::show::naive_screen::{NaiveRow, NaiveRowState};
use crate::client::grouped;
use crate::client::link::LinkState;
use crate::client::store::OwnMark;
use crate::protocol::sanitize_line;
use crate::tui::width;
use crate::tui::{Role, Signs, TextRow};

/// Columns of an author's name.
const NAME: usize = 5;

/// One row of a pane: the text at the left, its state at the right.
struct PaneRow {
    is_focus: bool,
    author: String,
    /// Before the text.
    number: Option<String>,
    text: Arc<str>,
    state: TextRow,
}

impl PaneRow {
    fn draw(self, columns: usize, signs: Signs) -> TextRow {
        let mark = if self.is_focus {
            signs.sign("▸", ">")
        } else {
            " "
        };
        let role = if self.is_focus {
            Role::Plain
        } else {
            Role::Dim
        };
        let room = columns.saturating_sub(self.state.width() + 2);
        let number = self.number.unwrap_or_default();
        let mut row = TextRow::of(mark, Role::Focus)
            .with(format!("{:<NAME$}{number}", self.author), role)
            .with(sanitize_line(&self.text).into_owned(), role)
            .fit(room)
            .padded_to(room + 1)
            .then(self.state)
            .exactly(columns);
        row.message = Some(self.text);
        row
    }
}

/// Rows of the naive chat: the newest ones.
pub(super) fn naive(model: &Model, columns: usize, rows: usize, signs: Signs) -> Vec<TextRow> {
    let chat = &model.naive;
    let is_shown = |row: &&NaiveRow| {
        row.state != NaiveRowState::Vanished || model.tally.is_lost(&row.text, &model.nets.naive)
    };
    let mut all: Vec<PaneRow> = chat
        .rows
        .iter()
        .filter(is_shown)
        .map(|row| naive_row(model, row, signs))
        .collect();
    all.extend(chat.typed.iter().map(|text| PaneRow {
        is_focus: false,
        author: model.me.to_owned(),
        number: None,
        text: text.as_str().into(),
        state: TextRow::of(signs.sign("…", "..."), Role::Waiting),
    }));
    newest(all, columns, rows, signs)
}

fn newest(mut all: Vec<PaneRow>, columns: usize, rows: usize, signs: Signs) -> Vec<TextRow> {
    let from = all.len().saturating_sub(rows);
    let mut drawn: Vec<_> = all
        .drain(from..)
        .map(|row| row.draw(columns, signs))
        .collect();
    drawn.resize(rows, TextRow::default().padded_to(columns));
    drawn
}

fn naive_row(model: &Model, row: &NaiveRow, signs: Signs) -> PaneRow {
    let is_own = row.author == model.me;
    let is_lost = model.tally.is_lost(&row.text, &model.nets.naive);
    let is_twice = is_own && model.tally.is_twice(&row.text);
    let mut state = match row.state {
        NaiveRowState::Received => TextRow::default(),
        NaiveRowState::Sending => TextRow::of("sending…", Role::Waiting),
        NaiveRowState::Sent => TextRow::of("sent", Role::Dim),
        NaiveRowState::Vanished => TextRow::of("gone", Role::Dim),
    };
    if is_lost {
        state.push(format!(" {} LOST", signs.sign("✗", "x")), Role::Broken);
    } else if is_twice {
        state.push(format!(" {} TWICE", signs.sign("✗", "x")), Role::Broken);
    }
    PaneRow {
        is_focus: model.focus.as_deref() == Some(row.text.as_str()),
        author: row.author.clone(),
        number: None,
        text: row.text.as_str().into(),
        state,
    }
}

/// In place of the status line of a dark screen.
fn asleep() -> TextRow {
    TextRow::of(" demo: this computer sleeps ", Role::Waiting)
}

/// The naive chat's own status line.
pub(super) fn naive_status(model: &Model, columns: usize) -> TextRow {
    if model.is_asleep {
        return asleep().exactly(columns);
    }
    let text = if model.naive.is_connected {
        " connected"
    } else {
        " reconnecting"
    };
    let skipped = match model.tally.skipped().len() {
        0 => TextRow::default(),
        skipped => {
            let count = grouped(skipped as u64);
            TextRow::of(format!("demo: {count} missing, not marked "), Role::Broken)
        }
    };
    let room = columns.saturating_sub(skipped.width());
    let role = if model.naive.is_connected {
        Role::Dim
    } else {
        Role::Waiting
    };
    TextRow::of(text, role).exactly(room).then(skipped)
}

/// Rows of Landfall: the newest ones, with the gap if there is one.
pub(super) fn landfall(model: &Model, columns: usize, rows: usize, signs: Signs) -> Vec<TextRow> {
    let draw = |row: &ChatRow, numbered| landfall_row(model, row, columns, numbered, signs);
    if let Some(found) = &model.found {
        let mut drawn = vec![TextRow::of(
            " search: the line, and those around it",
            Role::Focus,
        )];
        drawn.extend(found.iter().map(|row| draw(row, true)));
        drawn.truncate(rows);
        drawn.resize(rows, TextRow::default());
        return drawn.into_iter().map(|row| row.exactly(columns)).collect();
    }
    let shown = &model.screen.rows;
    let gap = shown.iter().position(|row| matches!(row, ChatRow::Gap(_)));
    let (above, below) = match gap {
        Some(at) => (&shown[at.saturating_sub(rows / 4)..=at], &shown[at + 1..]),
        None => (&shown[..0], &shown[..]),
    };
    let newest = &below[below.len().saturating_sub(rows.saturating_sub(above.len()))..];
    let numbered = gap.is_some();
    let rows_shown = above.iter().chain(newest);
    let mut drawn: Vec<_> = rows_shown.map(|row| draw(row, numbered)).collect();
    drawn.resize(rows, TextRow::default().padded_to(columns));
    drawn
}

fn landfall_row(
    model: &Model,
    row: &ChatRow,
    columns: usize,
    numbered: bool,
    signs: Signs,
) -> TextRow {
    match row {
        ChatRow::Gap(count) => {
            let line = signs.sign("╌", "-");
            let text = format!(" {} messages missing here, loading ", grouped(*count));
            let left = columns.saturating_sub(width(&text) + 2) / 2;
            TextRow::of(signs.sign("▸", ">"), Role::Focus)
                .with(line.repeat(left), Role::Waiting)
                .with(text.clone(), Role::Waiting)
                .with(
                    line.repeat(columns.saturating_sub(left + width(&text) + 1)),
                    Role::Waiting,
                )
                .fit(columns)
        }
        ChatRow::Message(message) => {
            message_row(model, message, numbered, signs).draw(columns, signs)
        }
    }
}

fn message_row(model: &Model, message: &ShownMessage, numbered: bool, signs: Signs) -> PaneRow {
    let is_gap_in_focus = numbered && model.found.is_none();
    let is_focus = !is_gap_in_focus && model.focus.as_deref() == Some(&*message.text);
    let state = match message.mark {
        None => TextRow::default(),
        Some(mark) => own_state(mark, is_focus, signs),
    };
    let number = message
        .seq
        .filter(|_| numbered)
        .map(|seq| format!("#{} ", grouped(seq.0)));
    PaneRow {
        is_focus,
        author: message.author.clone(),
        number,
        text: message.text.clone(),
        state,
    }
}

/// The mark of an own message; in focus, with its words.
fn own_state(mark: OwnMark, is_focus: bool, signs: Signs) -> TextRow {
    let (sign, words, role) = match mark {
        OwnMark::Queued => (signs.sign("◌", "."), "saved", Role::Waiting),
        OwnMark::Sent => (signs.sign("○", "o"), "sent", Role::Waiting),
        OwnMark::Acked | OwnMark::Delivered | OwnMark::Read => {
            (signs.sign("✓", "v"), "on the server", Role::Safe)
        }
        OwnMark::Rejected => (signs.sign("✗", "x"), "rejected", Role::Broken),
    };
    let is_waiting = role == Role::Waiting;
    let role = if is_focus || is_waiting {
        role
    } else {
        Role::Dim
    };
    if is_focus || is_waiting {
        TextRow::of(format!("{sign} {words}"), role)
    } else {
        TextRow::of(sign, role)
    }
}

/// Landfall's own status line.
pub(super) fn landfall_status(
    model: &Model,
    moment: Duration,
    columns: usize,
    signs: Signs,
) -> TextRow {
    let (on, off) = (signs.sign("●", "*"), signs.sign("◌", "."));
    let state = match &model.link {
        _ if model.is_asleep => asleep(),
        LinkState::Connected { .. } => TextRow::of(format!(" {on} connected"), Role::Dim),
        LinkState::Resyncing { .. } if model.screen.missing > 0 => {
            let text = format!(
                " {on} catching up · {} to load",
                grouped(model.screen.missing)
            );
            TextRow::of(text, Role::Waiting)
        }
        LinkState::Resyncing { .. } => TextRow::of(format!(" {on} catching up"), Role::Waiting),
        LinkState::Connecting { .. } => TextRow::of(format!(" {off} connecting"), Role::Waiting),
        LinkState::Backoff { .. } => {
            let wait = model.wait.map_or(Duration::ZERO, |wait| wait.drawn);
            let left = (model.link_at + wait).saturating_sub(moment).as_secs_f64();
            TextRow::of(format!(" {off} reconnecting in {left:.1} s"), Role::Waiting)
        }
        LinkState::Offline { .. } => TextRow::of(format!(" {off} offline"), Role::Broken),
    };
    let counts = [true, false].map(|with_words| own_counts(model, with_words, signs));
    let [long, short] = counts;
    let counts = if state.width() + long.width() < columns {
        long
    } else {
        short
    };
    let room = columns.saturating_sub(counts.width());
    state.exactly(room).then(counts)
}

/// Numbers of own messages that are not confirmed, and that are.
fn own_counts(model: &Model, with_words: bool, signs: Signs) -> TextRow {
    let (pending, confirmed) = (model.screen.pending.len(), model.screen.confirmed);
    let words = |words| if with_words { words } else { "" };
    let mut counts = TextRow::default();
    if pending > 0 {
        let waits = words(" not confirmed");
        counts.push(
            format!("{} {pending}{waits}  ", signs.sign("○", "o")),
            Role::Waiting,
        );
    }
    if confirmed > 0 {
        let has = words(" on the server");
        counts.push(
            format!("{} {confirmed}{has} ", signs.sign("✓", "v")),
            Role::Dim,
        );
    }
    counts
}
